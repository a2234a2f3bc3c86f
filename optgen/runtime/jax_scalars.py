"""Scalar functions of generated JAX code: of known numbers in double precision, of traced values by JAX.

A hyper-parameter given as a Python number keeps all its digits until it meets an array.
"""

# JAX and optax carry partial types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false
from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, cast

import jax
import jax.numpy as jnp

from optgen.runtime import scalars

Scalar: TypeAlias = "bool | int | float | jax.Array"
Function: TypeAlias = Callable[..., Scalar]


def _is_known(*values: Scalar) -> bool:
    return all(isinstance(value, bool | int | float) for value in values)


def _lifted(known: Callable[..., object], traced: Callable[..., Any]) -> Function:
    """One function for numbers and for traced values."""

    def function(*values: Scalar) -> Scalar:
        return cast(Scalar, (known if _is_known(*values) else traced)(*values))

    return function


def real(x: Scalar) -> jax.Array:
    """A value as a float array of JAX's default precision, if it is no array of floats already."""
    array = jnp.asarray(x)
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(jnp.result_type(float))


def _of_real(traced: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, *others: traced(real(x), *others)


absolute: Function = _lifted(scalars.absolute, jnp.abs)
sign: Function = _lifted(scalars.sign, jnp.sign)
sqrt: Function = _lifted(scalars.sqrt, _of_real(jnp.sqrt))
exp: Function = _lifted(scalars.exp, _of_real(jnp.exp))
log: Function = _lifted(scalars.log, _of_real(jnp.log))
expm1: Function = _lifted(scalars.expm1, _of_real(jnp.expm1))
log1p: Function = _lifted(scalars.log1p, _of_real(jnp.log1p))
floor: Function = _lifted(scalars.floor, _of_real(jnp.floor))
ceil: Function = _lifted(scalars.ceil, _of_real(jnp.ceil))
nearest: Function = _lifted(scalars.nearest, _of_real(jnp.round))
sin: Function = _lifted(scalars.sin, _of_real(jnp.sin))
cos: Function = _lifted(scalars.cos, _of_real(jnp.cos))
tanh: Function = _lifted(scalars.tanh, _of_real(jnp.tanh))
divide: Function = _lifted(scalars.divide, _of_real(jnp.divide))
power: Function = _lifted(scalars.power, _of_real(jnp.power))
quotient: Function = _lifted(scalars.quotient, _of_real(jnp.floor_divide))
minimum: Function = _lifted(scalars.minimum, jnp.minimum)
maximum: Function = _lifted(scalars.maximum, jnp.maximum)


def number(x: Scalar) -> Scalar:
    """A truth value as 0 or 1; numbers stay."""
    if isinstance(x, bool):
        return int(x)
    return x.astype(jnp.int32) if isinstance(x, jax.Array) and x.dtype == jnp.bool_ else x


def _remainder(a: Scalar, b: Scalar) -> jax.Array:
    divisor = jnp.asarray(b)
    safe = jnp.where(divisor == 0, jnp.ones_like(divisor), divisor)
    return jnp.where(divisor == 0, 0, jnp.mod(jnp.asarray(a), safe))


#: a % b with b's sign; 0 for b = 0.
remainder: Function = _lifted(lambda a, b: scalars.remainder(a, b) if b else 0, _remainder)


def where(condition: Scalar, a: Scalar, b: Scalar) -> Scalar:
    """a where the condition holds, else b."""
    if isinstance(condition, bool | int | float):
        return a if condition else b
    return jnp.where(condition, a, b)


def both(a: Scalar, b: Scalar) -> Scalar:
    """a and b; known as soon as one is known to be false."""
    for one, other in ((a, b), (b, a)):
        if _is_known(one):
            return other if one else False
    return jnp.logical_and(a, b)


def either(a: Scalar, b: Scalar) -> Scalar:
    """a or b; known as soon as one is known to be true."""
    for one, other in ((a, b), (b, a)):
        if _is_known(one):
            return True if one else other
    return jnp.logical_or(a, b)


def negation(a: Scalar) -> Scalar:
    """not a."""
    return not a if isinstance(a, bool | int | float) else jnp.logical_not(a)
