"""Compares kernels in Triton's interpreter with the float64 reference: run as a program, in a process of its own.

    TRITON_INTERPRET=1 python interpreted.py DTYPE RULE...

prints a line of JSON per rule. The interpreter is mended where it is not what it stands for (casts to bfloat16
truncate), patched where it is slow, and refuses every access outside the memory that a kernel was given.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

os.environ["TRITON_INTERPRET"] = "1"

import numpy as np
import triton.language as tl
from triton.runtime import interpreter

from optgen.runtime.gpu_tables import GpuTables
from optgen.runtime.storage import BYTES
from optgen.verify import compare

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


def mend_bfloat16() -> None:
    """Conversions to bfloat16 round to nearest, halves to even, as processors do."""
    builder = interpreter.InterpreterBuilder
    cast = builder.cast_impl

    def widened(words: Any) -> Any:
        return (words.astype(np.uint32) << np.uint32(16)).view(np.float32)

    def rounded(x: Any) -> Any:
        bits = np.ascontiguousarray(x, dtype=np.float32).view(np.uint32)
        near = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
        kept = (bits >> np.uint32(16)) | np.uint32(0x40)
        return np.where(np.isnan(x), kept, near).astype(np.uint16)

    def cast_impl(self: Any, source: Any, target: Any) -> Any:
        old, new = source.dtype.scalar, target.scalar
        if old == tl.bfloat16 and new != tl.bfloat16:
            wide = interpreter.TensorHandle(widened(source.data), tl.float32)
            return wide if new == tl.float32 else cast(self, wide, target)
        if new == tl.bfloat16 and old != tl.bfloat16:
            with np.errstate(over="ignore", invalid="ignore"):
                return interpreter.TensorHandle(rounded(source.data.astype(np.float32)), tl.bfloat16)
        return cast(self, source, target)

    builder.cast_impl = cast_impl


def patch_once() -> None:
    """The interpreter changes triton's language around every call; a function inside a kernel finds it changed."""
    depth = 0
    patch, executor = interpreter._patch_lang, interpreter.GridExecutor.__call__

    @contextmanager
    def inside() -> Iterator[None]:
        nonlocal depth
        depth += 1
        try:
            yield
        finally:
            depth -= 1

    class Nothing:
        def restore(self) -> None:
            """As it was."""

    seen: set[int] = set()

    def patch_lang(function: Any) -> Any:
        key = id(function.__globals__)
        if depth and key in seen:
            return Nothing()
        made = patch(function)
        if depth:
            seen.add(key)
        return made

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen.clear()
        with inside():
            return executor(self, *args, **kwargs)

    interpreter._patch_lang = patch_lang
    interpreter.GridExecutor.__call__ = call


def main() -> None:
    """A line per rule: its name, whether it agrees, and the report or what went wrong."""
    np.seterr(all="ignore")
    fence_in()
    mend_bfloat16()
    patch_once()
    dtype, *rules = sys.argv[1:]
    for rule in rules:
        try:
            report = compare(rule, "triton", dtype, steps=STEPS, shapes=SHAPES, seed=11)
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
