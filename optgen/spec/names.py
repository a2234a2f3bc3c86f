"""Checks of single expressions: every name and function is known, called as it may be, and readable where it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from optgen.errors import suggest
from optgen.spec.functions import FUNCTIONS, NOT_BUILT_KEYWORDS, Function
from optgen.spec.model import EXTENTS, Hyper
from optgen.spec.source import Report
from optgen.spec.syntax import (
    Assign,
    Binary,
    Boolean,
    Call,
    Compare,
    Expr,
    Index,
    Logic,
    Name,
    Number,
    Text,
    Unary,
    Vector,
)
from optgen.spec.vocabulary import name_problem

_ELSEWHERE = {
    "pow": "write `x**y`",
    "square": "write `x**2`",
    "rsqrt": "write `1/sqrt(x)`",
    "clamp": "write `clip(x, low, high)`",
    "sigmoid": "write `1/(1 + exp(-x))`",
    "relu": "write `maximum(x, 0)`",
    "std": "write `sqrt(mean(x**2, over=...) - mean(x, over=...)**2)`",
    "linalg_norm": 'write `norm(x, over="tensor")`',
    "ones_like": "write `1`; it spreads",
    "float": "numbers need no conversion; `//` and `floor` make whole ones",
    "int": "write `floor(x)`",
    "len": "write `numel(param)`, `rows(param)` or `cols(param)`",
}


@dataclass(frozen=True)
class Place:
    """Where an expression stands: what it may read there, in words too, and whether it starts a state."""

    what: str
    readable: frozenset[str]
    reads: str
    known: frozenset[str]
    starts: bool = False


class ExpressionChecker:
    """Reports what is wrong with the names of expressions at one place."""

    def __init__(self, report: Report, hypers: Mapping[str, Hyper], place: Place) -> None:
        self.report = report
        self.hypers = hypers
        self.place = place

    def check(self, expr: Expr) -> None:
        """Check an expression and everything in it."""
        match expr:
            case Number() | Boolean():
                return
            case Text():
                hint = 'compare it with a choice: `mode == "mean"`'
                self.report.error(expr.loc, f'the word "{expr.value}" is no value', hint)
            case Name():
                self._name(expr)
            case Unary(operand=operand):
                self.check(operand)
            case Binary():
                self._binary(expr)
            case Compare():
                self._compare(expr)
            case Logic(values=values):
                for value in values:
                    self.check(value)
            case Call():
                self._call(expr)
            case Vector(items=items):
                for item in items:
                    self.check(item)
            case Index(base=base, index=index):
                self.check(base)
                self.check(index)

    def _name(self, name: Name) -> None:
        if name.id in self.place.readable:
            hyper = self.hypers.get(name.id)
            if hyper is not None and hyper.kind == "choice":
                hint = f'compare it with a choice: `{name.id} == "{hyper.choices[0]}"`'
                self.report.error(name.loc, f'"{name.id}" is a choice, not a number', hint)
        elif name.id in self.place.known:
            message = f'"{name.id}" cannot be read in {self.place.what}'
            self.report.error(name.loc, message, f"{self.place.what} reads {self.place.reads}")
        elif name.id in FUNCTIONS:
            self.report.error(name.loc, f'"{name.id}" is a function', f"call it: `{name.id}(...)`")
        elif name.id == "skip":
            self.report.error(name.loc, "`skip` is a statement, not a value", "write it on a line of its own")
        else:
            hint = suggest(name.id, sorted(self.place.readable))
            hint = hint or "declare it under `hyper`, `state` or `inputs`, or assign it before"
            self.report.error(name.loc, f'unknown name "{name.id}"', hint)

    def _binary(self, expr: Binary) -> None:
        self.check(expr.left)
        self.check(expr.right)
        if expr.op in ("/", "//", "%") and literal_value(expr.right) == 0:
            self.report.error(expr.right.loc, "division by a literal zero", "it is infinite or NaN at every element")

    def _compare(self, expr: Compare) -> None:
        left, right = expr.left, expr.right
        word, other = (left, right) if isinstance(left, Text) else (right, left)
        if not isinstance(word, Text):
            self.check(left)
            self.check(right)
            return
        if expr.op not in ("==", "!="):
            self.report.error(expr.loc, f"words have no order, so `{expr.op}` means nothing", "use `==` or `!=`")
        if isinstance(other, Call) and other.function == "role":
            self.check(other)
            return
        hyper = self.hypers.get(other.id) if isinstance(other, Name) else None
        if hyper is not None and hyper.kind == "choice":
            if word.value not in hyper.choices:
                offered = ", ".join(f'"{choice}"' for choice in hyper.choices)
                hint = suggest(word.value, hyper.choices) or f"its choices are {offered}"
                self.report.error(word.loc, f'"{word.value}" is no choice of "{hyper.name}"', hint)
            return
        if isinstance(other, Text):
            self.report.error(word.loc, "two words are compared", "compare a choice with one of its words")
            return
        self.check(other)
        message = f'only a choice or role(param) can be compared with the word "{word.value}"'
        self.report.error(other.loc, message, "give the hyper `choices: [...]`, or compare with a number")

    def _call(self, call: Call) -> None:
        function = FUNCTIONS.get(call.function)
        if function is None:
            self._unknown_function(call)
            for arg in call.args:
                self.check(arg)
            return
        if not function.low <= len(call.args) <= function.high:
            self.report.error(call.loc, *_arity(function, len(call.args)))
        self._keywords(call, function)
        if function.family == "start" and not self.place.starts:
            hint = "write the number; it spreads over elements"
            self.report.error(call.loc, f'"{function.name}" belongs in the start of a state', hint)
        if function.family == "meta":
            for arg in call.args:
                if arg != Name("param"):
                    message = f'"{function.name}" describes the parameter only'
                    self.report.error(arg.loc, message, f"write `{function.name}(param)`")
            return
        for arg in call.args:
            self.check(arg)

    def _unknown_function(self, call: Call) -> None:
        name = call.function
        if name in self.place.known or name in self.place.readable:
            self.report.error(call.loc, f'"{name}" is a value, not a function', f"write a product as `{name}*(...)`")
            return
        hint = _ELSEWHERE.get(name) or suggest(name, FUNCTIONS) or "a rule can call only the functions of the language"
        self.report.error(call.loc, f'unknown function "{name}"', hint)

    def _keywords(self, call: Call, function: Function) -> None:
        seen: set[str] = set()
        for key, value in call.keywords:
            if key in NOT_BUILT_KEYWORDS:
                hint = "reduce over an extent of one process: `over=`"
                self.report.error(value.loc, f"`{key}=` (several workers) is not built yet", hint)
            elif key in seen:
                self.report.error(value.loc, f'"{key}" is given twice', "remove one")
            elif key not in function.keywords:
                takes = ", ".join(function.keywords) or "none"
                hint = suggest(key, function.keywords) or f"its keywords: {takes}"
                self.report.error(value.loc, f'"{function.name}" has no keyword "{key}"', hint)
            elif key == "over":
                self._extent(value)
            else:
                self.check(value)
            seen.add(key)
        for key in function.required:
            if key not in seen and not seen & NOT_BUILT_KEYWORDS:
                hint = f'write `{function.name}({", ".join("xy"[: function.low])}, over="tensor")`'
                self.report.error(call.loc, f'"{function.name}" needs `{key}=`', hint)

    def _extent(self, value: Expr) -> None:
        if isinstance(value, Text):
            if value.value not in EXTENTS:
                hint = suggest(value.value, EXTENTS) or "extents are " + ", ".join(EXTENTS)
                self.report.error(value.loc, f'unknown extent "{value.value}"', hint)
            return
        word = value.id if isinstance(value, Name) and value.id in EXTENTS else "tensor"
        self.report.error(value.loc, "an extent is a quoted word", f'write `over="{word}"`')


def _arity(function: Function, given: int) -> tuple[str, str]:
    message = f'"{function.name}" takes {function.arguments}, not {given}'
    if function.name in ("min", "max") and given == 2:
        return message, f"the {function.doc.split()[0]} of two is `{function.name}imum(a, b)`"
    return message, f"{function.name}: {function.doc}"


def literal_value(expr: Expr) -> float | int | None:
    """The value of an expression made of literals with + - *; None for anything else."""
    match expr:
        case Number(value=value):
            return value
        case Unary(op="-", operand=operand):
            value = literal_value(operand)
            return None if value is None else -value
        case Unary(op="+", operand=operand):
            return literal_value(operand)
        case Binary(op=("+" | "-" | "*") as op, left=left, right=right):
            first, second = literal_value(left), literal_value(right)
            if first is None or second is None:
                return None
            return first + second if op == "+" else first - second if op == "-" else first * second
        case _:
            return None


def check_target(report: Report, statement: Assign, hypers: Mapping[str, Hyper], inputs: frozenset[str]) -> None:
    """Complain where a statement assigns what it may not: hypers, inputs, counters, names of the language."""
    for target in statement.targets:
        hyper = hypers.get(target)
        if hyper is not None and hyper.kind != "base":
            hint = f"bind a name of its own, e.g. `{target}_now = ...`"
            report.error(statement.loc, f'"{target}" is a hyper, which is read-only', hint)
        elif hyper is not None or target in ("param", "g", "d"):
            continue
        elif target in inputs:
            hint = f"bind a name of its own, e.g. `{target}_now = ...`"
            report.error(statement.loc, f'"{target}" is an input, which is read-only', hint)
        elif target in ("t", "step"):
            hint = "keep a counter of your own in a state"
            report.error(statement.loc, f'"{target}" counts steps and cannot be assigned', hint)
        elif target == "lr":
            hint = "declare it under `hyper` (in a transform `lr: base`), or bind another name"
            report.error(statement.loc, '"lr" is an argument all optimizers share', hint)
        elif problem := name_problem(target, "local"):
            report.error(statement.loc, *problem)
