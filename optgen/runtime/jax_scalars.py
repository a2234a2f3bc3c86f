"""Scalar functions of generated JAX code; see `array_scalars`."""

# JAX carries partial types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import jax
import jax.numpy as jnp

from optgen.runtime.array_scalars import Functions, Scalar


def real(x: Scalar) -> jax.Array:
    """A value as a float array of JAX's default precision, if it is no array of floats already."""
    array = jnp.asarray(x)
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(jnp.result_type(float))


def _whole(x: jax.Array) -> jax.Array:
    return x.astype(jnp.int32) if x.dtype == jnp.bool_ else x


_FUNCTIONS = Functions(jnp, real, _whole)

absolute = _FUNCTIONS.absolute
sign = _FUNCTIONS.sign
sqrt = _FUNCTIONS.sqrt
exp = _FUNCTIONS.exp
log = _FUNCTIONS.log
expm1 = _FUNCTIONS.expm1
log1p = _FUNCTIONS.log1p
floor = _FUNCTIONS.floor
ceil = _FUNCTIONS.ceil
nearest = _FUNCTIONS.nearest
sin = _FUNCTIONS.sin
cos = _FUNCTIONS.cos
tanh = _FUNCTIONS.tanh
divide = _FUNCTIONS.divide
power = _FUNCTIONS.power
quotient = _FUNCTIONS.quotient
minimum = _FUNCTIONS.minimum
maximum = _FUNCTIONS.maximum
remainder = _FUNCTIONS.remainder
number = _FUNCTIONS.number
where = _FUNCTIONS.where
both = _FUNCTIONS.both
either = _FUNCTIONS.either
negation = _FUNCTIONS.negation
