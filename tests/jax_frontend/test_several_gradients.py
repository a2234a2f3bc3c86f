"""Rules that take several gradients per parameter, in JAX."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optgen.jax
from optgen.errors import HyperError, UsageError
from optgen.jax import player_gradients
from optgen.runtime.jax_transform import Transformation
from optgen.spec.loader import load, shipped
from optgen.verify import Reference

SPEC = next(load(name) for name in shipped() if load(name).gradients)
COUNT = 2
SHAPES = {"a/w": (3, 4), "b/w": (5,)}


def made(**given: Any) -> Transformation:
    return getattr(optgen.jax, SPEC.name)(learning_rate=0.1, **{SPEC.gradients: COUNT, **given})


def numbers(seed: int, *axis: int) -> dict[str, jax.Array]:
    rng = np.random.default_rng(seed)
    return {name: jnp.asarray(rng.normal(size=(*axis, *shape)), jnp.float32) for name, shape in SHAPES.items()}


def test_every_way_to_step() -> None:
    """`update`, `plain` and `apply` make the steps of the reference, compiled or not."""
    params, transformation = numbers(0), made()
    reference = Reference(
        SPEC, {n: np.asarray(x, float) for n, x in params.items()}, {"lr": 0.1, SPEC.gradients: COUNT}
    )
    states = [transformation.init(params)] * 2
    plain = placed = params
    in_place = jax.jit(lambda g, s, p: transformation.apply(g, s, p))
    for seed in (1, 2):
        grads = numbers(seed, COUNT)
        updates, states[0] = jax.jit(transformation.update)(grads, states[0], plain)
        plain = jax.tree.map(jnp.add, plain, updates)
        placed, states[1] = in_place(grads, states[1], placed)
        reference.step({n: np.asarray(g, float) for n, g in grads.items()})
    for name, expected in reference.params.items():
        for found in (plain, placed):
            np.testing.assert_allclose(found[name], expected, rtol=0, atol=1e-6)


def test_stacked_layers() -> None:
    """The axis of gradients lies before that of layers."""
    one, grads = numbers(0)["a/w"], numbers(1, COUNT)["a/w"]
    stack = {"blocks": {"w": jnp.stack([one, 2 * one])}}
    apart = {f"blocks/{i}": {"w": x} for i, x in enumerate(stack["blocks"]["w"])}
    both, single = made(stacked=["blocks"]), made()
    found, _ = both.plain({"blocks": {"w": jnp.stack([grads, 3 * grads], axis=1)}}, both.init(stack), stack)
    wanted, _ = single.plain({"blocks/0": {"w": grads}, "blocks/1": {"w": 3 * grads}}, single.init(apart), apart)
    np.testing.assert_array_equal(found["blocks"]["w"], jnp.stack([wanted[name]["w"] for name in apart]))


@pytest.mark.parametrize("axis", [(), (3,), (1, 2)])
def test_other_axes_are_refused(axis: tuple[int, ...]) -> None:
    params, transformation = numbers(0), made()
    with pytest.raises(UsageError, match=r'the gradients of "a/w" are \(.*=2 they must be \(2, 3, 4\)'):
        transformation.update(numbers(1, *axis), transformation.init(params), params)


def test_the_count_selects_code() -> None:
    with pytest.raises(HyperError, match=r"selects code"):
        made(**{SPEC.gradients: jnp.asarray(2)})


def test_player_gradients() -> None:
    params = numbers(0)
    x, y = jnp.ones((3, 4)) * jnp.arange(3.0)[:, None], jnp.arange(3.0)

    def loss(held: Any, example: jax.Array, target: jax.Array) -> jax.Array:
        return jnp.sum((held["a/w"] @ example - target) ** 2) + jnp.sum(held["b/w"] * target)

    found = jax.jit(lambda p: player_gradients(loss, p, x, y))(params)
    for player in range(3):
        alone = jax.grad(loss)(params, x[player], y[player])
        for name, gradients in found.items():
            np.testing.assert_allclose(gradients[player], alone[name], rtol=1e-6)
