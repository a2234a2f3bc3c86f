"""How the driver's tables are laid out: named by the code that fills them and the compiled code that reads them."""

from __future__ import annotations

from optgen.runtime.abi import SEGMENT

#: Words of ``plan``. Lengths are T tensors, M modules, S sweeps, V variants (the most of any module), C chunks.
(
    MODULES,  # M
    CONTEXTS,  # i64[M]: each module's ctx
    SWEEPS,  # S
    SELECT,  # i64[M]: address of each module's select, or 0
    STAGE_START,  # i64[S + 2]: the stages after sweep b are STAGE_START[b] <= i < STAGE_START[b + 1]
    STAGE,  # i64[stages, 1 + M]: extent, then each module's function
    VARIANTS,  # V
    PROGRAM,  # i64[M, 2, V, S, PROGRAM_FIELDS]: for tensors with neighbours, then for those without
    STREAM,  # i64[streams of all programs, STREAM_FIELDS]
    MAX_STREAMS,  # the most streams of any program
    TOTAL,  # i64[totals of all programs]: columns of the table of totals
    TOTAL_OP,  # i64[columns of the table of totals]: operation of each
    TOTALS,  # number of these columns
    TENSOR_COLUMNS,  # columns of the tensor value table
    SLOTS,  # columns of the address table
    LAYOUT,  # i64[T, SLOTS]: 0 where elements lie in walking order, else the address of a layout (see copy_slot)
    TENSOR,  # i64[T, TENSOR_FIELDS]
    CHUNK,  # i64[C, CHUNK_FIELDS]: a tensor's chunks are consecutive
    ORDER,  # i64[C]: chunks in the order of work
    UNIT,  # i64[units, 2]: begin and end in ORDER; then units of chains: begin and end in CHAIN
    UNIT_COUNT,  # i64[S + 1]: units of each sweep; chains count for the first only; 0 for "no sweep is open"
    SWEEP_UNITS,  # units that are not chains
    CHAIN,  # i64[]: tensors that go through all sweeps at once
    LOOSE,  # i64[]: the other tensors
    LOOSE_COUNT,  # number of these, or -1 for all
    NEIGHBOUR,  # i64[]: neighbours of each tensor, one after the other
    NEIGHBOUR_OWN,  # f64[]: coefficient a of the tensor's own value
    NEIGHBOUR_OTHER,  # f64[]: coefficient b of the neighbour's value
    PARTIAL,  # f64[C, PARTIAL_WIDTH]: totals per chunk
    PARTIAL_WIDTH,
    ROW_PARTIAL,  # f64[row totals of a program, ROW_PARTIAL_WIDTH]: per block of columns
    ROW_PARTIAL_WIDTH,
    COL_PARTIAL,  # f64[column totals of a program, COL_PARTIAL_WIDTH]: per block of rows
    COL_PARTIAL_WIDTH,
    ZEROS,  # SEGMENT float64 zeros, then 1.0, 0.0
    ENDED,  # sweeps of the step that are complete, with the stages after them; -1 before the step began
    SEED,  # of random bits
    PARAMETER,  # i64[T]: the optimizer's number of each tensor, for random bits
    ROW_MAJOR,  # i64[T]: a layout whose places are indices in row-major order, or 0 where walking order is that order
    WINDOW,  # i64[, 3]: the elements that have each neighbour, and what is added to their index to find it there
) = range(40)
CLAIM, DONE = 40, 48  # atomic: on cache lines of their own
PLAN_WORDS = 56

(P_FUNCTION, P_STREAM, P_STREAMS, P_TOTAL, P_TOTALS) = range(5)
PROGRAM_FIELDS = 5

#: Kind, access and type as below; item: bytes of an element; index: slot, column or number; op: of a row or column
#: total; ordinal: among the program's totals.
(S_KIND, S_INDEX, S_ACCESS, S_ITEM, S_TYPE, S_GRADIENT, S_OP, S_ORDINAL) = range(8)
STREAM_FIELDS = 8
TERM_FIELDS = 5  # of a stream's address in a chunk: base, bytes per matrix, row, column; what else to do
(SLOT, STENCIL, NEAR, NOISE, MATRIX, ROW, COL, ROW_TOTAL, COL_TOTAL) = range(9)
#: Types of a slot's elements.
(FLOAT32, FLOAT64, BFLOAT16, FLOAT16, INT64) = range(5)
#: A ``near`` stream is five: own value and neighbour, twice, and the two coefficients; S_ORDINAL says which.
NEAR_STREAMS = 5
READ, WRITE, PULL, DRAW = 1, 2, 4, 8
SUM, MAX, MIN = range(3)
EXTENT_TENSOR, EXTENT_LAYER, EXTENT_MODEL = range(3)

#: ROW_AT, COL_AT: first entry in the scratch of partial row and column totals, -1 where each is taken by one chunk.
(T_MODULE, T_MEMBER, T_MATRICES, T_ROWS, T_COLS, T_CHUNK, T_CHUNKS) = range(7)
(T_ROW_AT, T_COL_AT, T_ROW_BLOCKS, T_COL_BLOCKS, T_NEIGHBOUR, T_NEIGHBOURS) = range(7, 13)
TENSOR_FIELDS = 13

#: Elements FIRST to END have the neighbour; END of WHOLE: all of the tensor, which lies as the neighbour does.
(W_FIRST, W_END, W_SHIFT) = range(3)
WINDOW_FIELDS = 3

(C_TENSOR, C_MATRIX, C_MATRIX_END, C_ROW, C_ROW_END, C_COL, C_COL_END, C_ROW_BLOCK, C_COL_BLOCK) = range(9)
CHUNK_FIELDS = 9

#: Actions of :func:`drive`.
(RUN, OPEN, SERVE, HELP, END_SWEEP, SETTLE, VERSION) = range(7)

CLOSED = 1 << 31
LOW = (1 << 32) - 1
SPINS = 4000


def scratch_words(max_streams: int) -> int:
    """Words of one thread's scratch: addresses, terms of addresses, a buffer per stream, three for neighbours."""
    return buffers_at(max_streams) + (max_streams + 3) * SEGMENT


def buffers_at(max_streams: int) -> int:
    """Where the buffers begin in a thread's scratch."""
    return (6 * max_streams + 15) // 8 * 8
