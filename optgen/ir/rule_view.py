"""Value forms of a program as plain data, for analysis: nothing of the IR library shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue

from optgen.ir import rule_dialect as rule
from optgen.ir.extents import Extent
from optgen.ir.functions import Function
from optgen.ir.rule_types import type_of


@dataclass(frozen=True, eq=False)
class Node:
    """A value: `kind` is its operation's name, `word` what that operation is of (a function, hyper, slot, reduction).

    `over` is the extent of a reduction or count, `number` that of a constant, `function` that of an `apply`.
    """

    kind: str
    word: str
    extent: Extent
    args: tuple[Node, ...] = field(repr=False)
    over: Extent | None = None
    number: float | int = 0
    function: Function | None = None


@dataclass(frozen=True)
class Step:
    """One variant's step: conditions under which it is taken, new values of slots, and whether `t` advances."""

    name: str
    when: Sequence[tuple[Node, bool]]
    finals: Mapping[str, Node]
    advance: Node


def steps_of(module: ModuleOp) -> list[Step]:
    """The variants of a module in value form."""
    return [_step(op) for op in module.body.block.ops if isinstance(op, rule.VariantOp)]


def _step(variant: rule.VariantOp) -> Step:
    nodes: dict[SSAValue, Node] = {}
    when: list[tuple[Node, bool]] = []
    finals: dict[str, Node] = {}
    advance: Node | None = None
    for op in variant.body.block.ops:
        match op:
            case rule.WhenOp():
                when.append((nodes[op.value], bool(op.holds.value.data)))
            case rule.FinalOp():
                finals[op.slot.string_value()] = nodes[op.value]
            case rule.AdvanceOp():
                advance = nodes[op.value]
            case _:
                nodes[op.results[0]] = _node(op, tuple(nodes[operand] for operand in op.operands))
    assert advance is not None, "a variant says whether the counter advances"
    return Step(variant.sym_name.data, when, finals, advance)


def _node(op: Operation, args: tuple[Node, ...]) -> Node:
    kind, extent = op.name.removeprefix("rule."), type_of(op.results[0]).extent
    match op:
        case rule.ConstantOp():
            return Node(kind, "", extent, args, number=op.number)
        case rule.HyperOp():
            return Node(kind, op.hyper.string_value(), extent, args)
        case rule.ChoiceOp():
            return Node(kind, f"{op.hyper.string_value()} == {op.value.data}", extent, args)
        case rule.InputOp():
            return Node(kind, op.input.string_value(), extent, args)
        case rule.OldOp():
            return Node(kind, op.slot.string_value(), extent, args)
        case rule.CounterOp():
            return Node(kind, str(op.counter.data), extent, args)
        case rule.MetadataOp():
            return Node(kind, str(op.metadata.data), extent, args)
        case rule.ApplyOp():
            return Node(kind, str(op.function.data), extent, args, function=op.function.data)
        case rule.ReduceOp():
            return Node(kind, str(op.reduction.data), extent, args, over=op.over.data)
        case rule.CountOp():
            return Node(kind, "", extent, args, over=op.over.data)
        case rule.GraphOp() | rule.StencilOp() | rule.EdgesOp():
            return Node(kind, str(op.kind.data), extent, args)
        case _:
            assert isinstance(op, rule.CallOp), op.name
            return Node(kind, op.function.data, extent, args)
