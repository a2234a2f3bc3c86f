"""Launching of numba-cuda kernels, on the stream that torch queues its own on."""

# numba has no type information: everything that touches it here is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Protocol, cast

import torch

from optgen.errors import BackendError
from optgen.runtime import gpu_abi
from optgen.runtime.gpu_launch import Launcher
from optgen.runtime.kernel_module import Manifest
from optgen.runtime.numba_cuda_library import CELLS, SIMULATED

#: Threads of a program where threads of Python stand for them: two, for the sake of what threads share.
_SIMULATED_THREADS = 2


class _Queued(Protocol):
    def __call__(self, *arguments: int) -> object: ...


class Kernel(Protocol):
    """A kernel of numba-cuda: `kernel[programs, threads, stream, shared bytes](address of context, ...)`."""

    def __getitem__(self, configuration: tuple[int, int, object, int]) -> _Queued: ...


def launcher(manifest: Manifest, kernels: Mapping[str, object], device: torch.device, *, strict: bool) -> Launcher:
    """What launches these kernels. BackendError where numba finds no driver of a GPU, and for strict ones: numba-cuda
    cannot be told not to contract."""
    if device.type == "cuda":
        check()
    if strict:
        raise BackendError(
            "numba-cuda contracts products and sums, which strict=True rules out; backends that can keep to it are "
            '"triton" and, on CPUs, "numba"'
        )
    made = cast("Mapping[str, Kernel]", kernels)
    shared = {True: shared_bytes(manifest), False: 0}

    def launch(kernel: str, programs: int, context: torch.Tensor, *, sweep: bool, **phases: int) -> None:
        threads = _SIMULATED_THREADS if SIMULATED else 32 * warps(manifest, sweep=sweep)
        stream = _stream(_current(context.device))
        made[kernel][programs, threads, stream, shared[sweep]](context.data_ptr(), *phases.values())

    return launch


def check() -> None:
    """BackendError where numba-cuda cannot launch: it looks for a driver and for the compiler's libraries itself."""
    from numba import cuda
    from numba.cuda.cudadrv import nvvm

    try:
        cuda.current_context()
        nvvm.NVVM()
    except Exception as error:  # of whatever it is that numba lacks: a driver, libnvvm
        raise BackendError(
            f"numba-cuda cannot launch kernels here: {error}. It needs the NVIDIA driver and the libraries nvvm and "
            'nvrtc (pip install "numba-cuda[cu13]"); install them, or use the backend "triton" or a CPU'
        ) from error


def warps(manifest: Manifest, *, sweep: bool) -> int:
    """Warps of a program."""
    return manifest.get("warps", gpu_abi.WARPS) if sweep else gpu_abi.WARPS


def shared_bytes(manifest: Manifest) -> int:
    """Memory that the threads of a sweep's program share: cells for each total of columns, or for all others."""
    sweeps = [sweep for variant in manifest["variants"] for sweep in variant["sweeps"] if sweep is not None]
    columns = max((sum(stream[0] == "col_total" for stream in sweep["streams"]) for sweep in sweeps), default=0)
    totals = max((len(sweep["totals"]) for sweep in sweeps), default=0)
    item = 8 if manifest["dtype"]["compute"] == "float64" else 4
    return item * CELLS * max(columns, 1 if totals else 0)


def _current(device: torch.device) -> int:
    """Handle of the stream that torch uses now; of the default stream where there is no GPU."""
    return torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else 0


@lru_cache(maxsize=64)
def _stream(handle: int) -> Any:
    """A stream of numba's: it is of torch's making, and neither waits for the other."""
    from numba import cuda

    return cuda.external_stream(handle) if handle else 0
