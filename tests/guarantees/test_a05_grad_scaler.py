"""A5: under a GradScaler gradients are unscaled once, and a step with an overflow changes nothing."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from optgen.runtime.torch_optimizer import Optimizer
from tests.guarantees import shelf

SCALE = 2.0**10  # a power of two: scaling loses no bit


@pytest.fixture
def scaler() -> torch.amp.GradScaler:
    return torch.amp.GradScaler("cpu", init_scale=SCALE, growth_interval=1000)


def scaled(named: shelf.Named, step: int) -> None:
    shelf.gradients(named, step)
    for _, param in named:
        assert param.grad is not None
        param.grad *= SCALE


def step(cls: type[Optimizer], scaler: torch.amp.GradScaler, optimizer: Optimizer, at: int) -> None:
    scaler.scale(torch.zeros(()))
    scaler.step(optimizer, **shelf.inputs(cls.RULE, at))
    scaler.update()


@pytest.mark.parametrize("first", [False, True], ids=["plain", "unscaled and clipped first"])
@pytest.mark.parametrize("cls", shelf.CLASSES, ids=shelf.name_of)
def test_a_scaled_step_is_the_step(cls: type[Optimizer], first: bool, scaler: torch.amp.GradScaler) -> None:
    plain, named = shelf.parameters(), shelf.parameters()
    alone, optimizer = shelf.make(cls, plain), shelf.make(cls, named)
    for at in range(3):
        shelf.gradients(plain, at)
        scaled(named, at)
        if first:
            scaler.scale(torch.zeros(()))
            scaler.unscale_(optimizer)
            for params in (plain, named):
                torch.nn.utils.clip_grad_norm_([param for _, param in params], 0.5)
        alone.step(**shelf.inputs(cls.RULE, at))
        step(cls, scaler, optimizer, at)
    assert shelf.difference(shelf.everything(plain, alone), shelf.everything(named, optimizer)) == []


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
        assert torch.equal(param.grad.nan_to_num(), (was / SCALE).nan_to_num())
    assert scaler.get_scale() == SCALE / 2


@pytest.mark.parametrize("cls", shelf.CLASSES, ids=shelf.name_of)
def test_scaling_is_left_to_the_scaler(cls: type[Optimizer]) -> None:
    """The attribute would promise that a step reads grad_scale and found_inf, which it does not."""
    assert not getattr(shelf.make(cls, shelf.parameters()), "_step_supports_amp_scaling", False)
