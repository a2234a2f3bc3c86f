"""How the work on tensors is cut into chunks, and chunks are put in order and gathered into claims."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optgen.runtime.abi import SEGMENT
from optgen.runtime.layout import CHUNK_FIELDS

#: Elements of a chunk. Each begins with a stall, but longer ones brought nothing on two cores of a Xeon: sweeps of 4
#: and of 28 bytes an element over GPT-2 small took as long in chunks of 64k as of up to 1M (2026-11-22). Where
#: neighbours are read, three chunks of one slot are to fit the second-level cache.
CHUNK_ELEMENTS = 1 << 16
COUPLED_ELEMENTS = 1 << 16
#: Blocks of rows per tensor, each with its own column totals; blocks are this high where there are as many rows, so
#: that these totals stay small beside the tensor.
ROW_BLOCKS = 32
ROWS_PER_BLOCK = 32

Words = NDArray[np.int64]


@dataclass(frozen=True)
class Shape:
    """A tensor as a number of matrices. Where rows and columns do not matter it is one row of all elements."""

    matrices: int
    rows: int
    cols: int

    @property
    def numel(self) -> int:
        """Number of elements."""
        return self.matrices * self.rows * self.cols


@dataclass(frozen=True)
class Grid:
    """How a tensor is cut: whole matrices together, or each into blocks of rows by blocks of columns."""

    matrices: int
    height: int
    width: int

    def blocks(self, shape: Shape) -> tuple[int, int]:
        """Blocks of rows and of columns per matrix."""
        if shape.numel == 0:
            return 0, 0
        return -(-shape.rows // self.height), -(-shape.cols // self.width)


def grid(shape: Shape, elements: int) -> Grid:
    """Blocks of about so many elements: few blocks of rows, widths that are multiples of a segment or all columns."""
    rows, cols = shape.rows, shape.cols
    if shape.numel == 0:
        return Grid(1, 1, 1)
    if rows * cols <= elements:
        return Grid(max(1, elements // (rows * cols)), rows, cols)
    height = min(rows, max(elements // cols, ROWS_PER_BLOCK, -(-rows // ROW_BLOCKS)))
    if height * cols <= 4 * elements and height > 1:
        return Grid(1, height, cols)
    return Grid(1, height, min(cols, max(SEGMENT, elements // height // SEGMENT * SEGMENT)))


def cut(tensor: int, shape: Shape, elements: int) -> Words:
    """The rows of the chunk table of one tensor; see the C_ names of the layout."""
    if shape.numel == 0:
        return np.zeros((0, CHUNK_FIELDS), dtype=np.int64)
    size = grid(shape, elements)
    matrix, row, col = (
        axis.ravel()
        for axis in np.meshgrid(
            np.arange(0, shape.matrices, size.matrices),
            np.arange(0, shape.rows, size.height),
            np.arange(0, shape.cols, size.width),
            indexing="ij",
        )
    )
    table = np.empty((matrix.size, CHUNK_FIELDS), dtype=np.int64)
    table[:, 0] = tensor
    table[:, 1], table[:, 2] = matrix, np.minimum(matrix + size.matrices, shape.matrices)
    table[:, 3], table[:, 4] = row, np.minimum(row + size.height, shape.rows)
    table[:, 5], table[:, 6] = col, np.minimum(col + size.width, shape.cols)
    table[:, 7], table[:, 8] = row // size.height, col // size.width
    return table


def elements_of(table: Words) -> Words:
    """Elements of each chunk."""
    return (table[:, 2] - table[:, 1]) * (table[:, 4] - table[:, 3]) * (table[:, 6] - table[:, 5])


@dataclass(frozen=True)
class Claims:
    """The work of a step: chunks in order, units as ranges of it, and tensors that go through all sweeps at once."""

    order: Words
    units: Words  # [units + units of chains, 2]
    sweep_units: int
    chain: Words
    loose: Words


def claims(
    counts: Words, elements: Words, groups: Sequence[Sequence[int]], chained: NDArray[np.bool_], size: int
) -> Claims:
    """Cuts the work into claims of about ``size`` elements.

    counts: chunks of each tensor; elements: of each chunk; groups: tensors that read one another, whose chunks at one
    offset make up one claim; chained: tensors that go through all their sweeps at once.
    """
    first: Words = np.cumsum(counts) - counts
    grouped = {tensor for group in groups for tensor in group}
    leaders = {min(group): sorted(group) for group in groups}
    order: list[Words] = [np.zeros(0, dtype=np.int64)]
    steps: list[Words] = [np.zeros((0, 2), dtype=np.int64)]
    for tensor in range(len(counts)):
        together = leaders.get(tensor) or ([tensor] if tensor not in grouped else [])
        together = [t for t in together if not chained[t]]
        if together:
            within: Words = np.arange(counts[together[0]], dtype=np.int64).reshape(-1, 1)
            chunks: Words = within + first[together].reshape(1, -1)
            order.append(chunks.ravel())
            steps.append(np.stack([np.full(len(chunks), len(together)), elements[chunks].sum(axis=1)], axis=1))
    sweep = _ranges(np.concatenate(steps), size)
    chain = np.flatnonzero(chained).astype(np.int64)
    before: Words = np.concatenate(([0], np.cumsum(elements)))
    whole: Words = before[first + counts] - before[first]
    chains = _ranges(np.stack([np.ones_like(chain), whole[chain]], axis=1), size)
    return Claims(
        np.concatenate(order),
        np.concatenate([sweep, chains]),
        len(sweep),
        chain,
        np.flatnonzero(~chained).astype(np.int64),
    )


def _ranges(steps: Words, size: int) -> Words:
    """Consecutive ranges of at least ``size`` elements each, from (entries, elements) of each indivisible step."""
    if not len(steps):
        return np.zeros((0, 2), dtype=np.int64)
    entries, elements = np.cumsum(steps[:, 0]), np.cumsum(steps[:, 1])
    last = np.append(np.flatnonzero(np.diff((elements - 1) // size)), len(steps) - 1)
    ends = entries[last]
    return np.stack([np.concatenate(([0], ends[:-1])), ends], axis=1).astype(np.int64)


def shuffled(work: Claims, rng: np.random.Generator) -> Claims:
    """The same work in random order."""
    # units keep their sizes: what they hold is permuted
    return Claims(rng.permutation(work.order), work.units, work.sweep_units, rng.permutation(work.chain), work.loose)


# -- memory order --------------------------------------------------------------------------------------------------


def walking_order(shape: tuple[int, ...], strides: tuple[int, ...] | None) -> tuple[int, ...]:
    """Axes from outermost to innermost such that memory with these strides is walked through in order."""
    if strides is None:
        return tuple(range(len(shape)))
    return tuple(sorted(range(len(shape)), key=lambda axis: (-strides[axis], axis)))


def slot_layout(shape: tuple[int, ...], strides: tuple[int, ...] | None, order: tuple[int, ...]) -> Words | None:
    """Number of axes, sizes and steps for the driver, neighbouring axes merged; None where elements lie in order."""
    if strides is None:
        strides = contiguous(shape)
    merged: list[tuple[int, int]] = []
    for axis in order:
        if shape[axis] == 1:
            continue
        if merged and merged[-1][1] == strides[axis] * shape[axis]:
            merged[-1] = (merged[-1][0] * shape[axis], strides[axis])
        else:
            merged.append((shape[axis], strides[axis]))
    if math.prod(shape) <= 1 or (len(merged) == 1 and merged[0][1] == 1):
        return None
    return np.array([len(merged), *(size for size, _ in merged), *(step for _, step in merged)], dtype=np.int64)


def contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides of C-contiguous memory."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
