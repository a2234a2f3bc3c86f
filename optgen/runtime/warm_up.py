"""Has the driver compiled by a process of its own while this one compiles a rule's kernels: numba compiles one thing at
a time per process. Only before a machine's first step; where it does not work out, the driver is compiled here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

from optgen.runtime import home

#: Imports a module under its full name without running the packages above it, which may be an application's.
_IMPORT = """\
import importlib, json, sys, types
name, above = json.loads(sys.argv[1])
for package, path in above:
    sys.modules[package] = types.ModuleType(package)
    sys.modules[package].__path__ = path
importlib.import_module(name)
"""

#: Seconds to wait for the other process; compiling takes two.
PATIENCE = 30.0


@cache
def begin() -> subprocess.Popen[bytes] | None:
    """Start compiling the driver, unless it is compiled or this is no plain Python with a core to spare."""
    plain = Path(sys.executable or "").name.lower().startswith("python")
    if not plain or (os.cpu_count() or 1) < 2 or _cached():
        return None
    nothing = subprocess.DEVNULL
    try:
        return subprocess.Popen(
            [sys.executable, "-c", _IMPORT, json.dumps([f"{home.PACKAGE}.driver", _above()])],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=nothing,
            stdout=nothing,
            stderr=nothing,
        )
    except OSError:
        return None


def _above() -> list[tuple[str, list[str]]]:
    """Name and folders of every package that this one lies in."""
    parts = home.PACKAGE.split(".")
    names = [".".join(parts[:length]) for length in range(1, len(parts))]
    return [(name, list(sys.modules[name].__path__)) for name in names]


def finish() -> None:
    """Wait for what `begin` started; nothing where it started nothing."""
    if begin.cache_info().currsize == 0:
        return
    process = begin()
    if process is not None:
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()


def _cached() -> bool:
    """Whether numba's cache holds a compiled driver, or lies where only numba finds it."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    folder = Path(chosen) if chosen else Path(__file__).parent / "__pycache__"
    if not chosen and not os.access(Path(__file__).parent, os.W_OK):
        return True
    return next(folder.rglob("driver.*.nbi"), None) is not None
