"""Python text from a rule's words and expressions; nothing written in a rule can leave its literal."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from optgen.errors import OptgenError
from optgen.spec.functions import CONSTANTS, METADATA
from optgen.spec.model import Setting
from optgen.spec.syntax import (
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

WIDTH = 120

#: Functions of the language that `optgen.runtime.scalars` computes, and their names there.
SCALAR_FUNCTIONS: Mapping[str, str] = {
    name: {"abs": "absolute", "round": "nearest"}.get(name, name)
    for name in (
        *("abs", "sign", "sqrt", "exp", "log", "floor", "ceil", "round"),
        *("cos", "sin", "tanh", "expm1", "log1p", "where", "clip", "minimum", "maximum"),
    )
}

_OR, _AND, _NOT, _COMPARE, _SUM, _PRODUCT, _SIGN, _POWER, _ATOM = range(9)


def literal(text: str) -> str:
    """A Python string literal in printable characters and double quotes."""
    return '"' + "".join(_escaped(char, '"') for char in text) + '"'


def docstring_text(text: str) -> str:
    """Text for the inside of a triple-quoted string: lines stay lines, nothing ends the string or hides in it."""
    return "".join(
        char if char == "\n" else _escaped(char, '"' if _may_end_string(text, at) else "")
        for at, char in enumerate(text)
    )


def _may_end_string(text: str, at: int) -> bool:
    """Whether a quote at this place stands beside another or last, so that a triple quote could come of it."""
    return at + 1 == len(text) or text[at + 1] == '"' or (at > 0 and text[at - 1] == '"')


def comment(text: str) -> str:
    """Text for a comment: one line of printable characters."""
    return "".join(char if char.isprintable() else " " for char in text)


def _escaped(char: str, quote: str) -> str:
    if char == "\\" or char == quote:
        return "\\" + char
    if char.isprintable():
        return char
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def number(value: float | int) -> str:
    """A number as Python reads it back; infinities as `math.inf`."""
    if isinstance(value, float) and math.isinf(value):
        return "math.inf" if value > 0 else "-math.inf"
    return repr(value)


def value(given: Setting) -> str:
    """A setting as a Python literal."""
    if isinstance(given, str):
        return literal(given)
    if given is None or isinstance(given, bool):
        return repr(given)
    if isinstance(given, tuple):
        return "(" + ", ".join(map(value, given)) + ("," if len(given) == 1 else "") + ")"
    return number(given)


class Expressions:
    """Writes expressions over scalars. `name` and `meta` say how names and metadata are spelled.

    `uncertain` says which expressions may have no value yet; their logic is three-valued.
    """

    def __init__(
        self,
        name: Callable[[str], str],
        meta: Callable[[str], str] = lambda function: f"meta.{function}",
        uncertain: Callable[[Expr], bool] = lambda _: False,
    ) -> None:
        self.name = name
        self.meta = meta
        self.uncertain = uncertain

    def text(self, expr: Expr) -> str:
        """The expression as Python text."""
        return self._write(expr)[0]

    def _at(self, expr: Expr, level: int) -> str:
        text, own = self._write(expr)
        return text if own >= level else f"({text})"

    def _write(self, expr: Expr) -> tuple[str, int]:
        match expr:
            case Number(value=written):
                return number(written), _ATOM if written >= 0 else _SIGN
            case Boolean(value=truth):
                return repr(truth), _ATOM
            case Text(value=word):
                return literal(word), _ATOM
            case Name(id=name):
                return (repr(CONSTANTS[name]) if name in CONSTANTS else self.name(name)), _ATOM
            case Unary(op="not", operand=operand):
                if self.uncertain(operand):
                    return f"negation({self.text(operand)})", _ATOM
                return f"not {self._at(operand, _NOT)}", _NOT
            case Unary(op=sign, operand=operand):
                return f"{sign}{self._at(operand, _SIGN)}", _SIGN
            case Binary():
                return self._binary(expr)
            case Compare(op=op, left=left, right=right):
                return f"{self._at(left, _SUM)} {op} {self._at(right, _SUM)}", _COMPARE
            case Logic(op=op, values=values):
                if any(map(self.uncertain, values)):
                    return f"{'both' if op == 'and' else 'either'}({', '.join(map(self.text, values))})", _ATOM
                level = _AND if op == "and" else _OR
                return f" {op} ".join(self._at(part, level + 1) for part in values), level
            case Call(function=function, args=args):
                if function in METADATA:
                    return self.meta(function), _ATOM
                if function in SCALAR_FUNCTIONS:
                    return f"scalars.{SCALAR_FUNCTIONS[function]}({', '.join(map(self.text, args))})", _ATOM
                raise OptgenError(f"{expr.loc}: {function} cannot be used here: only scalar functions can")
            case Vector(items=items):
                return "(" + ", ".join(map(self.text, items)) + ("," if len(items) == 1 else "") + ")", _ATOM
            case Index(base=base, index=index):
                return f"{self._at(base, _ATOM)}[{self.text(index)}]", _ATOM

    def _binary(self, expr: Binary) -> tuple[str, int]:
        left, right = expr.left, expr.right
        safe = isinstance(right, Number) and right.value != 0
        named = {"/": "divide", "//": "quotient", "%": "remainder", "**": "power"}
        if expr.op == "**" or (expr.op in named and not safe):
            return f"scalars.{named[expr.op]}({self.text(left)}, {self.text(right)})", _ATOM
        level = _SUM if expr.op in "+-" else _PRODUCT
        return f"{self._at(left, level)} {expr.op} {self._at(right, level + 1)}", level


def canonical(expr: Expr) -> str:
    """An expression as the language would write it, the same for equal expressions."""
    return _Canonical(lambda name: name, lambda function: f"{function}(param)").text(expr)


class _Canonical(Expressions):
    def _write(self, expr: Expr) -> tuple[str, int]:
        if isinstance(expr, Call) and expr.function not in METADATA:
            parts = [*map(self.text, expr.args), *(f"{key}={self.text(v)}" for key, v in expr.keywords)]
            return f"{expr.function}({', '.join(parts)})", _ATOM
        if isinstance(expr, Name):
            return expr.id, _ATOM
        return super()._write(expr)

    def _binary(self, expr: Binary) -> tuple[str, int]:
        if expr.op == "**":
            return f"{self._at(expr.left, _ATOM)}**{self._at(expr.right, _SIGN)}", _POWER
        level = _SUM if expr.op in "+-" else _PRODUCT
        sign = expr.op if expr.op in ("*", "/") else f" {expr.op} "
        return f"{self._at(expr.left, level)}{sign}{self._at(expr.right, level + 1)}", level
