"""How tensors lie in memory, and random bits, in Triton's interpreter: run as a module, in a process of its own.

    python -m tests.backends_triton.interpreted_layouts

prints a line of JSON with what does not hold; nothing where everything does.
"""

from __future__ import annotations

import json

import numpy as np
import torch

from tests.backends_triton.interpreted import prepare  # first: triton is told to interpret
from tests.gpu_layouts import check_layouts

# isort: split
import triton
import triton.language as tl

from optgen.ir.kernel_arith import round_at_random
from optgen.ir.philox import rounding_bits
from optgen.runtime import triton_device
from optgen.runtime.abi import Word
from optgen.runtime.gpu_abi import GpuWord

#: Layouts of parameters and of gradients: each once, and more where tensors read one another or sum rows and columns.
CASES = {
    "adamw": (("transposed", "in order"), ("at an odd address", "transposed"), ("with gaps", "at an odd address")),
    "neat": (("transposed", "in order"),),
    "adafactor": (("in order", "transposed"),),
}


@triton.jit
def draw(ctx, x, y, n, stream: tl.constexpr, BLOCK: tl.constexpr):
    """Rounds n numbers at random, as the elements of tensor 0."""
    i = tl.arange(0, BLOCK)
    rounded = triton_device.at_random(ctx, 0, tl.load(x + i, mask=i < n, other=0.0), i, stream)
    tl.store(y + i, rounded, mask=i < n)


def check_random(wrong: list[str]) -> None:
    """Bits are those of every other backend."""
    seed, step, number, stream, n = 0x1234567890AB, 7, 5, 3, 1000
    x = torch.from_numpy(np.random.default_rng(0).normal(size=n).astype(np.float32))
    x[:3] = torch.tensor([float("inf"), float("-inf"), float("nan")])
    y = torch.zeros(n, dtype=torch.bfloat16)
    steps, numbers = torch.tensor([float(step)], dtype=torch.float64), torch.tensor([number])
    ctx = torch.zeros(GpuWord.COUNT, dtype=torch.int64)
    ctx[Word.STEP], ctx[GpuWord.PARAMETER] = steps.data_ptr(), numbers.data_ptr()
    in_order = torch.zeros(1, dtype=torch.int64)
    ctx[GpuWord.ROW_MAJOR], ctx[GpuWord.SEED] = in_order.data_ptr(), seed
    draw[(1,)](ctx, x, y, n, stream=stream, BLOCK=1024)
    bits = rounding_bits(seed, step, number, stream, np.arange(n))
    expected = torch.from_numpy(round_at_random(x.numpy().astype(np.float64), bits).astype(np.float32))
    if not torch.equal(torch.nan_to_num(y.float(), nan=-1.5), torch.nan_to_num(expected, nan=-1.5)):
        wrong.append(f"random bits: {int((y.float() != expected).sum())} of {n} differ")


def main() -> None:
    """What does not hold."""
    np.seterr(all="ignore")
    prepare()
    wrong: list[str] = []
    check_random(wrong)
    check_layouts("triton", CASES, wrong)
    print(json.dumps(wrong))


if __name__ == "__main__":
    main()
