"""The reference against loops written from the papers, and against optax where it is installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from optgen.spec.loader import load
from optgen.verify import Reference
from tests.oracle.streams import Array, gradients, start, worst

TOLERANCE = 1e-12
STEPS = 100
LION = {"lr": 3e-3, "beta1": 0.85, "beta2": 0.97, "weight_decay": 0.1}
LAMB = {"lr": 0.02, "beta1": 0.8, "beta2": 0.95, "eps": 1e-4, "weight_decay": 0.05}


def run(rule: str, hypers: dict[str, Any], step: Callable[[Array, Array, dict[str, Any]], Array], seed: int) -> float:
    """Largest difference from a loop `step(param, g, memory) -> param`, which keeps its state in `memory`."""
    rng = np.random.default_rng(seed)
    params = start(rng)
    reference = Reference(load(rule), params, hypers)
    memory: dict[str, dict[str, Any]] = {name: {} for name in params}
    largest = 0.0
    for grads in gradients(rng, [x.shape for x in params.values()], STEPS):
        reference.step(grads)
        for name, g in zip(params, grads, strict=True):
            if g is not None:
                params[name] = step(params[name], g, memory[name])
            largest = max(largest, worst(reference.params[name], params[name]))
    return largest


def lion(param: Array, g: Array, memory: dict[str, Any]) -> Array:
    m = memory.get("m", 0.0)
    memory["m"] = LION["beta2"] * m + (1 - LION["beta2"]) * g
    direction = np.sign(LION["beta1"] * m + (1 - LION["beta1"]) * g)
    return param - LION["lr"] * (direction + LION["weight_decay"] * param)


def lamb(max_norm: float) -> Callable[[Array, Array, dict[str, Any]], Array]:
    def step(param: Array, g: Array, memory: dict[str, Any]) -> Array:
        memory["t"] = memory.get("t", 0) + 1
        memory["m"] = LAMB["beta1"] * memory.get("m", 0.0) + (1 - LAMB["beta1"]) * g
        memory["v"] = LAMB["beta2"] * memory.get("v", 0.0) + (1 - LAMB["beta2"]) * g * g
        m = memory["m"] / (1 - LAMB["beta1"] ** memory["t"])
        v = memory["v"] / (1 - LAMB["beta2"] ** memory["t"])
        u = m / (np.sqrt(v) + LAMB["eps"]) + LAMB["weight_decay"] * param
        size, length = np.linalg.norm(param), np.linalg.norm(u)
        trust = min(size, max_norm) / length if size > 0 and length > 0 else 1.0
        return param - LAMB["lr"] * trust * u

    return step


def test_lion() -> None:
    assert run("lion", LION, lion, 1) < TOLERANCE


@pytest.mark.parametrize("max_norm", [1.5, 10.0, float("inf")])
def test_lamb(max_norm: float) -> None:
    assert run("lamb", {**LAMB, "max_norm": max_norm}, lamb(max_norm), 2) < TOLERANCE


def test_lamb_takes_a_zero_direction_or_zero_weights_as_they_are() -> None:
    params = {"zero.w": np.zeros(3), "full.w": np.ones(3)}
    reference = Reference(load("lamb"), params, {"lr": 0.5, "weight_decay": 0.0})
    reference.step({"zero.w": np.array([2.0, -2.0, 0.0]), "full.w": np.zeros(3)})
    assert worst(reference.params["zero.w"], np.array([-0.5, 0.5, 0.0])) < 1e-6
    assert worst(reference.params["full.w"], np.ones(3)) == 0.0


@pytest.mark.parametrize("name", ["lion", "lamb"])
def test_optax(rng: np.random.Generator, name: str) -> None:
    optax = pytest.importorskip("optax")
    jax = pytest.importorskip("jax")
    if name == "lion":
        hypers: dict[str, Any] = LION
        arguments = {"learning_rate": LION["lr"], "b1": LION["beta1"], "b2": LION["beta2"]}
    else:
        hypers = {**LAMB, "max_norm": float("inf")}
        arguments = {"learning_rate": LAMB["lr"], "b1": LAMB["beta1"], "b2": LAMB["beta2"], "eps": LAMB["eps"]}
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    try:
        transformation = getattr(optax, name)(**arguments, weight_decay=hypers["weight_decay"])
        params = start(rng)
        names = list(params)
        reference = Reference(load(name), params, hypers)
        state = transformation.init(params)
        for grads in gradients(rng, [params[key].shape for key in names], STEPS, missing=0.0):
            reference.step(grads)
            named = dict(zip(names, grads, strict=True))
            updates, state = transformation.update(named, state, params)
            params = {key: np.asarray(value) for key, value in optax.apply_updates(params, updates).items()}
            for key, theirs in params.items():
                assert theirs.dtype == np.float64
                assert worst(reference.params[key], theirs) < TOLERANCE
    finally:
        jax.config.update("jax_enable_x64", before)
