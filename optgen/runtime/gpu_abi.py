"""The tables of kernels on a graphics processor, beside those of :mod:`optgen.runtime.abi`.

``ctx`` is again an array of int64 words that hold sizes and addresses, here of device memory; the words of
:class:`~optgen.runtime.abi.Word` mean the same. A kernel takes nothing else, so that no number in it is an argument:
nothing compiles again when one changes, and a captured graph sees what the tables hold when it is replayed.

A sweep is launched once, with a program per chunk; a program runs its variant's code over the elements of its chunk and
leaves partial totals in scratch. Between two sweeps stages finish totals in a fixed order and compute coarse values;
what nothing waits for, such as counters, is left to the last program of a sweep to end.
"""

from __future__ import annotations

from enum import IntEnum

from optgen.runtime.abi import Word

_FIRST = int(Word.COUNT)


class GpuWord(IntEnum):
    """Index of a word in ``ctx`` after those of ``Word``. C chunks, T tensors; *real* is the compute dtype."""

    ORDER = _FIRST  # i64[C]: chunk of each program of a sweep
    CHUNK = _FIRST + 1  # i64[C, CHUNK_FIELDS] (optgen.runtime.layout): a tensor's chunks are consecutive
    VIEW = _FIRST + 2  # i64[T, 3]: matrices, rows and columns that chunks are cut from
    LAYOUT = _FIRST + 3  # i64[T, slots]: 0 where elements lie in walking order, else the address of a layout
    NEIGHBOUR_START = _FIRST + 4  # i64[T + 1]: first neighbour of each tensor in the tables below
    NEIGHBOUR = _FIRST + 5  # i64[]: -1 is a tensor of zeros
    NEIGHBOUR_OWN = _FIRST + 6  # real[]: coefficient a of the tensor's own value
    NEIGHBOUR_OTHER = _FIRST + 7  # real[]: coefficient b of the neighbour's value
    TENSOR_READ = _FIRST + 8  # real[T, columns]: coarse values as sweeps read them, rounded once; likewise below
    MATRIX_READ = _FIRST + 9
    ROW_READ = _FIRST + 10
    COL_READ = _FIRST + 11
    PARTIAL = _FIRST + 12  # real[C, totals]: totals per chunk
    RUN_START = _FIRST + 13  # i64[T + 1]: first run of each tensor's chunks
    RUNS = _FIRST + 14  # number of runs
    RUN = _FIRST + 15  # i64[runs, 3]: tensor, first chunk, end; at most RUN_CHUNKS of them
    RUN_TOTAL = _FIRST + 16  # f64[runs, totals]
    ROW_PARTIAL = _FIRST + 17  # real[row totals, ROW_PARTIAL_WIDTH]: per block of columns
    ROW_PARTIAL_WIDTH = _FIRST + 18
    ROW_PARTIAL_AT = _FIRST + 19  # i64[T]: first entry of a tensor
    ROW_PARTS = _FIRST + 20  # i64[T]: blocks of columns
    COL_PARTIAL = _FIRST + 21  # real[column totals, COL_PARTIAL_WIDTH]: per block of rows
    COL_PARTIAL_WIDTH = _FIRST + 22
    COL_PARTIAL_AT = _FIRST + 23
    COL_PARTS = _FIRST + 24  # i64[T]: blocks of rows
    MATRIX_BLOCK = _FIRST + 25  # i64[programs, 2]: tensor and first unit of each program of a stage; likewise below
    ROW_BLOCK = _FIRST + 26
    COL_BLOCK = _FIRST + 27
    SEED = _FIRST + 28  # of all random bits
    PARAMETER = _FIRST + 29  # i64[T]: the number that a tensor has in random bits
    ROW_MAJOR = _FIRST + 30  # i64[T]: layout of row-major indices in walking order, or 0
    ARRIVED = _FIRST + 31  # i64[1]: programs of this launch that are done; 0 between launches
    WINDOW = (
        _FIRST + 32
    )  # i64[, 3]: first and end of the elements i that have each neighbour, and k: they read its i + k
    COUNT = _FIRST + 33


#: Elements of one step of a program, and its warps: eight elements a thread, two loads of 16 bytes in float32.
BLOCK = 1024
#: Elements of a step where they are fewer, and where they do not lie in order.
TAIL, STRIDED = 256, 128
WARPS = 4
#: Of sweeps that hold more values per element, or see rows and columns: four elements a thread, so that registers do.
MANY_WARPS, FEW_VALUES = 8, 3
#: Registers of a thread of a sweep at most: two programs of MANY_WARPS fit a multiprocessor. Left to itself NVIDIA's
#: assembler stays below some bound that lets more programs in, and keeps a few registers in memory for that.
REGISTERS = 128
#: Elements of a chunk at least, and at most where that leaves so many programs: enough to make cheap what a program
#: does before its first element (dependent loads of the tables, float64 arithmetic), few enough to balance the load.
CHUNK_ELEMENTS, MOST_CHUNK_ELEMENTS, MANY_PROGRAMS = 16 * BLOCK, 128 * BLOCK, 4096
#: Steps over tensors with rows and columns: matrices, rows and columns of a tile, and rows where it is not whole. Small
#: matrices have at most as many rows and columns as their tiles have columns.
LARGE = (1, 4, 256, 1)
SMALL = (16, 2, 8, 2)
#: Rows of a chunk of a large matrix, and matrices of a chunk of small ones.
CHUNK_ROWS = 64
CHUNK_MATRICES = 16 * SMALL[0]
#: Chunks whose partial totals are added by one lane group of a stage.
RUN_CHUNKS = 256
#: Units of a program of a stage over rows, columns or matrices.
VECTOR_LANES = {"row": 256, "col": 256, "matrix": 8}
