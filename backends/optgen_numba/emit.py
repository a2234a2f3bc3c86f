"""From a kernel module to a Python module: segments, stages, the choice of variant, and the manifest."""

from __future__ import annotations

from collections.abc import Sequence

from optgen.backend.coarse_text import StagePlan, stage_plans
from optgen.backend.element_text import sees_vectors
from optgen.backend.manifest import header, literal_of, manifest
from optgen.backend.python_text import words_of
from optgen.ir.view import Module, Op
from optgen.runtime.abi import Mode, Word
from optgen_numba.emit_segment import RESERVED, Segment, emit_segment
from optgen_numba.emit_stage import StageCode, Tables
from optgen_numba.layout import VECTORS, Layout
from optgen_numba.python_text import Names

#: What generated code takes from optgen.runtime.narrow.
_NARROW = {"b2_stream", "f2_stream", "u2_stream", "f4_of_b2", "f4_of_f2", "b2_of_f4", "f2_of_f4", "b2_at_random"}


def emit(module: Module) -> tuple[dict[str, object], str]:
    """The manifest and the source text of a kernel module."""
    layout = Layout(module)
    segments = _segments(module, layout)
    functions: list[list[str]] = [one.lines for s in _distinct(segments) for one in (s, s.alone) if one and one.lines]
    stages, stage_texts = _stages(module, layout)
    functions += stage_texts
    select = None if module.select is None else "select_variant"
    if select is not None and module.select is not None:
        functions.append(_choice(select, module.select, layout))
    described = _manifest(module, layout, segments, stages, select)
    return described, _text(module, described, functions)


# Sweeps


def _segments(module: Module, layout: Layout) -> dict[tuple[int, int], Segment]:
    """A segment per variant and sweep; equal ones share a name."""
    result: dict[tuple[int, int], Segment] = {}
    by_text: dict[str, Segment] = {}
    for number, variant in enumerate(module.variants):
        for sweep in variant.sweeps:
            prefix = f"{variant.name}_" if len(module.variants) > 1 else ""
            segment = emit_segment(f"{prefix}sweep_{sweep.index}", sweep, layout)
            key = "\n".join(segment.lines[2:]) + repr(segment.streams) + repr(segment.totals)
            result[number, sweep.index] = by_text.setdefault(key, segment)
    return result


def _distinct(segments: dict[tuple[int, int], Segment]) -> list[Segment]:
    return list({segment.name: segment for segment in segments.values()}.values())


# Stages


def _stages(module: Module, layout: Layout) -> tuple[list[list[list[str]]], list[list[str]]]:
    """Names and extents of the stage functions per boundary, and their texts."""
    plans = stage_plans(module)
    texts = [_stage(plan, layout) for boundary in plans for plan in boundary]
    return [[plan.manifest for plan in boundary] for boundary in plans], texts


def _stage(plan: StagePlan, layout: Layout) -> list[str]:
    def body(ops: Sequence[Op], tables: Tables) -> list[str]:
        return StageCode(plan.extent, tables, depth).write(ops)

    depth = 3 if plan.extent in VECTORS else 2
    tables = Tables(layout, Names(RESERVED | {"j"}))
    lines = _unit_loop(plan.extent, tables)
    word = "if"
    for ops, variants in plan.cases(lambda ops: body(ops, Tables(layout, Names(RESERVED)))):
        written = body(ops, tables)
        if variants:
            lines += ["    " * depth + f"{word} {tables.takes(variants)}:", *("    " + line for line in written)]
            word = "elif"
        else:
            lines += written
    return ["@stage", f"def {plan.name}(ctx, begin, end):", *tables.lines, *lines]


def _unit_loop(extent: str, tables: Tables) -> list[str]:
    """Heads of the loop over the units `begin` to `end`; `t` is the unit's (first present) tensor."""
    if extent == "model":
        return [
            "    for k in range(begin, end):",
            "        t = 0",
            f"        while t < ctx[TENSORS] and {tables.named('MODE')}[t] == ABSENT:",
            "            t += 1",
            "        if t == ctx[TENSORS]:",
            "            continue",
        ]
    if extent == "layer":
        return [
            "    for k in range(begin, end):",
            f"        if {tables.named('LAYER_PRESENT')}[k] == 0:",
            "            continue",
            f"        t = {tables.named('LAYER_MEMBER')}[{tables.named('LAYER_START')}[k]]",
        ]
    heads = [
        "    for k in range(begin, end):",
        f"        t = {tables.named('MEMBERS')}[k]",
        f"        if {tables.named('MODE')}[t] == ABSENT:",
        "            continue",
    ]
    if extent in VECTORS:
        code = StageCode("tensor", tables, 2)
        heads.append(f"        for j in range({code.whole(code.units(extent))}):")
    return heads


def _choice(name: str, ops: Sequence[Op], layout: Layout) -> list[str]:
    tables = Tables(layout, Names(RESERVED))
    heads = ["    for k in range(begin, end):", f"        t = {tables.named('MEMBERS')}[k]"]
    body = StageCode("tensor", tables, 2).write(ops)
    return ["@select", f"def {name}(ctx, begin, end):", *tables.lines, *heads, *body]


# The manifest and the file


def _manifest(
    module: Module,
    layout: Layout,
    segments: dict[tuple[int, int], Segment],
    stages: list[list[list[str]]],
    select: str | None,
) -> dict[str, object]:
    variants = [
        [segments[number, s].manifest() if (number, s) in segments else None for s in range(1, module.sweeps + 1)]
        for number in range(len(module.variants))
    ]
    tiled = any(sees_vectors(sweep, layout) for variant in module.variants for sweep in variant.sweeps)
    return manifest(module, layout, "numba", tiled=tiled, select=select, stages=stages, sweeps=variants)


def _text(module: Module, described: dict[str, object], functions: Sequence[Sequence[str]]) -> str:
    names = [
        line.split("(")[0].removeprefix("def ")
        for function in functions
        for line in function
        if line.startswith("def ")
    ]
    used, narrow = _imports("\n".join(line for function in functions for line in function))
    blocks = [
        *header(module, "numba"),
        "",
        *(["import numpy as np", ""] if any("np." in line for function in functions for line in function) else []),
        "from optgen.runtime.cpu import (",
        *(f"    {name}," for name in sorted(used)),
        ")",
        *([f"from optgen.runtime.narrow import {', '.join(sorted(narrow))}"] if narrow else []),
        "",
        f"MANIFEST = {literal_of(described)}",
        "",
    ]
    for function in functions:
        blocks += ["", *function, ""]
    blocks += ["", "FUNCTIONS = {", *(f'    "{name}": {name},' for name in names), "}", ""]
    return "\n".join(blocks)


def _imports(text: str) -> tuple[set[str], set[str]]:
    """Names of optgen.runtime.cpu and of optgen.runtime.narrow that the functions use."""
    tokens = words_of(text)
    tables = tokens & ({word.name for word in Word} | {mode.name for mode in Mode})
    helpers = {"segment", "stage", "select", "add_reassoc", "laplacian_at", "maximum", "minimum", "f4", "f8", "i8"}
    for short in ("f4", "f8", "i8"):
        helpers |= {f"{short}_stream", f"{short}_table", f"{short}_near", f"load_{short}", f"store_{short}"}
    return (tokens & helpers) | tables, tokens & _NARROW
