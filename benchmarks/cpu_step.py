"""CPU time of a whole optimizer.step() against torch's fused AdamW, and of AdamW against an in-place axpy.

    python benchmarks/cpu_step.py [--quick] [--out benchmarks/results/cpu_step.json]

Every case measures both sides in turn, in one process, and reports medians and their ratio: the machine is noisy and
the peer is noisy with it. A pause between them lets the threads of the side before go to sleep. Parameters and
gradients are float32, gradients stay the same tensors from step to step.
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


def case(name: str, shapes: lists.Shapes, rule: str, limit: float, repeats: int, **hypers: object) -> dict[str, object]:
    """One rule on one parameter list, against torch's fused AdamW on an equal list."""
    ours = getattr(rules, rule)(parameters(shapes), lr=1e-3, weight_decay=0.01, **hypers)
    peer = torch.optim.AdamW([p for _, p in parameters(shapes)], lr=1e-3, weight_decay=0.01, fused=True)
    mine, theirs = interleaved([ours.step, peer.step], repeats)
    ratio = statistics.median(mine) / statistics.median(theirs)
    elements = sum(p.numel() for group in peer.param_groups for p in group["params"])
    row = {
        "case": name,
        "rule": rule,
        "hypers": {key: repr(value) for key, value in hypers.items()},
        "tensors": len(shapes),
        "elements": elements,
        "ms": 1e3 * statistics.median(mine),
        "fused_adamw_ms": 1e3 * statistics.median(theirs),
        "ratio": ratio,
        "ratio_of_minima": min(mine) / min(theirs),
        "wanted": limit,
    }
    print(f"{name:<24} {rule:<8} {row['ms']:9.3f} ms  {row['fused_adamw_ms']:9.3f} ms  {ratio:5.2f}x (wanted {limit})")
    return row


def bandwidth(repeats: int) -> dict[str, object]:
    """Bytes per second of AdamW (28 per element) against an in-place axpy (12 per element), one 32M tensor."""
    ours = rules.AdamW(parameters(lists.single()), lr=1e-3, weight_decay=0.01)
    elements = lists.single()[0][1][0]
    x, y = torch.randn(elements), torch.randn(elements)
    mine, axpy = interleaved([ours.step, lambda: y.add_(x, alpha=1e-6)], repeats)
    rate = [28 * elements / statistics.median(mine) / 1e9, 12 * elements / statistics.median(axpy) / 1e9]
    row = {"case": "bandwidth", "adamw_GB_per_s": rate[0], "axpy_GB_per_s": rate[1], "ratio": rate[0] / rate[1]}
    print(f"bandwidth: AdamW {rate[0]:.1f} GB/s, in-place axpy {rate[1]:.1f} GB/s, {row['ratio']:.2f}x (wanted 0.95)")
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    parser.add_argument("--only", default="", help="cases whose name or rule contains this")
    parser.add_argument("--out", default="", help="JSON file to write")
    args = parser.parse_args()
    repeats = 7 if args.quick else 21
    big, resnet, gpt2 = lists.single(), lists.resnet50(), lists.gpt2_small()
    due = {"intervals": 1}
    cases = [
        ("32M tensor", big, "AdamW", 1.0, {}),
        ("ResNet-50", resnet, "AdamW", 1.0, {}),
        ("GPT-2 small", gpt2, "AdamW", 1.0, {}),
        ("32M tensor", big, "NEAT", 1.3, {}),
        ("ResNet-50", resnet, "NEAT", 1.3, {}),
        ("GPT-2 small", gpt2, "NEAT", 1.5, {}),
        ("12 matched GPT-2 blocks", lists.gpt2_blocks(), "NEAT", 1.5, {}),
        ("32M tensor", big, "Nested", 2.3, due),
        ("ResNet-50", resnet, "Nested", 2.3, due),
        ("GPT-2 small", gpt2, "Nested", 2.3, due),
        ("500 x 256", lists.many_small(), "AdamW", 0.25, {}),
    ]
    rows: list[dict[str, object]] = []
    for name, shapes, rule, limit, hypers in cases:
        if args.only.lower() in f"{name} {rule}".lower():
            given = {key: [value] * len(shapes) for key, value in hypers.items()}
            rows.append(case(name, shapes, rule, limit, repeats * (10 if len(shapes) == 500 else 1), **given))
    if not args.only:
        rows.append(bandwidth(repeats))
    command = "python benchmarks/cpu_step.py" + (" --quick" if args.quick else "")
    report = {**about(command), "threads": torch.get_num_threads(), "rows": rows}
    if args.out:
        Path(args.out).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
