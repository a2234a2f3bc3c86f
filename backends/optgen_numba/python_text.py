"""Operations as Python expressions: one text per operation, parentheses only where Python needs them."""

from __future__ import annotations

import keyword
import math
from collections.abc import Iterable

from optgen.ir.view import Op, Value

# Python's binding strengths
OR, AND, NOT, COMPARE, BIT_OR, BIT_AND, SUM, PRODUCT, SIGN, POWER, ATOM = range(11)

_BINARY = {
    "arith.addf": ("+", SUM),
    "arith.subf": ("-", SUM),
    "arith.mulf": ("*", PRODUCT),
    "arith.divf": ("/", PRODUCT),
    "arith.andi": ("&", BIT_AND),
    "arith.ori": ("|", BIT_OR),
}
_CALLS = {
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
    "math.absf": "abs",
    "arith.minimumf": "minimum",
    "arith.maximumf": "maximum",
}
_COMPARE = {"oeq": "==", "une": "!=", "olt": "<", "ole": "<=", "ogt": ">", "oge": ">="}
_TYPES = {"f32": "f4", "f64": "f8"}
#: Operations that this table maps to text; the others need code of their own.
PURE = frozenset(
    {*_BINARY, *_CALLS, "arith.cmpf", "arith.select", "arith.xori", "arith.negf", "math.powf", "kernel.mod"}
    | {"arith.constant", "arith.extf", "arith.truncf"}
)


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


def literal(value: float, type_: str) -> str:
    """A number of a float type; float64 is Python's own."""
    number = float(value)
    if math.isnan(number):
        text = "np.nan"
    elif math.isinf(number):
        text = "np.inf" if number > 0 else "-np.inf"
    else:
        text = repr(number)
    return text if type_ == "f64" else f"f4({text})"


def comment(text: str) -> str:
    """Text that cannot leave a comment."""
    return "".join(c if c.isprintable() else " " for c in text)


def docstring(text: str) -> str:
    """Text that cannot leave a docstring."""
    return comment(text).replace("\\", "\\\\").replace('"', '\\"')


class Body:
    """The lines of a function's body. A value that is used once and that the rule does not name has no line."""

    def __init__(self, names: Names, indent: int = 1) -> None:
        self.names = names
        self.lines: list[str] = []
        self.indent = indent
        self._text: dict[Value, tuple[str, int]] = {}
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
        text, own = self._text[value]
        return text if own >= strength else f"({text})"

    def pure(self, op: Op, wish: str = "") -> None:
        """An operation of the table: a line of its own, or text for the one place that uses it."""
        assert op.result is not None
        text, strength = self.expression(op)
        if op.name == "arith.constant" or (op.result.uses == 1 and not op.result.hint and not wish):
            self.bind(op.result, text, strength)
        else:
            self.say(op.statement)
            self.assign(op.result, text, wish)

    def expression(self, op: Op) -> tuple[str, int]:
        """Text and binding strength of an operation of the table."""
        assert op.result is not None
        name, args = op.name, op.operands
        if name == "arith.constant":
            if op.result.type == "i1":
                return str(bool(op.attributes["value"])), ATOM
            text = literal(float(op.attributes["value"]), op.result.type)
            return text, SIGN if text.startswith("-") else ATOM
        if name in _BINARY:
            sign, strength = _BINARY[name]
            return f"{self.text(args[0], strength)} {sign} {self.text(args[1], strength + 1)}", strength
        if name == "kernel.mod":
            return self._remainder(args[0], args[1])
        if name in _CALLS:
            return f"{_CALLS[name]}({', '.join(self.text(a) for a in args)})", ATOM
        if name == "arith.cmpf":
            sign = _COMPARE[op.word("predicate")]
            return f"{self.text(args[0], COMPARE + 1)} {sign} {self.text(args[1], COMPARE + 1)}", COMPARE
        if name == "arith.select":
            return f"{self.text(args[1], OR + 1)} if {self.text(args[0], OR + 1)} else {self.text(args[2], OR)}", -1
        if name == "arith.xori":
            return f"not {self.text(args[0], NOT)}", NOT
        if name == "arith.negf":
            return f"-{self.text(args[0], SIGN)}", SIGN
        if name == "math.powf":
            return f"{self.text(args[0], ATOM)} ** {self.text(args[1], SIGN)}", POWER
        return f"{_TYPES[op.result.type]}({self.text(args[0])})", ATOM

    def _remainder(self, a: Value, b: Value) -> tuple[str, int]:
        """a % b, and 0 for b = 0, where Python would raise an error."""
        text = f"{self.text(a, PRODUCT)} % {self.text(b, PRODUCT + 1)}"
        if b.op.name == "arith.constant" and float(b.op.attributes["value"]) != 0:
            return text, PRODUCT
        return f"{text} if {self.text(b, COMPARE + 1)} != 0 else {literal(0.0, b.type)}", -1
