"""Compares kernels in Triton's interpreter with the float64 reference: run as a program, in a process of its own.

    python -m tests.backends_triton.interpreted DTYPE:RULE...

prints a line of JSON for each. The interpreter refuses every access outside the memory that a kernel was given.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

os.environ["TRITON_INTERPRET"] = "1"

import numpy as np
from triton.runtime import interpreter

from optgen_triton.interpreted import prepare
from tests.gpu_fence import Fence, report

#: A tensor of whole blocks and a tail, large and small matrices, a scalar, nothing, and layers that are neighbours.
SHAPES: Mapping[str, tuple[int, ...]] = {
    "blocks.0.weight": (9, 32),
    "blocks.0.bias": (4, 3, 3, 3),
    "blocks.1.weight": (9, 32),
    "blocks.1.bias": (4, 3, 3, 3),
    "norm.scale": (),
    "none.weight": (0,),
    "head.weight": (2100,),
    "tail.weight": (3, 300),
}
STEPS = 2


FENCE = Fence()


def fence_in() -> None:
    """Every load and store is checked; what is allowed is worked out before each step."""
    builder = interpreter.InterpreterBuilder
    load, store = builder.create_masked_load, builder.create_masked_store

    def check(pointers: Any, mask: Any, item: int) -> None:
        at = np.asarray(pointers).astype(np.int64).ravel()
        FENCE.check(at[np.broadcast_to(np.asarray(mask).astype(bool), np.shape(pointers)).ravel()], item)

    def item(pointers: Any) -> int:
        return max(pointers.get_element_ty().primitive_bitwidth // 8, 1)

    def create_masked_load(self: Any, ptrs: Any, mask: Any, *rest: Any) -> Any:
        check(ptrs.data, mask.data, item(ptrs))
        return load(self, ptrs, mask, *rest)

    def create_masked_store(self: Any, ptrs: Any, value: Any, mask: Any, *rest: Any) -> Any:
        check(ptrs.data, mask.data, item(ptrs))
        return store(self, ptrs, value, mask, *rest)

    builder.create_masked_load, builder.create_masked_store = create_masked_load, create_masked_store
    FENCE.follow_steps()


def main() -> None:
    """A line for each: whether it agrees, and the report or what went wrong."""
    np.seterr(all="ignore")
    fence_in()
    prepare()
    report("triton", sys.argv[1:], SHAPES, STEPS)


if __name__ == "__main__":
    main()
