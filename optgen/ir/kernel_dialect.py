"""The `kernel` dialect: what runs when, and what is loaded and stored.

A `kernel.module` holds slots, then variants; a variant is a sequence of *stages* and *sweeps*, with library calls
between sweeps, after the stages there. A stage is coarse float64 code, run once per unit of its extent. A sweep is
element code in the compute dtype, run once per element; its loads and stores are the memory traffic. Bodies are `arith`
and `math` operations. Coarse values cross stages and sweeps by name (`kernel.define`, `kernel.value`, `kernel.read`).
Storage dtypes appear only here: loads give the storage type, `arith.extf` and `arith.truncf` are the conversions, and
every rounding to storage is a `truncf`.
"""

from __future__ import annotations

from collections.abc import Iterator

from xdsl.dialects.builtin import (
    AnyFloat,
    ArrayAttr,
    FlatSymbolRefAttrConstr,
    IntegerAttr,
    StringAttr,
    SymbolNameConstraint,
    SymbolRefAttr,
    f64,
)
from xdsl.dialects.utils import EnumAttribute
from xdsl.ir import Attribute, Dialect, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    base,
    irdl_attr_definition,
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    prop_def,
    region_def,
    result_def,
    traits_def,
)
from xdsl.traits import NoTerminator, Pure
from xdsl.utils.exceptions import VerifyException
from xdsl.utils.str_enum import StrEnum

from optgen.ir.kernel_call import CallOp
from optgen.ir.rule_types import (
    CounterAttr,
    EdgeSumAttr,
    ExtentAttr,
    MetadataAttr,
    ReductionAttr,
    StencilAttr,
)


class Role(StrEnum):
    """What a slot is to the front end. Scratch is forgotten between steps: the runtime gives its memory."""

    PARAM = "param"
    GRADIENT = "gradient"
    STATE = "state"
    COUNTER = "counter"
    SCRATCH = "scratch"


@irdl_attr_definition
class RoleAttr(EnumAttribute[Role]):
    """A slot's role."""

    name = "kernel.role"


@irdl_op_definition
class SlotOp(IRDLOperation):
    """`kernel.slot @m elem "float32" state`: memory that outlives the step, with its storage dtype."""

    name = "kernel.slot"
    sym_name = prop_def(SymbolNameConstraint())
    extent = prop_def(ExtentAttr)
    dtype = prop_def(StringAttr)
    role = prop_def(RoleAttr)
    assembly_format = "$sym_name $extent $dtype $role attr-dict"


@irdl_op_definition
class HyperOp(IRDLOperation):
    """`%lr = kernel.hyper @lr`: a hyper-parameter of the tensor, float64."""

    name = "kernel.hyper"
    hyper = prop_def(FlatSymbolRefAttrConstr)
    result = result_def(f64)
    traits = traits_def(Pure())
    assembly_format = "$hyper attr-dict"


@irdl_op_definition
class InputOp(IRDLOperation):
    """`%loss = kernel.input @loss`: a model-wide value that the caller passed to the step."""

    name = "kernel.input"
    input = prop_def(FlatSymbolRefAttrConstr)
    result = result_def(f64)
    traits = traits_def(Pure())
    assembly_format = "$input attr-dict"


@irdl_op_definition
class CounterOp(IRDLOperation):
    """`%t = kernel.counter t`: a counter as float64."""

    name = "kernel.counter"
    counter = prop_def(CounterAttr)
    result = result_def(f64)
    traits = traits_def(Pure())
    assembly_format = "$counter attr-dict"


@irdl_op_definition
class MetadataOp(IRDLOperation):
    """`%n = kernel.metadata numel`: tensor metadata as float64."""

    name = "kernel.metadata"
    metadata = prop_def(MetadataAttr)
    result = result_def(f64)
    traits = traits_def(Pure())
    assembly_format = "$metadata attr-dict"


@irdl_op_definition
class ValueOp(IRDLOperation):
    """`%c = kernel.value @c`: a coarse value in a stage of its own extent or a finer one."""

    name = "kernel.value"
    value = prop_def(FlatSymbolRefAttrConstr)
    result = result_def(f64)
    traits = traits_def(Pure())
    assembly_format = "$value attr-dict"


@irdl_op_definition
class DefineOp(IRDLOperation):
    """`kernel.define @c, %x`: give a coarse value of the stage's extent its name."""

    name = "kernel.define"
    sym_name = prop_def(SymbolNameConstraint())
    value = operand_def(f64)
    assembly_format = "$sym_name `,` $value attr-dict"


@irdl_op_definition
class TotalOp(IRDLOperation):
    """`%n = kernel.total sum @n`: what the last sweep accumulated under this name, over the stage's unit."""

    name = "kernel.total"
    reduction = prop_def(ReductionAttr)
    total = prop_def(FlatSymbolRefAttrConstr)
    result = result_def(f64)
    traits = traits_def(Pure())
    assembly_format = "$reduction $total attr-dict"


@irdl_op_definition
class FoldOp(IRDLOperation):
    """`%s = kernel.fold sum layer @c`: a finer coarse value combined over the stage's unit, each entry once."""

    name = "kernel.fold"
    reduction = prop_def(ReductionAttr)
    extent = prop_def(ExtentAttr)
    value = prop_def(FlatSymbolRefAttrConstr)
    result = result_def(f64)
    traits = traits_def(Pure())
    assembly_format = "$reduction $extent $value attr-dict"


@irdl_op_definition
class CountOp(IRDLOperation):
    """`%n = kernel.count elem`: number of units of an extent in the stage's unit, absent tensors left out."""

    name = "kernel.count"
    extent = prop_def(ExtentAttr)
    result = result_def(f64)
    traits = traits_def(Pure())
    assembly_format = "$extent attr-dict"


@irdl_op_definition
class EdgesOp(IRDLOperation):
    """`%b = kernel.edges pull @norm`: a sum over the edges of this layer, of a layer value."""

    name = "kernel.edges"
    kind = prop_def(EdgeSumAttr)
    value = prop_def(FlatSymbolRefAttrConstr)
    result = result_def(f64)
    traits = traits_def(Pure())
    assembly_format = "$kind $value attr-dict"


@irdl_op_definition
class FetchOp(IRDLOperation):
    """`%n = kernel.fetch @count`: a coarse slot's content as float64."""

    name = "kernel.fetch"
    slot = prop_def(FlatSymbolRefAttrConstr)
    result = result_def(f64)
    assembly_format = "$slot attr-dict"


@irdl_op_definition
class PutOp(IRDLOperation):
    """`kernel.put @count, %n`: store a coarse slot, rounded to its dtype; nothing where there is no gradient."""

    name = "kernel.put"
    slot = prop_def(FlatSymbolRefAttrConstr)
    value = operand_def(f64)
    assembly_format = "$slot `,` $value attr-dict"


@irdl_op_definition
class ModOp(IRDLOperation):
    """`%r = kernel.mod %a, %b`: remainder with the divisor's sign, as Python's."""

    name = "kernel.mod"
    lhs = operand_def(AnyFloat)
    rhs = operand_def(AnyFloat)
    result = result_def(AnyFloat)
    traits = traits_def(Pure())
    assembly_format = "$lhs `,` $rhs attr-dict `:` type($lhs) `,` type($rhs) `->` type($result)"


@irdl_op_definition
class LoadOp(IRDLOperation):
    """`%m = kernel.load @m : f32`: one element of a slot, as stored."""

    name = "kernel.load"
    slot = prop_def(FlatSymbolRefAttrConstr)
    result = result_def(AnyFloat)
    assembly_format = "$slot attr-dict `:` type($result)"


@irdl_op_definition
class StoreOp(IRDLOperation):
    """`kernel.store @m, %x : f32`: replace one element of a slot."""

    name = "kernel.store"
    slot = prop_def(FlatSymbolRefAttrConstr)
    value = operand_def(AnyFloat)
    assembly_format = "$slot `,` $value attr-dict `:` type($value)"


@irdl_op_definition
class RoundAtRandomOp(IRDLOperation):
    """`%y = kernel.round_at_random 0 %x : f32 -> bf16`: to one of the two neighbours, the nearer one more often.

    The 16 bits below the last place that is kept, plus 16 random bits, carry or do not carry. The bits are those of
    `optgen.ir.philox` for the world's seed, the step, the tensor's number, this stream, and the element.
    """

    name = "kernel.round_at_random"
    stream = prop_def(IntegerAttr)
    value = operand_def(AnyFloat)
    result = result_def(AnyFloat)
    assembly_format = "$stream $value attr-dict `:` type($value) `->` type($result)"


@irdl_op_definition
class ReadOp(IRDLOperation):
    """`%c = kernel.read @c : f32`: a coarse value where it meets an element, rounded once."""

    name = "kernel.read"
    value = prop_def(FlatSymbolRefAttrConstr)
    result = result_def(AnyFloat)
    traits = traits_def(Pure())
    assembly_format = "$value attr-dict `:` type($result)"


@irdl_op_definition
class StencilOp(IRDLOperation):
    """`%x = kernel.stencil laplacian @g : f32`: a sum over matched neighbours of a slot's old values."""

    name = "kernel.stencil"
    kind = prop_def(StencilAttr)
    slot = prop_def(FlatSymbolRefAttrConstr)
    result = result_def(AnyFloat)
    assembly_format = "$kind $slot attr-dict `:` type($result)"


@irdl_op_definition
class AccumulateOp(IRDLOperation):
    """`kernel.accumulate sum @n, %x : f32`: combine an element into a total; the order is the backend's to fix."""

    name = "kernel.accumulate"
    reduction = prop_def(ReductionAttr)
    total = prop_def(FlatSymbolRefAttrConstr)
    value = operand_def(AnyFloat)
    assembly_format = "$reduction $total `,` $value attr-dict `:` type($value)"


@irdl_op_definition
class DeclareValueOp(IRDLOperation):
    """`kernel.declare @c layer`: a named coarse value and its extent."""

    name = "kernel.declare"
    sym_name = prop_def(SymbolNameConstraint())
    extent = prop_def(ExtentAttr)
    assembly_format = "$sym_name $extent attr-dict"


@irdl_op_definition
class DeclareTotalOp(IRDLOperation):
    """`kernel.declare_total @n sum layer`: a reduction that sweeps accumulate."""

    name = "kernel.declare_total"
    sym_name = prop_def(SymbolNameConstraint())
    reduction = prop_def(ReductionAttr)
    extent = prop_def(ExtentAttr)
    assembly_format = "$sym_name $reduction $extent attr-dict"


@irdl_op_definition
class StageOp(IRDLOperation):
    """`kernel.stage tensor { ... }`: coarse float64 code, once per unit of the extent."""

    name = "kernel.stage"
    extent = prop_def(ExtentAttr)
    body = region_def("single_block")
    traits = traits_def(NoTerminator())
    assembly_format = "$extent $body attr-dict"


@irdl_op_definition
class SweepOp(IRDLOperation):
    """`kernel.sweep 1 { ... }`: element code, once per element of the tensor."""

    name = "kernel.sweep"
    index = prop_def(IntegerAttr)
    body = region_def("single_block")
    traits = traits_def(NoTerminator())
    assembly_format = "$index $body attr-dict"

    def verify_(self) -> None:
        """Every slot is loaded at most once and stored at most once, after its load."""
        seen: set[tuple[str, str]] = set()
        for op in self.body.block.ops:
            if isinstance(op, LoadOp | StoreOp):
                key = (op.name, op.slot.string_value())
                if key in seen:
                    raise VerifyException(f"{op.name} @{key[1]} twice in one sweep")
                if isinstance(op, LoadOp) and (StoreOp.name, key[1]) in seen:
                    raise VerifyException(f"@{key[1]} is loaded after its store")
                seen.add(key)


@irdl_op_definition
class VariantOp(IRDLOperation):
    """`kernel.variant @due "step % k == 0" slots ["m"] { ... }`: stages, sweeps and calls, in the order they run."""

    name = "kernel.variant"
    sym_name = prop_def(SymbolNameConstraint())
    when = prop_def(StringAttr)
    slots = prop_def(base(ArrayAttr))
    body = region_def("single_block")
    traits = traits_def(NoTerminator())
    assembly_format = "$sym_name $when `slots` $slots $body attr-dict"

    @property
    def stages(self) -> Iterator[StageOp]:
        """The stages, in order."""
        return (op for op in self.body.block.ops if isinstance(op, StageOp))

    @property
    def sweeps(self) -> Iterator[SweepOp]:
        """The sweeps, in order."""
        return (op for op in self.body.block.ops if isinstance(op, SweepOp))


@irdl_op_definition
class SelectOp(IRDLOperation):
    """`kernel.select { ... kernel.chosen %v }`: the number of the variant that a tensor takes this step."""

    name = "kernel.select"
    body = region_def("single_block")
    traits = traits_def(NoTerminator())
    assembly_format = "$body attr-dict"


@irdl_op_definition
class ReachOp(IRDLOperation):
    """`kernel.reach { ... kernel.chosen %v }`: the variants a tensor may ever take, as a sum of powers of two."""

    name = "kernel.reach"
    body = region_def("single_block")
    traits = traits_def(NoTerminator())
    assembly_format = "$body attr-dict"


@irdl_op_definition
class ChosenOp(IRDLOperation):
    """`kernel.chosen %v`: ends `kernel.select` and `kernel.reach`."""

    name = "kernel.chosen"
    value = operand_def(f64)
    assembly_format = "$value attr-dict"


@irdl_op_definition
class ModuleOp(IRDLOperation):
    """`kernel.module @rule "float32" { ... }`: kernels of a rule for one dtype set and one set of settled choices."""

    name = "kernel.module"
    sym_name = prop_def(SymbolNameConstraint())
    compute = prop_def(StringAttr)
    matrix = prop_def(StringAttr)
    digest = prop_def(StringAttr)
    settled = prop_def(StringAttr)
    class_name = prop_def(StringAttr)
    hypers = prop_def(base(ArrayAttr))
    inputs = prop_def(base(ArrayAttr))
    spec = opt_prop_def(StringAttr)
    body = region_def("single_block")
    traits = traits_def(NoTerminator())
    assembly_format = (
        "$sym_name $compute `matrix` $matrix `digest` $digest `settled` $settled `class` $class_name "
        "`hypers` $hypers `inputs` $inputs (`spec` $spec^)? $body attr-dict"
    )

    @property
    def variants(self) -> Iterator[VariantOp]:
        """The variants, in the order `kernel.select` numbers them."""
        return (op for op in self.body.block.ops if isinstance(op, VariantOp))

    @property
    def slots(self) -> Iterator[SlotOp]:
        """The slots, in the order of the address table."""
        return (op for op in self.body.block.ops if isinstance(op, SlotOp))

    @property
    def select(self) -> SelectOp | None:
        """How a variant is chosen; None for a single variant."""
        return next((op for op in self.body.block.ops if isinstance(op, SelectOp)), None)

    @property
    def reach(self) -> ReachOp | None:
        """Which variants a tensor may ever take; None for a single variant."""
        return next((op for op in self.body.block.ops if isinstance(op, ReachOp)), None)


Kernel = Dialect(
    "kernel",
    [
        AccumulateOp,
        CallOp,
        ChosenOp,
        CountOp,
        CounterOp,
        DeclareTotalOp,
        DeclareValueOp,
        DefineOp,
        EdgesOp,
        FetchOp,
        FoldOp,
        HyperOp,
        InputOp,
        LoadOp,
        MetadataOp,
        ModOp,
        ModuleOp,
        PutOp,
        ReachOp,
        ReadOp,
        RoundAtRandomOp,
        SelectOp,
        SlotOp,
        StageOp,
        StencilOp,
        StoreOp,
        SweepOp,
        TotalOp,
        ValueOp,
        VariantOp,
    ],
    [RoleAttr],
)


def symbol(reference: SymbolRefAttr) -> str:
    """The name a symbol reference refers to."""
    return reference.string_value()


def has_float_type(value: SSAValue) -> bool:
    """Whether a value is a float (conditions are i1)."""
    attribute: Attribute = value.type
    return isinstance(attribute, AnyFloat)
