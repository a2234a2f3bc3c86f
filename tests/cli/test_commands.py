"""`optgen list`, `doctor`, `cache`, help, and what importing costs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from optgen import catalogue
from optgen.cli import COMMANDS
from optgen.commands.doctor import satisfies
from optgen.paths import cache_dir
from optgen.spec.loader import partnered, shipped, transforms
from tests.cli.support import optgen


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


def test_list_names_every_rule() -> None:
    text = optgen("list").stdout
    lines, joining = (part.splitlines() for part in text.split("\n\n"))
    assert lines[0].split()[:2] == ["name", "class"]
    assert [line.split()[0] for line in lines[1:-1]] == shipped()
    assert [line.split()[0] for line in joining[1:-1]] == transforms()
    assert "\x1b" not in text


def test_list_names_every_transform() -> None:
    found = json.loads(optgen("list", "--transforms", "--json").stdout)
    assert [entry["name"] for entry in found] == transforms()
    assert [entry["example"] for entry in found] == [partnered(name) for name in transforms()]


def test_list_as_json() -> None:
    found = {entry["name"]: entry for entry in json.loads(optgen("list", "--json").stdout)}
    assert list(found) == shipped()
    assert found["adamw"]["class"] == "AdamW"
    assert found["adamw"]["state_bytes_per_param"] == 8
    assert found["nested"]["state_bytes_per_param"] == 16
    assert {"numba", "reference"} <= set(found["lion"]["backends"])
    assert all(entry["title"] for entry in found.values())


def test_list_waits_for_no_compiler() -> None:
    program = (
        "import sys; from click.testing import CliRunner; from optgen.cli import cli; "
        "assert CliRunner().invoke(cli, ['list']).exit_code == 0; "
        "print(sorted({'xdsl', 'sympy', 'torch', 'numba', 'numpy', 'rich'} & set(sys.modules)))"
    )
    done = run("-c", program)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_rule_that_was_edited_is_worked_out_again(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = catalogue._kept()
    assert [entry["name"] for entry in kept] == shipped()
    edited = [{**entry, "digest": "another", "title": "stale"} if entry["name"] == "lion" else entry for entry in kept]
    monkeypatch.setattr(catalogue, "_kept", lambda: edited)
    assert list(catalogue.entries()) == kept


def test_doctor_names_what_is_here_and_what_is_not() -> None:
    result = optgen("doctor")
    assert result.exit_code == 0, result.output
    for word in ("optgen 0.", "Python 3.", "numba", "numba-cuda", "triton", "torch", "threads", "cache: ", "CPU"):
        assert word in result.stdout
    assert str(cache_dir()) in result.stdout


@pytest.mark.parametrize(
    ("version", "wanted", "fine"),
    [
        ("0.60", ">=0.60", True),
        ("0.60.1", ">=0.60", True),
        ("0.59.9", ">=0.60", False),
        ("2.13.0+cpu", ">=2.11", True),
        ("1.0rc1", ">=1", True),
        ("2.0", ">=1,<2", False),
        ("1.9.9", ">=1,<2", True),
        ("0.74.3", "~=0.74.0", True),
        ("0.75.0", "~=0.74.0", False),
        ("1.2", "!=1.2", False),
        ("1.2", "==1.2.0", True),
        ("1.2", "", True),
    ],
)
def test_versions_are_compared_as_numbers(version: str, wanted: str, fine: bool) -> None:
    assert satisfies(version, wanted) is fine


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_explains_itself(command: str) -> None:
    assert command in optgen("--help").stdout
    result = optgen(command, "--help")
    assert result.exit_code == 0
    assert "Usage: " in result.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["bild"], 'did you mean "build"?'),
        (["build"], "RULE"),
        (["check"], "SPEC"),
        (["explain", "lion", "--format", "xml"], "json"),
        (["list", "--yaml"], "--yaml"),
        (["explain", "lion", "lamb"], "lamb"),
    ],
)
def test_wrong_usage_is_2(arguments: list[str], says: str) -> None:
    result = optgen(*arguments)
    assert result.exit_code == 2
    assert says in result.stderr


def test_version() -> None:
    assert optgen("--version").stdout.startswith("optgen, version 0.")


def test_help_imports_no_compiler_and_no_framework() -> None:
    program = (
        "import sys; from click.testing import CliRunner; from optgen.cli import cli; "
        "assert CliRunner().invoke(cli, ['--help']).exit_code == 0; "
        "print(sorted({'xdsl', 'sympy', 'torch', 'numba', 'numpy', 'rich', 'ruamel'} & set(sys.modules)))"
    )
    done = run("-c", program)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_build_imports_no_framework() -> None:
    program = (
        "import sys; from click.testing import CliRunner; from optgen.cli import cli; "
        "assert CliRunner().invoke(cli, ['build', 'lion']).exit_code == 0; "
        "print(sorted({'sympy', 'torch', 'numba', 'jax'} & set(sys.modules)))"
    )
    done = run("-c", program)
    assert done.stdout.strip() == "[]", done.stderr


def test_the_module_runs_as_a_script(tmp_path: Path) -> None:
    done = run("-m", "optgen", "build", "lion", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    done = run("-m", "optgen", "build", "nope")
    assert done.returncode == 1
    assert done.stdout == ""
    assert 'there is no rule "nope"' in done.stderr


def test_a_closed_pipe_is_no_traceback() -> None:
    program = f'"{sys.executable}" -m optgen build nested --emit kernel-ir | head -n 1'
    done = subprocess.run(program, shell=True, capture_output=True, text=True, check=False)
    assert "builtin.module" in done.stdout
    assert "Traceback" not in done.stderr
