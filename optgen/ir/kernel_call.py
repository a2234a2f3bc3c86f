"""The operation of the `kernel` dialect that calls a library between sweeps."""

from __future__ import annotations

from collections.abc import Iterable

from xdsl.dialects.builtin import ArrayAttr, FlatSymbolRefAttrConstr, IntegerAttr, StringAttr
from xdsl.ir import Attribute
from xdsl.irdl import IRDLOperation, base, irdl_op_definition, prop_def


@irdl_op_definition
class CallOp(IRDLOperation):
    """`kernel.call 1 "newton_schulz" @scratch0 to @scratch1 with ["steps"]`: a library call after so many sweeps.

    It reads each matrix of a slot and stores the result in a scratch slot, in the compute dtype; the numbers are tensor
    values. Nothing where there is no gradient.
    """

    name = "kernel.call"
    boundary = prop_def(IntegerAttr)
    function = prop_def(StringAttr)
    operand = prop_def(FlatSymbolRefAttrConstr)
    target = prop_def(FlatSymbolRefAttrConstr)
    numbers = prop_def(base(ArrayAttr))
    assembly_format = "$boundary $function $operand `to` $target `with` $numbers attr-dict"

    @property
    def words(self) -> list[str]:
        """Names of the numbers."""
        items: Iterable[Attribute] = list(self.numbers)
        return [item.data for item in items if isinstance(item, StringAttr)]
