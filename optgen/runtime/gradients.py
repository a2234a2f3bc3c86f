"""Names of the gradients of a tensor: `g`, or `g[0]`, `g[1]`, ... where it has several along a first axis."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GRADIENT = "g"


def gradient_slots(count: int) -> tuple[str, ...]:
    """Names of the slots; a count of 0 means one gradient without an axis for it."""
    return tuple(f"{GRADIENT}[{entry}]" for entry in range(count)) if count else (GRADIENT,)


def is_gradient(slot: str) -> bool:
    """Whether a slot holds a gradient."""
    return slot.partition("[")[0] == GRADIENT


def entry_of(slot: str) -> int:
    """Which of a tensor's gradients a slot holds."""
    entry = slot.partition("[")[2]
    return int(entry.removesuffix("]")) if entry else 0


def stacked(g: NDArray[np.float64], param: tuple[int, ...]) -> NDArray[np.float64]:
    """Gradients of a parameter of a shape with an axis before its own, which one alone may lack."""
    return g if g.ndim > len(param) else g[None]


def fits(shape: tuple[int, ...], param: tuple[int, ...], count: int) -> bool:
    """Whether an array of a shape holds so many gradients of a parameter; one alone may be without the axis."""
    return shape == (count, *param) or (count == 1 and shape == param)
