"""Rules that take several gradients per parameter: how they are given, made and refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

import optgen.torch
from optgen.errors import GradientError, OptgenError, UsageError
from optgen.runtime.torch_optimizer import Optimizer
from optgen.spec.loader import load, shipped
from optgen.torch import player_gradients
from optgen.verify import Reference

SPEC = next(load(name) for name in shipped() if load(name).gradients)
COUNT = 2
SHAPES = {"a.w": (3, 4), "b.w": (5,), "c.w": ()}
SETTINGS: dict[str, Any] = {SPEC.gradients: COUNT, "lr": 0.1, "beta": 0.5, "weight_decay": 0.1}


def made(backend: str, **given: Any) -> tuple[Optimizer, dict[str, Parameter]]:
    generator = torch.Generator().manual_seed(3)
    params = {n: Parameter(torch.randn(s, generator=generator, dtype=torch.float64)) for n, s in SHAPES.items()}
    cls: type[Optimizer] = getattr(optgen.torch, SPEC.class_name)
    return cls(params.items(), backend=backend, **{**SETTINGS, **given}), params  # type: ignore[call-arg]


def stacks(seed: int, count: int = COUNT) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {n: torch.randn((count, *s), generator=generator, dtype=torch.float64) for n, s in SHAPES.items()}


def in_order(found: Mapping[str, Tensor]) -> list[Tensor]:
    return list(found.values())


def interleaved(found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same numbers with the axis of gradients last in memory."""
    return {n: x.movedim(0, -1).contiguous().movedim(-1, 0) for n, x in found.items()}


def one_missing(found: Mapping[str, Tensor]) -> dict[str, Tensor | None]:
    return {**found, "b.w": None}


@pytest.mark.parametrize("backend", ["numba", "reference"])
def test_steps_as_the_rule_says(backend: str) -> None:
    optimizer, params = made(backend)
    reference = Reference(SPEC, {n: p.detach().numpy().copy() for n, p in params.items()}, SETTINGS)
    ways: list[Callable[[dict[str, Tensor]], Any]] = [dict, in_order, interleaved, one_missing, one_missing]
    for seed, way in enumerate(ways):
        given = way(stacks(seed))
        optimizer.step(gradients=given)
        named = given if isinstance(given, dict) else dict(zip(SHAPES, given, strict=True))
        reference.step({n: None if g is None else g.numpy() for n, g in named.items()})
        for name, p in params.items():
            np.testing.assert_allclose(p.detach().numpy(), reference.params[name], rtol=0, atol=1e-14)
    assert [int(optimizer.state[p]["step"]) for p in params.values()] == [5, 3, 5]


def test_one_alone_may_be_the_parameters_own() -> None:
    (ours, params), (other, same) = (made("numba", **{SPEC.gradients: 1}) for _ in range(2))
    for seed in range(2):
        given = stacks(seed, 1)
        for name, p in params.items():
            p.grad = given[name][0].clone()
        ours.step()
        other.step(gradients=given)
    assert all(torch.equal(params[name], same[name]) for name in SHAPES)


def test_another_count_is_another_kernel() -> None:
    """What a group says is looked at in every step, as choices are."""
    optimizer, params = made("reference")
    optimizer.step(gradients=stacks(0))
    optimizer.param_groups[0][SPEC.gradients] = 3
    optimizer.step(gradients=stacks(1, 3))
    assert all(int(optimizer.state[p]["step"]) == 2 for p in params.values())


@pytest.mark.parametrize("backend", ["numba", "reference"])
def test_under_a_scaler(backend: str) -> None:
    """It looks for infinities in the parameters' own gradients, such as the sum; the scale is that of the stacks."""
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    (plain, params), (scaled, same) = made(backend), made(backend)
    for seed in range(3):
        plain.step(gradients=stacks(seed))
        given = {name: x * 2.0**10 for name, x in stacks(seed).items()}
        for name, p in same.items():
            p.grad = given[name].sum(dim=0)
        scaler.scale(torch.zeros(()))
        scaler.step(scaled, gradients=given)
        scaler.update()
    same["a.w"].grad = torch.full((3, 4), torch.inf, dtype=torch.float64)
    scaler.step(scaled, gradients=stacks(9))
    assert all(torch.equal(p, same[name]) for name, p in params.items())
    assert scaled.global_step == 3


REFUSED: dict[str, tuple[Callable[[dict[str, Tensor]], object], type[OptgenError], str]] = {
    "none": (lambda _: None, UsageError, r"call step\(gradients=...\) with 2 gradients per parameter"),
    "too few": (lambda x: {**x, "b.w": x["b.w"][:1]}, GradientError, r"b.w have shape \(1, 5\); .*=2 .* \(2, 5\)"),
    "no axis": (lambda x: {**x, "a.w": x["a.w"][0]}, GradientError, r"a.w have shape \(3, 4\); .* \(2, 3, 4\)"),
    "shape": (lambda x: {**x, "a.w": x["a.w"].mT}, GradientError, r"a.w have shape \(2, 4, 3\)"),
    "dtype": (lambda x: {**x, "c.w": x["c.w"].float()}, GradientError, r"c.w are torch.float32"),
    "name": (lambda x: {**x, "b.x": x["b.w"]}, UsageError, r'"b.x", which no parameter is called; did you mean "b.w"'),
    "length": (lambda x: [*x.values()][:2], UsageError, r"2 entries for 3 parameters"),
    "tensor": (lambda x: x["a.w"], UsageError, r"by name or as a list, not as Tensor"),
    "numbers": (lambda x: {**x, "a.w": 1.0}, GradientError, r"a.w are a float, no tensor"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_leaves_everything_as_it_was(case: str) -> None:
    optimizer, params = made("reference")
    optimizer.step(gradients=stacks(0))
    before = [x.clone() for p in params.values() for x in (p.detach(), *optimizer.state[p].values())]
    given, error, words = REFUSED[case]
    with pytest.raises(error, match=words):
        optimizer.step(gradients=given(stacks(1)))
    after = [x for p in params.values() for x in (p.detach(), *optimizer.state[p].values())]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    optimizer.step(gradients=stacks(1))
    assert optimizer.global_step == 2


def test_other_rules_take_none() -> None:
    param = Parameter(torch.ones(2))
    other = next(name for name in shipped() if not load(name).gradients)
    optimizer: Optimizer = getattr(optgen.torch, load(other).class_name)([param])
    with pytest.raises(UsageError, match=r"unexpected argument 'gradients'"):
        optimizer.step(gradients=[torch.ones(1, 2)])


@pytest.mark.parametrize("tasks", [False, True])
def test_player_gradients(tasks: bool) -> None:
    """One backward pass per player gives the same; what is frozen is left out, and nothing of the model is touched."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 2)).double().eval()
    model[0].bias.requires_grad_(False)
    batch = (3, 5) if tasks else (3,)
    x, y = torch.randn(*batch, 4).double(), torch.randn(*batch, 2).double()
    found = player_gradients(model, torch.nn.functional.mse_loss, x, y, tasks=tasks)
    assert all(p.grad is None for p in model.parameters())
    assert found.keys() == {name for name, p in model.named_parameters() if p.requires_grad}
    for player in range(3):
        model.zero_grad()
        rows = slice(player, player + 1)
        torch.nn.functional.mse_loss(model(x[player] if tasks else x[rows]), y[player] if tasks else y[rows]).backward()
        for name, gradients in found.items():
            torch.testing.assert_close(gradients[player], model.get_parameter(name).grad, rtol=1e-12, atol=1e-14)


class Pair(NamedTuple):
    """Two inputs of one model."""

    left: Tensor
    right: Tensor


class Product(torch.nn.Module):
    """x*W*y for a pair (x, y)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = Parameter(torch.eye(3, dtype=torch.float64))

    def forward(self, pair: Pair) -> Tensor:
        return (pair.left @ self.weight * pair.right).sum(dim=1)


def test_inputs_keep_their_kind() -> None:
    pair = Pair(torch.randn(4, 3).double(), torch.randn(4, 3).double())
    found = player_gradients(Product(), torch.nn.functional.l1_loss, pair, torch.full((4,), -100.0).double())
    torch.testing.assert_close(found["weight"], torch.einsum("pi,pj->pij", *pair))
