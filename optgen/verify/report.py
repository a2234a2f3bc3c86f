"""The outcome of a comparison, as data and as a table."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from optgen.spec.model import Setting

_COLUMNS = ("slot", "elements", "unbounded", "worst ulps", "of bound", "worst at")


@dataclass(frozen=True)
class Worst:
    """One difference: where and at which step (from 1), what the reference has and what the backend has."""

    tensor: str
    index: tuple[int, ...]
    step: int
    expected: float
    got: float

    def __str__(self) -> str:
        place = f"{self.tensor}[{', '.join(map(str, self.index))}]" if self.index else self.tensor
        return f"{place}, step {self.step}"


@dataclass(frozen=True)
class Line:
    """Differences of one slot over all tensors and steps.

    `ulps`: largest error in units in the last place of the slot's dtype at the expected value. `share`: largest error
    as a fraction of its bound. `unbounded`: comparisons without a finite bound, where the rule itself amplifies
    rounding without limit. `misses`: errors above their bound. `worst` belongs to `share`.
    """

    slot: str
    elements: int
    unbounded: int
    ulps: float
    share: float
    misses: int
    worst: Worst | None

    @property
    def ok(self) -> bool:
        """Whether every error is within its bound and at least one was compared with a finite one."""
        return self.misses == 0 and (self.elements == 0 or self.unbounded < self.elements)


@dataclass(frozen=True)
class Report:
    """What `compare` found: a line per slot."""

    rule: str
    backend: str
    dtype: str
    steps: int
    hypers: Mapping[str, Setting]
    lines: Sequence[Line]

    @property
    def ok(self) -> bool:
        """Whether every slot agrees."""
        return all(line.ok for line in self.lines)

    @property
    def ulps(self) -> float:
        """Largest error of all, in units in the last place."""
        return max((line.ulps for line in self.lines), default=0.0)

    @property
    def share(self) -> float:
        """Largest error of all as a fraction of its bound; above 1 it is a miss."""
        return max((line.share for line in self.lines), default=0.0)

    def line(self, slot: str) -> Line:
        """The line of a slot."""
        return next(line for line in self.lines if line.slot == slot)

    def __str__(self) -> str:
        cells = [_COLUMNS, *(_cells(line) for line in self.lines)]
        widths = [max(len(row[i]) for row in cells) for i in range(len(_COLUMNS))]
        rows = ("  ".join(_aligned(i, text, widths[i]) for i, text in enumerate(row)).rstrip() for row in cells)
        return "\n".join([self._head(), *(f"  {row}" for row in rows), *self._misses()])

    def show(self) -> None:
        """Print: with colours on a terminal, as plain lines elsewhere."""
        if not sys.stdout.isatty():
            print(self)
            return
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(title=self._head(), title_justify="left", box=None, pad_edge=False, header_style="bold")
        for i, column in enumerate(_COLUMNS):
            table.add_column(column, justify="right" if 0 < i < 5 else "left")
        for line in self.lines:
            style = "" if line.ok else "bold red"
            table.add_row(*(Text(cell, style=style) for cell in _cells(line)))
        console = Console()
        console.print(table)
        for miss in self._misses():
            console.print(Text(miss, style="red"))

    def _head(self) -> str:
        verdict = "agrees" if self.ok else "DIFFERS"
        return f"{self.rule} on {self.backend}, {self.dtype}: {verdict} with the reference over {self.steps} steps"

    def _misses(self) -> list[str]:
        return [
            f"  {line.slot}: {line.misses} of {line.elements} values are outside their bounds; the worst, "
            f"{line.worst}, is {line.worst.got!r} where {line.worst.expected!r} is expected"
            for line in self.lines
            if line.misses and line.worst is not None
        ] + [
            f"  {line.slot}: none of {line.elements} values has a finite bound, so nothing was checked"
            for line in self.lines
            if not line.ok and not line.misses
        ]


def _cells(line: Line) -> tuple[str, ...]:
    worst = "" if line.worst is None else str(line.worst)
    return line.slot, f"{line.elements}", f"{line.unbounded}", f"{line.ulps:.3g}", f"{line.share:.2g}", worst


def _aligned(column: int, text: str, width: int) -> str:
    return text.rjust(width) if 0 < column < 5 else text.ljust(width)
