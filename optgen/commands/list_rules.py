"""`optgen list`."""

from __future__ import annotations

import json

import click

from optgen.commands.output import table, tracked


@click.command("list")
@click.option("as_json", "--json", is_flag=True, help="As JSON.")
@click.option("only_transforms", "--transforms", is_flag=True, help="Only the transforms, which join rules.")
def command(as_json: bool, only_transforms: bool) -> None:
    """The rules that ship: name, title, class, bytes of state per parameter in float32, backends.

    Transforms follow: each joins a rule, or several each other and a rule, as in RULE+TRANSFORM.
    """
    if only_transforms:
        _transforms(as_json)
        return
    from optgen.backend.registry import REFERENCE, installed
    from optgen.catalogue import entries
    from optgen.spec.loader import shipped

    backends = [*installed(), REFERENCE]
    lines = entries()
    found = [next(lines) for _ in tracked(shipped(), str)]
    if as_json:
        entries = [
            {
                "name": rule["name"],
                "title": rule["title"],
                "class": rule["class_name"],
                "state_bytes_per_param": rule["state_bytes_per_param"],
                "backends": backends,
            }
            for rule in found
        ]
        click.echo(json.dumps(entries, indent=2))
        return
    columns = ("name", "class", "state bytes", "bytes moved", "backends", "title")
    table(
        columns,
        [
            (
                rule["name"],
                rule["class_name"],
                str(rule["state_bytes_per_param"]),
                str(rule["bytes_per_param"]),
                ", ".join(backends),
                rule["title"],
            )
            for rule in found
        ],
        right=(2, 3),
    )
    click.echo(
        "Bytes are per parameter, of a matrix in float32. A rule of your own is given by its path: ./my_rule.yaml"
    )
    click.echo()
    _transforms(as_json)


def _transforms(as_json: bool) -> None:
    """The transforms that ship: name, title, what can be set."""
    from optgen.spec.loader import load, transforms

    found = [load(name) for name in transforms()]
    if as_json:
        entries = [
            {
                "name": spec.name,
                "title": spec.title,
                "hyper": [h.name for h in spec.hypers.values() if h.kind != "base"],
                "example": f"{example.rule}+{spec.name}",
            }
            for spec in found
            for example in spec.examples[:1]
        ]
        click.echo(json.dumps(entries, indent=2))
        return
    rows = [
        (spec.name, ", ".join(h.name for h in spec.hypers.values() if h.kind != "base"), spec.title) for spec in found
    ]
    table(("transform", "arguments", "title"), rows)
    click.echo("A transform joins a rule: RULE+TRANSFORM. Its arguments are then called TRANSFORM_ARGUMENT.")
