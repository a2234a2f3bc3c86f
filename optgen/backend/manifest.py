"""What a kernel file says of itself: the part that all backends share."""

from __future__ import annotations

from collections.abc import Sequence
from json import dumps
from pprint import pformat

from optgen.backend.layout import VECTORS, Layout
from optgen.backend.python_text import docstring
from optgen.ir.exactness import inexact_among
from optgen.ir.view import Module, Variant
from optgen.runtime.abi import VERSION

_EXTENTS = ("none", "tensor", "layer", "model")

#: Name and extent of each stage function, per boundary between sweeps; 0 comes before the first.
Stages = Sequence[Sequence[Sequence[str]]]


def manifest(
    module: Module,
    layout: Layout,
    backend: str,
    *,
    tiled: bool,
    select: str | None,
    stages: Stages,
    sweeps: Sequence[Sequence[object]],
) -> dict[str, object]:
    """The manifest, as `optgen.runtime.kernel_module` types it.

    tiled: sweeps see rows and columns; select: the function that picks variants; sweeps: per variant, what each does.
    """
    ops = [op for v in module.variants for part in (*v.stages, *v.sweeps) for op in part.ops]
    return {
        "abi": VERSION,
        "rule": module.name,
        "class": module.class_name,
        "digest": module.digest,
        "backend": backend,
        "settled": dict(module.settled),
        "dtype": {"compute": module.compute, "param": module.slots[0].dtype, "g": module.slots[1].dtype},
        "hypers": list(module.hypers),
        "inputs": list(module.inputs),
        "slots": [{"name": s.name, "extent": s.extent, "dtype": s.dtype, "role": s.role} for s in module.slots],
        "values": layout.values,
        "totals": [{"name": name, "op": module.totals[name].reduction} for name in layout.totals],
        "matrix": module.matrix,
        "tiled": tiled,
        "graph": any(op.name in ("kernel.edges", "kernel.stencil") for op in ops),
        "stencil": any(op.name == "kernel.stencil" for op in ops),
        "sweeps": module.sweeps,
        "barriers": [_barrier(module, stages, s) for s in range(1, module.sweeps + 1)],
        "select": select,
        "inexact": inexact_among(name for variant in module.variants for name in _element_work(variant)),
        "stages": stages,
        "variants": [
            {
                "name": variant.name,
                "when": variant.when,
                "slots": list(variant.slots),
                "sweeps": parts,
                "stored": [_stored(module, variant, boundary) for boundary in range(module.sweeps + 1)],
                **_calls(module, variant, layout),
            }
            for variant, parts in zip(module.variants, sweeps, strict=True)
        ],
    }


def _element_work(variant: Variant) -> list[str]:
    """Names of the operations on elements: those of sweeps, and library calls."""
    of_sweeps = [op.name for sweep in variant.sweeps for op in sweep.ops]
    return of_sweeps + [f"library.{call.function}" for call in variant.calls]


def _stored(module: Module, variant: Variant, boundary: int) -> list[str]:
    """Coarse slots that a variant's stages at a boundary store, in the order of slots."""
    stages = [stage for stage in variant.stages if stage.boundary == boundary]
    found = {op.word("slot") for stage in stages for op in stage.ops if op.name == "kernel.put"}
    return [slot.name for slot in module.slots if slot.name in found]


def _calls(module: Module, variant: Variant, layout: Layout) -> dict[str, object]:
    """The library calls of a variant, by boundary."""
    if not variant.calls:
        return {}
    made: list[list[dict[str, object]]] = [[] for _ in range(module.sweeps + 1)]
    for call in variant.calls:
        numbers = [layout.value(name).column for name in call.numbers]
        operand, target = layout.slot(call.operand), layout.slot(call.target)
        about: dict[str, object] = {"function": call.function, "operand": operand, "target": target, "numbers": numbers}
        made[call.boundary].append(about)
    return {"calls": made}


def _barrier(module: Module, stages: Stages, sweep: int) -> str:
    """The widest extent that must be finished between a sweep and the next."""
    if sweep == module.sweeps:
        return "none"
    widest = 0
    for variant in module.variants:
        for part in variant.sweeps:
            for op in part.ops:
                if op.name == "kernel.accumulate" and part.index == sweep:
                    extent = module.totals[op.word("total")].extent
                    widest = max(widest, _EXTENTS.index("tensor" if extent in VECTORS else extent))
                if op.name == "kernel.stencil" and op.word("slot") != "g" and part.index > 1:
                    widest = _EXTENTS.index("model")
    for _, extent in stages[sweep]:
        widest = max(widest, _EXTENTS.index(extent))
    return _EXTENTS[widest]


def literal_of(described: dict[str, object]) -> str:
    """A manifest as Python text."""
    return pformat(described, width=116, sort_dicts=False)


def header(module: Module, backend: str) -> list[str]:
    """The docstring of a kernel file: the rule, the digest of its text, and the command that writes the file again."""
    name = docstring(module.name)
    command = f"optgen build {docstring(module.asked)} --backend {backend} {docstring(_settings(module))}".rstrip()
    return [
        f'"""Kernels of the rule {name} in {docstring(module.compute)}, generated from {name}.yaml.',
        "",
        f"spec {docstring(module.digest)}",
        *([f"made of: {docstring(module.made_of)}"] if module.made_of else []),
        f"made by: {command}",
        '"""',
    ]


def _settings(module: Module) -> str:
    """The options of `optgen build` that settle a module's choices."""
    chosen = sorted(module.settled.items())
    return " ".join(f"--set {name}={dumps(value).strip(chr(34))}" for name, value in chosen if name.isidentifier())
