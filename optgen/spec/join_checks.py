"""What can be wrong about texts that are joined, beyond what is wrong with any of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from optgen.errors import Location
from optgen.spec.functions import FUNCTIONS
from optgen.spec.model import Input, Matrix, Spec
from optgen.spec.source import Report
from optgen.spec.syntax import Assign, Call, Expr, If, Name, Stmt, Text, statements, walk
from optgen.spec.vocabulary import CHOOSER

Asked = Sequence[tuple[Spec, Location]]
"""Texts, and where each was asked for."""

_VIEWED = ("matrix", "row", "col")


def check_rules(report: Report, asked: Asked) -> None:
    """Exactly one of the texts is a rule, and it is joined with the transforms in one go."""
    rules = [(spec, where) for spec, where in asked if spec.kind == "rule"]
    if not rules:
        names = " and ".join(spec.name for spec, _ in asked)
        message = f"{names} {'is a transform' if len(asked) == 1 else 'are transforms'}, and there is no rule to join"
        report.error(asked[0][1], message, "name a rule among the parts: RULE+" + "+".join(s.name for s, _ in asked))
    for spec, where in rules[1:]:
        message = f"{rules[0][0].name} and {spec.name} are both rules; only one can step"
        hint = "join transforms to one of them; `when:` and `else:` in a rule's text give tensors another rule"
        report.error(where, message, hint)
    for spec, where in rules:
        if CHOOSER in spec.hypers and len(asked) > 1:
            hint = f"name the parts of {spec.name} here, all in one list"
            report.error(where, f"{spec.name} has chosen between two rules already", hint)


def check_order(report: Report, asked: Asked) -> None:
    """Complain about transforms that stand before what they need."""
    rule = next(spec for spec, _ in asked if spec.kind == "rule")
    for spec, _ in asked:
        if spec is rule:
            return
        hint = f"write {rule.name}+{spec.name}: stages run left to right"
        if read := _reads_before(spec.stages["direction"], "d"):
            report.error(read.loc, f"{spec.name} reads `d` before {rule.name} makes it", hint)
        if follows := _follows(spec):
            message = f"{spec.name} would keep the weights of before the step: it stands before {rule.name}"
            report.error(follows.loc, message, hint)


def _reads_before(body: Sequence[Stmt], name: str) -> Name | None:
    """The first read of a name that no statement before has assigned for certain."""
    for statement in body:
        for expr in _roots(statement):
            for node in walk(expr):
                if isinstance(node, Name) and node.id == name:
                    return node
        if isinstance(statement, Assign) and name in statement.targets:
            return None
    return None


def _roots(statement: Stmt) -> Iterator[Expr]:
    for inner in statements((statement,)):
        if isinstance(inner, Assign):
            yield inner.value
        elif isinstance(inner, If):
            yield inner.condition


def _follows(spec: Spec) -> Assign | None:
    """Where a transform's update takes the weights into a state of its own."""
    for statement in statements(spec.stages["update"]):
        if isinstance(statement, Assign) and set(statement.targets) & set(spec.states):
            calls = [node for node in walk(statement.value) if isinstance(node, Call)]
            meta = sum(call.args.count(Name("param")) for call in calls if FUNCTIONS[call.function].family == "meta")
            if sum(node == Name("param") for node in walk(statement.value)) > meta:
                return statement
    return None


def joined_matrix(report: Report, rules: Sequence[Spec], transforms: Sequence[Spec]) -> Matrix:
    """The view of a tensor as a matrix that every text has which uses one."""
    using = [spec for spec in (*rules, *transforms) if _uses_view(spec)]
    for spec in using[1:]:
        if spec.matrix != using[0].matrix:
            where = next(_viewed(spec)).loc
            message = f'{spec.name} sees tensors as matrices in the way "{_word(spec.matrix)}", {using[0].name} as '
            hint = "give both texts the same `matrix:`, or leave one of the parts out"
            report.error(where, f'{message}"{_word(using[0].matrix)}"', hint)
    return (using or rules)[0].matrix


def _word(matrix: Matrix) -> str:
    return matrix if isinstance(matrix, str) else matrix[0]


def _uses_view(spec: Spec) -> bool:
    return next(_viewed(spec), None) is not None


def _viewed(spec: Spec) -> Iterator[Call]:
    """Every call whose result depends on the matrix view."""
    roots: list[Expr] = [expr for body in spec.stages.values() for s in body for expr in _roots(s)]
    roots += [] if spec.when is None else [spec.when]
    for state in spec.states.values():
        roots += state.start if isinstance(state.start, tuple) else (state.start,)
    for call in (node for root in roots for node in walk(root) if isinstance(node, Call)):
        over = call.keyword("over")
        wide = isinstance(over, Text) and over.value in _VIEWED
        if wide or call.function in ("rows", "cols") or FUNCTIONS[call.function].family == "library":
            yield call


def joined_inputs(report: Report, specs: Sequence[Spec]) -> Mapping[str, Input]:
    """Values passed to the step: one of a name serves every text that reads it."""
    found: dict[str, Input] = {}
    for spec in specs:
        for given in spec.inputs.values():
            before = found.setdefault(given.name, given)
            if before.extent != given.extent:
                message = (
                    f'the input "{given.name}" is over "{given.extent}" here and "{before.extent}" in another part'
                )
                report.error(given.loc, message, "rename one of the two")
            if any(given.name in {*other.hypers, *other.states} for other in specs):
                message = f'"{given.name}" is an input here and a hyper or state of another part'
                report.error(given.loc, message, "rename one of the two")
    return MappingProxyType(found)
