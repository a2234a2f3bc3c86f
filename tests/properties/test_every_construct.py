"""A rule from outside the repository that uses every construct: it checks, lowers, and everything agrees on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from optgen.spec.functions import FUNCTIONS
from optgen.spec.loader import load
from optgen.spec.model import Spec
from optgen.verify import compare
from tests.passes.agreement import check_kernels, check_value_forms, expected, next_step, started
from tests.passes.compiled import DTYPES, compiled
from tests.passes.worlds import Setting

RULE = Path(__file__).with_name("everything.yaml")
SETTINGS: dict[str, dict[str, Setting]] = {
    "defaults": {},
    "hard": {"mode": "hard", "scale": False},
    "without rows": {"mode": "off", "rank": 0},
    "maximize": {"maximize": True},
    "matched edges only": {"coupling": "match"},
}


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Spec:
    """The rule, from a folder that has nothing to do with the project."""
    path = tmp_path_factory.mktemp("elsewhere") / RULE.name
    path.write_bytes(RULE.read_bytes())
    return load(path)


def test_it_calls_every_function_that_is_built(spec: Spec) -> None:
    elsewhere = {"role", "newton_schulz", "low_rank", "repeat", "averages"}  # in rules of matrices or several gradients
    for name, function in FUNCTIONS.items():
        assert not function.built or name in elsewhere or f"{name}(" in spec.text, name


@pytest.mark.parametrize("label", SETTINGS)
def test_interpreters_agree(spec: Spec, label: str, rng: np.random.Generator) -> None:
    """All of it in the third step, in which the interval ends, and the fourth; kernels for float32 get there."""
    case = compiled(spec, SETTINGS[label])
    world = started(case, rng)
    for number in range(4):
        step = next_step(case, world, rng, missing=0.3 if number else 0.0)
        right = expected(case, step, rng, dtypes=DTYPES if number > 1 else ("float32",))
        if number > 1:
            check_value_forms(case, step, right)
            check_kernels(case, step, right, "float64")
        world, _ = check_kernels(case, step, right, "float32", chunks=(4, 9) if number else (1000,))


def test_numba_agrees(spec: Spec) -> None:
    report = compare(spec, dtype="float32", steps=3)
    assert report.ok, f"\n{report}"
