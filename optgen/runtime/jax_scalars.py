"""Scalar functions of generated JAX code: those of `array_scalars.Functions`, by their names, and sums of elements.

What is coarser than elements is held in JAX's default precision, but weakly: float64 under its switch `enable_x64`, and
what it meets stays as narrow as it is. A coarse value is thus rounded once, where it meets elements, as in kernels.
"""

# JAX carries partial types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core.primitives import convert_element_type_p

from optgen.runtime.array_scalars import Function, Functions, Scalar


def real(x: Scalar) -> jax.Array:
    """A value as a float array of JAX's default precision, if it is no array of floats already."""
    array = jnp.asarray(x)
    return array if jnp.issubdtype(array.dtype, jnp.floating) else _weak(array.astype(jnp.result_type(float)))


def wide(x: jax.Array) -> jax.Array:
    """A float array in JAX's default precision, if that is more."""
    if not jnp.issubdtype(x.dtype, jnp.floating) or jnp.finfo(x.dtype).bits >= jnp.finfo(float).bits:
        return x
    return _weak(x.astype(jnp.result_type(float)))


def _weak(x: jax.Array) -> jax.Array:
    """An array of float64, as weakly typed as a number of Python's: what it meets stays as it is."""
    if x.dtype != jnp.float64:
        return x
    return convert_element_type_p.bind(x, new_dtype=x.dtype, weak_type=True, sharding=None)


def sum_of(x: Scalar, **over: Any) -> jax.Array:
    """The sum of elements, over given axes or all."""
    return _weak(jnp.sum(wide(jnp.asarray(x)), **over))


def max_of(x: Scalar, **over: Any) -> jax.Array:
    """The largest of some elements."""
    return wide(jnp.max(jnp.asarray(x), **over))


def min_of(x: Scalar, **over: Any) -> jax.Array:
    """The smallest of some elements."""
    return wide(jnp.min(jnp.asarray(x), **over))


def _whole(x: jax.Array) -> jax.Array:
    return x.astype(jnp.int32) if x.dtype == jnp.bool_ else x


_FUNCTIONS = Functions(jnp, real, _whole)


def __getattr__(name: str) -> Function:
    return getattr(_FUNCTIONS, name)
