"""`optgen cache`."""

from __future__ import annotations

import shutil
from pathlib import Path

import click


@click.command("cache")
@click.option("--clear", is_flag=True, help="Remove everything in it.")
def command(clear: bool) -> None:
    """Where built kernels are kept, and how much there is. OPTGEN_CACHE_DIR names another folder."""
    from optgen.paths import cache_dir

    folder = cache_dir()
    files, size = contents(folder)
    if clear:
        _clear(folder)
        click.echo(f"removed {files} files ({megabytes(size)}) from {folder}")
    else:
        click.echo(f"{folder}: {files} files, {megabytes(size)}")


def contents(folder: Path) -> tuple[int, int]:
    """(number of files, bytes) below the folders that optgen keeps there; none where there is no such folder."""
    from optgen.api import CACHED

    sizes: list[int] = []
    for part in CACHED:
        for path in (folder / part).rglob("*"):
            try:
                sizes += [path.stat().st_size] if path.is_file() else []
            except OSError:  # removed meanwhile by another process
                continue
    return len(sizes), sum(sizes)


def megabytes(size: int) -> str:
    """A size as people read it."""
    return f"{size / 1e6:.1f} MB"


def _clear(folder: Path) -> None:
    """Removes only what optgen wrote there: a folder named by mistake keeps everything else."""
    from optgen.api import CACHED

    for part in CACHED:
        shutil.rmtree(folder / part, ignore_errors=True)
