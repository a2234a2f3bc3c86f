"""What a rule's step takes in JAX beside the step itself: arrays to start from, and parameters that are checked."""

# JAX and optax carry partial types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from optgen.errors import UsageError
from optgen.runtime.array_program import Value
from optgen.runtime.array_step import Leaf, Row, metadata, slot_dtype, slot_shape
from optgen.runtime.jax_program import ARRAYS


def start(leaf: Leaf, param: jax.Array, hypers: Mapping[str, Value]) -> Row:
    """The state of one parameter before its first step."""
    given = {**hypers, **metadata(leaf.meta), "param": param}
    found: Row = {}
    for slot in leaf.slots:
        (value,) = slot.start(*(given[name] for name in slot.takes))
        dtype, shape = slot_dtype(ARRAYS, slot, leaf), slot_shape(slot, leaf)
        like = jnp.zeros_like(param, dtype=dtype) if slot.extent == "elem" else jnp.zeros(shape, dtype)
        found[slot.name] = like if isinstance(value, int | float) and value == 0 else ARRAYS.stored(value, like)
    return found


def checked_leaf(name: str, leaf: object) -> jax.Array:
    """A leaf as an array of real numbers. UsageError names a leaf that is none."""
    array = jnp.asarray(leaf)  # pyright: ignore[reportArgumentType]
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise UsageError(
            f'the parameter "{name}" is {array.dtype}; optimizers step floating-point arrays: '
            "mask it out (optax.masked) or leave it out of the tree"
        )
    return array
