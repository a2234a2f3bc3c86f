"""Numbers with a radius: what a computation in finite precision may have produced, around a float64 centre.

A ball is an array of centres `c` and radii `r`. It promises that the exact value and the value a kernel computes both
lie within `r` of `c`, whatever the kernel's order of summation. Radii propagate by interval bounds, not by first-order
terms, so the promise survives cancellation; every operation adds its own rounding on top (`Precision`).

The centre itself is computed in float64 and rounds too: each operation therefore costs u + 2**-53 of its result's
magnitude, where u is the unit roundoff of the kernel's dtype. Rounding of the radii is not counted: it is 2**-53 of
something that is already an upper bound.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optgen.ir.kernel_arith import stored

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

#: Error of exp, log, pow and their like in units of roundoff: what mathematical libraries promise at worst (4 ulp).
LIBRARY_ROUNDOFFS = 8.0


@dataclass(frozen=True)
class Precision:
    """A binary floating-point type: unit roundoff, half of its smallest number, largest integer that all precede.

    Beyond `largest` values may become infinite; it is infinite itself for types that are not expected to get there.
    """

    dtype: str
    unit: float
    tiny: float
    whole: float
    largest: float = np.inf

    @property
    def cost(self) -> float:
        """Relative error of one rounding, that of the float64 centre included."""
        return self.unit + DOUBLE_UNIT

    def holds(self, x: Array) -> Mask:
        """Where a float64 is a number of this type."""
        return stored(x, self.dtype).astype(np.float64) == x


DOUBLE_UNIT = 2.0**-53
PRECISIONS: Mapping[str, Precision] = {
    "f32": Precision("float32", 2.0**-24, 2.0**-150, 2.0**24),
    "f64": Precision("float64", DOUBLE_UNIT, 0.0, 2.0**53),
    "bf16": Precision("bfloat16", 2.0**-8, 2.0**-134, 2.0**8),
    "f16": Precision("float16", 2.0**-11, 2.0**-25, 2.0**11, largest=65504.0),
}


@dataclass(frozen=True)
class Ball:
    """Centres and radii; two arrays that broadcast against each other."""

    c: Array
    r: Array

    @classmethod
    def exact(cls, x: Array | float) -> Ball:
        """Values without error."""
        c = np.asarray(x, dtype=np.float64)
        return cls(c, np.zeros(c.shape))

    @property
    def reach(self) -> Array:
        """Largest magnitude inside."""
        return np.abs(self.c) + self.r

    @property
    def whole(self) -> Mask:
        """Where this is exactly an integer."""
        return (self.r == 0) & (np.floor(self.c) == self.c)

    def rounded(self, precision: Precision, roundoffs: float = 1.0) -> Ball:
        """After one rounding to a type; nothing is lost where the value is certain and already of that type.

        `roundoffs` is the largest error in units of roundoff: 2 where the farther neighbour may be taken.
        """
        loss = roundoffs * _rounding(self.c, self.r, precision)
        return Ball(self.c, self.r + np.where((self.r == 0) & precision.holds(self.c), 0.0, loss))

    def broadcast(self, shape: tuple[int, ...]) -> Ball:
        """Spread over a shape."""
        return Ball(np.broadcast_to(self.c, shape), np.broadcast_to(self.r, shape))


@dataclass(frozen=True)
class Truth:
    """Conditions: their value at the centres, and where the kernel must agree."""

    holds: Mask
    sure: Mask


def _rounding(c: Array, r: Array, precision: Precision, roundoffs: float = 1.0) -> Array:
    reach = np.abs(c) + r
    loss = np.where(reach == 0, 0.0, roundoffs * precision.cost * reach + precision.tiny)
    return np.where(reach + loss > precision.largest, np.inf, loss)


def _result(c: Array, r: Array, precision: Precision, exact: Mask | None = None, roundoffs: float = 1.0) -> Ball:
    """A ball after the rounding of the operation that made it; a NaN radius is no bound."""
    r = np.where(np.isnan(r), np.inf, r)
    loss = _rounding(c, r, precision, roundoffs)
    return Ball(c, r + (loss if exact is None else np.where(exact, 0.0, loss)))


def _integers(a: Ball, b: Ball, c: Array, precision: Precision) -> Mask:
    return a.whole & b.whole & (np.abs(c) < precision.whole)


def _is(a: Ball, number: float) -> Mask:
    return (a.r == 0) & (a.c == number)


def add(a: Ball, b: Ball, precision: Precision) -> Ball:
    """a + b."""
    c = a.c + b.c
    return _result(c, a.r + b.r, precision, _integers(a, b, c, precision) | _is(a, 0) | _is(b, 0))


def subtract(a: Ball, b: Ball, precision: Precision) -> Ball:
    """a - b."""
    return add(a, Ball(-b.c, b.r), precision)


def multiply(a: Ball, b: Ball, precision: Precision) -> Ball:
    """a * b."""
    c = a.c * b.c
    r = np.abs(a.c) * b.r + np.abs(b.c) * a.r + a.r * b.r
    trivial = [_is(x, number) for x in (a, b) for number in (0.0, 1.0, -1.0)]
    return _result(c, r, precision, np.logical_or.reduce(np.broadcast_arrays(_integers(a, b, c, precision), *trivial)))


def divide(a: Ball, b: Ball, precision: Precision) -> Ball:
    """a / b; without bound where b may be 0 and that is uncertain."""
    c = a.c / b.c
    room = np.abs(b.c) - b.r
    r = np.where((a.r == 0) & (b.r == 0), 0.0, np.where(room > 0, (a.r + np.abs(c) * b.r) / room, np.inf))
    return _result(c, r, precision, _is(b, 1) | (_is(a, 0) & (room > 0)))


def divide_by_shared(a: Ball, b: Ball, precision: Precision) -> Ball:
    """a / b, or a * (1 / b) where b is one number or the same for several elements of a."""
    if b.c.size > 1 and b.c.size >= a.c.size:
        return divide(a, b, precision)
    return multiply(a, divide(Ball.exact(1.0), b, precision), precision)


def square_root(a: Ball, precision: Precision) -> Ball:
    """The root. An operand that rounding takes below 0 gives NaN, which no bound admits: it is not counted here."""
    c = np.sqrt(a.c)
    up, down = np.sqrt(a.c + a.r) - c, c - np.sqrt(np.maximum(a.c - a.r, 0.0))
    # the difference of two roots loses digits where the radius is small
    near = np.where(a.r == 0, 0.0, a.r / (c + np.sqrt(np.maximum(a.c - a.r, 0.0))))
    return _result(c, np.where(a.r < np.abs(a.c), near, np.where(a.r == 0, 0.0, np.maximum(up, down))), precision)


def logarithm(a: Ball, precision: Precision, shift: float = 0.0) -> Ball:
    """log(a), or log(shift + a) for a shift of 1."""
    c = np.log1p(a.c) if shift else np.log(a.c)
    share = np.where(a.r == 0, 0.0, a.r / np.abs(shift + a.c))
    r = np.where(share == 0, 0.0, np.where(share < 1, -np.log1p(-share), np.inf))
    return _result(c, r, precision, roundoffs=LIBRARY_ROUNDOFFS)


def exponential(a: Ball, precision: Precision, shift: float = 0.0) -> Ball:
    """exp(a), or exp(a) - 1 for a shift of 1."""
    grown = np.exp(a.c)
    c = np.expm1(a.c) if shift else grown
    return _result(c, np.where(a.r == 0, 0.0, grown * np.expm1(a.r)), precision, roundoffs=LIBRARY_ROUNDOFFS)


def power(a: Ball, b: Ball, precision: Precision) -> Ball:
    """a ** b, through the logarithm of the magnitude; a base near 0 keeps a bound under a certain power above 0."""
    c = np.power(a.c, b.c)
    certain = (a.r == 0) & (b.r == 0)
    magnitude = np.abs(a.c)
    share = np.where(a.r == 0, 0.0, a.r / magnitude)
    slack = np.where(share == 0, 0.0, np.where(share < 1, -np.log1p(-share), np.inf))
    log = np.where(magnitude == 0, 0.0, np.abs(np.log(magnitude)))
    spread = np.abs(b.c) * slack + log * b.r + b.r * slack
    near_zero = np.where((b.r == 0) & (b.c > 0), np.power(magnitude + a.r, b.c) + np.abs(c), np.inf)
    signed = (a.c > 0) | ((a.c < 0) & b.whole)
    r = np.where(certain, 0.0, np.where(signed & (share < 1), np.abs(c) * np.expm1(spread), near_zero))
    return _result(c, r, precision, roundoffs=LIBRARY_ROUNDOFFS)


def wave(function: Callable[[Array], Array]) -> Callable[[Ball, Precision], Ball]:
    """sin, cos, tanh: no steeper than 1, and no larger than 1."""
    return lambda a, precision: _result(function(a.c), np.minimum(a.r, 2.0), precision, roundoffs=LIBRARY_ROUNDOFFS)


def stair(function: Callable[[Array], Array]) -> Callable[[Ball, Precision], Ball]:
    """floor, ceil, round: exact, but uncertain where the ball crosses a step."""

    def climb(a: Ball, _: Precision) -> Ball:
        c = function(a.c)
        r = np.maximum(np.abs(function(a.c + a.r) - c), np.abs(function(a.c - a.r) - c))
        return Ball(c, np.where(a.r == 0, 0.0, r))

    return climb


def negate(a: Ball, _: Precision) -> Ball:
    """-a."""
    return Ball(-a.c, a.r)


def magnitude(a: Ball, _: Precision) -> Ball:
    """|a|."""
    return Ball(np.abs(a.c), a.r)


def smaller(a: Ball, b: Ball, _: Precision) -> Ball:
    """min(a, b)."""
    return Ball(np.minimum(a.c, b.c), _extreme(np.minimum, a, b))


def larger(a: Ball, b: Ball, _: Precision) -> Ball:
    """max(a, b)."""
    return Ball(np.maximum(a.c, b.c), _extreme(np.maximum, a, b))


def _extreme(choose: Callable[[Array, Array], Array], a: Ball, b: Ball) -> Array:
    """Both ends of the ball of an extremum are extrema of ends."""
    c = choose(a.c, b.c)
    up, down = choose(a.c + a.r, b.c + b.r) - c, c - choose(a.c - a.r, b.c - b.r)
    exact = (a.r == 0) & (b.r == 0)
    r = np.where(exact, 0.0, np.maximum(up, down))
    return np.where(np.isnan(r), np.inf, r)


def remainder(a: Ball, b: Ball, precision: Precision) -> Ball:
    """a % b with the divisor's sign, 0 for a divisor of 0; uncertain operands may cross a multiple."""
    zero = b.c == 0
    c = np.where(zero, 0.0, np.mod(a.c, np.where(zero, 1.0, b.c)))
    certain = (a.r == 0) & (b.r == 0)
    return _result(c, np.where(certain, 0.0, b.reach), precision, _integers(a, b, c, precision))


def compare(predicate: str, a: Ball, b: Ball) -> Truth:
    """A comparison (`oeq`, `une`, `olt`, `ole`, `ogt`, `oge`)."""
    holds = {
        "oeq": np.equal,
        "une": np.not_equal,
        "olt": np.less,
        "ole": np.less_equal,
        "ogt": np.greater,
        "oge": np.greater_equal,
    }[predicate](a.c, b.c)
    certain = (a.r == 0) & (b.r == 0)
    apart = np.abs(a.c - b.c) > a.r + b.r
    return Truth(holds, certain | apart | np.isnan(a.c) | np.isnan(b.c))


def both(a: Truth, b: Truth) -> Truth:
    """a and b: sure where both are, or where one is surely false."""
    return Truth(a.holds & b.holds, (a.sure & b.sure) | (a.sure & ~a.holds) | (b.sure & ~b.holds))


def either(a: Truth, b: Truth) -> Truth:
    """a or b: sure where both are, or where one is surely true."""
    return Truth(a.holds | b.holds, (a.sure & b.sure) | (a.sure & a.holds) | (b.sure & b.holds))


def differ(a: Truth, b: Truth) -> Truth:
    """Exclusive or."""
    return Truth(a.holds ^ b.holds, a.sure & b.sure)


def choose(condition: Truth, a: Ball, b: Ball) -> Ball:
    """`a if condition else b`; where the condition is not sure, the ball holds both."""
    c = np.where(condition.holds, a.c, b.c)
    hull = np.maximum(np.abs(a.c - c) + a.r, np.abs(b.c - c) + b.r)
    r = np.where(condition.sure, np.where(condition.holds, a.r, b.r), hull)
    return Ball(c, np.where(np.isnan(r), np.inf, r))


def gamma(terms: float, unit: float) -> float:
    """Relative error of a sum of so many terms in any order: n*u/(1 - n*u)."""
    return terms * unit / (1.0 - terms * unit)


def total(
    reduction: str, x: Ball, axes: tuple[int, ...] | None, element: Precision, run: int, keepdims: bool = True
) -> Ball:
    """A reduction over axes. Sums of up to `run` terms are carried in the elements' own type, longer ones in float64.

    |error of a sum| <= sum(r) + gamma(n) * sum(|x|) in any order of addition.
    """
    if reduction != "sum":
        pick = np.maximum if reduction == "max" else np.minimum
        start = -np.inf if reduction == "max" else np.inf
        return Ball(
            pick.reduce(x.c, axis=axes, keepdims=keepdims, initial=start),
            np.max(x.r, axis=axes, keepdims=keepdims, initial=0.0),
        )
    c = np.sum(x.c, axis=axes, keepdims=keepdims)
    terms = x.c.size / max(1, c.size)
    share = gamma(min(terms, run), element.unit) + 2 * gamma(terms + 1, DOUBLE_UNIT)
    reach = np.sum(x.reach, axis=axes, keepdims=keepdims)
    r = np.sum(x.r, axis=axes, keepdims=keepdims) + share * reach
    return Ball(c, np.where(np.isnan(r), np.inf, r))
