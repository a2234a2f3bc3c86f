"""Threads that help with a sweep. The caller works too, and never waits for a thread that has not come yet.

Threads sleep on a lock of their own and are woken for a sweep; they claim units of whatever sweep is open then, so one
that comes late finds nothing to do, or helps with a later one. A step borrows its threads: steps of several Python
threads share none. After a fork the child starts with none.

An exception in the thread that steps (Ctrl-C, another signal's handler) can only arrive between two calls into compiled
code. The sweep that is open is completed before it goes on, so that a step is only ever left between two sweeps.
"""

from __future__ import annotations

import os
import threading
from collections import deque

import numpy as np
from numpy.typing import NDArray

from optgen.runtime.layout import END_SWEEP, HELP, OPEN, RUN, SERVE, SETTLE, scratch_words

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


def _borrow(count: int, max_streams: int) -> list[Worker]:
    """So many sleeping threads with scratch for so many streams, or fewer where the system has no room for more."""
    workers: list[Worker] = []
    while len(workers) < count:
        try:
            worker = _idle.pop() if _idle else Worker()
            workers.append(worker)
            if worker.scratch.max_streams < max_streams:
                worker.scratch = Scratch(max_streams)
        except IndexError:  # another thread was faster
            continue
        except (RuntimeError, MemoryError):
            break
    fit = [worker for worker in workers if worker.scratch.max_streams >= max_streams]
    if len(fit) < len(workers):
        _idle.extend(worker for worker in workers if worker not in fit)
    return fit


def run_step(job: Job, until: int, scratch: Scratch, threads: int) -> int:
    """Runs what is left of a step, to the end of sweep `until`, with so many threads, the caller's included.

    The number of calls into compiled code. After an exception the job's plan says how many sweeps are complete.
    """
    from optgen.runtime.driver import drive

    plan, own, calls = job.plan, scratch.address, 1
    if threads <= 1:
        drive(plan, RUN, until, own)
        return calls
    workers = _borrow(threads - 1, scratch.max_streams)
    try:
        for worker in workers:
            worker.job = job
        sweep = drive(plan, OPEN, until, own)
        while sweep:
            for worker in workers:
                worker.wake()
            if not drive(plan, SERVE, sweep, own):
                job.finished.acquire()
            sweep = drive(plan, END_SWEEP, until, own)
            calls += 2 + len(workers)
    except BaseException:  # whoever catches it may free the memory that threads work on
        job.broken = True
        drive(plan, SETTLE, 0, own)
        raise
    finally:
        for worker in workers:
            worker.job = None
        _idle.extend(workers)
    return calls
