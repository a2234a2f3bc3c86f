"""Compares kernels in numba's simulator of a GPU with the float64 reference: run as a module, in its own process.

    python -m tests.backends_numba_cuda.simulated DTYPE:RULE...

prints a line of JSON for each. Every access outside the memory that a kernel was given is refused. Threads are threads
of Python, two to a program: what they share, and where they wait for one another, is tested as well.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Mapping

os.environ["NUMBA_ENABLE_CUDASIM"] = "1"

from optgen.runtime import numba_cuda_simulated
from optgen_numba.gpu_backend import backend
from tests.gpu_fence import Fence, report

#: Fours of elements and a tail, large and small matrices, a scalar, nothing, and layers that are neighbours.
SHAPES: Mapping[str, tuple[int, ...]] = {
    "blocks.0.weight": (9, 12),
    "blocks.0.bias": (2, 3, 3, 3),
    "blocks.1.weight": (9, 12),
    "blocks.1.bias": (2, 3, 3, 3),
    "norm.scale": (),
    "gate.weight": (1,),
    "none.weight": (0,),
    "head.weight": (263,),
    "tail.weight": (2, 261),
}
STEPS = 2


def simulate() -> None:
    """Readies this process."""
    warnings.simplefilter("ignore")
    backend.interpret()


def fence_in() -> None:
    """Memory that is not a kernel's is out of its reach."""
    fence = Fence()
    fence.follow_steps()
    numba_cuda_simulated.touch = fence.touch


if __name__ == "__main__":
    simulate()
    fence_in()
    report("numba-cuda", sys.argv[1:], SHAPES, STEPS)
