"""Time of the driver alone: many small tensors, one large one, tensors that read their neighbours, waking a thread.

    python benchmarks/driver_overhead.py [--threads 2]

The kernels are those of tests/runtime/kernels. torch's fused AdamW and an in-place axpy of the same driver are measured
in turns with ours; medians.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from optgen.bench.measure import interleaved
from optgen.runtime.kernel_module import load_module
from optgen.runtime.tables import Tables, TensorInfo

KERNELS = Path(__file__).parents[1] / "tests" / "runtime" / "kernels"


def bound(name: str, tensors: Sequence[Sequence[torch.Tensor]]) -> Tables:
    """Tables of a kernel module over tensors[slot][tensor]."""
    infos = [TensorInfo(tuple(p.shape), t, "", 0.5, "float32") for t, p in enumerate(tensors[0])]
    tables = Tables([load_module(str(KERNELS / f"{name}.py"))], infos, [0] * len(infos))
    for slot, column in enumerate(tensors):
        tables.address[:, slot] = [x.data_ptr() for x in column]
    tables.hyper[:] = [1e-3, 0.9, 0.999, 1e-8, 0.01][: tables.hyper.shape[1]]
    return tables


def medians(runs: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of each, run in turns without a pause."""
    times = interleaved(list(runs.values()), repeats, settle=0.0)
    return {name: statistics.median(taken) for name, taken in zip(runs, times, strict=True)}


def adaptive(shapes: Sequence[tuple[int, ...]], threads: int, repeats: int) -> dict[str, float]:
    """Our two-moment sweep, torch's fused AdamW, and an axpy, all in place."""
    tensors = [[torch.rand(shape) for shape in shapes] for _ in range(4)] + [[torch.zeros(()) for _ in shapes]]
    ours = bound("adaptive", tensors)
    axpy = bound("axpy", tensors[:2])
    params = [torch.nn.Parameter(p.clone()) for p in tensors[0]]
    for p, g in zip(params, tensors[1], strict=True):
        p.grad = g
    fused = torch.optim.AdamW(params, fused=True)
    runs: dict[str, Callable[[], object]] = {
        "ours": lambda: ours.run(1, threads=threads),
        "axpy": lambda: axpy.run(1, threads=threads),
        "torch": fused.step,
    }
    return medians(runs, repeats)


def waking(repeats: int = 200) -> tuple[float, float]:
    """Median and 90th percentile of the time from waking a sleeping thread to its running Python."""
    done: list[float] = []
    lock = threading.Lock()
    lock.acquire()
    stamps: list[float] = []

    def work() -> None:
        while len(stamps) < repeats:
            lock.acquire()
            stamps.append(time.perf_counter())

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    for _ in range(repeats):
        time.sleep(0.002)
        count = len(stamps)
        start = time.perf_counter()
        lock.release()
        while len(stamps) == count:
            time.sleep(0)
        done.append(stamps[-1] - start)
    done.sort()
    return done[len(done) // 2], done[len(done) * 9 // 10]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    threads = parser.parse_args().threads
    torch.set_num_threads(threads)
    print(f"torch {torch.__version__}, Python {sys.version.split()[0]}, {threads} threads")
    small = adaptive([(256,)] * 500, threads, 200)
    print(f"500 tensors of 256: ours {small['ours'] * 1e6:.0f} us, torch fused {small['torch'] * 1e6:.0f} us")
    large = adaptive([(1 << 25,)], threads, 15)
    for name, size in (("ours", 28), ("torch", 28), ("axpy", 12)):
        speed = size * (1 << 25) / large[name] / 1e9
        print(f"one tensor of 2^25, {name:5}: {large[name] * 1e3:6.2f} ms, {speed:5.1f} GB/s")
    for elements in (1 << 14, 1 << 16, 1 << 18, 1 << 20):
        one, many = (adaptive([(elements,)], count, 100)["ours"] for count in (1, 2))
        print(f"one tensor of {elements}: 1 thread {one * 1e6:.0f} us, 2 threads {many * 1e6:.0f} us")
    middle, late = waking()
    print(f"waking a thread: median {middle * 1e6:.0f} us, 90% within {late * 1e6:.0f} us")


if __name__ == "__main__":
    main()
