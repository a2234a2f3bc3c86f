"""Scalar work that loses digits in single precision, done in float64 in a form that does not cancel.

Coarse values are computed in float64 by construction. This pass rewrites what would cancel even there, and lets the
elements multiply by a reciprocal that the host knows instead of dividing by it (one rounding more, no division).

Before:                                   After:

    %p = apply pow(%beta, %t)                 %p = apply mul(%t, apply log(%beta))
    %c = apply sub(1, %p)                     %c = apply neg(apply expm1(%p))
    %y = apply div(%m, %c)                    %r = apply div(1.0, %c)
                                              %y = apply mul(%m, %r)
"""

from __future__ import annotations

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue

from optgen.ir import rule_dialect as rule
from optgen.ir.emitter import Emitter
from optgen.ir.extents import Extent
from optgen.ir.functions import Function
from optgen.ir.rule_types import type_of
from optgen.passes.facts import depends, producer
from optgen.passes.rewrite import rebuild_all


def stable_scalars(module: ModuleOp) -> ModuleOp:
    """Apply both rewrites to every variant."""
    return rebuild_all(module, _replace, rule.ApplyOp)


def _replace(op: Operation, operands: list[SSAValue], emit: Emitter) -> SSAValue | None:
    if not isinstance(op, rule.ApplyOp):
        return None
    match op.function.data:
        case Function.SUB if _is_one(operands[0]) and (power := _scalar_power(operands[1])) is not None:
            base, exponent = power
            logarithm = emit.apply(Function.MUL, exponent, emit.apply(Function.LOG, base))
            return emit.apply(Function.NEG, emit.apply(Function.EXPM1, logarithm))
        case Function.DIV if _is_host_scalar(operands[1]) and type_of(operands[0]).extent is Extent.ELEM:
            reciprocal = emit.apply(Function.DIV, emit.number(1.0), operands[1])
            return emit.apply(Function.MUL, operands[0], reciprocal)
        case _:
            return None


def _is_one(value: SSAValue) -> bool:
    op = producer(value)
    return isinstance(op, rule.ConstantOp) and op.number == 1


def _scalar_power(value: SSAValue) -> tuple[SSAValue, SSAValue] | None:
    """Base and exponent of a power that is no element value and whose base is a hyper, hence not negative."""
    op = producer(value)
    if type_of(value).extent is Extent.ELEM or not isinstance(op, rule.ApplyOp):
        return None
    if op.function.data is not Function.POW or not isinstance(producer(op.args[0]), rule.HyperOp):
        return None
    return op.args[0], op.args[1]


def _is_host_scalar(value: SSAValue) -> bool:
    return type_of(value).extent is not Extent.ELEM and depends(value).known_to_host
