"""A1 in narrow dtypes: state keeps its own dtype beside narrow parameters, masters are ordinary state."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from optgen.errors import StateError
from optgen.runtime.torch_optimizer import Optimizer
from optgen.torch import AdamW
from tests.guarantees import shelf

NARROW = (torch.bfloat16, torch.float16)
STATE = (torch.float32, *NARROW)
pytestmark = pytest.mark.filterwarnings("ignore:.*without a float32 copy")


def resumed(cls: type[Optimizer], named: shelf.Named, optimizer: Optimizer, **arguments: Any) -> Any:
    """A new model and optimizer that take up a run."""
    again = shelf.parameters(named[0][1].dtype, seed=1)
    with torch.no_grad():
        for (_, to), (_, source) in zip(again, named, strict=True):
            to.copy_(source)
    other = shelf.make(cls, again, **arguments)
    other.load_state_dict(shelf.through_a_file(optimizer.state_dict()))
    return again, other


def check(cls: type[Optimizer], dtype: torch.dtype, **arguments: Any) -> None:
    """A resumed run is the uninterrupted one, and what was saved is saved again."""
    whole = shelf.trained(cls, 5, dtype=dtype, **arguments)
    named, optimizer = shelf.trained(cls, 3, dtype=dtype, **arguments)
    again, other = resumed(cls, named, optimizer, **arguments)
    before, after = optimizer.state_dict()["state"], other.state_dict()["state"]
    for key, slots in before.items():
        assert {k: v.dtype for k, v in slots.items()} == {k: v.dtype for k, v in after[key].items()}
        assert all(torch.equal(value, after[key][name]) for name, value in slots.items())
    shelf.train(other, again, range(3, 5))
    want, got = shelf.everything(*whole), shelf.everything(again, other)
    assert {name: x.dtype for name, x in want.items()} == {name: x.dtype for name, x in got.items()}
    assert [name for name, x in want.items() if not torch.equal(x, got[name])] == []


@pytest.mark.parametrize("masters", [False, True])
@pytest.mark.parametrize("cls", shelf.CLASSES, ids=shelf.name_of)
def test_every_optimizer(cls: type[Optimizer], masters: bool) -> None:
    check(cls, NARROW[masters], backend="reference", master_weights=masters)


@pytest.mark.parametrize("state", STATE)
@pytest.mark.parametrize("dtype", NARROW)
def test_every_pair_of_dtypes(dtype: torch.dtype, state: torch.dtype) -> None:
    check(AdamW, dtype, state_dtype=state)


def test_a_load_does_not_cast() -> None:
    """State of other settings is refused, not rounded."""
    _, optimizer = shelf.trained(AdamW, 2, dtype=torch.bfloat16)
    for given in ({"state_dtype": torch.bfloat16}, {"master_weights": True}):
        other = AdamW(shelf.parameters(torch.bfloat16), **given)
        with pytest.raises(StateError, match=r"torch.bfloat16 of shape|lacks master"):
            other.load_state_dict(optimizer.state_dict())
        assert other.global_step == 0
