"""`optgen verify`."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import click

from optgen.commands import completing
from optgen.commands.arguments import DTYPES, backend_names, check_backend, dtype_option
from optgen.commands.output import say, tracked

if TYPE_CHECKING:
    from optgen.spec.model import Spec


@click.command("verify")
@click.argument("rules", metavar="RULE...", nargs=-1, required=True, shell_complete=completing.rules)
@click.option(
    "backends",
    "--backend",
    metavar=backend_names(),
    multiple=True,
    help="All that are installed by default.",
    shell_complete=completing.backends,
)
@dtype_option
def command(rules: tuple[str, ...], backends: tuple[str, ...], dtypes: tuple[str, ...]) -> None:
    """Run generated kernels against the float64 meaning of the rule, and report how far apart they are.

    Exits with 1 if a difference exceeds the bound that follows from the dtype and the number of operations.
    """
    from optgen.backend.registry import REFERENCE, backend, installed
    from optgen.errors import UsageError
    from optgen.generate import serves_here, takes_arrays
    from optgen.spec.loader import load

    wanted = [check_backend(name) for name in backends] or [name for name in installed() if serves_here(name)]
    if REFERENCE in wanted:
        raise UsageError(f'"{REFERENCE}" is what the others are compared with; name another backend')
    for name in wanted:
        backend(name)
        if takes_arrays(name):
            raise UsageError(f'"{name}" has no kernels for torch tensors to compare; name another backend')
    specs = [load(rule) for rule in dict.fromkeys(rules)]
    cases = list(product(specs, dict.fromkeys(wanted), dict.fromkeys(dtypes or DTYPES)))
    missed = sum(not _verify(*case) for case in tracked(cases, lambda case: f"{case[0].name} {case[1]} {case[2]}"))
    if missed:
        raise SystemExit(1)


def _verify(spec: Spec, backend: str, dtype: str) -> bool:
    """Prints the report of one comparison; whether every difference is within its bound."""
    from optgen.verify import compare

    report = compare(spec, backend=backend, dtype=dtype)
    say(str(report))
    return report.ok
