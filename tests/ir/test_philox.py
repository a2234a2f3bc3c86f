"""Random bits: the published vectors, and that elements, steps, parameters and streams have bits of their own."""

import numpy as np
import pytest

from optgen.ir.kernel_arith import round_at_random, stored
from optgen.ir.philox import philox, rounding_bits

#: Counter, key and words of the authors' own test file (Random123, kat_vectors).
VECTORS = (
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
)


@pytest.mark.parametrize(("counter", "key", "words"), VECTORS)
def test_published_vectors(counter: tuple[int, ...], key: tuple[int, int], words: tuple[int, ...]) -> None:
    assert tuple(int(word) for word in philox(counter, key)) == words


def test_eight_elements_share_a_call() -> None:
    bits = rounding_bits(5 | 7 << 32, 3, 2, 1, np.arange(20))
    for block in range(2):
        words = philox((block, 0, 3, 2 | 1 << 24), (5, 7))
        halves = [int(word) >> shift & 0xFFFF for word in words for shift in (0, 16)]
        assert bits[8 * block : 8 * block + 8].tolist() == halves


def test_an_index_says_all() -> None:
    index = np.array([2**35 + 3, 17, 0, 2**35 + 2])
    alone = [rounding_bits(1, 1, 0, 0, np.array([i]))[0] for i in index]
    assert rounding_bits(1, 1, 0, 0, index).tolist() == [int(bits) for bits in alone]


@pytest.mark.parametrize("other", [(2, 1, 0, 0), (1 << 32 | 1, 1, 0, 0), (1, 2, 0, 0), (1, 1, 1, 0), (1, 1, 0, 1)])
def test_everything_counts(other: tuple[int, int, int, int]) -> None:
    index = np.arange(4096)
    same = np.mean(rounding_bits(1, 1, 0, 0, index) == rounding_bits(*other, index))
    assert same < 16 / 4096


def test_rounding_is_right_on_average() -> None:
    """The chance of the upper neighbour is the distance from the lower one, in 2**16 parts: counted over all bits."""
    bits = np.arange(1 << 16, dtype=np.uint16)
    for x in (1.0, 1.001, -1.003, 3.14159e-38, 1e-41, 255.3, -7e37):
        value = np.float32(x)
        rounded = round_at_random(np.full(bits.size, value), bits)
        assert np.mean(rounded.astype(np.float64)) == np.float64(value)
        assert np.array_equal(stored(rounded, "bfloat16"), rounded)


@pytest.mark.parametrize("x", [np.inf, -np.inf, np.nan, 0.0, -0.0, 1.5, -2.0])
def test_what_is_held_stays(x: float) -> None:
    rounded = round_at_random(np.full(3, np.float32(x)), np.array([0, 1, 0xFFFF], dtype=np.uint16))
    assert np.array_equal(rounded, np.full(3, np.float32(x)), equal_nan=True)
    assert np.array_equal(np.signbit(rounded), np.full(3, np.signbit(np.float32(x))))
