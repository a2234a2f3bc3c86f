"""How a rule's text sees a tensor: as a number of matrices with rows and columns."""

from __future__ import annotations

import math

from optgen.errors import UsageError


def matrix_view(shape: tuple[int, ...], kind: str) -> tuple[int, int, int]:
    """(matrices, rows, cols) of a tensor under a `matrix:` view; below two axes there is one row.

    `trailing`: the last two axes, the others count matrices. `units`: first axis by the rest. `wide`: as `units`, turned
    so that rows <= cols (see `is_turned`). `square`: all elements in order, rows the largest divisor up to the root.
    """
    numel = math.prod(shape)
    if kind == "square":
        rows = next((r for r in range(math.isqrt(numel), 0, -1) if numel % r == 0), 1)
        return 1, rows, numel // rows
    if kind not in ("trailing", "units", "wide"):
        raise UsageError(f'"{kind}" is not a matrix view; use trailing, units, wide or square')
    if len(shape) < 2:
        return 1, 1, numel
    if kind == "trailing":
        return math.prod(shape[:-2]), shape[-2], shape[-1]
    units, rest = shape[0], math.prod(shape[1:])
    return (1, rest, units) if is_turned(shape, kind) else (1, units, rest)


def is_turned(shape: tuple[int, ...], kind: str) -> bool:
    """Whether the view's rows run along memory's columns: element (row, col) lies at ``col * rows + row``."""
    return kind == "wide" and len(shape) >= 2 and shape[0] > math.prod(shape[1:])
