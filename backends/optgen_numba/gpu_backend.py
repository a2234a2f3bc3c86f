"""The backend for graphics processors as the compiler sees it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import numpy as np

from optgen.backend.protocol import Emitted
from optgen.ir.view import Module
from optgen_numba.gpu_emit import emit


class NumbaCudaBackend:
    """Kernels over all tensors at once, a launch per sweep. Building needs neither a GPU nor numba-cuda."""

    name: str = "numba-cuda"
    level: Literal["kernel"] = "kernel"
    devices: tuple[str, ...] = ("cuda",)
    dtypes: tuple[str, ...] = ("float32", "float64", "bfloat16", "float16")
    stages: tuple[str, ...] = ("ptx",)
    requires: Mapping[str, str] = MappingProxyType({"numba": ">=0.60", "numba-cuda": ">=0.20"})

    def emit(self, module: Module) -> Emitted:
        """A Python module of numba-cuda kernels."""
        described, source = emit(module)
        return Emitted(described, source)

    def assemble(self, source: str, stage: str) -> Mapping[str, str]:
        """The texts of a module's kernels at a stage of numba's compiler, for compute capability 9.0."""
        from optgen_numba.gpu_offline import compile_kernels

        assert stage == "ptx", f"numba-cuda has no {stage}"
        return compile_kernels(source, "sm_90")

    def interpret(self) -> None:
        """Readies a process for numba's simulator: it polls its threads, which take turns more often; no warnings."""
        np.seterr(all="ignore")
        sys.setswitchinterval(_TURN)


#: Seconds of a thread's turn.
_TURN = 1e-5

backend = NumbaCudaBackend()
