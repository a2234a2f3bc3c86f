"""The IR is the source of generated code: what parses back emits the same, and nothing leaves its comment or string."""

from __future__ import annotations

import ast
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from optgen.ir.text import from_text, to_text
from optgen.ir.view import view
from optgen.passes.pipeline import to_kernels
from optgen.spec import loader
from optgen_numba.emit import emit
from optgen_numba.python_text import comment

RULES = loader.shipped()
DTYPES = ("float32", "float64")
BACKEND = Path(__file__).resolve().parents[2] / "backends" / "optgen_numba"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", RULES)
def test_parsed_text_emits_the_same(rule: str, dtype: str) -> None:
    module = to_kernels(loader.load(rule), {}, dtype)
    assert emit(view(from_text(to_text(module)))) == emit(view(module))


@pytest.mark.parametrize("rule", RULES)
def test_source_is_python_that_says_where_it_comes_from(rule: str) -> None:
    spec = loader.load(rule)
    manifest, source = emit(view(to_kernels(spec, {})))
    tree = ast.parse(source)
    assert spec.digest in (ast.get_docstring(tree) or "")
    assert f"optgen build {rule}" in (ast.get_docstring(tree) or "")
    assert {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)} == {"optgen.runtime.cpu"}
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    called = {sweep["function"] for v in manifest["variants"] for sweep in v["sweeps"] if sweep}  # type: ignore
    assert called <= defined


def test_the_emitter_knows_no_rule_text() -> None:
    for path in BACKEND.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not any(name.startswith("optgen.spec") for name in names), path.name


@pytest.mark.parametrize(
    "text", ["a\nimport os", "a\r\nb", "a\u2028b", "a\u2029b", "a\x00b", "\u202eevil", '"""', "a\\\nb"]
)
def test_a_comment_is_one_line(text: str) -> None:
    line = f"x = 1  # {comment(text)}"
    assert len(line.splitlines()) == 1
    assert len(ast.parse(line).body) == 1


@pytest.mark.parametrize("text", ["g\nimport os", "g\u2028import os", "g\x85import os", '"""\nimport os', "g\\\n"])
def test_a_hostile_location_stays_in_its_comment(text: str) -> None:
    module = to_kernels(loader.load(RULES[0]), {})
    _, clean = emit(view(module))
    kernels = view(module)
    for variant in kernels.variants:
        for part in (*variant.stages, *variant.sweeps):
            for op in part.ops:
                op.statement = text
    _, source = emit(kernels)
    assert ast.dump(ast.parse(source)) == ast.dump(ast.parse(clean))


def test_the_text_does_not_depend_on_hash_order() -> None:
    program = (
        "import hashlib\n"
        "from optgen.spec import loader\nfrom optgen.passes.pipeline import to_kernels\n"
        "from optgen.ir.view import view\nfrom optgen_numba.emit import emit\n"
        "texts = ''.join(emit(view(to_kernels(loader.load(r), {})))[1] for r in loader.shipped())\n"
        "print(hashlib.sha256(texts.encode()).hexdigest())\n"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    texts = "".join(emit(view(to_kernels(loader.load(r), {})))[1] for r in RULES)
    assert seen == {hashlib.sha256(texts.encode()).hexdigest() + "\n"}
