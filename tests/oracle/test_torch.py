"""The reference against torch's own optimizers in float64: 100 steps, gradients missing now and then."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from optgen.spec.loader import load
from optgen.verify import Reference
from tests.oracle.streams import gradients, start, worst

TOLERANCE = 1e-12
STEPS = 100


def apart(
    rule: str,
    hypers: dict[str, Any],
    theirs: type[torch.optim.Optimizer],
    arguments: dict[str, Any],
    rng: np.random.Generator,
    states: dict[str, str],
) -> float:
    """The largest difference of parameters and states over all steps. `states` maps the rule's names to torch's."""
    params = start(rng)
    reference = Reference(load(rule), params, hypers)
    tensors = [torch.nn.Parameter(torch.tensor(x, dtype=torch.float64)) for x in params.values()]
    optimizer = theirs(tensors, **arguments)
    largest = 0.0
    for grads in gradients(rng, [x.shape for x in params.values()], STEPS):
        reference.step(grads)
        for tensor, g in zip(tensors, grads, strict=True):
            tensor.grad = None if g is None else torch.tensor(g, dtype=torch.float64)
        optimizer.step()
        for tensor, ours in zip(tensors, reference.params.values(), strict=True):
            largest = max(largest, worst(ours, tensor.detach().numpy()))
        for ours, name in states.items():
            for tensor, held in zip(tensors, reference.state(ours).values(), strict=True):
                kept = optimizer.state[tensor].get(name)
                if kept is not None:
                    largest = max(largest, worst(held, kept.numpy().reshape(held.shape)))
    return largest


@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_adamw(rng: np.random.Generator, weight_decay: float, maximize: bool) -> None:
    shared = {"lr": 0.03, "eps": 1e-4, "weight_decay": weight_decay, "maximize": maximize}
    largest = apart(
        "adamw",
        {**shared, "beta1": 0.8, "beta2": 0.97},
        torch.optim.AdamW,
        {**shared, "betas": (0.8, 0.97)},
        rng,
        {"m": "exp_avg", "v": "exp_avg_sq"},
    )
    assert largest < TOLERANCE


SGD = [
    {"momentum": momentum, "dampening": dampening, "nesterov": nesterov, "weight_decay": decay, "maximize": maximize}
    for momentum, dampening, nesterov, decay, maximize in product(
        (0.0, 0.9), (0.0, 0.3), (False, True), (0.0, 0.05), (False, True)
    )
    if not nesterov or (momentum > 0 and dampening == 0)
]


@pytest.mark.parametrize("options", SGD, ids=lambda options: "-".join(f"{value}" for value in options.values()))
def test_sgd_in_all_its_options(rng: np.random.Generator, options: dict[str, Any]) -> None:
    hypers = {"lr": 0.02, **options}
    assert apart("sgd", hypers, torch.optim.SGD, hypers, rng, {"m": "momentum_buffer"}) < TOLERANCE


@pytest.mark.parametrize("lr", [0.01, 0.9])
@pytest.mark.parametrize(("threshold", "decay", "maximize"), [(1.0, 0.0, False), (1.3, 0.1, True)])
def test_adafactor(rng: np.random.Generator, lr: float, threshold: float, decay: float, maximize: bool) -> None:
    """Matrices, stacks of them, vectors and scalars; the largest step is set by either lr or 1/sqrt(t)."""
    shared = {"lr": lr, "beta2_decay": -0.7, "weight_decay": decay, "maximize": maximize}
    largest = apart(
        "adafactor",
        {**shared, "eps1": 1e-7, "eps2": 2e-3, "clip_threshold": threshold},
        torch.optim.Adafactor,
        {**shared, "eps": (1e-7, 2e-3), "d": threshold},
        rng,
        {"r": "row_var", "c": "col_var", "v": "variance"},
    )
    assert largest < TOLERANCE


def test_a_schedule_reaches_the_reference(rng: np.random.Generator) -> None:
    params = start(rng)
    reference = Reference(load("adamw"), params)
    tensors = [torch.nn.Parameter(torch.tensor(x, dtype=torch.float64)) for x in params.values()]
    optimizer = torch.optim.AdamW(tensors)
    for step, grads in enumerate(gradients(rng, [x.shape for x in params.values()], 20), 1):
        reference.change(lr=0.1 / step)
        optimizer.param_groups[0]["lr"] = 0.1 / step
        for tensor, g in zip(tensors, grads, strict=True):
            tensor.grad = None if g is None else torch.tensor(g, dtype=torch.float64)
        reference.step(grads)
        optimizer.step()
    for tensor, ours in zip(tensors, reference.params.values(), strict=True):
        assert worst(ours, tensor.detach().numpy()) < TOLERANCE
