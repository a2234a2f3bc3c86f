"""Files that are whole: a new one takes a name once it is finished and on the disk; until then the old one has it."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def replacing(target: Path, keep: int = 0) -> Generator[BinaryIO]:
    """A new file in the target's folder, which takes the target's place once it is written and on the disk.

    With `keep`, so many older ones stay as `target.1` (the latest), `target.2`, ... An exception leaves all as it was.
    """
    temporary = _temporary(target)
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if keep:
            _move_on(target, keep)
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def _move_on(target: Path, keep: int) -> None:
    """`target.1` becomes `target.2` and so on, and `target` is `target.1` too: it never is without its name."""
    if not target.exists():
        return
    older = [target.with_name(f"{target.name}.{number}") for number in range(1, keep + 1)]
    for source, destination in zip(reversed(older[:-1]), reversed(older[1:]), strict=True):
        if source.exists():
            os.replace(source, destination)
    temporary = _temporary(older[0])
    try:
        try:
            os.link(target, temporary)
        except OSError:  # a file system without links
            shutil.copyfile(target, temporary)
        os.replace(temporary, older[0])
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _temporary(path: Path) -> Path:
    """A name beside a path that no file has."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")


def _sync_folder(folder: Path) -> None:
    """Puts the new name on the disk, where the system lets a folder be opened."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        with contextlib.suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)
