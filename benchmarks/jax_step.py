"""CPU time of a step in JAX against `optax.adamw`, both under `jax.jit` with parameters and state donated.

    python benchmarks/jax_step.py [--quick] [--only TEXT] [--out benchmarks/results/jax_step.json]

Every case runs all its sides in turn, in one process, and reports medians and their ratios: the machine is noisy and
the peer is noisy with it. Parameters and gradients are float32; gradients stay the same from step to step.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np
import optax

from optgen import jax as rules
from optgen.bench import shapes as lists
from optgen.bench.machine import about
from optgen.bench.measure import interleaved

Tree = Mapping[str, jax.Array]
#: Side, against which other side, and the ratio wanted at most.
WANTED = (
    ("adamw apply", "optax.adamw", 0.75),
    ("adamw update", "optax.adamw", 1.05),
    ("neat apply", "adamw apply", 1.5),
    ("adamw strict", "adamw plain", None),
)


def arrays(shapes: lists.Shapes, scale: float) -> dict[str, jax.Array]:
    """Random arrays by name."""
    rng = np.random.default_rng(0)
    return {name: jnp.asarray(scale * rng.standard_normal(shape, np.float32)) for name, shape in shapes}


def side(
    transformation: optax.GradientTransformation, shapes: lists.Shapes, grads: Tree, *, way: str = "update"
) -> Callable[[], None]:
    """A step that keeps its own parameters and state."""

    # parameters first, as they come out: JAX gives outputs the memory of donated inputs in this order
    def step(params: Tree, state: object, grads: Tree) -> tuple[object, object]:
        if way != "update":
            return getattr(transformation, way)(grads, state, params)
        updates, state = transformation.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    compiled = jax.jit(step, donate_argnums=(0, 1))
    params = arrays(shapes, 0.02)
    held = [params, transformation.init(params)]

    def run() -> None:
        held[0], held[1] = compiled(held[0], held[1], grads)
        jax.block_until_ready(held)

    return run


def case(name: str, shapes: lists.Shapes, repeats: int) -> list[dict[str, object]]:
    """All sides on one parameter list."""
    grads = arrays(shapes, 1.0)
    given = {"learning_rate": 1e-3, "weight_decay": 0.01}
    sides = {
        "optax.adamw": side(optax.adamw(**given), shapes, grads),
        "adamw update": side(rules.adamw(**given), shapes, grads),
        "adamw apply": side(rules.adamw(**given), shapes, grads, way="apply"),
        "neat apply": side(rules.neat(**given), shapes, grads, way="apply"),
        "adamw plain": side(rules.adamw(**given), shapes, grads, way="plain"),
        "adamw strict": side(rules.adamw(**given, strict=True), shapes, grads, way="plain"),
    }
    times = dict(zip(sides, interleaved(list(sides.values()), repeats), strict=True))
    elements = sum(int(np.prod(shape)) for _, shape in shapes)
    rows: list[dict[str, object]] = []
    for mine, peer, wanted in WANTED:
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
            "wanted": wanted if elements > 10**6 else None,
        }
        rows.append(row)
        print(
            f"{name:<12} {mine:<13} {row['ms']:8.3f} ms  {peer:<12} {row['against_ms']:8.3f} ms  {ratio:5.2f}x "
            f"(minima {row['ratio_of_minima']:.2f}x, wanted {row['wanted']})",
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
    repeats = 7 if args.quick else 21
    cases = {"ResNet-50": lists.resnet50(), "GPT-2 small": lists.gpt2_small(), "500 x 256": lists.many_small()}
    rows: list[dict[str, object]] = []
    for name, shapes in cases.items():
        if args.only.lower() in name.lower():
            rows += case(name, shapes, repeats * (5 if len(shapes) == 500 else 1))
    report = {**about("python benchmarks/jax_step.py" + (" --quick" if args.quick else "")), "rows": rows}
    report["versions"] |= {"jax": jax.__version__, "optax": optax.__version__}
    if args.out:
        Path(args.out).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
