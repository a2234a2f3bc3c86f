"""The memory that simulated kernels of a graphics processor may touch, and reports of rules run with it."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from optgen.runtime.gpu_tables import GpuTables
from optgen.runtime.storage import BYTES
from optgen.spec.loader import load
from optgen.verify import compare
from tests.programs import asked

#: Players whose tensors begin at different flat indices, so that neighbours are read at a distance.
UNEVEN: Mapping[str, tuple[int, ...]] = {"a.w": (30, 9), "a.b": (41,), "b.w": (11,), "b.b": (7, 50), "c.w": (263,)}


class Fence:
    """The memory that kernels may touch: byte ranges, sorted by their begins."""

    def __init__(self) -> None:
        self.begins, self.ends = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._begins, self._ends = list[int](), list[int]()

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
        self._begins, self._ends = self.begins.tolist(), self.ends.tolist()

    def check(self, at: NDArray[np.int64], item: int) -> None:
        """Raises for an access that is not wholly inside one range."""
        found = np.searchsorted(self.begins, at, side="right") - 1
        outside = (found < 0) | (at + item > self.ends[found])
        if outside.any():
            raise AssertionError(f"{int(outside.sum())} accesses of {item} bytes outside the kernel's memory")

    def touch(self, at: int, size: int) -> int:
        """The same of one access; its address."""
        found = bisect_right(self._begins, at) - 1
        if found < 0 or at + size > self._ends[found]:
            raise AssertionError(f"an access of {size} bytes outside the kernel's memory")
        return at

    def follow_steps(self) -> None:
        """From here on what is allowed is worked out before each step."""
        run = GpuTables.store

        def fenced(tables: GpuTables, threads: int | None = None) -> None:
            self.allow(tables)
            run(tables, threads)

        GpuTables.store = fenced  # type: ignore[method-assign]


def report(backend: str, work: Sequence[str], shapes: Mapping[str, tuple[int, ...]], steps: int) -> None:
    """Prints a line of JSON per DTYPE:RULE: whether it agrees with the reference, or what is wrong."""
    for each in work:
        dtype, _, rule = each.partition(":")
        try:
            name, hypers = asked(rule)
            graph = {"coupling": str(hypers.pop("coupling"))} if "coupling" in hypers else {}
            there = UNEVEN if graph else shapes
            made = compare(load(name), backend, dtype, steps=steps, shapes=there, seed=11, hypers=hypers, **graph)
            # singular values of small random matrices lie close, and what is cut between two such has no bound
            few = 5 if hypers else 100
            bounded = all(line.unbounded <= line.elements // few for line in made.lines)
            found = {"asked": each, "ok": made.ok and bounded, "says": str(made)}
        except Exception as error:  # noqa: BLE001 (the test shows it)
            causes = [error]
            while causes[-1].__cause__ is not None and isinstance(causes[-1].__cause__, Exception):
                causes.append(causes[-1].__cause__)
            said = " <- ".join(f"{type(e).__name__}: {e}" for e in causes)[-3000:]
            found = {"asked": each, "ok": False, "says": said}
        print(json.dumps(found), flush=True)
