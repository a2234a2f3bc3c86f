"""The triton emitter: its only input is kernel IR, its text is valid and repeatable, and names only what there is."""

from __future__ import annotations

import ast
import hashlib
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from xdsl.dialects.builtin import ModuleOp

from optgen.ir.text import from_text, to_text
from optgen.ir.view import view
from optgen.passes.pipeline import to_kernels
from optgen.spec.loader import load, shipped
from optgen_triton.emit import emit
from optgen_triton.spelling import DEVICE, LIBRARY, NEIGHBOURS

#: Prints a digest of the kernels of the rules it is given.
DIGESTS = """
import hashlib, sys
from optgen.ir.view import view
from optgen.passes.pipeline import to_kernels
from optgen.spec.loader import load
from optgen_triton.emit import emit
for name in sys.argv[1:]:
    print(hashlib.sha256(emit(view(to_kernels(load(name), {}, "float32")))[1].encode()).hexdigest())
"""


@cache
def kernels(name: str) -> ModuleOp:
    """Kernels of a shipped rule's defaults."""
    return to_kernels(load(name), {}, "float32")


@pytest.mark.parametrize("name", shipped())
def test_the_text_of_the_ir_is_the_source(name: str) -> None:
    manifest, source = emit(view(kernels(name)))
    again = emit(view(from_text(to_text(kernels(name)))))
    assert again == (manifest, source)
    tree = ast.parse(source)
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert {launch["function"] for boundary in manifest["launches"] for launch in boundary} <= functions  # type: ignore[attr-defined, index]


def test_equations_stand_above_what_computes_them() -> None:
    _, _, block = emit(view(kernels("adamw")))[1].partition("def step_1_block(")
    lines = [line.strip() for line in block.splitlines()]
    at = lines.index("# m = beta1*m + (1 - beta1)*g")
    assert lines[at + 1] == "m_new = beta1 * m + one_minus_beta1 * g"


def test_two_hash_seeds_give_one_text() -> None:
    rules = ["adafactor", "neat", "nested"]
    here = [hashlib.sha256(emit(view(kernels(name)))[1].encode()).hexdigest() for name in rules]
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", DIGESTS, *rules], capture_output=True, text=True, check=True, env=environment
        )
        assert done.stdout.split() == here


def test_every_name_that_kernels_import_is_there() -> None:
    pytest.importorskip("triton")
    from optgen.runtime import triton_device, triton_library, triton_neighbours

    assert not [name for name in DEVICE if not hasattr(triton_device, name)]
    assert not [name for name in NEIGHBOURS if not hasattr(triton_neighbours, name)]
    assert not [name for name in LIBRARY if not hasattr(triton_library, name)]


def test_kernels_of_core_rules_need_no_compiler() -> None:
    """They are found beside the class, for a GPU as for the CPU."""
    pytest.importorskip("triton")
    from optgen.runtime import modules
    from optgen_generated.adamw.torch import AdamW

    rule = AdamW.RULE
    hypers = rule.defaults()
    found = modules.find(rule, rule.settled(hypers), "float32", "triton", hypers)
    assert Path(found.path) == Path(rule.folder) / "triton_float32.py"
    assert Path(found.path).read_text(encoding="utf-8") == emit(view(kernels("adamw")))[1]
