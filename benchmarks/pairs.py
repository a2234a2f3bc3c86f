"""Sides that take steps in turn on lists of layers, and their ratios in pairs: what benchmarks of frameworks share."""

from __future__ import annotations

import argparse
import json
import statistics
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias, cast

import numpy as np

from optgen.bench import shapes as lists
from optgen.bench.machine import about
from optgen.bench.measure import interleaved

#: Side, against which other side, and the ratio wanted at most where there is much to step.
Pair: TypeAlias = tuple[str, str, float | None]
#: Makes the sides for a list of layers: what takes a step, by name.
Sides: TypeAlias = Callable[[lists.Shapes], Mapping[str, Callable[[], object]]]
#: Below so many elements no ratio is wanted.
_MUCH = 10**6


def case(name: str, shapes: lists.Shapes, made: Sides, pairs: Sequence[Pair], repeats: int) -> list[dict[str, object]]:
    """All sides on one list of layers."""
    sides = made(shapes)
    times = dict(zip(sides, interleaved(list(sides.values()), repeats), strict=True))
    elements = sum(int(np.prod(shape)) for _, shape in shapes)
    rows: list[dict[str, object]] = []
    for mine, peer, wanted in pairs:
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
            "wanted": wanted if elements > _MUCH else None,
        }
        rows.append(row)
        print(
            f"{name:<12} {mine:<16} {row['ms']:8.2f} ms  {peer:<23} {row['against_ms']:8.2f} ms  {ratio:5.2f}x "
            f"(minima {row['ratio_of_minima']:.2f}x, wanted {row['wanted']})",
            flush=True,
        )
    return rows


def main(script: str, doc: str | None, made: Sides, pairs: Sequence[Pair], versions: Mapping[str, str]) -> None:
    """A benchmark's command line: every case, a line per pair, and a file if one is asked for."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
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
            rows += case(name, shapes, made, pairs, repeats * (5 if len(shapes) == 500 else 1))
    report: dict[str, object] = {
        **about(f"python benchmarks/{script}" + (" --quick" if args.quick else "")),
        "rows": rows,
    }
    report["versions"] = {**cast("dict[str, str]", report["versions"]), **versions}
    if args.out:
        Path(args.out).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
