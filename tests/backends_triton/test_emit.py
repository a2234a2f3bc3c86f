"""The triton emitter: its only input is kernel IR, its text is valid and repeatable, and names only what there is."""

from __future__ import annotations

import ast
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from xdsl.dialects.builtin import ModuleOp

from optgen.errors import BackendError
from optgen.ir.text import from_text, to_text
from optgen.ir.view import view
from optgen.passes.pipeline import to_kernels
from optgen.spec.loader import load, loads, shipped
from optgen_numba.gpu_emit import emit as gpu_emit
from optgen_triton.emit import emit
from optgen_triton.spelling import DEVICE, LIBRARY, NEIGHBOURS
from tests.programs import calling

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


#: The count of updates decides on a call, and which updates count only the device sees.
UNCOUNTED = """
optgen: 1
name: uncounted
title: A rule
reference: none
hyper: {lr: {default: 0.1}}
direction: |
  if norm(g, over="tensor") > 10:
      skip
  d = g
  if t % 2 == 0:
      d = newton_schulz(g, steps=2, coefficients=[1.5, -0.5, 0.0], eps=1.0e-7)
update: param = param - lr*d
example: {param: [1.0], g: [1.0], expect: {param: [0.9]}}
"""


@pytest.mark.parametrize("emitted", [emit, gpu_emit])
def test_presets_and_library_calls_are_built(emitted: Callable[..., tuple[dict[str, object], str]]) -> None:
    """What a call is for is the host's to know; where only the device does, the rule is refused."""
    for name in shipped():
        spec = load(name)
        cases = [{k: v for k, v in preset.items() if k in spec.hypers} for preset in spec.presets.values()]
        for settings in (*cases, *([calling()[name]] if name in calling() else [])):
            manifest, source = emitted(view(to_kernels(spec, settings, "float32")))
            functions = {node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
            assert ("HOST" in source) == ("host" in manifest) == any(f.startswith("numbers_of_") for f in functions)
    with pytest.raises(BackendError, match=r'uncounted decides by what only the device knows \(skip\) .* "numba"'):
        emitted(view(to_kernels(loads(UNCOUNTED), {}, "float32")))
