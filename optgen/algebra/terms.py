"""Values of a rule as rational functions over the reals, in SymPy: what two of them being equal is decided on.

Everything that is no sum, product, quotient or whole power is an atom: a symbol that stands for a function of given
arguments. Two such values share an atom when their arguments are proven equal, so no heuristics of simplification are
involved: equality is decided by putting a difference over one denominator and multiplying it out.
"""

from __future__ import annotations

import cmath
import operator
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import sympy

from optgen.ir.extents import Extent, at_most, join_all
from optgen.ir.functions import Function
from optgen.ir.rule_view import Node

#: Operations in an expression beyond which it is not multiplied out: a claim is then checked by numbers.
MAX_OPERATIONS = 600
#: Relative distance of two values, computed in floats, that shows them to be different.
APART = 1e-6


class BeyondReach(Exception):  # noqa: N818
    """The algebra here does not decide it; that says nothing about whether it holds."""


#: What a division by zero gives; it stays through whatever is computed from it, unless `where` leaves it out.
_UNDEFINED = cast(sympy.Expr, sympy.nan)


@dataclass(frozen=True)
class _Atom:
    """A function's value at some arguments."""

    args: tuple[sympy.Expr, ...]
    symbol: sympy.Symbol


class Terms:
    """Turns values into expressions; values of several rules turned by one instance can be compared."""

    def __init__(self) -> None:
        self._atoms: dict[tuple[str, str], list[_Atom]] = {}
        self._extents: dict[sympy.Symbol, Extent] = {}
        self._squares: dict[sympy.Symbol, sympy.Expr] = {}
        self._logarithms: dict[sympy.Symbol, sympy.Expr] = {}
        self._random = random.Random(0)
        self._made: dict[sympy.Symbol, tuple[str, str, tuple[sympy.Expr, ...]]] = {}
        self._point: dict[sympy.Basic, sympy.Expr] = {}
        self._values: dict[sympy.Expr, complex] = {}

    # Expressions of values

    def of(
        self, root: Node, numbers: Mapping[str, float], names: Mapping[str, str], memo: dict[Node, sympy.Expr]
    ) -> sympy.Expr:
        """A value. `numbers` are the hypers whose value is known, `names` other names of slots."""
        pending = [root]
        while pending:
            node = pending[-1]
            missing = [arg for arg in node.args if arg not in memo]
            if missing:
                pending += missing
                continue
            if node not in memo:
                memo[node] = self._node(node, [memo[arg] for arg in node.args], numbers, names)
            pending.pop()
        return memo[root]

    def _node(
        self, node: Node, args: Sequence[sympy.Expr], numbers: Mapping[str, float], names: Mapping[str, str]
    ) -> sympy.Expr:
        match node.kind:
            case "constant":
                return _number(node.number)
            case "hyper" if node.word in numbers:
                return _number(numbers[node.word])
            case "old":
                return self._leaf("old", names.get(node.word, node.word), node.extent)
            case "hyper" | "choice" | "input" | "counter" | "metadata":
                return self._leaf(node.kind, node.word, node.extent)
            case "apply":
                assert node.function is not None
                return self._apply(node.function, args)
            case "reduce" if node.word == "sum":
                assert node.over is not None
                return self._sum(args[0], node.over, node.args[0].extent)
            case "graph" | "stencil" | "edges" if args[0] == 0:
                return args[0]
            case _:
                per = "" if not node.args else f" of {node.args[0].extent}"
                over = "" if node.over is None else f" over {node.over}"
                return self._atom(node.kind, node.word + over + per, args if node.kind != "count" else (), node.extent)

    def slot(self, name: str) -> sympy.Symbol:
        """What a slot held when the step began."""
        return self._leaf("old", name, Extent.ELEM)

    def _leaf(self, kind: str, word: str, extent: Extent) -> sympy.Symbol:
        return self._atom(kind, word, (), extent)

    def _atom(self, kind: str, word: str, args: Sequence[sympy.Expr], extent: Extent | None = None) -> sympy.Symbol:
        """The symbol of a function's value; the same for arguments that are equal. It varies as they do by default."""
        known = self._atoms.setdefault((kind, word), [])
        for atom in known:
            if len(atom.args) == len(args) and all(map(self.equal, atom.args, args)):
                return atom.symbol
        symbol = sympy.Symbol(f"{kind}: {word} {len(known)}")
        known.append(_Atom(tuple(args), symbol))
        self._made[symbol] = (kind, word, tuple(args))
        self._point[symbol] = sympy.Float(self._random.uniform(0.25, 1.75))
        self._extents[symbol] = join_all(map(self._extent, args)) if extent is None else extent
        return symbol

    # Functions

    def _apply(self, function: Function, args: Sequence[sympy.Expr]) -> sympy.Expr:
        if function in _RATIONAL:
            return _RATIONAL[function](*args)
        if function is not Function.WHERE and _UNDEFINED in args:
            return _UNDEFINED
        match function:
            case Function.DIV:
                return args[0] / args[1] if args[1] != 0 else _UNDEFINED
            case Function.POW:
                return self._power(args[0], args[1])
            case Function.GT | Function.GE:
                swapped = Function.LT if function is Function.GT else Function.LE
                return self._apply(swapped, (args[1], args[0]))
            case Function.NE:
                return 1 - self._apply(Function.EQ, args)
            case Function.AND:
                return args[0] * args[1]
            case Function.OR:
                return args[0] + args[1] - args[0] * args[1]
            case Function.WHERE:
                return self._where(args[0], args[1], args[2])
            case Function.EXPM1:
                return self._exponential(args[0]) - 1
            case Function.EXP:
                return self._exponential(args[0])
            case Function.LOG1P:
                return self._apply(Function.LOG, (1 + args[0],))
            case Function.FLOORDIV:
                return self._apply(Function.FLOOR, (self._apply(Function.DIV, args),))
            case _:
                return self._opaque(function, args)

    def _opaque(self, function: Function, args: Sequence[sympy.Expr]) -> sympy.Expr:
        if all(isinstance(arg, sympy.Rational) for arg in args) and function in _FOLDED:
            return _FOLDED[function](*args)
        if function is Function.SQRT and args[0] in (0, 1):
            return args[0]
        if function in (Function.MINIMUM, Function.MAXIMUM) and self.equal(args[0], args[1]):
            return args[0]
        symbol = self._atom("apply", str(function), args)
        if function is Function.SQRT:
            self._squares[symbol] = args[0]
            self._point[symbol] = sympy.sympify(cmath.sqrt(self._value(args[0])))
        if function is Function.LOG:
            self._logarithms[symbol] = args[0]
        return symbol

    def _where(self, condition: sympy.Expr, a: sympy.Expr, b: sympy.Expr) -> sympy.Expr:
        if isinstance(condition, sympy.Rational):
            return b if condition == 0 else a
        if _UNDEFINED in (condition, a, b):
            return _UNDEFINED
        a, b = self._under(condition, a, 1), self._under(condition, b, 2)
        return a if self.equal(a, b) else self._atom("apply", "where", (condition, a, b))

    def _under(self, condition: sympy.Expr, x: sympy.Expr, side: int) -> sympy.Expr:
        """What is left of a value where a condition is known: the side of a `where` on the same condition."""
        if isinstance(x, sympy.Symbol) and self._made[x][:2] == ("apply", "where"):
            args = self._made[x][2]
            return args[side] if self.equal(args[0], condition) else x
        return x

    def _power(self, base: sympy.Expr, power: sympy.Expr) -> sympy.Expr:
        if isinstance(power, sympy.Integer):
            return _UNDEFINED if base == 0 and power < 0 else base**power
        if power == sympy.Rational(1, 2):
            return self._opaque(Function.SQRT, (base,))
        counter = isinstance(power, sympy.Symbol) and self._made[power][0] == "counter"
        if base == 1 or (base == 0 and counter):
            return base  # counters start at 1
        return self._atom("apply", "pow", (base, power))

    def _exponential(self, x: sympy.Expr) -> sympy.Expr:
        """exp(x); with a logarithm as a factor of x, a power of what it is of, which is positive or a limit."""
        for symbol, inside in self._logarithms.items():
            rest = x / symbol
            if symbol not in rest.free_symbols:
                return self._power(inside, rest)
        return sympy.Integer(1) if x == 0 else self._atom("apply", "exp", (x,))

    # Sums

    def _sum(self, x: sympy.Expr, over: Extent, extent: Extent) -> sympy.Expr:
        """A sum, taken term by term; factors that do not vary within a unit stand before it."""
        if x.count_ops() > MAX_OPERATIONS:
            raise BeyondReach("a sum of too many terms")
        terms: list[sympy.Expr] = []
        for term in _arguments(sympy.Add, self._multiplied_out(x)):
            factors = _arguments(sympy.Mul, term)
            outside = [factor for factor in factors if at_most(self._extent(factor), over)]
            inside = sympy.Mul(*(factor for factor in factors if factor not in outside))
            entries = self._atom("reduce", f"sum over {over} of {extent}", (inside,), over)
            terms.append(sympy.Mul(*outside, entries))
        return sympy.Add(*terms)

    def _extent(self, x: sympy.Basic) -> Extent:
        symbols = cast("set[sympy.Symbol]", x.free_symbols)
        return join_all(self._extents[symbol] for symbol in symbols)

    def reads(self, x: sympy.Expr) -> set[str]:
        """Names of the slots whose old values an expression depends on."""
        found: set[str] = set()
        pending, seen = [x], set[sympy.Basic]()
        while pending:
            for symbol in cast("set[sympy.Symbol]", pending.pop().free_symbols) - seen:
                seen.add(symbol)
                kind, word, args = self._made[symbol]
                found |= {word} if kind == "old" else set()
                pending += args
        return found

    # Equality

    def equal(self, a: sympy.Expr, b: sympy.Expr) -> bool:
        """Whether two expressions are proven equal wherever both are defined."""
        if _UNDEFINED in (a, b):
            raise BeyondReach("an undefined value")
        if a == b:
            return True
        if isinstance(a, sympy.Rational) and isinstance(b, sympy.Rational):
            return False
        if abs(self._value(a) - self._value(b)) > APART * (abs(self._value(a)) + abs(self._value(b)) + 1):
            return False  # they differ at a point, so they are not equal: this spares most of the work
        difference = a - b
        if difference.count_ops() > MAX_OPERATIONS:
            raise BeyondReach("expressions of too many operations")
        before: sympy.Expr | None = None
        while difference != before:  # a square root that went may leave denominators
            before, difference = difference, self._multiplied_out(_numerator(difference))
        return difference.is_zero is True

    def _value(self, x: sympy.Expr) -> complex:
        """The value where every atom has some number, a square root that of what is under it."""
        if x not in self._values:
            self._values[x] = complex(cast(complex, x.xreplace(self._point)))  # pyright: ignore[reportUnknownMemberType]
        return self._values[x]

    def _multiplied_out(self, x: sympy.Expr) -> sympy.Expr:
        """A sum of products in which no square root occurs twice, but for those under a fraction."""
        expanded = _expand(x)
        for symbol, square in self._squares.items():
            powers = [p for p in expanded.atoms(sympy.Pow) if p.args[0] == symbol and _whole(p.args[1])]
            for power in powers:
                pairs, rest = divmod(int(cast(sympy.Integer, power.args[1])), 2)
                expanded = expanded.subs(power, square**pairs * symbol**rest)
            if powers:
                expanded = _expand(expanded)
        return expanded


def _arguments(kind: type[sympy.Add] | type[sympy.Mul], x: sympy.Expr) -> Sequence[sympy.Expr]:
    return cast("Sequence[sympy.Expr]", kind.make_args(x))


def _whole(power: sympy.Basic) -> bool:
    return isinstance(power, sympy.Integer) and int(power) >= 2


def _numerator(x: sympy.Expr) -> sympy.Expr:
    return sympy.fraction(sympy.together(x))[0]  # pyright: ignore[reportUnknownMemberType]


def _number(value: float | int) -> sympy.Expr:
    """A number as the decimal that was written."""
    if isinstance(value, int):
        return sympy.Integer(value)
    if value in (float("inf"), float("-inf")) or value != value:
        raise BeyondReach("an infinity")
    return sympy.Rational(repr(value))


def _expand(x: sympy.Expr) -> sympy.Expr:
    return cast(sympy.Expr, sympy.expand(x))  # pyright: ignore[reportUnknownMemberType]


Fold = Callable[..., sympy.Expr]

_RATIONAL: Mapping[Function, Fold] = {
    Function.ADD: cast(Fold, operator.add),
    Function.SUB: cast(Fold, operator.sub),
    Function.MUL: cast(Fold, operator.mul),
    Function.NEG: cast(Fold, operator.neg),
    Function.NOT: cast(Fold, lambda a: 1 - a),  # pyright: ignore[reportUnknownLambdaType]
}


def _truth(relation: Callable[[Fraction, Fraction], bool]) -> Fold:
    def folded(a: sympy.Rational, b: sympy.Rational) -> sympy.Expr:
        return sympy.Integer(int(relation(Fraction(int(a.p), int(a.q)), Fraction(int(b.p), int(b.q)))))

    return folded


_FOLDED: Mapping[Function, Fold] = {
    Function.EQ: _truth(operator.eq),
    Function.LT: _truth(operator.lt),
    Function.LE: _truth(operator.le),
    Function.MINIMUM: cast(Fold, sympy.Min),
    Function.MAXIMUM: cast(Fold, sympy.Max),
    Function.ABS: cast(Fold, sympy.Abs),
    Function.SIGN: cast(Fold, sympy.sign),
    Function.FLOOR: cast(Fold, sympy.floor),
    Function.CEIL: cast(Fold, sympy.ceiling),
}
