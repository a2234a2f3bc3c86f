"""How a rule's hyper-parameters are spelled as arguments of a torch optimizer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from optgen.errors import UsageError
from optgen.frontends.documented import about
from optgen.frontends.python_text import literal, value
from optgen.spec.model import Hyper, Spec

_BETAS = ("beta1", "beta2", "beta3")
_SPELLED = re.compile(r"([A-Za-z][A-Za-z0-9_]*)(?:\[(\d)\])?")


@dataclass(frozen=True)
class Argument:
    """One argument: a hyper-parameter, or a tuple of several. `type`, `default` and `doc` are Python text."""

    name: str
    hypers: tuple[Hyper, ...]
    tuple: bool
    type: str
    default: str
    doc: str


def argument_of(spec: Spec, hyper: Hyper) -> str:
    """Where a parameter group keeps a hyper-parameter: its torch spelling, `betas[0]` for the first of a pair."""
    if spelled := hyper.names.get("torch"):
        if not _SPELLED.fullmatch(spelled):
            raise UsageError(f'{hyper.loc}: "{spelled}" is no argument; write a name, or an entry such as eps[0]')
        return spelled
    if hyper.name in _BETAS and "beta1" in spec.hypers and "beta2" in spec.hypers:
        return f"betas[{_BETAS.index(hyper.name)}]"
    return hyper.name


def arguments(spec: Spec) -> list[Argument]:
    """Arguments of the class, in the order of the rule's text."""
    grouped: dict[str, list[tuple[int | None, Hyper]]] = {}
    for hyper in spec.hypers.values():
        name, _, entry = argument_of(spec, hyper).partition("[")
        grouped.setdefault(name, []).append((int(entry[:-1]) if entry else None, hyper))
    return [_argument(name, entries) for name, entries in grouped.items()]


def _argument(name: str, entries: Sequence[tuple[int | None, Hyper]]) -> Argument:
    if entries[0][0] is None:
        if len(entries) > 1:
            raise UsageError(f'{entries[1][1].loc}: two hypers are both called "{name}" in torch')
        hyper = entries[0][1]
        return Argument(name, (hyper,), False, _type(hyper, name), value(hyper.default), about(hyper))
    ordered = [hyper for _, hyper in sorted(entries, key=lambda entry: -1 if entry[0] is None else entry[0])]
    if sorted(-1 if index is None else index for index, _ in entries) != list(range(len(entries))):
        raise UsageError(f'{entries[0][1].loc}: the entries of "{name}" must be [0] to [{len(entries) - 1}], each once')
    kind = f"tuple[{', '.join(_type(hyper, '') for hyper in ordered)}]"
    default = "(" + ", ".join(value(hyper.default) for hyper in ordered) + ")"
    return Argument(name, tuple(ordered), True, kind, default, "; ".join(about(hyper) for hyper in ordered))


def _type(hyper: Hyper, name: str) -> str:
    if hyper.kind == "choice":
        return f"Literal[{', '.join(map(literal, hyper.choices))}]"
    if hyper.kind == "list":
        return f"tuple[{', '.join('float' for _ in hyper.default)}]" if isinstance(hyper.default, tuple) else "tuple"
    if hyper.kind == "float" and name:
        return "float | Tensor"
    return hyper.kind


def uses(text: str, name: str) -> bool:
    """Whether a generated text uses a name as a word of code, outside its strings."""
    without = re.sub(r'"""(?:[^"\\]|\\.|"(?!""))*"""|"(?:[^"\\\n]|\\.)*"', '""', text)
    return re.search(rf"(?<![\w.]){re.escape(name)}\b", without) is not None
