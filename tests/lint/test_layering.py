"""Who may import whom, how long a file may be, and that no file knows the machine it was written on."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE_FOLDERS = ("optgen", "backends", "generated", "tests", "tools", "examples", "benchmarks")
MAX_LINES = 500

FOLDER_NAMES = ("backends", "generated", "specs", "benchmarks", "tests")
COMPILER = ("optgen.spec", "optgen.ir", "optgen.passes", "optgen.algebra")


@dataclass(frozen=True)
class Rule:
    """Files under ``folder`` (but not under ``unless``) import nothing of ``banned``."""

    folder: str
    banned: tuple[str, ...]
    why: str
    unless: tuple[str, ...] = ()


RULES = (
    Rule("optgen", (*FOLDER_NAMES, "optgen_generated"), "arrows point to the compiler, never back"),
    Rule("optgen", ("optgen_numba", "optgen_triton", "optgen_xla"), "the compiler knows no backend"),
    Rule(
        "optgen",
        ("xdsl",),
        "only optgen/ir and optgen/passes know the IR library",
        unless=("optgen/ir", "optgen/passes"),
    ),
    Rule("optgen/runtime", ("sympy", "xdsl", *COMPILER), "generated code runs without the compiler"),
    Rule("optgen/ir", ("sympy",), "algebra is for analysis: no rule that is lowered goes through it"),
    Rule("backends", (*FOLDER_NAMES, "optgen_generated"), "a backend needs the compiler and nothing generated"),
    Rule("backends", ("xdsl", "sympy"), "a backend reads the kernel through optgen.ir"),
    Rule("backends", ("optgen.spec",), "the IR is the source: an emitter that asks the spec shows it is not"),
    Rule("generated", ("sympy", "xdsl", *COMPILER), "a build folder imports only the runtime"),
)


def python_files(folder: str) -> Iterator[Path]:
    """Python files and stubs under a folder of the checkout, in a fixed order."""
    for path in sorted((ROOT / folder).rglob("*.py*")):
        if path.suffix in (".py", ".pyi") and "__pycache__" not in path.parts:
            yield path


def package_of(path: Path) -> list[str]:
    """The dotted package a file's relative imports start from."""
    parts = list(path.relative_to(ROOT).parent.parts)
    return parts[1:] if parts[0] in ("backends", "generated") else parts


def imported(source: str, package: list[str]) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every import in a file, those inside functions and behind conditions included.

    ``from a import b`` yields ``a.b``, which covers both an attribute and a submodule. Modules named by a literal in
    ``import_module`` and ``__import__`` count as well.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield node.lineno, node.args[0].value


def breaches(rule: Rule) -> list[str]:
    """One line per import that breaks a rule."""
    found: list[str] = []
    for path in python_files(rule.folder):
        place = path.relative_to(ROOT).as_posix()
        if place.startswith(tuple(f"{folder}/" for folder in rule.unless)):
            continue
        for line, name in imported(path.read_text(encoding="utf-8"), package_of(path)):
            if any(name == banned or name.startswith(f"{banned}.") for banned in rule.banned):
                found.append(f"{place}:{line}: imports {name}; {rule.why}")
    return found


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.folder}-not-{rule.banned[0]}")
def test_imports_respect_the_layers(rule: Rule) -> None:
    assert not (found := breaches(rule)), "\n".join(found)


@pytest.mark.parametrize(
    ("text", "package", "expected"),
    [
        ("import a.b as c", "optgen.ir", "a.b"),
        ("from ..spec import model", "optgen.ir", "optgen.spec.model"),
        ("from . import types", "optgen.ir", "optgen.ir.types"),
        ("from .types import F32", "optgen.ir", "optgen.ir.types.F32"),
        ("def f():\n    from xdsl import ir", "optgen.runtime", "xdsl.ir"),
        ("import importlib\nimportlib.import_module('sympy')", "optgen.runtime", "sympy"),
    ],
)
def test_every_spelling_of_an_import_is_seen(text: str, package: str, expected: str) -> None:
    assert expected in [name for _, name in imported(text, package.split("."))]


# torch imports SymPy itself, so only modules that need no framework can show this at run time.
@pytest.mark.parametrize("module", ["optgen", "optgen.errors", "optgen.runtime"])
def test_importing_stays_light(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({{'sympy', 'xdsl'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "", f"import {module} drags in {done.stdout}"


def test_no_file_is_too_long() -> None:
    written = (path for folder in SOURCE_FOLDERS if folder != "generated" for path in python_files(folder))
    # The namespaces' stubs are generated too.
    lengths = {p: len(p.read_text(encoding="utf-8").splitlines()) for p in written if p.suffix != ".pyi"}
    long = [f"{path.relative_to(ROOT)}: {count} lines" for path, count in lengths.items() if count > MAX_LINES]
    assert not long, "\n".join(long)


# Absolute folders of somebody's machine; put together here so that this file does not match itself.
_MACHINE_PATH = re.compile(r"(?<![\w.~}/-])/(?:" + "|".join(("home", "root", "work", "Users", "farm")) + r")/\w")
_TEXT = (".py", ".pyi", ".md", ".toml", ".yaml", ".yml", ".json", ".mlir", ".txt", ".csv")
_TEXT_NAMES = ("Makefile", "run", "MANIFEST", ".gitignore")


def test_no_machine_paths() -> None:
    found: list[str] = []
    for path in text_files():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if _MACHINE_PATH.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert not found, "\n".join(found)


def text_files() -> Iterator[Path]:
    """The text files at the root and in the project's folders, but nothing that tools leave behind."""
    folders = [ROOT / name for name in (*SOURCE_FOLDERS, "specs", "docs", ".ci")]
    candidates = [*ROOT.iterdir(), *(path for folder in folders for path in sorted(folder.rglob("*")))]
    for path in candidates:
        known = path.suffix in _TEXT or path.name in _TEXT_NAMES
        if known and path.is_file() and "__pycache__" not in path.parts:
            yield path
