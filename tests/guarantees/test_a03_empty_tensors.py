"""A3: tensors without elements, wherever they stand, change nothing for their neighbours, and are saved like others."""

from __future__ import annotations

import pytest
import torch
from torch.nn import Parameter

from optgen.runtime.torch_optimizer import Optimizer
from tests.guarantees import shelf


def with_empties(named: shelf.Named) -> shelf.Named:
    """An empty tensor in every layer and shape, before, between and behind the others."""
    shapes = {"first": (0,), "middle": (3, 0), "last": (0, 2, 4)}
    layers = list(dict.fromkeys(name.rpartition(".")[0] for name, _ in named))
    extra = {part: [(f"{owner}.{part}", Parameter(torch.zeros(s))) for owner in layers] for part, s in shapes.items()}
    return [*extra["first"], *named[:2], *extra["middle"], *named[2:], *extra["last"]]


@pytest.mark.parametrize("cls", shelf.CLASSES, ids=shelf.name_of)
def test_neighbours_step_as_without_them(cls: type[Optimizer]) -> None:
    plain, crowded = shelf.parameters(), shelf.parameters()
    alone = shelf.make(cls, plain)
    everyone = with_empties(crowded)
    among = shelf.make(cls, everyone)
    for step in range(3):
        shelf.gradients(plain, step)
        shelf.gradients(crowded, step)
        for name, param in everyone:
            if param.numel() == 0:
                param.grad = None if step == 1 and name.endswith("middle") else torch.zeros_like(param)
        alone.step(**shelf.inputs(cls.RULE, step))
        among.step(**shelf.inputs(cls.RULE, step))
    assert shelf.difference(shelf.everything(plain, alone), shelf.everything(crowded, among)) == []

    again = with_empties(shelf.parameters())
    other = cls(again)
    other.load_state_dict(shelf.through_a_file(among.state_dict()))
    for (_, a), (_, b) in zip(everyone, again, strict=True):
        assert shelf.difference(among.state[a], other.state[b]) == []


@pytest.mark.parametrize("cls", shelf.CLASSES, ids=shelf.name_of)
def test_nothing_but_empty_tensors(cls: type[Optimizer]) -> None:
    """A group of them beside one of others, and alone."""
    named = shelf.parameters()
    empty = [(f"{name}.empty", Parameter(torch.zeros(0))) for name in ("h.0", "h.1")]
    for groups in ([{"params": named}, {"params": empty}], [{"params": empty}]):
        optimizer = shelf.make(cls, groups)  # type: ignore[arg-type]
        shelf.gradients(named, 0)
        for _, param in empty:
            param.grad = torch.zeros(0)
        optimizer.step(**shelf.inputs(cls.RULE))
        assert optimizer.global_step == 1
        assert len(optimizer.state_dict()["state"]) == sum(len(group["params"]) for group in groups)
