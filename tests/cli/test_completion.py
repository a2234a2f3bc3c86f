"""`optgen completion`: scripts, and what a word is completed to."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import CompletionItem, ShellComplete

from optgen.cli import COMMANDS, cli
from optgen.passes.pipeline import PASSES
from optgen.spec.loader import shipped, transforms
from tests.cli.support import optgen, write_rule


def items(*words: str | Path) -> list[CompletionItem]:
    """What the last word is completed to, before any shell's own rules."""
    *before, incomplete = map(str, words)
    return ShellComplete(cli, {}, "optgen", "_OPTGEN_COMPLETE").get_completions(before, incomplete)


def words(*given: str | Path) -> list[str]:
    return [str(item.value) for item in items(*given)]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_every_shell(shell: str) -> None:
    script = optgen("completion", shell).stdout
    assert script.startswith("# ")
    assert f"optgen completion {shell}" in script.splitlines()[0]
    assert f"_OPTGEN_COMPLETE={shell}_complete" in script


def test_another_shell_is_refused() -> None:
    result = optgen("completion", "csh")
    assert (result.exit_code, "bash" in result.stderr) == (2, True)


def test_commands() -> None:
    assert words("") == list(COMMANDS)
    assert words("che") == ["check"]


@pytest.mark.parametrize("command", ["check", "explain", "build", "verify"])
def test_rules(command: str) -> None:
    assert words(command, "") == shipped()
    assert words(command, "lio") == ["lion"]
    assert words(command, "lion+c") == [f"lion+{name}" for name in transforms() if name.startswith("c")]
    assert words(command, "grokfast+adamw") == ["grokfast+adamw"]
    assert [(item.value, item.type) for item in items(command, "./my")] == [("./my", "file")]


def test_backends() -> None:
    assert words("build", "lion", "--backend", "num") == ["numba", "numba-cuda"]
    assert "all" in words("build", "lion", "--backend", "")
    assert "all" not in words("verify", "lion", "--backend", "")


def test_choices_of_options() -> None:
    assert "float32" in words("build", "lion", "--dtype", "")
    assert words("explain", "lion", "--format", "l") == ["latex"]
    assert words("build", "lion", "--print-after", "") == list(PASSES)
    assert words("build", "--stand") == ["--standalone"]


def test_values(tmp_path: Path) -> None:
    rule = write_rule(tmp_path)
    assert words("build", rule, "--set", "") == ["lr=", "drift=", "style=", "maximize="]
    assert words("explain", rule, "--set", "dr") == ["drift="]
    assert words("build", rule, "--set", "style=") == ["style=plain", "style=signed"]
    assert words("build", rule, "--set", "style=s") == ["style=signed"]
    assert words("build", rule, "--set=style=s") == ["style=signed"]
    assert words("build", rule, "--set", "drift=") == ["drift=0.0"]
    assert words("build", rule, "--set", "maximize=t") == ["maximize=true"]
    assert words("build", rule, "--set", "other=") == []
    assert words("build", "nope", "--set", "") == ["maximize="]
    assert words("build", "neat", "--preset", "neat_p") == ["neat_pr"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (["bui"], "build"),
        (["build", "lio"], "lion"),
        (["build", "neat", "--set", "kap"], "kappa="),
        (["build", "neat", "--set", "nsa", "="], "l2 relative off"),
        (["build", "neat", "--set", "nsa", "=", "o"], "off"),
        (["build", "neat", "--set", "=", "nsa", "=", "o"], "off"),
        (["explain", "neat", "--format", "=", "j"], "json"),
        (["explain", "lion", "--set", "beta1", "=", "0.5", "--format", "t"], "text"),
    ],
    ids=" ".join,
)
def test_words_as_bash_breaks_them(line: list[str], expected: str, tmp_path: Path) -> None:
    program = tmp_path / "optgen"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m optgen "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    given = " ".join(f"'{word}'" for word in ["optgen", *line])
    script = (
        f'eval "$(optgen completion bash)"; compopt() {{ :; }}; COMP_WORDS=({given}); COMP_CWORD={len(line)}; '
        '_optgen_completion optgen; echo "${COMPREPLY[*]}"'
    )
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    python = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        ["bash", "-c", script],
        env={**os.environ, "PATH": path, "PYTHONPATH": python},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == (expected, "")
