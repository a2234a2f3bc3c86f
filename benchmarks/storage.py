"""CPU time of an AdamW step by storage, against the same in float32.

    python benchmarks/storage.py [--repeats N]

One tensor that no cache holds; every kind of storage is measured in turn with float32, in one process. Bytes per
parameter say what to expect where memory is the limit.
"""

from __future__ import annotations

import argparse
import statistics
import warnings

import torch
from torch.nn import Parameter

from optgen.bench.measure import interleaved
from optgen.torch import AdamW

ELEMENTS = 1 << 24
CASES: dict[str, tuple[torch.dtype, dict[str, object], int]] = {
    "bfloat16": (torch.bfloat16, {}, 22),
    "float16": (torch.float16, {}, 22),
    "bfloat16, state too": (torch.bfloat16, {"state_dtype": torch.bfloat16}, 14),
    "bfloat16 with master": (torch.bfloat16, {"master_weights": True}, 28),
    "bfloat16, at random": (torch.bfloat16, {"stochastic_rounding": True}, 22),
}


def optimizer(dtype: torch.dtype, **options: object) -> AdamW:
    """AdamW on one large parameter with a gradient."""
    param = Parameter(torch.randn(ELEMENTS).to(dtype))
    param.grad = torch.randn(ELEMENTS).to(dtype)
    return AdamW([param], weight_decay=0.01, **options)  # type: ignore[arg-type]


def main() -> None:
    """Prints a line per kind of storage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20)
    repeats = parser.parse_args().repeats
    warnings.simplefilter("ignore")
    plain = optimizer(torch.float32)
    for name, (dtype, options, figure) in CASES.items():
        ours, theirs = interleaved([optimizer(dtype, **options).step, plain.step], repeats)
        ratio = statistics.median(ours) / statistics.median(theirs)
        ms = 1e3 * statistics.median(ours)
        print(f"{name:<22} {ms:8.2f} ms  {ratio:5.2f}x of float32 (bytes: {figure} of 28, {figure / 28:.2f}x)")


if __name__ == "__main__":
    main()
