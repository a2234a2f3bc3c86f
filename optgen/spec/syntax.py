"""Nodes of equations: expressions and statements, each knowing where it was written.

Two nodes are equal when they say the same thing; positions (and the source text of statements) do not count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from optgen.errors import Location

NOWHERE = Location("<built>", 1, 1)
"""Position of nodes that no text wrote."""

UnaryOp = Literal["-", "+", "not"]
BinaryOp = Literal["+", "-", "*", "/", "//", "%", "**"]
CompareOp = Literal["==", "!=", "<", "<=", ">", ">="]
LogicOp = Literal["and", "or"]


@dataclass(frozen=True)
class Number:
    """A literal; an int where it was written without a point or exponent."""

    value: int | float
    loc: Location = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True)
class Boolean:
    """`True` or `False` (also written `true`, `false`)."""

    value: bool
    loc: Location = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True)
class Text:
    """A quoted word: compared with a choice or a role, or the value of a keyword such as `over=`."""

    value: str
    loc: Location = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True)
class Name:
    """A name read: hyper, input, state, given, local or constant."""

    id: str
    loc: Location = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True)
class Unary:
    """`-x`, `+x`, `not x`."""

    op: UnaryOp
    operand: Expr
    loc: Location = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True)
class Binary:
    """Arithmetic of two operands."""

    op: BinaryOp
    left: Expr
    right: Expr
    loc: Location = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True)
class Compare:
    """One comparison; a chain `a < b < c` is a `Logic("and", ...)` of these."""

    op: CompareOp
    left: Expr
    right: Expr
    loc: Location = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True)
class Logic:
    """`and` or `or` of two or more values."""

    op: LogicOp
    values: tuple[Expr, ...]
    loc: Location = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True)
class Call:
    """A call of one of the language's functions."""

    function: str
    args: tuple[Expr, ...]
    keywords: tuple[tuple[str, Expr], ...] = ()
    loc: Location = field(default=NOWHERE, compare=False, repr=False)

    def keyword(self, name: str) -> Expr | None:
        """The value given for a keyword, if any."""
        return next((value for key, value in self.keywords if key == name), None)


@dataclass(frozen=True)
class Vector:
    """A short vector `[a, b, c]` (also a shape `(a, b)`), unrolled entry by entry."""

    items: tuple[Expr, ...]
    loc: Location = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True)
class Index:
    """`base[index]`: one entry of a short vector."""

    base: Expr
    index: Expr
    loc: Location = field(default=NOWHERE, compare=False, repr=False)


Expr = Number | Boolean | Text | Name | Unary | Binary | Compare | Logic | Call | Vector | Index


@dataclass(frozen=True)
class Assign:
    """`target = value`; several targets take the results of one library call. `text` is the statement as written."""

    targets: tuple[str, ...]
    value: Expr
    loc: Location = field(default=NOWHERE, compare=False, repr=False)
    text: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True)
class If:
    """A branch; `elif` nests in `orelse`. `text` is the condition's line as written."""

    condition: Expr
    then: tuple[Stmt, ...]
    orelse: tuple[Stmt, ...] = ()
    loc: Location = field(default=NOWHERE, compare=False, repr=False)
    text: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True)
class Skip:
    """From here on this tensor has no gradient."""

    loc: Location = field(default=NOWHERE, compare=False, repr=False)
    text: str = field(default="skip", compare=False, repr=False)


Stmt = Assign | If | Skip


def children(expr: Expr) -> tuple[Expr, ...]:
    """The direct operands of an expression, in written order (keyword values last)."""
    match expr:
        case Number() | Boolean() | Text() | Name():
            return ()
        case Unary(operand=operand):
            return (operand,)
        case Binary(left=left, right=right) | Compare(left=left, right=right):
            return left, right
        case Logic(values=values):
            return values
        case Call(args=args, keywords=keywords):
            return (*args, *(value for _, value in keywords))
        case Vector(items=items):
            return items
        case Index(base=base, index=index):
            return base, index


def walk(expr: Expr) -> Iterator[Expr]:
    """The expression and everything inside it, outermost first."""
    yield expr
    for child in children(expr):
        yield from walk(child)


def names_in(expr: Expr) -> frozenset[str]:
    """Every name an expression reads."""
    return frozenset(node.id for node in walk(expr) if isinstance(node, Name))


def statements(body: Sequence[Stmt]) -> Iterator[Stmt]:
    """Every statement of a body, branches included, in written order."""
    for statement in body:
        yield statement
        if isinstance(statement, If):
            yield from statements(statement.then)
            yield from statements(statement.orelse)
