"""Numba kernels for CPUs: one generated Python module per rule, dtype set and choices."""

from __future__ import annotations

from optgen_numba.backend import backend

__all__ = ["backend"]
