"""Appends typed `rule` operations to a block, each with the location of what is being lowered."""

from __future__ import annotations

from xdsl.dialects.builtin import (
    FloatAttr,
    IntegerAttr,
    LocationAttr,
    StringAttr,
    SymbolRefAttr,
    UnknownLoc,
    f64,
    i1,
    i64,
)
from xdsl.ir import Block, Operation, SSAValue

from optgen.ir import rule_dialect as rule
from optgen.ir.extents import Extent, at_most
from optgen.ir.functions import Function, Kind
from optgen.ir.rule_types import (
    Counter,
    CounterAttr,
    EdgeSum,
    EdgeSumAttr,
    ExtentAttr,
    FunctionAttr,
    Metadata,
    MetadataAttr,
    Reduction,
    ReductionAttr,
    Stencil,
    StencilAttr,
    ValueType,
    apply_type,
    reduce_type,
    type_of,
)


class Emitter:
    """Builds operations at the end of `block`. Equal pure operations of one block are built once when `reuse` is on."""

    def __init__(self, block: Block, *, reuse: bool = False) -> None:
        self.block = block
        self.location: LocationAttr = UnknownLoc()
        self._reuse = reuse
        self._known: dict[tuple[object, ...], SSAValue] = {}

    def add(self, op: Operation) -> Operation:
        """Append an operation here."""
        op.location = self.location
        self.block.add_op(op)
        return op

    def value(self, op: Operation) -> SSAValue:
        """Append an operation with one result, or find the equal one built before."""
        if not self._reuse:
            return self.add(op).results[0]
        key = (op.name, *op.operands, *sorted((k, v) for k, v in op.properties.items()), op.results[0].type)
        if key in self._known:
            op.erase()
            return self._known[key]
        return self._known.setdefault(key, self.add(op).results[0])

    def number(self, value: float | int | bool) -> SSAValue:
        """A literal."""
        if isinstance(value, bool):
            attribute, kind = IntegerAttr(int(value), i1), Kind.BOOL
        elif isinstance(value, int):
            attribute, kind = IntegerAttr(value, i64), Kind.INT
        else:
            attribute, kind = FloatAttr(value, f64), Kind.FLOAT
        result = ValueType.of(Extent.MODEL, kind)
        return self.value(rule.ConstantOp(properties={"value": attribute}, result_types=[result]))

    def hyper(self, name: str, result: ValueType) -> SSAValue:
        """A hyper-parameter."""
        return self.value(rule.HyperOp(properties={"hyper": SymbolRefAttr(name)}, result_types=[result]))

    def choice(self, name: str, word: str, extent: Extent) -> SSAValue:
        """Whether a choice hyper has this value."""
        properties = {"hyper": SymbolRefAttr(name), "value": StringAttr(word)}
        return self.value(rule.ChoiceOp(properties=properties, result_types=[ValueType.of(extent, Kind.BOOL)]))

    def input(self, name: str, extent: Extent) -> SSAValue:
        """A value passed to the step."""
        return self.value(rule.InputOp(properties={"input": SymbolRefAttr(name)}, result_types=[ValueType.of(extent)]))

    def counter(self, counter: Counter) -> SSAValue:
        """`t` or `step`."""
        result = ValueType.of(Extent.TENSOR if counter is Counter.T else Extent.MODEL, Kind.INT)
        return self.value(rule.CounterOp(properties={"counter": CounterAttr(counter)}, result_types=[result]))

    def metadata(self, what: Metadata) -> SSAValue:
        """Metadata of the tensor; depth is a float, the others are ints."""
        result = ValueType.of(Extent.TENSOR, Kind.FLOAT if what is Metadata.DEPTH else Kind.INT)
        return self.value(rule.MetadataOp(properties={"metadata": MetadataAttr(what)}, result_types=[result]))

    def old(self, slot: str, result: ValueType) -> SSAValue:
        """What a slot held when the step began."""
        return self.value(rule.OldOp(properties={"slot": SymbolRefAttr(slot)}, result_types=[result]))

    def get(self, variable: str, result: ValueType) -> SSAValue:
        """A variable's current value."""
        op = rule.GetOp(properties={"variable": SymbolRefAttr(variable)}, result_types=[result])
        return self.add(op).results[0]

    def set(self, variable: str, value: SSAValue) -> None:
        """Assign a variable."""
        self.add(rule.SetOp(operands=[value], properties={"variable": SymbolRefAttr(variable)}))

    def apply(self, function: Function, *args: SSAValue) -> SSAValue:
        """An element function."""
        result = apply_type(function, list(args))
        return self.value(
            rule.ApplyOp(operands=[args], properties={"function": FunctionAttr(function)}, result_types=[result])
        )

    def call(self, function: str, *args: SSAValue) -> SSAValue:
        """A library call that gives a float like its first operand."""
        properties = {"function": StringAttr(function)}
        result = ValueType.of(type_of(args[0]).extent)
        return self.value(rule.CallOp(operands=[args], properties=properties, result_types=[result]))

    def reduce(self, reduction: Reduction, over: Extent, x: SSAValue) -> SSAValue:
        """Combine the entries of x over an extent; x itself where it already has one entry per unit."""
        if at_most(type_of(x).extent, over):
            return x
        result = reduce_type(reduction, over, x)
        properties = {"reduction": ReductionAttr(reduction), "over": ExtentAttr(over)}
        return self.value(rule.ReduceOp(operands=[x], properties=properties, result_types=[result]))

    def count(self, over: Extent, x: SSAValue) -> SSAValue:
        """Number of entries of x in a unit of an extent."""
        if at_most(type_of(x).extent, over):
            return self.number(1)
        result = ValueType.of(over, Kind.INT)
        return self.value(rule.CountOp(operands=[x], properties={"over": ExtentAttr(over)}, result_types=[result]))

    def graph(self, kind: Stencil, x: SSAValue) -> SSAValue:
        """A graph operator, all edges."""
        return self.value(rule.GraphOp(operands=[x], properties={"kind": StencilAttr(kind)}, result_types=[x.type]))

    def stencil(self, kind: Stencil, x: SSAValue) -> SSAValue:
        """The matched part of a graph operator."""
        return self.value(rule.StencilOp(operands=[x], properties={"kind": StencilAttr(kind)}, result_types=[x.type]))

    def edges(self, kind: EdgeSum, x: SSAValue) -> SSAValue:
        """A sum over a layer's edges."""
        return self.value(rule.EdgesOp(operands=[x], properties={"kind": EdgeSumAttr(kind)}, result_types=[x.type]))

    def final(self, slot: str, x: SSAValue) -> None:
        """A slot's value after the step."""
        self.add(rule.FinalOp(operands=[x], properties={"slot": SymbolRefAttr(slot)}))
