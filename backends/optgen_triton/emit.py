"""From a kernel module to a Python module of Triton kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from optgen.backend.coarse_text import COMBINE, StagePlan
from optgen.backend.gpu_text import GpuText, Partial, SweepCode, imported
from optgen.ir.view import Module, Op, Sweep, Variant
from optgen.runtime.gpu_abi import BLOCK, LARGE, SMALL, STRIDED, TAIL
from optgen_triton.emit_scalars import variant_function
from optgen_triton.emit_stage import select_function, stage_function
from optgen_triton.emit_sweep import emit_sweep
from optgen_triton.spelling import DEVICE, KINDS, LIBRARY, NEIGHBOURS

_IDENTITY = {"sum": "0.0", "max": "-INFINITY", "min": "INFINITY"}


class _Emitter(GpuText):
    backend: ClassVar[str] = "triton"

    @property
    def real(self) -> str:
        """The type that sweeps compute in."""
        return KINDS[self.module.compute]

    def sweep_code(self, name: str, sweep: Sweep, inline: Variant | None) -> SweepCode:
        """A block function, and the loops that call it."""
        return emit_sweep(name, sweep, self.layout, tiled=self.tiled, inline=inline)

    def sweep_kernel(
        self, name: str, codes: Mapping[int, SweepCode], ends: Sequence[str], *, one: bool, choice: str
    ) -> list[str]:
        """Looks up this program's chunk, and its tensor."""
        lines = [
            "@triton.jit",
            f"def {name}(ctx):",
            "    chunk, t = chunk_of_program(ctx)",
            "    mode = tl.load(table(ctx, MODE, tl.int64) + t)",
            "    if mode != ABSENT:",
        ]
        if not one:
            variant = f"{choice}(ctx, t)" if choice else "tl.load(table(ctx, VARIANT, tl.int64) + t)"
            lines.append(f"        variant = {variant}")
        if self.tiled:
            lines.append(f"        small = has_small_matrices(ctx, t, {SMALL[2]}, {SMALL[2]})")
        sizes = {"small": SMALL, "small == 0": LARGE} if self.tiled else {"": (BLOCK, TAIL, STRIDED)}
        for number, code in list(codes.items())[: 1 if one else None]:
            for when, size in sizes.items():
                tests = [*([] if one else [f"variant == {number}"]), *([when] if when else [])]
                if tests:
                    lines.append(f"        if {' & '.join(f'({test})' for test in tests) if tests[1:] else tests[0]}:")
                statement = f"{code.name}(ctx, chunk, t, mode == ACTIVE, {', '.join(map(str, size))})"
                lines.append("    " * (3 if tests else 2) + statement)
        if ends:
            lines.append("    if is_last_program(ctx):")
            lines += "\n        tl.debug_barrier()\n".join(f"        {end}" for end in ends).split("\n")
        return lines

    def variant_function(self, name: str, ops: Sequence[Op]) -> list[str]:
        """One number."""
        return variant_function(name, ops, self.layout)

    def stage_function(self, plan: StagePlan) -> list[str]:
        """Units are lanes."""
        return stage_function(plan, self.layout, self.read)

    def stage_statement(self, name: str, extent: str) -> str:  # noqa: ARG002 (functions loop over their units)
        """A call."""
        return f"{name}(ctx)"

    def select_function(self, name: str, ops: Sequence[Op]) -> list[str]:
        """Units are lanes."""
        return select_function(name, ops, self.layout)

    def run_statement(self, column: int, how: str) -> str:
        """A function of the library."""
        return f'total_runs(ctx, {column}, {len(self.layout.totals)}, {self.real}, "{how}")'

    def tensor_statement(self, column: int, how: str, variants: int, *, first: bool) -> str:
        """A function of the library."""
        return f'total_tensors(ctx, {column}, {len(self.layout.totals)}, "{how}", {variants}, {first})'

    def phases_kernel(self, name: str, statements: Sequence[str]) -> list[str]:
        """Phases are chosen when it is compiled."""
        lines = ["@triton.jit", f"def {name}(ctx, FROM: tl.constexpr, UPTO: tl.constexpr):"]
        for position, statement in enumerate(statements):
            lines.append(f"    if FROM <= {position} and {position} < UPTO:")
            if position:
                lines.append("        tl.debug_barrier()")
            lines.append(f"        {statement}")
        return lines

    def finish_kernel(self, name: str, extent: str, takers: Mapping[int, Sequence[Partial]]) -> list[str]:
        """A lane per row or column."""
        upper = extent.upper()
        lines = [
            "@triton.jit",
            f"def {name}(ctx):",
            "    LANES: tl.constexpr = 256",
            f"    block = table(ctx, {upper}_BLOCK, tl.int64) + tl.program_id(0) * 2",
            "    t = tl.load(block)",
            "    j = tl.load(block + 1) + tl.arange(0, LANES)",
            "    view = table(ctx, VIEW, tl.int64) + t * 3",
            f"    units = tl.load(view) * tl.load(view + {1 if extent == 'row' else 2})",
            "    mode = tl.load(table(ctx, MODE, tl.int64) + t) + j * 0",
            "    variant = tl.load(table(ctx, VARIANT, tl.int64) + t) + j * 0",
            f"    part = table(ctx, {upper}_PARTIAL, {self.real})",
            f"    part += tl.load(table(ctx, {upper}_PARTIAL_AT, tl.int64) + t)",
            f"    parts = tl.load(table(ctx, {upper}_PARTS, tl.int64) + t)",
            f"    value = table(ctx, {upper}_VALUE, tl.float64) + tl.load(table(ctx, {upper}_OFFSET, tl.int64) + t)",
        ]
        for number, totals in takers.items():
            lines.append(f"    here = (j < units) & (mode != ABSENT) & (variant == {number})")
            for ordinal, total in enumerate(totals):
                step = f"get(part + word(ctx, {upper}_PARTIAL_WIDTH) * {ordinal} + at * units + j, here).to(tl.float64)"
                lines += [
                    f"    total = tl.full((LANES,), {_IDENTITY[total.how]}, tl.float64)",
                    "    for at in range(0, parts):",
                    f"        total = {COMBINE[total.how].format(a='total', b=step)}",
                    f"    put(value + word(ctx, {upper}_WIDTH) * {total.column} + j, total, here)",
                ]
        return lines

    def imports(self, words: set[str]) -> list[str]:
        """Triton, what kernels are written with, the library of functions, and sums over neighbours."""
        lines = ["import numpy as np"] if "np" in words else []
        lines += ["import triton", "import triton.language as tl", ""]
        lines += imported("optgen.runtime.triton_device", words & DEVICE)
        for module, names in (("triton_library", LIBRARY), ("triton_neighbours", NEIGHBOURS)):
            lines += imported(f"optgen.runtime.{module}", words & names) if words & names else []
        return lines


def emit(module: Module) -> tuple[dict[str, object], str]:
    """The manifest and the source text of a kernel module."""
    return _Emitter(module).emit()
