"""The backend as the compiler sees it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from optgen.backend.protocol import Emitted, KernelBackend
from optgen.ir.view import Module
from optgen_triton.emit import emit


class TritonBackend:
    """Kernels over all tensors at once, a launch per sweep. Building needs neither a GPU nor triton."""

    name: str = "triton"
    level: Literal["kernel"] = "kernel"
    devices: tuple[str, ...] = ("cuda",)
    dtypes: tuple[str, ...] = ("float32", "float64", "bfloat16", "float16")
    stages: tuple[str, ...] = ("ttir", "ptx")
    requires: Mapping[str, str] = MappingProxyType({"triton": ">=3.6"})

    def emit(self, module: Module) -> Emitted:
        """A Python module of Triton kernels."""
        described, source = emit(module)
        return Emitted(described, source)

    def assemble(self, source: str, stage: str) -> Mapping[str, str]:
        """The texts of a module's kernels at a stage of Triton's compiler, for compute capability 9.0."""
        from optgen_triton.offline import compile_kernels

        return {name: made.texts[stage] for name, made in compile_kernels(source, "sm_90").items()}

    def interpret(self) -> None:
        """Readies a process in which kernels are interpreted."""
        from optgen_triton.interpreted import prepare

        prepare()


backend: KernelBackend = TritonBackend()
