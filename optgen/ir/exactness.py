"""Which operations every backend rounds alike."""

from __future__ import annotations

from collections.abc import Iterable

#: Operations of a sweep that every backend computes to the same bits when nothing is contracted: + - * / sqrt,
#: comparisons, min, max, abs, negation, selection, changes of width, and the moves of data between them.
_EXACT = frozenset(
    {"arith.constant", "arith.addf", "arith.subf", "arith.mulf", "arith.divf", "arith.negf", "arith.cmpf"}
    | {"arith.select", "arith.minimumf", "arith.maximumf", "arith.andi", "arith.ori", "arith.xori"}
    | {"arith.extf", "arith.truncf", "math.sqrt", "math.absf"}
    | {"kernel.load", "kernel.store", "kernel.read", "kernel.stencil", "kernel.accumulate"}
    | {"kernel.round_at_random"}
)


def inexact_among(names: Iterable[str]) -> list[str]:
    """Those of some operations of sweeps that backends round differently, by short names, sorted."""
    return sorted(name.partition(".")[2] for name in set(names) - _EXACT)
