"""A19: autograd sees that a step wrote, and the caller's gradients stay as they were."""

from __future__ import annotations

import pytest
import torch

from optgen.runtime.torch_optimizer import Optimizer
from tests.guarantees import shelf


@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("cls", shelf.CLASSES, ids=shelf.name_of)
def test_versions_rise_and_gradients_stay(cls: type[Optimizer], maximize: bool) -> None:
    named = shelf.parameters()
    optimizer = shelf.make(cls, named, maximize=maximize, backend="reference" if maximize else None)
    for step in range(2):
        shelf.gradients(named, step, ("h.1.bias",))
        versions = {name: param._version for name, param in named}
        before = {name: None if param.grad is None else param.grad.clone() for name, param in named}
        optimizer.step(**shelf.inputs(cls.RULE, step))
        for name, param in named:
            was = before[name]
            assert (param._version > versions[name]) == (was is not None)
            if was is not None:
                assert param.grad is not None
                assert shelf.same_bits(param.grad, was)
            assert param.requires_grad


@pytest.mark.parametrize("cls", shelf.CLASSES, ids=shelf.name_of)
def test_a_backward_pass_across_a_step_is_refused_by_autograd(cls: type[Optimizer]) -> None:
    named = shelf.parameters()
    optimizer = shelf.make(cls, named)
    weight = named[0][1]
    loss = weight.square().sum()  # keeps the weight for its backward pass
    shelf.train(optimizer, named, [0])
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("cls", shelf.CLASSES, ids=shelf.name_of)
def test_climbing_is_descending_on_the_negative(cls: type[Optimizer]) -> None:
    up, down = shelf.parameters(), shelf.parameters()
    climber, walker = (
        shelf.make(cls, named, maximize=maximize, backend="reference")
        for named, maximize in ((up, True), (down, False))
    )
    for step in range(2):
        shelf.gradients(up, step)
        shelf.gradients(down, step)
        for _, param in down:
            assert param.grad is not None
            param.grad = torch.neg(param.grad)
        for optimizer in (climber, walker):
            optimizer.step(**shelf.inputs(cls.RULE, step))
    assert shelf.difference(shelf.everything(up, climber), shelf.everything(down, walker)) == []
