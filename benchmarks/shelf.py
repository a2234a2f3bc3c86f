"""CPU time of a step of every shipped rule against torch's fused AdamW, per byte that the rule moves.

    python benchmarks/shelf.py [--list gpt2|tiny] [--quick] [--only RULE]... [--out benchmarks/results/shelf.json]

Both sides are measured in turn, in one process, and their medians compared (see cpu_step.py). `share` is the ratio of
times over the ratio of bytes: 1 where a rule is as fast, for the memory it touches, as fused AdamW is for its 28 bytes
per parameter. A rule above 1.1 needs a reason below. Parameters and gradients are float32.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Mapping
from pathlib import Path

import torch

from optgen import catalogue
from optgen import torch as rules
from optgen.bench import shapes as lists
from optgen.bench.machine import about
from optgen.bench.measure import interleaved
from optgen.bench.sides import parameters

ADAMW_BYTES = 28
WANTED = 1.1
LISTS = {
    "gpt2": lists.gpt2_small,
    "tiny": lambda: lists.many_small(12, 4096),
}
#: Per-parameter arguments under which every tensor takes the variant whose bytes are counted.
DUE: Mapping[str, Mapping[str, int]] = {"nested": {"intervals": 1}}
#: Why a rule takes longer than its bytes, where it does.
_READS = "time here follows bytes read more than bytes written: {} of its bytes are reads, of AdamW's 28 are 16"
_GRAPH = _READS + ", and the sweeps read the gradients of two neighbours as well, from the cache"
REASONS: Mapping[str, str] = {
    "adafactor": "the last two of its three sweeps take three and four divisions and roots per element, and wait for "
    "these, not for memory",
    "lamb": _READS.format("28 of 40"),
    "neat": _GRAPH.format("20 of 32"),
    "nested": _READS.format("40 of 60"),
    "ng_adam": _GRAPH.format("20 of 32"),
    "nsa": _GRAPH.format("20 of 32"),
}


def shelf(shapes: lists.Shapes, only: list[str], repeats: int) -> list[dict[str, object]]:
    """A row per rule, printed as it is measured."""
    peer = torch.optim.AdamW([p for _, p in parameters(shapes)], lr=1e-3, weight_decay=0.01, fused=True)
    rows: list[dict[str, object]] = []
    for entry in catalogue.entries():
        if only and entry["name"] not in only:
            continue
        given = {key: [value] * len(shapes) for key, value in DUE.get(entry["name"], {}).items()}
        ours = getattr(rules, entry["class_name"])(parameters(shapes), lr=1e-3, **given)
        mine, theirs = interleaved([ours.step, peer.step], repeats)
        rows.append(row(entry, statistics.median(mine), statistics.median(theirs)))
        print("{rule:<12} {bytes:3} bytes {ms:9.2f} ms {ratio:6.2f}x {share:6.2f} of its bytes".format(**rows[-1]))
    return rows


def row(entry: catalogue.Entry, mine: float, theirs: float) -> dict[str, object]:
    """Figures of one rule from the medians of both sides, in seconds."""
    ratio = mine / theirs
    share = ratio * ADAMW_BYTES / entry["bytes_per_param"]
    found: dict[str, object] = {
        "rule": entry["name"],
        "bytes": entry["bytes_per_param"],
        "ms": 1e3 * mine,
        "fused_adamw_ms": 1e3 * theirs,
        "ratio": ratio,
        "share": share,
        "wanted": WANTED,
    }
    if share > WANTED:
        found["reason"] = REASONS.get(entry["name"], "not looked into yet")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", choices=LISTS, default="gpt2", help="the parameters")
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    parser.add_argument("--only", action="append", default=[], metavar="RULE", help="this rule; may be repeated")
    parser.add_argument("--out", default="", help="JSON file to write")
    args = parser.parse_args()
    rows = shelf(LISTS[args.list](), args.only, 7 if args.quick else 21)
    command = " ".join(["python benchmarks/shelf.py", *sys.argv[1:]])
    report = {**about(command), "list": args.list, "threads": torch.get_num_threads(), "rows": rows}
    if args.out:
        Path(args.out).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
