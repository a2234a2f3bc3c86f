"""`optgen check`."""

from __future__ import annotations

import click

from optgen.commands.arguments import DTYPES
from optgen.commands.output import say, tracked
from optgen.errors import OptgenError, SpecError


@click.command("check")
@click.argument("specs", metavar="SPEC...", nargs=-1, required=True)
def command(specs: tuple[str, ...]) -> None:
    """Check rules: their text, types, plan, worked examples and claims.

    SPEC is a shipped name or the path of a YAML file. Prints every problem with its line, and exits with 1 if there is
    one.
    """
    failed = 0
    for spec in tracked(specs, str):
        try:
            say(check(spec))
        except OptgenError as error:
            failed += 1
            text = str(error)
            say(text if isinstance(error, SpecError) else f"{spec}: error: {text}", error=True)
    if failed:
        raise SystemExit(1)


def check(origin: str) -> str:
    """A line about a rule in which nothing is wrong. SpecError or another OptgenError otherwise."""
    from optgen.backend.registry import installed
    from optgen.explain import explain
    from optgen.generate import FRAMEWORKS, Request, files
    from optgen.spec.loader import load

    spec = load(origin)
    found = explain(spec)
    files(Request(spec, installed(), DTYPES, list(FRAMEWORKS)))

    from optgen.verify.examples import check as check_examples

    if diagnostics := check_examples(spec):
        raise SpecError(diagnostics)
    costs = f"{found['bytes_per_param']} bytes moved and {found['state_bytes_per_param']} of state per parameter"
    return f"{origin}: ok ({costs}; examples: {len(spec.examples)}, claims: {len(spec.claims)})"
