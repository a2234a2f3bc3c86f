"""Seconds of steps that are taken in turn, in one process: the machine is noisy, and a peer is noisy with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

Step = Callable[[], object]

#: Seconds between measurements. OpenMP threads go on spinning for milliseconds after torch's step and hold the second
#: core; without a pause each side is measured beside the other's leftovers.
SETTLE = 0.02
#: Steps that are not counted: caches fill, and code that is compiled at its first use is.
WARM = 3


def interleaved(steps: Sequence[Step], repeats: int, settle: float = SETTLE, *, warm: int = WARM) -> list[list[float]]:
    """Seconds of each step, `repeats` of each after `warm` that do not count; a step returns when its work is done."""
    times: list[list[float]] = [[] for _ in steps]
    for _ in range(warm):
        for step in steps:
            step()
    for _ in range(repeats):
        for taken, step in zip(times, steps, strict=True):
            time.sleep(settle)
            begin = time.perf_counter()
            step()
            taken.append(time.perf_counter() - begin)
    return times
