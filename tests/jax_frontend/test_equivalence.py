"""Rules in JAX against the float64 reference: every shipped rule, every choice, inside derived bounds."""

from __future__ import annotations

import warnings

import pytest

from optgen.spec.loader import load, loads, shipped
from optgen.verify.compare import compare
from tests.equivalence.test_numba import settings_of
from tests.jax_frontend.support import Run, precision

CASES = [(name, given) for name in shipped() for given in settings_of(load(name))]


@pytest.fixture(autouse=True)
def _no_order() -> None:
    warnings.filterwarnings("ignore", message=".*order of layers.*")


@pytest.mark.parametrize("name", shipped())
def test_every_rule(name: str) -> None:
    """In float32; choices are in float64."""
    with precision("float32"):
        run = Run(load(name), "float32", {}, both=True)
        for _ in range(5):
            run.step()
            run.check()
        assert run.plain._cache_size() == 1
        assert run.in_place is None or run.in_place._cache_size() == 1


@pytest.mark.parametrize(
    ("name", "given"), CASES, ids=lambda x: "-".join(f"{k}={v}" for k, v in x.items()) if isinstance(x, dict) else x
)
def test_every_choice(name: str, given: dict[str, object]) -> None:
    with precision("float64"):
        run = Run(load(name), "float64", given, quick=True)
        for _ in range(3):
            run.step()
        run.check()


DIVIDED = """
optgen: 1
name: divided
title: Quotients by what elements share
hyper: {lr: {default: 0.1, domain: ">= 0"}}
state:
  count: 'full(0, over="tensor")'
  shared: zeros_like(param)
update: |
  count = count + 1
  shared = where(g == 0, shared, g / (count + 2))
  param = param - lr*shared
"""


def test_quotients_by_what_elements_share() -> None:
    """XLA multiplies by the reciprocal there, which rounds twice: the bound counts both, and not more."""
    report = compare(loads(DIVIDED), "xla", framework="jax", shapes={"w": (64, 64)}, steps=3)
    shares = {line.slot: line.share for line in report.lines}
    assert report.ok, shares
    assert shares["shared"] > 0.5
