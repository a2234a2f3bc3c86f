"""Scalar functions of generated array code: of known numbers in double precision, of arrays by the framework.

A hyper-parameter given as a Python number keeps all its digits until it meets an array.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from optgen.runtime import scalars

Scalar: TypeAlias = Any  # a number, or an array
Function: TypeAlias = Callable[..., Scalar]


def is_known(*values: Scalar) -> bool:
    """Whether all values are plain numbers."""
    return all(isinstance(value, bool | int | float) for value in values)


def lifted(known: Callable[..., object], traced: Callable[..., Any]) -> Function:
    """One function for numbers and for arrays."""

    def function(*values: Scalar) -> Scalar:
        return (known if is_known(*values) else traced)(*values)

    return function


def _remainder(a: Scalar, b: Scalar) -> Scalar:
    return scalars.remainder(a, b) if b else 0


class Functions:
    """The scalar functions over a framework's array namespace. `real` makes floats of a value, `whole` counts."""

    def __init__(self, arrays: Any, real: Function, whole: Function) -> None:
        def of_real(traced: Function) -> Function:
            def function(x: Scalar, *others: Scalar) -> Scalar:
                return traced(real(x), *others)

            return function

        self._arrays, self._whole = arrays, whole
        self.absolute = lifted(scalars.absolute, arrays.abs)
        self.sign = lifted(scalars.sign, arrays.sign)
        self.sqrt = lifted(scalars.sqrt, of_real(arrays.sqrt))
        self.exp = lifted(scalars.exp, of_real(arrays.exp))
        self.log = lifted(scalars.log, of_real(arrays.log))
        self.expm1 = lifted(scalars.expm1, of_real(arrays.expm1))
        self.log1p = lifted(scalars.log1p, of_real(arrays.log1p))
        self.floor = lifted(scalars.floor, of_real(arrays.floor))
        self.ceil = lifted(scalars.ceil, of_real(arrays.ceil))
        self.nearest = lifted(scalars.nearest, of_real(arrays.round))
        self.sin = lifted(scalars.sin, of_real(arrays.sin))
        self.cos = lifted(scalars.cos, of_real(arrays.cos))
        self.tanh = lifted(scalars.tanh, of_real(arrays.tanh))
        self.divide = lifted(scalars.divide, of_real(arrays.divide))
        self.power = lifted(scalars.power, of_real(arrays.power))
        self.quotient = lifted(scalars.quotient, of_real(arrays.floor_divide))
        self.minimum = lifted(scalars.minimum, arrays.minimum)
        self.maximum = lifted(scalars.maximum, arrays.maximum)
        self.remainder = lifted(_remainder, self._remainder)

    def _remainder(self, a: Scalar, b: Scalar) -> Scalar:
        """a % b with b's sign; 0 for b = 0."""
        arrays = self._arrays
        if is_known(b):
            return arrays.mod(a, b) if b else arrays.zeros_like(a)
        safe = arrays.where(b == 0, arrays.ones_like(b), b)
        return arrays.where(b == 0, 0, arrays.mod(a, safe))

    def number(self, x: Scalar) -> Scalar:
        """A truth value as 0 or 1; numbers stay."""
        return int(x) if isinstance(x, bool) else x if is_known(x) else self._whole(x)

    def where(self, condition: Scalar, a: Scalar, b: Scalar) -> Scalar:
        """a where the condition holds, else b."""
        if is_known(condition):
            return a if condition else b
        return self._arrays.where(condition, a, b)

    def both(self, a: Scalar, b: Scalar) -> Scalar:
        """a and b; known as soon as one is known to be false."""
        for one, other in ((a, b), (b, a)):
            if is_known(one):
                return other if one else False
        return self._arrays.logical_and(a, b)

    def either(self, a: Scalar, b: Scalar) -> Scalar:
        """a or b; known as soon as one is known to be true."""
        for one, other in ((a, b), (b, a)):
            if is_known(one):
                return True if one else other
        return self._arrays.logical_or(a, b)

    def negation(self, a: Scalar) -> Scalar:
        """not a."""
        return not a if is_known(a) else self._arrays.logical_not(a)
