"""Operations as expressions over arrays: one text per operation, parentheses only where Python needs them.

Arrays take the namespace of a dialect, `jnp` or `ops`; scalars take a module of `optgen.runtime`, which keeps what is
known in double precision.
"""

from __future__ import annotations

import keyword
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from optgen.ir.array_view import Op, Value

OR, AND, COMPARE, SUM, PRODUCT, SIGN, POWER, ATOM = range(8)

_INFIX = {"add": ("+", SUM), "sub": ("-", SUM), "mul": ("*", PRODUCT)}
_COMPARE = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
#: Names in the namespaces of arrays and of scalars.
_CALLS = {
    **{name: (name, name) for name in ("sqrt", "exp", "log", "expm1", "log1p", "floor", "ceil", "sin", "cos", "tanh")},
    **{name: (name, name) for name in ("sign", "minimum", "maximum", "where", "power")},
    "abs": ("abs", "absolute"),
    "round": ("round", "nearest"),
    "pow": ("power", "power"),
    "div": ("divide", "divide"),
    "floordiv": ("floor_divide", "quotient"),
    "mod": ("", "remainder"),
    "and_": ("logical_and", "both"),
    "or_": ("logical_or", "either"),
    "not_": ("logical_not", "negation"),
}
#: Everything generated text may take from the module of scalars.
HELPERS = frozenset({"number", "sum_of", "max_of", "min_of", *(scalar for _, scalar in _CALLS.values())})
_NUMBERS = frozenset({"add", "sub", "mul", "div", "floordiv", "mod", "pow", "neg"})
_FINE = ("matrix", "row", "col", "elem")
_AXES = {"row": "axis=2", "col": "axis=1", "matrix": "axis=(1, 2)"}
_IDENTITY = {"max": "-", "min": ""}


@dataclass(frozen=True)
class Dialect:
    """The words of a framework: what its functions are called, its array namespace, where infinity is, its modules."""

    about: str
    framework: str
    imports: str
    arrays: str
    inf: str
    records: str
    scalars: str
    library: str
    careful: frozenset[str] = frozenset()  # functions of arrays that are taken from the module of scalars, too
    reductions: Mapping[str, str] = field(default_factory=dict[str, str])  # those it has for itself, by name


class Names:
    """Python identifiers of one module."""

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


def python_name(slot: str) -> str:
    """The identifier of a slot: entries of a short vector are `w[0]`."""
    return slot.replace("[", "_").replace("]", "")


def comment(text: str) -> str:
    """Text that cannot leave a comment."""
    return "".join(c if c.isprintable() else " " for c in text)


@dataclass
class Function:
    """One generated function: its arguments in the order of first use, its lines, and where values are found."""

    names: Names
    wishes: Callable[[Value], str]
    vectors: bool
    dialect: Dialect
    arguments: dict[str, None] = field(default_factory=dict[str, None])
    lines: list[str] = field(default_factory=list[str])
    helpers: set[str] = field(default_factory=set[str])
    calls: set[str] = field(default_factory=set[str])
    known: dict[Value, tuple[str, int]] = field(default_factory=dict[Value, tuple[str, int]])
    free_uses: Mapping[Value, int] = field(default_factory=dict[Value, int])
    _said: str = ""

    def argument(self, name: str) -> str:
        """An argument by its name in the step."""
        self.arguments.setdefault(name)
        return name

    def add(self, op: Op) -> None:
        """An operation: text for its one use, or a line of its own under the equation it comes from."""
        assert op.result is not None
        text, strength = self.expression(op)
        uses = self.free_uses.get(op.result, op.result.uses)
        leaf = op.name in ("constant", "hyper", "input", "counter", "metadata", "old")
        if leaf or (uses <= 1 and not op.result.hint):
            self.known[op.result] = (text, strength)
            return
        self._say(op.statement)
        self.line(op.result, text)

    def line(self, value: Value, text: str) -> str:
        """Gives a value a line and a name."""
        name = self.names.new(self.wishes(value))
        self.lines.append(f"{name} = {text}")
        self.known[value] = (name, ATOM)
        return name

    def _say(self, statement: str) -> None:
        if statement and statement != self._said and statement != "skip":
            self.lines.append(f"# {comment(statement)}")
            self._said = statement

    def named(self, value: Value) -> str:
        """The name of a value, with a line of its own if it has none."""
        text, _ = self.known[value]
        return text if text.isidentifier() else self.line(value, text)

    def text(self, value: Value, strength: int = 0) -> str:
        """A value's text, in parentheses where it binds less than asked."""
        text, own = self.known[value]
        return text if own >= strength else f"({text})"

    def expression(self, op: Op) -> tuple[str, int]:
        """Text and binding strength of an operation."""
        assert op.result is not None
        match op.name:
            case "constant":
                return self._literal(op)
            case "hyper" | "input" | "counter" | "metadata":
                return self.argument(op.word), ATOM
            case "old" | "get":
                return self.argument(python_name(op.word)), ATOM
            case "reduce":
                return self._reduction(op), ATOM
            case "count":
                return self._count(op)
            case "call":
                self.calls.add(op.word)
                return f"{op.word}({', '.join(self.text(x) for x in op.operands)})", ATOM
            case _:
                return self._apply(op, op.result)

    def _literal(self, op: Op) -> tuple[str, int]:
        text = repr(op.number)
        if text in ("inf", "-inf", "nan"):
            named = self.dialect.inf.removesuffix("inf") + text.removeprefix("-")
            return (f"-{named}", SIGN) if text.startswith("-") else (named, ATOM)
        return text, SIGN if text.startswith("-") else ATOM

    def _reduction(self, op: Op) -> str:
        call = f"{self.dialect.arrays}.{op.word}"
        if own := self.dialect.reductions.get(op.word):
            self.helpers.add(own)
            call = own
        initial = f", initial={_IDENTITY[op.word]}{self.dialect.inf}" if op.word in _IDENTITY else ""
        where = f", {_AXES[op.over]}, keepdims=True" if op.over in _AXES else ""
        return f"{call}({self._number(op.operands[0], 0)}{where}{initial})"

    def _count(self, op: Op) -> tuple[str, int]:
        entries = {
            "elem": {"tensor": "numel", "matrix": "rows * cols", "row": "cols", "col": "rows"},
            "row": {"tensor": "matrices * rows", "matrix": "rows"},
            "col": {"tensor": "matrices * cols", "matrix": "cols"},
            "matrix": {"tensor": "matrices"},
        }[op.operands[0].extent]
        text = entries[op.over]
        for name in text.split(" * "):
            self.argument(name)
        return text, PRODUCT if "*" in text else ATOM

    def _apply(self, op: Op, result: Value) -> tuple[str, int]:
        function, args = op.word, op.operands
        if function in _INFIX:
            sign, strength = _INFIX[function]
            return f"{self._number(args[0], strength)} {sign} {self._number(args[1], strength + 1)}", strength
        fine = result.extent in _FINE
        if function == "div" and fine:
            return f"{self._number(args[0], PRODUCT)} / {self._number(args[1], PRODUCT + 1)}", PRODUCT
        if function == "neg":
            return f"-{self._number(args[0], SIGN)}", SIGN
        if function in _COMPARE:
            return f"{self.text(args[0], COMPARE + 1)} {_COMPARE[function]} {self.text(args[1], COMPARE + 1)}", COMPARE
        numbers = [self._number(a, 0) if function in _NUMBERS else self.text(a) for a in args]
        array, scalar = _CALLS[function]
        if fine and array and function not in self.dialect.careful:
            return f"{self.dialect.arrays}.{array}({', '.join(numbers)})", ATOM
        self.helpers.add(scalar)
        return f"{scalar}({', '.join(numbers)})", ATOM

    def _number(self, value: Value, strength: int) -> str:
        """A value's text as a number: a truth value counts as 0 or 1."""
        if value.kind != "bool":
            return self.text(value, strength)
        self.helpers.add("number")
        return f"number({self.text(value)})"
