"""`optgen doctor`."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from importlib import metadata

import click

from optgen import __version__
from optgen.commands.arguments import KNOWN_BACKENDS
from optgen.commands.cache import counted
from optgen.commands.output import table
from optgen.runtime.home import generated

#: Frameworks, and whether there is a front end for each.
FRAMEWORKS = {"torch": True, "jax": True, "keras": True}


@click.command("doctor")
def command() -> None:
    """What is installed here, what is missing, and how to get it. Exits with 1 if no backend works."""
    from optgen.backend.registry import REFERENCE

    click.echo(f"optgen {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}")
    click.echo()
    backends = [*_backends(), (REFERENCE, "ready", "part of optgen: float64, slow, for checking", "")]
    table(("backend", "state", "what it is", "to get it"), backends)
    click.echo()
    table(("framework", "state", "to get it"), list(_frameworks()))
    click.echo()
    for line in (*_devices(), _threads(), _cache(), _built()):
        click.echo(line)
    if not any(state == "ready" for _, state, _, _ in backends[:-1]):
        raise SystemExit(1)


def _backends() -> Iterator[tuple[str, str, str, str]]:
    """(name, state, what it is, remedy) of every backend that is known or installed, the reference left out."""
    from optgen.backend.registry import REFERENCE, installed

    for name in dict.fromkeys([*installed(), *KNOWN_BACKENDS]):
        if name == REFERENCE:
            continue
        if name in installed():
            yield _installed(name)
        else:
            yield name, "not installed", "", "no package here offers it; this version of optgen ships none"


def _installed(name: str) -> tuple[str, str, str, str]:
    from optgen.backend.registry import backend
    from optgen.errors import BackendError

    try:
        found = backend(name)
    except BackendError as error:
        return name, "broken", str(error), "install the package that offers it again"
    serves = f"{', '.join(found.devices)}, {', '.join(found.dtypes)}"
    versions: list[str] = []
    for package, wanted in found.requires.items():
        version = version_of(package)
        if version is None or not satisfies(version, wanted):
            have = "is missing" if version is None else f"is {version}"
            return name, "not usable", f"{serves}: {package} {have}, needs {wanted}", f'pip install "{package}{wanted}"'
        versions.append(f"{package} {version}")
    return name, "ready", f"{serves}: {', '.join(versions)}", ""


def _frameworks() -> Iterator[tuple[str, str, str]]:
    for name, built in FRAMEWORKS.items():
        version = version_of(name)
        if not built:
            yield name, f"{version or 'not installed'}; no front end yet", ""
        elif version is None:
            yield name, "not installed", f'pip install "optgen[{name}]"'
        else:
            yield name, version, ""


def _devices() -> Iterator[str]:
    yield f"CPU: {platform.processor() or platform.machine()}, {os.cpu_count() or 1} cores"
    if version_of("torch") is None:
        yield "GPU: not looked for, as torch is not installed"
        return
    try:
        import torch

        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    except (ImportError, OSError, RuntimeError) as error:
        yield f"GPU: torch cannot be asked: {error}"
        return
    yield f"GPU: {', '.join(names) or 'none that torch sees'}"


def _threads() -> str:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    set_here = {name: os.environ[name] for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS") if name in os.environ}
    given = ", ".join(f"{name}={value}" for name, value in set_here.items())
    return f"threads: {usable} cores usable by this process" + (f"; {given}" if given else "; kernels follow torch")


def _cache() -> str:
    from optgen.cached import entries
    from optgen.paths import cache_dir

    folder = cache_dir()
    above = next((parent for parent in (folder, *folder.parents) if parent.exists()), folder)
    writable = "" if os.access(above, os.W_OK) else "; it cannot be written: set OPTGEN_CACHE_DIR to a folder that can"
    stale = sum(entry.stale for entry in entries())
    old = f", {stale} of them stale: `optgen cache --clear --stale`" if stale else ""
    return f"cache: {folder}, {counted(entries())}{old}{writable}"


def _built() -> str:
    if generated() is None:
        return "built kernels of the rules that ship: missing, so each is compiled at first use; install optgen again"
    return "built kernels of the rules that ship: found"


def version_of(package: str) -> str | None:
    """The installed version of a package, without importing it."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def satisfies(version: str, wanted: str) -> bool:
    """Whether a version meets a specifier such as `>=0.60,<1`; only numbers are compared."""
    return all(_meets(_numbers(version), clause.strip()) for clause in wanted.split(",") if clause.strip())


def _meets(version: tuple[int, ...], clause: str) -> bool:
    sign, bound = re.fullmatch(r"(~=|[<>=!]=|[<>])?\s*(.*)", clause, re.DOTALL).groups()  # type: ignore[union-attr]
    wanted = _numbers(bound)
    width = max(len(version), len(wanted))
    have, want = (numbers + (0,) * (width - len(numbers)) for numbers in (version, wanted))
    match sign:
        case ">=":
            return have >= want
        case ">":
            return have > want
        case "<=":
            return have <= want
        case "<":
            return have < want
        case "!=":
            return have != want
        case "~=":
            return have >= want and version[: len(wanted) - 1] == wanted[:-1]
        case _:
            return have == want


def _numbers(version: str) -> tuple[int, ...]:
    release = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, release.group().split("."))) if release else (0,)
