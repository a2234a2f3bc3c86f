"""The array operations of Keras that running a program takes, on whichever backend Keras has."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar, cast

import numpy as np

from optgen.runtime.array_program import Arrays, Value
from optgen.runtime.array_scalars import is_known
from optgen.runtime.keras_scalars import maximum, minimum
from optgen.runtime.keras_untyped import backend, ops

F = TypeVar("F", bound=Callable[..., Any])
BACKEND: Final[str] = backend.backend()
_START = {"max": -np.inf, "min": np.inf}


class KerasArrays:
    """`keras.ops` as programs use it. TensorFlow mixes no dtypes, so counts are floats there once they are read."""

    integer: str = "int32"

    def known(self, value: Value) -> bool:
        return is_known(value)

    def held(self, dtype: str, compute: str) -> str:
        if not dtype or (dtype == "float64" and BACKEND == "jax" and not _wide()):
            return compute
        return dtype

    def cast(self, x: Value, dtype: str) -> Value:
        return ops.cast(x, dtype)

    def coarse(self, x: Value, compute: str) -> Value:
        return self.cast(x, compute)

    def counter(self, x: Value, compute: str) -> Value:
        return ops.cast(x, compute) if BACKEND == "tensorflow" and not is_known(x) else x

    def zeros_like(self, x: Value) -> Value:
        return ops.zeros_like(x)

    def reshape(self, x: Value, shape: tuple[int, ...]) -> Value:
        return ops.reshape(x, shape)

    def window(self, x: Value, first: int, end: int, like: Value, place: int) -> Value:
        size = int(np.prod(like.shape, dtype=np.int64))
        part = ops.reshape(x, (-1,))[first:end]
        return ops.reshape(ops.pad(part, [(place, size - place - (end - first))]), tuple(like.shape))

    def turned(self, x: Value) -> Value:
        return ops.swapaxes(x, 1, 2)

    def spread(self, x: Value, shape: tuple[int, ...]) -> Value:
        array = ops.convert_to_tensor(x)
        return array if tuple(array.shape) == shape else ops.broadcast_to(array, shape)

    def reduce(self, kind: str, x: Value) -> Value:
        if kind == "sum":
            return ops.sum(x)
        return (ops.max if kind == "max" else ops.min)(x, initial=_START[kind])

    def combine(self, kind: str, a: Value, b: Value) -> Value:
        if kind in ("sum", "count"):
            return a + b
        return (maximum if kind == "max" else minimum)(a, b)

    def at_least(self, x: Value, low: float) -> Value:
        return maximum(x, low)

    def taken(self, x: Value, old: Value, step: Value) -> Value:
        return _jax().taken(x, old, step) if BACKEND == "jax" else x

    def stored(self, x: Value, like: Value) -> Value:
        if BACKEND == "jax":  # which would drop a rounding that it can prove to be undone
            return _jax().stored(x, like)
        return ops.cast(self.spread(x, tuple(like.shape)), backend.standardize_dtype(like.dtype))

    def switch(self, conditions: Sequence[Value], branches: Sequence[Callable[[], list[Any]]]) -> list[Any]:
        if BACKEND == "torch":  # which runs what it sees
            return next(branch for holds, branch in zip((*conditions[:-1], True), branches, strict=True) if holds)()
        index: Value = len(branches) - 1
        for place in reversed(range(len(branches) - 1)):
            index = ops.where(conditions[place], place, index)
        return ops.switch(ops.cast(index, "int32"), list(branches))


def _jax() -> Arrays:
    from optgen.runtime.jax_program import ARRAYS as JAX  # only where JAX is the backend

    return JAX


def _wide() -> bool:
    return bool(cast(Any, importlib.import_module("jax")).config.read("jax_enable_x64"))


@contextmanager
def unrecorded() -> Generator[None]:
    """Within it, torch records no gradients of what is computed; other backends record none anyway."""
    if BACKEND != "torch":
        yield
        return
    import torch

    with torch.no_grad():
        yield


def uncompiled(function: F) -> F:
    """A function that torch's compiler leaves as it is; other backends compile what they trace."""
    if BACKEND != "torch":
        return function
    import torch

    return cast(F, cast(Any, torch).compiler.disable(function))


def in_scope() -> bool:
    """Whether Keras collects what is assigned to variables instead of assigning it, as in stateless calls."""
    return bool(cast(Any, importlib.import_module("keras.src.backend")).in_stateless_scope())


def number(x: Value) -> Value:
    """A scalar as a plain number where the backend runs step by step, so that it costs no precision; else as it is."""
    if is_known(x):
        return x
    array = ops.convert_to_tensor(x)
    return array.item() if BACKEND == "torch" else array


ARRAYS: Final[Arrays] = KerasArrays()
