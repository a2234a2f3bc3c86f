"""Every pass keeps the meaning of every shipped rule under every switch: the interpreters agree, step by step."""

from __future__ import annotations

import numpy as np
import pytest

from optgen.spec.loader import cases
from tests.passes.agreement import check_kernels, check_value_forms, expected, moved_on, next_step, started
from tests.passes.compiled import DTYPES, shipped_case, shipped_cases

#: Defaults in both dtypes; other settings in one, by turns.
CASES = [
    (name, label, DTYPES if label == "defaults" else DTYPES[number % 2 :][:1])
    for number, (name, label) in enumerate(shipped_cases())
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "label", "dtypes"), CASES)
def test_passes_keep_the_meaning(name: str, label: str, dtypes: tuple[str, ...], rng: np.random.Generator) -> None:
    """From state that is not as it starts, which the memory form alone brings about; the defaults from the start, too.

    `test_longer_runs_chunks_and_traffic` goes on where kernels left off.
    """
    case = shipped_case(name, label)
    world = started(case, rng)
    step = next_step(case, world, rng)
    if label == "defaults":
        check_kernels(case, step, expected(case, step, rng, dtypes=("float32",)), "float32")
    step = next_step(case, moved_on(case, step), rng)
    right = expected(case, step, rng, dtypes=("float64", *dtypes))
    check_value_forms(case, step, right)
    for dtype in dtypes:
        check_kernels(case, step, right, dtype)


@pytest.mark.parametrize("name", cases())
def test_longer_runs_chunks_and_traffic(name: str, rng: np.random.Generator) -> None:
    """Four steps, chunk sizes in turn; where every gradient is there, the bytes moved are the bytes planned."""
    case = shipped_case(name, "defaults")
    world = started(case, rng)
    for number, chunks in enumerate(((4,), (11, 4), (1000,), (1000, 11))):
        step = next_step(case, world, rng, missing=0.0 if number % 2 else 0.3)
        right = expected(case, step, rng, dtypes=("float32",))
        world, traffic = check_kernels(case, step, right, "float32", chunks=chunks)
        if number % 2:
            sizes = [tensor.param.size for tensor in world.tensors]
            planned = [case.planned[name] * size for name, size in zip(traffic.chosen, sizes, strict=True)]
            assert traffic.bytes == sum(planned)
