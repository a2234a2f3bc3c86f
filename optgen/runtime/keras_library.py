"""Library functions of generated Keras modules, on matrices (n, rows, cols), for every backend that Keras has.

Products are operators of the backend's arrays: `keras.ops.matmul` gives float32 for float64. They have the precision
that the backend gives its own dtype: of float32 on GPUs that may be TF32, as configured.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from optgen.runtime.array_scalars import is_known
from optgen.runtime.keras_scalars import maximum
from optgen.runtime.keras_untyped import ops

#: An array, and a number that is known or a traced one.
Array: TypeAlias = Any
Number: TypeAlias = Any


def newton_schulz(x: Array, steps: Number, a: Number, b: Number, c: Number, eps: Number) -> Array:
    """As `optgen.runtime.library_calls.newton_schulz`; `steps` may be traced."""
    if 0 in x.shape:
        return x
    if x.shape[1] > x.shape[2]:
        return ops.swapaxes(newton_schulz(ops.swapaxes(x, 1, 2), steps, a, b, c, eps), 1, 2)
    a, b, c, eps = (n if is_known(n) else ops.cast(n, x.dtype) for n in (a, b, c, eps))  # casts are by way of float32

    def step(_: Number, x: Array) -> Array:
        y = x @ ops.swapaxes(x, 1, 2)
        return a * x + (b * y + c * (y @ y)) @ x

    norm = ops.sqrt(ops.sum(ops.square(x), axis=(1, 2), keepdims=True))
    start = x / maximum(norm, eps)
    if not isinstance(steps, int | float):
        return ops.fori_loop(0, ops.cast(steps, "int32"), step, start)
    for number in range(int(steps)):
        start = step(number, start)
    return start


def low_rank(x: Array, rank: Number) -> Array:
    """As `optgen.runtime.library_calls.low_rank`; `rank` may be traced."""
    if 0 in x.shape:
        return x
    u, s, vh = ops.svd(x, full_matrices=False)
    kept = ops.where(ops.cast(ops.arange(s.shape[-1]), x.dtype) < ops.cast(rank, x.dtype), s, ops.zeros_like(s))
    whole = ops.cast(rank, x.dtype) >= s.shape[-1]
    return ops.where(whole, x, (u * ops.expand_dims(kept, 1)) @ vh)
