"""How long optgen takes to start: import, build, and the first step from a cold and from a warm cache.

    python benchmarks/start_times.py [--out benchmarks/results/start_times.json]

Every figure is the median of fresh processes. "First step" counts from constructing the optimizer, imports done, on a
small model; cold means an empty cache folder and no compiled kernel anywhere.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from optgen.bench.machine import about

FIRST_STEP = """
import sys, time, torch, optgen.torch
from optgen.runtime import cpu
Cls = getattr(optgen.torch, sys.argv[1])
model = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.Tanh(), torch.nn.Linear(128, 10))
model(torch.randn(8, 64)).sum().backward()
begin = time.perf_counter()
Cls(model.named_parameters(), lr=1e-3).step()
print(time.perf_counter() - begin)
"""


def process(*command: str, env: dict[str, str] | None = None) -> tuple[float, str]:
    """Seconds a process took, and what it printed."""
    begin = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **(env or {})})
    return time.perf_counter() - begin, done.stdout


def median(measure: Callable[[], float], repeats: int) -> float:
    """Median of repeated measurements."""
    return statistics.median(measure() for _ in range(repeats))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", default="", help="JSON file to write")
    args = parser.parse_args()
    rows: dict[str, float] = {}

    timed = "import time; begin = time.perf_counter(); import optgen; print(time.perf_counter() - begin)"
    rows["import optgen"] = median(lambda: float(process(sys.executable, "-c", timed)[1]), args.repeats)
    with tempfile.TemporaryDirectory() as folder:
        build = [sys.executable, "-m", "optgen", "build", "neat", "--out", f"{folder}/neat"]
        rows["optgen build neat (wall)"] = median(lambda: process(*build)[0], args.repeats)
    for name in ("AdamW", "NEAT", "Nested", "Adafactor"):
        cold: list[float] = []
        warm: list[float] = []
        for _ in range(args.repeats):
            with tempfile.TemporaryDirectory() as folder:
                env = {"OPTGEN_CACHE_DIR": folder, "NUMBA_CACHE_DIR": f"{folder}/numba"}
                first = [sys.executable, "-c", FIRST_STEP, name]
                cold.append(float(process(*first, env=env)[1]))
                warm.append(float(process(*first, env=env)[1]))
        rows[f"{name}: first step, cold cache"] = statistics.median(cold)
        rows[f"{name}: first step, warm cache"] = statistics.median(warm)
    for name, seconds in rows.items():
        print(f"{name:<36} {seconds:7.3f} s")
    if args.out:
        report = {**about("python benchmarks/start_times.py"), "seconds": rows}
        Path(args.out).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
