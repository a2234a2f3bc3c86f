"""Stochastic rounding: what a store rounds to bfloat16 is rounded at random, so that it is right on average.

Before:

    %s = arith.truncf %x : f32 to bf16
    kernel.store @param, %s : bf16

After:

    %s = kernel.round_at_random 0 %x : f32 -> bf16
    kernel.store @param, %s : bf16

The number is the stream of random bits, one per slot: its column among the module's slots.
"""

from __future__ import annotations

from collections.abc import Collection

from xdsl.dialects import arith
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, bf16, i64

from optgen.ir import kernel_dialect as kernel


def stochastic_rounding(module: ModuleOp, spared: Collection[str] = ()) -> ModuleOp:
    """The module with every rounding to bfloat16 on the way to a slot replaced, but for the slots spared."""
    result = module.clone()
    kernels = next(op for op in result.body.block.ops if isinstance(op, kernel.ModuleOp))
    streams = {slot.sym_name.data: number for number, slot in enumerate(kernels.slots)}
    for store in [op for op in kernels.walk() if isinstance(op, kernel.StoreOp)]:
        rounding, slot = store.value.owner, kernel.symbol(store.slot)
        if not isinstance(rounding, arith.TruncFOp) or store.value.type != bf16 or slot in spared:
            continue
        drawn = kernel.RoundAtRandomOp(
            operands=[rounding.input],
            properties={"stream": IntegerAttr(streams[slot], i64)},
            result_types=[bf16],
        )
        drawn.location = rounding.location
        store.parent_block().insert_op_before(drawn, store)  # type: ignore[union-attr]
        store.operands[0] = drawn.result
        if not any(True for _ in rounding.result.uses):
            rounding.detach()
            rounding.erase()
    result.verify()
    return result
