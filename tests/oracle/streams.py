"""Parameters and gradients for oracle tests, and how close float64 results have to be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

Array = np.ndarray

SHAPES: dict[str, tuple[int, ...]] = {
    "matrix.w": (4, 7),
    "row.w": (1, 5),
    "vector.w": (6,),
    "stack.w": (2, 3, 4),
    "filter.w": (3, 2, 2, 2),
    "one.w": (1,),
    "scalar.w": (),
}


def start(rng: np.random.Generator, shapes: Mapping[str, tuple[int, ...]] = SHAPES) -> dict[str, Array]:
    """Random parameters."""
    return {name: np.asarray(rng.normal(size=shape)) for name, shape in shapes.items()}


def gradients(
    rng: np.random.Generator, shapes: Sequence[tuple[int, ...]], steps: int, missing: float = 0.2
) -> Iterator[list[Array | None]]:
    """Per step one gradient per tensor, of scales over four decades; some are missing."""
    for _ in range(steps):
        yield [
            None if rng.random() < missing else np.asarray(rng.normal(scale=10.0 ** rng.uniform(-3, 1), size=shape))
            for shape in shapes
        ]


def worst(a: Array, b: Array) -> float:
    """Largest difference, relative to the larger of 1 and the largest entry."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    assert a.shape == b.shape
    assert np.isfinite(b).all()
    return float(np.max(np.abs(a - b) / max(1.0, float(np.max(np.abs(b)))))) if a.size else 0.0
