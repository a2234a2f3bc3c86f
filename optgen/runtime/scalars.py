"""Arithmetic of generated conditions and starting values: float64 as IEEE has it, with values not known yet.

`UNKNOWN` stands for what only a step knows (a counter, a gradient). It goes through every operation; a condition on it
is neither certain nor impossible.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, TypeAlias


class Unknown:
    """A value that is not known before a step."""

    def _same(self, *_: object) -> Unknown:
        return self

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _same
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = _same
    __neg__ = __pos__ = __lt__ = __le__ = __gt__ = __ge__ = _same

    def __eq__(self, other: object) -> Unknown:  # type: ignore[override]
        return self

    def __ne__(self, other: object) -> Unknown:  # type: ignore[override]
        return self

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise TypeError("a condition on a value that only a step knows was decided before the step")

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown()

Scalar: TypeAlias = float | int | bool | Unknown


def possible(condition: Scalar) -> bool:
    """Whether a condition holds or may come to hold."""
    return isinstance(condition, Unknown) or bool(condition)


def negation(condition: Scalar) -> Scalar:
    """`not`."""
    return condition if isinstance(condition, Unknown) else not condition


def both(*conditions: Scalar) -> Scalar:
    """`and`: False as soon as one is known to be."""
    known = [bool(c) for c in conditions if not isinstance(c, Unknown)]
    if not all(known):
        return False
    return True if len(known) == len(conditions) else UNKNOWN


def either(*conditions: Scalar) -> Scalar:
    """`or`: True as soon as one is known to be."""
    known = [bool(c) for c in conditions if not isinstance(c, Unknown)]
    if any(known):
        return True
    return False if len(known) == len(conditions) else UNKNOWN


def where(condition: Scalar, then: Scalar, otherwise: Scalar) -> Scalar:
    """The side that the condition selects."""
    if isinstance(condition, Unknown):
        return UNKNOWN
    return then if condition else otherwise


def divide(x: Scalar, y: Scalar) -> Scalar:
    """x / y, where a zero divisor gives an infinity or NaN."""
    if isinstance(x, Unknown) or isinstance(y, Unknown):
        return UNKNOWN
    if y != 0:
        return x / y
    if x == 0 or math.isnan(x):
        return math.nan
    return math.copysign(math.inf, x) * math.copysign(1.0, y)


def remainder(x: Scalar, y: Scalar) -> Scalar:
    """x % y; of a zero divisor NaN."""
    if isinstance(x, Unknown) or isinstance(y, Unknown):
        return UNKNOWN
    return x % y if y != 0 else math.nan


def quotient(x: Scalar, y: Scalar) -> Scalar:
    """x // y; of a zero divisor as `divide`."""
    if isinstance(x, Unknown) or isinstance(y, Unknown):
        return UNKNOWN
    return x // y if y != 0 else divide(x, y)


def power(x: Scalar, y: Scalar) -> Scalar:
    """x ** y; a negative number to a fraction is NaN, zero to a negative one an infinity."""
    if isinstance(x, Unknown) or isinstance(y, Unknown):
        return UNKNOWN
    if isinstance(x, int) and isinstance(y, int) and y >= 0 and abs(x) <= 1 << 31 and y <= 64:
        return x**y
    try:
        return math.pow(x, y)
    except OverflowError:
        return math.inf if x > 0 or y % 2 == 0 else -math.inf
    except ValueError:
        return math.inf if x == 0 else math.nan


def _lifted(x: Scalar, function: Callable[[float], float], below: float, overflow: float = math.nan) -> Scalar:
    if isinstance(x, Unknown):
        return UNKNOWN
    try:
        return function(x)
    except ValueError:
        return below
    except OverflowError:
        return overflow


def sqrt(x: Scalar) -> Scalar:
    """Square root; NaN below zero."""
    return _lifted(x, math.sqrt, math.nan)


def log(x: Scalar) -> Scalar:
    """Natural logarithm; minus infinity at zero, NaN below."""
    return _lifted(x, math.log, -math.inf if not isinstance(x, Unknown) and x == 0 else math.nan)


def log1p(x: Scalar) -> Scalar:
    """log(1 + x)."""
    return _lifted(x, math.log1p, -math.inf if not isinstance(x, Unknown) and x == -1 else math.nan)


def exp(x: Scalar) -> Scalar:
    """e to the x."""
    return _lifted(x, math.exp, math.nan, math.inf)


def expm1(x: Scalar) -> Scalar:
    """exp(x) - 1."""
    return _lifted(x, math.expm1, math.nan, math.inf)


def sin(x: Scalar) -> Scalar:
    """Sine; NaN at an infinity."""
    return _lifted(x, math.sin, math.nan)


def cos(x: Scalar) -> Scalar:
    """Cosine; NaN at an infinity."""
    return _lifted(x, math.cos, math.nan)


def tanh(x: Scalar) -> Scalar:
    """Hyperbolic tangent."""
    return _lifted(x, math.tanh, math.nan)


def floor(x: Scalar) -> Scalar:
    """Largest integer not above x; infinities and NaN stay."""
    return x if isinstance(x, Unknown) or not math.isfinite(x) else float(math.floor(x))


def ceil(x: Scalar) -> Scalar:
    """Smallest integer not below x; infinities and NaN stay."""
    return x if isinstance(x, Unknown) or not math.isfinite(x) else float(math.ceil(x))


def nearest(x: Scalar) -> Scalar:
    """Nearest integer, halves to even; infinities and NaN stay."""
    return x if isinstance(x, Unknown) or not math.isfinite(x) else float(round(x))


def absolute(x: Scalar) -> Scalar:
    """Absolute value."""
    return x if isinstance(x, Unknown) else abs(x)


def sign(x: Scalar) -> Scalar:
    """-1, 0 or 1; NaN stays."""
    if isinstance(x, Unknown) or math.isnan(x):
        return x
    return (x > 0) - (x < 0)


def minimum(x: Scalar, y: Scalar) -> Scalar:
    """The smaller of two; NaN wins."""
    if isinstance(x, Unknown) or isinstance(y, Unknown):
        return UNKNOWN
    return x if math.isnan(x) or x < y else y


def maximum(x: Scalar, y: Scalar) -> Scalar:
    """The larger of two; NaN wins."""
    if isinstance(x, Unknown) or isinstance(y, Unknown):
        return UNKNOWN
    return x if math.isnan(x) or x > y else y


def clip(x: Scalar, low: Scalar, high: Scalar) -> Scalar:
    """x, no smaller than low and no larger than high; NaN stays."""
    return minimum(maximum(x, low), high)
