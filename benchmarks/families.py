"""CPU time of the graph, conflict, memory and matrix rules where it is promised, against AdamW and torch's own Muon.

    python benchmarks/families.py [--quick] [--only TEXT] [--out benchmarks/results/families.json]

NEAT and nce, and Nested with its default schedule, against our AdamW and torch's fused one: NEAT where no neighbours
match (each tensor a player) and with players from names, Nested by the mean over twelve consecutive steps, of which
each layer takes its own. Muon and M3 on the matrices of two of GPT-2 small's blocks against `torch.optim.Muon`, whose
iteration runs in bfloat16 where ours runs in float32, and against the same made to run in float32. All sides of a case
are measured in turn, in one process; ratios are medians of the ratios of one turn, since sides measured one after the
other meet the same machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import torch

from optgen import torch as rules
from optgen.bench import shapes as lists
from optgen.bench.machine import about
from optgen.bench.measure import interleaved
from optgen.bench.sides import parameters

SCHEDULE = 12  # steps: a multiple of the intervals 1, 2, 3, 4 and 6
Row = dict[str, object]


@dataclass(frozen=True)
class Case:
    """A rule on a list of parameters. Its time is the mean over `period` steps; `wanted` is against our AdamW."""

    name: str
    shapes: lists.Shapes
    rule: str
    wanted: float | None = None
    period: int = 1
    given: Mapping[str, object] = field(default_factory=dict[str, object])


def cases() -> list[Case]:
    """Those measured against AdamW."""
    resnet, gpt2, alone = lists.resnet50(), lists.gpt2_small(), {"players": "tensor"}
    return [
        Case("NEAT, ResNet-50, tensors", resnet, "NEAT", 1.25, given=alone),
        Case("NEAT, GPT-2 small, tensors", gpt2, "NEAT", 1.25, given=alone),
        Case("NEAT, ResNet-50", resnet, "NEAT"),
        Case("NEAT, GPT-2 small", gpt2, "NEAT"),
        Case("nce, ResNet-50", resnet, "NCE", 1.4),
        Case("nce, GPT-2 small", gpt2, "NCE", 1.4),
        Case("Nested, ResNet-50, schedule", resnet, "Nested", 2.0, period=SCHEDULE),
        Case("Nested, GPT-2 small, schedule", gpt2, "Nested", 2.0, period=SCHEDULE),
    ]


def against_adamw(case: Case, repeats: int) -> Row:
    """A rule against our AdamW and torch's fused one."""
    ours = getattr(rules, case.rule)(parameters(case.shapes), lr=1e-3, weight_decay=0.01, **case.given)
    plain = rules.AdamW(parameters(case.shapes), lr=1e-3, weight_decay=0.01)
    fused = torch.optim.AdamW([p for _, p in parameters(case.shapes)], lr=1e-3, weight_decay=0.01, fused=True)
    count = repeats if case.period == 1 else case.period * max(1, repeats // 7)
    times = [means(side, case.period) for side in interleaved([ours.step, plain.step, fused.step], count)]
    row = compared(case.name, case.rule, times, ("adamw", "fused_adamw"))
    row |= {"given": {key: repr(value) for key, value in case.given.items()}, "wanted": case.wanted}
    return row


def matrix_rules(repeats: int, blocks: int) -> list[Row]:
    """Muon and M3 against `torch.optim.Muon`, as it is and in float32, on the matrices of some GPT-2 small blocks."""
    matrices = [(name, shape) for name, shape in lists.gpt2_blocks(blocks) if len(shape) == 2]
    muon = rules.Muon(parameters(matrices), lr=1e-3, weight_decay=0.01)
    m3 = rules.M3(parameters(matrices), lr=1e-3, weight_decay=0.01)
    torchs = [torch.optim.Muon([p for _, p in parameters(matrices)], lr=1e-3, weight_decay=0.01) for _ in range(2)]

    def in_float32() -> None:
        with mock.patch.object(torch.Tensor, "bfloat16", torch.Tensor.float):
            torchs[1].step()

    mine, multi, *peers = interleaved([muon.step, m3.step, torchs[0].step, in_float32], repeats, warm=1)
    names = ("torch_muon", "torch_muon_in_float32")
    where = f"{len(matrices)} matrices of {blocks} GPT-2 small blocks"
    return [
        compared(f"Muon, {where}", "Muon", [mine, *peers], names),
        compared(f"M3, {where}", "M3", [multi, *peers], names),
    ]


def means(times: Sequence[float], period: int) -> list[float]:
    """Of so many consecutive steps each."""
    return [statistics.fmean(times[i : i + period]) for i in range(0, len(times), period)]


def compared(name: str, rule: str, times: Sequence[Sequence[float]], peers: Sequence[str]) -> Row:
    """Figures of a rule, measured first, and of the sides it is compared with; printed."""
    row: Row = {"case": name, "rule": rule, "turns": len(times[0]), "ms": 1e3 * statistics.median(times[0])}
    shown = ""
    for peer, theirs in zip(peers, times[1:], strict=True):
        ratio = statistics.median(a / b for a, b in zip(times[0], theirs, strict=True))
        row |= {f"{peer}_ms": 1e3 * statistics.median(theirs), f"ratio_to_{peer}": ratio}
        row[f"ratio_of_minima_to_{peer}"] = min(times[0]) / min(theirs)
        shown += f"  {ratio:5.2f}x {peer} (minima {row[f'ratio_of_minima_to_{peer}']:.2f}x)"
    print(f"{name:<48} {row['ms']:9.2f} ms{shown}", flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer repeats, and one block for the matrix rules")
    parser.add_argument("--only", default="", help="cases whose name contains this; the matrix rules are called Muon")
    parser.add_argument("--out", default="", help="JSON file to write")
    args = parser.parse_args()
    wanted = args.only.lower()
    rows = [against_adamw(case, 7 if args.quick else 35) for case in cases() if wanted in case.name.lower()]
    if wanted in "muon, m3":
        rows += matrix_rules(*((3, 1) if args.quick else (5, 2)))
    command = " ".join(["python benchmarks/families.py", *sys.argv[1:]])
    report = {**about(command), "threads": torch.get_num_threads(), "rows": rows}
    if args.out:
        Path(args.out).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
