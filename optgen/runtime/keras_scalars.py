"""Scalar functions of generated Keras code: those of `array_scalars.Functions`, by their names."""

from __future__ import annotations

from optgen.runtime.array_scalars import Function, Functions, Scalar, is_known
from optgen.runtime.keras_untyped import backend, ops


def real(x: Scalar) -> Scalar:
    """A value as an array of floats, of Keras's default precision if it is none already."""
    array = ops.convert_to_tensor(x)
    return array if backend.is_float_dtype(array.dtype) else ops.cast(array, backend.floatx())


def _whole(x: Scalar) -> Scalar:
    return ops.cast(x, backend.floatx()) if backend.standardize_dtype(x.dtype) == "bool" else x


def _alike(function: Function, *, largest: bool) -> Function:
    """The larger or smaller of two values, which Keras takes in float32 where they are wider."""

    def careful(a: Scalar, b: Scalar) -> Scalar:
        if is_known(a) and is_known(b):
            return function(a, b)
        dtype = backend.standardize_dtype((b if is_known(a) else a).dtype)
        a, b = (ops.cast(x, dtype) if is_known(x) else x for x in (a, b))
        if dtype != "float64":
            return function(a, b)
        first = a >= b if largest else a <= b
        return ops.where(ops.logical_or(first, a != a), a, b)  # NaN stays

    return careful


class _Functions(Functions):
    def __init__(self) -> None:
        super().__init__(ops, real, _whole)
        self.maximum = _alike(self.maximum, largest=True)
        self.minimum = _alike(self.minimum, largest=False)

    def where(self, condition: Scalar, a: Scalar, b: Scalar) -> Scalar:
        """a where the condition holds, else b; two whole numbers are floats, which TensorFlow does not make of them."""
        if not is_known(condition) and is_known(a, b):
            a, b = real(a), real(b)
        return super().where(condition, a, b)


_FUNCTIONS = _Functions()


def __getattr__(name: str) -> Function:
    return getattr(_FUNCTIONS, name)
