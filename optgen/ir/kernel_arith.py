"""Meaning of the arithmetic in kernel bodies on NumPy arrays: one operation, one rounding to its own dtype."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.arith import CmpfOp, ConstantOp
from xdsl.dialects.builtin import (
    BFloat16Type,
    Float16Type,
    Float32Type,
    Float64Type,
    FloatAttr,
    IntegerAttr,
    IntegerType,
)
from xdsl.ir import Attribute, Operation

from optgen.ir.text import IRError

Array = NDArray[np.generic]
Numbers = NDArray[np.float64]  # float32 and float16 too: NumPy's stubs cannot say "same dtype as the operand"

#: Storage dtypes by name: the NumPy dtype that holds them and bytes per element.
STORAGE: dict[str, tuple[np.dtype[np.generic], int]] = {
    "float16": (np.dtype(np.float16), 2),
    "bfloat16": (np.dtype(np.float32), 2),
    "float32": (np.dtype(np.float32), 4),
    "float64": (np.dtype(np.float64), 8),
    "int64": (np.dtype(np.int64), 8),
}


def storage_name(type_: Attribute) -> str:
    """Name of the storage dtype that a float type is."""
    match type_:
        case Float16Type():
            return "float16"
        case BFloat16Type():
            return "bfloat16"
        case Float32Type():
            return "float32"
        case Float64Type():
            return "float64"
        case _:
            raise IRError(f"{type_} is not a float type that kernels know")


def convert(value: Array, type_: Attribute) -> Array:
    """A value rounded once to a float type."""
    return stored(value, storage_name(type_))


def stored(value: Array, dtype: str) -> Array:
    """A value rounded once to a storage dtype, as interpreters hold it: bfloat16 in float32."""
    if dtype == "bfloat16":
        return _round_bfloat16(value)
    with np.errstate(over="ignore"):
        return value.astype(STORAGE[dtype][0], copy=False)


def _round_bfloat16(value: Array) -> Array:
    """To the nearest bfloat16, ties to even, held in float32. By way of odd rounding, so that it rounds once."""
    exact = value.astype(np.float64)
    single = exact.astype(np.float32)
    bits = single.view(np.uint32)
    toward_zero = np.where(np.abs(single.astype(np.float64)) > np.abs(exact), bits - 1, bits)
    odd = np.where(single.astype(np.float64) != exact, toward_zero | 1, bits).astype(np.uint32)
    kept = (odd + np.uint32(0x7FFF) + ((odd >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
    return np.where(np.isnan(single), single, kept.astype(np.uint32).view(np.float32))


def round_at_random(value: Array, bits: NDArray[np.uint16]) -> Array:
    """float32 to one of the two nearest bfloat16, held in float32: 16 bits per element are added below what is kept."""
    whole = value.astype(np.float32).view(np.uint32)
    kept = (whole + bits.astype(np.uint32)) & np.uint32(0xFFFF0000)
    return np.where(np.isnan(value.astype(np.float32)), value, kept.view(np.float32)).astype(np.float32)


def _mod(a: Numbers, b: Numbers) -> Numbers:
    zero = b == 0
    return np.where(zero, np.zeros_like(a), np.mod(a, np.where(zero, np.ones_like(b), b)))


def _round_away(a: Numbers) -> Numbers:
    whole = np.trunc(a)
    return np.where(np.abs(a - whole) >= 0.5, whole + np.sign(a), whole).astype(a.dtype)


_PREDICATES: tuple[Callable[[Numbers, Numbers], NDArray[np.bool_]], ...] = (
    lambda a, b: (a == b) & False,
    lambda a, b: a == b,
    lambda a, b: a > b,
    lambda a, b: a >= b,
    lambda a, b: a < b,
    lambda a, b: a <= b,
    lambda a, b: (a < b) | (a > b),
    lambda a, b: ~(np.isnan(a) | np.isnan(b)),
    lambda a, b: ~((a < b) | (a > b)),
    lambda a, b: ~(a <= b),
    lambda a, b: ~(a < b),
    lambda a, b: ~(a >= b),
    lambda a, b: ~(a > b),
    lambda a, b: a != b,
    lambda a, b: np.isnan(a) | np.isnan(b),
    lambda a, b: (a == b) | True,
)

_MEANING: dict[str, Callable[..., Numbers]] = {
    "arith.addf": np.add,
    "arith.subf": np.subtract,
    "arith.mulf": np.multiply,
    "arith.divf": np.divide,
    "arith.negf": np.negative,
    "arith.minimumf": np.minimum,
    "arith.maximumf": np.maximum,
    "arith.minnumf": np.fmin,
    "arith.maxnumf": np.fmax,
    "arith.select": np.where,
    "arith.andi": np.logical_and,
    "arith.ori": np.logical_or,
    "arith.xori": np.logical_xor,
    "math.sqrt": np.sqrt,
    "math.absf": np.abs,
    "math.exp": np.exp,
    "math.expm1": np.expm1,
    "math.log": np.log,
    "math.log1p": np.log1p,
    "math.floor": np.floor,
    "math.ceil": np.ceil,
    "math.trunc": np.trunc,
    "math.round": _round_away,
    "math.roundeven": np.rint,
    "math.sin": np.sin,
    "math.cos": np.cos,
    "math.tanh": np.tanh,
    "math.powf": np.power,
    "kernel.mod": _mod,
}

_CONVERSIONS = ("arith.extf", "arith.truncf", "arith.uitofp")


def evaluate(op: Operation, args: Sequence[Array]) -> Array | None:
    """Result of an operation of `arith` or `math` or of `kernel.mod`; None for any other operation."""
    if isinstance(op, ConstantOp):
        return _constant(op)
    if isinstance(op, CmpfOp):
        a, b = (cast(Numbers, x) for x in args)
        return _PREDICATES[op.predicate.value.data](a, b)
    if op.name in _CONVERSIONS:
        return convert(args[0], op.results[0].type)
    meaning = _MEANING.get(op.name)
    if meaning is None:
        return None
    if op.name in ("arith.andi", "arith.ori", "arith.xori") and op.results[0].type != IntegerType(1):
        raise IRError(f"{op.name} on {op.results[0].type}: kernels know truth values only, of type i1")
    return np.asarray(meaning(*args))


def _constant(op: ConstantOp) -> Array:
    match op.value:
        case FloatAttr():
            return convert(np.full(1, op.value.value.data, np.float64), op.result.type)
        case IntegerAttr() if op.result.type == IntegerType(1):
            return np.full(1, op.value.value.data != 0)
        case _:
            raise IRError(f"arith.constant of type {op.result.type}: kernels know floats and truth values only")
