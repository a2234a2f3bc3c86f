"""Kernel modules as plain data, for backends: nothing of the IR library shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from json import loads

from xdsl.dialects import arith
from xdsl.dialects.builtin import (
    AnyFloat,
    ArrayAttr,
    BFloat16Type,
    FloatAttr,
    IntegerAttr,
    ModuleOp,
    StringAttr,
    SymbolRefAttr,
)
from xdsl.dialects.utils import EnumAttribute
from xdsl.ir import Attribute, Operation, SSAValue

from optgen.ir import kernel_dialect as kernel
from optgen.ir.text import statement_of

_PREDICATES = ("false", "oeq", "ogt", "oge", "olt", "ole", "one", "ord", "ueq", "ugt", "uge", "ult", "ule", "une")


@dataclass(eq=False)
class Value:
    """Result of an operation: its type (`f32`, `f64`, `bf16`, `f16`, `i1`), the rule's name for it or "", its uses."""

    type: str
    hint: str
    uses: int
    op: Op = field(repr=False)


@dataclass(eq=False)
class Op:
    """One operation; `statement` is the equation it comes from, or ""."""

    name: str
    operands: tuple[Value, ...]
    attributes: Mapping[str, str | int | float]
    statement: str
    result: Value | None = None

    def word(self, attribute: str) -> str:
        """An attribute that is text."""
        value = self.attributes[attribute]
        assert isinstance(value, str)
        return value


@dataclass(frozen=True)
class Stage:
    """Coarse code; `boundary` counts the sweeps before it."""

    extent: str
    boundary: int
    ops: Sequence[Op]


@dataclass(frozen=True)
class Sweep:
    """Element code; sweeps count from 1."""

    index: int
    ops: Sequence[Op]


@dataclass(frozen=True)
class Call:
    """A library call on the matrices of a slot; `boundary` counts the sweeps before it, `numbers` are tensor values."""

    boundary: int
    function: str
    operand: str
    target: str
    numbers: Sequence[str]
    statement: str = ""


@dataclass(frozen=True)
class Variant:
    """One variant; `when` is the condition in words, `slots` the states it needs."""

    name: str
    when: str
    slots: Sequence[str]
    stages: Sequence[Stage]
    sweeps: Sequence[Sweep]
    calls: Sequence[Call] = ()


@dataclass(frozen=True)
class Slot:
    """Memory of every tensor; it outlives the step unless its role is scratch."""

    name: str
    extent: str
    dtype: str
    role: str


@dataclass(frozen=True)
class Total:
    """A reduction that sweeps accumulate."""

    name: str
    reduction: str
    extent: str


@dataclass(frozen=True)
class Module:
    """A kernel module. `made_of` names the texts of a joined rule; `sums` is the type in which sums of sums, and sums
    of many elements, are carried."""

    name: str
    class_name: str
    compute: str
    matrix: str
    digest: str
    settled: Mapping[str, str | int | float | bool]
    hypers: Sequence[str]
    inputs: Sequence[str]
    slots: Sequence[Slot]
    values: Mapping[str, str]
    totals: Mapping[str, Total]
    variants: Sequence[Variant]
    select: Sequence[Op] | None
    reach: Sequence[Op] | None
    made_of: str = ""
    sums: str = "f64"

    @property
    def asked(self) -> str:
        """What a command calls the rule: its name, or the parts of `A+B`, which has no text of its own."""
        names = [each.partition(" ")[0] for each in self.made_of.split(" + ")]
        return self.name if not self.made_of or self.name in names else "+".join(names)

    @property
    def sweeps(self) -> int:
        """Number of sweeps of the longest variant."""
        return max((sweep.index for variant in self.variants for sweep in variant.sweeps), default=0)


def view(module: ModuleOp) -> Module:
    """The kernel module in a builtin module."""
    op = next(op for op in module.body.block.ops if isinstance(op, kernel.ModuleOp))
    body = list(op.body.block.ops)
    totals = {
        t.sym_name.data: Total(t.sym_name.data, str(t.reduction.data), str(t.extent.data))
        for t in body
        if isinstance(t, kernel.DeclareTotalOp)
    }
    return Module(
        name=op.sym_name.data,
        class_name=op.class_name.data,
        compute=op.compute.data,
        matrix=op.matrix.data,
        digest=op.digest.data,
        settled=loads(op.settled.data),
        hypers=_words(op.hypers),
        inputs=_words(op.inputs),
        slots=[Slot(s.sym_name.data, str(s.extent.data), s.dtype.data, str(s.role.data)) for s in op.slots],
        values={d.sym_name.data: str(d.extent.data) for d in body if isinstance(d, kernel.DeclareValueOp)},
        totals=totals,
        variants=[_variant(v) for v in op.variants],
        select=None if op.select is None else _ops(list(op.select.body.block.ops)),
        reach=None if op.reach is None else _ops(list(op.reach.body.block.ops)),
        made_of="" if op.spec is None else op.spec.data,
    )


def _words(array: Attribute) -> list[str]:
    assert isinstance(array, ArrayAttr)
    items: Sequence[Attribute] = list(array)  # pyright: ignore[reportUnknownArgumentType]
    return [item.data for item in items if isinstance(item, StringAttr)]


def _variant(op: kernel.VariantOp) -> Variant:
    stages: list[Stage] = []
    sweeps: list[Sweep] = []
    calls: list[Call] = []
    for part in op.body.block.ops:
        if isinstance(part, kernel.SweepOp):
            sweeps.append(Sweep(part.index.value.data, _ops(list(part.body.block.ops))))
        elif isinstance(part, kernel.StageOp):
            boundary = sweeps[-1].index if sweeps else 0
            stages.append(Stage(str(part.extent.data), boundary, _ops(list(part.body.block.ops))))
        elif isinstance(part, kernel.CallOp):
            operand, target = part.operand.string_value(), part.target.string_value()
            made = Call(part.boundary.value.data, part.function.data, operand, target, part.words, statement_of(part))
            calls.append(made)
    return Variant(op.sym_name.data, op.when.data, _words(op.slots), stages, sweeps, calls)


def _ops(operations: Sequence[Operation]) -> list[Op]:
    values: dict[SSAValue, Value] = {}
    result: list[Op] = []
    for operation in operations:
        operands = tuple(values[x] for x in operation.operands)
        op = Op(operation.name, operands, _attributes(operation), statement_of(operation))
        if operation.results:
            produced = operation.results[0]
            uses = sum(1 for _ in produced.uses)
            op.result = Value(_type(produced.type), produced.name_hint or "", uses, op)
            values[produced] = op.result
        result.append(op)
    return result


def _type(attribute: Attribute) -> str:
    if isinstance(attribute, BFloat16Type):
        return "bf16"
    return f"f{attribute.bitwidth}" if isinstance(attribute, AnyFloat) else "i1"


def _attributes(operation: Operation) -> dict[str, str | int | float]:
    if isinstance(operation, arith.CmpfOp):
        return {"predicate": _PREDICATES[operation.predicate.value.data]}
    plain: dict[str, str | int | float] = {}
    for name, attribute in (*operation.properties.items(), *operation.attributes.items()):
        match attribute:
            case StringAttr():
                plain[name] = attribute.data
            case SymbolRefAttr():
                plain[name] = attribute.string_value()
            case IntegerAttr():
                plain[name] = attribute.value.data
            case FloatAttr():
                plain[name] = attribute.value.data
            case EnumAttribute():
                plain[name] = str(attribute.data)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
            case _:
                pass
    return plain
