"""A sweep as it is for a tensor without neighbours, whose sums over them are empty.

An empty sum is no term of another and makes nothing of what it is multiplied by, infinite values included, as in the
algebra that expanded the sums of its products. What only such sums needed is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from optgen.ir.view import Op, Sweep, Value

_STORING = ("kernel.store", "kernel.accumulate")


def without_neighbours(sweep: Sweep) -> Sweep:
    """The sweep with stencils left out; totals that nothing is left of are not accumulated."""
    new: dict[Value, Value | None] = {}  # None: an empty sum
    ops: list[Op] = []
    for op in sweep.ops:
        if op.result is None:
            if op.name == "kernel.store" or new[op.operands[0]] is not None:
                ops.append(replace(op, operands=_operands(op, new, ops)))
            continue
        if op.name == "kernel.stencil":
            new[op.result] = None
        elif op.result not in new:
            new[op.result] = _folded(op, new, ops)
    return Sweep(sweep.index, _counted(_live(ops)))


def _folded(op: Op, new: dict[Value, Value | None], ops: list[Op]) -> Value | None:
    """What an operation's result is, once empty sums are left out."""
    known = [new[x] for x in op.operands]
    match op.name:
        case "arith.mulf" | "arith.negf" if None in known:
            return None
        case "arith.addf" if None in known:
            return known[1] if known[0] is None else known[0]
        case "arith.subf" if known[1:] == [None]:
            return known[0]
        case _:
            return _made(op, _operands(op, new, ops), ops)


def _operands(op: Op, new: dict[Value, Value | None], ops: list[Op]) -> tuple[Value, ...]:
    """The new operands; where an empty sum is all there is, a zero."""
    return tuple(_zero(x.type, ops) if (found := new[x]) is None else found for x in op.operands)


def _zero(type_: str, ops: list[Op]) -> Value:
    zero = Op("arith.constant", (), {"value": 0.0}, "")
    zero.result = Value(type_, "", 0, zero)
    ops.append(zero)
    return zero.result


def _made(op: Op, operands: tuple[Value, ...], ops: list[Op]) -> Value:
    assert op.result is not None
    copy = replace(op, operands=operands)
    copy.result = replace(op.result, op=copy)
    ops.append(copy)
    return copy.result


def _live(ops: Sequence[Op]) -> list[Op]:
    """Operations that something stored or accumulated needs."""
    needed: set[Value] = set()
    kept: list[Op] = []
    for op in reversed(ops):
        if op.name in _STORING or op.result in needed:
            needed.update(op.operands)
            kept.append(op)
    return kept[::-1]


def _counted(ops: list[Op]) -> list[Op]:
    """The same, with uses as they are now."""
    for op in ops:
        if op.result is not None:
            op.result.uses = sum(operand is op.result for other in ops for operand in other.operands)
    return ops
