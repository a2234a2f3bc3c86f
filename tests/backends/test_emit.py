"""The numba emitter: its only input is kernel IR, its text is valid, repeatable, and keeps foreign text where it is."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from xdsl.dialects.builtin import FileLineColLoc, IntAttr, ModuleOp, NameLoc, StringAttr

import optgen_numba
from optgen.errors import SpecError
from optgen.ir.text import from_text, to_text
from optgen.ir.view import view
from optgen.passes.pipeline import to_kernels
from optgen.spec.loader import cases, load, loads, shipped
from optgen_numba.emit import emit
from tests.ir.rules import text_of

DTYPES = ("float32", "float64")
PACKAGE = Path(optgen_numba.__file__).parent

#: What could end a comment, a docstring or a string, or hide that it does.
HOSTILE = (
    "x\nimport os",
    "x\r\nimport os",
    'x"""\nimport os\n"""',
    "x'''\nimport os\n'''",
    "x\\",
    'x"',
    "x\u2028import os",
    "x\u2029import os",
    "x\x0bimport os",
    "x\x0cimport os",
    "x\x85import os",
    "x\x1cimport os",
    "x\x00import os",
    "x\u202eso tropmi",
    "{os}",
    "%s",
    "# noqa",
)


@cache
def kernels(name: str, dtype: str) -> ModuleOp:
    """Kernels of a shipped rule's defaults."""
    return to_kernels(load(name), {}, dtype)


@pytest.mark.parametrize("name", cases())
def test_the_text_of_the_ir_is_the_source(name: str) -> None:
    module = kernels(name, "float32")
    manifest, source = emit(view(module))
    again_manifest, again = emit(view(from_text(to_text(module))))
    assert again == source
    assert again_manifest == manifest


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", shipped())
def test_generated_source_is_python(name: str, dtype: str) -> None:
    manifest, source = emit(view(kernels(name, dtype)))
    tree = ast.parse(source)
    compile(source, f"{name}.py", "exec")
    assert all(len(line) <= 120 or "=" in line for line in source.splitlines())
    assert not any(line != line.rstrip() for line in source.splitlines())
    imports = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imports == {"optgen.runtime.cpu"}
    found = next(n for n in tree.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "MANIFEST")
    assert ast.literal_eval(found.value) == json.loads(json.dumps(manifest))
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    stages = [name for group in ast.literal_eval(found.value)["stages"] for name, _ in group]
    assert functions >= {n for n in (manifest.get("select"), manifest.get("reach"), *stages) if n}


@pytest.mark.parametrize("name", shipped())
def test_equations_stand_above_what_computes_them(name: str) -> None:
    _, source = emit(view(kernels(name, "float32")))
    comments = [line.strip().removeprefix("# ") for line in source.splitlines() if line.strip().startswith("# ")]
    written = {" ".join(line.split("  #")[0].split()) for line in load(name).text.splitlines()}
    written |= {line.partition(": ")[2] for line in written} | {"param = param - lr*d"}  # the update left out
    assert comments
    assert all(any(comment in line or line in comment for line in written if line) for comment in comments)


#: An expression of a rule and its text in a kernel: parentheses where Python needs them, and the written order.
EXPRESSIONS = {
    "g - (param - g)": "g - (param - g)",
    "g - param - g": "g - param - g",
    "g/(param/g)": "g / (param / g)",
    "g*(param/g)": "g * (param / g)",
    "(g + param)*g": "(g + param) * g",
    "(-g)**3": "(-g) ** f4(3.0)",
    "-(g**3)": "-g ** f4(3.0)",
    "(g**3)**3": "(g ** f4(3.0)) ** f4(3.0)",
    "g**(3**g)": "g ** f4(3.0) ** g",
    "g % param": "g % param if param != 0 else f4(0.0)",
    "(g % 3) % 5": "g % f4(3.0) % f4(5.0)",
    "where(g > 0, where(g > 1, g, param), g - param)": "(g if g > f4(1.0) else param) if g > f4(0.0) else g - param",
    "where(where(g > 0, g, param) > 1, g, 0)": "g if (g if g > f4(0.0) else param) > f4(1.0) else f4(0.0)",
    "where(not (g > 0 and param > 0), g, 0)": "g if not (g > f4(0.0)) & (param > f4(0.0)) else f4(0.0)",
    "where(not (g > 0) or param > 0, g, 0)": "g if (not g > f4(0.0)) | (param > f4(0.0)) else f4(0.0)",
}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_parentheses(expression: str) -> None:
    _, source = emit(view(to_kernels(loads(text_of(f"param = {expression}"), "mine.yaml"), {})))
    assert f"\n        param_new = {EXPRESSIONS[expression]}\n" in source, source


def test_the_emitter_knows_no_rule_text() -> None:
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [m for m in modules if m.startswith(("optgen.spec", "optgen.passes", "xdsl"))], path


def test_emitting_needs_no_rule_text_even_indirectly(tmp_path: Path) -> None:
    path = tmp_path / "kernels.mlir"
    path.write_text(to_text(kernels(shipped()[0], "float32")), encoding="utf-8")
    code = (
        "import sys; from optgen.ir.text import from_text; from optgen.ir.view import view\n"
        "from optgen_numba.emit import emit\n"
        "source = emit(view(from_text(open(sys.argv[1], encoding='utf-8').read())))[1]\n"
        "unwanted = ('optgen.spec', 'optgen.passes', 'sympy', 'torch', 'numba.')\n"
        "loaded = [m for m in sys.modules if m.startswith(unwanted)]\n"
        "print(len(source), loaded)"
    )
    assert run(code, str(path)).strip() == f"{len(emit(view(kernels(shipped()[0], 'float32')))[1])} []"


def run(code: str, *args: str, **environment: str) -> str:
    """What a fresh interpreter prints."""
    path = os.pathsep.join(p for p in sys.path if p)
    done = subprocess.run(
        [sys.executable, "-c", code, *args],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_hash_seeds_do_not_matter() -> None:
    code = (
        "import hashlib; from optgen.spec.loader import load, shipped\n"
        "from optgen.passes.pipeline import to_kernels; from optgen.ir.text import to_text\n"
        "from optgen.ir.view import view; from optgen_numba.emit import emit\n"
        "for name in shipped():\n"
        "    module = to_kernels(load(name), {})\n"
        "    print(hashlib.sha256((to_text(module) + repr(emit(view(module)))).encode()).hexdigest())"
    )
    assert run(code, PYTHONHASHSEED="1") == run(code, PYTHONHASHSEED="20201")


# Foreign text


def imported(tree: ast.AST) -> set[str]:
    """Modules that a source imports by `import`."""
    return {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}


def with_statements(module: ModuleOp, text: str) -> ModuleOp:
    """The module with every operation's equation replaced."""
    copy = from_text(to_text(module))
    place = FileLineColLoc(StringAttr(text), IntAttr(1), IntAttr(1))
    for op in copy.walk():
        op.location = NameLoc(StringAttr(text), place)
    return copy


@pytest.mark.parametrize("text", HOSTILE)
def test_equations_stay_in_their_comments(text: str) -> None:
    module = kernels("lamb", "float32")
    _, source = emit(view(with_statements(module, text)))
    _, plain = emit(view(module))
    assert ast.dump(ast.parse(source)) == ast.dump(ast.parse(plain))
    assert all(c.isprintable() or c == "\n" for c in source)


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("field", ["name", "class_name", "digest", "matrix", "settled", "when"])
def test_names_stay_in_their_strings(field: str, text: str) -> None:
    module = view(kernels("lamb", "float32"))
    if field == "settled":
        hostile = replace(module, settled={"kind": text, text: True})
    elif field == "when":
        hostile = replace(module, variants=[replace(v, when=text) for v in module.variants])
    else:
        hostile = replace(module, **{field: text})  # type: ignore[arg-type]
    manifest, source = emit(hostile)
    tree = ast.parse(source)
    assert imported(tree) <= {"numpy"}
    assert all(c.isprintable() or c == "\n" for c in source)
    found = next(n for n in tree.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "MANIFEST")
    assert ast.literal_eval(found.value) == json.loads(json.dumps(manifest))


@pytest.mark.parametrize("text", HOSTILE)
def test_what_the_loader_lets_through_stays_in_its_comment(text: str) -> None:
    """The same words in a rule's text: refused by the loader, or harmless in the source."""
    rule = text_of("param = param - lr*g").replace("param - lr*g", f"param - lr*g  # {text}")
    quoted = text_of("param = param - lr*g").replace("A rule of my own", json.dumps(text)).replace("soft", "s0ft")
    for candidate in (rule, quoted):
        try:
            spec = loads(candidate, "mine.yaml")
        except SpecError:
            continue
        tree = ast.parse(emit(view(to_kernels(spec, {})))[1])
        assert imported(tree) <= {"numpy"}


def test_variants_with_the_same_scalars_share_their_text() -> None:
    """Four variants by two periods, of which the sign's changes no scalar."""
    body = """
if step % n == 0:
    m = beta*m + (1 - beta)*g
d = m
if step % (n + 1) == 0:
    d = sign(m)
param = param - lr*d
"""
    module = view(to_kernels(loads(text_of(body, state="m: zeros_like(param)"), "mine.yaml"), {}, "float32"))
    _, source = emit(module)
    assert len(module.variants) == 4
    assert source.count("# one_minus_beta") == 1
