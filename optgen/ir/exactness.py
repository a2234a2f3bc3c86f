"""Which operations every backend rounds alike."""

from __future__ import annotations

from collections.abc import Iterable

from optgen.ir.functions import Function

#: Operations of a sweep that every backend computes to the same bits when nothing is contracted: + - * / sqrt,
#: comparisons, min, max, abs, negation, selection, changes of width, and the moves of data between them.
_EXACT = frozenset(
    {"arith.constant", "arith.addf", "arith.subf", "arith.mulf", "arith.divf", "arith.negf", "arith.cmpf"}
    | {"arith.select", "arith.minimumf", "arith.maximumf", "arith.andi", "arith.ori", "arith.xori"}
    | {"arith.extf", "arith.truncf", "math.sqrt", "math.absf"}
    | {"kernel.load", "kernel.store", "kernel.read", "kernel.stencil", "kernel.accumulate"}
    | {"kernel.round_at_random"}
)


#: The same, and functions, in the `rule` dialect.
_EXACT_FUNCTIONS = frozenset(
    {Function.ADD, Function.SUB, Function.MUL, Function.DIV, Function.NEG, Function.ABS, Function.SIGN, Function.SQRT}
    | {Function.EQ, Function.NE, Function.LT, Function.LE, Function.GT, Function.GE}
    | {Function.AND, Function.OR, Function.NOT, Function.WHERE, Function.MINIMUM, Function.MAXIMUM}
)
_EXACT_RULE = frozenset(
    {"constant", "hyper", "input", "counter", "metadata", "old", "get", "reduce", "count", "stencil", "edges"}
)


def inexact_functions(ops: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Those of some operations of the `rule` dialect on elements that backends round differently, sorted.

    ops: the name of each and what it is about, such as the function of `apply`.
    """
    called = {word if name == "apply" else f"library.{word}" for name, word in ops if name not in _EXACT_RULE}
    return tuple(sorted(called - {function.value for function in _EXACT_FUNCTIONS}))


def inexact_among(names: Iterable[str]) -> list[str]:
    """Those of some operations of sweeps that backends round differently, by short names, sorted."""
    return sorted(name.partition(".")[2] for name in set(names) - _EXACT)
