"""What generated numba-cuda kernels are written with: tables, slots, neighbours, totals, and a few functions.

A sweep's element function is arithmetic on numbers; the function around it goes over a chunk of a tensor, four elements
at a time where all of them exist and every slot lies in order at an address that is a multiple of 16, one at a time
elsewhere. An address is an integer, a number in bfloat16 (b2) or float16 (f2) a word of 16 bits.

=========================================  =======================================================================
``load_f4(at)  store_f4(at, x)``           an element at an address; also ``f8 b2 f2 i8``
``load4_f4(at) store4_f4(at, x)``          four of them: a tuple, an array
``f4_stream(at, n)  f8_table(at, n, m)``   memory as an array
``slot(ctx, t, column)``                   where a slot of a tensor lies: its address, and that of its layout or 0
``plain(at, lies)``                        whether four elements may be read at once
``place(lies, i)``                         where element i lies, in elements
``near_f4(...)  near4_f4(...)``            sums over the neighbours of a tensor, of one element or of four
``noise(ctx, t, i, stream)``               random bits of an element
``block_sum(cells, x) ...``                a total over the threads of a program, in a fixed order
``total_runs_f4(...) total_tensors(...)``  totals of chunks as totals of tensors
``thread() threads() program() ...``       who runs
=========================================  =======================================================================
"""

# Device code, which numba types: to a checker of Python its values have no types.
# pyright: basic, reportGeneralTypeIssues=false, reportArgumentType=false, reportCallIssue=false
# pyright: reportIndexIssue=false, reportAttributeAccessIssue=false

from __future__ import annotations

import numpy as np
from numba import config

from optgen.runtime import gpu_abi, graph
from optgen.runtime import layout as at_
from optgen.runtime.abi import Mode, Word
from optgen.runtime.gpu_abi import GpuWord

SIMULATED = bool(config.ENABLE_CUDASIM)

if SIMULATED:
    from optgen.runtime import numba_cuda_simulated as base
else:
    from optgen.runtime import numba_cuda_native as base

kernel, device, LANES = base.kernel, base.device, base.LANES
load_f4, load_f8, load_b2, load_f2, load_i8 = base.load_f4, base.load_f8, base.load_b2, base.load_f2, base.load_i8
load4_f4, load4_f8, load4_b2, load4_f2 = base.load4_f4, base.load4_f8, base.load4_b2, base.load4_f2
store_f4, store_f8, store_i8 = base.store_f4, base.store_f8, base.store_i8
store_b2, store_f2 = base.store_b2, base.store_f2
store4_f4, store4_f8, store4_b2, store4_f2 = base.store4_f4, base.store4_f8, base.store4_b2, base.store4_f2
f4_stream, f8_stream, i8_stream = base.f4_stream, base.f8_stream, base.i8_stream
f8_table, i8_table = base.f8_table, base.i8_table
f4_of_b2, f4_of_f2, b2_of_f4, f2_of_f4 = base.f4_of_b2, base.f4_of_f2, base.b2_of_f4, base.f2_of_f4
thread, threads, program, barrier = base.thread, base.threads, base.program, base.barrier
programs, arrive, any_thread = base.programs, base.arrive, base.any_thread
sqrt, exp, log, expm1, log1p = base.sqrt, base.exp, base.log, base.expm1, base.log1p
sin, cos, tanh, floor, ceil, rint, power = base.sin, base.cos, base.tanh, base.floor, base.ceil, base.rint, base.power
bits_of_f4, other_lane = base.bits_of_f4, base.other_lane

f4, f8, i8, u2 = np.float32, np.float64, np.int64, np.uint16
#: Elements that are loaded at once; columns that a warp goes over at once, and those of them that a thread does.
WIDE, TILE = 4, gpu_abi.LARGE[2]
HELD = TILE // LANES
#: Numbers that threads of the largest program share for each total of columns: a tile's for every warp.
CELLS = TILE * gpu_abi.MANY_WARPS
#: Rows and columns of a small matrix at most.
SMALL = gpu_abi.SMALL[2]
WORDS = int(GpuWord.COUNT)
WHOLE = graph.WHOLE
RUN_CHUNKS = gpu_abi.RUN_CHUNKS
CHUNK_FIELDS = at_.CHUNK_FIELDS
C_TENSOR, C_MATRIX, C_MATRIX_END = at_.C_TENSOR, at_.C_MATRIX, at_.C_MATRIX_END
C_ROW, C_ROW_END, C_COL, C_COL_END = at_.C_ROW, at_.C_ROW_END, at_.C_COL, at_.C_COL_END
C_ROW_BLOCK, C_COL_BLOCK = at_.C_ROW_BLOCK, at_.C_COL_BLOCK

# fmt: off
#: Words of ctx by their names, so that kernels say `ctx[HYPER]`.
(
    TENSORS, LAYERS, MEMBERS, MEMBER_COUNT, MODE, VARIANT, HYPER, META, INPUT, STEP, ADDRESS, TENSOR_VALUE,
    LAYER_VALUE, MODEL_VALUE, TENSOR_TOTAL, MATRIX_VALUE, ROW_VALUE, COL_VALUE, MATRIX_WIDTH, ROW_WIDTH,
    COL_WIDTH, MATRIX_OFFSET, ROW_OFFSET, COL_OFFSET, LAYER_OF, LAYER_START, LAYER_MEMBER, LAYER_PRESENT,
    EDGE_START, EDGE_TO, EDGE_OWN, EDGE_OTHER, EDGE_MATCHED, SLOTS,
) = map(int, tuple(Word)[:-1])
(
    ORDER, CHUNK, VIEW, LAYOUT, NEIGHBOUR_START, NEIGHBOUR, NEIGHBOUR_OWN, NEIGHBOUR_OTHER, TENSOR_READ,
    MATRIX_READ, ROW_READ, COL_READ, PARTIAL, RUN_START, RUNS, RUN, RUN_TOTAL, ROW_PARTIAL, ROW_PARTIAL_WIDTH,
    ROW_PARTIAL_AT, ROW_PARTS, COL_PARTIAL, COL_PARTIAL_WIDTH, COL_PARTIAL_AT, COL_PARTS, MATRIX_BLOCK,
    ROW_BLOCK, COL_BLOCK, SEED, PARAMETER, ROW_MAJOR, ARRIVED, WINDOW,
) = map(int, tuple(GpuWord)[:-1])
# fmt: on
ABSENT, ACTIVE = int(Mode.ABSENT), int(Mode.ACTIVE)


# -- chunks and slots ----------------------------------------------------------------------------------------------


@device
def slot(ctx, t, column):
    """Where a slot of a tensor lies: its address, and that of its layout, 0 where elements lie in order."""
    cell = 8 * (t * ctx[SLOTS] + column)
    return load_i8(ctx[ADDRESS] + cell), load_i8(ctx[LAYOUT] + cell)


@device
def plain(at, lies):
    """Whether a slot lies in order and may be read 16 bytes at a time."""
    return at & 15 | lies == 0


@device
def place(lies, i):
    """Offset in memory of element i: sizes and steps of a layout's axes, outermost first, follow their number."""
    if lies == 0:
        return i
    axes = load_i8(lies)
    found, rest = 0, i
    for axis in range(axes, 0, -1):
        size = load_i8(lies + 8 * axis)
        found += rest % size * load_i8(lies + 8 * (axes + axis))
        rest = rest // size
    return found


@device
def tile_end(start, end):
    """Where a tile of columns ends."""
    return min(start + TILE, end)


@device
def is_last_program(ctx):
    """Whether all other programs of this launch are done: they see nothing of what the one that is told so stores."""
    barrier()
    last = False
    if thread() == 0 and arrive(ctx[ARRIVED]) == programs() - 1:
        store_i8(ctx[ARRIVED], 0)
        last = True
    return any_thread(last)


# -- neighbours ----------------------------------------------------------------------------------------------------


@device
def neighbours_plain(ctx, t, column, gradient):
    """Whether a slot of all neighbours of a tensor is there, whole and plain; gradient: of those that have one."""
    all_plain = True
    for e in range(load_i8(ctx[NEIGHBOUR_START] + 8 * t), load_i8(ctx[NEIGHBOUR_START] + 8 * (t + 1))):
        u = max(load_i8(ctx[NEIGHBOUR] + 8 * e), 0)
        at, lies = slot(ctx, u, column)
        if load_i8(ctx[WINDOW] + 24 * e + 8) != WHOLE:
            all_plain = False
        if not plain(at, lies) or (gradient and load_i8(ctx[MODE] + 8 * u) != ACTIVE):
            all_plain = False
    return all_plain


def _pull(real):
    """a*own - b*other in the order of operations that all backends have; a and b are mostly equal."""

    zero = real(0)

    @device
    def pull(a, b, own, other):
        return a * (own - other) + ((a - b) * other if a != b else zero)

    return pull


def _near(load, item, widened, real, coefficient, width):
    """The sum over a tensor's neighbours of a*own - b*other, or without `laplacian` of b*other, for an element."""

    zero, pull = real(0), _pull(real)

    @device
    def near(ctx, t, own, i, column, gradient, laplacian):
        total = zero
        for e in range(load_i8(ctx[NEIGHBOUR_START] + 8 * t), load_i8(ctx[NEIGHBOUR_START] + 8 * (t + 1))):
            window = ctx[WINDOW] + 24 * e
            if i < load_i8(window) or i >= load_i8(window + 8):
                continue
            u = load_i8(ctx[NEIGHBOUR] + 8 * e)
            at, lies = slot(ctx, max(u, 0), column)
            b = coefficient(ctx[NEIGHBOUR_OTHER] + width * e)
            other = zero
            if u >= 0 and (not gradient or load_i8(ctx[MODE] + 8 * u) == ACTIVE):
                other = real(widened(load(at + item * place(lies, i + load_i8(window + 16)))))
            if laplacian:
                total = total + pull(coefficient(ctx[NEIGHBOUR_OWN] + width * e), b, real(widened(own)), other)
            else:
                total = total + b * other
        return total

    return near


def _near4(load4, item, widened, real, coefficient, width):
    """The same for four elements of slots that are plain."""

    zero, pull = real(0), _pull(real)

    @device
    def near4(ctx, t, own, i, column, gradient, laplacian):  # noqa: ARG001 (as of one element)
        sum0, sum1, sum2, sum3 = zero, zero, zero, zero
        for e in range(load_i8(ctx[NEIGHBOUR_START] + 8 * t), load_i8(ctx[NEIGHBOUR_START] + 8 * (t + 1))):
            at, _ = slot(ctx, load_i8(ctx[NEIGHBOUR] + 8 * e), column)
            b = coefficient(ctx[NEIGHBOUR_OTHER] + width * e)
            other = load4(at + item * i)
            if laplacian:
                a = coefficient(ctx[NEIGHBOUR_OWN] + width * e)
                sum0 = sum0 + pull(a, b, real(widened(own[0])), real(widened(other[0])))
                sum1 = sum1 + pull(a, b, real(widened(own[1])), real(widened(other[1])))
                sum2 = sum2 + pull(a, b, real(widened(own[2])), real(widened(other[2])))
                sum3 = sum3 + pull(a, b, real(widened(own[3])), real(widened(other[3])))
            else:
                sum0 = sum0 + b * real(widened(other[0]))
                sum1 = sum1 + b * real(widened(other[1]))
                sum2 = sum2 + b * real(widened(other[2]))
                sum3 = sum3 + b * real(widened(other[3]))
        return sum0, sum1, sum2, sum3

    return near4


# of slots in a dtype, for kernels that compute in float32, and in float64
near_f4, near4_f4 = _near(load_f4, 4, f4, f4, load_f4, 4), _near4(load4_f4, 4, f4, f4, load_f4, 4)
near_b2, near4_b2 = _near(load_b2, 2, f4_of_b2, f4, load_f4, 4), _near4(load4_b2, 2, f4_of_b2, f4, load_f4, 4)
near_f2, near4_f2 = _near(load_f2, 2, f4_of_f2, f4, load_f4, 4), _near4(load4_f2, 2, f4_of_f2, f4, load_f4, 4)
near_f8, near4_f8 = _near(load_f8, 8, f8, f8, load_f8, 8), _near4(load4_f8, 8, f8, f8, load_f8, 8)


# -- rounding at random --------------------------------------------------------------------------------------------


@device
def noise(ctx, t, i, stream):
    """16 random bits of element i, as optgen.ir.philox defines them; the words of a counter have room for products."""
    index = place(load_i8(ctx[ROW_MAJOR] + 8 * t), i)
    seed = ctx[SEED]
    block = index // 8
    a, b = block & 0xFFFFFFFF, block >> 32 & 0xFFFFFFFF
    c, d = i8(load_f8(ctx[STEP])) & 0xFFFFFFFF, load_i8(ctx[PARAMETER] + 8 * t) | stream << 24
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF
    for _ in range(10):
        first, second = a * 0xD2511F53, c * 0xCD9E8D57
        a, c = second >> 32 & 0xFFFFFFFF ^ b ^ k0, first >> 32 & 0xFFFFFFFF ^ d ^ k1
        b, d = second & 0xFFFFFFFF, first & 0xFFFFFFFF
        k0, k1 = k0 + 0x9E3779B9 & 0xFFFFFFFF, k1 + 0xBB67AE85 & 0xFFFFFFFF
    pair = index % 8 // 2
    chosen = a if pair == 0 else b if pair == 1 else c if pair == 2 else d
    return chosen >> 16 * (index % 2) & 0xFFFF


@device
def b2_at_random(x, bits):
    """x as a bfloat16 word, one of its two neighbours by 16 random bits; infinities and NaN stay what they are."""
    own = bits_of_f4(x)
    return b2_of_f4(x) if own & 0x7F800000 == 0x7F800000 else u2(own + bits >> 16)


# -- totals --------------------------------------------------------------------------------------------------------


@device
def maximum(a, b):
    """The larger of two; NaN stays."""
    return a if a > b or a != a else b


@device
def minimum(a, b):
    """The smaller of two; NaN stays."""
    return a if a < b or a != a else b


@device
def plus(a, b):
    """The sum of two."""
    return a + b


@device
def remainder(a, b):
    """a % b with the sign of b; 0 where b is 0."""
    return a % b if b != 0 else b * 0


def _along_warp(combine):
    """A total over the threads of a warp, which all of them get."""

    @device
    def warp_total(x):
        distance = LANES // 2
        while distance:
            x = combine(x, other_lane(x, distance))
            distance //= 2
        return x

    return warp_total


def _along_block(combine, along_warp):
    """A total over the threads of a program, for its first thread; all of them must come by."""

    @device
    def block_total(cells, x):
        x = along_warp(x)
        barrier()
        if thread() % LANES == 0:
            cells[thread() // LANES] = x
        barrier()
        x = cells[0]
        for warp in range(1, threads() // LANES):
            x = combine(x, cells[warp])
        return x

    return block_total


def _down_columns(combine):
    """The total of column c of a span, over the rows of warps that each left theirs in cells."""

    @device
    def column_total(cells, c, across):
        x = cells[c]
        for down in range(1, threads() // LANES // across):
            x = combine(x, cells[c + TILE * across * down])
        return x

    return column_total


warp_sum, warp_max, warp_min = _along_warp(plus), _along_warp(maximum), _along_warp(minimum)
block_sum, block_max, block_min = (
    _along_block(combine, along) for combine, along in ((plus, warp_sum), (maximum, warp_max), (minimum, warp_min))
)
column_sum, column_max, column_min = _down_columns(plus), _down_columns(maximum), _down_columns(minimum)


# -- finishing totals ----------------------------------------------------------------------------------------------


def _runs(load, item, combine, along_warp, neutral):
    """Combines the partial totals of each run of chunks, a warp per run; a step of `stages`."""

    @device
    def total_runs(ctx, column, columns):
        for k in range(thread() // LANES, ctx[RUNS], threads() // LANES):
            run = ctx[RUN] + 24 * k
            total = neutral
            for chunk in range(load_i8(run + 8) + thread() % LANES, load_i8(run + 16), LANES):
                total = combine(total, f8(load(ctx[PARTIAL] + item * (chunk * columns + column))))
            total = along_warp(total)
            if thread() % LANES == 0:
                store_f8(ctx[RUN_TOTAL] + 8 * (k * columns + column), total)

    return total_runs


def _tensors(combine, neutral):
    """Combines the runs of each tensor whose variant takes the total (a bit each); others get none if first."""

    @device
    def total_tensors(ctx, column, columns, variants, first):
        for k in range(thread(), ctx[MEMBER_COUNT], threads()):
            t = load_i8(ctx[MEMBERS] + 8 * k)
            mine = variants >> load_i8(ctx[VARIANT] + 8 * t) & 1
            if load_i8(ctx[MODE] + 8 * t) != ABSENT and (mine or first):
                total = neutral
                if mine:
                    for run in range(load_i8(ctx[RUN_START] + 8 * t), load_i8(ctx[RUN_START] + 8 * (t + 1))):
                        total = combine(total, load_f8(ctx[RUN_TOTAL] + 8 * (run * columns + column)))
                store_f8(ctx[TENSOR_TOTAL] + 8 * (t * columns + column), total)

    return total_tensors


_SUM, _MAX, _MIN = (plus, f8(0)), (maximum, f8(-np.inf)), (minimum, f8(np.inf))
total_tensors_sum, total_tensors_max, total_tensors_min = _tensors(*_SUM), _tensors(*_MAX), _tensors(*_MIN)
total_runs_sum_f4 = _runs(load_f4, 4, plus, warp_sum, _SUM[1])
total_runs_max_f4 = _runs(load_f4, 4, maximum, warp_max, _MAX[1])
total_runs_min_f4 = _runs(load_f4, 4, minimum, warp_min, _MIN[1])
total_runs_sum_f8 = _runs(load_f8, 8, plus, warp_sum, _SUM[1])
total_runs_max_f8 = _runs(load_f8, 8, maximum, warp_max, _MAX[1])
total_runs_min_f8 = _runs(load_f8, 8, minimum, warp_min, _MIN[1])


@device
def first_present(ctx):
    """The first tensor that takes part, or the number of tensors."""
    t = 0
    while t < ctx[TENSORS] and load_i8(ctx[MODE] + 8 * t) == ABSENT:
        t += 1
    return t
