"""A6: how parameters and gradients lie in memory changes no bit, and nothing outside of a view is touched."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from optgen.errors import GradientError
from optgen.runtime.torch_optimizer import Optimizer
from tests.guarantees import shelf

SHAPE = (4, 3, 2, 5)
GUARD = -77.0


def contiguous(x: Tensor) -> tuple[Tensor, Tensor]:
    return (kept := x.clone()), kept


def transposed(x: Tensor) -> tuple[Tensor, Tensor]:
    base = x.permute(3, 2, 1, 0).contiguous()
    return base.permute(3, 2, 1, 0), base


def channels_last(x: Tensor) -> tuple[Tensor, Tensor]:
    return (kept := x.clone(memory_format=torch.channels_last)), kept


def sliced(x: Tensor) -> tuple[Tensor, Tensor]:
    base = torch.full((*x.shape, 2), GUARD)
    base[..., 0] = x
    return base[..., 0], base


def offset(x: Tensor) -> tuple[Tensor, Tensor]:
    base = torch.full((x.numel() + 7,), GUARD)
    base[3 : 3 + x.numel()] = x.flatten()
    return base[3 : 3 + x.numel()].view(x.shape), base


def misaligned(x: Tensor) -> tuple[Tensor, Tensor]:
    """One element behind an address of 64 bytes' alignment."""
    base = torch.full((x.numel() + 40,), GUARD)
    start = (-base.data_ptr() // base.element_size()) % 16 + 1
    base[start : start + x.numel()] = x.flatten()
    return base[start : start + x.numel()].view(x.shape), base


def expanded(x: Tensor) -> tuple[Tensor, Tensor]:
    base = x[:, :1].clone()
    return base.expand(x.shape), base


LAYOUTS: list[Callable[[Tensor], tuple[Tensor, Tensor]]] = [
    contiguous,
    transposed,
    channels_last,
    sliced,
    offset,
    misaligned,
]
PAIRS = [(of_param, of_grad) for of_param in LAYOUTS for of_grad in [*LAYOUTS, expanded]]


def values(seed: int) -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("cls", shelf.CLASSES, ids=shelf.name_of)
def test_every_pair_of_layouts_gives_the_same_bits(cls: type[Optimizer]) -> None:
    """All pairs in one model, two tensors to a layer, against the same model in contiguous memory."""
    plain: shelf.Named = []
    named: shelf.Named = []
    bases: list[Tensor] = []
    for i, (of_param, _) in enumerate(PAIRS):
        name = f"h.{i // 2}.{'weight' if i % 2 == 0 else 'other'}"
        plain.append((name, Parameter(values(i))))
        view, base = of_param(values(i))
        param = Parameter(view)
        assert param.data_ptr() == view.data_ptr()
        named.append((name, param))
        bases.append(base)
    with torch.no_grad():
        before = [base.clone() for base in bases]
    alone, optimizer = shelf.make(cls, plain), shelf.make(cls, named)
    for step in range(2):
        for i, (_, of_grad) in enumerate(PAIRS):
            grad = of_grad(values(1000 * step + 500 + i))[0]
            plain[i][1].grad = grad.contiguous()
            named[i][1].grad = grad
        for each in (alone, optimizer):
            each.step(**shelf.inputs(cls.RULE, step))
    a = {name: value.contiguous() for name, value in shelf.everything(plain, alone).items()}
    b = {name: value.contiguous() for name, value in shelf.everything(named, optimizer).items()}
    assert shelf.difference(a, b) == []
    for was, base in zip(before, bases, strict=True):
        assert torch.equal(was == GUARD, base == GUARD)


@pytest.mark.parametrize("cls", shelf.CLASSES, ids=shelf.name_of)
def test_parameters_that_overlap_are_refused(cls: type[Optimizer]) -> None:
    whole = torch.randn(8, 3)
    with pytest.raises(GradientError, match=r"h.0.weight and h.1.weight share memory"):
        shelf.make(cls, [("h.0.weight", Parameter(whole[:5])), ("h.1.weight", Parameter(whole[4:]))])
    with pytest.raises(GradientError, match="several elements in one place"):
        shelf.make(cls, [("h.0.weight", Parameter(torch.randn(3, 1).expand(3, 4)))])
