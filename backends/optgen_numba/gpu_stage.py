"""Stages on a GPU: the code of CPU kernels, taken by the threads of one program, or of one per block of units."""

from __future__ import annotations

from collections.abc import Sequence

from optgen.backend.coarse_text import StagePlan
from optgen.backend.layout import ITEM_BYTES, SHORT, VECTORS, Layout
from optgen.backend.own_text import OwnText
from optgen.backend.python_text import several
from optgen.ir.view import Op
from optgen.runtime.gpu_abi import VECTOR_LANES
from optgen_numba import emit_stage
from optgen_numba.gpu_spelling import RESERVED, Body, Names

#: Units of an extent, which the threads of one program share; the model is one thread's.
_UNITS = {"tensor": "ctx[MEMBER_COUNT]", "layer": "ctx[LAYERS]", "model": "1"}
_KERNEL_RESERVED = RESERVED | {"ctx_at", "begin", "end", "step", "block", "first"}


class _Code(emit_stage.StageCode):
    """A stage of one variant; what sweeps read is kept a second time, in the type that they compute in."""

    backend = "numba-cuda"

    def __init__(self, extent: str, tables: emit_stage.Tables, indent: int, read: frozenset[str]) -> None:
        super().__init__(extent, tables, indent)
        self.body = Body(tables.names, indent)
        self.read = read

    def define(self, name: str, place: str, x: str) -> None:
        """Both places."""
        layout = self.layout
        if name in self.read and layout.module.compute != "float64":
            if not x.isidentifier():
                own = self.body.names.new(name)
                self.body.line(f"{own} = {x}")
                x = own
            where = layout.value(name)
            upper, real = where.extent.upper(), SHORT[layout.module.compute]
            if where.extent in VECTORS:
                first = self.get(self.cell(f"{upper}_OFFSET", "t"))
                entry = f"ctx[{upper}_WIDTH] * {where.column} + {first} + j"
            else:
                entry = f"t * {len(layout.values[where.extent])} + {where.column}"
            address = f"ctx[{upper}_READ] + {ITEM_BYTES[layout.module.compute]} * ({entry})"
            self.body.line(f"store_{real}({address}, {real}({x}))")
        super().define(name, place, x)


def stage_function(plan: StagePlan, layout: Layout, read: frozenset[str]) -> list[str]:
    """A stage of every variant: a function of one program, or a kernel."""

    def body(ops: Sequence[Op], tables: emit_stage.Tables, depth: int) -> list[str]:
        return _Code(extent, tables, depth, read).write(ops)

    tables = emit_stage.Tables(layout, Names(_KERNEL_RESERVED))
    extent = plan.extent
    heads = _heads(extent, tables)
    lines: list[str] = []
    for ops, variants in plan.cases(lambda ops: body(ops, emit_stage.Tables(layout, Names(_KERNEL_RESERVED)), 2)):
        if variants:
            lines += [f"        if {tables.takes(variants)}:", *body(ops, tables, 3)]
        else:
            lines = body(ops, tables, 2)
    if extent in VECTORS:
        return [*_kernel_head(plan.name, extent), *tables.lines, *heads, *lines]
    return [*_function_head(plan.name), *tables.lines, *heads, *lines]


def _function_head(name: str) -> list[str]:
    return ["@device", f"def {name}(ctx, begin, end, step):"]


def _kernel_head(name: str, extent: str) -> list[str]:
    """A program per block of units of one tensor."""
    return [
        "@kernel",
        f"def {name}(ctx_at):",
        "    ctx = i8_stream(ctx_at, WORDS)",
        f"    block = i8_stream(ctx[{extent.upper()}_BLOCK] + 16 * program(), 2)",
        "    t, first = block[0], block[1]",
    ]


def _heads(extent: str, tables: emit_stage.Tables, *, everyone: bool = False) -> list[str]:
    """What comes before the code of a unit."""
    absent = ["        if " + tables.named("MODE") + "[t] == ABSENT:", "            continue"]
    if extent in VECTORS:
        code = _Code("tensor", tables, 1, frozenset())
        units = code.whole(code.units(extent))
        last = f"min(first + {VECTOR_LANES[extent]}, {units})"
        return [f"    for j in range(first + thread(), {last}, threads()):", *absent]
    heads = ["    for k in range(begin, end, step):"]
    if extent == "model":
        return [*heads, "        t = first_present(ctx)", "        if t == ctx[TENSORS]:", "            continue"]
    if extent == "layer":
        start, member = tables.named("LAYER_START"), tables.named("LAYER_MEMBER")
        return [
            *heads,
            f"        if {tables.named('LAYER_PRESENT')}[k] == 0:",
            "            continue",
            f"        t = {member}[{start}[k]]",
        ]
    return [*heads, f"        t = {tables.named('MEMBERS')}[k]", *([] if everyone else absent)]


def stage_statement(name: str, extent: str) -> str:
    """Runs a stage in one program."""
    return f"{name}(ctx, thread(), {_UNITS[extent]}, threads())"


def select_function(name: str, ops: Sequence[Op], layout: Layout) -> list[str]:
    """The choice of a variant for every tensor."""
    tables = emit_stage.Tables(layout, Names(_KERNEL_RESERVED))
    heads = _heads("tensor", tables, everyone=True)
    body = _Code("tensor", tables, 2, frozenset()).write(ops)
    return [*_function_head(name), *tables.lines, *heads, *body]


class _OwnCode(OwnText, _Code):
    def __init__(self, tables: emit_stage.Tables) -> None:
        _Code.__init__(self, "tensor", tables, 1, frozenset())
        OwnText.__init__(self)

    def choose(self, x: str) -> None:
        """The result."""
        self.chosen = f"i8({x})"


def scalars_function(name: str, ops: Sequence[Op], values: Sequence[str], layout: Layout) -> list[str]:
    """A function whose results are values of the tensor `t`, rounded once."""
    tables = emit_stage.Tables(layout, Names(_KERNEL_RESERVED))
    code = _OwnCode(tables)
    lines = code.write(ops)
    lines += several("    return ", [code.rounded(value) for value in values])
    return ["@device", f"def {name}(ctx, t):", *tables.lines, *lines]


def variant_function(name: str, ops: Sequence[Op], layout: Layout) -> list[str]:
    """A function whose result is the variant of the tensor `t`."""
    tables = emit_stage.Tables(layout, Names(_KERNEL_RESERVED))
    code = _OwnCode(tables)
    lines = code.write(ops)
    return ["@device", f"def {name}(ctx, t):", *tables.lines, *lines, f"    return {code.chosen}"]
