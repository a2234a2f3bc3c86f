"""A1: state keeps its dtype through saving and loading, and a resumed run is the uninterrupted one, bit for bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from optgen.runtime.torch_optimizer import Optimizer
from tests.guarantees import shelf

#: Kernels in float32; float64 through the interpreter, which keeps the same slots and compiles nothing.
KINDS = [(torch.float32, "numba"), (torch.float64, "reference")]


def resumed(cls: type[Optimizer], steps: int, **arguments: Any) -> tuple[shelf.Named, Optimizer]:
    """A run saved after some steps and taken up by a new model and optimizer with other settings."""
    named, optimizer = shelf.trained(cls, steps, **arguments)
    again = shelf.parameters(arguments["dtype"], seed=1)
    with torch.no_grad():
        for (_, to), (_, source) in zip(again, named, strict=True):
            to.copy_(source)
    other = cls(again, backend=arguments["backend"])
    other.load_state_dict(shelf.through_a_file(optimizer.state_dict()))
    return again, other


@pytest.mark.parametrize(("dtype", "backend"), KINDS, ids=["float32", "float64"])
@pytest.mark.parametrize("cls", shelf.CLASSES, ids=shelf.name_of)
def test_resumed_equals_uninterrupted(cls: type[Optimizer], dtype: torch.dtype, backend: str) -> None:
    whole = shelf.trained(cls, 5, dtype=dtype, backend=backend)
    named, optimizer = resumed(cls, 3, dtype=dtype, backend=backend)
    shelf.train(optimizer, named, range(3, 5))
    assert shelf.difference(shelf.everything(*whole), shelf.everything(named, optimizer)) == []


@pytest.mark.parametrize(("dtype", "backend"), KINDS, ids=["float32", "float64"])
@pytest.mark.parametrize("cls", shelf.CLASSES, ids=shelf.name_of)
def test_saving_loading_and_saving_again_changes_no_bit(cls: type[Optimizer], dtype: torch.dtype, backend: str) -> None:
    named, optimizer = shelf.trained(cls, 2, dtype=dtype, backend=backend)
    saved = optimizer.state_dict()["state"]
    _, again = resumed(cls, 2, dtype=dtype, backend=backend)
    loaded = again.state_dict()["state"]
    assert len(saved) == len(named)
    for key, slots in saved.items():
        assert shelf.difference(slots, loaded[key]) == []


@pytest.mark.parametrize("cls", shelf.CLASSES, ids=shelf.name_of)
def test_slots_have_the_dtype_that_the_rule_declares(cls: type[Optimizer]) -> None:
    """Element-wise slots the parameter's, coarser ones float32 or wider, whole numbers int64, a step float32."""
    for dtype, backend in KINDS:
        named, optimizer = shelf.trained(cls, 1, dtype=dtype, backend=backend)
        for _, param in named:
            assert optimizer.state[param]["step"].dtype == torch.float32
            for info in cls.RULE.states:
                if info.name not in optimizer.state[param]:
                    continue
                held = optimizer.state[param][info.name].dtype
                if info.dtype:
                    assert held == getattr(torch, info.dtype)
                elif info.extent == "elem":
                    assert held == dtype
                else:
                    assert held in (torch.int64, torch.float32, torch.float64)


@pytest.mark.parametrize("cls", shelf.CLASSES, ids=shelf.name_of)
def test_a_state_dict_passes_between_backends(cls: type[Optimizer]) -> None:
    _, kernels = shelf.trained(cls, 2)
    other = cls(shelf.parameters(), backend="reference")
    other.load_state_dict(kernels.state_dict())
    back = cls(shelf.parameters())
    back.load_state_dict(other.state_dict())
    for key, slots in kernels.state_dict()["state"].items():
        assert shelf.difference(slots, back.state_dict()["state"][key]) == []
