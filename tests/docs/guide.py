"""A guide as a program: its fenced blocks, run in order in a folder of their own.

```yaml file=my_rule.yaml     writes a file (any language)
```diff                       changes the checkout's copy that the guide works in
```console                    runs what follows `$ `; the lines after it are what must be printed, `...` stands for
                              any text
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.cli.support import optgen
from tests.processes import python

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("optgen", "backends", "generated", "specs", "tests", "tools", "pyproject.toml")
_BLOCK = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the file it is, its text."""

    language: str
    file: str | None
    text: str


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page in order."""
    for found in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        yield Block(found[1], found[2], found[3])


def follow(page: Path, folder: Path) -> int:
    """Does what a page says; the number of commands that were run. A failure names the command and what it printed."""
    steps = list(blocks(page))
    if any(block.language == "diff" for block in steps):
        for name in COPIED:
            source = ROOT / name
            ignored = shutil.ignore_patterns("__pycache__", "node_modules")
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=ignored)
            else:
                shutil.copy(source, folder / name)
    ran = 0
    for block in steps:
        if block.file is not None:
            target = folder / block.file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text, encoding="utf-8")
        elif block.language == "diff":
            for one in re.split(r"^(?=--- )", block.text, flags=re.MULTILINE)[1:]:  # a file each, so that git can count
                _patch(one, folder)
        elif block.language == "console":
            for command, printed in _commands(block.text):
                _run(command, printed, folder)
                ran += 1
    return ran


def _patch(text: str, folder: Path) -> None:
    command = ["git", "apply", "--recount", "--unidiff-zero", "-"]
    done = subprocess.run(command, cwd=folder, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stderr}\n{text}"


def _commands(text: str) -> Iterator[tuple[str, str]]:
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, printed = part.partition("\n")
        yield command, printed.strip()


def _run(command: str, printed: str, folder: Path) -> None:
    words = shlex.split(command)
    paths = [folder / "packages", folder / "backends", folder / "generated", folder]
    here = [str(path) for path in paths if path.exists()]
    alone = here == [str(folder)] and not (folder / "optgen").exists()
    code, out, err = _inside(words[1:], folder) if alone and words[0] == "optgen" else _beside(words, here, folder)
    assert code == 0, f"$ {command}\n{out[-3000:]}\n{err[-3000:]}"
    wanted = ".*".join(re.escape(piece) for piece in re.split(r"\.\.\.", printed))
    assert re.search(wanted, out, re.DOTALL), f"$ {command}\n{out[-3000:]}\n--- wanted\n{printed}"


def _inside(words: list[str], folder: Path) -> tuple[int, str, str]:
    """A command of the checkout's own optgen, in this process."""
    with contextlib.chdir(folder):
        done = optgen(*words)
    return done.exit_code, done.stdout, done.stderr


def _beside(words: list[str], here: list[str], folder: Path) -> tuple[int, str, str]:
    """A command in a process of its own, which imports what a guide has made."""
    programs = {"python": [], "optgen": ["-m", "optgen"], "pytest": ["-m", "pytest", "-q", "-p", "no:cacheprovider"]}
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*here, *inherited]).strip(os.pathsep)}
    done = python([*programs[words[0]], *words[1:]], folder, environment)
    return done.returncode, done.stdout, done.stderr
