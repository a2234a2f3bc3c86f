"""What given hyper-parameters settle of a rule, worked out from its text alone: no class is imported for it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping

from optgen.errors import HyperError, OptgenError
from optgen.frontends.python_text import SCALAR_FUNCTIONS
from optgen.frontends.settling import conditions
from optgen.runtime import scalars
from optgen.runtime.rule_info import HyperInfo, RuleInfo, Settled
from optgen.runtime.scalars import Scalar
from optgen.spec.functions import CONSTANTS, reads_metadata
from optgen.spec.model import Spec, Value
from optgen.spec.syntax import (
    Assign,
    Binary,
    Boolean,
    Call,
    Compare,
    Expr,
    If,
    Logic,
    Name,
    Number,
    Text,
    Unary,
    statements,
    walk,
)

#: How names of files begin that hold kernels of weights to evaluate with.
PREFIX = "evaluation_"
Known = float | int | bool
_EXACT: Mapping[str, Callable[[float, float], float]] = {"+": operator.add, "-": operator.sub, "*": operator.mul}
_GUARDED: Mapping[str, Callable[[Scalar, Scalar], Scalar]] = {
    "/": scalars.divide,
    "//": scalars.quotient,
    "%": scalars.remainder,
    "**": scalars.power,
}
_ORDER: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def rule_info(spec: Spec) -> RuleInfo:
    """As much of what the rule's class would know as it takes to name its kernel files."""
    return RuleInfo(
        name=spec.name,
        title=spec.title,
        class_name=spec.class_name,
        digest=spec.digest,
        hypers=tuple(HyperInfo(h.name, "float", h.default, h.name) for h in spec.hypers.values()),
        states=(),
        settle=lambda hypers: _choices(spec, hypers),
        graph=has_graph(spec),
        prefix=PREFIX if spec.evaluates else "",
    )


def has_graph(spec: Spec) -> bool:
    """Whether a rule reads the graph of its layers."""
    return any(call.function in ("laplacian", "neighbors") for call in _calls(spec))


def check_requirements(spec: Spec, hypers: Mapping[str, Value]) -> None:
    """HyperError where values, all in their domains, do not go together, whatever the tensors are."""
    for condition, text in spec.require:
        if not reads_metadata(condition) and not _holds(condition, hypers):
            raise HyperError(f"{spec.name} requires {text}")


def has_quirk(spec: Spec, name: str, hypers: Mapping[str, Value]) -> bool:
    """Whether front ends of a rule do what this quirk says, under these values of all hyper-parameters."""
    return name in spec.quirks and _holds(spec.quirks[name], hypers)


def _calls(spec: Spec) -> list[Call]:
    found: list[Call] = []
    for stage in spec.stages.values():
        for statement in statements(stage):
            if isinstance(statement, Assign | If):
                root = statement.value if isinstance(statement, Assign) else statement.condition
                found += [node for node in walk(root) if isinstance(node, Call)]
    return found


def _choices(spec: Spec, hypers: Mapping[str, Value]) -> Settled:
    choices = {h.name: str(hypers[h.name]) for h in spec.hypers.values() if h.kind == "choice"}
    return {**choices, **{text: _holds(condition, hypers) for text, condition in conditions(spec).items()}}


def _holds(condition: Expr, hypers: Mapping[str, Value]) -> bool:
    return bool(_number(condition, hypers))


def _number(expr: Expr, hypers: Mapping[str, Value]) -> Known:
    match expr:
        case Number(value=value) | Boolean(value=value):
            return value
        case Name(id=name):
            return CONSTANTS[name] if name in CONSTANTS else _scalar(hypers[name])
        case Unary(op="not", operand=operand):
            return not _holds(operand, hypers)
        case Unary(op=sign, operand=operand):
            value = _number(operand, hypers)
            return -value if sign == "-" else value
        case Binary(op=op, left=left, right=right):
            x, y = _number(left, hypers), _number(right, hypers)
            return _EXACT[op](x, y) if op in _EXACT else _known(_GUARDED[op](x, y))
        case Logic(op=op, values=values):
            parts = [_holds(part, hypers) for part in values]
            return all(parts) if op == "and" else any(parts)
        case Compare():
            return _compare(expr, hypers)
        case Call(function=function, args=args) if function in SCALAR_FUNCTIONS:
            compute: Callable[..., Scalar] = getattr(scalars, SCALAR_FUNCTIONS[function])
            return _known(compute(*(_number(argument, hypers) for argument in args)))
        case _:
            raise OptgenError(f"{expr.loc}: this has no value before a step; only hyper-parameters have")


def _compare(expr: Compare, hypers: Mapping[str, Value]) -> bool:
    left, right = _operand(expr.left, hypers), _operand(expr.right, hypers)
    if expr.op in ("==", "!="):
        return (left == right) == (expr.op == "==")
    if isinstance(left, str) or isinstance(right, str):
        raise OptgenError(f"{expr.loc}: words have no order")
    return _ORDER[expr.op](left, right)


def _operand(expr: Expr, hypers: Mapping[str, Value]) -> Known | str:
    if isinstance(expr, Text):
        return expr.value
    if isinstance(expr, Name) and isinstance(word := hypers.get(expr.id), str):
        return word
    return _number(expr, hypers)


def _scalar(value: Value) -> Known:
    assert not isinstance(value, str | tuple), "words are compared, and lists are not scalars"
    return value


def _known(value: Scalar) -> Known:
    assert not isinstance(value, scalars.Unknown), "hyper-parameters are known"
    return value
