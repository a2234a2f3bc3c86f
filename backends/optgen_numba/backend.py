"""The backend as the compiler sees it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from optgen.backend.protocol import Backend, Emitted
from optgen.ir.view import Module
from optgen_numba.emit import emit


class NumbaBackend:
    """Kernels for CPUs, in place on the framework's own memory."""

    name: str = "numba"
    level: Literal["kernel"] = "kernel"
    devices: tuple[str, ...] = ("cpu",)
    dtypes: tuple[str, ...] = ("float32", "float64", "bfloat16", "float16")
    requires: Mapping[str, str] = MappingProxyType({"numba": ">=0.60"})

    def emit(self, module: Module) -> Emitted:
        """A Python module of numba functions."""
        manifest, source = emit(module)
        return Emitted(manifest, source)


backend: Backend = NumbaBackend()
