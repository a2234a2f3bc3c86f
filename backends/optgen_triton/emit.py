"""From a kernel module to a Python module: sweeps, what runs between them, and the manifest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from optgen.backend.coarse_text import COMBINE, StagePlan, stage_plans
from optgen.backend.element_text import sees_vectors
from optgen.backend.launch_plan import launch_plan
from optgen.backend.layout import VECTORS, Layout
from optgen.backend.manifest import header, literal_of, manifest
from optgen.backend.python_text import words_of
from optgen.ir.view import Module
from optgen.runtime.gpu_abi import BLOCK, FEW_VALUES, LARGE, MANY_WARPS, SMALL, STRIDED, TAIL, WARPS
from optgen_triton.emit_scalars import variant_function
from optgen_triton.emit_stage import select_function, stage_function
from optgen_triton.emit_sweep import Partial, SweepCode, emit_sweep
from optgen_triton.spelling import DEVICE, KINDS, LIBRARY

_IDENTITY = {"sum": "0.0", "max": "-INFINITY", "min": "INFINITY"}


@dataclass
class Launch:
    """A kernel between sweeps. One program runs all phases, a barrier between them; or a program per block of units."""

    function: str
    grid: str
    phases: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])  # extent and statement

    def entry(self) -> dict[str, object]:
        """What the manifest says of it."""
        return {"function": self.function, "grid": self.grid, "phases": [extent for extent, _ in self.phases]}


class _Emitter:
    def __init__(self, module: Module) -> None:
        self.module = module
        self.layout = Layout(module)
        self.functions: list[list[str]] = []
        self.kernels: list[str] = []
        sweeps = [sweep for variant in module.variants for sweep in variant.sweeps]
        self.tiled = any(sees_vectors(sweep, self.layout) for sweep in sweeps)
        reads = (op.word("value") for sweep in sweeps for op in sweep.ops if op.name == "kernel.read")
        self.read = frozenset(reads)
        self.real = KINDS[module.compute]

    def emit(self) -> tuple[dict[str, object], str]:
        """The manifest and the source text."""
        plans = stage_plans(self.module)
        self.plan = launch_plan(self.module, plans)
        sweeps = self._sweeps(self._ends(plans))
        stages = [[plan.manifest for plan in boundary] for boundary in plans]
        for plan in (*(plans[0] if self.plan.keeps else ()), *self.plan.ends, *chain(*self.plan.launched)):
            self.functions.append(stage_function(plan, self.layout, self.read))
        launches = [self._between(boundary, found, sweeps) for boundary, found in enumerate(self.plan.launched)]
        entries = [
            [self._entry(sweeps.get((v, s))) for s in range(1, self.module.sweeps + 1)]
            for v in range(len(self.module.variants))
        ]
        select = None if self.module.select is None else "select_variant"
        described = manifest(
            self.module, self.layout, "triton", tiled=self.tiled, select=select, stages=stages, sweeps=entries
        )
        described["warps"] = MANY_WARPS if self._is_wide(sweeps.values()) else WARPS
        described["launches"] = [[launch.entry() for launch in boundary] for boundary in launches]
        return described, self._text(described)

    def _is_wide(self, sweeps: Iterable[SweepCode]) -> bool:
        """Whether a step holds so much that threads are given fewer elements, so that registers suffice."""
        return self.tiled or any(code.held > FEW_VALUES for code in sweeps)

    # Sweeps

    def _ends(self, plans: Sequence[Sequence[StagePlan]]) -> dict[int, list[str]]:
        """What the last program of each sweep runs at its end."""
        ends: dict[int, list[str]] = {sweep: [] for sweep in range(1, self.module.sweeps + 1)}
        if self.module.select is not None:
            self.functions.append(select_function("select_variant", self.module.select, self.layout))
        if self.plan.inline:
            ends[1] += [] if self.module.select is None else ["select_variant"]
            ends[1] += [plan.name for plan in plans[0] if self.plan.keeps]
        if self.plan.ends:
            ends[self.module.sweeps] += [plan.name for plan in self.plan.ends]
        return ends

    def _sweeps(self, ends: Mapping[int, Sequence[str]]) -> dict[tuple[int, int], SweepCode]:
        """Code per variant and sweep, equal code once, and a kernel per sweep that picks the variant's."""
        made: dict[tuple[int, int], SweepCode] = {}
        by_text: dict[str, SweepCode] = {}
        for number, variant in enumerate(self.module.variants):
            for sweep in variant.sweeps:
                name = f"{variant.name}_sweep_{sweep.index}" if len(self.module.variants) > 1 else f"step_{sweep.index}"
                inline = variant if self.plan.inline and sweep.index == 1 else None
                code = emit_sweep(name, sweep, self.layout, tiled=self.tiled, inline=inline)
                key = "\n".join(line for lines in code.functions for line in lines).replace(name, "")
                if key not in by_text:
                    self.functions += [list(lines) for lines in code.functions]
                made[number, sweep.index] = by_text.setdefault(key, code)
        for index in range(1, self.module.sweeps + 1):
            self._sweep_kernel(index, {v: code for (v, s), code in made.items() if s == index}, ends[index])
        return made

    def _sweep_kernel(self, index: int, codes: Mapping[int, SweepCode], ends: Sequence[str]) -> None:
        """The kernel that every program of a sweep begins with."""
        lines = [
            "@triton.jit",
            f"def sweep_{index}(ctx):",
            "    chunk, t = chunk_of_program(ctx)",
            "    mode = tl.load(table(ctx, MODE, tl.int64) + t)",
        ]
        one = len(codes) == len(self.module.variants) and len({code.name for code in codes.values()}) == 1
        lines.append("    if mode != ABSENT:")
        if not one and self.plan.inline and index == 1 and self.module.select is not None:
            self.functions.append(variant_function("variant_of", self.module.select, self.layout))
            lines.append("        variant = variant_of(ctx, t)")
        elif not one:
            lines.append("        variant = tl.load(table(ctx, VARIANT, tl.int64) + t)")
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
            lines += "\n        tl.debug_barrier()\n".join(f"        {name}(ctx)" for name in ends).split("\n")
        self.functions.append(lines)
        self.kernels.append(f"sweep_{index}")

    def _entry(self, code: SweepCode | None) -> dict[str, object] | None:
        if code is None:
            return None
        vectors = [[f"{total.extent}_total", total.column, total.how] for total in code.vector_totals]
        return {"function": code.name, "streams": vectors, "totals": list(code.totals)}

    # Between sweeps

    def _between(
        self, boundary: int, stages: Sequence[StagePlan], sweeps: Mapping[tuple[int, int], SweepCode]
    ) -> list[Launch]:
        """What is launched after so many sweeps."""
        phases: list[tuple[str, str]] = []
        launches: list[Launch] = []
        if boundary == 0 and self.module.select is not None and not self.plan.inline:
            phases.append(("tensor", "select_variant(ctx)"))
        finish = self._finish(boundary, sweeps)  # rows, columns and matrices do not look at totals of tensors
        for extent, name in self._vector_finish(boundary, sweeps):
            launches.append(Launch(name, extent))
        for plan in stages:
            if plan.extent in VECTORS:
                self._close(boundary, phases, launches)
                launches.append(Launch(plan.name, plan.extent))
                self.kernels.append(plan.name)
            else:
                phases += [*finish, (plan.extent, f"{plan.name}(ctx)")]
                finish = []
        phases += finish
        self._close(boundary, phases, launches)
        return launches

    def _close(self, boundary: int, phases: list[tuple[str, str]], launches: list[Launch]) -> None:
        """One kernel of what has gathered."""
        if not phases:
            return
        number = sum(launch.grid == "one" for launch in launches)
        name = f"stages_{boundary}" + (f"_{number + 1}" if number else "")
        lines = ["@triton.jit", f"def {name}(ctx, FROM: tl.constexpr, UPTO: tl.constexpr):"]
        for position, (_, statement) in enumerate(phases):
            lines.append(f"    if FROM <= {position} and {position} < UPTO:")
            if position:
                lines.append("        tl.debug_barrier()")
            lines.append(f"        {statement}")
        self.functions.append(lines)
        self.kernels.append(name)
        launches.append(Launch(name, "one", list(phases)))
        phases.clear()

    def _finish(self, boundary: int, sweeps: Mapping[tuple[int, int], SweepCode]) -> list[tuple[str, str]]:
        """Phases that turn the partial totals of a sweep into totals of tensors."""
        columns = len(self.layout.totals)
        runs: list[tuple[str, str]] = []
        tensors: list[tuple[str, str]] = []
        for column, name in enumerate(self.layout.totals):
            takers = [v for (v, s), code in sweeps.items() if s == boundary and column in code.totals]
            if not takers:
                continue
            before = any(s < boundary and column in code.totals for (_, s), code in sweeps.items())
            how = self.module.totals[name].reduction
            mask = sum(1 << v for v in takers)
            runs.append(("tensor", f'total_runs(ctx, {column}, {columns}, {self.real}, "{how}")'))
            tensors.append(("tensor", f'total_tensors(ctx, {column}, {columns}, "{how}", {mask}, {not before})'))
        return [("tensor", "\n        ".join(text for _, text in part)) for part in (runs, tensors) if part]

    def _vector_finish(self, boundary: int, sweeps: Mapping[tuple[int, int], SweepCode]) -> list[tuple[str, str]]:
        """Kernels that combine the parts of row or column totals that chunks left: extent and name of each."""
        made: list[tuple[str, str]] = []
        for extent in ("row", "col"):
            takers: dict[int, list[Partial]] = {}
            for (v, s), code in sweeps.items():
                found = [total for total in code.vector_totals if total.extent == extent]
                if s == boundary and found:
                    takers[v] = found
            if takers:
                name = f"finish_{boundary}_{extent}"
                self.functions.append(self._vector_function(name, extent, takers))
                self.kernels.append(name)
                made.append((extent, name))
        return made

    def _vector_function(self, name: str, extent: str, takers: Mapping[int, Sequence[Partial]]) -> list[str]:
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

    # The file

    def _text(self, described: dict[str, object]) -> str:
        tokens = words_of("\n".join(line for lines in self.functions for line in lines))
        blocks = [
            *header(self.module, "triton"),
            "",
            "import triton",
            "import triton.language as tl",
            "",
            "from optgen.runtime.triton_device import (",
            *(f"    {word}," for word in sorted(tokens & DEVICE)),
            ")",
        ]
        if tokens & LIBRARY:
            blocks += [
                "from optgen.runtime.triton_library import (",
                *(f"    {word}," for word in sorted(tokens & LIBRARY)),
                ")",
            ]
        blocks += ["", f"MANIFEST = {literal_of(described)}", ""]
        for lines in self.functions:
            blocks += ["", *lines, ""]
        blocks += ["", "FUNCTIONS = {", *(f'    "{kernel}": {kernel},' for kernel in self.kernels), "}", ""]
        return "\n".join(blocks)


def emit(module: Module) -> tuple[dict[str, object], str]:
    """The manifest and the source text of a kernel module."""
    return _Emitter(module).emit()
