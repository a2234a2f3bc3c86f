"""States of optax's own optimizers: where a rule says how optax names its state, the two go on as one."""

from __future__ import annotations

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import optgen.jax
from optgen.errors import StateError, UsageError
from optgen.spec.loader import load, shipped
from tests.jax_frontend.support import precision

Tree = dict[str, Any]


def theirs(rule: str) -> Any:
    return getattr(optax, rule, None) or getattr(optax.contrib, rule, None)


#: Rules of which optax has one of that name.
BOTH = [rule for rule in shipped() if theirs(rule) is not None]
#: Those that optax keeps other state for, and what the refusal says.
OTHERS = {
    "adafactor": "another tree|shape",  # one number stands for what is not kept
    "adagrad": "no count of steps",
    "adan": "optax keeps v",  # averages other differences
    "muon": "optax keeps inner_states",  # of two optimizers
    "nadam": "no product",
    "signum": "optax keeps ema",
}


def numbers(rng: np.random.Generator) -> Tree:
    return {"w": jnp.asarray(rng.normal(size=(4, 3))), "b": jnp.asarray(rng.normal(size=5))}


def settings(rule: str) -> dict[str, Any]:
    """Optax's defaults, with decay and momentum where both have them."""
    both = inspect.signature(getattr(optgen.jax, rule)).parameters.keys()
    known = inspect.signature(theirs(rule)).parameters
    given = {n: p.default for n, p in known.items() if n in both and type(p.default) in (int, float)}
    moved = {"weight_decay": 0.3, "momentum": 0.9} if rule != "rmsprop" else {"weight_decay": 0.3}
    return {**given, **{n: x for n, x in moved.items() if n in both and n in known}, "learning_rate": 0.1}


def trained(rule: str, rng: np.random.Generator) -> tuple[Any, Tree, Any]:
    """Optax's optimizer after three steps: itself, parameters, state."""
    inside = {"eps_in_sqrt": False} if "eps_in_sqrt" in inspect.signature(theirs(rule)).parameters else {}
    made = theirs(rule)(**settings(rule), **inside)
    params = numbers(rng)
    state = made.init(params)
    update = jax.jit(made.update)
    for _ in range(3):
        updates, state = update(numbers(rng), state, params)
        params = optax.apply_updates(params, updates)
    return made, params, state


def equal(one: Any, other: Any) -> None:
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


def test_all_are_looked_at() -> None:
    assert len(BOTH) > 12
    assert set(OTHERS) < set(BOTH)


@pytest.mark.parametrize("rule", sorted(set(BOTH) - set(OTHERS)))
def test_ours_goes_on_and_back(rule: str, rng: np.random.Generator) -> None:
    with precision("float64"):
        made, params, state = trained(rule, rng)
        ours = getattr(optgen.jax, rule)(**settings(rule))
        own = optgen.jax.from_optax(ours, state, params)
        equal(optgen.jax.to_optax(ours, own, made.init(params)), state)
        grads = numbers(rng)
        updates, after = jax.jit(made.update)(grads, state, params)
        stepped, own = jax.jit(ours.apply)(grads, own, params)
        for name, x in optax.apply_updates(params, updates).items():
            np.testing.assert_allclose(stepped[name], x, rtol=1e-8, atol=1e-9)
        for x, y in zip(
            jax.tree.leaves(optgen.jax.to_optax(ours, own, made.init(params))), jax.tree.leaves(after), strict=True
        ):
            np.testing.assert_allclose(x, y, rtol=1e-12)


@pytest.mark.parametrize("rule", OTHERS)
def test_what_means_something_else_is_refused(rule: str, rng: np.random.Generator) -> None:
    _, params, state = trained(rule, rng)
    given = {name: value for name, value in settings(rule).items() if name != "decay"}
    with pytest.raises(StateError, match=OTHERS[rule]):
        optgen.jax.from_optax(getattr(optgen.jax, rule)(**given), state, params)


def test_refusals(rng: np.random.Generator) -> None:
    _, params, state = trained("adamw", rng)
    ours = optgen.jax.adamw(0.1)
    with pytest.raises(StateError, match="optax keeps nu, and lion"):
        optgen.jax.from_optax(optgen.jax.lion(0.1), state, params)
    with pytest.raises(StateError, match="optax keeps nu_max"):
        optgen.jax.from_optax(optgen.jax.adam(0.1, amsgrad=True), optax.amsgrad(0.1).init(params), params)
    with pytest.raises(StateError, match="optax keeps trace"):
        optgen.jax.from_optax(
            optgen.jax.rmsprop(0.1, momentum=0.9), optax.rmsprop(0.1, momentum=0.9).init(params), params
        )
    with pytest.raises(StateError, match=r"keeps m, and optax's state has no mu"):
        optgen.jax.from_optax(ours, optax.sgd(0.1).init(params), params)
    with pytest.raises(StateError, match="mu of optax's state is of shape"):
        optgen.jax.from_optax(ours, state, {**params, "b": jnp.ones(7)})
    with pytest.raises(StateError, match="twice"):
        optgen.jax.from_optax(ours, (state, state), params)
    own = optgen.jax.from_optax(ours, state, params)
    with pytest.raises(StateError, match="has no nu"):
        optgen.jax.to_optax(ours, own, optax.lion(0.1).init(params))
    with pytest.raises(UsageError, match="0 are of one of our"):
        optgen.jax.to_optax(ours, state, state)
    uneven = own._replace(updates={"w": jnp.asarray(1), "b": jnp.asarray(2)})
    with pytest.raises(StateError, match="different numbers of updates"):
        optgen.jax.to_optax(ours, uneven, state)
    assert load("adamw").states["m"].names["optax"] == "mu"
