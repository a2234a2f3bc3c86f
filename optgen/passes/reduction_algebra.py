"""Sums of products spelled out in sums of loaded values, where that removes a sweep or bytes.

A sum is linear, so a factor that does not vary within the unit summed over can be pulled out. Where such a factor
itself waits for a reduction, pulling it out lets both reductions share a sweep.

Before:

    %y = add(%x, mul(%b, %g))             // %b waits for a reduction
    %s = reduce sum over layer mul(%y, %y)

After:

    %s = maximum(0, xx + 2*b*xg + b*b*gg) // with xx = reduce sum over layer mul(%x, %x), ...

The sums are carried in float64, because an expanded square cancels; a square is kept from going negative.
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue

from optgen.ir import rule_dialect as rule
from optgen.ir.emitter import Emitter
from optgen.ir.extents import Extent, at_most
from optgen.ir.functions import Function
from optgen.ir.rule_types import Reduction, type_of
from optgen.passes.facts import producer
from optgen.passes.problem import Storage, plan_all
from optgen.passes.rewrite import rebuild_all
from optgen.passes.specialise import cone


def reduction_algebra(module: ModuleOp, storage: Storage, element_states: list[str]) -> ModuleOp:
    """The module, expanded where the plans of its variants get cheaper by it."""
    expanded = rebuild_all(module, _replace, rule.ReduceOp)
    if expanded is module:
        return module
    cost = [_cost(candidate, storage, element_states) for candidate in (module, expanded)]
    return expanded if cost[1] < cost[0] else module


def _cost(module: ModuleOp, storage: Storage, element_states: list[str]) -> tuple[int, int]:
    """Bytes and sweeps over all variants."""
    variants = [op for op in module.body.block.ops if isinstance(op, rule.VariantOp)]
    plans = [planned.plan for planned in plan_all(variants, storage, element_states)]
    return sum(plan.bytes for plan in plans), sum(len(plan.sweeps) for plan in plans)


@dataclass(frozen=True)
class _Term:
    """`factor * value`, or `-factor * value`; no factor stands for 1."""

    value: SSAValue
    factor: SSAValue | None
    negative: bool


def _replace(op: Operation, operands: list[SSAValue], emit: Emitter) -> SSAValue | None:
    if not isinstance(op, rule.ReduceOp) or op.reduction.data is not Reduction.SUM:
        return None
    x, over = operands[0], op.over.data
    if type_of(x).extent is not Extent.ELEM:
        return None
    product = producer(x)
    if isinstance(product, rule.ApplyOp) and product.function.data is Function.MUL:
        left, right = (_terms(arg, over) for arg in product.args)
        if len(left) == len(right) == 1 and left[0].factor is right[0].factor is None:
            return None
        total = _sum_of_products(left, right, over, emit, square=product.args[0] is product.args[1])
        return emit.apply(Function.MAXIMUM, emit.number(0.0), total) if product.args[0] is product.args[1] else total
    terms = _terms(x, over)
    if len(terms) == 1 and terms[0].factor is None:
        return None
    return _add(emit, [(term.negative, _scale(emit, term.factor, _sum(emit, over, term.value))) for term in terms])


def _sum_of_products(left: list[_Term], right: list[_Term], over: Extent, emit: Emitter, *, square: bool) -> SSAValue:
    parts: list[tuple[bool, SSAValue]] = []
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            if square and j < i:
                continue
            entries = emit.apply(Function.MUL, a.value, b.value)
            part = _scale(emit, a.factor, _scale(emit, b.factor, _sum(emit, over, entries)))
            if square and j > i:
                part = emit.apply(Function.MUL, emit.number(2.0), part)
            parts.append((a.negative != b.negative, part))
    return _add(emit, parts)


def _sum(emit: Emitter, over: Extent, x: SSAValue) -> SSAValue:
    return emit.reduce(Reduction.SUM, over, x)


def _scale(emit: Emitter, factor: SSAValue | None, x: SSAValue) -> SSAValue:
    return x if factor is None else emit.apply(Function.MUL, factor, x)


def _add(emit: Emitter, parts: list[tuple[bool, SSAValue]]) -> SSAValue:
    negative, total = parts[0]
    if negative:
        total = emit.apply(Function.NEG, total)
    for negative, part in parts[1:]:
        total = emit.apply(Function.SUB if negative else Function.ADD, total, part)
    return total


def _terms(value: SSAValue, over: Extent) -> list[_Term]:
    """A value as a sum of terms whose factors wait for a reduction; values without such factors stay whole."""
    if not _waits(value, over):
        return [_Term(value, None, False)]
    op = producer(value)
    if isinstance(op, rule.ApplyOp):
        args = list(op.args)
        match op.function.data:
            case Function.ADD | Function.SUB if all(type_of(a).extent is Extent.ELEM for a in args):
                flip = op.function.data is Function.SUB
                second = [_Term(t.value, t.factor, t.negative != flip) for t in _terms(args[1], over)]
                return [*_terms(args[0], over), *second]
            case Function.MUL:
                for factor, x in ((args[0], args[1]), (args[1], args[0])):
                    if _is_factor(factor, over) and type_of(x).extent is Extent.ELEM:
                        inner = _terms(x, over)
                        if all(term.factor is None for term in inner):
                            return [_Term(term.value, factor, term.negative) for term in inner]
            case _:
                pass
    return [_Term(value, None, False)]


def _is_factor(value: SSAValue, over: Extent) -> bool:
    return at_most(type_of(value).extent, over)


def _waits(value: SSAValue, over: Extent) -> bool:
    """Whether the value has a coarse factor, constant within the unit, that waits for a reduction."""
    for below in cone(value):
        if type_of(below).extent is Extent.ELEM or not _is_factor(below, over):
            continue
        if any(isinstance(producer(x), rule.ReduceOp) for x in cone(below)):
            return True
    return False
