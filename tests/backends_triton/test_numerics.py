"""Triton kernels against the float64 reference, in triton's interpreter: every shipped rule, and the dtypes kept.

Interpreting and compiling do not mix in a process, so rules run in a process of their own:
one, since importing what it needs takes seconds.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.programs import ROOT, check_reports, lines_of, on_devices, query

pytest.importorskip("triton")

#: Dtypes, and rules that between them have reductions, a graph, rows and columns, and several variants; and sums over a
#: matrix, a tensor, a layer and the model in one text.
DTYPES = {
    "float32": [str(Path(__file__).with_name("folds.yaml").relative_to(ROOT))],
    "float64": [query("nce_players", {"player_count": 3})],  # numbers that float32 does not hold
    "mixed": ["neat"],
    "bfloat16": ["adafactor", "neat"],
    "bfloat16,master": ["adamw"],
    "float16,g=float32": ["adamw"],
    "bfloat16,stochastic": ["adamw"],
}


def interpreting(program: str, *arguments: str) -> list[str]:
    """What a program of this folder prints, in a process whose kernels triton interprets."""
    return lines_of(f"tests.backends_triton.{program}", arguments, {"TRITON_INTERPRET": "1"}, without="TRITON_")


def test_every_rule_and_dtype() -> None:
    work = on_devices(DTYPES)
    check_reports(interpreting("interpreted", *work), work)


def test_memory_and_random_bits() -> None:
    """Tensors may lie in memory as they like, and random bits are those of every backend."""
    (line,) = interpreting("interpreted_layouts")
    assert json.loads(line) == []


def test_graphs_repeat_steps_and_memory_may_move() -> None:
    """What a CUDA graph of a step would repeat follows what changes in place; addresses follow what is replaced."""
    (line,) = interpreting("interpreted_frontend")
    assert json.loads(line) == []
