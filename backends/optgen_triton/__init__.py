"""Triton kernels for graphics processors: one generated Python module per rule, dtype set and choices."""

from __future__ import annotations

from optgen_triton.backend import backend

__all__ = ["backend"]
