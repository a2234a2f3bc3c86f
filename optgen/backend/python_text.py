"""Kernel operations as Python expressions, for backends whose kernels are Python text.

One text per operation, parentheses only where Python needs them. A backend gives its spelling: how it calls functions,
writes numbers and converts between types.
"""

from __future__ import annotations

import keyword
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

from optgen.ir.view import Op, Value

# Python's binding strengths
OR, AND, NOT, COMPARE, BIT_OR, BIT_AND, SUM, PRODUCT, SIGN, POWER, ATOM = range(11)

#: An expression and how strongly it binds.
Text = tuple[str, int]

_BINARY = {
    "arith.addf": ("+", SUM),
    "arith.subf": ("-", SUM),
    "arith.mulf": ("*", PRODUCT),
    "arith.divf": ("/", PRODUCT),
    "arith.andi": ("&", BIT_AND),
    "arith.ori": ("|", BIT_OR),
}
_COMPARE = {"oeq": "==", "une": "!=", "olt": "<", "ole": "<=", "ogt": ">", "oge": ">="}
#: Functions of numbers, and what NumPy calls them.
NUMPY_CALLS = {
    "math.sqrt": "np.sqrt",
    "math.exp": "np.exp",
    "math.log": "np.log",
    "math.expm1": "np.expm1",
    "math.log1p": "np.log1p",
    "math.floor": "np.floor",
    "math.ceil": "np.ceil",
    "math.roundeven": "np.rint",
    "math.sin": "np.sin",
    "math.cos": "np.cos",
    "math.tanh": "np.tanh",
    "math.absf": "np.abs",
    "math.powf": "np.power",
    "arith.minimumf": "np.minimum",
    "arith.maximumf": "np.maximum",
}
#: Operations on values alone; the others touch memory and need code of a backend's own.
PURE = frozenset(
    {*_BINARY, *NUMPY_CALLS, "arith.cmpf", "arith.select", "arith.xori", "arith.negf", "kernel.mod"}
    | {"arith.constant", "arith.extf", "arith.truncf"}
)


def number(value: float) -> str:
    """A number in float64, where `np` is NumPy."""
    if math.isnan(value):
        return "np.nan"
    if math.isinf(value):
        return "np.inf" if value > 0 else "-np.inf"
    return repr(value)


class Names:
    """Python identifiers of one function."""

    def __init__(self, reserved: Iterable[str]) -> None:
        self._taken = set(reserved)

    def new(self, wish: str) -> str:
        """The wish, or a number behind it where it is taken."""
        wish = "".join(c if c.isalnum() or c == "_" else "_" for c in wish).strip("_") or "x"
        name, number = wish, 0
        while name in self._taken or keyword.iskeyword(name):
            number += 1
            name = f"{wish}_{number}"
        self._taken.add(name)
        return name


def words_of(text: str) -> set[str]:
    """The names and keywords in a piece of Python, those of its comments too."""
    return set("".join(c if c.isalnum() or c == "_" else " " for c in text).split())


def comment(text: str) -> str:
    """Text that cannot leave a comment."""
    return "".join(c if c.isprintable() else " " for c in text)


def docstring(text: str) -> str:
    """Text that cannot leave a docstring."""
    return comment(text).replace("\\", "\\\\").replace('"', '\\"')


class Spelling(ABC):
    """How a backend writes the operations that Python's operators do not cover."""

    @abstractmethod
    def literal(self, value: float, type_: str) -> str:
        """A number of a float type."""

    @abstractmethod
    def call(self, name: str, type_: str, args: list[Text]) -> Text:
        """A function of `math`, `arith.divf`, or a minimum or maximum, with a result of this type."""

    @abstractmethod
    def select(self, condition: Text, then: Text, otherwise: Text, type_: str) -> Text:
        """The side that a condition picks; `i1` for conditions."""

    @abstractmethod
    def invert(self, condition: Text) -> Text:
        """A condition's opposite."""

    @abstractmethod
    def remainder(self, a: Text, b: Text, type_: str, divisor: float | None) -> Text:
        """a % b with the divisor's sign, and 0 for b = 0; `divisor` is b where it is a number in the text."""

    @abstractmethod
    def convert(self, x: Text, type_: str) -> Text:
        """A value in another float type."""


def within(text: Text, strength: int = 0) -> str:
    """An expression as a part of another: in parentheses where it binds less than asked."""
    return text[0] if text[1] >= strength else f"({text[0]})"


class Body:
    """The lines of a function's body. A value that is used once and that the rule does not name has no line."""

    def __init__(self, names: Names, spelling: Spelling, indent: int = 1) -> None:
        self.spelling = spelling
        self.names = names
        self.lines: list[str] = []
        self.indent = indent
        self._text: dict[Value, Text] = {}
        self._said = ""

    def line(self, text: str) -> None:
        """One line at the current indent."""
        self.lines.append("    " * self.indent + text)

    def say(self, statement: str) -> None:
        """The equation that the next lines compute, once."""
        if statement and statement != self._said and statement != "skip":
            self.line(f"# {comment(statement)}")
            self._said = statement

    def bind(self, value: Value, text: str, strength: int = ATOM) -> None:
        """Let a text stand for a value."""
        self._text[value] = (text, strength)

    def assign(self, value: Value, text: str, wish: str = "") -> str:
        """Give a value a line and a name."""
        name = self.names.new(wish or value.hint or "x")
        self.line(f"{name} = {text}")
        self._text[value] = (name, ATOM)
        return name

    def text(self, value: Value, strength: int = 0) -> str:
        """A value's text, in parentheses where it binds less than asked."""
        return within(self._text[value], strength)

    def pure(self, op: Op, wish: str = "") -> None:
        """An operation of the table: a line of its own, or text for the one place that uses it."""
        assert op.result is not None
        text, strength = self.expression(op)
        if op.name == "arith.constant" or (op.result.uses == 1 and not op.result.hint and not wish):
            self.bind(op.result, text, strength)
        else:
            self.say(op.statement)
            self.assign(op.result, text, wish)

    def expression(self, op: Op) -> Text:
        """Text and binding strength of an operation on values."""
        assert op.result is not None
        name, args, spelling = op.name, [self._text[x] for x in op.operands], self.spelling
        match name:
            case "arith.constant":
                return self._constant(op)
            case "arith.divf":
                return spelling.call(name, op.result.type, args)
            case _ if name in _BINARY:
                sign, strength = _BINARY[name]
                return f"{within(args[0], strength)} {sign} {within(args[1], strength + 1)}", strength
            case "arith.cmpf":
                sign = _COMPARE[op.word("predicate")]
                return f"{within(args[0], COMPARE + 1)} {sign} {within(args[1], COMPARE + 1)}", COMPARE
            case "arith.select":
                return spelling.select(args[0], args[1], args[2], op.result.type)
            case "arith.xori":
                return spelling.invert(args[0])
            case "arith.negf":
                return f"-{within(args[0], SIGN)}", SIGN
            case "kernel.mod":
                by = op.operands[1].op
                divisor = float(by.attributes["value"]) if by.name == "arith.constant" else None
                return spelling.remainder(args[0], args[1], op.result.type, divisor)
            case "arith.extf" | "arith.truncf":
                return spelling.convert(args[0], op.result.type)
            case _:
                return spelling.call(name, op.result.type, args)

    def _constant(self, op: Op) -> Text:
        assert op.result is not None
        if op.result.type == "i1":
            return str(bool(op.attributes["value"])), ATOM
        text = self.spelling.literal(float(op.attributes["value"]), op.result.type)
        return text, SIGN if text.startswith("-") else ATOM


#: Characters of the longest line of a call.
WIDTH = 110


def call(indent: str, head: str, arguments: Sequence[str], tail: str = ")") -> list[str]:
    """A call or a function's head: one line, or as many as it takes."""
    line = f"{indent}{head}{', '.join(arguments)}{tail}"
    return [line] if len(line) <= WIDTH else [f"{indent}{head}", *_rows(indent, arguments), f"{indent}{tail}"]


def several(head: str, values: Sequence[str], tail: str = "") -> list[str]:
    """Values behind a head: one line, or as many as it takes."""
    line = f"{head}{', '.join(values)}{tail}"
    indent = " " * (len(head) - len(head.lstrip()))
    return [line] if len(line) <= WIDTH else [f"{head}(", *_rows(indent, values), f"{indent}){tail}"]


def _rows(indent: str, arguments: Sequence[str]) -> list[str]:
    rows: list[str] = []
    for argument in arguments:
        if rows and len(rows[-1]) + len(argument) + 2 <= WIDTH:
            rows[-1] += f" {argument},"
        else:
            rows.append(f"{indent}    {argument},")
    return rows
