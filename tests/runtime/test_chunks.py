"""Every element lies in one chunk, every chunk in one claim."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optgen.runtime.abi import SEGMENT
from optgen.runtime.chunks import (
    CHUNK_ELEMENTS,
    ROW_BLOCKS,
    Shape,
    claims,
    contiguous,
    cut,
    grid,
    shuffled,
    slot_layout,
    walking_order,
)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 40), st.integers(0, 300), st.integers(0, 300), st.sampled_from([16, 100, 3000, CHUNK_ELEMENTS]))
def test_chunks_cover_a_tensor_once(matrices: int, rows: int, cols: int, elements: int) -> None:
    shape = Shape(matrices, rows, cols)
    seen = np.zeros((matrices, rows, cols), dtype=int)
    table = cut(3, shape, elements)
    blocks = grid(shape, elements).blocks(shape)
    for tensor, m0, m1, r0, r1, c0, c1, row_block, col_block in table.tolist():
        assert tensor == 3
        assert row_block < blocks[0]
        assert col_block < blocks[1]
        seen[m0:m1, r0:r1, c0:c1] += 1
    assert (seen == 1).all()


@pytest.mark.parametrize(
    "shape", [(1, 1, 1 << 26), (1, 50257, 768), (1, 64, 1 << 20), (1, 1 << 20, 3), (1 << 18, 3, 3)]
)
def test_partial_totals_stay_small(shape: tuple[int, int, int]) -> None:
    whole = Shape(*shape)
    row_blocks, col_blocks = grid(whole, CHUNK_ELEMENTS).blocks(whole)
    assert row_blocks <= ROW_BLOCKS
    scratch = (row_blocks * whole.cols if row_blocks > 1 else 0) + (col_blocks * whole.rows if col_blocks > 1 else 0)
    assert 8 * scratch * whole.matrices <= 4 * whole.numel / 8
    table = cut(0, whole, CHUNK_ELEMENTS)
    assert (table[:, 5] % SEGMENT == 0).all()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_claims_hold_every_chunk_once(data: st.DataObject) -> None:
    sizes = np.array(data.draw(st.lists(st.integers(0, 100_000), max_size=12)), dtype=np.int64)
    counts = -(-sizes // 10_000)
    elements = np.concatenate([[0], *(np.full(n, 10_000) for n in counts)])[1:].astype(np.int64)
    pairs = data.draw(st.booleans())
    equal = [[i, j] for i in range(len(sizes)) for j in range(i) if sizes[i] == sizes[j]][: 1 if pairs else 0]
    chained = (
        np.zeros(len(sizes), bool)
        if equal
        else np.array(data.draw(st.lists(st.booleans(), min_size=len(sizes), max_size=len(sizes))), bool)
    )
    work = claims(counts, elements, equal, chained, 32_768)
    for each in (work, shuffled(work, np.random.default_rng(0))):
        covered = [each.order[b:e] for b, e in each.units[: each.sweep_units]]
        first = np.concatenate(([0], np.cumsum(counts)))
        loose = [np.arange(first[t], first[t + 1]) for t in np.flatnonzero(~chained)]
        assert sorted(np.concatenate([[], *covered])) == sorted(np.concatenate([[], *loose]))
        assert sorted(np.concatenate([[], *(each.chain[b:e] for b, e in each.units[each.sweep_units :])])) == list(
            np.flatnonzero(chained)
        )


def test_one_offset_of_neighbours_is_one_claim() -> None:
    work = claims(np.array([3, 3, 3]), np.full(9, 1000), [[0, 1, 2]], np.zeros(3, bool), 3000)
    assert work.order.tolist() == [0, 3, 6, 1, 4, 7, 2, 5, 8]
    assert work.units.tolist() == [[0, 3], [3, 6], [6, 9]]


def test_layouts() -> None:
    shape = (2, 3, 4)
    assert slot_layout(shape, None, (0, 1, 2)) is None
    channels_last = (12, 1, 3)
    order = walking_order(shape, channels_last)
    assert order == (0, 2, 1)
    assert slot_layout(shape, channels_last, order) is None
    found = slot_layout(shape, contiguous(shape), order)
    assert found is not None
    assert found.tolist() == [3, 2, 4, 3, 12, 1, 4]
    assert slot_layout((5, 1), (1, 77), (0, 1)) is None
    expanded = slot_layout((5, 6), (0, 0), (0, 1))
    assert expanded is not None
    assert expanded.tolist() == [1, 30, 0]
