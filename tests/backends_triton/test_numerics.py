"""Triton kernels against the float64 reference, in triton's interpreter: every shipped rule, and the dtypes kept.

Interpreting and compiling do not mix in a process, so rules run in processes of their own, several at a time.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from optgen.spec.loader import shipped
from tests.programs import ROOT, besides, calls_a_library, check_reports, lines_of

pytest.importorskip("triton")

#: Processes that share the rules: importing what they need takes seconds.
SHARES = 4


def interpreting(program: str, *arguments: str) -> list[str]:
    """What a program of this folder prints, in a process whose kernels triton interprets."""
    return lines_of(f"tests.backends_triton.{program}", arguments, {"TRITON_INTERPRET": "1"}, without="TRITON_")


def interpreted(dtype: str, rules: list[str]) -> None:
    """Fails with the reports of the rules that do not agree."""
    check_reports(interpreting("interpreted", dtype, *rules), rules)


@pytest.mark.parametrize("share", range(SHARES))
def test_every_rule_in_float32(share: int) -> None:
    plain = [rule for rule in shipped() if not calls_a_library(rule)]
    interpreted("float32", [*plain, *besides()][share::SHARES])


@pytest.mark.parametrize("dtype", ["mixed", "bfloat16", "bfloat16,master", "float16,g=float32", "bfloat16,stochastic"])
def test_other_dtypes(dtype: str) -> None:
    """Of rules that between them have reductions, a graph, rows and columns, and several variants."""
    chosen = {"mixed": ["neat"], "bfloat16": ["adafactor", "neat"]}.get(dtype, ["adamw"])
    interpreted(dtype, chosen)


def test_folds_of_rows_columns_and_matrices() -> None:
    """Over a matrix, a tensor, a layer and the model: no shipped rule has them all."""
    interpreted("float32", [str(Path(__file__).with_name("folds.yaml").relative_to(ROOT))])


def test_memory_and_random_bits() -> None:
    """Tensors may lie in memory as they like, and random bits are those of every backend."""
    (line,) = interpreting("interpreted_layouts")
    assert json.loads(line) == []


def test_graphs_repeat_steps_and_memory_may_move() -> None:
    """What a CUDA graph of a step would repeat follows what changes in place; addresses follow what is replaced."""
    (line,) = interpreting("interpreted_frontend")
    assert json.loads(line) == []
