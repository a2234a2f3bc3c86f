"""How kernels on a graphics processor are launched: the little that libraries of kernels differ in."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Protocol, cast

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


#: Where the launcher of each backend's kernels is.
LAUNCHERS: Mapping[str, str] = {"triton": "optgen.runtime.triton_launch"}


def launcher(module: Module, device: torch.device, *, strict: bool) -> Launcher:
    """What launches a module's kernels. BackendError where no library here does."""
    backend = module.manifest["backend"]
    if backend not in LAUNCHERS:
        raise BackendError(f"{module.path} holds kernels for {backend}; {' and '.join(LAUNCHERS)} are launched here")
    make = cast(LauncherFactory, importlib.import_module(LAUNCHERS[backend]).launcher)
    return make(module.manifest, module.kernels, device, strict=strict)
