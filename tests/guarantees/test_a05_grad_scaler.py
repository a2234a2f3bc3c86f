"""A5: under a GradScaler gradients are unscaled once, and a step with an overflow changes nothing.

The scaler leaves the scale to the optimizer: kernels divide by it as they read a gradient. Such kernels are compiled
for one rule of each kind here; for the others, and wherever they cannot be had, gradients are divided in place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from optgen.errors import UsageError
from optgen.runtime.torch_optimizer import Optimizer
from tests.guarantees import shelf

SCALE = 2.0**10  # a power of two: scaling loses no bit


#: One rule for each reach of a step, and one with a graph.
SPREAD = list({(cls.RULE.reach, cls.RULE.graph): cls for cls in shelf.CLASSES[::-1]}.values())


@pytest.fixture
def scaler() -> torch.amp.GradScaler:
    return torch.amp.GradScaler("cpu", init_scale=SCALE, growth_interval=1000)


def scaled(named: shelf.Named, step: int) -> None:
    shelf.gradients(named, step)
    for _, param in named:
        assert param.grad is not None
        param.grad *= SCALE


@dataclass
class Both:
    """Two optimizers after the same steps, one of them under a scaler, and where all their tensors are equal."""

    plain: shelf.Named
    named: shelf.Named
    optimizer: Optimizer
    unscaled: dict[str, Any]
    scaled: dict[str, Any]


def compared(cls: type[Optimizer], scaler: torch.amp.GradScaler, *, clipped: bool = False) -> Both:
    """Three steps of both."""
    plain, named = shelf.parameters(), shelf.parameters()
    alone, optimizer = shelf.make(cls, plain), shelf.make(cls, named)
    for at in range(3):
        shelf.gradients(plain, at)
        scaled(named, at)
        if clipped:
            scaler.scale(torch.zeros(()))
            scaler.unscale_(optimizer)
            for params in (plain, named):
                torch.nn.utils.clip_grad_norm_([param for _, param in params], 0.5)
        alone.step(**shelf.inputs(cls.RULE, at))
        step(cls, scaler, optimizer, at)
    return Both(plain, named, optimizer, shelf.everything(plain, alone), shelf.everything(named, optimizer))


def step(cls: type[Optimizer], scaler: torch.amp.GradScaler, optimizer: Optimizer, at: int) -> None:
    scaler.scale(torch.zeros(()))
    scaler.step(optimizer, **shelf.inputs(cls.RULE, at))
    scaler.update()


@pytest.mark.parametrize("cls", SPREAD, ids=shelf.name_of)
def test_a_step_of_kernels_that_divide_is_the_step(cls: type[Optimizer], scaler: torch.amp.GradScaler) -> None:
    both = compared(cls, scaler)
    assert shelf.difference(both.unscaled, both.scaled) == []
    assert both.optimizer._options.storage.scaled
    for (_, scaled), (_, plain) in zip(both.named, both.plain, strict=True):
        if plain.grad is not None:
            assert torch.equal(scaled.grad, plain.grad * SCALE)  # gradients stay as they were


@pytest.mark.parametrize("cls", shelf.CLASSES, ids=shelf.name_of)
def test_gradients_divided_in_place_give_the_step(
    cls: type[Optimizer], scaler: torch.amp.GradScaler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cls, "_unscales", True)
    both = compared(cls, scaler)
    assert shelf.difference(both.unscaled, both.scaled) == []


@pytest.mark.parametrize("cls", shelf.CLASSES, ids=shelf.name_of)
def test_gradients_unscaled_and_clipped_before_give_the_step(
    cls: type[Optimizer], scaler: torch.amp.GradScaler
) -> None:
    both = compared(cls, scaler, clipped=True)
    assert shelf.difference(both.unscaled, both.scaled) == []
    assert not both.optimizer._options.storage.scaled  # the scaler has done it: no other kernels are needed


@pytest.mark.parametrize("value", [float("inf"), float("nan")], ids=str)
@pytest.mark.parametrize("cls", shelf.CLASSES, ids=shelf.name_of)
def test_an_overflow_in_one_tensor_changes_nothing(
    cls: type[Optimizer], value: float, scaler: torch.amp.GradScaler
) -> None:
    named, optimizer = shelf.trained(cls, 2)
    before = shelf.everything(named, optimizer)
    scaled(named, 2)
    grad = named[3][1].grad
    assert isinstance(grad, Tensor)
    grad[1] = value
    kept = [param.grad.clone() for _, param in named if param.grad is not None]
    step(cls, scaler, optimizer, 2)
    assert shelf.difference(before, shelf.everything(named, optimizer)) == []
    for (_, param), was in zip(named, kept, strict=True):
        assert param.grad is not None
        assert torch.equal(param.grad.nan_to_num(), was.nan_to_num())
    assert scaler.get_scale() == SCALE / 2


@pytest.mark.parametrize("name", ["grad_scale", "found_inf"])
def test_what_is_no_scale_is_refused(name: str) -> None:
    named, optimizer = shelf.trained(SPREAD[0], 1)
    before = shelf.everything(named, optimizer)
    setattr(optimizer, name, torch.ones(2))
    with pytest.raises(UsageError, match=f"{name} must be a number or a tensor of one element"):
        optimizer.step(**shelf.inputs(SPREAD[0].RULE, 1))
    assert shelf.difference(before, shelf.everything(named, optimizer)) == []
