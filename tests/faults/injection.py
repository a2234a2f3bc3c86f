"""Faults at every point of Python's part of a step, in kernels, and wherever memory is asked for."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import torch

import optgen.runtime
from optgen.runtime import driver, layout

RUNTIME = str(Path(optgen.runtime.__file__).parent)

#: What this process's allocators are called, as the runtime reaches them.
ALLOCATORS = [
    *((np, name) for name in ("zeros", "empty", "array", "concatenate", "full", "arange")),
    *((torch, name) for name in ("zeros_like", "zeros", "full", "empty", "empty_like")),
]


@contextmanager
def after(points: int, error: BaseException | None, files: str | tuple[str, ...] = RUNTIME) -> Iterator[list[int]]:
    """Raises once so many bytecodes of some files have run; where `error` is None they are counted only."""
    count = [0]

    def local(frame: FrameType, event: str, _: Any) -> Any:
        if event == "opcode":
            count[0] += 1
            if count[0] == points and error is not None:
                raise error
        return local

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(files):
            return None
        frame.f_trace_opcodes = True
        return local

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield count
    finally:
        sys.settrace(before)


def failing_kernel(monkeypatch: pytest.MonkeyPatch, sweep: int, times: int, calls_before: int = 0) -> None:
    """The driver raises instead of running this sweep, so many times; the sweeps before it run.

    calls_before: so many driver calls that reach the sweep go through first, such as those for other tables.
    """
    whole, left, through = driver.drive, [times], [calls_before]

    def drive(plan: int, action: int, until: int, scratch: int) -> int:
        ended = (ctypes.c_int64 * layout.PLAN_WORDS).from_address(plan)[layout.ENDED]
        reaches = ended < sweep <= (until if action == layout.RUN else ended + 1)
        reaches = reaches and action in (layout.RUN, layout.SERVE, layout.SETTLE)
        if not reaches or left[0] == 0:
            return whole(plan, action, until, scratch)
        if through[0] > 0:
            through[0] -= 1
            return whole(plan, action, until, scratch)
        left[0] -= 1
        if action == layout.RUN and sweep - 1 > ended:
            whole(plan, action, sweep - 1, scratch)
        raise OSError("the kernel gave up")

    monkeypatch.setattr(driver, "drive", drive)


def no_memory(monkeypatch: pytest.MonkeyPatch, call: int) -> list[int]:
    """From so many allocations on there is no memory; the list counts allocations."""
    count = [0]

    def failing(whole: Callable[..., Any]) -> Callable[..., Any]:
        def allocate(*args: Any, **kwargs: Any) -> Any:
            count[0] += 1
            if count[0] >= call:
                raise MemoryError(f"allocation {count[0]}")
            return whole(*args, **kwargs)

        return allocate

    for module, name in ALLOCATORS:
        monkeypatch.setattr(module, name, failing(getattr(module, name)))
    return count
