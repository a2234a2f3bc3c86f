"""Values of hyper-parameters that only the step knows: an error that names them, whichever way the step takes."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.experimental import checkify

import optgen.jax
from optgen.errors import HyperError
from optgen.runtime.jax_call import TARGET

PARAMS = {"w": jnp.arange(6.0).reshape(2, 3), "b": jnp.ones(3)}
GRADS = jax.tree.map(jnp.ones_like, PARAMS)
SAYS = "lr must be >= 0, got nan; nothing was changed"
FAILURES = (ValueError, jax.errors.JaxRuntimeError)


def late(count: jax.Array) -> jax.Array:
    """A schedule that ends in NaN."""
    return jnp.where(count == 1, jnp.nan, 0.1)


def step(way: str) -> Callable[..., object]:
    """One step by `update`, `apply` or `plain`, with a rate that is an operand."""

    def run(rate: jax.Array, state: object, params: object) -> object:
        return getattr(optgen.jax.adamw(rate), way)(GRADS, state, params)

    return run


@pytest.mark.parametrize("way", ["update", "apply", "plain"])
def test_a_compiled_step_fails(way: str) -> None:
    state, compiled = optgen.jax.adamw().init(PARAMS), jax.jit(step(way))
    jax.block_until_ready(compiled(jnp.float32(0.1), state, PARAMS))
    for wrong, got in ((np.nan, "nan"), (-1.0, "-1.0")):
        with pytest.raises(FAILURES, match=f"lr must be >= 0, got {got}; nothing was changed"):
            jax.block_until_ready(compiled(jnp.float32(wrong), state, PARAMS))
    assert compiled._cache_size() == 1
    with jax.enable_x64(True), pytest.raises(FAILURES, match=r"got -1\.0"):
        jax.block_until_ready(jax.jit(step(way))(jnp.float64(-1.0), state, PARAMS))


def test_injected_values() -> None:
    tx = optax.inject_hyperparams(optgen.jax.adamw)(learning_rate=0.1)
    state = tx.init(PARAMS)
    state.hyperparams["learning_rate"] = jnp.float32(jnp.nan)
    with pytest.raises(FAILURES, match=SAYS):
        jax.block_until_ready(jax.jit(tx.update)(GRADS, state, PARAMS))
    with pytest.raises(HyperError, match="lr must be >= 0, got nan"):
        tx.update(GRADS, state, PARAMS)


def test_what_is_known_is_checked_before_the_step() -> None:
    tx = optgen.jax.adamw(late)
    params, state = tx.apply(GRADS, tx.init(PARAMS), PARAMS)
    for way in (tx.update, tx.apply, tx.plain):
        with pytest.raises(HyperError, match="lr must be >= 0, got nan"):
            way(GRADS, state, params)
    known = optgen.jax.adamw(lambda _: -1.0)
    with pytest.raises(HyperError, match="lr must be >= 0, got -1"):
        jax.jit(known.update)(GRADS, state, params)
    with pytest.raises(HyperError, match=r"lr must be a single number, got an array of shape \(2,\)"):
        jax.jit(optgen.jax.adamw(lambda count: jnp.ones(2) * count).update)(GRADS, state, params)


@pytest.mark.parametrize("way", ["update", "apply"])
def test_checkify_makes_errors_of_them(way: str) -> None:
    """Whatever platform runs it: the checked step has no call of the host."""
    state = optgen.jax.adamw().init(PARAMS)
    checked = jax.jit(jax.vmap(checkify.checkify(step(way)), in_axes=(0, None, None)))
    error, _ = checked(jnp.array([0.1, 0.2]), state, PARAMS)
    error.throw()
    error, _ = checked(jnp.array([0.1, jnp.nan]), state, PARAMS)
    with pytest.raises(checkify.JaxRuntimeError, match="lr must be >= 0, got nan"):
        error.throw()


def test_a_step_without_traced_values_has_no_check() -> None:
    tx = optgen.jax.adamw(0.1)
    assert TARGET not in jax.jit(tx.plain).lower(GRADS, tx.init(PARAMS), PARAMS).as_text()
