"""What a step of every shipped rule does besides its kernels: nothing that grows."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
import torch
from torch.nn import Parameter
from torch.utils._python_dispatch import TorchDispatchMode

import optgen.torch
from optgen.runtime.pool import run_step
from optgen.spec import loader
from tests.guarantees import counting
from tests.programs import calls_a_library, runs_of

RULES = {loader.load(name).class_name: name for name in loader.shipped()}
#: A library allocates what it works with.
KERNELS_ONLY = [rule for rule, name in RULES.items() if not calls_a_library(name)]


def optimizer(rule: str, count: int = 6, shape: tuple[int, ...] = (24, 16)) -> tuple[Any, list[Parameter]]:
    """The rule on parameters in layers of two tensors, each with a gradient."""
    params = [Parameter(torch.randn(shape if i % 2 == 0 else shape[:1])) for i in range(count)]
    named = [(f"h.{i // 2}.{'weight' if i % 2 == 0 else 'bias'}", p) for i, p in enumerate(params)]
    for p in params:
        p.grad = torch.randn_like(p)
    return getattr(optgen.torch, rule)(named, lr=1e-2, weight_decay=0.1), params


class Operations(TorchDispatchMode):
    """Collects the tensor operations issued."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace != "profiler":
            self.names.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("rule", KERNELS_ONLY)
def test_no_tensor_operation_but_views(rule: str) -> None:
    optimizer_, params = optimizer(rule)
    optimizer_.step()
    params[1].grad = None
    optimizer_.param_groups[0]["lr"] = 5e-3
    with Operations() as seen:
        optimizer_.step()
    assert [name for name in seen.names if not name.startswith(("aten.view", "aten.detach", "aten.alias"))] == []


@pytest.mark.parametrize("rule", RULES)
def test_calls_into_compiled_code_do_not_grow(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def counted(*args: Any) -> int:
        calls.append(run_step(*args))
        return calls[-1]

    monkeypatch.setattr("optgen.runtime.tables.run_step", counted)
    found: list[list[int]] = []
    for count, shape in ((2, (24, 16)), (80, (24, 16)), (4, (2000, 300))):
        calls.clear()
        optimizer_, _ = optimizer(rule, count, shape)
        optimizer_.add_param_group({"params": [("tail.weight", Parameter(torch.randn(5)))], "lr": 1e-3})
        optimizer_.param_groups[1]["params"][0].grad = torch.randn(5)
        optimizer_.step()
        found.append(list(calls))
    few, many, large = found
    assert few == many
    assert len(few) == runs_of(RULES[rule]), "one run of the driver for all tensors and groups"
    assert large[0] <= 1 + 4 * torch.get_num_threads() * 3, "a few calls per sweep and thread"


@pytest.mark.parametrize("rule", KERNELS_ONLY)
@pytest.mark.parametrize("strided", [False, True])
def test_no_memory_grows_with_the_parameters(rule: str, strided: bool) -> None:
    params = [Parameter(torch.randn(1024, 1024)) for _ in range(2)]
    for p in params:
        p.grad = torch.randn(1024, 1024).t() if strided else torch.randn(1024, 1024)
    optimizer_ = getattr(optgen.torch, rule)([("a.w", params[0]), ("b.w", params[1])], lr=1e-2)
    for _ in range(2):
        optimizer_.step()
    for p in params:
        p.grad = p.grad.clone() if p.grad is not None else None
    optimizer_.step()
    with Operations() as seen:  # apart from the measurement: torch imports what its modes need on first use
        optimizer_.step()
    assert seen.names == [], "torch allocated nothing"
    tracemalloc.start()
    optimizer_.step()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 17, f"{peak} bytes of Python and NumPy memory for 2^21 parameters"


@pytest.mark.parametrize("rule", RULES)
def test_nothing_compiles_after_the_second_step(rule: str) -> None:
    optimizer_, params = optimizer(rule)
    group = optimizer_.param_groups[0]
    for _ in range(2):
        optimizer_.step()
    with counting.compiles() as compiled:
        for step in range(4):
            for key, value in list(group.items()):
                if isinstance(value, float) and key != "momentum":
                    group[key] = value * 0.9
            params[step].grad = None
            optimizer_.step()
    assert compiled == []


@pytest.mark.parametrize("rule", RULES)
def test_two_runs_give_the_same_bits(rule: str) -> None:
    def run() -> list[torch.Tensor]:
        torch.manual_seed(3)
        optimizer_, params = optimizer(rule, 8, (300, 70))
        for _ in range(4):
            for p in params:
                p.grad = torch.randn_like(p)
            optimizer_.step()
        return [p.detach() for p in params]

    assert all(torch.equal(a, b) for a, b in zip(run(), run(), strict=True))
