"""`optgen cache`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from optgen.commands.output import table
from optgen.errors import UsageError

if TYPE_CHECKING:
    from optgen.cached import Entry


@click.command("cache")
@click.option("--clear", is_flag=True, help="Remove what optgen keeps there; running programs are not disturbed.")
@click.option("--stale", is_flag=True, help="With --clear: only what other versions made, which nothing here uses.")
def command(clear: bool, stale: bool) -> None:
    """Where built kernels and classes are kept, how much there is, and what made it.

    OPTGEN_CACHE_DIR names another folder.
    """
    from optgen.cached import entries, remove
    from optgen.paths import cache_dir

    if stale and not clear:
        raise click.UsageError("--stale says what to clear; add --clear")
    chosen = [entry for entry in entries() if entry.stale or not stale]
    if not clear:
        click.echo(f"{cache_dir()}: {counted(chosen)}")
        _show(chosen)
        return
    left = remove(chosen)
    click.echo(f"removed {counted([entry for entry in chosen if entry not in left])} from {cache_dir()}")
    if left:
        raise UsageError(f"{counted(left)} could not be removed: {left[0].path} is not writable here")


def counted(chosen: Sequence[Entry]) -> str:
    """Number of entries, files and bytes, as people read them."""
    files, size = sum(entry.files for entry in chosen), sum(entry.bytes for entry in chosen)
    return f"{len(chosen)} entr{'y' if len(chosen) == 1 else 'ies'} ({files} files, {megabytes(size)})"


def _show(chosen: Sequence[Entry]) -> None:
    grouped: defaultdict[tuple[str, str, bool], list[Entry]] = defaultdict(list)
    for entry in chosen:
        grouped[entry.kind, entry.made_by, entry.stale].append(entry)
    if not grouped:
        return
    rows = [
        (kind, str(len(group)), megabytes(sum(entry.bytes for entry in group)), made_by, "stale" if stale else "in use")
        for (kind, made_by, stale), group in sorted(grouped.items())
    ]
    table(("what", "entries", "size", "made by", "state"), rows, right=(1, 2))
    if any(stale for _, _, stale in grouped):
        click.echo("`optgen cache --clear --stale` removes what is stale, `optgen cache --clear` everything.")


def megabytes(size: int) -> str:
    """A size as people read it."""
    return f"{size / 1e6:.1f} MB"
