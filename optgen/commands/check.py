"""`optgen check`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from optgen.commands import completing
from optgen.commands.arguments import DTYPES
from optgen.commands.output import say, tracked
from optgen.errors import OptgenError, SpecError

if TYPE_CHECKING:
    from optgen.explain import Explanation
    from optgen.spec.model import Spec


@click.command("check")
@click.argument("specs", metavar="SPEC...", nargs=-1, required=True, shell_complete=completing.rules)
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
    if spec.kind == "transform":
        return _transform(origin, spec)
    found = explain(spec)
    files(Request(spec, installed(), DTYPES[:1], list(FRAMEWORKS)))  # other dtypes differ in widths alone

    from optgen.verify.examples import check as check_examples

    if diagnostics := check_examples(spec):
        raise SpecError(diagnostics)
    costs = f"{found['bytes_per_param']} bytes moved and {found['state_bytes_per_param']} of state per parameter"
    return f"{origin}: ok ({costs}; examples: {len(spec.examples)}, claims: {_claims(found)})"


def _claims(found: Explanation) -> str:
    """How many claims there are, and how many of them follow from the equations."""
    proven = sum(claim["shown"] == "proven" for claim in found["claims"])
    return f"{len(found['claims'])}, {proven} of them proven" if found["claims"] else "0"


def _transform(origin: str, spec: Spec) -> str:
    """The same about a transform, which is checked as it joins the rules of its examples."""
    rules = list(dict.fromkeys(example.rule for example in spec.examples if example.rule))
    for rule in rules:
        check(f"{rule}+{origin}")
    joined = f"joined to {', '.join(rules)}" if rules else "without an example, so nothing was run"
    return f"{origin}: ok (a transform, {joined}; examples: {len(spec.examples)}, claims: {len(spec.claims)})"
