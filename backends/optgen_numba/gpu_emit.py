"""From a kernel module to a Python module of numba-cuda kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from optgen.backend.coarse_text import COMBINE, StagePlan
from optgen.backend.gpu_text import GpuText, Partial, SweepCode, imported
from optgen.backend.layout import ITEM_BYTES, SHORT
from optgen.ir.view import Module, Op, Sweep, Variant
from optgen.runtime.gpu_abi import VECTOR_LANES
from optgen_numba import gpu_stage
from optgen_numba.gpu_spelling import ARRAYS, LIBRARY
from optgen_numba.gpu_sweep import emit_sweep

_START = {"sum": "0.0", "max": "-np.inf", "min": "np.inf"}


class _Emitter(GpuText):
    backend: ClassVar[str] = "numba-cuda"

    def sweep_code(self, name: str, sweep: Sweep, inline: Variant | None) -> SweepCode:
        """An element function, and one or two that take it over a chunk."""
        return emit_sweep(name, sweep, self.layout, tiled=self.tiled, inline=inline)

    def sweep_kernel(
        self, name: str, codes: Mapping[int, SweepCode], ends: Sequence[str], *, one: bool, choice: str
    ) -> list[str]:
        """Looks up this program's chunk, and its tensor."""
        lines = [
            "@kernel",
            f"def {name}(ctx_at):",
            "    ctx = i8_stream(ctx_at, WORDS)",
            "    chunk = load_i8(ctx[ORDER] + 8 * program())",
            "    t = load_i8(ctx[CHUNK] + 8 * (CHUNK_FIELDS * chunk + C_TENSOR))",
            "    mode = load_i8(ctx[MODE] + 8 * t)",
            "    if mode != ABSENT:",
        ]
        if not one:
            lines.append(f"        variant = {f'{choice}(ctx, t)' if choice else 'load_i8(ctx[VARIANT] + 8 * t)'}")
        if self.tiled:
            lines.append("        view = i8_stream(ctx[VIEW] + 24 * t, 3)")
            lines.append("        small = view[1] <= SMALL and view[2] <= SMALL")
        for number, code in list(codes.items())[: 1 if one else None]:
            for when, suffix in (("small", "_small"), ("not small", "")) if self.tiled else (("", ""),):
                tests = [*([] if one else [f"variant == {number}"]), *([when] if when else [])]
                lines += [f"        if {' and '.join(tests)}:"] if tests else []
                indent = "    " * (3 if tests else 2)
                lines.append(f"{indent}{code.name}{suffix}(ctx, chunk, t, mode == ACTIVE)")
        if ends:
            lines.append("    if is_last_program(ctx):")
            lines += "\n        barrier()\n".join(f"        {end}" for end in ends).split("\n")
        return lines

    def variant_function(self, name: str, ops: Sequence[Op]) -> list[str]:
        """One number."""
        return gpu_stage.variant_function(name, ops, self.layout)

    def stage_function(self, plan: StagePlan) -> list[str]:
        """As CPU kernels have it."""
        return gpu_stage.stage_function(plan, self.layout, self.read)

    def stage_statement(self, name: str, extent: str) -> str:
        """Threads take units in turn."""
        return gpu_stage.stage_statement(name, extent)

    def select_function(self, name: str, ops: Sequence[Op]) -> list[str]:
        """As CPU kernels have it."""
        return gpu_stage.select_function(name, ops, self.layout)

    def run_statement(self, column: int, how: str) -> str:
        """A function of the library."""
        return f"total_runs_{how}_{SHORT[self.module.compute]}(ctx, {column}, {len(self.layout.totals)})"

    def tensor_statement(self, column: int, how: str, variants: int, *, first: bool) -> str:
        """A function of the library."""
        return f"total_tensors_{how}(ctx, {column}, {len(self.layout.totals)}, {variants}, {first})"

    def phases_kernel(self, name: str, statements: Sequence[str]) -> list[str]:
        """The same phases for all threads, hence barriers that all of them reach."""
        lines = ["@kernel", f"def {name}(ctx_at, begin, end):", "    ctx = i8_stream(ctx_at, WORDS)"]
        for position, statement in enumerate(statements):
            lines.append(f"    if begin <= {position} < end:")
            if position:
                lines.append("        barrier()")
            lines.append(f"        {statement}")
        return lines

    def finish_kernel(self, name: str, extent: str, takers: Mapping[int, Sequence[Partial]]) -> list[str]:
        """A thread per row or column."""
        upper, axis = extent.upper(), 1 if extent == "row" else 2
        real, item = SHORT[self.module.compute], ITEM_BYTES[self.module.compute]
        lines = [
            "@kernel",
            f"def {name}(ctx_at):",
            "    ctx = i8_stream(ctx_at, WORDS)",
            f"    block = i8_stream(ctx[{upper}_BLOCK] + 16 * program(), 2)",
            "    t, first = block[0], block[1]",
            "    view = i8_stream(ctx[VIEW] + 24 * t, 3)",
            f"    units = view[0] * view[{axis}]",
            "    mode, variant = load_i8(ctx[MODE] + 8 * t), load_i8(ctx[VARIANT] + 8 * t)",
            f"    part = load_i8(ctx[{upper}_PARTIAL_AT] + 8 * t)",
            f"    parts = load_i8(ctx[{upper}_PARTS] + 8 * t)",
            f"    value = load_i8(ctx[{upper}_OFFSET] + 8 * t)",
            f"    for j in range(first + thread(), min(first + {VECTOR_LANES[extent]}, units), threads()):",
        ]
        for number, totals in takers.items():
            lines.append(f"        if mode != ABSENT and variant == {number}:")
            for ordinal, total in enumerate(totals):
                where = f"ctx[{upper}_PARTIAL_WIDTH] * {ordinal} + part + at * units + j"
                cell = f"f8(load_{real}(ctx[{upper}_PARTIAL] + {item} * ({where})))"
                place = f"ctx[{upper}_VALUE] + 8 * (ctx[{upper}_WIDTH] * {total.column} + value + j)"
                lines += [
                    f"            total = f8({_START[total.how]})",
                    "            for at in range(parts):",
                    f"                total = {COMBINE[total.how].format(a='total', b=cell)}",
                    f"            store_f8({place}, total)",
                ]
        return lines

    def imports(self, words: set[str]) -> list[str]:
        """NumPy and numba, and the library."""
        numba = sorted({"cuda", *ARRAYS.values()} & words)
        third = [
            *(["import numpy as np"] if "np" in words else []),
            *([f"from numba import {', '.join(numba)}"] if numba else []),
        ]
        return [*third, *([""] if third else []), *imported("optgen.runtime.numba_cuda_library", words & LIBRARY)]


def emit(module: Module) -> tuple[dict[str, object], str]:
    """The manifest and the source text of a kernel module."""
    return _Emitter(module).emit()
