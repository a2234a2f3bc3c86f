"""The user's cache of what was compiled: folders, their names, and writing them while other processes do the same.

An entry is a folder below `KERNELS` or `CLASSES`, with a file that says what made it. Its name depends on everything
that its content depends on, so that entries are never changed: another version of anything makes another entry.
"""

from __future__ import annotations

import atexit
import hashlib
import importlib.util
import json
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path

from optgen.errors import BackendError
from optgen.paths import CACHE_VARIABLE, cache_dir
from optgen.runtime import abi

KERNELS, CLASSES = "modules", "classes"
#: File of an entry: what it holds, and the versions that made it.
ABOUT = "about.json"
#: How often a file is written again because its folder was cleared meanwhile.
ATTEMPTS = 20

#: This process's own folder, once it turned out that the user's cache cannot be written.
_temporary: list[Path] = []


def folders(kind: str) -> list[Path]:
    """Where entries of a kind are looked for."""
    return [folder / kind for folder in (cache_dir(), *_temporary)]


def made_by(backend: str, package: str) -> dict[str, str]:
    """Everything that kernels of a backend depend on besides the rule and its choices. `package` is what runs them."""
    return {
        "optgen": version("optgen"),
        "interface": str(abi.VERSION),
        "compiler": _compiler_digest(),
        "backend": _backend_digest(backend),
        package: version(package),
        "python": sys.implementation.cache_tag or "",
    }


def key(name: str, about: Mapping[str, object]) -> str:
    """Name of an entry's folder: the rule's, and a digest of what is to be in it."""
    return f"{name}-{hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:20]}"


def store(kind: str, entry: str, name: str, text: str, about: Mapping[str, object]) -> Path:
    """Writes a file of an entry, and what it is about; the path, which is a temporary one if it has to be.

    A cache that cannot be written is a warning, once. BackendError if there is no folder to write to at all.
    """
    folder = writable(kind) / entry
    write(folder / ABOUT, described(about))
    return write(folder / name, text)


def described(about: Mapping[str, object]) -> str:
    """Text of the file that says what an entry is about."""
    return json.dumps(about, indent=1, sort_keys=True) + "\n"


def writable(kind: str) -> Path:
    """A folder for entries of a kind: the user's, else one of this process's own, with a warning."""
    folder = cache_dir() / kind
    for attempt in range(ATTEMPTS):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError as error:
            cleared = isinstance(error, FileNotFoundError)  # by another process, between the two lines above
            if not cleared or attempt == ATTEMPTS - 1:
                return _own_folder(error) / kind
    raise AssertionError("every attempt returns or goes on")


def _own_folder(reason: OSError) -> Path:
    if not _temporary:
        try:
            folder = tempfile.mkdtemp(prefix="optgen-")
        except OSError as error:
            raise BackendError(
                f"neither the cache folder {cache_dir()} ({reason.strerror}) nor a temporary folder can be written "
                f"({error.strerror}): set {CACHE_VARIABLE} to a folder that can"
            ) from error
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        _temporary.append(Path(folder))
        warnings.warn(
            f"the cache folder {cache_dir()} cannot be written ({reason.strerror}): what is compiled is kept for this "
            f"process alone. Set {CACHE_VARIABLE} to a folder that can be written",
            RuntimeWarning,
            stacklevel=2,
        )
    return _temporary[0]


def write(path: Path, text: str) -> Path:
    """Writes a file so that other processes see all of it or nothing. OSError where it cannot be."""
    for _ in range(ATTEMPTS):
        try:
            return _write(path, text)
        except (
            FileNotFoundError,
            FileExistsError,
        ):  # another process cleared the cache meanwhile, or while mkdir looked
            continue
    return _write(path, text)


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


@cache
def version(package: str) -> str:
    """The installed version of a package, empty where there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


@cache
def _compiler_digest() -> str:
    """Sizes and times of the compiler's own files: an edited checkout does not find what it made before the edit."""
    return _files_digest(Path(__file__).resolve().parents[1])


@cache
def _backend_digest(backend: str) -> str:
    """The same of the package that emits a backend's kernels, found without importing it."""
    for entry in metadata.entry_points(group="optgen.backends", name=backend):
        found = importlib.util.find_spec(entry.module.partition(".")[0])
        if found is not None and found.origin:
            return _files_digest(Path(found.origin).parent)
    return ""


def _files_digest(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)
    seen = [(str(p.relative_to(folder)), (s := p.stat()).st_size, s.st_mtime_ns) for p in files]
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()
