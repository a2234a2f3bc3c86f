"""How tensors lie in memory, tensors of several chunks, groups and random bits, in numba's simulator of a GPU.

    python -m tests.backends_numba_cuda.simulated_layouts

prints a line of JSON with what does not hold; nothing where everything does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from tests.backends_numba_cuda.simulated import simulate  # first: numba is told to simulate
from tests.gpu_layouts import check_layouts

# isort: split
import numpy as np

from optgen.ir.kernel_arith import round_at_random
from optgen.ir.philox import rounding_bits
from optgen.runtime import numba_cuda_library as library
from optgen.runtime.abi import Word
from optgen.runtime.gpu_abi import CHUNK_ELEMENTS, GpuWord
from optgen.verify import compare

CASES = {
    "adamw": (("transposed", "in order"), ("at an odd address", "transposed"), ("with gaps", "at an odd address")),
    "neat": (("transposed", "in order"),),
    "adafactor": (("in order", "transposed"),),
}
#: Tensors of more than one chunk: of elements; of rows and of columns.
LONG: Mapping[str, tuple[int, ...]] = {"lamb": (CHUNK_ELEMENTS + 5,), "adafactor": (66, 260)}


def check_chunks(wrong: list[str]) -> None:
    """Totals are of all chunks, and each tensor has the hypers of its own group."""
    for rule, shape in LONG.items():
        report = compare(rule, "numba-cuda", steps=1, shapes={"long.w": shape})
        if not report.ok:
            wrong.append(str(report))
    report = compare("adamw", "numba-cuda", steps=2, shapes=[(5,), (7,)], overrides={"layer_1.w": {"lr": 0.3}})
    if not report.ok:
        wrong.append(str(report))


def check_random(wrong: list[str]) -> None:
    """Bits are those of every other backend, and so is what they round to."""
    seed, step, number, stream, n = 0x1234567890AB, 7, 5, 3, 200
    x = np.random.default_rng(0).normal(size=n).astype(np.float32)
    x[:3] = np.inf, -np.inf, np.nan
    steps, numbers, in_order = np.array([float(step)]), np.array([number]), np.zeros(1, np.int64)
    ctx = np.zeros(GpuWord.COUNT, np.int64)
    ctx[Word.STEP], ctx[GpuWord.PARAMETER] = steps.ctypes.data, numbers.ctypes.data
    ctx[GpuWord.ROW_MAJOR], ctx[GpuWord.SEED] = in_order.ctypes.data, seed
    words = [library.b2_at_random(x[i], library.noise(ctx, 0, i, stream)) for i in range(n)]
    found = np.array([library.f4_of_b2(word) for word in words])
    expected = round_at_random(x.astype(np.float64), rounding_bits(seed, step, number, stream, np.arange(n)))
    if not np.array_equal(found, expected.astype(np.float32), equal_nan=True):
        wrong.append(f"random bits: {int((found != expected).sum())} of {n} differ")


if __name__ == "__main__":
    simulate()
    broken: list[str] = []
    check_layouts("numba-cuda", CASES, broken)
    check_chunks(broken)
    check_random(broken)
    print(json.dumps(broken))
