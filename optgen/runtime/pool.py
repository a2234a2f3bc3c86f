"""Threads that help with a sweep. The caller works too, and never waits for a thread that has not come yet.

Threads sleep on a lock of their own and are woken for a sweep; they claim units of whatever sweep is open then, so one
that comes late finds nothing to do, or helps with a later one. A step borrows its threads: steps of several Python
threads share none. After a fork the child starts with none.
"""

from __future__ import annotations

import os
import threading
from collections import deque

import numpy as np
from numpy.typing import NDArray

from optgen.runtime.layout import BEGIN_STEP, END_SWEEP, HELP, RUN_STEP, SERVE, STOP, scratch_words

LINE = 64


class Scratch:
    """A thread's own memory, on a cache line boundary."""

    def __init__(self, max_streams: int) -> None:
        self.words: NDArray[np.int64] = np.empty(scratch_words(max_streams) + LINE // 8, dtype=np.int64)
        self.max_streams = max_streams
        self.address: int = -(-self.words.ctypes.data // LINE) * LINE


class Job:
    """The step of one plan, for as long as the plan lives: a thread that comes late may help with a later step.

    ``keep`` holds the memory that such a thread looks at. After an interrupted step a job is ``broken``: a thread may
    still say that the step is finished, so that the plan is not to be used again.
    """

    def __init__(self, plan: int, keep: object) -> None:
        self.plan = plan
        self.keep = keep
        self.broken = False
        self.finished = threading.Lock()
        self.finished.acquire()


class Worker:
    """One sleeping thread."""

    def __init__(self) -> None:
        self.job: Job | None = None
        self.scratch = Scratch(0)
        self.asleep = threading.Lock()
        self.asleep.acquire()
        threading.Thread(target=self._work, name="optgen", daemon=True).start()

    def wake(self) -> None:
        """Has the thread look at its job (again), if it is not about to."""
        if self.asleep.locked():
            self.asleep.release()

    def _work(self) -> None:
        from optgen.runtime.driver import drive

        while True:
            self.asleep.acquire()
            job, scratch = self.job, self.scratch
            if job is not None and drive(job.plan, HELP, 0, scratch.address):
                job.finished.release()
            del job, scratch


_idle: deque[Worker] = deque()


def _forget() -> None:
    """The threads of a parent process do not exist in its child."""
    _idle.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _borrow(count: int) -> list[Worker]:
    """So many sleeping threads, or fewer where the system allows no more."""
    workers: list[Worker] = []
    while len(workers) < count:
        try:
            workers.append(_idle.pop())
        except IndexError:
            try:
                workers.append(Worker())
            except RuntimeError:
                break
    return workers


def run_step(job: Job, sweeps: int, scratch: Scratch, threads: int) -> int:
    """One optimizer step with so many threads, the caller's included; the number of calls into compiled code."""
    from optgen.runtime.driver import drive

    plan, own = job.plan, scratch.address
    if threads <= 1:
        drive(plan, RUN_STEP, 0, own)
        return 1
    workers = _borrow(threads - 1)
    done = False
    try:
        for worker in workers:
            if worker.scratch.max_streams < scratch.max_streams:
                worker.scratch = Scratch(scratch.max_streams)
            worker.job = job
        drive(plan, BEGIN_STEP, 0, own)
        for sweep in range(1, sweeps + 1):
            for worker in workers:
                worker.wake()
            if not drive(plan, SERVE, sweep, own):
                job.finished.acquire()
            drive(plan, END_SWEEP, sweep, own)
        done = True
    finally:
        if not done:  # an interrupt: whoever catches it may free the memory that threads work on
            job.broken = True
            drive(plan, STOP, 0, own)
        for worker in workers:
            worker.job = None
        _idle.extend(workers)
    return 1 + sweeps * (2 + len(workers))
