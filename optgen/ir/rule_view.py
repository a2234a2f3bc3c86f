"""Value forms of a program as expressions, for analysis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from xdsl.dialects.builtin import ModuleOp

from optgen.ir import rule_dialect as rule
from optgen.ir.array_view import Op, Value, view_variant
from optgen.ir.extents import Extent
from optgen.ir.functions import Function


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
    seen = view_variant(variant)
    nodes: dict[Value, Node] = {}
    for op in seen.ops:
        assert op.result is not None
        nodes[op.result] = _node(op, op.result, tuple(nodes[operand] for operand in op.operands))
    when = [(nodes[value], truth) for value, truth in seen.when]
    return Step(seen.name, when, {slot: nodes[value] for slot, value in seen.finals.items()}, nodes[seen.advance])


def _node(op: Op, result: Value, args: tuple[Node, ...]) -> Node:
    chosen = op.name == "choice"
    return Node(
        op.name,
        f"{op.word} == {op.over}" if chosen else op.word,
        Extent(result.extent),
        args,
        over=Extent(op.over) if op.over and not chosen else None,
        number=op.number,
        function=Function(op.word) if op.name == "apply" else None,
    )
