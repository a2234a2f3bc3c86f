"""How the work of a sweep is cut into programs on a graphics processor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from optgen.runtime.chunks import Shape, Words
from optgen.runtime.gpu_abi import (
    CHUNK_ELEMENTS,
    CHUNK_MATRICES,
    CHUNK_ROWS,
    LARGE,
    MANY_PROGRAMS,
    MOST_CHUNK_ELEMENTS,
    RUN_CHUNKS,
    SMALL,
)
from optgen.runtime.layout import CHUNK_FIELDS


def is_small(shape: Shape) -> bool:
    """Whether many matrices fit one step of a program."""
    return max(shape.rows, shape.cols) <= SMALL[2]


def chunk_elements(total: int) -> int:
    """Elements of a chunk where tensors have so many in all, and their order is free."""
    size = CHUNK_ELEMENTS
    while size < MOST_CHUNK_ELEMENTS and total >= 2 * size * MANY_PROGRAMS:
        size *= 2
    return size


def cut(tensor: int, shape: Shape, *, tiled: bool, size: int = CHUNK_ELEMENTS) -> Words:
    """The rows of the chunk table of one tensor; tiled: rows and columns of its matrices matter; size: else."""
    if shape.numel == 0:
        return np.zeros((0, CHUNK_FIELDS), dtype=np.int64)
    if not tiled:
        return _table(tensor, Shape(1, 1, shape.numel), (1, 1, size))
    if is_small(shape):
        return _table(tensor, shape, (CHUNK_MATRICES, shape.rows, shape.cols))
    return _table(tensor, shape, (1, CHUNK_ROWS, LARGE[2] if shape.rows > 1 else CHUNK_ELEMENTS))


def idle(tensor: int) -> Words:
    """A row of the chunk table without elements."""
    return np.array([[tensor, *[0] * (CHUNK_FIELDS - 1)]], dtype=np.int64)


def parts(shape: Shape) -> tuple[int, int]:
    """In how many parts a sweep leaves the totals of a row and of a column."""
    if shape.numel == 0:
        return 0, 0
    small = is_small(shape)
    return -(-shape.cols // (SMALL if small else LARGE)[2]), 1 if small else -(-shape.rows // CHUNK_ROWS)


def _table(tensor: int, shape: Shape, size: tuple[int, int, int]) -> Words:
    matrix, row, col = (
        axis.ravel()
        for axis in np.meshgrid(
            np.arange(0, shape.matrices, size[0]),
            np.arange(0, shape.rows, size[1]),
            np.arange(0, shape.cols, size[2]),
            indexing="ij",
        )
    )
    table = np.empty((matrix.size, CHUNK_FIELDS), dtype=np.int64)
    table[:, 0] = tensor
    table[:, 1], table[:, 2] = matrix, np.minimum(matrix + size[0], shape.matrices)
    table[:, 3], table[:, 4] = row, np.minimum(row + size[1], shape.rows)
    table[:, 5], table[:, 6] = col, np.minimum(col + size[2], shape.cols)
    table[:, 7], table[:, 8] = row // size[1], col // size[2]
    return table


def runs(first: Words, counts: Words, tensors: Sequence[int]) -> tuple[Words, Words]:
    """Runs of each tensor's chunks, at most RUN_CHUNKS long: where each tensor's begin, and (tensor, first, end).

    first, counts: of every tensor's chunks; tensors: those that have runs.
    """
    starts, found = [0], list[tuple[int, int, int]]()
    chosen = set(tensors)
    for t in range(len(counts)):
        end = int(first[t] + counts[t])
        if t in chosen:
            found += [(t, at, min(at + RUN_CHUNKS, end)) for at in range(int(first[t]), end, RUN_CHUNKS)]
        starts.append(len(found))
    return np.array(starts, dtype=np.int64), np.array(found, dtype=np.int64).reshape(-1, 3)


def blocks(units: Sequence[int], tensors: Sequence[int], lanes: int) -> Words:
    """(tensor, first unit) of each program of a stage over rows, columns or matrices."""
    found = [(t, at) for t in tensors for at in range(0, units[t], lanes)]
    return np.array(found, dtype=np.int64).reshape(-1, 2)
