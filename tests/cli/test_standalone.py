"""`optgen build --standalone`: a folder that trains where optgen cannot be imported, and says how it was made."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from optgen import standalone
from tests.cli.support import optgen, write_rule
from tests.processes import python

#: What a folder may import that does not come with Python.
ALLOWED = {"numpy", "torch", "numba", "llvmlite", "triton"}  # triton is imported where a GPU's kernels are launched

_TRAIN = """
import sys
for name in ("optgen", "optgen_numba", "optgen_generated", "xdsl", "ruamel", "click"):
    sys.modules[name] = None
sys.path.insert(0, sys.argv[1])
import torch
from lion.torch import Lion
from application.vendored.sgd.torch import SGD

def trained(cls, **arguments):
    model = torch.nn.Linear(6, 4)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.linspace(-1, 1, p.numel()).reshape(p.shape))
    optimizer = cls(model.named_parameters(), weight_decay=0.1, **arguments)
    for step in range(3):
        optimizer.zero_grad()
        model(torch.ones(2, 6) * (step + 1)).square().mean().backward()
        optimizer.step()
    return [p.detach() for p in model.parameters()], optimizer.state_dict()

torch.save([trained(Lion, lr=0.1), trained(SGD, lr=0.01)], sys.argv[2])
assert "optgen.runtime" not in sys.modules
runtimes = {name.rpartition("._optgen.")[0] for name in sys.modules if name.endswith("_optgen.runtime")}
print(*sorted(runtimes))
"""


@pytest.fixture
def lion(tmp_path: Path) -> Path:
    result = optgen("build", "lion", "--dtype", "float32", "--standalone", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    return tmp_path / "lion"


def outside(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A Python that sees neither the checkout nor the environment's variables."""
    return python(["-I", *arguments], cwd, os.environ)


@pytest.mark.slow
def test_two_folders_train_in_one_process_where_there_is_no_optgen(lion: Path, tmp_path: Path) -> None:
    import torch

    import optgen.torch as ours

    application = tmp_path / "application"
    (application / "vendored").mkdir(parents=True)
    (application / "__init__.py").write_text("print('the application starts')\n", encoding="utf-8")
    optgen("build", "sgd", "--dtype", "float32", "--standalone", "--out", tmp_path)
    shutil.copytree(tmp_path / "sgd", application / "vendored" / "sgd")
    (tmp_path / "train.py").write_text(_TRAIN, encoding="utf-8")
    done = outside("train.py", tmp_path, tmp_path / "made.pt", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["the application starts", "application.vendored.sgd lion"]
    program: dict[str, object] = {}
    text = _TRAIN[_TRAIN.index("def trained") : _TRAIN.index("torch.save")]
    exec(compile("import torch\n" + text, "train", "exec"), program)  # noqa: S102
    for (made, saved), (cls, lr) in zip(
        torch.load(tmp_path / "made.pt"), [(ours.Lion, 0.1), (ours.SGD, 0.01)], strict=True
    ):
        expected, _ = program["trained"](cls, lr=lr)  # type: ignore[operator]
        assert all(torch.equal(a, b) for a, b in zip(made, expected, strict=True))
        model = torch.nn.Linear(6, 4)
        cls(model.named_parameters(), lr=1.0).load_state_dict(saved)  # the same form of checkpoint


def test_a_folder_imports_itself_and_three_packages(lion: Path) -> None:
    for path in sorted(lion.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            foreign = {name.split(".")[0] for name in names} - sys.stdlib_module_names - ALLOWED
            assert not foreign, f"{path}: {foreign}"


def test_every_relative_import_leads_somewhere(lion: Path) -> None:
    for path in sorted(lion.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                base = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
                places = [base, *(base / alias.name for alias in node.names)] if not node.module else [base]
                for place in places:
                    found = place.is_dir() or place.with_suffix(".py").is_file()
                    assert found or node.module is None, f"{path}:{node.lineno}"


def test_modules_are_not_imported_by_their_full_name(lion: Path) -> None:
    named = re.compile(r"""import_module\(\s*["']optgen\.(runtime|errors|paths)""")
    assert not [path for path in lion.rglob("*.py") if named.search(path.read_text(encoding="utf-8"))]


def test_the_licence_is_kept(lion: Path) -> None:
    assert "Apache License" in (lion / "_optgen" / "LICENSE").read_text(encoding="utf-8")
    for path in (lion / "_optgen").rglob("*.py"):
        assert path.read_text(encoding="utf-8").startswith("# SPDX-License-Identifier: Apache-2.0\n")


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.suffix != ".pyc"}


def test_the_page_says_how_to_write_the_folder_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    choices = ["--set", "style=signed", "--dtype", "float64", "--standalone"]
    assert optgen("build", write_rule(tmp_path), *choices, "--out", tmp_path / "a").exit_code == 0
    page = (tmp_path / "a" / "drifter" / "README.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^    (optgen build .*)$", page, re.MULTILINE)
    before = files_of(tmp_path / "a" / "drifter")
    for path in (tmp_path / "a" / "drifter").glob("*.py"):
        path.unlink()
    monkeypatch.chdir(tmp_path / "a")
    assert optgen(*shlex.split(command)[1:]).exit_code == 0
    assert files_of(tmp_path / "a" / "drifter") == before


@pytest.mark.slow
def test_other_choices_are_built_by_the_command_that_the_refusal_prints(tmp_path: Path) -> None:
    made = tmp_path / "made"
    assert optgen("build", write_rule(tmp_path), "--dtype", "float32", "--standalone", "--out", made).exit_code == 0
    (tmp_path / "drifter.yaml").unlink()
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import torch; from drifter.torch import Drifter\n"
        "p = torch.nn.Parameter(torch.ones(3)); p.grad = torch.ones(3)\n"
        "try: Drifter([p], drift=0.5, style='signed', maximize=True)\n"
        "except Exception as error: print(error)\n"
    )
    said = outside("-c", program, made, cwd=tmp_path).stdout
    (command,) = re.findall(r"`(optgen build .*)`", said)
    for word in ("--set drift=0.5", "--set style=signed", "--set maximize=true", "--standalone"):
        assert word in command
    result = optgen(*shlex.split(command)[1:])
    assert result.exit_code == 0, result.output
    done = outside("-c", program, made, cwd=tmp_path)
    assert (done.stdout, done.returncode) == ("", 0), done.stderr


def test_a_folder_is_of_one_kind(tmp_path: Path) -> None:
    plain = ["build", "lion", "--dtype", "float32", "--out", tmp_path, "--set"]
    assert optgen(*plain, "maximize=true").exit_code == 0
    result = optgen(*plain, "maximize=false", "--standalone")
    assert (result.exit_code, "needs optgen" in result.stderr) == (1, True), result.output
    shutil.rmtree(tmp_path / "lion")
    assert optgen(*plain, "maximize=true", "--standalone").exit_code == 0
    result = optgen(*plain, "maximize=false")
    assert (result.exit_code, "is standalone" in result.stderr) == (1, True), result.output


def test_files_that_the_runtime_no_longer_has_are_removed(lion: Path) -> None:
    old = lion / "_optgen" / "runtime" / "of_an_earlier_version.py"
    old.write_text("", encoding="utf-8")
    assert optgen("build", "lion", "--dtype", "float32", "--standalone", "--out", lion.parent).exit_code == 0
    assert not old.exists()


def test_a_page_of_somebody_elses_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "lion").mkdir()
    (tmp_path / "lion" / "README.md").write_text("# Mine\n", encoding="utf-8")
    result = optgen("build", "lion", "--standalone", "--out", tmp_path)
    assert result.exit_code == 1
    assert "README.md is there already" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--backend", "reference"], 1, "cannot hold"),
        (["--emit", "source"], 2, "give one"),
        (["--print-after", "settle"], 2, "give one"),
    ],
)
def test_refusals(arguments: list[str], code: int, says: str) -> None:
    result = optgen("build", "lion", "--standalone", *arguments)
    assert result.exit_code == code
    assert says in result.stderr
    assert not Path("optgen_out").exists()


def test_all_backends_are_those_that_emit(tmp_path: Path) -> None:
    result = optgen("build", "lion", "--backend", "all", "--standalone", "--out", tmp_path)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("package", "text", "expected"),
    [
        ((), "from optgen.runtime.cpu import f4\n", "from ._optgen.runtime.cpu import f4\n"),
        (("_optgen", "runtime"), "from optgen.runtime import abi\n", "from . import abi\n"),
        (("_optgen", "runtime"), "from optgen.runtime.abi import (\n    A,\n)\n", "from .abi import (\n    A,\n)\n"),
        (("_optgen", "runtime"), "from optgen.errors import suggest\n", "from ..errors import suggest\n"),
        (("_optgen", "runtime", "deep"), "from optgen.runtime.abi import A\n", "from ..abi import A\n"),
        (("_optgen",), "def f():\n    from  optgen.runtime import abi\n", "def f():\n    from .runtime import abi\n"),
        ((), "from optgenerator import x\nfrom . import y\n", "from optgenerator import x\nfrom . import y\n"),
        ((), '"""from optgen.runtime import abi"""\n', '"""from optgen.runtime import abi"""\n'),
    ],
)
def test_imports_become_relative(package: tuple[str, ...], text: str, expected: str) -> None:
    assert standalone.relocate(text, package) == expected
