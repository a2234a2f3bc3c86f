"""What a rule written in Python declares beside its equations: hypers, states and inputs, and their YAML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from optgen.errors import Location, UsageError
from optgen.spec.document import Listing, Node, Table, Word
from optgen.spec.syntax import NOWHERE

Plain = bool | int | float | str | None | Sequence["Plain"] | Mapping[str, "Plain"]
"""What YAML writes: words, numbers, lists and mappings."""


@dataclass(frozen=True)
class Declaration:
    """A declared name: `kind` is the key of the rule text it goes under, `fields` what stands there."""

    kind: str
    fields: Mapping[str, Plain]


def hyper(
    default: bool | int | float | str | Sequence[float],
    *,
    domain: str = "",
    choices: Sequence[str] = (),
    over: str = "",
    doc: str = "",
    symbol: str = "",
    **names: str,
) -> Declaration:
    """A hyper-parameter of a rule written in Python.

    `domain` is as in a rule text (`">= 0"`, `"[0, 1)"`, `"int >= 1"`), `choices` are the words it may be; with
    `over="model"` all groups share one value. `names` spell it per framework (`torch="betas[0]"`).
    """
    given = {"domain": domain, "choices": list(choices), "over": over, "doc": doc, "symbol": symbol, **names}
    return Declaration("hyper", {"default": default, **{key: value for key, value in given.items() if value}})


def state(start: str | float, *, dtype: str = "", doc: str = "", symbol: str = "", **names: str) -> Declaration:
    """A state of a rule written in Python; `start`, an expression of the language, says how fine it is.

    `dtype` is what it is stored in, `names` spell it per framework (`torch="exp_avg"`).
    """
    given = {"dtype": dtype, "doc": doc, "symbol": symbol, **names}
    return Declaration("state", {"start": start, **{key: value for key, value in given.items() if value}})


def input(extent: str, *, doc: str = "") -> Declaration:  # noqa: A001
    """A value that the caller passes to every step, one number per `extent`."""
    return Declaration("inputs", {"extent": extent, **({"doc": doc} if doc else {})})


def node(value: Plain, where: Location = NOWHERE) -> Node:
    """A value as a node of a rule text, all of it at one place."""
    match value:
        case None | bool() | int() | float():
            return Word(_number(value), "", where, where)
        case str():
            return Word(value, '"', where, where)
        case Mapping():
            return Table({key: node(entry, where) for key, entry in value.items()}, dict.fromkeys(value, where), where)
        case Sequence():
            return Listing(tuple(node(entry, where) for entry in value), where)
    raise UsageError(f"{value!r} cannot stand in a rule: it is made of words, numbers, lists and mappings")


def _number(value: bool | int | float | None) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = repr(float(value)) if isinstance(value, float) else repr(int(value))
    return {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}.get(text, text)
