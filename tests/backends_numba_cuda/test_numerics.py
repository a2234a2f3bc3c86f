"""numba-cuda kernels against the float64 reference, in numba's simulator: every shipped rule, and the dtypes kept.

The simulator is chosen when numba is imported, so rules run in a process of their own:
one, since importing what it needs takes seconds.
"""

from __future__ import annotations

import json

import pytest

from tests.programs import check_reports, lines_of, on_devices

pytest.importorskip("numba_cuda")

#: Dtypes, and rules that between them have reductions, a graph, rows and columns, and several variants.
DTYPES = {
    "float32": ["tests/backends_triton/folds.yaml"],
    "mixed": ["neat"],
    "float64": ["adafactor"],
    "bfloat16": ["adafactor", "neat"],
    "bfloat16,master": ["adamw"],
    "float16,g=float32": ["adamw"],
    "bfloat16,stochastic": ["adamw"],
}


def simulated(program: str, *arguments: str) -> list[str]:
    """What a program of this folder prints."""
    return lines_of(f"tests.backends_numba_cuda.{program}", arguments, {"NUMBA_ENABLE_CUDASIM": "1"})


def test_every_rule_and_dtype() -> None:
    work = on_devices(DTYPES)
    check_reports(simulated("simulated", *work), work)


def test_memory_chunks_groups_and_random_bits() -> None:
    """Tensors lie in memory as they like, totals are of all chunks, random bits are those of every backend."""
    (line,) = simulated("simulated_layouts")
    assert json.loads(line) == []


def test_arrays_of_no_framework() -> None:
    """An array is known by its interface alone: its memory changes in place."""
    (line,) = simulated("simulated_arrays")
    assert json.loads(line) == []
