"""Packages that come with an extra of optgen, and what to say where one is missing."""

from __future__ import annotations

from collections.abc import Mapping

#: Extra by the module that it brings.
EXTRAS: Mapping[str, str] = {
    "torch": "torch",
    "numba": "numba",
    "llvmlite": "numba",
    "numba_cuda": "numba-cuda",
    "jax": "jax",
    "optax": "jax",
    "keras": "keras",
    "triton": "triton",
    "safetensors": "state",
    "ml_dtypes": "state",
    "matplotlib": "demo",
}


def missing(error: ImportError) -> str:
    """A sentence about the package whose import failed and how it is had; empty where it is none of an extra."""
    module = (error.name or "").partition(".")[0]
    if not isinstance(error, ModuleNotFoundError) or module not in EXTRAS:
        return ""
    return f'this needs the package {module}, which is not installed: pip install "optgen[{EXTRAS[module]}]"'
