"""SymPy expressions as a rule: the tree becomes the language's own nodes, in the order in which SymPy prints it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import sympy
from sympy.core.numbers import Exp1, Pi
from sympy.functions.elementary.piecewise import ExprCondPair
from sympy.logic.boolalg import BooleanFalse, BooleanTrue

from optgen.authoring.declarations import Declaration, Plain, node
from optgen.authoring.yaml_text import yaml_text
from optgen.errors import Diagnostic, SpecError, UsageError
from optgen.frontends.python_text import canonical
from optgen.spec.document import Node, Table, Word
from optgen.spec.loader import loads
from optgen.spec.model import Spec
from optgen.spec.syntax import (
    NOWHERE,
    Binary,
    BinaryOp,
    Boolean,
    Call,
    Compare,
    CompareOp,
    Expr,
    Logic,
    Name,
    Number,
    Text,
    Unary,
)
from optgen.spec.vocabulary import VERSION
from optgen.sym import Choice, LanguageCall

Target = str | sympy.Symbol
Expression = sympy.Basic | float | int | bool
Equations = Sequence[tuple[Target, Expression]]
Hyper = Declaration | bool | int | float | Sequence[float]
Start = Declaration | str | float | sympy.Expr

_FUNCTIONS: Mapping[type[sympy.Basic], str] = {
    sympy.Abs: "abs",
    sympy.sign: "sign",
    sympy.exp: "exp",
    sympy.log: "log",
    sympy.floor: "floor",
    sympy.ceiling: "ceil",
    sympy.cos: "cos",
    sympy.sin: "sin",
    sympy.tanh: "tanh",
}
_FOLDED: Mapping[type[sympy.Basic], str] = {sympy.Max: "maximum", sympy.Min: "minimum"}
_RELATIONS: Mapping[type[sympy.Basic], CompareOp] = {
    sympy.Eq: "==",
    sympy.Ne: "!=",
    sympy.Lt: "<",
    sympy.Le: "<=",
    sympy.Gt: ">",
    sympy.Ge: ">=",
}


class _UnsaidError(Exception):
    """A part of an expression that the language cannot say."""


def spec_of(
    name: str,
    title: str,
    hyper: Mapping[Target, Hyper],
    state: Mapping[Target, Start],
    inputs: Mapping[Target, str],
    stages: Mapping[str, Equations],
    require: Sequence[Expression],
    about: Mapping[str, Plain],
) -> Spec:
    """The rule; see `optgen.Rule`."""
    entries: dict[str, Node] = {"optgen": node(VERSION), "name": node(name)}
    entries["title"] = node(title or name.replace("_", " ").capitalize())
    entries |= {key: node(value) for key, value in about.items()}
    if hyper:
        entries["hyper"] = _table({_name(k): _fields("hyper", k, v) for k, v in hyper.items()})
    if inputs:
        entries["inputs"] = node({_name(key): extent for key, extent in inputs.items()})
    if state:
        entries["state"] = _table({_name(k): _fields("state", k, v) for k, v in state.items()})
    if require:
        entries["require"] = node([_written(f"require[{i}]", condition) for i, condition in enumerate(require)])
    for stage, equations in stages.items():
        lines = [_equation(stage, i, pair) for i, pair in enumerate(equations)]
        if lines:
            entries[stage] = Word("\n".join(lines), "|", NOWHERE, NOWHERE)
    text = yaml_text(_table(entries))
    try:
        return loads(text, f"<optgen.Rule {name}>")
    except SpecError as error:
        raise SpecError([_named(diagnostic, text) for diagnostic in error.diagnostics]) from None


def _table(entries: Mapping[str, Node]) -> Table:
    return Table(dict(entries), dict.fromkeys(entries, NOWHERE), NOWHERE)


def _name(target: object) -> str:
    if isinstance(target, str | sympy.Symbol):
        return str(target)
    raise UsageError(f"{target!r} names nothing: give a symbol, or its name")


def _fields(kind: str, target: Target, value: Hyper | Start) -> Node:
    """What a rule text says of a hyper or state."""
    if isinstance(value, Declaration):
        if value.kind != kind:
            made = {"hyper": "hyper", "state": "state", "inputs": "input"}[value.kind]
            raise UsageError(f'{kind} "{target}" is declared by optgen.{made}(...); write optgen.{kind}(...)')
        fields = value.fields
    elif isinstance(value, sympy.Basic):
        fields = {"start": _written(f'{kind} "{target}"', value)}
    else:
        fields = {"default" if kind == "hyper" else "start": value}
    return node(fields)


def _equation(stage: str, index: int, pair: tuple[Target, Expression]) -> str:
    where = f"{stage}[{index}]"
    try:
        target, value = pair
    except (TypeError, ValueError):
        raise UsageError(f"{where} must be a pair (target, expression), got {pair!r}") from None
    name = _name(target)
    return f"{name} = {_written(f'{where} ({name})', value)}"


def _written(where: str, value: object) -> str:
    """An expression in the language's own words. UsageError, naming it and its part, where there are none."""
    if not isinstance(value, sympy.Basic | bool | int | float):
        raise UsageError(f"{where} must be a SymPy expression or a number, got {value!r}; text is never evaluated")
    try:
        return canonical(expression(value if isinstance(value, sympy.Basic) else _plain(value)))
    except _UnsaidError as error:
        raise UsageError(f"{where}, {value}: {error}") from None


def _plain(value: bool | int | float) -> sympy.Basic:
    if isinstance(value, bool):
        return sympy.true if value else sympy.false
    return sympy.Integer(value) if isinstance(value, int) else sympy.Float(value)


def _named(diagnostic: Diagnostic, text: str) -> Diagnostic:
    """A complaint that says which argument of `optgen.Rule` it is about."""
    lines = text.split("\n")
    line = min(diagnostic.location.line, len(lines)) - 1
    head = next((i for i in range(line, -1, -1) if re.match(r"\w", lines[i])), 0)
    key = lines[head].partition(":")[0]
    entry = re.match(r"  (\w+):", lines[line])
    inside = "" if line == head else f'["{entry[1]}"]' if entry else f"[{line - head - 1}]"
    return Diagnostic(diagnostic.location, f"{key}{inside}: {diagnostic.message}", diagnostic.hint, diagnostic.source)


# Expressions


def expression(value: sympy.Basic) -> Expr:
    """A SymPy tree as nodes of the language. Sums and products go from left to right as SymPy prints them."""
    match value:
        case LanguageCall():
            over = (("over", Text(value.over)),) if value.over else ()
            return Call(value.function, tuple(map(expression, value.operands)), over)
        case Choice(args=(hyper, word)):
            return Compare("==", Name(str(hyper)), Text(str(word)))
        case sympy.Symbol():
            return Name(value.name)
        case BooleanTrue() | BooleanFalse():
            return Boolean(bool(value))
        case sympy.Number():
            return _number(value)
        case Pi():
            return Name("pi")
        case Exp1():
            return Call("exp", (Number(1),))
        case sympy.Add():
            return _sum(value)
        case sympy.Mul():
            return _product(value)
        case sympy.Pow(args=(base, power)):
            return _power(base, power)
        case sympy.Mod(args=(left, right)):
            return Binary("%", expression(left), expression(right))
        case sympy.Piecewise():
            return _cases(value)
        case sympy.And() | sympy.Or():
            word = "and" if isinstance(value, sympy.And) else "or"
            return Logic(word, tuple(map(expression, _sorted(value))))
        case sympy.Not(args=(operand,)):
            return Unary("not", expression(operand))
        case _:
            return _function(value)


def _sorted(value: sympy.Basic) -> list[sympy.Basic]:
    """Operands of what has no order, in SymPy's."""
    return sorted(value.args, key=cast("Callable[[sympy.Basic], tuple[object, ...]]", sympy.default_sort_key))


def _function(value: sympy.Basic) -> Expr:
    kind = type(value)
    if kind in _RELATIONS:
        left, right = value.args
        return Compare(_RELATIONS[kind], expression(left), expression(right))
    if kind in _FUNCTIONS and len(value.args) == 1:
        return Call(_FUNCTIONS[kind], (expression(value.args[0]),))
    if kind in _FOLDED:
        first, *rest = map(expression, _sorted(value))
        for each in rest:
            first = Call(_FOLDED[kind], (first, each))
        return first
    named = f"SymPy's {kind.__name__}" if kind.__module__.startswith("sympy") else kind.__name__
    raise _UnsaidError(f"the language has no word for {named} in {value}; `optgen.sym` has its reductions")


def _number(value: sympy.Number) -> Expr:
    if isinstance(value, sympy.Float):
        return _signed(float(value))
    if isinstance(value, sympy.Integer):
        return _signed(int(value))
    if isinstance(value, sympy.Rational):
        return Binary("/", _signed(int(value.p)), Number(int(value.q)))
    raise _UnsaidError(f"{value} is no number that a rule may hold")


def _signed(value: float | int) -> Expr:
    return Unary("-", Number(-value)) if value < 0 else Number(value)


def _sum(value: sympy.Add) -> Expr:
    first, *rest = cast("list[sympy.Expr]", value.as_ordered_terms())  # pyright: ignore[reportUnknownMemberType]
    total = expression(first)
    for term in rest:
        coefficient, _ = term.as_coeff_Mul()
        negative = bool(coefficient.is_negative)
        op: BinaryOp = "-" if negative else "+"
        total = Binary(op, total, expression(-term if negative else term))
    return total


def _product(value: sympy.Mul) -> Expr:
    """Numerator over denominator; a fraction in front is split between them, and its sign stands first."""
    over: list[Expr] = []
    under: list[Expr] = []
    for factor in cast("list[sympy.Expr]", value.as_ordered_factors()):  # pyright: ignore[reportUnknownMemberType]
        base, power = factor.args if isinstance(factor, sympy.Pow) else (factor, None)
        if isinstance(factor, sympy.Rational) and not isinstance(factor, sympy.Integer):
            over += [_signed(int(factor.p))] if factor.p != 1 else []
            under.append(Number(int(factor.q)))
        elif isinstance(power, sympy.Rational) and power.is_negative:
            under.append(_reciprocal(base, power))
        elif factor != 1:
            over.append(expression(factor))
    if len(over) > 1 and over[0] == Unary("-", Number(1)):
        over[:2] = [Unary("-", over[1])]
    top = _multiplied(over) if over else Number(1)
    return Binary("/", top, _multiplied(under)) if under else top


def _multiplied(factors: Sequence[Expr]) -> Expr:
    first, *rest = factors
    for each in rest:
        first = Binary("*", first, each)
    return first


def _power(base: sympy.Basic, power: sympy.Basic) -> Expr:
    if isinstance(base, Exp1):
        return Call("exp", (expression(power),))
    if power == sympy.Rational(1, 2):
        return Call("sqrt", (expression(base),))
    if isinstance(power, sympy.Rational) and power.is_negative:
        return Binary("/", Number(1), _reciprocal(base, power))
    return Binary("**", expression(base), expression(power))


def _reciprocal(base: sympy.Basic, power: sympy.Rational) -> Expr:
    """What a negative power divides by."""
    return expression(base) if power == -1 else _power(base, -power)


def _cases(value: sympy.Piecewise) -> Expr:
    *cases, last = cast("tuple[ExprCondPair, ...]", value.args)
    if last.cond != sympy.true:
        raise _UnsaidError(f"{value} has no value where no condition holds; end it with (expression, True)")
    result = expression(last.expr)
    for case in reversed(cases):
        result = Call("where", (expression(case.cond), expression(case.expr), result))
    return result
