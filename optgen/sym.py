"""Symbols and functions for rules written in SymPy: what is given, reductions, graph operators, metadata, choices.

    from optgen import sym
    update = [(sym.param, sym.param - lr*sym.g/(sym.norm(sym.g, over="tensor") + eps))]

Element functions are SymPy's own (`sqrt`, `exp`, `log`, `Abs`, `sign`, `Max`, `Min`, `Piecewise`, ...).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import sympy
from sympy.core.symbol import Str
from sympy.logic.boolalg import Boolean, BooleanFunction

if TYPE_CHECKING:
    from sympy.printing.printer import Printer

#: What is given to every rule; `t` and `step` count from 1.
param, g, d = (sympy.Symbol(name, real=True) for name in ("param", "g", "d"))
t, step = (sympy.Symbol(name, integer=True, positive=True) for name in ("t", "step"))


class LanguageCall(sympy.Function):
    """A call of a function of the rule language: its name, then the operands, then, for reductions, the extent."""

    def _eval_is_real(self) -> bool:
        return True

    def _eval_is_commutative(self) -> bool:
        return True

    @property
    def function(self) -> str:
        """The function's name in the language."""
        return str(self.args[0])

    @property
    def operands(self) -> tuple[sympy.Basic, ...]:
        """What it is called with."""
        return tuple(arg for arg in self.args[1:] if not isinstance(arg, Str))

    @property
    def over(self) -> str:
        """The extent it reduces over, or nothing."""
        return str(self.args[-1]) if len(self.args) > 1 and isinstance(self.args[-1], Str) else ""

    def _sympystr(self, printer: Printer) -> str:
        written = [printer.doprint(operand) for operand in self.operands]  # pyright: ignore[reportUnknownMemberType]
        return f"{self.function}({', '.join([*written, *([f'over={self.over}'] if self.over else [])])})"


class Choice(BooleanFunction):
    """Whether a hyper with choices has a value."""

    def _sympystr(self, printer: Printer) -> str:  # noqa: ARG002
        hyper, word = self.args
        return f'{hyper} == "{word}"'


def _call(function: str, *operands: sympy.Expr | float, over: str = "") -> LanguageCall:
    return cast(LanguageCall, LanguageCall(Str(function), *operands, *([Str(over)] if over else [])))


def norm(x: sympy.Expr, *, over: str) -> LanguageCall:
    """Euclidean norm of the entries of x in each unit of an extent ("model", "layer", "tensor", "row", ...)."""
    return _call("norm", x, over=over)


def total(x: sympy.Expr, *, over: str) -> LanguageCall:
    """Sum of the entries of x; `sum` in a rule text."""
    return _call("sum", x, over=over)


def mean(x: sympy.Expr, *, over: str) -> LanguageCall:
    """Mean of the entries of x."""
    return _call("mean", x, over=over)


def dot(x: sympy.Expr, y: sympy.Expr, *, over: str) -> LanguageCall:
    """Sum of the products of the entries of x and y."""
    return _call("dot", x, y, over=over)


def smallest(x: sympy.Expr, *, over: str) -> LanguageCall:
    """Smallest entry of x; `min` in a rule text."""
    return _call("min", x, over=over)


def largest(x: sympy.Expr, *, over: str) -> LanguageCall:
    """Largest entry of x; `max` in a rule text."""
    return _call("max", x, over=over)


def max_abs(x: sympy.Expr, *, over: str) -> LanguageCall:
    """Largest absolute value of the entries of x."""
    return _call("max_abs", x, over=over)


def laplacian(x: sympy.Expr) -> LanguageCall:
    """The graph Laplacian of x over the players."""
    return _call("laplacian", x)


def neighbors(x: sympy.Expr) -> LanguageCall:
    """The weighted sum of x over each player's neighbours."""
    return _call("neighbors", x)


def clip(x: sympy.Expr, low: sympy.Expr | float, high: sympy.Expr | float) -> LanguageCall:
    """x, no less than low and no more than high."""
    return _call("clip", x, low, high)


def numel() -> LanguageCall:
    """The number of elements of the tensor."""
    return _call("numel", param)


def ndim() -> LanguageCall:
    """The number of axes of the tensor."""
    return _call("ndim", param)


def rows() -> LanguageCall:
    """Rows of the matrix that the rule sees."""
    return _call("rows", param)


def cols() -> LanguageCall:
    """Columns of the matrix that the rule sees."""
    return _call("cols", param)


def depth() -> LanguageCall:
    """Relative depth of the layer: 0 at the input, 1 at the output."""
    return _call("depth", param)


def is_choice(hyper: sympy.Symbol, word: str) -> Boolean:
    """Whether a hyper with choices is this word: a condition for `Piecewise`."""
    return Choice(hyper, Str(word))
