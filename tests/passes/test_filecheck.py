"""Passes on small texts: each file says which pass to run on it and, as FileCheck directives, what comes out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from xdsl.dialects.builtin import ModuleOp

from optgen.ir import rule_dialect as rule
from optgen.ir.extents import Extent
from optgen.ir.text import from_text, to_text
from optgen.passes.expand_graph import expand_graph
from optgen.passes.lower import Header, lower
from optgen.passes.master_weights import master_weights
from optgen.passes.pipeline import program_of
from optgen.passes.problem import Storage, plan_all
from optgen.passes.reduction_algebra import reduction_algebra
from optgen.passes.specialise import specialise
from optgen.passes.split_reductions import split_reductions
from optgen.passes.stable_scalars import stable_scalars
from optgen.passes.stochastic_rounding import stochastic_rounding

FILES = sorted((Path(__file__).parent / "filecheck").glob("*.mlir"))
FLOAT32 = Storage.plain("float32")


def lowered(module: ModuleOp) -> ModuleOp:
    """Planned and lowered, with the state that a program beside the variants declares."""
    variants = [op for op in module.body.block.ops if isinstance(op, rule.VariantOp)]
    states = [op for op in module.walk() if isinstance(op, rule.DeclareStateOp)]
    elements = [op.sym_name.data for op in states if op.extent.data is Extent.ELEM]
    header = Header("r", "R", "trailing", "", {}, [], [])
    return lower(header, states, plan_all(variants, FLOAT32, elements), FLOAT32)


def setting(word: str) -> float | str:
    """The value of a hyper: a number, or a choice."""
    return float(word) if word.replace(".", "").isdigit() else word


PASSES: Mapping[str, Callable[[ModuleOp, Mapping[str, str]], ModuleOp]] = {
    "settle": lambda m, args: specialise(program_of(m), {k: setting(v) for k, v in args.items()}).module,
    "expand-graph": lambda m, args: expand_graph(m, args["coupling"]),
    "stable-scalars": lambda m, _: stable_scalars(m),
    "reduction-algebra": lambda m, _: reduction_algebra(m, FLOAT32, []),
    "split-reductions": lambda m, _: split_reductions(m),
    "lower": lambda m, _: lowered(m),
    "master-weights": lambda m, _: master_weights(m),
    "stochastic-rounding": lambda m, args: stochastic_rounding(m, spared=args.get("spared", "").split(",")),
}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_pass(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    name, *words = text.splitlines()[0].removeprefix("// RUN: ").split()
    module = from_text(text, file.name)
    result = PASSES[name](module, dict(word.split("=") for word in words))
    out = to_text(result, locations=False)
    assert to_text(from_text(out), locations=False) == out
    command = [sys.executable, "-m", "filecheck", str(file)]
    done = subprocess.run(command, input=out, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{out}"


def test_every_pass_has_a_file() -> None:
    assert {file.read_text(encoding="utf-8").splitlines()[0].split()[2] for file in FILES} == set(PASSES)
