"""What generated JAX modules are made of, and the array operations of JAX that running them takes."""

# JAX and optax carry partial types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np

from optgen.runtime import jax_scalars
from optgen.runtime.array_program import Arrays, Value
from optgen.runtime.array_program import Each as Each
from optgen.runtime.array_program import Edges as Edges
from optgen.runtime.array_program import Program as Program
from optgen.runtime.array_program import Slot as Slot
from optgen.runtime.array_program import Stencil as Stencil
from optgen.runtime.array_program import Total as Total
from optgen.runtime.array_program import Variant as Variant

_COMBINE: Mapping[str, Callable[..., Value]] = {
    "sum": jnp.add,
    "count": jnp.add,
    "max": jnp.maximum,
    "min": jnp.minimum,
}
_START: Mapping[str, float] = {"max": -np.inf, "min": np.inf}
_REDUCE: Mapping[str, Callable[..., Value]] = {
    "sum": jax_scalars.sum_of,
    "max": jax_scalars.max_of,
    "min": jax_scalars.min_of,
}


class JaxArrays:
    """`jax.numpy` as programs use it: under a trace, or on arrays."""

    @property
    def integer(self) -> str:
        """JAX's default dtype of whole numbers, which a switch of JAX widens."""
        return str(jnp.result_type(int))

    def known(self, value: Value) -> bool:
        return isinstance(value, bool | int | float)

    def held(self, dtype: str, compute: str) -> str:
        return dtype if dtype and jnp.result_type(float) == np.float64 else compute

    def cast(self, x: Value, dtype: str) -> Value:
        return jnp.asarray(x).astype(dtype)

    def coarse(self, x: Value, compute: str) -> Value:
        return jax_scalars.wide(self.cast(x, compute))

    def counter(self, x: Value, compute: str) -> Value:  # noqa: ARG002  # counts stay whole
        return x

    def zeros_like(self, x: Value) -> Value:
        return jnp.zeros_like(x)

    def reshape(self, x: Value, shape: tuple[int, ...]) -> Value:
        return x.reshape(shape)

    def window(self, x: Value, first: int, end: int, like: Value, place: int) -> Value:
        zeros = jnp.zeros(jnp.size(like), jnp.result_type(like))
        return zeros.at[place : place + end - first].set(x.reshape(-1)[first:end]).reshape(jnp.shape(like))

    def turned(self, x: Value) -> Value:
        return jnp.swapaxes(x, 1, 2)

    def spread(self, x: Value, shape: tuple[int, ...]) -> Value:
        return jnp.broadcast_to(jnp.asarray(x), shape)

    def reduce(self, kind: str, x: Value) -> Value:
        return _REDUCE[kind](x, **({"initial": _START[kind]} if kind in _START else {}))

    def combine(self, kind: str, a: Value, b: Value) -> Value:
        return _COMBINE[kind](a, b)

    def at_least(self, x: Value, low: float) -> Value:
        return jnp.maximum(x, low)

    def taken(self, x: Value, old: Value, step: Value) -> Value:
        # XLA copies an argument by itself; what is computed from the old value its loop over the others writes in place
        return jnp.where(step > 0, x, old)

    def stored(self, x: Value, like: Value) -> Value:
        array = jnp.broadcast_to(jnp.asarray(x), like.shape) if jnp.shape(x) != like.shape else jnp.asarray(x)
        if array.dtype != like.dtype and jnp.issubdtype(like.dtype, jnp.floating) and jnp.finfo(like.dtype).bits < 32:
            info = jnp.finfo(like.dtype)
            array = jax.lax.reduce_precision(array, info.nexp, info.nmant)
        return jax.lax.convert_element_type(array, like.dtype)  # a number of no fixed type gets one, too

    def switch(self, conditions: Sequence[Value], branches: Sequence[Callable[[], list[Any]]]) -> list[Any]:
        index = jnp.asarray(len(branches) - 1, jnp.int32)
        for place in reversed(range(len(branches) - 1)):
            index = jnp.where(conditions[place], jnp.int32(place), index)
        return jax.lax.switch(index, branches)


class SelectingArrays(JaxArrays):
    """For rules whose elements depend on nothing else: every branch is computed, and one is selected for each element.

    XLA makes one loop of that, where a conditional keeps buffers of its own and copies what branches leave alone.
    """

    def switch(self, conditions: Sequence[Value], branches: Sequence[Callable[[], list[Any]]]) -> list[Any]:
        def chosen(*values: Value) -> Value:
            found = values[-1]
            for holds, value in reversed(list(zip(conditions, values[:-1], strict=False))):
                found = value if value is found else jnp.where(holds, value, found)
            return found

        return jax.tree.map(chosen, *(branch() for branch in branches))


ARRAYS: Final[Arrays] = JaxArrays()
SELECTING: Final[Arrays] = SelectingArrays()
