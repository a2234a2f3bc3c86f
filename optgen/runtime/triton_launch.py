"""Launching of Triton kernels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, cast

import torch

from optgen.errors import BackendError
from optgen.runtime import gpu_abi
from optgen.runtime.gpu_launch import Launcher
from optgen.runtime.kernel_module import Manifest


class _Queued(Protocol):
    def __call__(self, context: torch.Tensor, **options: int) -> object: ...


class Kernel(Protocol):
    """A Triton kernel: `kernel[grid](context, NAME=constant, num_warps=4)`."""

    def __getitem__(self, grid: tuple[int, ...]) -> _Queued: ...


def launcher(manifest: Manifest, kernels: Mapping[str, object], device: torch.device, *, strict: bool) -> Launcher:
    """What launches these kernels. BackendError where triton finds no driver of a GPU."""
    if device.type == "cuda":
        check()
    made = cast("Mapping[str, Kernel]", kernels)
    # warps of AMD's data-centre processors are twice as wide, and have registers enough
    halves = 2 if torch.version.hip else 1
    limits = {} if torch.version.hip else {"maxnreg": gpu_abi.REGISTERS}
    warps = {True: manifest.get("warps", gpu_abi.WARPS), False: gpu_abi.WARPS}

    def launch(kernel: str, programs: int, context: torch.Tensor, *, sweep: bool, **phases: int) -> None:
        options = {"num_warps": max(warps[sweep] // halves, 1), "enable_fp_fusion": not strict}
        made[kernel][(programs,)](context, **options, **(limits if sweep else {}), **phases)

    return launch


def check() -> None:
    """BackendError where triton cannot launch: it looks for a driver, and compiles its own part of it, on its own."""
    from triton.runtime import driver

    try:
        driver.active.get_current_target()
    except Exception as error:  # of whatever it is that triton lacks: a driver, a C compiler, libcuda
        raise BackendError(
            f"triton cannot launch kernels here: {error}. It needs the NVIDIA (or ROCm) driver and a C compiler; "
            "install them, or move the model to the CPU"
        ) from error
