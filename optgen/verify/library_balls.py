"""Library calls on balls: how far a computed call may be from the exact one, for operands that are uncertain.

Bounds are in the Frobenius norm per matrix; the radius of an element is that of its matrix. Three facts carry them.

* A product of computed matrices: |fl(AB) - AB| <= gamma(n)*|A||B| elementwise, hence gamma(n)*|A|_F*|B|_F in the norm.
* What acts on singular values alone, f(U S V^T) = U f(S) V^T with f odd, changes by at most L*|E|_F when its operand
  changes by E, L the largest divided difference of f over the singular values in between: f then acts on the
  eigenvalues of the symmetric [[0, X], [X^T, 0]], where this is a Schur product with divided differences. For a
  polynomial L is the largest slope.
* A singular value decomposition is that of an operand off by p*u*|X| (LAPACK Users' Guide, 4.9), p here 10*max(n, m).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.polynomial import Polynomial

from optgen.runtime.library_calls import low_rank, newton_schulz
from optgen.verify.ball import Array, Ball, Precision, gamma

#: The p of the third fact is this times the longer side.
_SVD_FACTOR = 10.0


def call(function: str, x: Ball, numbers: Sequence[float], precision: Precision) -> Ball:
    """A library call on balls (matrices, rows, cols), in the arithmetic of a precision."""
    shape = np.broadcast_shapes(x.c.shape, x.r.shape)
    if 0 in shape:
        return x
    x = x.broadcast(shape)
    c, radius = _CALLS[function](x, numbers, precision)
    # an operand that is no number gives none, and has no bound
    radius = np.where(np.isfinite(radius) & np.isfinite(c).all(axis=(1, 2), keepdims=True), radius, np.inf)
    return Ball(c, np.broadcast_to(radius, shape))


def _newton_schulz(x: Ball, numbers: Sequence[float], precision: Precision) -> tuple[Array, Array]:
    steps, a, b, c, eps = numbers
    final = newton_schulz(x.c, numbers)
    x = Ball(np.where(np.isfinite(x.c), x.c, 0.0), x.r)  # the caller sees to what is no number
    if x.c.shape[1] > x.c.shape[2]:
        x = Ball(x.c.swapaxes(1, 2), x.r.swapaxes(1, 2))
    n, m = x.c.shape[1:]
    u = precision.cost
    norm, error = _frobenius(x.c), _frobenius(x.r)
    divisor = np.maximum(norm, eps)
    here = x.c / divisor
    # numerator and divisor each move by `error` at most; a sum of n*m squares, its root, the quotient
    moved = np.where(error == 0, 0.0, 2 * error / np.maximum(divisor - error, 0.0))
    error = moved + (gamma(n * m + 4, u) / 2 + 2 * u) * np.minimum(norm / divisor + moved, 1.0)
    exact = (norm == 0) & (_frobenius(x.r) == 0)
    largest = np.minimum(_spectral(here) + error, 1.0 + gamma(n * m + 8, u))
    step = Polynomial([0.0, a, 0.0, b, 0.0, c])
    for _ in range(int(steps)):
        error = _slope(step, largest) * error + _of_a_step(here, error, largest, (a, b, c), (n, m), u)
        y = here @ here.swapaxes(1, 2)
        here = a * here + (b * y + c * (y @ y)) @ here
        largest = np.minimum(_most(step, largest), _spectral(here)) + error
    return final, np.where(exact, 0.0, error)


def _of_a_step(
    x: Array, error: Array, s: Array, abc: tuple[float, float, float], shape: tuple[int, int], unit: float
) -> Array:
    """What rounding adds in one step a*x + (b*y + c*y*y)*x, y = x*x^T, from any x within `error`; s bounds |x|_2."""
    (a, b, c), (short, long) = np.abs(abc), (gamma(sides + 2, unit) for sides in shape)
    size = np.minimum(_frobenius(x) + error, s * np.sqrt(shape[0]))
    y, y_off = s * size, long * size**2
    y2_off = 2 * s**2 * y_off + y_off**2 + short * (y + y_off) ** 2
    z = b * y + c * s**2 * y
    z_off = (b * y_off + c * y2_off) + 3 * unit * (z + b * y_off + c * y2_off)
    return z_off * s + short * (z + z_off) * size + 3 * unit * (a * size + (z + z_off) * s)


def _slope(step: Polynomial, largest: Array) -> Array:
    return _most(step.deriv(), largest)


def _most(step: Polynomial, largest: Array) -> Array:
    """The largest magnitude of a polynomial on [-s, s], for every s."""
    found = np.maximum(np.abs(step(largest)), np.abs(step(0.0)))
    for root in np.asarray(step.deriv().roots()):
        if abs(root.imag) < 1e-9:
            at = np.minimum(abs(float(root.real)), largest)
            found = np.maximum(found, np.abs(step(at)))
    return found * (1 + 1e-12)


def _low_rank(x: Ball, numbers: Sequence[float], precision: Precision) -> tuple[Array, Array]:
    """Either the gap behind the last value kept bounds the change, or what is left out does: |T(X+E) - T(X)| <= 2(|E|
    + the rest of X), because T(X+E) is at least as near to X+E as T(X) is."""
    rank, (n, m) = int(numbers[0]), x.c.shape[1:]
    final, u = low_rank(x.c, numbers), precision.cost
    if rank >= min(n, m):
        return final, _frobenius(x.r)
    values = np.linalg.svd(np.where(np.isfinite(x.c), x.c, 0.0), compute_uv=False)[:, :, None]
    first = values[:, :1] if rank else np.zeros_like(values[:, :1])
    last = values[:, rank - 1 : rank] if rank else np.zeros_like(first)
    after = values[:, rank : rank + 1]
    error = _frobenius(x.r)
    moved = error + _SVD_FACTOR * max(n, m) * u * (values[:, :1] + error)
    gap = last - after - 2 * moved
    by_gap = np.where(gap > 0, (last + moved) / np.where(gap > 0, gap, 1.0), np.inf) * moved
    rest = np.sqrt(np.sum(values[:, rank:] ** 2, axis=1, keepdims=True))
    change = np.minimum(by_gap, 2 * (moved + rest))
    product = (gamma(rank + 3, u) + 2 * _SVD_FACTOR * max(n, m) * u) * rank * (first + moved)
    return final, np.where(rank == 0, 0.0, change + product)


def _spectral(x: Array) -> Array:
    """The largest singular value of each matrix, infinite where an iteration ran away."""
    known = np.isfinite(x).all(axis=(1, 2), keepdims=True)
    return np.where(known, np.linalg.norm(np.where(known, x, 0.0), 2, axis=(1, 2))[:, None, None], np.inf)


def _frobenius(x: Array) -> Array:
    return np.sqrt(np.sum(np.square(x), axis=(1, 2), keepdims=True))


_CALLS: Mapping[str, Callable[[Ball, Sequence[float], Precision], tuple[Array, Array]]] = {
    "newton_schulz": _newton_schulz,
    "low_rank": _low_rank,
}
