"""Which conditions of a rule are settled before a step: those on hyper-parameters alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from optgen.frontends.python_text import SCALAR_FUNCTIONS, canonical
from optgen.spec.functions import CONSTANTS, FUNCTIONS, METADATA
from optgen.spec.model import Spec, State
from optgen.spec.syntax import (
    Assign,
    Binary,
    Call,
    Compare,
    Expr,
    If,
    Index,
    Logic,
    Name,
    Skip,
    Text,
    Unary,
    Vector,
    children,
    names_in,
    statements,
    walk,
)


def conditions(spec: Spec) -> Mapping[str, Expr]:
    """Conditions on hyper-parameters alone, by their canonical text, in written order: the largest such parts of each
    `if` that decides about more than scalars.

    An `if` that only chooses among scalars is computed like a `where`, so that its numbers stay numbers. Conditions on
    choices alone are left out: the choices themselves are settled.
    """
    known, fine = inlined(spec), fine_names(spec)
    found: dict[str, Expr] = {}
    for stage in spec.stages.values():
        for statement in statements(stage):
            if isinstance(statement, If) and not _chooses_scalars(statement, fine):
                for part in _largest(substitute(statement.condition, known), spec):
                    found.setdefault(canonical(part), part)
    return found


def fine_names(spec: Spec) -> frozenset[str]:
    """Names of values finer than a tensor, wherever they are assigned."""
    fine = {"param", "g", "d"} | {name for name, given in spec.inputs.items() if given.extent in _FINE}
    fine |= {name for name, state in spec.states.items() if _starts_fine(state)}
    body = [s for stage in spec.stages.values() for s in statements(stage) if isinstance(s, Assign)]
    while True:
        more = {target for s in body for target in s.targets if _is_fine(s.value, fine)} - fine
        if not more:
            return frozenset(fine)
        fine |= more


_FINE = ("matrix", "row", "col", "elem")


def _starts_fine(state: State) -> bool:
    starts = state.start if isinstance(state.start, tuple) else (state.start,)
    overs = [call.keyword("over") for start in starts for call in walk(start) if isinstance(call, Call)]
    if any(isinstance(over, Text) for over in overs):
        return any(isinstance(over, Text) and over.value in _FINE for over in overs)
    return any("param" in read_names(start) for start in starts)


def _is_fine(expr: Expr, fine: set[str]) -> bool:
    if isinstance(expr, Name):
        return expr.id in fine
    if isinstance(expr, Call):
        if expr.function in METADATA:
            return False
        over = expr.keyword("over")
        if isinstance(over, Text):
            return over.value in _FINE
    return any(_is_fine(child, fine) for child in children(expr))


def read_names(expr: Expr) -> set[str]:
    """Names an expression reads; `param` as the argument of a metadata function is not read."""
    if isinstance(expr, Name):
        return {expr.id}
    if isinstance(expr, Call) and expr.function in METADATA:
        return set()
    return {name for child in children(expr) for name in read_names(child)}


def _chooses_scalars(statement: If, fine: frozenset[str]) -> bool:
    """Whether both arms compute and assign nothing finer than a tensor, take no reduction and skip nothing."""
    for inner in statements((*statement.then, *statement.orelse)):
        if isinstance(inner, Skip):
            return False
        value = inner.condition if isinstance(inner, If) else inner.value
        targets = () if isinstance(inner, If) else inner.targets
        reduced = any(isinstance(node, Call) and _crosses_elements(node) for node in walk(value))
        if reduced or read_names(value) & fine or fine & set(targets):
            return False
    return True


def _crosses_elements(call: Call) -> bool:
    return call.keyword("over") is not None or FUNCTIONS[call.function].family in ("graph", "library", "random")


def hyper_only(expr: Expr, spec: Spec, also: Collection[str] = ()) -> bool:
    """Whether an expression reads hyper-parameters, what else is named, and nothing more."""
    calls = all(node.function in SCALAR_FUNCTIONS for node in walk(expr) if isinstance(node, Call))
    return calls and all(name in spec.hypers or name in CONSTANTS or name in also for name in names_in(expr))


def inlined(spec: Spec, also: Collection[str] = ()) -> Mapping[str, Expr]:
    """Locals assigned once, outside branches, from hyper-parameters (and `also`) alone: names for such expressions."""
    counts: dict[str, int] = {}
    for stage in spec.stages.values():
        for statement in statements(stage):
            if isinstance(statement, Assign):
                for target in statement.targets:
                    counts[target] = counts.get(target, 0) + 1
    known: dict[str, Expr] = {}
    for stage in spec.stages.values():
        for statement in stage:
            if isinstance(statement, Assign) and len(statement.targets) == 1 and counts[statement.targets[0]] == 1:
                value = substitute(statement.value, known)
                target = statement.targets[0]
                if hyper_only(value, spec, also) and target not in spec.states and target not in ("param", "g", "d"):
                    known[target] = value
    return known


def substitute(expr: Expr, known: Mapping[str, Expr]) -> Expr:
    """The expression with names replaced by what they stand for."""
    match expr:
        case Name(id=name):
            return known.get(name, expr)
        case Unary(operand=operand):
            return replace(expr, operand=substitute(operand, known))
        case Binary(left=left, right=right):
            return replace(expr, left=substitute(left, known), right=substitute(right, known))
        case Compare(left=left, right=right):
            return replace(expr, left=substitute(left, known), right=substitute(right, known))
        case Logic(values=values):
            return replace(expr, values=tuple(substitute(value, known) for value in values))
        case Call(args=args):
            return replace(expr, args=tuple(substitute(argument, known) for argument in args))
        case Vector(items=items):
            return replace(expr, items=tuple(substitute(item, known) for item in items))
        case Index(base=base, index=index):
            return replace(expr, base=substitute(base, known), index=substitute(index, known))
        case _:
            return expr


def _largest(expr: Expr, spec: Spec) -> Iterator[Expr]:
    """The largest parts that read hyper-parameters alone, and any but choices: those are settled by themselves."""
    kinds = {spec.hypers[name].kind for name in names_in(expr) if name in spec.hypers}
    if hyper_only(expr, spec) and "choice" not in kinds:
        if kinds:
            yield expr
    elif isinstance(expr, Logic):
        for part in expr.values:
            yield from _largest(part, spec)
    elif isinstance(expr, Unary) and expr.op == "not":
        yield from _largest(expr.operand, spec)
    elif hyper_only(expr, spec) and kinds != {"choice"}:
        yield expr
