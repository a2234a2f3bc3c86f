"""Master weights: the parameter is the rounded copy of a slot that keeps every digit.

Before:

    %p = rule.old @param
    %n = sub(%p, %d)
    rule.final @param, %n

After:

    %p = rule.old @master
    %n = sub(%p, %d)
    rule.final @param, %n
    rule.final @master, %n

What is stored in narrow parameters is then never read again, so rounding does not add up over steps.
"""

from __future__ import annotations

from xdsl.dialects.builtin import ModuleOp, StringAttr, SymbolRefAttr
from xdsl.ir import Block, Region

from optgen.ir import rule_dialect as rule
from optgen.ir.extents import Extent
from optgen.ir.functions import Kind
from optgen.ir.rule_types import ExtentAttr, KindAttr
from optgen.runtime.storage import MASTER

_PARAM = "param"


def master_weights(module: ModuleOp) -> ModuleOp:
    """The module with the old parameter read from its master, and stored to both."""
    result = module.clone()
    for variant in result.body.block.ops:
        assert isinstance(variant, rule.VariantOp)
        block = variant.body.block
        for op in block.ops:
            match op:
                case rule.OldOp() if op.slot.string_value() == _PARAM:
                    op.properties["slot"] = SymbolRefAttr(MASTER)
                    op.result.name_hint = op.result.name_hint or _PARAM  # totals keep their names
                case rule.FinalOp() if op.slot.string_value() == _PARAM:
                    both = rule.FinalOp(operands=[op.value], properties={"slot": SymbolRefAttr(MASTER)})
                    both.location = op.location
                    block.insert_op_after(both, op)
                case _:
                    pass
    result.verify()
    return result


def master_state() -> rule.DeclareStateOp:
    """The declaration of the master slot; front ends start it as a copy of the parameter."""
    properties = {"sym_name": StringAttr(MASTER), "extent": ExtentAttr(Extent.ELEM), "kind": KindAttr(Kind.FLOAT)}
    return rule.DeclareStateOp(properties=properties, regions=[Region(Block())])
