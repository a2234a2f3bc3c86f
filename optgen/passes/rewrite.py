"""Rebuilding a variant operation by operation, for passes that replace some values."""

from __future__ import annotations

from collections.abc import Callable

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, Region, SSAValue

from optgen.ir import rule_dialect as rule
from optgen.ir.emitter import Emitter
from optgen.passes.specialise import erase_dead

#: Builds the replacement of a value in terms of the new operands, or None to keep the operation.
Replace = Callable[[Operation, list[SSAValue], Emitter], SSAValue | None]


def rebuild(variant: rule.VariantOp, replace: Replace) -> rule.VariantOp:
    """A copy of a variant in which `replace` had its say about every value; types follow from the operands."""
    block = Block()
    emit = Emitter(block, reuse=True)
    new: dict[SSAValue, SSAValue] = {}
    for op in variant.body.block.ops:
        emit.location = op.location
        operands = [new[operand] for operand in op.operands]
        if not op.results:
            copy = op.clone(value_mapper=dict(new))
            copy.location = op.location
            block.add_op(copy)
            continue
        value = replace(op, operands, emit)
        if value is None:
            value = _keep(op, operands, emit)
        if value.name_hint is None:
            value.name_hint = op.results[0].name_hint
        new[op.results[0]] = value
    erase_dead(block)
    copy = rule.VariantOp(properties=dict(variant.properties), regions=[Region(block)])
    copy.location = variant.location
    return copy


def _keep(op: Operation, operands: list[SSAValue], emit: Emitter) -> SSAValue:
    match op:
        case rule.ApplyOp():
            return emit.apply(op.function.data, *operands)
        case rule.ReduceOp():
            return emit.reduce(op.reduction.data, op.over.data, operands[0])
        case rule.CountOp():
            return emit.count(op.over.data, operands[0])
        case _:
            return emit.value(op.clone(value_mapper=dict(zip(op.operands, operands, strict=True))))


def rebuild_all(module: ModuleOp, replace: Replace, kind: type[Operation]) -> ModuleOp:
    """`rebuild` for every variant of a module; `replace` is about operations of one kind, and without any the module
    stays."""
    if not any(isinstance(op, kind) for op in module.walk()):
        return module
    variants = [rebuild(op, replace) for op in module.body.block.ops if isinstance(op, rule.VariantOp)]
    return ModuleOp(list(variants))
