"""Scalar functions of generated JAX code: those of `array_scalars.Functions`, by their names."""

# JAX carries partial types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import jax
import jax.numpy as jnp

from optgen.runtime.array_scalars import Function, Functions, Scalar


def real(x: Scalar) -> jax.Array:
    """A value as a float array of JAX's default precision, if it is no array of floats already."""
    array = jnp.asarray(x)
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(jnp.result_type(float))


def _whole(x: jax.Array) -> jax.Array:
    return x.astype(jnp.int32) if x.dtype == jnp.bool_ else x


_FUNCTIONS = Functions(jnp, real, _whole)


def __getattr__(name: str) -> Function:
    return getattr(_FUNCTIONS, name)
