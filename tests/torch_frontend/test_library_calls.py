"""Kernels that call a library between sweeps: what is stacked, where scratch lies, what an exception leaves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import Parameter

import optgen.jax
from optgen.errors import HyperError, PartialStepError
from optgen.runtime.torch_library import TorchLibrary
from optgen.torch import AdamW, Muon, Nested

SHAPES = ((8, 5), (8, 5), (3, 9), (8, 5), (4, 2, 3), (7,), (0, 4))


class Counted:
    """The library, and the shapes it was called with; it raises in the calls of `cut`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.cut: list[BaseException] = []
        real = TorchLibrary.call

        def call(library: TorchLibrary, function: str, x: Any, numbers: Any, out: Any) -> None:
            self.shapes.append(x.shape)
            if self.cut:
                raise self.cut.pop()
            real(library, function, x, numbers, out)

        monkeypatch.setattr(TorchLibrary, "call", call)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """Calls of the library."""
    return Counted(monkeypatch)


def parameters(dtype: torch.dtype = torch.float32) -> list[Parameter]:
    """The same numbers on every call."""
    generator = torch.Generator().manual_seed(3)
    return [Parameter(torch.randn(shape, generator=generator).to(dtype)) for shape in SHAPES]


def give_gradients(params: list[Parameter], step: int, missing: tuple[int, ...] = ()) -> None:
    """The same for the same step."""
    generator = torch.Generator().manual_seed(100 + step)
    for i, param in enumerate(params):
        grad = torch.randn(param.shape, generator=generator).to(param.dtype)
        param.grad = None if i in missing else grad


def test_tensors_of_one_shape_are_one_call(counted: Counted) -> None:
    params = parameters()
    optimizer = Muon(params, lr=0.1)
    give_gradients(params, 0)
    optimizer.step()
    assert sorted(counted.shapes) == [(1, 3, 9), (1, 4, 6), (3, 8, 5)]
    counted.shapes.clear()
    give_gradients(params, 1, missing=(0, 2))
    optimizer.step()
    assert sorted(counted.shapes) == [(1, 4, 6), (2, 8, 5)]


def test_together_and_alone_are_the_same() -> None:
    """Also where the tensors that step are not neighbours in scratch, and lie in memory otherwise than row by row."""
    together, alone = parameters(), parameters()
    together[3] = Parameter(together[3].detach().t().contiguous().t())
    one = Muon(together, lr=0.1, nesterov=False)
    many = [Muon([param], lr=0.1, nesterov=False) for param in alone]
    for step in range(3):
        missing = (1,) if step == 1 else ()
        give_gradients(together, step, missing)
        give_gradients(alone, step, missing)
        one.step()
        for optimizer in many:
            optimizer.step()
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=2e-5)


def test_vectors_and_named_groups_get_the_other_rule() -> None:
    """To the bit what that rule's own class does."""
    ours, theirs, named = parameters(), parameters(), parameters()
    given = _known({"adamw_lr": 0.02, "adamw_weight_decay": 0.3, "adamw_betas": (0.8, 0.95)})
    optimizer = Muon([{"params": ours[:2]}, {"params": ours[2:], "rule": "adamw"}], **given)
    names = [(f"{'body' if k < 2 else 'head'}.{k}", param) for k, param in enumerate(named)]
    by_name = Muon(names, rules={"head.*": "adamw"}, **given)
    other = AdamW(theirs[2:], lr=0.02, weight_decay=0.3, betas=(0.8, 0.95))
    for step in range(3):
        give_gradients(ours, step)
        give_gradients(theirs, step)
        give_gradients(named, step)
        for each in (optimizer, other, by_name):
            each.step()
    for a, b in zip(ours[2:], theirs[2:], strict=True):
        assert torch.equal(a, b)
    assert set(optimizer.state[ours[0]]) == {"m", "step"}
    assert not torch.equal(ours[0], theirs[0])
    assert all(torch.equal(a, b) for a, b in zip(ours, named, strict=True))
    with pytest.raises(HyperError, match=r'rule of parameter head\.2 \(rules\) must be one of .*did you mean "adamw"'):
        Muon(names, rules={"head.2": "adam"})


def _known(given: dict[str, Any]) -> dict[str, Any]:
    """Betas one by one: only a rule's own are joined to torch's tuple."""
    beta1, beta2 = given.pop("adamw_betas")
    return {**given, "adamw_beta1": beta1, "adamw_beta2": beta2}


def test_narrow_storage_and_two_dtypes_at_once() -> None:
    """What is stored in bfloat16 is no operand: it was rounded. Kernels of both dtypes share their tables."""
    wide, narrow, double = (parameters(dtype) for dtype in (torch.float32, torch.bfloat16, torch.float64))
    optimizer = Muon([*wide, *narrow], lr=0.1, nesterov=False)
    exact = Muon(double, lr=0.1, nesterov=False)
    for step in range(2):
        for params in (wide, narrow, double):
            give_gradients(params, step)
        optimizer.step()
        exact.step()
    for a, b, c in zip(wide, narrow, double, strict=True):
        torch.testing.assert_close(a.double(), c, rtol=0, atol=2e-5)
        torch.testing.assert_close(b.double(), c, rtol=0.02, atol=0.05)


@pytest.mark.parametrize("cut", [KeyboardInterrupt(), MemoryError()], ids=["interrupt", "memory"])
def test_an_exception_in_a_call(counted: Counted, cut: BaseException) -> None:
    """The step is finished, once, and its exception goes on: all of it is there."""
    params, others = parameters(), parameters()
    optimizer, whole = Muon(params, lr=0.1), Muon(others, lr=0.1)
    counted.cut = [cut]
    for step in range(2):
        give_gradients(params, step)
        give_gradients(others, step)
        if step:
            whole.step()
            optimizer.step()
            break
        with pytest.raises(type(cut)):
            optimizer.step()
        whole.step()
    assert optimizer.global_step == 2
    for a, b in zip(params, others, strict=True):
        assert torch.equal(a, b)


def test_an_exception_that_stays(counted: Counted) -> None:
    params = parameters()
    optimizer = Muon(params, lr=0.1)
    counted.cut = [MemoryError(), MemoryError()]
    give_gradients(params, 0)
    with pytest.raises(PartialStepError, match=r"m is stored"):
        optimizer.step()


def test_gradients_lie_where_they_lie(counted: Counted) -> None:
    """A gradient is an operand itself, whatever its strides; as published, a rank above the matrix leaves it whole."""
    a, b = parameters()[:4], parameters()[:4]
    first = Nested(a, lr=0.1, use_gradient_compression=True, compression_rank=2, intervals=[1] * 4)
    second = Nested(b, lr=0.1, use_gradient_compression=True, compression_rank=2, intervals=[1] * 4)
    for step in range(2):
        give_gradients(a, step)
        give_gradients(b, step)
        for param in b:
            assert param.grad is not None
            param.grad = param.grad.t().contiguous().t()
        first.step()
        second.step()
    for one, two in zip(a, b, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-6)
        kept = first.state[one]["s"]
        assert np.linalg.matrix_rank(kept.numpy(), tol=1e-5) <= 4  # the sum of two of rank 2
    whole, plain = parameters()[:1], parameters()[:1]
    published: Any = {"lr": 0.1, "intervals": [1], "compat": "reference"}
    capped = Nested(whole, **published, use_gradient_compression=True, compression_rank=9)
    uncompressed = Nested(plain, **published)
    give_gradients(whole, 0)
    give_gradients(plain, 0)
    capped.step()
    uncompressed.step()
    assert torch.equal(capped.state[whole[0]]["s"], uncompressed.state[plain[0]]["s"])


def test_a_rank_above_a_matrix_is_refused() -> None:
    """When made, and where the rank of a group changes; a vector has none, and neither has a matrix of nothing."""
    given: Any = {"lr": 0.1, "use_gradient_compression": True, "intervals": [1]}
    words = r"Nested: {} breaks the condition .*\(use_gradient_compression = True, compression_rank = {}, .*{}.*rows"
    with pytest.raises(HyperError, match=words.format("parameter 0 of group 0", 6, "compat = 'ours', numel")):
        Nested(parameters()[:1], compression_rank=6, **given)
    params = [*parameters()[:1], *parameters()[5:]]  # a vector, and a matrix of nothing
    given |= {"intervals": [1, 1, 1]}
    optimizer = Nested(params, compression_rank=5, **given)
    give_gradients(params, 0)
    optimizer.step()
    kept = params[0].detach().clone()
    optimizer.param_groups[0]["compression_rank"] = 6
    with pytest.raises(HyperError, match=words.format("parameter 0 of group 0", 6, "")):
        optimizer.step()
    assert torch.equal(params[0], kept)
    with pytest.raises(HyperError, match=words.format("block/w", 3, "")):
        optgen.jax.nested(0.1, use_gradient_compression=True, compression_rank=3, order=["block"]).init(
            {"block": {"w": np.ones((2, 9), np.float32)}}
        )


def test_no_scratch_is_saved() -> None:
    params = parameters()
    optimizer = Muon(params, lr=0.1)
    give_gradients(params, 0)
    optimizer.step()
    assert set(optimizer.state[params[0]]) == {"m", "step"}
    assert set(optimizer.state[params[5]]) == {"adamw_m", "adamw_v", "step"}
