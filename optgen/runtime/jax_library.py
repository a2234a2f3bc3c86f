"""Library functions of generated JAX modules: on matrices (n, rows, cols), in float32 or wider, whatever the default
precision of products is."""

# JAX carries partial types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

#: A number that is known while tracing, or a traced one.
Number: TypeAlias = Any


def newton_schulz(x: jax.Array, steps: Number, a: Number, b: Number, c: Number, eps: Number) -> jax.Array:
    """As `optgen.runtime.library_calls.newton_schulz`; `steps` may be traced."""
    if x.size == 0:
        return x
    if x.shape[1] > x.shape[2]:
        return newton_schulz(x.swapaxes(1, 2), steps, a, b, c, eps).swapaxes(1, 2)
    norm = jnp.sqrt(jnp.sum(jnp.square(x), axis=(1, 2), keepdims=True))
    a, b, c, eps = (jnp.asarray(number, x.dtype) for number in (a, b, c, eps))

    def step(_: Number, x: jax.Array) -> jax.Array:
        y = _product(x, x.swapaxes(1, 2))
        return a * x + _product(b * y + c * _product(y, y), x)

    start = x / jnp.maximum(norm, eps)
    if isinstance(steps, jax.Array):
        return jax.lax.fori_loop(0, jnp.asarray(steps, jnp.int32), step, start)
    for number in range(int(steps)):
        start = step(number, start)
    return start


def low_rank(x: jax.Array, rank: Number) -> jax.Array:
    """As `optgen.runtime.library_calls.low_rank`; `rank` may be traced."""
    if x.size == 0:
        return x
    u, s, vh = jnp.linalg.svd(x, full_matrices=False)
    kept = jnp.where(jnp.arange(s.shape[-1]) < rank, s, 0.0)
    return jnp.where(rank >= s.shape[-1], x, _product(u * kept[:, None, :], vh))


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)
