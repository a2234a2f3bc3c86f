"""Python commands in processes of their own that need not import torch, numba and JAX each time: a process that has
imported them, and nothing of this project, is forked for each command.

What a command sees is what it sees in a fresh process: its own environment, folder, arguments, module path, standard
streams and exit code, and modules of this project that it imports itself. Where variables of the environment settle
something while those libraries are imported (`NUMBA_ENABLE_CUDASIM`), a fresh process is needed.
"""

from __future__ import annotations

import atexit
import gc
import importlib.util
import json
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TypedDict

#: What takes seconds to import and starts no thread by that; the second is what torch's optimizers import late.
PRELOADED = ("torch", "torch._dynamo", "numba", "jax")


class Asked(TypedDict):
    """A command: its words after `python`, its folder and environment, and files for its output and errors."""

    words: list[str]
    cwd: str
    environment: dict[str, str]
    streams: tuple[str, str]


def python(words: Sequence[str | Path], cwd: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """What `python [-I] *words` does: a program `-m MODULE`, `-c TEXT` or a path, and its arguments."""
    (done,) = together([words], cwd, environment)
    return done


def together(
    commands: Sequence[Sequence[str | Path]], cwd: Path, environment: Mapping[str, str]
) -> list[subprocess.CompletedProcess[str]]:
    """The same of several that run at one time."""
    with tempfile.TemporaryDirectory() as folder:
        asked = [
            Asked(
                words=[str(word) for word in words],
                cwd=str(cwd),
                environment=dict(environment),
                streams=(str(Path(folder, f"out{number}")), str(Path(folder, f"err{number}"))),
            )
            for number, words in enumerate(commands)
        ]
        server = _server()
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(asked) + "\n")
        server.stdin.flush()
        codes = json.loads(server.stdout.readline())
        said = [[Path(path).read_text(encoding="utf-8") for path in each["streams"]] for each in asked]
    return [
        subprocess.CompletedProcess(each, code, *texts) for each, code, texts in zip(commands, codes, said, strict=True)
    ]


@cache
def _server() -> subprocess.Popen[str]:
    """The process that is forked; it ends when its standard input does, so with this one."""
    command = [sys.executable, "-I", "-W", "ignore", __file__]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(server.communicate)
    return server


def _serve() -> None:
    """Forks for the commands of each line that is read, and prints their exit codes."""
    for name in PRELOADED:
        if importlib.util.find_spec(name) is not None:
            importlib.import_module(name)
    fork = multiprocessing.get_context("fork").Process
    gc.freeze()  # or each child's collector would copy the memory of every module
    for line in sys.stdin:
        children = [fork(target=_run, args=(asked,)) for asked in json.loads(line)]
        for child in children:
            child.start()
        for child in children:
            child.join()
        print(json.dumps([child.exitcode for child in children]), flush=True)
    os._exit(0)  # nothing is left to do, and triton would print what it leaks


def _run(asked: Asked) -> None:
    """The command, in this process."""
    words, environment = asked["words"], asked["environment"]
    for number, path in zip((1, 2), asked["streams"], strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(environment)
    from numba.core import config

    config.reload_config()  # reads its variables when imported
    isolated = words[0] == "-I"
    words = words[isolated:]
    is_file = not words[0].startswith("-")
    if not isolated:
        given = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
        sys.path[:0] = [str(Path(words[0]).resolve().parent) if is_file else os.getcwd(), *given]
    sys.argv[:] = words if is_file else [words[0], *words[2:]]
    if is_file:
        runpy.run_path(words[0], run_name="__main__")
    elif words[0] == "-m":
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        exec(compile(words[1], "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102


if __name__ == "__main__":
    _serve()
