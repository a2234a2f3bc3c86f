"""Library functions on stacks of matrices, in NumPy: what interpreters run, and kernels where no framework is.

Each takes matrices (n, rows, cols) of one float dtype and a call's numbers, and gives as many of that shape and dtype.
They raise nothing for numbers that are not finite: a step that has begun is finished, and NaN is where no answer is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

#: float64 to the checker, which cannot say "the operand's dtype"; float32 too.
Matrices: TypeAlias = NDArray[np.float64]
LibraryFunction: TypeAlias = Callable[[Matrices, Sequence[float]], Matrices]


def newton_schulz(x: Matrices, numbers: Sequence[float]) -> Matrices:
    """Drives the singular values of x/max(|x|, eps) towards 1. `numbers`: steps, a, b, c, eps.

    Each step is a*x + (b*y + c*y*y)*x with y = x*transpose(x), on the side where y is smaller. (3/2, -1/2, 0) converges
    to the nearest orthogonal matrix; (3.4445, -4.775, 2.0315) goes there faster and stays near it (K. Jordan, 2024).
    """
    steps, a, b, c, eps = numbers
    if x.size == 0:
        return x.copy()
    kind = x.dtype.type
    if x.shape[1] > x.shape[2]:
        return newton_schulz(x.swapaxes(1, 2), numbers).swapaxes(1, 2)
    norm = np.sqrt(np.sum(np.square(x, dtype=np.float64), axis=(1, 2), keepdims=True))
    x = x / np.maximum(norm, eps).astype(kind)
    for _ in range(int(steps)):
        y = x @ x.swapaxes(1, 2)
        x = kind(a) * x + (kind(b) * y + kind(c) * (y @ y) if c else kind(b) * y) @ x
    return x


def low_rank(x: Matrices, numbers: Sequence[float]) -> Matrices:
    """The nearest matrices of a rank, by singular value decomposition. `numbers`: the rank, capped at the matrix's."""
    rank = int(numbers[0])
    if rank >= min(x.shape[1:]):
        return x.copy()
    finite = np.isfinite(x).all(axis=(1, 2))
    found = np.full_like(x, np.nan)
    for i in np.flatnonzero(finite):
        try:
            u, s, v = np.linalg.svd(x[i], full_matrices=False)
        except np.linalg.LinAlgError:  # it did not converge
            continue
        found[i] = (u[:, :rank] * s[:rank]) @ v[:rank]
    return found


#: Every library function by its name in the rule language.
FUNCTIONS: Mapping[str, LibraryFunction] = MappingProxyType({"newton_schulz": newton_schulz, "low_rank": low_rank})
