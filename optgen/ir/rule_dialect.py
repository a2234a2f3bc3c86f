"""The `rule` dialect: a typed optimizer program without storage dtypes.

A program comes in two forms. The *memory form* follows the text: `rule.get` and `rule.set` read and assign named
variables, `rule.if` and `rule.skip` branch. The *value form* is one straight line of SSA values for one variant, which
ends in `rule.final` (the new value of a slot) and `rule.advance` (whether the update counter advances).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from xdsl.dialects.builtin import (
    ArrayAttr,
    FlatSymbolRefAttrConstr,
    FloatAttr,
    IntegerAttr,
    StringAttr,
    SymbolNameConstraint,
)
from xdsl.ir import Attribute, Dialect, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    VarConstraint,
    base,
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    prop_def,
    region_def,
    result_def,
    traits_def,
    var_operand_def,
)
from xdsl.traits import NoTerminator, Pure
from xdsl.utils.exceptions import VerifyException

from optgen.ir.extents import SCALAR_EXTENTS, Extent, at_most
from optgen.ir.functions import TABLE, Kind
from optgen.ir.rule_types import (
    CounterAttr,
    EdgeSumAttr,
    ExtentAttr,
    FunctionAttr,
    KindAttr,
    MetadataAttr,
    ReductionAttr,
    StencilAttr,
    ValueType,
    apply_type,
    reduce_type,
    type_of,
)


def _expect(value: SSAValue, expected: ValueType, what: str) -> None:
    if value.type != expected:
        raise VerifyException(f"{what} has type {value.type}, expected {expected}")


@irdl_op_definition
class ConstantOp(IRDLOperation):
    """`%x = rule.constant 1.0 : f64 : !rule.value<model, float>`."""

    name = "rule.constant"
    value = prop_def(FloatAttr | IntegerAttr)
    result = result_def(ValueType)
    traits = traits_def(Pure())
    assembly_format = "$value attr-dict `:` type($result)"

    def verify_(self) -> None:
        """A literal is a model value."""
        if type_of(self.result).extent is not Extent.MODEL:
            raise VerifyException("a constant is a model value")

    @property
    def number(self) -> float | int:
        """The literal; a truth value counts as 0 or 1, though the one bit of `true` reads as -1."""
        number = self.value.value.data
        return int(number != 0) if is_bool(self.result) else number


@irdl_op_definition
class HyperOp(IRDLOperation):
    """`%lr = rule.hyper @lr : ...`: a hyper-parameter, read-only."""

    name = "rule.hyper"
    hyper = prop_def(FlatSymbolRefAttrConstr)
    result = result_def(ValueType)
    traits = traits_def(Pure())
    assembly_format = "$hyper attr-dict `:` type($result)"


@irdl_op_definition
class ChoiceOp(IRDLOperation):
    """`%b = rule.choice @mode "mean" : ...`: whether a choice hyper has this value."""

    name = "rule.choice"
    hyper = prop_def(FlatSymbolRefAttrConstr)
    value = prop_def(StringAttr)
    result = result_def(ValueType)
    traits = traits_def(Pure())
    assembly_format = "$hyper $value attr-dict `:` type($result)"


@irdl_op_definition
class InputOp(IRDLOperation):
    """`%loss = rule.input @loss : ...`: a value passed to the step by the caller."""

    name = "rule.input"
    input = prop_def(FlatSymbolRefAttrConstr)
    result = result_def(ValueType)
    traits = traits_def(Pure())
    assembly_format = "$input attr-dict `:` type($result)"


@irdl_op_definition
class CounterOp(IRDLOperation):
    """`%t = rule.counter t : ...`."""

    name = "rule.counter"
    counter = prop_def(CounterAttr)
    result = result_def(ValueType)
    traits = traits_def(Pure())
    assembly_format = "$counter attr-dict `:` type($result)"


@irdl_op_definition
class MetadataOp(IRDLOperation):
    """`%n = rule.metadata numel : ...`."""

    name = "rule.metadata"
    metadata = prop_def(MetadataAttr)
    result = result_def(ValueType)
    traits = traits_def(Pure())
    assembly_format = "$metadata attr-dict `:` type($result)"


@irdl_op_definition
class OldOp(IRDLOperation):
    """`%m = rule.old @m : ...`: what a slot (or `g`) holds when the step begins. Value form."""

    name = "rule.old"
    slot = prop_def(FlatSymbolRefAttrConstr)
    result = result_def(ValueType)
    traits = traits_def(Pure())
    assembly_format = "$slot attr-dict `:` type($result)"


@irdl_op_definition
class GetOp(IRDLOperation):
    """`%m = rule.get @m : ...`: the current value of a variable. Memory form."""

    name = "rule.get"
    variable = prop_def(FlatSymbolRefAttrConstr)
    result = result_def(ValueType)
    assembly_format = "$variable attr-dict `:` type($result)"


@irdl_op_definition
class SetOp(IRDLOperation):
    """`rule.set @m, %x : ...`: assign a variable. Memory form."""

    name = "rule.set"
    variable = prop_def(FlatSymbolRefAttrConstr)
    value = operand_def(ValueType)
    assembly_format = "$variable `,` $value attr-dict `:` type($value)"


@irdl_op_definition
class ApplyOp(IRDLOperation):
    """`%z = rule.apply add(%x, %y) : (...) -> ...`: an element function; extent and kind follow from the operands."""

    name = "rule.apply"
    function = prop_def(FunctionAttr)
    args = var_operand_def(ValueType)
    result = result_def(ValueType)
    traits = traits_def(Pure())
    assembly_format = "$function `(` $args `)` attr-dict `:` functional-type($args, $result)"

    def verify_(self) -> None:
        """Arity, and the type that the operands imply."""
        function = self.function.data
        if len(self.args) != TABLE[function].arity:
            raise VerifyException(f"{function} takes {TABLE[function].arity} operands")
        _expect(self.result, apply_type(function, list(self.args)), f"result of {function}")


@irdl_op_definition
class ReduceOp(IRDLOperation):
    """`%s = rule.reduce sum over tensor %x : ... -> ...`: each entry of x once."""

    name = "rule.reduce"
    reduction = prop_def(ReductionAttr)
    over = prop_def(ExtentAttr)
    operand = operand_def(ValueType)
    result = result_def(ValueType)
    traits = traits_def(Pure())
    assembly_format = "$reduction `over` $over $operand attr-dict `:` type($operand) `->` type($result)"

    def verify_(self) -> None:
        """Over a coarser extent than the operand's."""
        x, over = type_of(self.operand), self.over.data
        if x.extent is over or not at_most(over, x.extent):
            raise VerifyException(f"cannot reduce a {x.extent} value over {over}")
        _expect(self.result, reduce_type(self.reduction.data, over, self.operand), "result of a reduction")


@irdl_op_definition
class CountOp(IRDLOperation):
    """`%n = rule.count %x over tensor : ... -> ...`: how many entries of x one unit has."""

    name = "rule.count"
    over = prop_def(ExtentAttr)
    operand = operand_def(ValueType)
    result = result_def(ValueType)
    traits = traits_def(Pure())
    assembly_format = "$operand `over` $over attr-dict `:` type($operand) `->` type($result)"


class _SameType(IRDLOperation):
    """An operation whose result has its operand's type."""

    T: ClassVar = VarConstraint("T", base(ValueType))
    operand = operand_def(T)
    result = result_def(T)
    traits = traits_def(Pure())


@irdl_op_definition
class GraphOp(_SameType):
    """`%y = rule.graph laplacian %x : ...`: a graph operator on an element or layer value, all edges."""

    name = "rule.graph"
    kind = prop_def(StencilAttr)
    assembly_format = "$kind $operand attr-dict `:` type($operand)"

    def verify_(self) -> None:
        """Element or layer values only."""
        if type_of(self.operand).extent not in (Extent.ELEM, Extent.LAYER):
            raise VerifyException("a graph operator takes an element or a layer value")


@irdl_op_definition
class StencilOp(_SameType):
    """`%y = rule.stencil laplacian %x : ...`: the part of a graph operator that matched neighbours give."""

    name = "rule.stencil"
    kind = prop_def(StencilAttr)
    assembly_format = "$kind $operand attr-dict `:` type($operand)"

    def verify_(self) -> None:
        """Element values only."""
        if type_of(self.operand).extent is not Extent.ELEM:
            raise VerifyException("a stencil takes an element value")


@irdl_op_definition
class EdgesOp(_SameType):
    """`%b = rule.edges pull %norm : ...`: a sum over the edges of a layer."""

    name = "rule.edges"
    kind = prop_def(EdgeSumAttr)
    assembly_format = "$kind $operand attr-dict `:` type($operand)"

    def verify_(self) -> None:
        """Layer values only."""
        if type_of(self.operand).extent is not Extent.LAYER:
            raise VerifyException("edges are summed over layer values")


@irdl_op_definition
class CallOp(IRDLOperation):
    """`%h = rule.call "low_rank"(%g, %rank) : (...) -> ...`: a library call on each matrix of an element value."""

    name = "rule.call"
    function = prop_def(StringAttr)
    args = var_operand_def(ValueType)
    result = result_def(ValueType)
    traits = traits_def(Pure())
    assembly_format = "$function `(` $args `)` attr-dict `:` functional-type($args, $result)"

    def verify_(self) -> None:
        """An element value, then scalars."""
        matrix, *scalars = self.args
        if type_of(matrix).extent is not Extent.ELEM:
            raise VerifyException("a library call takes an element value")
        if any(type_of(x).extent not in SCALAR_EXTENTS for x in scalars):
            raise VerifyException("the numbers of a library call are tensor values or coarser")


@irdl_op_definition
class IfOp(IRDLOperation):
    """`rule.if %c { ... } else { ... } : ...`: a settled or uniform branch. Memory form."""

    name = "rule.if"
    condition = operand_def(ValueType)
    then = region_def("single_block")
    orelse = region_def("single_block")
    traits = traits_def(NoTerminator())
    assembly_format = "$condition $then `else` $orelse attr-dict `:` type($condition)"

    def verify_(self) -> None:
        """Conditions are scalars of a tensor or coarser."""
        if type_of(self.condition).extent not in SCALAR_EXTENTS:
            raise VerifyException("a condition is a tensor value or coarser")


@irdl_op_definition
class SkipOp(IRDLOperation):
    """`rule.skip`: from here on the tensor has no gradient. Memory form."""

    name = "rule.skip"
    assembly_format = "attr-dict"


@irdl_op_definition
class FinalOp(IRDLOperation):
    """`rule.final @m, %x : ...`: what a slot holds after the step. Value form."""

    name = "rule.final"
    slot = prop_def(FlatSymbolRefAttrConstr)
    value = operand_def(ValueType)
    assembly_format = "$slot `,` $value attr-dict `:` type($value)"


@irdl_op_definition
class AdvanceOp(IRDLOperation):
    """`rule.advance %b : ...`: whether the parameter counts this step as an update. Value form."""

    name = "rule.advance"
    value = operand_def(ValueType)
    assembly_format = "$value attr-dict `:` type($value)"


@irdl_op_definition
class WhenOp(IRDLOperation):
    """`rule.when true, %c : ...`: a condition under which this variant runs. Value form."""

    name = "rule.when"
    holds = prop_def(IntegerAttr)
    value = operand_def(ValueType)
    assembly_format = "$holds `,` $value attr-dict `:` type($value)"


@irdl_op_definition
class YieldOp(IRDLOperation):
    """`rule.yield %x : ...`: the value of a start expression."""

    name = "rule.yield"
    values = var_operand_def(ValueType)
    assembly_format = "$values attr-dict `:` type($values)"


@irdl_op_definition
class DeclareHyperOp(IRDLOperation):
    """`rule.declare_hyper @lr tensor float`: a hyper-parameter of the rule; choices have no kind of their own."""

    name = "rule.declare_hyper"
    sym_name = prop_def(SymbolNameConstraint())
    extent = prop_def(ExtentAttr)
    kind = prop_def(KindAttr)
    assembly_format = "$sym_name $extent $kind attr-dict"


@irdl_op_definition
class DeclareInputOp(IRDLOperation):
    """`rule.declare_input @loss model`: a value that the caller passes to the step."""

    name = "rule.declare_input"
    sym_name = prop_def(SymbolNameConstraint())
    extent = prop_def(ExtentAttr)
    assembly_format = "$sym_name $extent attr-dict"


@irdl_op_definition
class DeclareStateOp(IRDLOperation):
    """`rule.declare_state @m elem float { ... rule.yield %x }`: a slot and its start value (memory form of `param`)."""

    name = "rule.declare_state"
    sym_name = prop_def(SymbolNameConstraint())
    extent = prop_def(ExtentAttr)
    kind = prop_def(KindAttr)
    dtype = opt_prop_def(StringAttr)
    start = region_def("single_block")
    traits = traits_def(NoTerminator())
    assembly_format = "$sym_name $extent $kind (`dtype` $dtype^)? $start attr-dict"

    @property
    def type(self) -> ValueType:
        """Extent and kind of the slot's values."""
        return ValueType.of(self.extent.data, self.kind.data)


@irdl_op_definition
class ProgramOp(IRDLOperation):
    """`rule.program @name matrix "trailing" { ... }`: declarations, then the body in memory form.

    `keep` lists the slots that are wanted for themselves, such as an average of the weights to evaluate with; `sums`
    those that are wanted where anything is added to them, the sums of metrics.
    """

    name = "rule.program"
    sym_name = prop_def(SymbolNameConstraint())
    matrix = prop_def(StringAttr)
    keep = opt_prop_def(base(ArrayAttr))
    sums = opt_prop_def(base(ArrayAttr))
    body = region_def("single_block")
    traits = traits_def(NoTerminator())
    assembly_format = "$sym_name `matrix` $matrix (`keep` $keep^)? (`sums` $sums^)? $body attr-dict"

    @property
    def kept(self) -> list[str]:
        """The names in `keep`."""
        return _names(self.keep)

    @property
    def summed(self) -> list[str]:
        """The names in `sums`."""
        return _names(self.sums)


def _names(listed: Attribute | None) -> list[str]:
    items: Iterable[Attribute] = list(listed) if isinstance(listed, ArrayAttr) else ()  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return [item.data for item in items if isinstance(item, StringAttr)]


@irdl_op_definition
class VariantOp(IRDLOperation):
    """`rule.variant @due { ... }`: the value form of one variant; its `rule.when` operations say when it runs."""

    name = "rule.variant"
    sym_name = prop_def(SymbolNameConstraint())
    body = region_def("single_block")
    traits = traits_def(NoTerminator())
    assembly_format = "$sym_name $body attr-dict"


Rule = Dialect(
    "rule",
    [
        AdvanceOp,
        ApplyOp,
        CallOp,
        ChoiceOp,
        ConstantOp,
        CountOp,
        CounterOp,
        DeclareHyperOp,
        DeclareInputOp,
        DeclareStateOp,
        EdgesOp,
        FinalOp,
        GetOp,
        GraphOp,
        HyperOp,
        IfOp,
        InputOp,
        MetadataOp,
        OldOp,
        ProgramOp,
        ReduceOp,
        SetOp,
        SkipOp,
        StencilOp,
        VariantOp,
        WhenOp,
        YieldOp,
    ],
    [
        CounterAttr,
        EdgeSumAttr,
        ExtentAttr,
        FunctionAttr,
        KindAttr,
        MetadataAttr,
        ReductionAttr,
        StencilAttr,
        ValueType,
    ],
)


def is_bool(value: SSAValue) -> bool:
    """Whether a value is a truth value."""
    return type_of(value).kind is Kind.BOOL
