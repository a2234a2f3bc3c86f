"""How numba-cuda kernels write the operations of the kernel dialect: as CPU kernels do, but for functions.

`math` and NumPy differ in what they make of a float32 and of what is no number, hence a library of functions.
"""

from __future__ import annotations

from optgen.backend.python_text import ATOM, Names, Text, within
from optgen.runtime.abi import Mode, Word
from optgen.runtime.gpu_abi import GpuWord
from optgen_numba import python_text
from optgen_numba.python_text import WORDS, NumbaSpelling

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
        *("f4_stream", "f8_stream", "i8_stream", "f8_table", "i8_table", *WORDS.values()),
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


class CudaSpelling(NumbaSpelling):
    """Functions are those of the library."""

    def __init__(self) -> None:
        super().__init__(_CALLS)

    def remainder(self, a: Text, b: Text, type_: str, divisor: float | None) -> Text:  # noqa: ARG002 (0 is covered)
        """A function of the library."""
        return f"remainder({within(a)}, {within(b)})", ATOM


class Body(python_text.Body):
    """The lines of a numba-cuda function's body."""

    def __init__(self, names: Names, indent: int = 1) -> None:
        super().__init__(names, indent, CudaSpelling())
