"""Optimizers on a GPU that is not there: tensors without memory, and kernels that are queued nowhere.

What a step asks of torch is real, so that whatever would wait for the device can be refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from optgen.runtime import gpu_device, gpu_tables, torch_checks

#: What reads a tensor's numbers on the host.
READING = ("aten._local_scalar_dense", "aten.is_nonzero", "aten.equal", "aten.nonzero", "aten.item")


class Refusing(TorchDispatchMode):
    """Refuses what waits for a device: its numbers read on the host, or copied there. Counts everything else."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func)
        assert not name.startswith(READING), f"a step waits: {name}"
        self.seen[name] += 1
        out = func(*args, **(kwargs or {}))
        if name.startswith(("aten._to_copy", "aten.copy_")):
            source = args[1] if "copy_" in name and len(args) > 1 else args[0]
            there = isinstance(source, torch.Tensor) and source.device.type == "cuda"
            assert not (there and out.device.type == "cpu"), f"a step waits: {name} to the host"
        return out


class Launches:
    """Stands for a library of kernels: what would have been queued."""

    def __init__(self) -> None:
        self.kernels: list[str] = []

    def launcher(self, *_: Any, **__: Any) -> Callable[..., None]:
        """What launches kernels: here it writes their names down."""

        def launch(kernel: str, programs: int, context: torch.Tensor, **_: Any) -> None:
            assert context.device.type == "cuda"
            assert programs > 0
            self.kernels.append(kernel)

        return launch


def _memory(_: int, dtype: torch.dtype, shape: Any, strides: Any, device: torch.device) -> torch.Tensor:
    return torch.empty_strided(shape, strides, dtype=dtype, device=device)


@contextmanager
def fake_cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[Launches]:
    """Inside, tensors may be made on "cuda"; numbers on it are looked at as 0.5 while an optimizer is made."""
    launches = Launches()
    monkeypatch.setattr(gpu_tables, "launcher", launches.launcher)
    monkeypatch.setattr(gpu_device, "check", lambda _: None)
    monkeypatch.setattr(gpu_device, "guard", lambda _: nullcontext())
    monkeypatch.setattr(gpu_device, "capturing", lambda _: False)
    monkeypatch.setattr(gpu_device, "pinned", lambda words: torch.empty(words, dtype=torch.int64))
    monkeypatch.setattr(gpu_device, "memory", _memory)
    monkeypatch.setattr(gpu_device, "counts", lambda addresses, _: [0.0] * len(addresses))
    monkeypatch.setattr(torch_checks, "_check_distinct", lambda *_: None)  # all addresses are 0
    with FakeTensorMode():
        yield launches


@contextmanager
def looked_at(value: float) -> Iterator[None]:
    """Inside, numbers on the device are this one: an optimizer looks at them once, when it is made."""
    read = torch_checks.scalar

    def scalar(given: object, where: str) -> object:
        there = isinstance(given, torch.Tensor) and given.device.type == "cuda"
        return value if there else read(given, where)

    torch_checks.scalar = scalar
    try:
        yield
    finally:
        torch_checks.scalar = read
