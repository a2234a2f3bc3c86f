"""The tables that tell the driver what modules do: functions, streams, totals and stages, from their manifests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optgen.errors import BackendError
from optgen.runtime import layout as at
from optgen.runtime.kernel_module import Manifest, Module, Sweep
from optgen.runtime.storage import BYTES, MASTER

Words = NDArray[np.int64]

TYPES = {
    "float32": at.FLOAT32,
    "float64": at.FLOAT64,
    "bfloat16": at.BFLOAT16,
    "float16": at.FLOAT16,
    "int64": at.INT64,
}
OPS = {"sum": at.SUM, "max": at.MAX, "min": at.MIN}
EXTENTS = {"tensor": at.EXTENT_TENSOR, "layer": at.EXTENT_LAYER, "model": at.EXTENT_MODEL}
ACCESS = {"r": at.READ, "w": at.WRITE, "rw": at.READ | at.WRITE}
KINDS = {
    "slot": at.SLOT,
    "stencil": at.STENCIL,
    "near": at.NEAR,
    "noise": at.NOISE,
    "row": at.ROW,
    "col": at.COL,
    "matrix": at.MATRIX,
    "row_total": at.ROW_TOTAL,
    "col_total": at.COL_TOTAL,
}


@dataclass(frozen=True)
class Programs:
    """See the words of the same names in the layout; the last five are the largest of any program."""

    select: Words
    stage_start: Words
    stage: Words
    program: Words
    stream: Words
    total: Words
    total_op: Words
    variants: int
    max_streams: int
    max_totals: int
    row_totals: int
    col_totals: int


def programs(modules: Sequence[Module]) -> Programs:
    """The tables of some modules, which differ in dtype only. BackendError if they differ in more."""
    manifests = [module.manifest for module in modules]
    _check(modules)
    first = manifests[0]
    variants = max(len(manifest["variants"]) for manifest in manifests)
    program = np.zeros((len(modules), 2, variants, first["sweeps"], at.PROGRAM_FIELDS), dtype=np.int64)
    streams: list[list[int]] = []
    totals: list[int] = []
    for m, module in enumerate(modules):
        for v, variant in enumerate(module.manifest["variants"]):
            for s, sweep in enumerate(variant["sweeps"]):
                choices = () if sweep is None else (sweep, sweep.get("alone", sweep))
                for alone, chosen in enumerate(choices):
                    if chosen is None:
                        continue
                    rows = _streams(module.manifest, chosen)
                    function = module.functions[chosen["function"]]
                    program[m, alone, v, s] = [function, len(streams), len(rows), len(totals), len(chosen["totals"])]
                    streams += rows
                    totals += chosen["totals"]
    stage_start = np.concatenate(([0], np.cumsum([len(stages) for stages in first["stages"]]))).astype(np.int64)
    flat = [[stage for stages in manifest["stages"] for stage in stages] for manifest in manifests]
    stage = np.array(
        [
            [EXTENTS[extent]] + [module.functions[flat[m][i][0]] for m, module in enumerate(modules)]
            for i, (_, extent) in enumerate(flat[0])
        ],
        dtype=np.int64,
    ).reshape(-1, 1 + len(modules))
    selects = [(module, module.manifest["select"]) for module in modules]
    table = np.array(streams, dtype=np.int64).reshape(-1, at.STREAM_FIELDS)
    return Programs(
        select=np.array([0 if name is None else module.functions[name] for module, name in selects], dtype=np.int64),
        stage_start=stage_start,
        stage=stage,
        program=program,
        stream=table,
        total=np.array(totals, dtype=np.int64),
        total_op=np.array([OPS[total["op"]] for total in first["totals"]], dtype=np.int64),
        variants=variants,
        max_streams=int(program[..., at.P_STREAMS].max(initial=0)),
        max_totals=int(program[..., at.P_TOTALS].max(initial=0)),
        row_totals=int(table[table[:, at.S_KIND] == at.ROW_TOTAL, at.S_ORDINAL].max(initial=-1)) + 1,
        col_totals=int(table[table[:, at.S_KIND] == at.COL_TOTAL, at.S_ORDINAL].max(initial=-1)) + 1,
    )


def _streams(manifest: Manifest, sweep: Sweep) -> list[list[int]]:
    rows: list[list[int]] = []
    for stream in sweep["streams"]:
        kind, index = KINDS[str(stream[0])], int(stream[1])
        row = [0] * at.STREAM_FIELDS
        row[at.S_KIND], row[at.S_INDEX] = kind, index
        if kind in (at.SLOT, at.STENCIL, at.NEAR):
            slot = manifest["slots"][index]
            row[at.S_ITEM], row[at.S_TYPE] = BYTES[slot["dtype"]], TYPES[slot["dtype"]]
            row[at.S_GRADIENT] = int(slot["role"] == "gradient")
            row[at.S_ACCESS] = ACCESS[str(stream[2])] if kind == at.SLOT else at.READ
            row[at.S_ORDINAL] = int(kind == at.STENCIL and len(stream) > 2)
        elif kind in (at.ROW_TOTAL, at.COL_TOTAL):
            row[at.S_OP] = OPS[str(stream[2])] if len(stream) > 2 else at.SUM
            row[at.S_ORDINAL] = sum(1 for other in rows if other[at.S_KIND] == kind)
        for part in range(at.NEAR_STREAMS if kind == at.NEAR else 1):
            rows.append([*row[: at.S_ORDINAL], part] if kind == at.NEAR else row)
    return rows


def _check(modules: Sequence[Module]) -> None:
    first = modules[0].manifest
    for module in modules:
        manifest = module.manifest
        same = (
            manifest["rule"] == first["rule"]
            and manifest["sweeps"] == first["sweeps"]
            and manifest["values"] == first["values"]
            and manifest["totals"] == first["totals"]
            and manifest["hypers"] == first["hypers"]
            and shared_slots(manifest) == shared_slots(first)
            and [[extent for _, extent in s] for s in manifest["stages"]]
            == [[extent for _, extent in s] for s in first["stages"]]
        )
        if not same:
            raise BackendError(
                f"{module.path} and {modules[0].path} differ in more than dtype: build both again, with one compiler"
            )


def shared_slots(manifest: Manifest) -> list[str]:
    """Slots that modules of every dtype set have, in the order of their columns."""
    return [slot["name"] for slot in manifest["slots"] if slot["name"] != MASTER and slot["role"] != "scratch"]


def chainable(manifest: Manifest) -> bool:
    """Whether a tensor may go through all its sweeps before another begins: nothing wider is reduced or read."""
    sweeps = manifest["sweeps"]
    if any("calls" in variant for variant in manifest["variants"]):
        return False
    if manifest["stencil"] or sweeps < 2 or any(extent in ("layer", "model") for extent in manifest["barriers"]):
        return False
    for after in range(1, sweeps + 1):
        extents = [extent for _, extent in manifest["stages"][after]]
        wide = [extent != "tensor" for extent in extents]
        if (after < sweeps and any(wide)) or wide != sorted(wide):
            return False
    return True


def coupled(manifest: Manifest) -> bool:
    """Whether tensors affect one another: reductions or a graph wider than a tensor."""
    wide = ("layer", "model")
    return (
        manifest["graph"]
        or manifest["stencil"]
        or any(extent in wide for extent in manifest["barriers"])
        or any(extent in wide for stages in manifest["stages"] for _, extent in stages)
    )


def slot_bytes(manifest: Manifest) -> int:
    """Bytes per element of a tensor over all its element-wise slots."""
    return sum(BYTES[slot["dtype"]] for slot in manifest["slots"] if slot["extent"] == "elem")
