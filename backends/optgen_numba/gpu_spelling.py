"""How numba-cuda kernels write the operations of the kernel dialect: as CPU kernels do, but for functions.

`math` and NumPy differ in what they make of a float32 and of what is no number, hence a library of functions.
"""

from __future__ import annotations

import math

from optgen.backend import python_text
from optgen.backend.python_text import ATOM, NOT, OR, PRODUCT, Names, Spelling, Text, within
from optgen.errors import BackendError
from optgen.ir.view import Op
from optgen.runtime.abi import Mode, Word
from optgen.runtime.gpu_abi import GpuWord

_CALLS = {
    "math.sqrt": "sqrt",
    "math.exp": "exp",
    "math.log": "log",
    "math.expm1": "expm1",
    "math.log1p": "log1p",
    "math.floor": "floor",
    "math.ceil": "ceil",
    "math.roundeven": "rint",
    "math.sin": "sin",
    "math.cos": "cos",
    "math.tanh": "tanh",
    "math.absf": "abs",
    "math.powf": "power",
    "arith.minimumf": "minimum",
    "arith.maximumf": "maximum",
}
_TYPES = {"f32": "f4", "f64": "f8"}
#: Conversions between words and numbers, by the types of operand and result.
_WORDS = {
    ("bf16", "f32"): "f4_of_b2",
    ("f16", "f32"): "f4_of_f2",
    ("f32", "bf16"): "b2_of_f4",
    ("f32", "f16"): "f2_of_f4",
}
#: A zero of each storage dtype, as it is loaded.
ZERO = {"f4": "f4(0.0)", "f8": "f8(0.0)", "b2": "u2(0)", "f2": "u2(0)"}

#: Numba's types of what arrays hold.
ARRAYS = {"f4": "float32", "f8": "float64", "b2": "uint16", "f2": "uint16"}

_SHORTS = ("f4", "f8", "b2", "f2", "i8")
_OPS = ("sum", "max", "min")
#: What generated files import from optgen.runtime.numba_cuda_library.
LIBRARY = frozenset(
    {
        *(f"{what}_{short}" for what in ("load", "store", "load4", "store4", "near", "near4") for short in _SHORTS),
        *("f4_stream", "f8_stream", "i8_stream", "f8_table", "i8_table", *_WORDS.values()),
        *(f"{what}_{op}" for what in ("warp", "block", "column", "total_tensors") for op in _OPS),
        *(f"total_runs_{op}_{short}" for op in _OPS for short in ("f4", "f8")),
        *(set(_CALLS.values()) - {"abs"}),
        *(
            "f4",
            "f8",
            "i8",
            "u2",
            "kernel",
            "device",
            "thread",
            "threads",
            "program",
            "barrier",
            "slot",
            "plain",
            "place",
        ),
        *(
            "noise",
            "b2_at_random",
            "plus",
            "remainder",
            "first_present",
            "is_last_program",
            "neighbours_plain",
            "tile_end",
        ),
        *("WORDS", "WIDE", "TILE", "HELD", "CELLS", "LANES", "SMALL", "CHUNK_FIELDS", "ABSENT", "ACTIVE"),
        *(f"C_{axis}{end}" for axis in ("MATRIX", "ROW", "COL") for end in ("", "_END")),
        *("C_TENSOR", "C_ROW_BLOCK", "C_COL_BLOCK"),
        *(word.name for word in (*Word, *GpuWord) if word.name != "COUNT"),
    }
    - {"load4_i8", "store4_i8", "near_i8", "near4_i8"}
)
_LANGUAGE = ("np", "cuda", *ARRAYS.values(), "range", "abs", "min", "int", "True", "False", "MANIFEST", "FUNCTIONS")
#: Names that generated functions must not take for themselves.
RESERVED = frozenset((*LIBRARY, *_LANGUAGE, *(mode.name for mode in Mode), "ctx", "t", "k", "j"))
SWEEP_RESERVED = RESERVED | {
    *(
        "chunk",
        "active",
        "first",
        "end",
        "rest",
        "i",
        "where",
        "view",
        "read",
        "whole",
        "matrices",
        "rows",
        "cols",
        "matrix",
        "row",
    ),
    *("row_end", "col", "col_end", "c", "cells", "across", "lane", "warp", "start", "stop", "down", "group", "at", "h"),
}


def literal(value: float, type_: str) -> str:
    """A number of a float type."""
    number = float(value)
    if math.isnan(number):
        text = "np.nan"
    elif math.isinf(number):
        text = "np.inf" if number > 0 else "-np.inf"
    else:
        text = repr(number)
    return text if type_ == "f64" else f"f4({text})"


class CudaSpelling(Spelling):
    """Numbers say their type: one in float64 would take all that it meets with it."""

    def literal(self, value: float, type_: str) -> str:
        """A number."""
        return literal(value, type_)

    def call(self, name: str, type_: str, args: list[Text]) -> Text:  # noqa: ARG002 (numba knows the type)
        """An operator, or a function of the library."""
        if name == "arith.divf":
            return f"{within(args[0], PRODUCT)} / {within(args[1], PRODUCT + 1)}", PRODUCT
        return f"{_CALLS[name]}({', '.join(within(a) for a in args)})", ATOM

    def select(self, condition: Text, then: Text, otherwise: Text, type_: str) -> Text:  # noqa: ARG002 (as above)
        """One side is taken."""
        return f"{within(then, OR + 1)} if {within(condition, OR + 1)} else {within(otherwise, OR)}", -1

    def invert(self, condition: Text) -> Text:
        """The opposite."""
        return f"not {within(condition, NOT)}", NOT

    def remainder(self, a: Text, b: Text, type_: str, divisor: float | None) -> Text:  # noqa: ARG002 (0 is covered)
        """A function of the library."""
        return f"remainder({within(a)}, {within(b)})", ATOM

    def convert(self, x: Text, type_: str) -> Text:
        """A call of the type."""
        return f"{_TYPES[type_]}({within(x)})", ATOM


class Body(python_text.Body):
    """The lines of a numba-cuda function's body."""

    def __init__(self, names: Names, indent: int = 1) -> None:
        super().__init__(names, CudaSpelling(), indent)

    def expression(self, op: Op) -> Text:
        """Text and binding strength of an operation on values; words are converted by functions of their own."""
        if op.name in ("arith.extf", "arith.truncf") and op.result is not None:
            types = op.operands[0].type, op.result.type
            if types in _WORDS:
                return f"{_WORDS[types]}({self.text(op.operands[0])})", ATOM
            if not set(types) <= set(_TYPES):
                raise BackendError(f"numba-cuda: conversion of {types[0]} to {types[1]} is not built yet")
        return super().expression(op)
