"""A comparison as a picture: a bar per side, a group of bars per rule."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from optgen.bench.run import Comparison
from optgen.errors import UsageError

_BAR = 0.32


def check(path: Path) -> None:
    """UsageError where no plot can be drawn or written, before anything is measured."""
    try:
        importlib.import_module("matplotlib")
    except ImportError as error:
        raise UsageError("--plot needs matplotlib: pip install matplotlib") from error
    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise UsageError(f"{path} names no kind of picture; end it with .png, .svg or .pdf")
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent} is no folder: --plot writes {path.name} into one that exists")


def plot(found: Sequence[Comparison], path: Path) -> None:
    """Writes the picture. UsageError where that cannot be done."""
    figures = cast(Any, importlib.import_module("matplotlib.figure"))
    bars = [(f"{each.rule}: {side.name}", side.ms, i == 0) for each in found for i, side in enumerate(each.sides)]
    figure = figures.Figure(figsize=(8, 1.2 + _BAR * len(bars)), layout="constrained")
    axes = figure.subplots()
    drawn = axes.barh(
        [label for label, _, _ in bars],
        [ms for _, ms, _ in bars],
        color=["tab:blue" if own else "tab:gray" for _, _, own in bars],
    )
    axes.bar_label(drawn, fmt="%.3g", padding=3)
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.set_xlabel("ms per step, median")
    axes.set_title(f"{found[0].shapes}: {found[0].elements:,} parameters in {found[0].tensors} tensors")
    try:
        figure.savefig(path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error
