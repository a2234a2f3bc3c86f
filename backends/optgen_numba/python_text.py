"""How numba kernels write the operations of the kernel dialect."""

from __future__ import annotations

from collections.abc import Mapping

from optgen.backend import python_text
from optgen.backend.python_text import (
    ATOM,
    COMPARE,
    NOT,
    NUMPY_CALLS,
    OR,
    POWER,
    PRODUCT,
    PURE,
    SIGN,
    Names,
    Spelling,
    Text,
    comment,
    docstring,
    number,
    within,
)
from optgen.errors import BackendError
from optgen.ir.view import Op

__all__ = ["PURE", "WORDS", "Body", "Names", "NumbaSpelling", "comment", "docstring", "literal"]

#: Python's operator is its power; what is no function of NumPy's is this module's.
_CALLS = {name: call for name, call in NUMPY_CALLS.items() if name != "math.powf"} | {
    "math.absf": "abs",
    "arith.minimumf": "minimum",
    "arith.maximumf": "maximum",
}
_TYPES = {"f32": "f4", "f64": "f8"}
#: Conversions between words and float32, by the types of operand and result.
WORDS = {
    ("bf16", "f32"): "f4_of_b2",
    ("f16", "f32"): "f4_of_f2",
    ("f32", "bf16"): "b2_of_f4",
    ("f32", "f16"): "f2_of_f4",
}


def literal(value: float, type_: str) -> str:
    """A number of a float type; float64 is Python's own."""
    text = number(float(value))
    return text if type_ == "f64" else f"f4({text})"


class NumbaSpelling(Spelling):
    """Numbers say their type: one in float64 would take all that it meets with it. `calls` names functions."""

    def __init__(self, calls: Mapping[str, str] = _CALLS) -> None:
        self._calls = calls

    def literal(self, value: float, type_: str) -> str:
        """A number."""
        return literal(value, type_)

    def call(self, name: str, type_: str, args: list[Text]) -> Text:  # noqa: ARG002 (Python knows the type)
        """An operator, or a function."""
        if name == "arith.divf":
            return f"{within(args[0], PRODUCT)} / {within(args[1], PRODUCT + 1)}", PRODUCT
        if name == "math.powf" and name not in self._calls:
            return f"{within(args[0], ATOM)} ** {within(args[1], SIGN)}", POWER
        return f"{self._calls[name]}({', '.join(within(a) for a in args)})", ATOM

    def select(self, condition: Text, then: Text, otherwise: Text, type_: str) -> Text:  # noqa: ARG002 (as above)
        """One side is taken."""
        return f"{within(then, OR + 1)} if {within(condition, OR + 1)} else {within(otherwise, OR)}", -1

    def invert(self, condition: Text) -> Text:
        """The opposite."""
        return f"not {within(condition, NOT)}", NOT

    def remainder(self, a: Text, b: Text, type_: str, divisor: float | None) -> Text:
        """An operator that has no zero to its right."""
        text = f"{within(a, PRODUCT)} % {within(b, PRODUCT + 1)}"
        if divisor:
            return text, PRODUCT
        # Python would raise an error
        return f"{text} if {within(b, COMPARE + 1)} != 0 else {literal(0.0, type_)}", -1

    def convert(self, x: Text, type_: str) -> Text:
        """A call of the type."""
        return f"{_TYPES[type_]}({within(x)})", ATOM


class Body(python_text.Body):
    """The lines of a numba function's body."""

    def __init__(self, names: Names, indent: int = 1, spelling: NumbaSpelling | None = None) -> None:
        super().__init__(names, spelling or NumbaSpelling(), indent)

    def expression(self, op: Op) -> Text:
        """Text and binding strength of an operation on values; words are converted by functions of their own."""
        if op.name in ("arith.extf", "arith.truncf") and op.result is not None:
            types = op.operands[0].type, op.result.type
            if types in WORDS:
                return f"{WORDS[types]}({self.text(op.operands[0])})", ATOM
            if not set(types) <= set(_TYPES):
                raise BackendError(f"numba: conversion of {types[0]} to {types[1]} is not built yet")
        return super().expression(op)
