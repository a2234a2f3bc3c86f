"""How kernels on a graphics processor are launched: the little that libraries of kernels differ in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch

from optgen.errors import BackendError
from optgen.runtime.kernel_module import Manifest, Module


class Launcher(Protocol):
    """Queues kernels of one module on the current stream of the current device."""

    def __call__(self, kernel: str, programs: int, context: torch.Tensor, *, sweep: bool, **phases: int) -> None:
        """Queues `programs` programs of a kernel.

        context: int64[GpuWord.COUNT] on the device, all that a kernel is told; sweep: it goes over elements, so that
        it may have more threads and registers; phases: `FROM` and `UPTO` of a kernel that runs phases.
        """
        ...


class LauncherFactory(Protocol):
    """`launcher` of a module that serves a library of kernels."""

    def __call__(
        self, manifest: Manifest, kernels: Mapping[str, object], device: torch.device, *, strict: bool
    ) -> Launcher:
        """What launches these kernels on a device; strict: none that contract products and sums.

        BackendError where the library cannot launch there.
        """
        ...


def launcher(module: Module, device: torch.device, *, strict: bool) -> Launcher:
    """What launches a module's kernels. BackendError where no library here does, or none as strict as asked for."""
    return _factory(module)(module.manifest, module.kernels, device, strict=strict)


def _factory(module: Module) -> LauncherFactory:
    """What makes launchers; its library of kernels is imported when there is something to launch."""
    match module.manifest["backend"]:
        case "triton":
            from optgen.runtime.triton_launch import launcher as triton

            return triton
        case "numba-cuda":
            from optgen.runtime.numba_cuda_launch import launcher as numba_cuda

            return numba_cuda
        case backend:
            raise BackendError(
                f"{module.path} holds kernels for {backend}, which nothing here launches: build it again"
            )
