"""The backend as the compiler sees it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from optgen.backend.protocol import ArrayBackend, Emitted
from optgen.ir.array_view import Program
from optgen_xla.emit import JAX, KERAS, emit


class XlaBackend:
    """Plain JAX functions, which XLA fuses for CPUs, GPUs and TPUs."""

    name: str = "xla"
    level: Literal["rule"] = "rule"
    devices: tuple[str, ...] = ("cpu", "cuda", "tpu", "rocm")
    dtypes: tuple[str, ...] = ("float32", "float64", "bfloat16", "float16")
    requires: Mapping[str, str] = MappingProxyType({"jax": ">=0.10"})

    #: Front ends that its functions serve, each in its own words.
    frameworks: tuple[str, ...] = ("jax", "keras")

    def emit(self, module: Program, framework: str = "jax") -> Emitted:
        """A Python module of functions and the steps that call them."""
        return Emitted({"rule": module.name}, emit(module, KERAS if framework == "keras" else JAX))


backend: ArrayBackend = XlaBackend()
