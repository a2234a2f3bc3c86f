"""Triton's interpreter, made to do what kernels mean: casts to bfloat16 round, and what is slow in it is done once.

The process must have been started with TRITON_INTERPRET=1: triton reads it on import.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import triton.language as tl
from triton.runtime import interpreter


def prepare() -> None:
    """Readies this process."""
    mend_bfloat16()
    patch_once()


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
