"""What commands print: tables and progress on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import click

T = TypeVar("T")


def on_terminal() -> bool:
    """Whether a person is looking at the output."""
    return sys.stdout.isatty()


def say(text: str, *, error: bool = False) -> None:
    """A line that may be printed while a bar is shown: above the bar. (`click.echo` would write into it.)"""
    print(text, file=sys.stderr if error else sys.stdout)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> None:
    """A table; `right` are the columns of numbers. Elsewhere than on a terminal, aligned lines with a head."""
    listed = [list(row) for row in rows]
    if on_terminal():
        _rich_table(columns, listed, right)
        return
    lines = [list(columns), *listed]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    for line in lines:
        click.echo("  ".join(_cell(i, text, widths[i], right) for i, text in enumerate(line)).rstrip())


def code(lines: Iterable[str]) -> None:
    """Equations, coloured on a terminal."""
    text = "\n".join(lines)
    if not on_terminal():
        click.echo(text)
        return
    from rich.console import Console
    from rich.syntax import Syntax

    Console().print(Syntax(text, "python", theme="ansi_dark", background_color="default", word_wrap=True))


def _cell(column: int, text: str, width: int, right: Sequence[int]) -> str:
    return text.rjust(width) if column in right else text.ljust(width)


def _rich_table(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, header_style="bold")
    for i, column in enumerate(columns):
        made.add_column(column, justify="right" if i in right else "left")
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    Console().print(made)


def followed(items: Iterable[T], count: int, label: Callable[[T], str]) -> Iterator[T]:
    """Items as they come, so many in all, with a bar below what is printed meanwhile and the last one named in it."""
    if not on_terminal():
        yield from items
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, transient=True) as bar:
        task = bar.add_task("", total=count)
        for item in items:
            bar.update(task, description=label(item), advance=1)
            yield item


def tracked(items: Sequence[T], label: Callable[[T], str]) -> Iterator[T]:
    """The items, with a bar below what is printed meanwhile; elsewhere than on a terminal, just the items."""
    if not on_terminal():
        yield from items
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, transient=True) as bar:
        task = bar.add_task("", total=len(items))
        for item in items:
            bar.update(task, description=label(item))
            yield item
            bar.advance(task)
