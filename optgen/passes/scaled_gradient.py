"""Scaled gradients: what a gradient scaler multiplied the loss by is divided out as the gradient is read.

Before:

    %g = rule.old @g

After:

    %s = rule.input @grad_scale
    %g = mul(rule.old @g, div(1, %s))

The quotient is the model's, so that it is one number per step, and moves out of graph operators as any such factor.
"""

from __future__ import annotations

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue

from optgen.ir import rule_dialect as rule
from optgen.ir.emitter import Emitter
from optgen.ir.extents import Extent
from optgen.ir.functions import Function
from optgen.passes.rewrite import rebuild_all
from optgen.runtime.gradients import is_gradient
from optgen.runtime.storage import GRAD_SCALE


def scaled_gradient(module: ModuleOp) -> ModuleOp:
    """The module with every use of the gradient replaced by that of the gradient without its scale."""

    def replace(op: Operation, _operands: list[SSAValue], emit: Emitter) -> SSAValue | None:
        if not isinstance(op, rule.OldOp) or not is_gradient(op.slot.string_value()):
            return None
        factor = emit.apply(Function.DIV, emit.number(1.0), emit.input(GRAD_SCALE, Extent.MODEL))
        factor.name_hint = "unscale"
        return emit.apply(Function.MUL, emit.value(op.clone()), factor)

    return rebuild_all(module, replace, rule.OldOp)
