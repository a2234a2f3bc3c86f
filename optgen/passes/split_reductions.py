"""A reduction of elements over a matrix as one over its rows, then over their totals: sweeps know no matrices.

Before: `reduce sum over matrix %x`. After: `reduce sum over matrix (reduce sum over row %x)`.
"""

from __future__ import annotations

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue

from optgen.ir import rule_dialect as rule
from optgen.ir.emitter import Emitter
from optgen.ir.extents import Extent
from optgen.ir.rule_types import type_of
from optgen.passes.rewrite import rebuild_all


def split_reductions(module: ModuleOp) -> ModuleOp:
    """Split every reduction of elements over a matrix."""
    return rebuild_all(module, _replace, rule.ReduceOp)


def _replace(op: Operation, operands: list[SSAValue], emit: Emitter) -> SSAValue | None:
    if not isinstance(op, rule.ReduceOp) or op.over.data is not Extent.MATRIX:
        return None
    if type_of(operands[0]).extent is not Extent.ELEM:
        return None
    rows = emit.reduce(op.reduction.data, Extent.ROW, operands[0])
    return emit.reduce(op.reduction.data, Extent.MATRIX, rows)
