"""How Triton kernels write the operations of the kernel dialect."""

from __future__ import annotations

import math
import re

from optgen.backend import python_text
from optgen.backend.python_text import ATOM, PRODUCT, SIGN, Names, Spelling, Text, within
from optgen.runtime.abi import Mode, Word
from optgen.runtime.gpu_abi import GpuWord

#: Sums over neighbours, which generated files import from a module of their own.
NEIGHBOURS = frozenset({"near", "neighbours_plain", "neighbours_strided"})
#: What generated files import: from the library of functions, and from the module kernels are written with.
LIBRARY = frozenset({"exp", "log", "expm1", "log1p", "sin", "cos", "tanh", "rint", "power", "remainder"})
_TABLES = {word.name for word in (*Word, *GpuWord)} | {mode.name for mode in Mode}
_FIELDS = {f"C_{axis}{end}" for axis in ("MATRIX", "ROW", "COL") for end in ("", "_END", "_BLOCK")}
_HELPERS = (
    *(
        "word",
        "table",
        "get",
        "put",
        "fetch",
        "deposit",
        "chunk_of_program",
        "has_small_matrices",
        "chunk_field",
        "slot",
        "plain",
        "pointer",
    ),
    *(
        "load",
        "store",
        "strided",
        "at_random",
        "add_total",
        "max_total",
        "min_total",
        "maximum",
        "minimum",
    ),
    *(
        "sum_of",
        "max_of",
        "min_of",
        "total_runs",
        "total_tensors",
        "longest",
        "first_present",
        "is_last_program",
        "multiple_of_16",
        "f4",
        "f8",
    ),
    "INFINITY",
)
DEVICE = frozenset((_TABLES | _FIELDS | set(_HELPERS)) - {"COUNT", "C_MATRIX_BLOCK"})
_LANGUAGE = ("tl", "triton", "ctx", "t", "k", "j", "float", "range", "True", "False", "MANIFEST", "FUNCTIONS")
#: Names that generated functions must not take for themselves.
RESERVED = frozenset((*LIBRARY, *NEIGHBOURS, *DEVICE, *_LANGUAGE))
SWEEP_RESERVED = RESERVED | {
    *(
        "chunk",
        "i",
        "this_matrix",
        "this_row",
        "this_col",
        "M",
        "R",
        "C",
        "BLOCK",
        "TAIL",
        "STRIDED",
        "FEWER",
        "masked_end",
        "HOW",
        "inside",
        "updated",
        "active",
        "rest",
        "start",
    ),
    *("end", "updated_end", "first", "read", "rows", "cols", "whole", "tile", "partial"),
    *("matrix", "matrix_end", "row", "row_end", "col", "col_end"),
}
STAGE_RESERVED = RESERVED | {"LANES", "WIDE", "DEEP", "here", "first"}

TYPES = {"f32": "tl.float32", "f64": "tl.float64", "bf16": "tl.bfloat16", "f16": "tl.float16"}
#: Triton's name of a storage dtype.
KINDS = {
    "float32": "tl.float32",
    "float64": "tl.float64",
    "bfloat16": "tl.bfloat16",
    "float16": "tl.float16",
    "int64": "tl.int64",
}

_CALLS = {
    "math.exp": "exp",
    "math.log": "log",
    "math.expm1": "expm1",
    "math.log1p": "log1p",
    "math.floor": "tl.floor",
    "math.ceil": "tl.ceil",
    "math.roundeven": "rint",
    "math.sin": "sin",
    "math.cos": "cos",
    "math.tanh": "tanh",
    "math.absf": "tl.abs",
    "math.powf": "power",
    "arith.minimumf": "minimum",
    "arith.maximumf": "maximum",
}
_NUMBER = re.compile(r'-?(\d[\d.]*(e[+-]?\d+)?|INFINITY|float\("nan"\))')


class TritonSpelling(Spelling):
    """Division and square root are IEEE's; a number that is not beside an operator says its type."""

    def literal(self, value: float, type_: str) -> str:  # noqa: ARG002 (numbers take the type of what is beside them)
        """A number."""
        if math.isnan(value):
            return 'float("nan")'
        if math.isinf(value):
            return "INFINITY" if value > 0 else "-INFINITY"
        return repr(float(value))

    def call(self, name: str, type_: str, args: list[Text]) -> Text:
        """A function of the library, or Triton's own."""
        typed = [_typed(x, type_) for x in args]
        if name == "arith.divf":
            if type_ == "f64":
                return f"{within(args[0], PRODUCT)} / {within(args[1], PRODUCT + 1)}", PRODUCT
            return f"tl.div_rn({', '.join(typed)})", ATOM
        if name == "math.sqrt":
            return f"tl.sqrt{'_rn' if type_ == 'f32' else ''}({typed[0]})", ATOM
        return f"{_CALLS[name]}({', '.join(typed)})", ATOM

    def select(self, condition: Text, then: Text, otherwise: Text, type_: str) -> Text:
        """Both sides are computed, one is taken."""
        return f"tl.where({within(condition)}, {_typed(then, type_)}, {_typed(otherwise, type_)})", ATOM

    def invert(self, condition: Text) -> Text:
        """Of a condition per lane."""
        return f"~{within(condition, SIGN)}", SIGN

    def remainder(self, a: Text, b: Text, type_: str, divisor: float | None) -> Text:  # noqa: ARG002 (0 is covered)
        """A library call."""
        return f"remainder({_typed(a, type_)}, {_typed(b, type_)})", ATOM

    def convert(self, x: Text, type_: str) -> Text:
        """A method of values."""
        if _NUMBER.fullmatch(x[0]):
            return f"tl.full((), {x[0]}, {TYPES[type_]})", ATOM
        return f"{within(x, ATOM)}.to({TYPES[type_]})", ATOM


def _typed(x: Text, type_: str) -> str:
    """An argument."""
    return within_type(within(x), type_)


def within_type(x: str, type_: str) -> str:
    """A text; a number says its type, as Triton would take it for float32."""
    if type_ in ("f32", "f64") and _NUMBER.fullmatch(x):
        return f"{'f4' if type_ == 'f32' else 'f8'}({x})"
    return x


class Body(python_text.Body):
    """The lines of a Triton function's body."""

    def __init__(self, names: Names, indent: int = 1) -> None:
        super().__init__(names, TritonSpelling(), indent)
