"""A20: state is there before the first step, so that whoever fills in a checkpoint finds every slot to fill."""

from __future__ import annotations

import pytest
import torch
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)

from optgen.runtime.torch_optimizer import Optimizer
from tests.guarantees import shelf


class Model(torch.nn.Module):
    """The small model, as a module whose parameters have its names."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        for name, param in shelf.parameters(seed=seed):
            owner, _, last = name.rpartition(".")
            self.add_module(owner.replace(".", "_"), self._part(owner))
            self._part(owner).register_parameter(last, param)

    def _part(self, owner: str) -> torch.nn.Module:
        return self._modules.get(owner.replace(".", "_")) or torch.nn.Module()


@pytest.mark.parametrize("cls", shelf.CLASSES, ids=shelf.name_of)
def test_the_schema_before_the_first_step_is_that_after_it(cls: type[Optimizer]) -> None:
    def schema(optimizer: Optimizer) -> list[dict[str, tuple[torch.dtype, torch.Size]]]:
        slots = optimizer.state_dict()["state"].values()
        return [{name: (value.dtype, value.shape) for name, value in own.items()} for own in slots]

    named = shelf.parameters()
    optimizer = shelf.make(cls, named)
    before = schema(optimizer)
    assert len(before) == len(named)
    assert all("step" in slots for slots in before)
    shelf.train(optimizer, named, range(2))
    assert schema(optimizer) == before


@pytest.mark.parametrize("flat", [False, True], ids=["by name", "flat"])
@pytest.mark.parametrize("cls", shelf.CLASSES, ids=shelf.name_of)
def test_distributed_checkpoint_s_functions(cls: type[Optimizer], flat: bool) -> None:
    """get_optimizer_state_dict of a trained one, set on a fresh one, bit for bit, and both go on alike."""
    options = StateDictOptions(flatten_optimizer_state_dict=flat)
    net, other = Model(), Model()
    named, fresh = list(net.named_parameters()), list(other.named_parameters())
    optimizer = shelf.make(cls, named)
    shelf.train(optimizer, named, range(2))
    saved = get_optimizer_state_dict(net, optimizer, options=options)
    with torch.no_grad():
        for (_, to), (_, source) in zip(fresh, named, strict=True):
            to.copy_(source)
    again = shelf.make(cls, fresh)
    set_optimizer_state_dict(other, again, saved, options=options)
    assert shelf.difference(shelf.everything(named, optimizer), shelf.everything(fresh, again)) == []
    for each, model in ((optimizer, named), (again, fresh)):
        shelf.train(each, model, range(2, 4))
    assert shelf.difference(shelf.everything(named, optimizer), shelf.everything(fresh, again)) == []
