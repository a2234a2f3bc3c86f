"""CPU time of `optimizer.apply` in Keras on its torch backend: kernels, the same rule by keras.ops, Keras's own.

    python benchmarks/keras_step.py [--quick] [--only TEXT] [--out benchmarks/results/keras_step.json]

Every case runs all its sides in turn, in one process, and reports medians and their ratios: the machine is noisy and
the peer is noisy with it. Variables and gradients are float32; gradients stay the same from step to step.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import warnings
from collections.abc import Callable
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
from keras import ops

from optgen import keras as rules
from optgen.bench import shapes as lists
from optgen.bench.machine import about
from optgen.bench.measure import interleaved

#: Side, and against which other side.
PAIRS = (
    ("AdamW kernels", "keras.optimizers.AdamW"),
    ("AdamW kernels", "AdamW keras.ops"),
    ("AdamW keras.ops", "keras.optimizers.AdamW"),
    ("NEAT kernels", "NEAT keras.ops"),
    ("NEAT kernels", "AdamW kernels"),
)


def side(optimizer: keras.optimizers.Optimizer, shapes: lists.Shapes, grads: list[object]) -> Callable[[], None]:
    """A step on variables of its own."""
    rng = np.random.default_rng(0)
    variables: list[keras.Variable] = []
    for name, shape in shapes:
        *outer, last = name.replace(".", "/").split("/")
        with keras.name_scope("_".join(outer) or "w"):
            variables.append(keras.Variable(0.02 * rng.standard_normal(shape, np.float32), name=last))
    optimizer.build(variables)
    return lambda: optimizer.apply(grads, variables)


def case(name: str, shapes: lists.Shapes, repeats: int) -> list[dict[str, object]]:
    """All sides on one list of layers."""
    rng = np.random.default_rng(1)
    grads = [ops.convert_to_tensor(rng.standard_normal(shape, np.float32)) for _, shape in shapes]
    given = {"learning_rate": 1e-3, "weight_decay": 0.01}
    made = {
        "keras.optimizers.AdamW": keras.optimizers.AdamW(**given),
        "AdamW keras.ops": rules.AdamW(**given, backend="xla"),
        "AdamW kernels": rules.AdamW(**given),
        "NEAT keras.ops": rules.NEAT(**given, backend="xla"),
        "NEAT kernels": rules.NEAT(**given),
    }
    sides = {key: side(optimizer, shapes, grads) for key, optimizer in made.items()}
    for key, optimizer in made.items():
        if key.endswith("kernels") and "numba kernels" not in optimizer.describe().splitlines()[0]:
            raise SystemExit(optimizer.describe().splitlines()[0])
    times = dict(zip(sides, interleaved(list(sides.values()), repeats), strict=True))
    elements = sum(int(np.prod(shape)) for _, shape in shapes)
    rows: list[dict[str, object]] = []
    for mine, peer in PAIRS:
        ratio = statistics.median(times[mine]) / statistics.median(times[peer])
        row = {
            "case": name,
            "side": mine,
            "against": peer,
            "tensors": len(shapes),
            "elements": elements,
            "ms": 1e3 * statistics.median(times[mine]),
            "against_ms": 1e3 * statistics.median(times[peer]),
            "ratio": ratio,
            "ratio_of_minima": min(times[mine]) / min(times[peer]),
        }
        rows.append(row)
        print(
            f"{name:<12} {mine:<16} {row['ms']:8.2f} ms  {peer:<23} {row['against_ms']:8.2f} ms  {ratio:5.2f}x "
            f"(minima {row['ratio_of_minima']:.2f}x)",
            flush=True,
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--out", default="", help="JSON file to write")
    args = parser.parse_args()
    warnings.filterwarnings("ignore", message=".*order of layers.*")
    repeats = 5 if args.quick else 15
    cases = {"ResNet-50": lists.resnet50(), "GPT-2 small": lists.gpt2_small(), "500 x 256": lists.many_small()}
    rows: list[dict[str, object]] = []
    for name, shapes in cases.items():
        if args.only.lower() in name.lower():
            rows += case(name, shapes, repeats)
    report = {
        **about("python benchmarks/keras_step.py" + (" --quick" if args.quick else "")),
        "load": os.getloadavg()[0],
        "real_time": os.sched_getscheduler(0) != os.SCHED_OTHER,
        "rows": rows,
    }
    report["versions"] |= {"keras": keras.__version__}
    if args.out:
        Path(args.out).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
