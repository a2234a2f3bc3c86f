"""Bounds of library calls hold for whatever float32 computes from operands inside a ball, and are not far off."""

from __future__ import annotations

import numpy as np
import pytest

from optgen.runtime.library_calls import FUNCTIONS
from optgen.verify import library_balls
from optgen.verify.ball import PRECISIONS, Ball

SINGLE = PRECISIONS["f32"]
CALLS = {
    "quintic": ("newton_schulz", (5, 3.4445, -4.775, 2.0315, 1e-7)),
    "cubic": ("newton_schulz", (5, 1.5, -0.5, 0.0, 1e-7)),
    "no steps": ("newton_schulz", (0, 1.5, -0.5, 0.0, 1e-7)),
    "rank 0": ("low_rank", (0,)),
    "rank 1": ("low_rank", (1,)),
    "rank 3": ("low_rank", (3,)),
    "whole": ("low_rank", (9,)),
}


def matrices(rng: np.random.Generator, shape: tuple[int, int], spread: float) -> np.ndarray:
    """Some with singular values a factor apart, by which a rank is told."""
    u, _, v = np.linalg.svd(rng.normal(size=(20, *shape)), full_matrices=False)
    s = spread ** -np.arange(min(shape)) * 10.0 ** rng.uniform(-3, 3, (20, 1))
    return (u * s[:, None]) @ v


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("shape", [(4, 7), (9, 4), (1, 12)])
def test_a_call_stays_inside(name: str, shape: tuple[int, int], rng: np.random.Generator) -> None:
    function, numbers = CALLS[name]
    for relative in (0.0, 1e-7, 1e-3):
        x = matrices(rng, shape, 3.0)
        r = relative * np.abs(x) * rng.random(x.shape)
        inside = (x + r * rng.uniform(-1, 1, x.shape)).astype(np.float32)
        operand = Ball(x, np.maximum(r, np.abs(inside - x)))
        found = library_balls.call(function, operand, numbers, SINGLE)
        for got in (FUNCTIONS[function](inside, numbers), FUNCTIONS[function](inside.astype(np.float64), numbers)):
            assert (np.abs(got - found.c) <= found.r).all()
        scale = np.abs(found.c).max(axis=(1, 2), keepdims=True) + 1e-300
        amplified = max(relative, 1e-6) * 2e4
        assert np.median(found.r / scale) <= amplified or name == "rank 0"


def test_equal_values_have_a_bound_too() -> None:
    """Which of two equal singular values is kept is anybody's choice: results differ by what these carry."""
    x = np.eye(4)[None]
    found = library_balls.call("low_rank", Ball.exact(x), (2,), SINGLE)
    other = np.diag([0.0, 0.0, 1.0, 1.0])
    assert np.isfinite(found.r).all()
    assert (np.abs(other - found.c[0]) <= found.r[0]).all()


def test_no_bound_without_a_number() -> None:
    x = np.ones((2, 2, 2))
    x[1, 0, 0] = np.nan
    found = library_balls.call("newton_schulz", Ball.exact(x), CALLS["quintic"][1], SINGLE)
    assert np.isfinite(found.r[0]).all()
    assert np.isinf(found.r[1]).all()
