"""Variants in value form as plain data, for backends that take whole arrays: nothing of the IR library shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from xdsl.dialects.builtin import FloatAttr, IntegerAttr, StringAttr, SymbolRefAttr
from xdsl.dialects.utils import EnumAttribute
from xdsl.ir import Attribute, Block, Operation, SSAValue

from optgen.ir import rule_dialect as rule
from optgen.ir.exactness import inexact_functions
from optgen.ir.rule_types import type_of
from optgen.ir.text import place_of, statement_of


@dataclass(eq=False)
class Value:
    """Result of an operation: how fine it is, `float`, `int` or `bool`, the rule's name for it or "", its uses."""

    extent: str
    kind: str
    hint: str
    uses: int
    op: Op = field(repr=False)


@dataclass(eq=False)
class Op:
    """One operation of the `rule` dialect, named without the dialect.

    `word` is what it is about: the function of `apply`, the slot of `old`, the hyper of `hyper`, the counter, the
    metadata, the reduction, the kind of a sum over edges. `number` is a literal; `over` the extent of a reduction.
    """

    name: str
    operands: tuple[Value, ...]
    word: str
    over: str
    number: float | int | bool
    statement: str
    place: str
    result: Value | None = None


@dataclass(frozen=True)
class Start:
    """How a slot starts: the operations, in which `get param` is the parameter, and the value they give."""

    slot: str
    extent: str
    kind: str
    dtype: str
    ops: Sequence[Op]
    value: Value


@dataclass(frozen=True)
class Variant:
    """One variant: the conditions under which it runs, its operations, new values of slots, whether `t` advances."""

    name: str
    when: Sequence[tuple[Value, bool]]
    ops: Sequence[Op]
    finals: Mapping[str, Value]
    advance: Value


@dataclass(frozen=True)
class Program:
    """All variants of a rule under settled choices. `hypers` and `inputs` are in the order of the text."""

    name: str
    class_name: str
    title: str
    matrix: str
    digest: str
    settled: Mapping[str, str | int | float | bool]
    hypers: Sequence[str]
    inputs: Sequence[str]
    starts: Sequence[Start]
    variants: Sequence[Variant]
    gradients: int = 0

    @property
    def inexact(self) -> tuple[str, ...]:
        """Functions of elements that backends round differently."""
        elements = [op for v in self.variants for op in v.ops if op.result is not None and op.result.extent == "elem"]
        return inexact_functions((op.name, op.word) for op in elements)


def view_variant(op: rule.VariantOp) -> Variant:
    """A variant as data."""
    values: dict[SSAValue, Value] = {}
    ops = _ops(op.body.block, values)
    when: list[tuple[Value, bool]] = []
    finals: dict[str, Value] = {}
    advance: Value | None = None
    for end in op.body.block.ops:
        match end:
            case rule.WhenOp():
                when.append((values[end.value], bool(end.holds.value.data)))
            case rule.FinalOp():
                finals[end.slot.string_value()] = values[end.value]
            case rule.AdvanceOp():
                advance = values[end.value]
            case _:
                pass
    assert advance is not None
    return Variant(op.sym_name.data, when, ops, finals, advance)


def view_start(op: rule.DeclareStateOp, settled: Mapping[str, str | int | float | bool]) -> Start:
    """A slot's start as data, under settled choices."""
    values: dict[SSAValue, Value] = {}
    ops = _ops(op.start.block, values)
    for choice in ops:
        if choice.name == "choice":
            choice.number, choice.name = str(settled[choice.word]) == choice.over, "constant"
    end = next(e for e in op.start.block.ops if isinstance(e, rule.YieldOp))
    dtype = op.dtype.data if op.dtype is not None else ""
    return Start(op.sym_name.data, str(op.extent.data), str(op.kind.data), dtype, ops, values[end.values[0]])


_ENDS = (rule.WhenOp, rule.FinalOp, rule.AdvanceOp, rule.YieldOp)
#: Property that says what an operation is about.
_WORDS = ("function", "slot", "hyper", "input", "variable", "counter", "metadata", "reduction", "kind")


def _ops(block: Block, values: dict[SSAValue, Value]) -> list[Op]:
    found: list[Op] = []
    for operation in block.ops:
        if isinstance(operation, _ENDS):
            continue
        op = _op(operation, tuple(values[x] for x in operation.operands))
        produced = operation.results[0]
        type_ = type_of(produced)
        uses = sum(1 for _ in produced.uses)
        op.result = Value(str(type_.extent), str(type_.kind), produced.name_hint or "", uses, op)
        values[produced] = op.result
        found.append(op)
    return found


def _op(operation: Operation, operands: tuple[Value, ...]) -> Op:
    properties = operation.properties
    word = next((_word(properties[name]) for name in _WORDS if name in properties), "")
    over = _word(properties["over"]) if "over" in properties else ""
    if isinstance(operation, rule.ChoiceOp):
        over = operation.value.data
    number: float | int | bool = 0
    if isinstance(operation, rule.ConstantOp):
        truth = type_of(operation.result).kind == "bool"
        number = bool(operation.number) if truth else operation.number
    name = operation.name.removeprefix("rule.")
    return Op(name, operands, word, over, number, statement_of(operation), place_of(operation))


def _word(attribute: Attribute) -> str:
    match attribute:
        case StringAttr():
            return attribute.data
        case SymbolRefAttr():
            return attribute.string_value()
        case FloatAttr() | IntegerAttr():
            return str(attribute.value.data)
        case _:
            return str(cast("EnumAttribute[object]", attribute).data) if isinstance(attribute, EnumAttribute) else ""  # pyright: ignore
