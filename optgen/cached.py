"""What the user's cache holds, and removing it while other processes use it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from optgen import __version__
from optgen.paths import cache_dir
from optgen.runtime import cache
from optgen.runtime.modules import LAUNCHED

#: What people call the kinds of entries.
KINDS: Mapping[str, str] = {cache.KERNELS: "kernels", cache.CLASSES: "class"}
#: Below the cache folder: entries on their way out.
_TRASH = "trash"


@dataclass(frozen=True)
class Entry:
    """A folder of the cache. `made_by` names versions in words; nothing here would make or find a `stale` one."""

    path: Path
    kind: str
    made_by: str
    stale: bool
    files: int
    bytes: int


def entries() -> list[Entry]:
    """Everything that optgen keeps in the cache, sorted; what vanishes meanwhile is left out."""
    found = (_entry(kind, path) for kind in KINDS for path in _folders(cache_dir() / kind))
    return [entry for entry in found if entry.files]


def remove(chosen: Iterable[Entry]) -> list[Entry]:
    """Removes entries; those that could not be removed.

    An entry is renamed first, so that other processes find all of it or nothing, and never half of it.
    """
    trash = cache_dir() / _TRASH
    left = [entry for entry in chosen if not _moved(entry.path, trash)]
    shutil.rmtree(trash, ignore_errors=True)
    for kind in KINDS:
        with contextlib.suppress(OSError):  # not empty: new entries have come
            (cache_dir() / kind).rmdir()
    return left


def _moved(path: Path, trash: Path) -> bool:
    """Whether a folder is out of the way, here or because another process cleared too."""
    while path.exists():
        try:
            trash.mkdir(exist_ok=True)
            os.rename(path, trash / uuid.uuid4().hex)
        except FileNotFoundError:  # the other process took the entry, or the trash
            continue
        except OSError:
            return False
    return True


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:
        return []


def _entry(kind: str, path: Path) -> Entry:
    sizes = list(_sizes(path))
    made_by, stale = _judged(kind, path)
    return Entry(path, KINDS[kind], made_by, stale, len(sizes), sum(sizes))


def _sizes(folder: Path) -> Iterator[int]:
    for path in folder.rglob("*"):
        try:
            if path.is_file():
                yield path.stat().st_size
        except OSError:  # removed meanwhile by another process
            continue


def _judged(kind: str, path: Path) -> tuple[str, bool]:
    """(versions that made an entry, whether it is stale)."""
    try:
        about: object = json.loads((path / cache.ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "an unknown version", True
    if not isinstance(about, dict) or not isinstance(made_by := cast("dict[str, object]", about).get("made_by"), dict):
        return "an unknown version", True
    versions = cast("dict[str, str]", made_by)
    backend = str(cast("dict[str, object]", about).get("for"))
    now = _now(kind, backend)
    package = LAUNCHED[backend][1] if backend in LAUNCHED else ""
    named = ", ".join(f"{name} {versions[name]}" for name in ("optgen", package) if versions.get(name))
    same = all(versions.get(name) == now.get(name) for name in ("optgen", package))
    edited = " before an edit" if versions != now and same else ""
    return f"{named}{edited}", versions != now


def _now(kind: str, backend: str) -> dict[str, str]:
    """What would make an entry today."""
    if kind == cache.CLASSES:
        return {"optgen": __version__}
    return cache.made_by(backend, LAUNCHED[backend][1]) if backend in LAUNCHED else {}
