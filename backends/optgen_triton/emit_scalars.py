"""What a program of the first sweep computes of its own tensor, in float64: its variant, and the values it reads."""

from __future__ import annotations

from collections.abc import Sequence

from optgen.backend.layout import Layout
from optgen.backend.own_text import OwnText
from optgen.backend.python_text import several
from optgen.ir.view import Op
from optgen_triton.emit_stage import StageCode, Tables
from optgen_triton.spelling import KINDS, STAGE_RESERVED, Names


class _OwnCode(OwnText, StageCode):
    def __init__(self, tables: Tables) -> None:
        StageCode.__init__(self, "tensor", tables, 1)
        OwnText.__init__(self)

    def get(self, place: str, here: str = "") -> str:  # noqa: ARG002 (it is there)
        """A load."""
        return f"tl.load({place})"

    def fetch(self, slot: str, address: str) -> str:
        """A load through an address."""
        return f"fetch({address}, {KINDS[self.layout.dtype(slot)]}, True)"

    def choose(self, x: str) -> None:
        """The result."""
        self.chosen = f"({x}).to(tl.int64)"


def scalars_function(name: str, ops: Sequence[Op], values: Sequence[str], layout: Layout) -> list[str]:
    """A function whose results are values of the tensor `t`, rounded once."""
    tables = Tables(layout, Names(STAGE_RESERVED), frozenset())
    code = _OwnCode(tables)
    lines = code.write(ops)
    lines += several("    return ", [code.rounded(value) for value in values])
    return ["@triton.jit", f"def {name}(ctx, t):", *tables.lines, *lines]


def variant_function(name: str, ops: Sequence[Op], layout: Layout) -> list[str]:
    """A function whose result is the variant of the tensor `t`."""
    tables = Tables(layout, Names(STAGE_RESERVED), frozenset())
    code = _OwnCode(tables)
    lines = code.write(ops)
    return ["@triton.jit", f"def {name}(ctx, t):", *tables.lines, *lines, f"    return {code.chosen}"]
