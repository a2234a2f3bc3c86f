"""Random bits as a function of what they are for: Philox 4x32-10 (Salmon et al., "Parallel random numbers", 2011).

There is no state to save: the bits of an element follow from the optimizer's seed, the step, the parameter's number, a
stream (what they are for) and the element's index in row-major order, on every backend, whatever the order of work.

One call of Philox gives four words: `counter = (block, block >> 32, step, parameter | stream << 24)`, each taken modulo
2**32, and `key = (seed, seed >> 32)`. For 16 bits per element, block k serves elements 8k to 8k + 7, two per word, the
low half first. The words of a counter are what `tl.philox` of Triton and `curand_Philox4x32_10` give for it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint32]

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
#: Elements that share a call where each takes 16 bits.
PER_BLOCK = 8
#: Parameters of one optimizer: their numbers share a word with the stream.
PARAMETERS = 1 << 24

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def philox(counter: Sequence[NDArray[np.generic] | int], key: tuple[int, int]) -> tuple[Words, Words, Words, Words]:
    """The four words of counters of four words (arrays that broadcast) under a key of two."""
    a, b, c, d = (np.asarray(word).astype(np.uint64) & _LOW for word in counter)
    k0, k1 = key
    for _ in range(ROUNDS):
        first, second = a * np.uint64(MULTIPLIERS[0]), c * np.uint64(MULTIPLIERS[1])
        a, c = (second >> _HALF) ^ b ^ np.uint64(k0), (first >> _HALF) ^ d ^ np.uint64(k1)
        b, d = second & _LOW, first & _LOW
        k0, k1 = (k0 + WEYL[0]) & 0xFFFFFFFF, (k1 + WEYL[1]) & 0xFFFFFFFF
    a, b, c, d = np.broadcast_arrays(a, b, c, d)
    return a.astype(np.uint32), b.astype(np.uint32), c.astype(np.uint32), d.astype(np.uint32)


def rounding_bits(seed: int, step: int, parameter: int, stream: int, index: NDArray[np.integer]) -> NDArray[np.uint16]:
    """16 bits per element for rounding at random; `index` counts a parameter's elements in row-major order."""
    block = index.astype(np.uint64) // np.uint64(PER_BLOCK)
    counter = (block & _LOW, block >> _HALF, step, parameter | stream << 24)
    words = np.stack(philox(counter, (seed & 0xFFFFFFFF, seed >> 32)))
    place = index.astype(np.int64) % PER_BLOCK
    chosen = np.take_along_axis(words, (place // 2)[None], axis=0)[0]
    return (chosen >> (16 * (place % 2)).astype(np.uint32)).astype(np.uint16)
