"""Conversions of generated kernels, every word of bfloat16 and float16, and the random bits of the driver."""

import numpy as np
import pytest
import torch
from numba import njit

from optgen.ir.kernel_arith import round_at_random, stored
from optgen.runtime import narrow

WORDS = np.arange(1 << 16, dtype=np.uint16)


def values() -> np.ndarray:
    """float32 at, next to and halfway between all narrow numbers, and all over."""
    rng = np.random.default_rng(0)
    with np.errstate(all="ignore"):
        narrow_ones = [WORDS.view(np.float16).astype(np.float32), (WORDS.astype(np.uint32) << 16).view(np.float32)]
        near = [np.nextafter(x, np.float32(side)) for x in narrow_ones for side in (np.inf, -np.inf)]
        halfway = [(x[:-1].astype(np.float64) + x[1:]) / 2 for x in narrow_ones]
        anywhere = rng.integers(0, 1 << 32, 1 << 18, dtype=np.uint32).view(np.float32)
        small = (rng.normal(size=1 << 16) * 1e-6).astype(np.float32)
        return np.concatenate([*narrow_ones, *near, *(x.astype(np.float32) for x in halfway), anywhere, small])


def apply(function: object, x: np.ndarray, *more: np.ndarray, to: type) -> np.ndarray:
    """A conversion of every entry, compiled as kernels are."""

    @njit(error_model="numpy")
    def run(out, x, bits):
        for i in range(x.size):
            out[i] = function(x[i])

    @njit(error_model="numpy")
    def run_two(out, x, bits):
        for i in range(x.size):
            out[i] = function(x[i], bits[i])

    out = np.zeros(x.size, to)
    (run_two if more else run)(out, x, *(more or (x,)))
    return out


def as_float(words: np.ndarray, dtype: str) -> np.ndarray:
    """What words of memory mean, by torch."""
    return torch.from_numpy(words.view(np.int16)).view(getattr(torch, dtype)).float().numpy()


@pytest.mark.parametrize("by", ["f4_of_b2", "f4_of_f2", "by bits"])
def test_every_word_is_widened(by: str) -> None:
    function = narrow._widen(narrow.widen_half_by_bits) if by == "by bits" else getattr(narrow, by)
    dtype = "bfloat16" if by == "f4_of_b2" else "float16"
    assert np.array_equal(apply(function, WORDS, to=np.float32), as_float(WORDS, dtype), equal_nan=True)


@pytest.mark.parametrize("by", ["b2_of_f4", "f2_of_f4", "by bits"])
def test_rounding_is_to_the_nearest_even(by: str) -> None:
    function = narrow._narrow(narrow.round_half_by_bits) if by == "by bits" else getattr(narrow, by)
    dtype = "bfloat16" if by == "b2_of_f4" else "float16"
    x = values()
    rounded = as_float(apply(function, x, to=np.uint16), dtype)
    assert np.array_equal(rounded, torch.from_numpy(x).to(getattr(torch, dtype)).float().numpy(), equal_nan=True)
    with np.errstate(all="ignore"):
        assert np.array_equal(rounded, stored(x, dtype).astype(np.float32), equal_nan=True)
    assert np.array_equal(np.signbit(rounded), np.signbit(x))


def test_rounding_at_random_is_the_interpreters() -> None:
    x = values()
    bits = np.random.default_rng(1).integers(0, 1 << 16, x.size, dtype=np.uint16)
    words = apply(narrow.b2_at_random, x, bits, to=np.uint16)
    assert np.array_equal(as_float(words, "bfloat16"), round_at_random(x, bits), equal_nan=True)
