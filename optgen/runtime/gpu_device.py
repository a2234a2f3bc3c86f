"""What is asked of a graphics processor besides kernels: whether it serves, which is current, whether it records."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import cast

import torch

from optgen.errors import BackendError

#: The least compute capability that kernels are compiled for.
CAPABILITY = (8, 0)
#: The least CUDA version of a driver that runs what is compiled, as the driver counts: 1000 a major version.
DRIVER = 12000


def check(device: torch.device) -> None:
    """Refuses a device that kernels are not compiled for. BackendError names what it has, and what would work."""
    if device.type != "cuda" or torch.version.hip:
        return
    found = torch.cuda.get_device_capability(device)
    if found < CAPABILITY:
        name = torch.cuda.get_device_name(device)
        raise BackendError(
            f"{device} is a {name} of compute capability {found[0]}.{found[1]}; kernels need {CAPABILITY[0]}."
            f"{CAPABILITY[1]} or more: use a newer GPU, or move the model to the CPU"
        )
    driver = driver_version()
    if driver < DRIVER:
        raise BackendError(
            f"the driver of {device} is of CUDA {_shown(driver)}, and kernels need {_shown(DRIVER)} or more: install a "
            "newer NVIDIA driver, or move the model to the CPU"
        )


def driver_version() -> int:
    """The CUDA version of the NVIDIA driver: 1000 times the major plus 10 times the minor version."""
    return int(torch._C._cuda_getDriverVersion())  # type: ignore[attr-defined]  # pyright: ignore


def why_none() -> str:
    """Why torch has no GPU here, in one sentence; empty where it has one."""
    if torch.cuda.is_available():
        return ""
    if not torch.backends.cuda.is_built():
        return f"this torch ({torch.__version__}) is built without CUDA"
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return f"torch finds no GPU: {str(error).partition('. ')[0].rstrip('.')}"
    return "torch finds no GPU"


def guard(device: torch.device) -> AbstractContextManager[object]:
    """Makes a device current inside the block, so that kernels and copies are queued on its current stream."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def capturing(device: torch.device) -> bool:
    """Whether what is queued on the device now is recorded into a CUDA graph instead of run."""
    return device.type == "cuda" and torch.cuda.is_current_stream_capturing()


def pinned(words: int) -> torch.Tensor:
    """Memory of the host, int64[words], that a device copies from while the host goes on."""
    return torch.empty(words, dtype=torch.int64, pin_memory=True)


def copy(target: torch.Tensor, source: torch.Tensor) -> None:
    """Queues a copy that nobody waits for, dtypes and sizes as torch's `copy_` has them.

    This is the operator below that method, which tensors without memory (torch's FakeTensorMode) take as well.
    """
    torch.ops.aten.copy_.default(target, source, True)


def memory(
    address: int, dtype: torch.dtype, shape: Sequence[int], strides: Sequence[int], device: torch.device
) -> torch.Tensor:
    """A tensor over memory of a device that is someone else's; strides in elements. Neither size may be 0."""
    span = 1 + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if device.type == "cuda":
        words = torch.as_tensor(_Words(address, span, dtype.itemsize), device=device).view(dtype)
    else:
        held = memoryview((ctypes.c_char * (span * dtype.itemsize)).from_address(address))
        words = torch.frombuffer(held, dtype=dtype)
    return words.as_strided(tuple(shape), tuple(strides))


def counts(addresses: Sequence[int], device: torch.device) -> list[float]:
    """The float32 numbers at some addresses of a device; waits for it."""
    found = [memory(address, torch.float32, (1,), (1,), device) for address in addresses]
    return cast("list[float]", torch.cat(found).tolist()) if found else []  # pyright: ignore[reportUnknownMemberType]


class _Words:
    """Integers in a GPU's memory, as arrays describe themselves."""

    def __init__(self, address: int, length: int, item: int) -> None:
        typestr = f"<i{item}"
        self.__cuda_array_interface__ = {"shape": (length,), "typestr": typestr, "data": (address, False), "version": 2}


def _shown(version: int) -> str:
    return f"{version // 1000}.{version % 1000 // 10}"
