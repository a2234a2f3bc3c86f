"""`optgen state`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import click

from optgen.commands import completing
from optgen.commands.output import table

if TYPE_CHECKING:
    from optgen.saved_state import Form, NeutralState, Parameter

_rule = click.option(
    "--rule",
    default="",
    metavar="RULE",
    help="Where its rule is, if it does not ship.",
    shell_complete=completing.rules,
)
_key = click.option("--key", default="", metavar="NAME", help="Which entry of a file that holds several things.")


@click.group("state")
def command() -> None:
    """Show a saved state of an optimizer, and convert it for another framework."""


@command.command("show")
@click.argument("file", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@_key
@_rule
def show(file: str, as_json: bool, key: str, rule: str) -> None:
    """Rule, settings, counts, and what is kept for every parameter."""
    from optgen.runtime.neutral_file import describe
    from optgen.saved_state import open_state

    state = open_state(file, key=key, rule=rule)
    if as_json:
        click.echo(json.dumps(describe(state)))
        return
    _show(state)


@command.command("convert")
@click.argument("source", type=click.Path())
@click.argument("target", type=click.Path())
@click.option(
    "--to",
    type=click.Choice(["neutral", "torch", "jax", "keras"]),
    required=True,
    help="Who reads TARGET; Keras reads neutral files.",
)
@click.option(
    "renames", "--rename", multiple=True, metavar="OLD=NEW", help="A parameter's other name; * stands for any text."
)
@click.option(
    "turned",
    "--transpose",
    multiple=True,
    metavar="NAME[=AXES]",
    help="A parameter (by its new name) that lies otherwise there: its last two axes change places, or AXES such as "
    "3,2,0,1 say which becomes which. By default nothing is transposed.",
)
@_key
@_rule
def convert(
    source: str, target: str, to: str, renames: Sequence[str], turned: Sequence[str], key: str, rule: str
) -> None:
    """Write the state in SOURCE to TARGET, for another framework or for all of them.

    SOURCE is a neutral file, a state dict or checkpoint of torch's, or what this command wrote. What Keras reads
    (`optgen.keras.load_state`) is the neutral file itself, with names and axes as asked.
    """
    from optgen.saved_state import convert as convert_state

    names = dict(_pair(text, "--rename") for text in renames)
    axes = dict(_axes(text) for text in turned)
    state = convert_state(source, target, cast("Form", to), names=names, transpose=axes, key=key, rule=rule)
    click.echo(f"{target}: {state.rule} after {state.global_step} steps, {len(state.parameters)} parameters, for {to}")


def _pair(text: str, option: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not old or not new or not equals:
        raise click.UsageError(f"{option} takes OLD=NEW, got {text!r}")
    return old, new


def _axes(text: str) -> tuple[str, bool | list[int]]:
    name, equals, order = text.partition("=")
    try:
        return name, [int(axis) for axis in order.split(",")] if equals else True
    except ValueError:
        raise click.UsageError(f"--transpose takes NAME or NAME=AXES such as w=1,0, got {text!r}") from None


def _show(state: NeutralState) -> None:
    click.echo(f"{state.rule}, {state.global_step} steps, written in {state.framework}")
    for index, group in enumerate(state.groups):
        hypers = ", ".join(f"{name} = {value!r}" for name, value in group.hypers.items())
        click.echo(f"group {index}: {hypers}{', maximize' if group.maximize else ''}")
    rows = [(p.name, _shape(p), str(p.group), str(p.updates), _state(p)) for p in state.parameters]
    table(("parameter", "shape", "group", "updates", "state"), rows, right=(2, 3))


def _shape(p: Parameter) -> str:
    return "?" if p.shape is None else "x".join(map(str, p.shape)) or "scalar"


def _state(p: Parameter) -> str:
    return ", ".join(f"{name} {x.dtype}{'' if x.shape == p.shape else list(x.shape)}" for name, x in p.state.items())
