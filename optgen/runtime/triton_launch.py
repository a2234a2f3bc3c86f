"""Launching of Triton kernels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, cast

import torch

from optgen.runtime import gpu_abi
from optgen.runtime.gpu_launch import Launcher
from optgen.runtime.kernel_module import Manifest


class _Queued(Protocol):
    def __call__(self, context: torch.Tensor, **options: int) -> object: ...


class Kernel(Protocol):
    """A Triton kernel: `kernel[grid](context, NAME=constant, num_warps=4)`."""

    def __getitem__(self, grid: tuple[int, ...]) -> _Queued: ...


def launcher(manifest: Manifest, kernels: Mapping[str, object], *, strict: bool) -> Launcher:
    """What launches these kernels."""
    made = cast("Mapping[str, Kernel]", kernels)
    # warps of AMD's data-centre processors are twice as wide, and have registers enough
    halves = 2 if torch.version.hip else 1
    limits = {} if torch.version.hip else {"maxnreg": gpu_abi.REGISTERS}
    warps = {True: manifest.get("warps", gpu_abi.WARPS), False: gpu_abi.WARPS}

    def launch(kernel: str, programs: int, context: torch.Tensor, *, sweep: bool, **phases: int) -> None:
        options = {"num_warps": max(warps[sweep] // halves, 1), "enable_fp_fusion": not strict}
        made[kernel][(programs,)](context, **options, **(limits if sweep else {}), **phases)

    return launch
