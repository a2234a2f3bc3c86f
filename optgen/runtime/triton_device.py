"""What generated Triton kernels are written with: tables, slots, loads and stores, totals, and a few functions.

A sweep's block function sees elements ``i`` of a tensor, a tile of offsets in walking order. ``HOW`` it does: "whole",
where all of them exist and every slot lies in order at an address that is a multiple of 16, so that loads are
vectorised; "masked", where those ``inside`` exist; "strided", where each slot may have strides of its own as well.

===================================  =============================================================================
``table(ctx, WORD, kind)``           pointer to a table
``slot(ctx, t, column)``             where a slot of a tensor lies: its address, and the address of its layout or 0
``plain(slot)``                      whether it may be read whole; ``strided(slot)``: whether it does not lie in order
``pointer(slot, kind, HOW)``         the slot as a pointer, which ``load`` and ``store`` take
``load(at, i, inside, HOW)``         elements, 0 outside; ``store(at, i, x, inside, HOW)``
``add_total max_total min_total``    combine elements into a total; ``sum_of max_of min_of`` reduce it at the end
``get(cells, here)``                 entries of a table, 0 where not ``here``; ``put(cells, x, here)``
``fetch(address, kind, here)``       numbers at addresses, as float64; ``deposit(address, kind, x, here)``
``at_random(...)``                   bfloat16 by random bits
``f4 f8``                            conversions
``quotient root power ...``          functions, correctly rounded where IEEE has them so
===================================  =============================================================================
"""

# Triton kernels are text for another compiler: nothing here has a type that the checker could know.
# pyright: basic

from __future__ import annotations

import triton
import triton.language as tl

from optgen.runtime import gpu_abi
from optgen.runtime import layout as at_
from optgen.runtime.abi import META as META_COLUMNS
from optgen.runtime.abi import Mode, Word
from optgen.runtime.gpu_abi import GpuWord

# -- constants -----------------------------------------------------------------------------------------------------
# Kernels read integers of other modules only as constexpr.

TENSORS = tl.constexpr(int(Word.TENSORS))
LAYERS = tl.constexpr(int(Word.LAYERS))
MEMBERS = tl.constexpr(int(Word.MEMBERS))
MEMBER_COUNT = tl.constexpr(int(Word.MEMBER_COUNT))
MODE = tl.constexpr(int(Word.MODE))
VARIANT = tl.constexpr(int(Word.VARIANT))
HYPER = tl.constexpr(int(Word.HYPER))
META = tl.constexpr(int(Word.META))
INPUT = tl.constexpr(int(Word.INPUT))
STEP = tl.constexpr(int(Word.STEP))
ADDRESS = tl.constexpr(int(Word.ADDRESS))
TENSOR_VALUE = tl.constexpr(int(Word.TENSOR_VALUE))
LAYER_VALUE = tl.constexpr(int(Word.LAYER_VALUE))
MODEL_VALUE = tl.constexpr(int(Word.MODEL_VALUE))
TENSOR_TOTAL = tl.constexpr(int(Word.TENSOR_TOTAL))
MATRIX_VALUE = tl.constexpr(int(Word.MATRIX_VALUE))
ROW_VALUE = tl.constexpr(int(Word.ROW_VALUE))
COL_VALUE = tl.constexpr(int(Word.COL_VALUE))
MATRIX_WIDTH = tl.constexpr(int(Word.MATRIX_WIDTH))
ROW_WIDTH = tl.constexpr(int(Word.ROW_WIDTH))
COL_WIDTH = tl.constexpr(int(Word.COL_WIDTH))
MATRIX_OFFSET = tl.constexpr(int(Word.MATRIX_OFFSET))
ROW_OFFSET = tl.constexpr(int(Word.ROW_OFFSET))
COL_OFFSET = tl.constexpr(int(Word.COL_OFFSET))
LAYER_OF = tl.constexpr(int(Word.LAYER_OF))
LAYER_START = tl.constexpr(int(Word.LAYER_START))
LAYER_MEMBER = tl.constexpr(int(Word.LAYER_MEMBER))
LAYER_PRESENT = tl.constexpr(int(Word.LAYER_PRESENT))
EDGE_START = tl.constexpr(int(Word.EDGE_START))
EDGE_TO = tl.constexpr(int(Word.EDGE_TO))
EDGE_OWN = tl.constexpr(int(Word.EDGE_OWN))
EDGE_OTHER = tl.constexpr(int(Word.EDGE_OTHER))
SLOTS = tl.constexpr(int(Word.SLOTS))
EDGE_MATCHED = tl.constexpr(int(Word.EDGE_MATCHED))
ORDER = tl.constexpr(int(GpuWord.ORDER))
CHUNK = tl.constexpr(int(GpuWord.CHUNK))
VIEW = tl.constexpr(int(GpuWord.VIEW))
LAYOUT = tl.constexpr(int(GpuWord.LAYOUT))
NEIGHBOUR_START = tl.constexpr(int(GpuWord.NEIGHBOUR_START))
NEIGHBOUR = tl.constexpr(int(GpuWord.NEIGHBOUR))
NEIGHBOUR_OWN = tl.constexpr(int(GpuWord.NEIGHBOUR_OWN))
NEIGHBOUR_OTHER = tl.constexpr(int(GpuWord.NEIGHBOUR_OTHER))
WINDOW = tl.constexpr(int(GpuWord.WINDOW))
TENSOR_READ = tl.constexpr(int(GpuWord.TENSOR_READ))
MATRIX_READ = tl.constexpr(int(GpuWord.MATRIX_READ))
ROW_READ = tl.constexpr(int(GpuWord.ROW_READ))
COL_READ = tl.constexpr(int(GpuWord.COL_READ))
PARTIAL = tl.constexpr(int(GpuWord.PARTIAL))
RUN_START = tl.constexpr(int(GpuWord.RUN_START))
RUNS = tl.constexpr(int(GpuWord.RUNS))
RUN = tl.constexpr(int(GpuWord.RUN))
RUN_TOTAL = tl.constexpr(int(GpuWord.RUN_TOTAL))
ROW_PARTIAL = tl.constexpr(int(GpuWord.ROW_PARTIAL))
ROW_PARTIAL_WIDTH = tl.constexpr(int(GpuWord.ROW_PARTIAL_WIDTH))
ROW_PARTIAL_AT = tl.constexpr(int(GpuWord.ROW_PARTIAL_AT))
ROW_PARTS = tl.constexpr(int(GpuWord.ROW_PARTS))
COL_PARTIAL = tl.constexpr(int(GpuWord.COL_PARTIAL))
COL_PARTIAL_WIDTH = tl.constexpr(int(GpuWord.COL_PARTIAL_WIDTH))
COL_PARTIAL_AT = tl.constexpr(int(GpuWord.COL_PARTIAL_AT))
COL_PARTS = tl.constexpr(int(GpuWord.COL_PARTS))
MATRIX_BLOCK = tl.constexpr(int(GpuWord.MATRIX_BLOCK))
ROW_BLOCK = tl.constexpr(int(GpuWord.ROW_BLOCK))
COL_BLOCK = tl.constexpr(int(GpuWord.COL_BLOCK))
SEED = tl.constexpr(int(GpuWord.SEED))
PARAMETER = tl.constexpr(int(GpuWord.PARAMETER))
ROW_MAJOR = tl.constexpr(int(GpuWord.ROW_MAJOR))
ARRIVED = tl.constexpr(int(GpuWord.ARRIVED))
ABSENT = tl.constexpr(int(Mode.ABSENT))
ACTIVE = tl.constexpr(int(Mode.ACTIVE))
ZERO_GRADIENT = tl.constexpr(int(Mode.ZERO_GRADIENT))
RUN_CHUNKS = tl.constexpr(gpu_abi.RUN_CHUNKS)
INFINITY = tl.constexpr(float("inf"))
CHUNK_FIELDS = tl.constexpr(at_.CHUNK_FIELDS)
C_TENSOR = tl.constexpr(at_.C_TENSOR)
C_MATRIX = tl.constexpr(at_.C_MATRIX)
C_MATRIX_END = tl.constexpr(at_.C_MATRIX_END)
C_ROW = tl.constexpr(at_.C_ROW)
C_ROW_END = tl.constexpr(at_.C_ROW_END)
C_COL = tl.constexpr(at_.C_COL)
C_COL_END = tl.constexpr(at_.C_COL_END)
C_ROW_BLOCK = tl.constexpr(at_.C_ROW_BLOCK)
C_COL_BLOCK = tl.constexpr(at_.C_COL_BLOCK)

assert META_COLUMNS[:5] == ("numel", "ndim", "rows", "cols", "matrices")

# -- tables --------------------------------------------------------------------------------------------------------


@triton.jit
def word(ctx, index: tl.constexpr):
    """A word of ctx."""
    return tl.load(ctx + index)


@triton.jit
def table(ctx, index: tl.constexpr, kind: tl.constexpr):
    """Pointer to the first entry of a table."""
    return tl.load(ctx + index).to(tl.pointer_type(kind))


@triton.jit
def get(cells, here):
    """Entries of a table."""
    return tl.load(cells, mask=here, other=0)


@triton.jit
def put(cells, x, here):
    """Replaces entries of a table."""
    tl.store(cells, x, mask=here)


@triton.jit
def fetch(address, kind: tl.constexpr, here):
    """The numbers at some addresses, as float64."""
    return tl.load(address.to(tl.pointer_type(kind)), mask=here, other=0).to(tl.float64)


@triton.jit
def deposit(address, kind: tl.constexpr, x, here):
    """Replaces the numbers at some addresses, rounded to their type."""
    tl.store(address.to(tl.pointer_type(kind)), x.to(kind), mask=here)


# -- chunks and slots ----------------------------------------------------------------------------------------------


@triton.jit
def chunk_of_program(ctx):
    """This program's chunk, and its tensor."""
    chunk = tl.load(table(ctx, ORDER, tl.int64) + tl.program_id(0))
    return chunk, tl.load(table(ctx, CHUNK, tl.int64) + chunk * CHUNK_FIELDS + C_TENSOR)


@triton.jit
def is_last_program(ctx):
    """Whether all other programs of this launch are done: they see nothing of what the one that is told so stores."""
    tl.debug_barrier()
    arrived = table(ctx, ARRIVED, tl.int64)
    last = tl.atomic_add(arrived, 1) == tl.num_programs(0) - 1
    if last:
        tl.store(arrived, 0)
    return last


@triton.jit
def has_small_matrices(ctx, t, rows: tl.constexpr, cols: tl.constexpr):
    """Whether the matrices of a tensor have at most so many rows and columns."""
    view = table(ctx, VIEW, tl.int64) + t * 3
    return (tl.load(view + 1) <= rows) & (tl.load(view + 2) <= cols)


@triton.jit
def chunk_field(ctx, chunk, field: tl.constexpr):
    """A field of a chunk."""
    return tl.load(table(ctx, CHUNK, tl.int64) + chunk * CHUNK_FIELDS + field)


@triton.jit
def multiple_of_16(x):
    """A number that is a multiple of 16, in a way that shows it: hints are lost on what functions return."""
    return x // 16 * 16


@triton.jit
def slot(ctx, t, column: tl.constexpr):
    """Where a slot of a tensor lies: its address, and that of its layout or 0."""
    cell = t * word(ctx, SLOTS) + column
    return tl.load(table(ctx, ADDRESS, tl.int64) + cell), tl.load(table(ctx, LAYOUT, tl.int64) + cell)


@triton.jit
def plain(place):
    """Whether a slot lies in order and may be read 16 bytes at a time."""
    return ((place[0] & 15) | place[1]) == 0


@triton.jit
def strided(place):
    """Whether a slot does not lie in order."""
    return place[1] != 0


@triton.jit
def pointer(place, kind: tl.constexpr, HOW: tl.constexpr):
    """A slot as load and store take it."""
    first = place[0].to(tl.pointer_type(kind))
    if HOW == "whole":
        first = tl.multiple_of(first, 16)
    return first, place[1]


@triton.jit
def _placed(layout, i):
    """Offsets in memory of elements i of a slot: sizes and steps of its axes, outermost first, follow their number."""
    place = i
    if layout != 0:
        words = layout.to(tl.pointer_type(tl.int64))
        axes = tl.load(words).to(tl.int32)
        rest = i
        place = tl.zeros_like(i)
        for axis in range(axes, 0, -1):
            size = tl.load(words + axis)
            place += rest % size * tl.load(words + axes + axis)
            rest = rest // size
    return place


@triton.jit
def load(at, i, inside, HOW: tl.constexpr):
    """Elements of a slot, as stored; 0 where not inside."""
    if HOW == "whole":
        x = tl.load(at[0] + i)
    elif HOW == "masked":
        x = tl.load(at[0] + i, mask=inside, other=0)
    else:
        x = tl.load(at[0] + _placed(at[1], i), mask=inside, other=0)
    return x


@triton.jit
def store(at, i, x, inside, HOW: tl.constexpr):
    """Replaces elements of a slot."""
    if HOW == "whole":
        tl.store(at[0] + i, x)
    elif HOW == "masked":
        tl.store(at[0] + i, x, mask=inside)
    else:
        tl.store(at[0] + _placed(at[1], i), x, mask=inside)


# -- rounding at random --------------------------------------------------------------------------------------------


@triton.jit
def at_random(ctx, t, x, i, stream: tl.constexpr):
    """x in bfloat16, rounded to one of its neighbours by the random bits of optgen.ir.philox for elements i."""
    step = tl.load(table(ctx, STEP, tl.float64)).to(tl.int64).to(tl.uint32)
    number = (tl.load(table(ctx, PARAMETER, tl.int64) + t) | (stream << 24)).to(tl.uint32)
    index = _placed(tl.load(table(ctx, ROW_MAJOR, tl.int64) + t), i.to(tl.int64))
    block = index // 8
    low, high = (block & 0xFFFFFFFF).to(tl.uint32), (block >> 32).to(tl.uint32)
    zero = low * 0
    a, b, c, d = tl.philox(word(ctx, SEED), low, high, zero + step, zero + number)
    pair = index % 8 // 2
    chosen = tl.where(pair == 0, a, tl.where(pair == 1, b, tl.where(pair == 2, c, d)))
    noise = (chosen >> (16 * (index % 2)).to(tl.uint32)) & 0xFFFF
    bits = x.to(tl.uint32, bitcast=True)
    rounded = ((bits + noise) >> 16).to(tl.uint16).to(tl.bfloat16, bitcast=True)
    # an infinity stays, and a NaN must not be carried into one
    return tl.where((bits & 0x7F800000) == 0x7F800000, x.to(tl.bfloat16), rounded)


# -- totals --------------------------------------------------------------------------------------------------------


@triton.jit
def add_total(total, x, inside, HOW: tl.constexpr):
    """A sum's next elements."""
    return total + (x if HOW == "whole" else tl.where(inside, x, 0.0))


@triton.jit
def max_total(total, x, inside, HOW: tl.constexpr):
    """A maximum's next elements."""
    return maximum(total, x if HOW == "whole" else tl.where(inside, x, -INFINITY))


@triton.jit
def min_total(total, x, inside, HOW: tl.constexpr):
    """A minimum's next elements."""
    return minimum(total, x if HOW == "whole" else tl.where(inside, x, INFINITY))


@triton.jit
def maximum(a, b):
    """The larger of two; NaN stays."""
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def minimum(a, b):
    """The smaller of two; NaN stays."""
    return tl.minimum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def sum_of(x, axis: tl.constexpr):
    """The sum along an axis, in a fixed order."""
    return tl.sum(x, axis)


@triton.jit
def max_of(x, axis: tl.constexpr):
    """The maximum along an axis; NaN stays."""
    return tl.where(tl.max((x != x).to(tl.int32), axis) != 0, float("nan"), tl.max(x, axis))


@triton.jit
def min_of(x, axis: tl.constexpr):
    """The minimum along an axis; NaN stays."""
    return tl.where(tl.max((x != x).to(tl.int32), axis) != 0, float("nan"), tl.min(x, axis))


# -- finishing totals ----------------------------------------------------------------------------------------------


@triton.jit
def _along(x, how: tl.constexpr):
    if how == "sum":
        return sum_of(x, 1)
    if how == "max":
        return max_of(x, 1)
    return min_of(x, 1)


@triton.jit
def _neutral(how: tl.constexpr):
    if how == "sum":
        return 0.0
    if how == "max":
        return -INFINITY
    return INFINITY


@triton.jit
def total_runs(ctx, column: tl.constexpr, COLUMNS: tl.constexpr, real: tl.constexpr, how: tl.constexpr):
    """Combines the partial totals of each run of chunks; a step of `stages`."""
    RUNS_AT_ONCE: tl.constexpr = 8
    run = table(ctx, RUN, tl.int64)
    count = word(ctx, RUNS)
    for first in range(0, count, RUNS_AT_ONCE):
        k = first + tl.arange(0, RUNS_AT_ONCE)
        here = k < count
        chunk = get(run + 3 * k + 1, here)[:, None] + tl.arange(0, RUN_CHUNKS)[None, :]
        there = chunk < get(run + 3 * k + 2, here)[:, None]
        x = tl.load(table(ctx, PARTIAL, real) + chunk * COLUMNS + column, mask=there, other=_neutral(how))
        put(table(ctx, RUN_TOTAL, tl.float64) + k * COLUMNS + column, _along(x.to(tl.float64), how), here)


@triton.jit
def total_tensors(
    ctx, column: tl.constexpr, COLUMNS: tl.constexpr, how: tl.constexpr, VARIANTS: tl.constexpr, FIRST: tl.constexpr
):
    """Combines the runs of each tensor whose variant takes the total (a bit each); others get none if FIRST."""
    LANES: tl.constexpr = 32
    WIDE: tl.constexpr = 32
    count = word(ctx, MEMBER_COUNT)
    run_start = table(ctx, RUN_START, tl.int64)
    for first in range(0, count, LANES):
        k = first + tl.arange(0, LANES)
        t = get(table(ctx, MEMBERS, tl.int64) + k, k < count)
        here = (k < count) & (get(table(ctx, MODE, tl.int64) + t, k < count) != ABSENT)
        mine = here & (((VARIANTS >> get(table(ctx, VARIANT, tl.int64) + t, here)) & 1) == 1)
        start = get(run_start + t, mine)
        stop = get(run_start + t + 1, mine)
        total = tl.full((LANES,), _neutral(how), tl.float64)
        for at in range(0, tl.max(stop - start, 0), WIDE):
            i = start[:, None] + at + tl.arange(0, WIDE)[None, :]
            there = i < stop[:, None]
            x = tl.load(table(ctx, RUN_TOTAL, tl.float64) + i * COLUMNS + column, mask=there, other=_neutral(how))
            if how == "sum":
                total = total + sum_of(x, 1)
            elif how == "max":
                total = maximum(total, max_of(x, 1))
            else:
                total = minimum(total, min_of(x, 1))
        put(table(ctx, TENSOR_TOTAL, tl.float64) + t * COLUMNS + column, total, here if FIRST else mine)


@triton.jit
def longest(start, stop):
    """The most entries of any lane."""
    return tl.max(stop - start)


@triton.jit
def first_present(ctx, WIDE: tl.constexpr):
    """The first tensor that takes part, or the number of tensors."""
    count = word(ctx, TENSORS)
    found = count
    for at in range(0, count, WIDE):
        i = at + tl.arange(0, WIDE)
        mode = get(table(ctx, MODE, tl.int64) + i, i < count)
        found = tl.minimum(found, tl.min(tl.where((i < count) & (mode != ABSENT), i, count), 0))
    return found


# -- functions -----------------------------------------------------------------------------------------------------


@triton.jit
def f4(x: tl.constexpr):
    """A number of the text as float32."""
    return tl.full((), x, tl.float32)


@triton.jit
def f8(x: tl.constexpr):
    """A number of the text as float64."""
    return tl.full((), x, tl.float64)
