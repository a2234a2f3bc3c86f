"""`optgen explain`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, cast

import click

from optgen.commands import completing
from optgen.commands.arguments import given_values, preset_option, set_option
from optgen.commands.output import code, table

if TYPE_CHECKING:
    from optgen.explain import Explanation, StorageData, SweepData, VariantData
    from optgen.spec.model import Spec
    from optgen.spec.syntax import Stmt

#: What the step of one element depends on.
_REACH = {
    "elem": "works element by element: parts of a tensor can be stepped apart",
    "tensor": "needs whole tensors: a part of one cannot be stepped alone",
    "layer": "needs whole layers: a part of one cannot be stepped alone",
    "model": "needs the whole model: a part of it cannot be stepped alone",
}


@click.command("explain")
@click.argument("rule", shell_complete=completing.rules)
@click.option("form", "--format", type=click.Choice(["text", "json", "latex"]), default="text", show_default=True)
@set_option
@preset_option
def command(rule: str, form: str, assignments: tuple[tuple[str, str], ...], preset: str | None) -> None:
    """What a rule computes and what it costs: equations, types, sweeps, bytes per parameter, facts.

    Figures are for float32. A location counts once per sweep, as memory sees it; "issued" counts what the kernel's text
    loads and stores, where reading the neighbours of a layer counts twice, as on a path.
    """
    from optgen.spec.loader import load

    spec = load(rule)
    if form == "latex":
        from optgen.algebra.latex import to_latex

        click.echo(to_latex(spec))
        return
    from optgen.explain import explain, storage

    given = given_values(spec, preset, assignments)
    found = explain(spec, given)
    if form == "json":
        whole = {**found, "storage": storage(spec, given)}
        click.echo(json.dumps(_finite(whole), indent=2, allow_nan=False))
    else:
        _text(spec, found)
        _storage(storage(spec, given))


def _finite(data: object) -> object:
    """The data with infinities as words: JSON has none."""
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in cast("dict[str, object]", data).items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in cast("Sequence[object]", data)]
    return str(data) if isinstance(data, float) and not math.isfinite(data) else data


def _text(spec: Spec, found: Explanation) -> None:
    click.echo(f"{found['rule']}: {found['title']} ({found['class_name']})")
    if found["reference"]:
        click.echo(f"reference: {found['reference']}")
    _head("equations")
    for stage, body in spec.stages.items():
        if body:
            click.echo(f"  {stage}:")
            code(equations(body, 2))
    _head("hyper-parameters")
    rows = [(n, str(h["default"]), h["domain"] or "/".join(h["choices"]), h["doc"]) for n, h in found["hyper"].items()]
    table(("name", "default", "domain", "about"), rows)
    if found["state"]:
        _head("state")
        states = [(n, s["extent"], s["dtype"], str(s["bytes_per_param"]), s["doc"]) for n, s in found["state"].items()]
        table(("name", "per", "dtype", "bytes per param", "about"), states, right=(3,))
    _head("types")
    table(("name", "holds"), list(found["values"].items()))
    _head("settled")
    for name, value in found["settled"].items():
        click.echo(f"  {name}: {str(value).lower() if isinstance(value, bool) else value}")
    for variant in found["variants"]:
        _variant(variant, variant["name"] == found["primary"] and len(found["variants"]) > 1)
    _head("facts")
    click.echo(f"  state: {found['state_bytes_per_param']} bytes per parameter of a matrix")
    click.echo(f"  {_REACH[found['reach']]}")
    if found["exact"]:
        click.echo(
            "  element work uses only + - * / sqrt, comparisons, min, max, abs, sign, where: bits can be reproduced"
        )
    else:
        click.echo(f"  element work uses {', '.join(found['inexact'])}, which backends round differently")
    for claim in found["claims"]:
        how = {"proven": "proven from the equations", "numeric": "numeric: `optgen check` runs both rules"}
        click.echo(f"  claim: {claim['text']} ({how[claim['shown']]})")


def _storage(costs: Mapping[str, StorageData]) -> None:
    """What the rule costs in other dtypes: of parameters and gradients, `*=` of state, with or without a master."""
    _head("storage")
    rows = [(t, str(d["bytes_per_param"]), str(d["state_bytes_per_param"])) for t, d in costs.items()]
    table(("dtypes", "bytes per param", "of state"), rows, right=(1, 2))


def _head(title: str) -> None:
    click.echo()
    click.secho(title, bold=True)


def _variant(variant: VariantData, primary: bool) -> None:
    _head(f"tensors where {variant['when']}" if variant["when"] != "always" else "every tensor")
    if primary:
        click.echo("  (a matrix at depth 0 in its first step takes this one)")
    table(
        ("sweep", "reads", "writes", "reductions"),
        [
            (str(number), _reads(sweep), _words(sweep["writes"]), _words(sweep["reductions"]))
            for number, sweep in enumerate(variant["sweeps"], 1)
        ],
    )
    for call in variant["calls"]:
        what = f"{call['function']} of {call['operand']} to {call['result']}"
        click.echo(f"  after sweep {call['after_sweep']}: {what}, {call['cost']}")
    figures = f"{variant['bytes_per_param']} bytes per parameter ({variant['issued_bytes_per_param']} issued)"
    click.echo(f"  {figures}, {variant['scratch_bytes_per_param']} of scratch, collectives: {variant['collectives']}")


def _reads(sweep: SweepData) -> str:
    return _words([f"{name} (neighbours too)" if name in sweep["neighbours"] else name for name in sweep["reads"]])


def _words(names: Sequence[str]) -> str:
    return ", ".join(names) or "-"


def equations(body: Sequence[Stmt], depth: int) -> Iterator[str]:
    """Statements as they are written, indented by depth."""
    from optgen.spec.syntax import If

    indent = "    " * depth
    for statement in body:
        if not isinstance(statement, If):
            yield indent + statement.text
            continue
        yield from _branch(statement, depth)


def _branch(statement: Stmt, depth: int) -> Iterator[str]:
    from optgen.frontends.python_text import canonical
    from optgen.spec.syntax import If

    indent, word = "    " * depth, "if"
    rest: Sequence[Stmt] = (statement,)
    while len(rest) == 1 and isinstance(branch := rest[0], If):
        yield f"{indent}{word} {canonical(branch.condition)}:"
        yield from equations(branch.then, depth + 1)
        rest, word = branch.orelse, "elif"
    if rest:
        yield f"{indent}else:"
        yield from equations(rest, depth + 1)
