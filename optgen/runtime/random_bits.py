"""Compiled code that draws random bits: Philox 4x32-10 as `optgen.ir.philox` defines it, eight elements per call."""

# numba has no type information: everything that touches it here is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false, reportUntypedFunctionDecorator=false

from __future__ import annotations

from optgen.runtime.cpu import STEP
from optgen.runtime.layout import PARAMETER, ROW_MAJOR, S_INDEX, SEED
from optgen.runtime.native import entry, place_of, routine, u2_at, u4_at, value, word

# The words of a counter are kept in 64 bits each, so that a product of two has room: masks bring them back to 32.
_LOW = 0xFFFFFFFF
_FIRST, _SECOND = 0xD2511F53, 0xCD9E8D57
_WEYL_FIRST, _WEYL_SECOND = 0x9E3779B9, 0xBB67AE85
_ROUNDS = 10
_PER_BLOCK = 8


@routine("UniTuple(int64, 4)(int64, int64, int64, int64)", "alwaysinline")
def philox(block, step, tensor, seed):
    """The four words of one call."""
    a, b, c, d = block & _LOW, (block >> 32) & _LOW, step & _LOW, tensor
    k0, k1 = seed & _LOW, (seed >> 32) & _LOW
    for _ in range(_ROUNDS):
        first, second = a * _FIRST, c * _SECOND
        a, c = ((second >> 32) & _LOW) ^ b ^ k0, ((first >> 32) & _LOW) ^ d ^ k1
        b, d = second & _LOW, first & _LOW
        k0, k1 = (k0 + _WEYL_FIRST) & _LOW, (k1 + _WEYL_SECOND) & _LOW
    return a, b, c, d


@routine("int64(int64, int64, int64, int64)", "noinline")
def bits_of(index, step, tensor, seed):
    """The 16 bits of one element."""
    a, b, c, d = philox(index // _PER_BLOCK, step, tensor, seed)
    pair = index % _PER_BLOCK // 2
    chosen = a
    if pair == 1:
        chosen = b
    elif pair == 2:
        chosen = c
    elif pair == 3:
        chosen = d
    return (chosen >> (16 * (index % 2))) & 0xFFFF


@routine("void(int64, int64, int64, int64, int64, int64)", "noinline")
def draw_run(target, index, n, step, tensor, seed):
    """The bits of n elements that follow one another in row-major order."""
    halves, done = u2_at(target), 0
    while done < n and (index + done) % _PER_BLOCK != 0:
        halves[done] = bits_of(index + done, step, tensor, seed)
        done += 1
    blocks, first = (n - done) // _PER_BLOCK, (index + done) // _PER_BLOCK
    words = u4_at(target + 2 * done)
    for block in range(blocks):  # little-endian memory: a word is its low half, then its high half
        a, b, c, d = philox(first + block, step, tensor, seed)
        words[4 * block] = a
        words[4 * block + 1] = b
        words[4 * block + 2] = c
        words[4 * block + 3] = d
    for i in range(done + _PER_BLOCK * blocks, n):
        halves[i] = bits_of(index + i, step, tensor, seed)


@routine("void(int64, int64, int64, int64, int64, int64, int64)", "noinline")
def draw(plan, ctx, t, stream, target, first, n):
    """The bits of elements first to first + n of a tensor, in walking order, for one stream."""
    step, seed = int(value(ctx, STEP, 0)), word(plan, SEED)
    tensor = entry(plan, PARAMETER, t) | word(stream, S_INDEX) << 24
    layout = entry(plan, ROW_MAJOR, t)
    if layout == 0:
        draw_run(target, first, n, step, tensor, seed)
        return
    halves = u2_at(target)
    for i in range(n):
        halves[i] = bits_of(place_of(layout, first + i), step, tensor, seed)
