"""Every pass keeps the meaning of every shipped rule under every switch: the interpreters agree, step by step."""

from __future__ import annotations

import numpy as np
import pytest

from optgen.spec.loader import cases
from tests.passes.agreement import check_kernels, check_value_forms, expected, next_step, started
from tests.passes.compiled import shipped_case, shipped_cases

STEPS = 2


@pytest.mark.parametrize(("name", "label"), shipped_cases())
def test_passes_keep_the_meaning(name: str, label: str, rng: np.random.Generator) -> None:
    case = shipped_case(name, label)
    world = started(case, rng)
    for number in range(STEPS):
        step = next_step(case, world, rng)
        right = expected(case, step, rng)
        if number == STEPS - 1:  # from state that is not as it starts
            check_value_forms(case, step, right)
            check_kernels(case, step, right, "float64")
        world, _ = check_kernels(case, step, right, "float32")


@pytest.mark.parametrize("name", cases())
def test_longer_runs_chunks_and_traffic(name: str, rng: np.random.Generator) -> None:
    """Six steps, several chunk sizes; where every gradient is there, the bytes moved are the bytes planned."""
    case = shipped_case(name, "defaults")
    world = started(case, rng)
    for number in range(6):
        step = next_step(case, world, rng, missing=0.0 if number % 2 else 0.3)
        right = expected(case, step, rng)
        world, traffic = check_kernels(case, step, right, "float32", chunks=(4, 11, 1000))
        if number % 2:
            sizes = [tensor.param.size for tensor in world.tensors]
            planned = [case.planned[name] * size for name, size in zip(traffic.chosen, sizes, strict=True)]
            assert traffic.bytes == sum(planned)
