"""A14: a rule says what a step depends on; parts of tensors are stepped where that is the whole's step, or refused."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.nn import Parameter

from optgen.errors import GradientError
from optgen.runtime.torch_optimizer import Optimizer
from tests.guarantees import shelf

ELEMENTWISE = [cls for cls in shelf.CLASSES if cls.RULE.reach == "elem" and not cls.RULE.depth]
WIDER = [cls for cls in shelf.CLASSES if cls.RULE.reach != "elem"]

#: Rows of a matrix of seven, cut evenly, unevenly, and with empty shards, as FSDP makes them.
CUTS = [(0, 4, 7), (0, 1, 7), (0, 3, 6, 7, 7), (0, 0, 7)]


def test_there_are_rules_of_either_kind() -> None:
    assert ELEMENTWISE
    assert WIDER


@pytest.mark.parametrize("cuts", CUTS, ids=str)
@pytest.mark.parametrize("cls", ELEMENTWISE, ids=shelf.name_of)
def test_shards_of_elementwise_rules_step_as_the_whole(cls: type[Optimizer], cuts: tuple[int, ...]) -> None:
    whole = torch.randn(7, 5)
    one = [("h.0.weight", Parameter(whole.clone()))]
    parts = [(f"h.0.weight.{i}", Parameter(whole[a:b].clone())) for i, (a, b) in enumerate(pairwise(cuts))]
    alone, sharded = shelf.make(cls, one), shelf.make(cls, parts)
    for step in range(3):
        grad = torch.randn(7, 5)
        one[0][1].grad = grad
        for (_, part), (a, b) in zip(parts, pairwise(cuts), strict=True):
            part.grad = grad[a:b].clone()
        for optimizer in (alone, sharded):
            optimizer.step(**shelf.inputs(cls.RULE, step))
    assert shelf.same_bits(one[0][1].detach(), torch.cat([part.detach() for _, part in parts]))
    for info in cls.RULE.states:
        if info.extent == "elem" and info.name in alone.state[one[0][1]]:
            joined = torch.cat([sharded.state[part][info.name] for _, part in parts])
            assert shelf.same_bits(alone.state[one[0][1]][info.name], joined)


@pytest.mark.parametrize(
    "cls", [c for c in WIDER if c.RULE.reach == "tensor" and not c.RULE.gradients], ids=shelf.name_of
)
def test_the_others_would_not(cls: type[Optimizer]) -> None:
    """What makes a rule more than elementwise shows: were it not so, its kind would be too coarse. (Where tensors have
    several gradients, the one of this test meets no other.)"""
    whole = torch.randn(8, 6) * torch.arange(1.0, 9.0)[:, None]
    one, parts = [("h.0.weight", Parameter(whole.clone()))], [("h.0.weight", Parameter(whole[:2].clone()))]
    for named in (one, parts):
        optimizer = shelf.make(cls, named)
        for step in range(12):
            grad = torch.arange(48.0).add(step).view(8, 6).cos() * torch.arange(1.0, 9.0)[:, None]
            named[0][1].grad = grad[: len(named[0][1])].clone()
            optimizer.step(**shelf.inputs(cls.RULE))
    assert not torch.equal(one[0][1][:2], parts[0][1])


@pytest.fixture(scope="module")
def _mesh() -> Iterator[None]:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("_mesh")
@pytest.mark.parametrize("cls", shelf.CLASSES, ids=shelf.name_of)
def test_distributed_tensors_are_refused_by_name(cls: type[Optimizer]) -> None:
    mesh = init_device_mesh("cpu", (1,))
    for placement in (Shard(0), Replicate()):
        param = Parameter(distribute_tensor(torch.randn(6, 5), mesh, [placement]))
        assert isinstance(param, DTensor)
        reason = "works element by element" if cls.RULE.reach == "elem" else "a part cannot be stepped alone"
        with pytest.raises(GradientError, match=f"w is a DTensor; .*{cls.RULE.class_name} .*{reason}"):
            cls([("w", param)])
