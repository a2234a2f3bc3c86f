"""The table of all rules on all backends: what is in it, and that a backend that errs turns its cell red."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from optgen.backend.registry import REFERENCE, installed
from optgen.spec.loader import load, shipped
from optgen.verify import matrix
from optgen.verify.matrix import Cell, Column, Job
from tests.cli.support import optgen

#: A rule of elements alone on every backend, and one whose tensors are neighbours where no thread of Python stands for
#: each thread of a device.
SPREAD = [
    (min(shipped(), key=lambda n: len(load(n).states) + len(load(n).text) / 1e6), installed()),
    (next(n for n in shipped() if "laplacian(" in load(n).text), [n for n in installed() if n != "numba-cuda"]),
]


def test_every_backend_and_front_end_is_in_the_table() -> None:
    found = matrix.columns([REFERENCE, *installed()])
    assert {column.backend for column in found} == {REFERENCE, *installed()}
    assert {"torch", "jax"} <= {column.framework for column in found}
    assert [column.name for column in found if column.backend == "triton"] == ["triton (interpreted)"]
    jobs = matrix.jobs(shipped(), found, ["float32", "float64"])
    assert len(jobs) == len(shipped()) * len(found) * 2
    assert matrix.jobs(["lion"], found, ["int8"])[0].column.backend == REFERENCE


@pytest.mark.parametrize(("rule", "backends"), SPREAD, ids=lambda x: x if isinstance(x, str) else "")
def test_a_spread(rule: str, backends: list[str]) -> None:
    """Everything that runs without a device, in float32; the same gradients through each."""
    chosen = [word for name in (REFERENCE, *backends) for word in ("--backend", name)]
    done = optgen("verify", "--all", rule, *chosen, "--dtype", "float32", "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.output)
    assert {"machine", "versions", "date", "command", "shapes", "seed"} <= report.keys()
    names = {column.name for column in matrix.columns([REFERENCE, *backends])}
    assert {(cell["rule"], cell["column"]) for cell in report["cells"]} == {(rule, name) for name in names}
    for cell in report["cells"]:
        assert cell["ok"], cell
        assert not cell["error"]
        assert cell["unbounded"] < 0.01, cell
        assert 0 < cell["share"] <= 1, cell


@pytest.mark.parametrize(("package", "framework"), [("optgen_numba", "torch"), ("optgen_xla", "jax")])
def test_a_wrong_operation_is_seen(
    package: str, framework: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A square root that is off by a part in 10000, in the text that a backend emits."""
    monkeypatch.setenv("OPTGEN_CACHE_DIR", str(tmp_path))
    name = package.removeprefix("optgen_")
    column = Column(name, framework)
    backend = __import__(package).backend
    emit = type(backend).emit

    def wrong(*given: Any) -> Any:
        made = emit(*given)
        assert "sqrt(" in made.source
        return replace(made, source=re.sub(r"\b(j?np\.)?sqrt\(", r"1.0001*\g<0>", made.source))

    monkeypatch.setattr(type(backend), "emit", wrong)
    monkeypatch.setattr(matrix, "columns", lambda _: [column])
    shown = next(n for n in shipped() if "sqrt(" in load(n).text and "laplacian(" not in load(n).text)
    rule = str(tmp_path / "mine.yaml")  # a text of its own, so that nothing made of it is found by others
    Path(rule).write_text(re.sub(r"^name: .*", f"name: mine_{name}", load(shown).text, flags=re.MULTILINE), "utf-8")
    done = optgen("verify", "--all", rule, "--backend", name, "--dtype", "float32")
    assert done.exit_code == 1, done.output
    assert "MISS" in done.output
    assert "1 comparisons, 1 of them missed" in done.output
    assert f" on {column.name}, float32: param of " in done.output


def test_an_interpreter_that_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    work = [Job("lion", Column("triton", "torch", "TRITON_INTERPRET"), dtype) for dtype in ("float32", "float64")]
    cells = list(matrix.run(work))
    assert [cell.ok for cell in cells] == [False, False]
    assert cells[0].error == "the interpreter stopped: exit code 1"


def test_what_cannot_be_made_is_said() -> None:
    job = Job("lion", Column("xla", "jax"), "bfloat16,master")
    assert matrix.cell(job) == Cell(
        "lion",
        "xla (jax)",
        "bfloat16,master",
        ok=False,
        error='UsageError: in JAX state is kept as it is computed, and there is no storage like "bfloat16,master"',
    )
