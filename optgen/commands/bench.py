"""`optgen bench`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from optgen.commands import completing
from optgen.commands.arguments import backend_names, check_backend, read_assignments, set_option
from optgen.commands.output import table, tracked
from optgen.errors import BackendError, UsageError

if TYPE_CHECKING:
    from optgen.bench.run import Comparison

#: Names of the parameter lists of `optgen.bench.run`, which is imported when something is measured.
SHAPES = ("tensor", "resnet50", "gpt2-small", "many-small")


@click.command("bench")
@click.argument("rules", metavar="RULE...", nargs=-1, required=True, shell_complete=completing.rules)
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--backend", metavar=backend_names(), default=None, shell_complete=completing.backends)
@click.option(
    "--against",
    metavar="PEER[:NAME],...",
    default="",
    help="Any of torch, torch-compile, optax, axpy; NAME is another optimizer than the rule's own. All quick ones that "
    "are installed by default.",
)
@click.option("--shapes", type=click.Choice(SHAPES), default="resnet50", show_default=True, help="What is stepped.")
@set_option
@click.option("--repeats", type=click.IntRange(min=1), default=15, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="As JSON, with the machine and the versions.")
@click.option("--plot", type=click.Path(path_type=Path), default=None, metavar="FILE.png", help="Draw it too.")
def command(
    rules: tuple[str, ...],
    device: str,
    backend: str | None,
    against: str,
    shapes: str,
    assignments: tuple[tuple[str, str], ...],
    repeats: int,
    as_json: bool,
    plot: Path | None,
) -> None:
    """Time a whole step of rules, beside other libraries' optimizers of the same name.

    Steps are taken in turn in one process; figures are medians. Parameters and gradients are float32. GB/s counts the
    bytes that the rule has to move. The exit code says nothing about speed.
    """
    _check_torch(device)
    from optgen.bench import plot as picture
    from optgen.bench.run import compare
    from optgen.bench.sides import choose
    from optgen.generate import accept
    from optgen.runtime.modules import choose_backend
    from optgen.spec.loader import load

    if backend is not None:
        check_backend(backend)
    choose_backend(backend, device)
    peers = choose([each.strip() for each in against.split(",") if each.strip()], device)
    if plot is not None:
        picture.check(plot)
    specs = [load(rule) for rule in dict.fromkeys(rules)]
    found: list[Comparison] = []
    for spec in tracked(specs, lambda spec: spec.name):
        choices = {hyper.name: hyper for hyper in spec.hypers.values() if hyper.kind == "choice"}
        given = accept(spec, read_assignments(assignments, choices))
        made = compare(spec, shapes, peers, device=device, backend=backend, given=given, repeats=repeats)
        found.append(made)
    if as_json:
        _print_json(found, device)
    else:
        _print_table(found)
    if plot is not None:
        picture.plot(found, plot)


def _check_torch(device: str) -> None:
    try:
        import torch
    except ImportError as error:
        raise UsageError('optgen bench steps torch optimizers: pip install "optgen[torch]"') from error
    if device == "cuda" and not torch.cuda.is_available():
        built = "" if torch.version.cuda else "; this build of torch is for CPUs only"
        raise BackendError(f"torch sees no GPU here{built}. Measure on the CPU: --device cpu")


def _print_table(found: list[Comparison]) -> None:
    rows = [
        (
            each.rule if i == 0 else "",
            side.name,
            f"{side.ms:.3f}",
            "" if side.gigabytes_per_s is None else f"{side.gigabytes_per_s:.1f}",
            "" if i == 0 else f"{side.ratio:.2f}x",
        )
        for each in found
        for i, side in enumerate(each.sides)
    ]
    first = found[0]
    click.echo(f"{first.shapes}: {first.elements:,} parameters in {first.tensors} tensors, {_threads()}")
    table(("rule", "who", "ms/step", "GB/s", "optgen/who"), rows, right=(2, 3, 4))
    for note in dict.fromkeys(note for each in found for note in each.notes):
        click.echo(note)


def _print_json(found: list[Comparison], device: str) -> None:
    from optgen.bench.machine import about

    click.echo(
        json.dumps({**about("optgen bench"), "device": device, "rows": [asdict(each) for each in found]}, indent=1)
    )


def _threads() -> str:
    import torch

    return f"{torch.get_num_threads()} threads, medians"
