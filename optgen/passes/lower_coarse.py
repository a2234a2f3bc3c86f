"""The coarse values of a variant as stages: which boundary, which loop, and under which name others see them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from xdsl.dialects.builtin import StringAttr, SymbolRefAttr, f64
from xdsl.ir import Block, Region, SSAValue

from optgen.ir import kernel_dialect as kernel
from optgen.ir import rule_dialect as rule
from optgen.ir.extents import VECTOR_EXTENTS, Extent
from optgen.ir.functions import Function
from optgen.ir.rule_types import (
    Counter,
    CounterAttr,
    EdgeSumAttr,
    ExtentAttr,
    Reduction,
    ReductionAttr,
    type_of,
)
from optgen.passes.facts import producer
from optgen.passes.lower_functions import Lowerer
from optgen.passes.names import Names, suggest_name
from optgen.passes.problem import is_element

_LEAVES = (rule.ConstantOp, rule.HyperOp, rule.CounterOp, rule.MetadataOp, rule.InputOp)


def is_leaf(value: SSAValue) -> bool:
    """Whether a coarse value is read, or computed again, where it is used instead of being passed by name.

    That is so for what the host knows of the whole model, such as `step - 1`: it needs no stage of its own.
    """
    op = producer(value)
    if isinstance(op, rule.ApplyOp):
        return type_of(value).extent is Extent.MODEL and all(is_leaf(arg) for arg in op.args)
    return isinstance(op, _LEAVES)


def lower_leaf(value: SSAValue, to: Lowerer) -> SSAValue:
    """Hypers, counters, metadata, inputs and literals in coarse code."""
    op = producer(value)
    match op:
        case rule.ConstantOp():
            return to.constant(float(op.number))
        case rule.ApplyOp():
            return to.apply(op.function.data, [lower_leaf(arg, to) for arg in op.args])
        case rule.HyperOp():
            return to.value(kernel.HyperOp(properties={"hyper": op.hyper}, result_types=[f64]))
        case rule.CounterOp():
            return to.value(kernel.CounterOp(properties={"counter": op.counter}, result_types=[f64]))
        case rule.MetadataOp():
            return to.value(kernel.MetadataOp(properties={"metadata": op.metadata}, result_types=[f64]))
        case _:
            assert isinstance(op, rule.InputOp)
            return to.value(kernel.InputOp(properties={"input": op.input}, result_types=[f64]))


#: A piece of coarse code: writes its operations with the lowerer and a way to get at other coarse values.
Code = Callable[[Lowerer, Callable[[SSAValue], SSAValue]], SSAValue | None]


@dataclass
class _Item:
    """One coarse computation: what it defines (if anything), what it reads, and how it is written."""

    extent: Extent
    reads: list[SSAValue]
    code: Code
    defines: SSAValue | None = None
    crosses: bool = False  # reads other units' values: their loop must be over


@dataclass
class _Group:
    """Items that share a loop over the units of an extent."""

    extent: Extent
    items: list[_Item] = field(default_factory=list[_Item])


class Stages:
    """Collects the coarse items of a variant and lays them out in stages."""

    def __init__(self, sweeps: int, names: Names, totals: Mapping[SSAValue, tuple[str, int]]) -> None:
        self.sweeps = sweeps
        self.names = names
        self.totals = totals  # reductions of element values: name of the total, sweep that takes it
        self._boundaries: list[list[_Group]] = [[] for _ in range(sweeps + 1)]
        self._where: dict[SSAValue, tuple[int, int]] = {}
        self._named: dict[SSAValue, str] = {}
        self._copies: dict[SSAValue, str] = {}

    # What there is

    def add_values(self, needed: list[SSAValue]) -> None:
        """Place every coarse value of the list, which is in program order."""
        for value in needed:
            if not is_leaf(value) and not is_element(value) and not isinstance(producer(value), rule.CountOp):
                item = self._item(value)
                self._place(item, self._ready(value, item))

    def read_name(self, value: SSAValue) -> str:
        """Name under which element code reads a coarse value: a tensor value, or a row, column or matrix value."""
        if isinstance(producer(value), rule.CountOp) and value not in self._where:
            self._place(self._item(value), 0)
        extent = type_of(value).extent
        if extent in VECTOR_EXTENTS or (extent is Extent.TENSOR and not is_leaf(value)):
            return self._name(value)
        if value not in self._copies:
            copy = _Item(Extent.TENSOR, [value], lambda to, get: self._define(to, self._copies[value], get(value)))
            boundary = 0 if is_leaf(value) else self._where[value][0]
            self._copies[value] = self.names.new(suggest_name(value), Extent.TENSOR)
            self._place(copy, boundary)
        return self._copies[value]

    def put(self, slot: str, extent: Extent, value: SSAValue) -> None:
        """Store a coarse slot after the last sweep."""

        def code(to: Lowerer, get: Callable[[SSAValue], SSAValue]) -> None:
            number = to.as_float(get(value))
            to.add(kernel.PutOp(operands=[number], properties={"slot": SymbolRefAttr(slot)}))

        self._place(_Item(extent, [value], code), self.sweeps)

    def count_update(self, slot: str, advance: SSAValue) -> None:
        """Store the update counter after the last sweep, advanced where `advance` holds."""
        always = isinstance(op := producer(advance), rule.ConstantOp) and bool(op.number)

        def code(to: Lowerer, get: Callable[[SSAValue], SSAValue]) -> None:
            t = to.value(kernel.CounterOp(properties={"counter": CounterAttr(Counter.T)}, result_types=[f64]))
            if not always:
                kept = to.apply(Function.SUB, [t, to.constant(1.0)])
                t = to.apply(Function.WHERE, [get(advance), t, kept])
            to.add(kernel.PutOp(operands=[t], properties={"slot": SymbolRefAttr(slot)}))

        if always or not isinstance(producer(advance), rule.ConstantOp):
            self._place(_Item(Extent.TENSOR, [advance], code), self.sweeps)

    # Placing

    def _ready(self, value: SSAValue, item: _Item) -> int:
        if value in self.totals:
            return self.totals[value][1]
        return max((self._where[x][0] for x in item.reads if x in self._where), default=0)

    def _place(self, item: _Item, boundary: int) -> None:
        for value in item.reads:  # counts wait for no sweep: they are taken where they are first read
            if isinstance(producer(value), rule.CountOp) and value not in self._where:
                self._place(self._item(value), boundary)
        groups, first = self._boundaries[boundary], 0
        for value in item.reads:
            if is_leaf(value):
                continue
            at, index = self._where[value]
            if at == boundary:
                shares = groups[index].extent is item.extent and not item.crosses
                first = max(first, index if shares else index + 1)
        for index in range(first, len(groups)):
            if groups[index].extent is item.extent:
                break
        else:
            index = len(groups)
            groups.append(_Group(item.extent))
        groups[index].items.append(item)
        if item.defines is not None:
            self._where[item.defines] = (boundary, index)

    # Writing

    def stages(self, boundary: int) -> list[kernel.StageOp]:
        """The stages of a boundary; call after everything was added."""
        return [self._stage(boundary, index) for index in range(len(self._boundaries[boundary]))]

    def name_all(self) -> None:
        """Give a name to every value that is read outside its own stage; call before `stages`."""
        for boundary, groups in enumerate(self._boundaries):
            for index, group in enumerate(groups):
                for item in group.items:
                    for value in item.reads:
                        if not is_leaf(value) and (item.crosses or self._where[value] != (boundary, index)):
                            self._name(value)

    def _name(self, value: SSAValue) -> str:
        if value not in self._named:
            self._named[value] = self.names.new(suggest_name(value), type_of(value).extent)
        return self._named[value]

    def _stage(self, boundary: int, index: int) -> kernel.StageOp:
        block = Block()
        to = Lowerer(block, f64)
        here: dict[SSAValue, SSAValue] = {}

        def get(value: SSAValue) -> SSAValue:
            if value not in here:
                if is_leaf(value):
                    here[value] = lower_leaf(value, to)
                else:
                    reference = SymbolRefAttr(self._named[value])
                    here[value] = to.value(kernel.ValueOp(properties={"value": reference}, result_types=[f64]))
            return here[value]

        group = self._boundaries[boundary][index]
        for item in group.items:
            if item.defines is not None:
                to.location = producer(item.defines).location
            result = item.code(to, get)
            if item.defines is not None and result is not None:
                if result.name_hint is None:
                    result.name_hint = item.defines.name_hint
                here[item.defines] = result
                if item.defines in self._named:
                    self._define(to, self._named[item.defines], result)
        return kernel.StageOp(properties={"extent": ExtentAttr(group.extent)}, regions=[Region(block)])

    def _define(self, to: Lowerer, name: str, value: SSAValue) -> None:
        to.add(kernel.DefineOp(operands=[to.as_float(value)], properties={"sym_name": StringAttr(name)}))

    # Items

    def _item(self, value: SSAValue) -> _Item:
        op, extent = producer(value), type_of(value).extent
        match op:
            case rule.ApplyOp():
                function, args = op.function.data, list(op.args)
                return _Item(extent, args, lambda to, get: to.apply(function, [get(a) for a in args]), value)
            case rule.OldOp():
                slot = op.slot
                return _Item(
                    extent,
                    [],
                    lambda to, _: to.value(kernel.FetchOp(properties={"slot": slot}, result_types=[f64])),
                    value,
                )
            case rule.CountOp():
                counted = ExtentAttr(type_of(op.operand).extent)
                return _Item(
                    extent,
                    [],
                    lambda to, _: to.value(kernel.CountOp(properties={"extent": counted}, result_types=[f64])),
                    value,
                )
            case rule.ReduceOp() if is_element(op.operand):
                return self._total(op)
            case rule.ReduceOp():
                return self._fold(op.reduction.data, op.operand, value)
            case _:
                assert isinstance(op, rule.EdgesOp), op.name
                kind, operand = EdgeSumAttr(op.kind.data), op.operand
                return _Item(
                    extent,
                    [operand],
                    lambda to, _: to.value(
                        kernel.EdgesOp(
                            properties={"kind": kind, "value": SymbolRefAttr(self._name(operand))}, result_types=[f64]
                        )
                    ),
                    value,
                    crosses=True,
                )

    def _total(self, op: rule.ReduceOp) -> _Item:
        name = self.totals[op.result][0]
        properties = {"reduction": ReductionAttr(op.reduction.data), "total": SymbolRefAttr(name)}
        return _Item(
            op.over.data,
            [],
            lambda to, _: to.value(kernel.TotalOp(properties=properties, result_types=[f64])),
            op.result,
        )

    def _fold(self, reduction: Reduction, operand: SSAValue, value: SSAValue) -> _Item:
        own = ExtentAttr(type_of(operand).extent)
        return _Item(
            type_of(value).extent,
            [operand],
            lambda to, _: to.value(
                kernel.FoldOp(
                    properties={
                        "reduction": ReductionAttr(reduction),
                        "extent": own,
                        "value": SymbolRefAttr(self._name(operand)),
                    },
                    result_types=[f64],
                )
            ),
            value,
            crosses=True,
        )
