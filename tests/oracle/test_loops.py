"""The reference against loops written from the papers, and against optax where it is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from optgen.spec.loader import load
from optgen.verify import Reference
from tests.oracle import loops
from tests.oracle.streams import gradients, start, worst
from tests.quick_xla import QUICK

TOLERANCE = 1e-12
STEPS = 100
LION = {"lr": 3e-3, "beta1": 0.85, "beta2": 0.97, "weight_decay": 0.1}
LAMB = {"lr": 0.02, "beta1": 0.8, "beta2": 0.95, "eps": 1e-4, "weight_decay": 0.05, "max_norm": 10.0}
ADAM = {"lr": 0.02, "beta1": 0.8, "beta2": 0.97, "eps": 1e-4, "weight_decay": 0.05}
MIX = {**ADAM, "beta3": 0.99, "alpha": 3.0, "alpha_warmup": 0, "beta3_warmup": 0}
NOVO = {**ADAM, "grad_averaging": False}
ADAN = {**ADAM, "beta2": 0.9, "beta3": 0.95, "no_prox": False}

#: Rule and hyper-parameters; the loop has the rule's name.
CASES: list[tuple[str, dict[str, Any]]] = [
    ("lion", LION),
    ("lamb", {**LAMB, "max_norm": 1.5}),
    ("lamb", LAMB),
    ("lamb", {**LAMB, "max_norm": float("inf")}),
    ("signum", {"lr": 3e-3, "momentum": 0.85, "weight_decay": 0.1}),
    ("signum", {"lr": 3e-3, "momentum": 0.0, "weight_decay": 0.1}),
    ("adabelief", ADAM),
    ("novograd", NOVO),
    ("novograd", {**NOVO, "grad_averaging": True}),
    ("adan", ADAN),
    ("adan", {**ADAN, "no_prox": True}),
    ("ademamix", MIX),
    ("ademamix", {**MIX, "alpha_warmup": 30, "beta3_warmup": 50}),
    ("laprop", ADAM),
    ("adopt", ADAM),
]

#: Rule, hyper-parameters, optax's factory (a path below optax) and what it calls them. optax weighs the differences of
#: adan by 1 - b2 where the authors weigh them by b2, and decays weights beside the step.
OPTAX: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    ("lion", LION, "lion", {}),
    ("lamb", {**LAMB, "max_norm": float("inf")}, "lamb", {}),
    ("adabelief", {**ADAM, "weight_decay": 0.0}, "adabelief", {"eps_root": 1e-4}),
    ("novograd", NOVO, "novograd", {}),
    ("adan", {**ADAN, "beta2": 0.5, "weight_decay": 0.0}, "adan", {"eps_root": 0.0}),
    ("ademamix", MIX, "contrib.ademamix", {}),
    ("adopt", {**ADAM, "weight_decay": 0.0}, "contrib.adopt", {}),
]
SPELLED = {"lr": "learning_rate", "beta1": "b1", "beta2": "b2", "beta3": "b3"}
UNKNOWN = {"max_norm", "grad_averaging", "no_prox", "alpha_warmup", "beta3_warmup"}


@pytest.mark.parametrize(("name", "hypers"), CASES)
def test_loops(rng: np.random.Generator, name: str, hypers: dict[str, Any]) -> None:
    params = start(rng)
    reference = Reference(load(name), params, hypers)
    memory: dict[str, dict[str, Any]] = {key: {"t": 0} for key in params}
    for grads in gradients(rng, [x.shape for x in params.values()], STEPS):
        reference.step(grads)
        for key, g in zip(params, grads, strict=True):
            if g is not None:
                memory[key]["t"] += 1
                params[key] = getattr(loops, name)(params[key], g, memory[key], hypers)
            assert worst(reference.params[key], params[key]) < TOLERANCE


def test_lamb_takes_a_zero_direction_or_zero_weights_as_they_are() -> None:
    params = {"zero.w": np.zeros(3), "full.w": np.ones(3)}
    reference = Reference(load("lamb"), params, {"lr": 0.5, "weight_decay": 0.0})
    reference.step({"zero.w": np.array([2.0, -2.0, 0.0]), "full.w": np.zeros(3)})
    assert worst(reference.params["zero.w"], np.array([-0.5, 0.5, 0.0])) < 1e-6
    assert worst(reference.params["full.w"], np.ones(3)) == 0.0


@pytest.mark.parametrize(("name", "hypers", "factory", "more"), OPTAX, ids=[name for name, *_ in OPTAX])
def test_optax(rng: np.random.Generator, name: str, hypers: dict[str, Any], factory: str, more: dict[str, Any]) -> None:
    optax = pytest.importorskip("optax")
    jax = pytest.importorskip("jax")
    make = optax
    for part in factory.split("."):
        make = getattr(make, part)
    given = {SPELLED.get(key, key): value for key, value in hypers.items() if key not in UNKNOWN} | more
    if not hypers["weight_decay"]:
        del given["weight_decay"]
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    try:
        transformation = make(**given)
        params = start(rng)
        names = list(params)
        reference = Reference(load(name), params, hypers)
        state = transformation.init(params)
        update = jax.jit(transformation.update, compiler_options=QUICK)
        for grads in gradients(rng, [params[key].shape for key in names], STEPS, missing=0.0):
            reference.step(grads)
            named = dict(zip(names, grads, strict=True))
            updates, state = update(named, state, params)
            params = {key: np.asarray(value) for key, value in optax.apply_updates(params, updates).items()}
            for key, theirs in params.items():
                assert theirs.dtype == np.float64
                assert worst(reference.params[key], theirs) < TOLERANCE
    finally:
        jax.config.update("jax_enable_x64", before)
