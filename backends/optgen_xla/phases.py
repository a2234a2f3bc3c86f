"""Where each operation of a variant runs: which function of one tensor, one layer or the model, between which sums.

A step is a sequence of functions of one unit: tensors, layers, model, tensors, layers, model, and so on. What crosses
units (a sum over a layer's tensors, a sum over edges, a stencil over neighbours) happens between them. An operation
runs in the last function of its own unit that can serve whoever reads it, so that little is carried along. What can be
had anywhere (old values, literals, hypers, counters, metadata, scalars made of these) is written where it is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from optgen.ir.array_view import Op, Value, Variant

UNITS = ("tensor", "layer", "model")
_LEAVES = ("constant", "hyper", "input", "counter", "metadata", "old")


@dataclass(eq=False)
class Crossing:
    """Something between functions: `total` over a unit, `edges` or `stencil`."""

    op: Op
    value: Value
    result: Value


@dataclass(eq=False)
class Phase:
    """One function: its unit, its operations in order, and what happens right after it."""

    unit: str
    ops: list[Op] = field(default_factory=list[Op])
    after: list[Crossing] = field(default_factory=list[Crossing])


def phases(variant: Variant) -> list[Phase]:
    """The functions of a variant in the order of the step, empty ones left out; one where nothing is computed."""
    free = known_before(variant.ops)
    ready = _ready(variant, free)
    latest = _latest(variant, free, ready)
    placed: dict[int, Phase] = {}
    for op in variant.ops:
        assert op.result is not None
        if op.result in free:
            continue
        at = latest.get(op.result, ready[op.result])
        if crosses(op) is None:
            placed.setdefault(at, Phase(UNITS[at % len(UNITS)])).ops.append(op)
        else:
            at = ready[op.result] - 1
            after = Crossing(op, op.operands[0], op.result)
            placed.setdefault(at, Phase(UNITS[at % len(UNITS)])).after.append(after)
    return [placed[index] for index in sorted(placed)] or [Phase("tensor")]


def _ready(variant: Variant, free: set[Value]) -> dict[Value, int]:
    """The first function from which on a value can be had."""
    ready: dict[Value, int] = {}
    for op in variant.ops:
        assert op.result is not None
        if op.result not in free:
            earliest = max((ready[x] for x in op.operands if x not in free), default=0)
            crossed = crosses(op)
            at = _at_least(earliest, crossed or unit_of(op.result))
            ready[op.result] = at + 1 if crossed else at
    return ready


def _latest(variant: Variant, free: set[Value], ready: dict[Value, int]) -> dict[Value, int]:
    """The function in which a value is first needed: until then it need not be computed, nor carried along."""
    end = _at_most(max(ready.values(), default=0) + len(UNITS) - 1, "tensor")
    latest: dict[Value, int] = {}

    def need(value: Value, index: int) -> None:
        if value not in free:
            latest[value] = min(latest.get(value, index), index)

    for value in (*variant.finals.values(), variant.advance):
        need(value, end)
    for op in reversed(variant.ops):
        assert op.result is not None
        if op.result in free or op.result not in latest:
            continue
        if crosses(op) is None:
            latest[op.result] = max(_at_most(latest[op.result], unit_of(op.result)), ready[op.result])
            index = latest[op.result]
        else:
            index = ready[op.result] - 1
        for operand in op.operands:
            need(operand, index)
    return latest


def known_before(ops: Sequence[Op]) -> set[Value]:
    """Values that need no array: leaves, and functions of them."""
    free: set[Value] = set()
    for op in ops:
        assert op.result is not None
        sized = op.name == "count" and unit_of(op.result) == "tensor"
        scalar = op.name == "apply" and op.result.extent in ("model", "tensor")
        if op.name in _LEAVES or sized or (scalar and all(x in free and x.op.name != "old" for x in op.operands)):
            free.add(op.result)
    return free


def crosses(op: Op) -> str | None:
    """The unit whose values an operation combines, if it looks beyond one unit."""
    match op.name:
        case "stencil":
            return "tensor"
        case "edges":
            return "layer"
        case "reduce" | "count" if op.over in ("layer", "model"):
            return unit_of(op.operands[0])
        case _:
            return None


def unit_of(value: Value) -> str:
    """The unit that a value belongs to; what is finer than a tensor belongs to its tensor."""
    return value.extent if value.extent in ("layer", "model") else "tensor"


def _at_least(index: int, unit: str) -> int:
    """The first function of a unit from an index on."""
    return index + (UNITS.index(unit) - index) % len(UNITS)


def _at_most(index: int, unit: str) -> int:
    """The last function of a unit up to an index."""
    return index - (index - UNITS.index(unit)) % len(UNITS)
