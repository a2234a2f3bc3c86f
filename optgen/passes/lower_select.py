"""Which variant a tensor takes: `kernel.select` for this step, `kernel.reach` for any step."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects import arith
from xdsl.dialects.builtin import f64
from xdsl.ir import Block, Region, SSAValue

from optgen.ir import kernel_dialect as kernel
from optgen.ir import rule_dialect as rule
from optgen.ir.functions import Function
from optgen.passes.facts import depends, producer
from optgen.passes.lower_coarse import is_leaf, lower_leaf
from optgen.passes.lower_functions import Lowerer


def lower_select(variants: Sequence[rule.VariantOp]) -> kernel.SelectOp:
    """The number of the first variant whose conditions hold; the last one needs none."""
    block = Block()
    to = Lowerer(block, f64)
    chosen = to.constant(len(variants) - 1)
    for number in range(len(variants) - 2, -1, -1):
        here: dict[SSAValue, SSAValue] = {}
        holds: SSAValue | None = None
        for when in _whens(variants[number]):
            one = to.as_bool(_scalar(when.value, to, here))
            one = one if when.holds.value.data else to.apply(Function.NOT, [one])
            holds = one if holds is None else to.apply(Function.AND, [holds, one])
        assert holds is not None
        chosen = to.value(arith.SelectOp(holds, to.constant(number), chosen))
    to.add(kernel.ChosenOp(operands=[chosen]))
    return kernel.SelectOp(regions=[Region(block)])


def lower_reach(variants: Sequence[rule.VariantOp]) -> kernel.ReachOp:
    """Powers of two of the variants that no condition on the tensor alone rules out."""
    block = Block()
    to = Lowerer(block, f64)
    mask = to.constant(0.0)
    for number, variant in enumerate(variants):
        here: dict[SSAValue, SSAValue] = {}
        possible: SSAValue | None = None
        for when in _whens(variant):
            one = _possible(when.value, bool(when.holds.value.data), to, here)
            if one is not None:
                possible = one if possible is None else to.apply(Function.AND, [possible, one])
        power = to.constant(float(2**number))
        if possible is not None:
            power = to.value(arith.SelectOp(possible, power, to.constant(0.0)))
        mask = to.apply(Function.ADD, [mask, power])
    to.add(kernel.ChosenOp(operands=[mask]))
    return kernel.ReachOp(regions=[Region(block)])


def _whens(variant: rule.VariantOp) -> list[rule.WhenOp]:
    return [op for op in variant.body.block.ops if isinstance(op, rule.WhenOp)]


def _scalar(value: SSAValue, to: Lowerer, here: dict[SSAValue, SSAValue]) -> SSAValue:
    """A value that the host knows."""
    if value not in here:
        op = producer(value)
        if is_leaf(value):
            here[value] = lower_leaf(value, to)
        else:
            assert isinstance(op, rule.ApplyOp), op.name
            here[value] = to.apply(op.function.data, [_scalar(arg, to, here) for arg in op.args])
    return here[value]


def _possible(value: SSAValue, truth: bool, to: Lowerer, here: dict[SSAValue, SSAValue]) -> SSAValue | None:
    """Whether a condition can come out like this at some step; None where nothing is known."""
    op = producer(value)
    if isinstance(op, rule.ApplyOp) and op.function.data in (Function.AND, Function.OR, Function.NOT):
        if op.function.data is Function.NOT:
            return _possible(op.args[0], not truth, to, here)
        parts = [_possible(arg, truth, to, here) for arg in op.args]
        if (op.function.data is Function.AND) == truth:  # all parts must come out so
            known = [part for part in parts if part is not None]
            return known[0] if len(known) == 1 else to.apply(Function.AND, known) if known else None
        return None if None in parts else to.apply(Function.OR, [part for part in parts if part is not None])
    if not depends(value).is_static:
        return None
    holds = to.as_bool(_scalar(value, to, here))
    return holds if truth else to.apply(Function.NOT, [holds])
