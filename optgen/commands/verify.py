"""`optgen verify`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import product
from typing import TYPE_CHECKING

import click

from optgen.commands import completing
from optgen.commands.arguments import DTYPES, backend_names, check_backend, dtype_option
from optgen.commands.output import followed, say, table, tracked

if TYPE_CHECKING:
    from optgen.spec.model import Spec
    from optgen.verify.matrix import Cell, Column


@click.command("verify")
@click.argument("rules", metavar="[RULE]...", nargs=-1, shell_complete=completing.rules)
@click.option(
    "backends",
    "--backend",
    metavar=backend_names(),
    multiple=True,
    help="All that are installed by default.",
    shell_complete=completing.backends,
)
@dtype_option
@click.option("--all", "whole", is_flag=True, help="One table: every rule (or those named) on every backend.")
@click.option("--json", "as_json", is_flag=True, help="The table as JSON, with machine, versions and date.")
def command(
    rules: tuple[str, ...], backends: tuple[str, ...], dtypes: tuple[str, ...], whole: bool, as_json: bool
) -> None:
    """Run generated kernels against the float64 meaning of the rule, and report how far apart they are.

    With rules, a report of each slot for backends whose device is here. With --all, or without rules, a table of all
    rules on all backends behind all front ends, the same gradients through each; those whose device is missing run in
    their interpreters. Exits with 1 if a difference exceeds the bound that follows from the dtype and the operations.
    """
    named = [check_backend(name) for name in backends]
    if whole or as_json or not rules:
        _table(rules, named, dtypes or DTYPES, as_json)
    else:
        _reports(rules, named, dtypes or DTYPES)


def _reports(rules: Sequence[str], named: Sequence[str], dtypes: Sequence[str]) -> None:
    """A report per rule, backend and dtype, of those that run here behind torch."""
    from optgen.backend.registry import REFERENCE, backend, installed
    from optgen.errors import UsageError
    from optgen.generate import serves_here, takes_arrays
    from optgen.spec.loader import load

    wanted = named or [name for name in installed() if serves_here(name)]
    if REFERENCE in wanted:
        raise UsageError(f'"{REFERENCE}" is what the others are compared with; name another backend')
    for name in wanted:
        backend(name)
        if takes_arrays(name):
            raise UsageError(f'"{name}" has no kernels for torch tensors: name another backend, or compare with --all')
    specs = [load(rule) for rule in dict.fromkeys(rules)]
    cases = list(product(specs, dict.fromkeys(wanted), dict.fromkeys(dtypes)))
    missed = sum(not _verify(*case) for case in tracked(cases, lambda case: f"{case[0].name} {case[1]} {case[2]}"))
    if missed:
        raise SystemExit(1)


def _verify(spec: Spec, backend: str, dtype: str) -> bool:
    """Prints the report of one comparison; whether every difference is within its bound."""
    from optgen.verify import compare

    report = compare(spec, backend=backend, dtype=dtype)
    say(str(report))
    return report.ok


# --- the table


def _table(rules: Sequence[str], named: Sequence[str], dtypes: Sequence[str], as_json: bool) -> None:
    """All cells; exits with 1 if one is outside its bound or could not be made."""
    from optgen.backend.registry import REFERENCE, backend, installed
    from optgen.spec.loader import load, shipped
    from optgen.verify import matrix

    chosen = list(dict.fromkeys(rules or shipped()))
    for rule in chosen:
        load(rule)
    for name in named:
        if name != REFERENCE:
            backend(name)
    columns = matrix.columns(list(dict.fromkeys(named)) or [REFERENCE, *installed()])
    work = matrix.jobs(chosen, columns, list(dict.fromkeys(dtypes)))
    cells = list(followed(matrix.run(work), len(work), lambda cell: f"{cell.rule} {cell.column} {cell.dtype}"))
    cells.sort(key=lambda cell: (chosen.index(cell.rule), list(dtypes).index(cell.dtype), cell.column))
    options = [*rules, *(f"--backend {name}" for name in named), *(f"--dtype {dtype}" for dtype in dtypes)]
    click.echo(json.dumps(_described(cells, options), indent=1)) if as_json else _show(cells, columns)
    if not all(cell.ok for cell in cells):
        raise SystemExit(1)


def _described(cells: Sequence[Cell], options: Sequence[str]) -> dict[str, object]:
    from optgen.bench.machine import about
    from optgen.verify import matrix

    run = {"steps": matrix.STEPS, "seed": matrix.SEED, "shapes": {name: list(x) for name, x in matrix.SHAPES.items()}}
    return {
        **about(" ".join(["optgen verify --all --json", *options])),
        **run,
        "cells": [asdict(cell) for cell in cells],
    }


def _show(cells: Sequence[Cell], columns: Sequence[Column]) -> None:
    """A row per rule and dtype, a column per backend: ulps, and the largest share of a bound."""
    at = {(cell.rule, cell.dtype, cell.column): cell for cell in cells}
    names = [column.name for column in columns]
    rows = [
        (rule, dtype, *(_text(at.get((rule, dtype, name))) for name in names))
        for rule, dtype in dict.fromkeys((cell.rule, cell.dtype) for cell in cells)
    ]
    click.echo("Largest error in units in the last place, and as a part of what rounding alone may do.")
    table(("rule", "dtype", *names), rows, right=range(2, 2 + len(names)))
    for cell in cells:
        if not cell.ok:
            why = cell.error or f"{cell.worst} is {cell.share:.3g} of its bound"
            click.echo(f"{cell.rule} on {cell.column}, {cell.dtype}: {why}")
    missed = sum(not cell.ok for cell in cells)
    click.echo(f"{len(cells)} comparisons{f', {missed} of them missed' if missed else ' agree'}")


def _text(cell: Cell | None) -> str:
    if cell is None:
        return ""
    return f"{'' if cell.ok else 'MISS '}{cell.ulps:.3g} ({cell.share:.2f})" if not cell.error else "ERROR"
