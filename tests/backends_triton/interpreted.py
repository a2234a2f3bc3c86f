"""Compares kernels in Triton's interpreter with the float64 reference: run as a program, in a process of its own.

    TRITON_INTERPRET=1 python interpreted.py DTYPE RULE...

prints a line of JSON per rule. The interpreter refuses every access outside the memory that a kernel was given.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

os.environ["TRITON_INTERPRET"] = "1"

import numpy as np
from triton.runtime import interpreter

from optgen.runtime.gpu_tables import GpuTables
from optgen.runtime.storage import BYTES
from optgen.spec.loader import load
from optgen.verify import compare
from optgen_triton.interpreted import prepare

#: A tensor of whole blocks and a tail, large and small matrices, a scalar, nothing, and layers that are neighbours.
SHAPES: Mapping[str, tuple[int, ...]] = {
    "blocks.0.weight": (9, 32),
    "blocks.0.bias": (4, 3, 3, 3),
    "blocks.1.weight": (9, 32),
    "blocks.1.bias": (4, 3, 3, 3),
    "norm.scale": (),
    "none.weight": (0,),
    "head.weight": (2100,),
    "tail.weight": (3, 300),
}
STEPS = 3


class Fence:
    """The memory that kernels may touch: byte ranges, sorted by their begins."""

    def __init__(self) -> None:
        self.begins, self.ends = np.zeros(0, np.int64), np.zeros(0, np.int64)

    def allow(self, tables: GpuTables) -> None:
        """The tables' own buffers, and what their address table names."""
        spans = [(x.data_ptr(), x.data_ptr() + x.numel() * x.element_size()) for x in tables.buffers()]
        for t, sizes in enumerate(tables._views):
            matrices, rows, cols = sizes
            units = {"elem": matrices * rows * cols, "matrix": matrices, "row": matrices * rows, "col": matrices * cols}
            for column, slot in enumerate(tables._slots_of(t)):
                begin = int(tables.address[t, column])
                spans.append((begin, begin + units.get(slot["extent"], 1) * BYTES[slot["dtype"]]))
        ordered = sorted(span for span in spans if span[0])
        self.begins = np.array([begin for begin, _ in ordered], np.int64)
        self.ends = np.array([end for _, end in ordered], np.int64)

    def check(self, pointers: Any, mask: Any, item: int) -> None:
        """Raises for an access that is not wholly inside one range."""
        at = np.asarray(pointers).astype(np.int64).ravel()
        at = at[np.broadcast_to(np.asarray(mask).astype(bool), np.shape(pointers)).ravel()]
        found = np.searchsorted(self.begins, at, side="right") - 1
        outside = (found < 0) | (at + item > self.ends[found])
        if outside.any():
            raise AssertionError(f"{int(outside.sum())} accesses of {item} bytes outside the kernel's memory")


FENCE = Fence()


def fence_in() -> None:
    """Every load and store is checked; what is allowed is worked out before each step."""
    builder = interpreter.InterpreterBuilder
    load, store, run = builder.create_masked_load, builder.create_masked_store, GpuTables.store

    def item(pointers: Any) -> int:
        return max(pointers.get_element_ty().primitive_bitwidth // 8, 1)

    def create_masked_load(self: Any, ptrs: Any, mask: Any, *rest: Any) -> Any:
        FENCE.check(ptrs.data, mask.data, item(ptrs))
        return load(self, ptrs, mask, *rest)

    def create_masked_store(self: Any, ptrs: Any, value: Any, mask: Any, *rest: Any) -> Any:
        FENCE.check(ptrs.data, mask.data, item(ptrs))
        return store(self, ptrs, value, mask, *rest)

    def fenced(self: GpuTables, threads: int | None = None) -> None:
        FENCE.allow(self)
        run(self, threads)

    builder.create_masked_load, builder.create_masked_store = create_masked_load, create_masked_store
    GpuTables.store = fenced


def main() -> None:
    """A line per rule: its name, whether it agrees, and the report or what went wrong."""
    np.seterr(all="ignore")
    fence_in()
    prepare()
    dtype, *rules = sys.argv[1:]
    for rule in rules:
        try:
            report = compare(load(rule), "triton", dtype, steps=STEPS, shapes=SHAPES, seed=11)
            bounded = all(line.unbounded <= line.elements // 100 for line in report.lines)
            found = {"rule": rule, "ok": report.ok and bounded, "says": str(report)}
        except Exception as error:  # noqa: BLE001 (the test shows it)
            causes = [error]
            while causes[-1].__cause__ is not None and isinstance(causes[-1].__cause__, Exception):
                causes.append(causes[-1].__cause__)
            found = {"rule": rule, "ok": False, "says": " <- ".join(f"{type(e).__name__}: {e}" for e in causes)[-3000:]}
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
