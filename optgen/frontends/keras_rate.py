"""Writes the rate that a rule's step takes, where the rule makes its own of the learning rate, as a Python function.

It is the part of the rule's `update` that leads from `lr` to another scalar, read from hyper-parameters and the step.
"""

from __future__ import annotations

from collections.abc import Sequence

from optgen.errors import OptgenError
from optgen.frontends.layout import fitted
from optgen.frontends.python_text import Expressions
from optgen.frontends.settling import read_names
from optgen.spec.functions import CONSTANTS
from optgen.spec.model import Spec
from optgen.spec.syntax import Assign, If, Name, Stmt, statements

_RATE = Name("lr")


def rate_text(spec: Spec) -> str | None:
    """The function, or None where a step takes `lr` itself, or a rate that values of the step decide."""
    body = spec.stages.get("update", ())
    named = (s for s in body if isinstance(s, Assign) and s.value == _RATE and len(s.targets) == 1)
    first = next(named, None)
    if first is None or first.targets[0] in spec.states:
        return None
    rate = first.targets[0]
    wanted = _needed(body, rate)
    known = {*spec.hypers, *CONSTANTS, "step", *wanted}
    if not all(_reads(s) <= known for s in statements(body) if isinstance(s, Assign) and wanted & set(s.targets)):
        return None
    write = Expressions(lambda name: f'hyper["{name}"]' if name in spec.hypers else name)
    try:
        lines = _lines(body, wanted, write, "    ")
    except OptgenError:  # it reads more than scalars
        return None
    head = ["def _rate(hyper: Hypers, step: int) -> float:", '    """The rate that a step takes."""']
    return fitted([*head, *lines, f"    return float({rate})"])


def _reads(statement: Assign) -> set[str]:
    return read_names(statement.value)


def _needed(body: Sequence[Stmt], rate: str) -> set[str]:
    """Locals that the rate is made of, itself among them."""
    wanted, assigns = {rate}, [s for s in statements(body) if isinstance(s, Assign)]
    targets = {target for s in assigns for target in s.targets} - {"param"}
    while True:
        more = {name for s in assigns if wanted & set(s.targets) for name in _reads(s) & targets} - wanted
        if not more:
            return wanted
        wanted |= more


def _lines(body: Sequence[Stmt], wanted: set[str], write: Expressions, indent: str) -> list[str]:
    found: list[str] = []
    for statement in body:
        if isinstance(statement, Assign) and wanted & set(statement.targets):
            found.append(f"{indent}{statement.targets[0]} = {write.text(statement.value)}")
        elif isinstance(statement, If):
            then, orelse = (_lines(part, wanted, write, f"{indent}    ") for part in (statement.then, statement.orelse))
            if then or orelse:
                found += [f"{indent}if {write.text(statement.condition)}:", *(then or [f"{indent}    pass"])]
                found += [f"{indent}else:", *orelse] if orelse else []
    return found
