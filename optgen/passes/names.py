"""Names of coarse values: short, from the rule's own symbols, and unique in a module."""

from __future__ import annotations

from xdsl.ir import SSAValue

from optgen.ir import rule_dialect as rule
from optgen.ir.extents import Extent
from optgen.ir.functions import Function
from optgen.passes.facts import producer


class Names:
    """Names of one variant. `extents` is shared by a module's variants: one name has one extent everywhere."""

    def __init__(self, extents: dict[str, Extent]) -> None:
        self.extents = extents
        self._taken: set[str] = set()

    def new(self, wish: str, extent: Extent) -> str:
        """The wish, or the wish with a number where it is taken."""
        name, number = wish, 1
        while name in self._taken or self.extents.get(name, extent) is not extent:
            number += 1
            name = f"{wish}_{number}"
        self._taken.add(name)
        self.extents[name] = extent
        return name


_SHAPES = {Function.NEG: "{}", Function.EXPM1: "{}", Function.NOT: "not_{}", Function.SQRT: "root_{}"}


def suggest_name(value: SSAValue) -> str:
    """A name for a coarse value."""
    if value.name_hint is not None:
        return value.name_hint
    op = producer(value)
    match op:
        case rule.HyperOp():
            return op.hyper.string_value()
        case rule.CounterOp():
            return str(op.counter.data)
        case rule.MetadataOp():
            return str(op.metadata.data)
        case rule.InputOp():
            return op.input.string_value()
        case rule.OldOp():
            return op.slot.string_value()
        case rule.ReduceOp():
            return f"{op.reduction.data}_{suggest_operand(op.operand)}"
        case rule.ApplyOp():
            return _apply_name(op)
        case _:
            return op.name.split(".")[1]


def suggest_operand(value: SSAValue) -> str:
    """A name for what is reduced: `g_m` for a product, `g_g` for a square."""
    op = producer(value)
    if value.name_hint is None and isinstance(op, rule.ApplyOp) and op.function.data is Function.MUL:
        return f"{suggest_operand(op.args[0])}_{suggest_operand(op.args[1])}"
    return value.name_hint or (op.slot.string_value() if isinstance(op, rule.OldOp) else "x")


def _apply_name(op: rule.ApplyOp) -> str:
    function, args = op.function.data, list(op.args)
    first = producer(args[0])
    one = isinstance(first, rule.ConstantOp) and first.number == 1
    if function is Function.SUB and one:
        return f"one_minus_{suggest_name(args[1])}"
    if function is Function.DIV and one:
        return f"inverse_{suggest_name(args[1])}"
    if function is Function.NEG and (base := _base_of_power(args[0])) is not None:
        return f"one_minus_{suggest_name(base)}_to_t"
    if function in _SHAPES:
        return _SHAPES[function].format(suggest_name(args[0]))
    if function is Function.WHERE:
        return suggest_name(next((a for a in args[1:] if not isinstance(producer(a), rule.ConstantOp)), args[0]))
    if function in (Function.MUL, Function.ADD, Function.DIV, Function.SUB):
        word = {Function.MUL: "times", Function.ADD: "plus", Function.DIV: "over", Function.SUB: "minus"}[function]
        name = f"{suggest_name(args[0])}_{word}_{suggest_name(args[1])}"
        return name if len(name) <= 32 else str(function)
    return str(function).strip("_")


def _base_of_power(value: SSAValue) -> SSAValue | None:
    """b of `expm1(t*log(b))`, which the stable-scalars pass writes for `b**t - 1`."""
    op = producer(value)
    if not isinstance(op, rule.ApplyOp) or op.function.data is not Function.EXPM1:
        return None
    product = producer(op.args[0])
    if not isinstance(product, rule.ApplyOp) or product.function.data is not Function.MUL:
        return None
    log = producer(product.args[1])
    return log.args[0] if isinstance(log, rule.ApplyOp) and log.function.data is Function.LOG else None
