"""CPU time of the graph and memory rules where it is promised, against our own AdamW and torch's fused one.

    python benchmarks/families.py [--quick] [--out benchmarks/results/families.json]

NEAT where no neighbours match (ResNet-50; GPT-2 small with each tensor a player), and Nested with its default schedule:
the mean over twelve consecutive steps, of which each layer takes its own. All sides are measured in turn.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

import torch

from optgen import torch as rules
from optgen.bench import shapes as lists
from optgen.bench.machine import about
from optgen.bench.measure import interleaved
from optgen.bench.sides import parameters

STEPS = 12  # a multiple of the intervals 1, 2, 3, 4 and 6


def case(name: str, shapes: lists.Shapes, rule: str, limit: float, cycles: int, **given: object) -> dict[str, object]:
    """A rule against both, by the mean over every twelve steps; medians over cycles."""
    ours = getattr(rules, rule)(parameters(shapes), lr=1e-3, weight_decay=0.01, **given)
    plain = rules.AdamW(parameters(shapes), lr=1e-3, weight_decay=0.01)
    fused = torch.optim.AdamW([p for _, p in parameters(shapes)], lr=1e-3, weight_decay=0.01, fused=True)
    times = interleaved([ours.step, plain.step, fused.step], STEPS * cycles)
    mine, own, theirs = (
        1e3 * statistics.median(statistics.fmean(side[i : i + STEPS]) for i in range(0, len(side), STEPS))
        for side in times
    )
    row: dict[str, object] = {"case": name, "rule": rule, "given": {key: repr(value) for key, value in given.items()}}
    row |= {"ms": mine, "adamw_ms": own, "fused_adamw_ms": theirs, "ratio": mine / own, "ratio_to_fused": mine / theirs}
    print(f"{name:<32} {mine:8.2f} ms  {mine / own:5.2f}x our AdamW  {mine / theirs:5.2f}x fused (wanted {limit})")
    return {**row, "wanted": limit}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    parser.add_argument("--out", default="", help="JSON file to write")
    args = parser.parse_args()
    cycles = 1 if args.quick else 3
    resnet, gpt2 = lists.resnet50(), lists.gpt2_small()
    rows = [
        case("NEAT, ResNet-50", resnet, "NEAT", 1.25, cycles),
        case("NEAT, GPT-2 small, tensors", gpt2, "NEAT", 1.25, cycles, players="tensor"),
        case("Nested, ResNet-50, schedule", resnet, "Nested", 2.0, cycles),
        case("Nested, GPT-2 small, schedule", gpt2, "Nested", 2.0, cycles),
    ]
    command = "python benchmarks/families.py" + (" --quick" if args.quick else "")
    report = {**about(command), "threads": torch.get_num_threads(), "rows": rows}
    if args.out:
        Path(args.out).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
