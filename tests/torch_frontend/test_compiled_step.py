"""`torch.compile(optimizer.step)`: one graph without a break, and the same bits as without it."""

from __future__ import annotations

import copy

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from optgen.errors import UsageError
from optgen.runtime import torch_compiled
from optgen.runtime.torch_optimizer import Optimizer
from tests.guarantees import shelf

#: A rule of elements, one that reduces, and one with a graph.
SPREAD = list({(cls.RULE.reach == "elem", cls.RULE.graph): cls for cls in shelf.CLASSES[::-1]}.values())


@pytest.fixture(autouse=True)
def _nothing_compiled_before() -> None:
    torch._dynamo.reset()


def pair(cls: type[Optimizer]) -> tuple[shelf.Named, Optimizer, shelf.Named, Optimizer]:
    named, others = shelf.parameters(), shelf.parameters()
    return named, shelf.make(cls, named), others, shelf.make(cls, others)


@pytest.mark.parametrize("cls", SPREAD, ids=shelf.name_of)
def test_one_graph_gives_the_step(cls: type[Optimizer]) -> None:
    """A functional graph, in which kernels work on copies; the rate changes on the way, and compiles nothing again."""
    named, optimizer, others, eager = pair(cls)
    backend = CompileCounterWithBackend("aot_eager")
    step = torch.compile(optimizer.step, fullgraph=True, backend=backend)
    for at in range(4):
        missing = ["h.0.bias"] if at == 3 else []
        shelf.gradients(named, at, missing)
        shelf.gradients(others, at, missing)
        given = shelf.inputs(cls.RULE, 0)
        if at == 2:
            for each in (optimizer, eager):
                each.param_groups[0]["lr"] = 0.01
            named[0][1].data = named[0][1].data.clone()
        step(**given)
        eager.step(**given)
        assert shelf.difference(shelf.everything(named, optimizer), shelf.everything(others, eager)) == []
        assert backend.frame_count == 1 + (at == 3)  # another graph only where a gradient is missing
    optimizer.step(**given)  # its own memory again
    eager.step(**given)
    assert shelf.difference(shelf.everything(named, optimizer), shelf.everything(others, eager)) == []


def test_a_copy_and_a_closure() -> None:
    """A copy of an optimizer steps its own parameters; the closure is part of the graph."""
    named, optimizer, others, eager = pair(SPREAD[0])
    shelf.gradients(named, 0)
    optimizer.step(**shelf.inputs(SPREAD[0].RULE, 0))
    shelf.gradients(others, 0)
    eager.step(**shelf.inputs(SPREAD[0].RULE, 0))
    copied, twin = copy.deepcopy((named, optimizer))
    twin.describe()  # which ties it to its kernels, as a first step does

    def loss_of(params: shelf.Named) -> torch.Tensor:
        loss = torch.stack([(param**2).sum() for _, param in params]).sum()
        loss.backward()
        return loss

    for params, each in ((copied, twin), (others, eager)):
        for _, param in params:
            param.grad = None
        inputs = {name: x for name, x in shelf.inputs(SPREAD[0].RULE, 1).items() if name != "loss"}
        loss = loss_of(params)
        step = torch.compile(each.step, fullgraph=True, backend="eager") if each is twin else each.step
        found = step(lambda loss=loss: loss.detach(), **inputs)
        assert torch.equal(found, loss)
    assert shelf.difference(shelf.everything(copied, twin), shelf.everything(others, eager)) == []
    assert optimizer.global_step == 1


def test_what_a_graph_cannot_follow_is_said() -> None:
    named, optimizer, _, _ = pair(SPREAD[0])
    given = shelf.inputs(SPREAD[0].RULE, 0)
    step = torch.compile(optimizer.step, fullgraph=True, backend="eager")
    shelf.gradients(named, 0)
    step(**given)
    state = optimizer.state[named[0][1]]
    slot = next(name for name in state if name != "step")
    state[slot] = state[slot].clone()
    # torch's compiled text turns gradients off, and an exception finds nothing that turns them on again
    with torch.enable_grad(), pytest.raises(UsageError, match=r"take one step outside torch\.compile"):
        step(**given)
    optimizer.step(**given)
    step(**given)
    assert optimizer.global_step == 3


def test_the_operator_says_what_it_changes() -> None:
    named, optimizer, _, _ = pair(SPREAD[0])
    shelf.gradients(named, 0)
    traced = optimizer._traced
    assert traced is not None
    grads = [param.grad for param in traced.params]
    inputs = [torch.tensor(float(x), dtype=torch.float64) for x in shelf.inputs(SPREAD[0].RULE, 0).values()]
    params = [param.detach() for param in traced.params]
    operator = getattr(torch.ops, torch_compiled.NAMESPACE).step.default
    arguments = (traced.number, params, grads, traced.state, inputs)
    torch.library.opcheck(
        operator, arguments, test_utils=("test_schema", "test_faketensor", "test_aot_dispatch_dynamic")
    )
