"""Graph operators of element values, spelled out as a stencil over matched neighbours and a sum over the others.

Before:

    %y = rule.graph laplacian %x

After, with N the layer's squared norm of x and T the transport of semantics "coupling":

    %near = rule.stencil laplacian %x
    %far = rule.edges pull %norm          // sum over unmatched edges of a - b*|x_j|/|x|
    %y = add(%near, mul(%far, %x))

Under coupling "match" or "equal" there are no unmatched edges, and the second part is left out. A stencil is linear: a
sign, or a factor that the whole model shares, moves out of it, so that it reads what memory holds.
"""

from __future__ import annotations

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue

from optgen.ir import rule_dialect as rule
from optgen.ir.emitter import Emitter
from optgen.ir.extents import Extent
from optgen.ir.functions import Function
from optgen.ir.rule_types import EdgeSum, Reduction, Stencil, type_of
from optgen.passes.facts import producer
from optgen.passes.rewrite import rebuild_all


def expand_graph(module: ModuleOp, coupling: str) -> ModuleOp:
    """Replace every `rule.graph`."""

    def replace(op: Operation, operands: list[SSAValue], emit: Emitter) -> SSAValue | None:
        if not isinstance(op, rule.GraphOp):
            return None
        kind, x = op.kind.data, operands[0]
        if type_of(x).extent is Extent.LAYER:
            return emit.edges(EdgeSum(kind.value), x)
        near = _stencil(kind, x, emit)
        if coupling != "transport":
            return near
        square = emit.reduce(Reduction.SUM, Extent.LAYER, emit.apply(Function.MUL, x, x))
        norm = emit.apply(Function.SQRT, square)
        far = emit.edges(EdgeSum.PULL if kind is Stencil.LAPLACIAN else EdgeSum.PUSH, norm)
        return emit.apply(Function.ADD, near, emit.apply(Function.MUL, far, x))

    return rebuild_all(module, replace, rule.GraphOp)


def _stencil(kind: Stencil, x: SSAValue, emit: Emitter) -> SSAValue:
    """The stencil of x, with what it is linear in pulled out."""
    op = producer(x)
    if isinstance(op, rule.ApplyOp):
        match op.function.data:
            case Function.NEG:
                return emit.apply(Function.NEG, _stencil(kind, op.args[0], emit))
            case Function.MUL | Function.DIV as function if _is_shared(op.args[1]):
                return emit.apply(function, _stencil(kind, op.args[0], emit), op.args[1])
            case Function.MUL if _is_shared(op.args[0]):
                return emit.apply(Function.MUL, op.args[0], _stencil(kind, op.args[1], emit))
            case _:
                pass
    return emit.stencil(kind, x)


def _is_shared(value: SSAValue) -> bool:
    return type_of(value).extent is Extent.MODEL


def uses_graph(module: ModuleOp) -> bool:
    """Whether any variant has a graph operator."""
    kinds = (rule.GraphOp, rule.StencilOp, rule.EdgesOp)
    return any(isinstance(op, kinds) for op in module.walk())
