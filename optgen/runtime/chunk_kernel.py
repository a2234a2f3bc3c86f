"""Compiled code that runs one chunk: where each stream lies, buffers for strided slots, neighbours, the segments."""

# numba has no type information: everything that touches it here is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false, reportUntypedFunctionDecorator=false

from __future__ import annotations

import numpy as np

from optgen.runtime.abi import SEGMENT
from optgen.runtime.cpu import (
    ABSENT,
    ADDRESS,
    MATRIX_OFFSET,
    MATRIX_VALUE,
    MATRIX_WIDTH,
    MODE,
    TENSOR_VALUE,
    VARIANT,
    ZERO_GRADIENT,
)
from optgen.runtime.graph import WHOLE
from optgen.runtime.layout import (
    BFLOAT16,
    C_COL,
    C_COL_BLOCK,
    C_COL_END,
    C_MATRIX,
    C_MATRIX_END,
    C_ROW,
    C_ROW_END,
    C_TENSOR,
    CHUNK,
    CHUNK_FIELDS,
    COL_TOTAL,
    CONTEXTS,
    DRAW,
    FLOAT16,
    FLOAT32,
    FLOAT64,
    LAYOUT,
    MATRIX,
    MAX,
    MAX_STREAMS,
    MIN,
    NEAR,
    NEIGHBOUR,
    NEIGHBOUR_OTHER,
    NEIGHBOUR_OWN,
    NOISE,
    P_FUNCTION,
    P_STREAM,
    P_STREAMS,
    P_TOTAL,
    P_TOTALS,
    PARTIAL,
    PARTIAL_WIDTH,
    PROGRAM,
    PROGRAM_FIELDS,
    PULL,
    READ,
    ROW_PARTIAL,
    ROW_TOTAL,
    S_ACCESS,
    S_GRADIENT,
    S_INDEX,
    S_ITEM,
    S_KIND,
    S_OP,
    S_ORDINAL,
    S_TYPE,
    SLOT,
    SLOTS,
    STENCIL,
    STREAM,
    STREAM_FIELDS,
    SUM,
    SWEEPS,
    T_COLS,
    T_MATRICES,
    T_MODULE,
    T_NEIGHBOUR,
    T_NEIGHBOURS,
    T_ROW_AT,
    T_ROWS,
    TENSOR,
    TENSOR_COLUMNS,
    TENSOR_FIELDS,
    TERM_FIELDS,
    TOTAL,
    TOTAL_OP,
    VARIANTS,
    W_END,
    W_FIRST,
    W_SHIFT,
    WINDOW,
    WINDOW_FIELDS,
    WRITE,
    ZEROS,
)
from optgen.runtime.narrow import f4_of_b2, f4_of_f2
from optgen.runtime.native import (
    at,
    call_segment,
    entry,
    f4_at,
    f8_at,
    place,
    prefetch,
    record,
    routine,
    set_number,
    set_word,
    u2_at,
    value,
    word,
)
from optgen.runtime.random_bits import draw

#: Length of a segment that needs no limit: the chunk's.
UNLIMITED = 1 << 40
#: Bytes of a cache line.
LINE = 64
#: Elements of a segment of a lone stream, and how many beyond its end are asked for ahead of their use: what hardware
#: prefetches of a stream ends with its page. A sum of squares over GPT-2 small took 19.8 ms on two cores of a Xeon with
#: these lengths, 22.3 with the first line alone of each page ahead. Several streams at once keep memory busy as it is:
#: four, three of them also written, took 77 ms, and 103 with all their lines asked for (2026-11-22).
LONE = 1024

# -- memory --------------------------------------------------------------------------------------------------------


@routine("float64(int64)")
def neutral(op):
    """What a total of some operation starts from."""
    if op == MAX:
        return -np.inf
    if op == MIN:
        return np.inf
    return 0.0


@routine("float64(int64, float64, float64)")
def combine(op, a, b):
    """Two totals as one; NaN stays."""
    if op == SUM:
        return a + b
    if b != b or (op == MAX and b > a) or (op == MIN and b < a):
        return b
    return a


@routine("void(int64, int64, int64, int64, int64, int64)", "noinline")
def copy_items(target, target_step, source, source_step, item, n):
    """Copies n items of 2, 4 or 8 bytes between addresses; steps are in items."""
    if item == 4:
        to4, from4 = f4_at(target), f4_at(source)
        for i in range(n):
            to4[i * target_step] = from4[i * source_step]
    elif item == 2:
        to2, from2 = u2_at(target), u2_at(source)
        for i in range(n):
            to2[i * target_step] = from2[i * source_step]
    else:
        to8, from8 = f8_at(target), f8_at(source)
        for i in range(n):
            to8[i * target_step] = from8[i * source_step]


@routine("void(int64, int64, int64, int64, int64, int64, boolean)", "noinline")
def copy_slot(packed, memory, layout, item, first, n, outward):
    """Copies elements first to first + n, in walking order, from a slot's memory to a buffer, or outward.

    A layout is its number of axes, their sizes and their steps in items, outermost first; 0 stands for "in order".
    """
    if layout == 0:
        if outward:
            copy_items(memory + first * item, 1, packed, 1, item, n)
        else:
            copy_items(packed, 1, memory + first * item, 1, item, n)
        return
    axes = word(layout, 0)
    inner, step = word(layout, axes), word(layout, 2 * axes)
    done = 0
    while done < n:
        within, rest = (first + done) % inner, (first + done) // inner
        place = within * step
        for axis in range(axes - 1, 0, -1):
            size = word(layout, axis)
            place += rest % size * word(layout, axes + axis)
            rest //= size
        run = inner - within if inner - within < n - done else n - done
        if outward:
            copy_items(memory + place * item, step, packed + done * item, 1, item, run)
        else:
            copy_items(packed + done * item, 1, memory + place * item, step, item, run)
        done += run


# -- neighbours ----------------------------------------------------------------------------------------------------


@routine("void(int64, int64, int64, float64, float64, int64, int64)", "noinline")
def add_difference(target, own, other, a, b, kind, n):
    """Adds a*own - b*other to the target, as a*(own - other) + (a - b)*other; without the latter where a = b.

    Narrow types add to float32, in which coefficients are compared, too: kernels of other backends know no others.
    """
    e, c, zero = np.float32(a), np.float32(a) - np.float32(b), np.float32(0)
    if kind == FLOAT32:
        d, x, y = f4_at(target), f4_at(own), f4_at(other)
        for i in range(n):
            d[i] += e * (x[i] - y[i]) + (c * y[i] if c != 0 else zero)
    elif kind == BFLOAT16:
        d, h, k = f4_at(target), u2_at(own), u2_at(other)
        for i in range(n):
            d[i] += e * (f4_of_b2(h[i]) - f4_of_b2(k[i])) + (c * f4_of_b2(k[i]) if c != 0 else zero)
    elif kind == FLOAT16:
        d, h, k = f4_at(target), u2_at(own), u2_at(other)
        for i in range(n):
            d[i] += e * (f4_of_f2(h[i]) - f4_of_f2(k[i])) + (c * f4_of_f2(k[i]) if c != 0 else zero)
    else:
        D, X, Y, C = f8_at(target), f8_at(own), f8_at(other), a - b
        for i in range(n):
            D[i] += a * (X[i] - Y[i]) + (C * Y[i] if C != 0 else 0.0)


@routine("boolean(int64, int64, int64)")
def reads_zero(ctx, t, stream):
    """Whether a tensor takes part without the gradient that the stream reads."""
    return entry(ctx, MODE, t) == ZERO_GRADIENT and word(stream, S_GRADIENT) != 0


@routine("int64(int64, int64, int64, int64, int64, int64, int64)", "optsize")
def values_of(plan, ctx, t, stream, buffer, first, n):
    """Address of n elements of a slot of a tensor, copied to the buffer if they do not lie in order."""
    slot, item = word(stream, S_INDEX), word(stream, S_ITEM)
    if reads_zero(ctx, t, stream):
        return word(plan, ZEROS)
    cell = t * word(plan, SLOTS) + slot
    memory, layout = entry(ctx, ADDRESS, cell), entry(plan, LAYOUT, cell)
    if layout == 0:
        return memory + first * item
    copy_slot(buffer, memory, layout, item, first, n, False)
    return buffer


@routine("void(int64, int64, int64, int64, int64, int64, int64, int64)", "noinline", "optsize")
def pull(plan, ctx, t, stream, target, buffers, first, n):
    """The sum over neighbours of a*own - b*other, or of b*other alone, in the type that kernels compute with."""
    tensor = record(plan, TENSOR, TENSOR_FIELDS, t)
    kind, item, zeros = word(stream, S_TYPE), word(stream, S_ITEM), word(plan, ZEROS)
    own = values_of(plan, ctx, t, stream, buffers, first, n)
    copy_items(target, 1, zeros, 1, 8, n)
    for edge in range(word(tensor, T_NEIGHBOUR), word(tensor, T_NEIGHBOUR) + word(tensor, T_NEIGHBOURS)):
        window = record(plan, WINDOW, WINDOW_FIELDS, edge)
        low = first if first > word(window, W_FIRST) else word(window, W_FIRST)
        high = first + n if first + n < word(window, W_END) else word(window, W_END)
        if low >= high:
            continue
        mine, other, u = own + (low - first) * item, zeros, entry(plan, NEIGHBOUR, edge)
        if u >= 0:
            other = values_of(plan, ctx, u, stream, buffers + 8 * SEGMENT, low + word(window, W_SHIFT), high - low)
        a, b = value(plan, NEIGHBOUR_OWN, edge), value(plan, NEIGHBOUR_OTHER, edge)
        if word(stream, S_ORDINAL) != 0:  # b*other - b*0
            mine, other, a = other, zeros, b
        add_difference(target + (low - first) * (8 if kind == FLOAT64 else 4), mine, other, a, b, kind, high - low)


@routine("boolean(int64, int64, int64, int64)", "noinline", "optsize")
def near_at_hand(plan, ctx, t, stream):
    """Whether a kernel can read a tensor's neighbours where they lie: at most two, in order, a = b for each."""
    tensor = record(plan, TENSOR, TENSOR_FIELDS, t)
    edge, count = word(tensor, T_NEIGHBOUR), word(tensor, T_NEIGHBOURS)
    slot, slots = word(stream, S_INDEX), word(plan, SLOTS)
    if count > 2 or (entry(plan, LAYOUT, t * slots + slot) != 0 and not reads_zero(ctx, t, stream)):
        return False
    for e in range(edge, edge + count):
        u = entry(plan, NEIGHBOUR, e)
        if value(plan, NEIGHBOUR_OWN, e) != value(plan, NEIGHBOUR_OTHER, e):
            return False
        if word(record(plan, WINDOW, WINDOW_FIELDS, e), W_END) != WHOLE:
            return False
        if entry(plan, LAYOUT, u * slots + slot) != 0 and not reads_zero(ctx, u, stream):
            return False
    return True


@routine("int64(int64, int64, int64, int64)", "noinline", "optsize")
def near_tensor(plan, ctx, t, stream):
    """The tensor that one part of a near stream reads, or -1 for zeros."""
    tensor = record(plan, TENSOR, TENSOR_FIELDS, t)
    part = word(stream, S_ORDINAL)
    if part // 2 >= word(tensor, T_NEIGHBOURS):
        return -1
    if part % 2 == 1:
        t = entry(plan, NEIGHBOUR, word(tensor, T_NEIGHBOUR) + part // 2)
    if reads_zero(ctx, t, stream):
        return -1
    return t


@routine("int64(int64, int64, int64, int64)")
def whole_totals(ctx, axis, column, t):
    """Address of a tensor's values in a table of matrix, row or column values."""
    return word(ctx, MATRIX_VALUE + axis) + 8 * (
        column * word(ctx, MATRIX_WIDTH + axis) + entry(ctx, MATRIX_OFFSET + axis, t)
    )


@routine("int64(int64, int64, int64, int64)")
def partial_totals(plan, axis, ordinal, cell):
    """Address of a cell of the scratch of partial row or column totals."""
    table = ROW_PARTIAL + 2 * (axis - 1)
    return word(plan, table) + 8 * (ordinal * word(plan, table + 1) + cell)


# -- one chunk -----------------------------------------------------------------------------------------------------


@routine("int64(int64, int64, int64, int64, int64, int64, int64)", "noinline")
def open_stream(plan, ctx, t, chunk, stream, buffer, terms):
    """Writes where a stream of a chunk lies: base, steps per matrix, row and column in bytes, and what else to do."""
    tensor = record(plan, TENSOR, TENSOR_FIELDS, t)
    rows, cols, matrices = word(tensor, T_ROWS), word(tensor, T_COLS), word(tensor, T_MATRICES)
    kind, index = word(stream, S_KIND), word(stream, S_INDEX)
    base, per_matrix, per_row, per_col, how = buffer, 0, 0, 0, 0
    if kind == SLOT:
        item, access = word(stream, S_ITEM), word(stream, S_ACCESS)
        cell = t * word(plan, SLOTS) + index
        if reads_zero(ctx, t, stream):
            base = word(plan, ZEROS)
        elif entry(ctx, MODE, t) == ZERO_GRADIENT and (access & WRITE) != 0:
            how = access & READ
        elif entry(plan, LAYOUT, cell) != 0:
            how = access
        else:
            base = entry(ctx, ADDRESS, cell)
            per_matrix, per_row, per_col = rows * cols * item, cols * item, item
    elif kind == NOISE:
        how = DRAW
    elif kind == STENCIL:
        if word(tensor, T_NEIGHBOURS) == 0:
            base = word(plan, ZEROS)
        else:
            how = PULL
    elif kind == NEAR:
        part = word(stream, S_ORDINAL)
        if not near_at_hand(plan, ctx, t, stream):
            # 1*(sum - 0) + 0*(0 - 0)
            if part == 0:
                how = PULL
            else:
                base = word(plan, ZEROS)
                if part == 4:
                    base += 8 * SEGMENT
        elif part == 4:
            base = word(plan, NEIGHBOUR_OWN) + 8 * word(tensor, T_NEIGHBOUR)
        else:
            u = near_tensor(plan, ctx, t, stream)
            base = word(plan, ZEROS)
            if u >= 0:
                base = entry(ctx, ADDRESS, u * word(plan, SLOTS) + index)
                per_col = word(stream, S_ITEM)
                per_matrix, per_row = rows * cols * per_col, cols * per_col
    else:
        # the words and fields of matrices, rows and columns follow one another
        axis = kind - MATRIX if kind < ROW_TOTAL else kind - ROW_TOTAL + 1
        if axis == 0:
            per_matrix = 8
        elif axis == 1:
            per_matrix, per_row = 8 * rows, 8
        else:
            per_matrix, per_col = 8 * cols, 8
        if kind >= ROW_TOTAL and word(tensor, T_ROW_AT + axis - 1) >= 0:
            cell = word(tensor, T_ROW_AT + axis - 1) + word(chunk, C_COL_BLOCK + 1 - axis) * matrices * per_matrix // 8
            base = partial_totals(plan, axis, word(stream, S_ORDINAL), cell)
        else:
            base = whole_totals(ctx, axis, index, t)
    set_word(terms, 0, base)
    set_word(terms, 1, per_matrix)
    set_word(terms, 2, per_row)
    set_word(terms, 3, per_col)
    set_word(terms, 4, how)
    return how


@routine("void(int64, int64, int64)", "noinline", "optsize")
def clear_totals(chunk, stream, terms):
    """Sets the row or column totals that a chunk adds to, to what they start from."""
    kind, start = word(stream, S_KIND), neutral(word(stream, S_OP))
    begin, end, step = word(chunk, C_ROW), word(chunk, C_ROW_END), word(terms, 2)
    if kind == COL_TOTAL:
        begin, end, step = word(chunk, C_COL), word(chunk, C_COL_END), word(terms, 3)
    for matrix in range(word(chunk, C_MATRIX), word(chunk, C_MATRIX_END)):
        for i in range(begin, end):
            set_number(word(terms, 0) + matrix * word(terms, 1) + i * step, 0, start)


@routine("void(int64, int64, int64, int64)", "noinline")
def run_chunk(plan, sweep, index, scratch):
    """Runs one sweep's segments over one chunk."""
    chunk = record(plan, CHUNK, CHUNK_FIELDS, index)
    t = word(chunk, C_TENSOR)
    tensor = record(plan, TENSOR, TENSOR_FIELDS, t)
    ctx = entry(plan, CONTEXTS, word(tensor, T_MODULE))
    program = program_of(plan, ctx, tensor, t, sweep)
    function = word(program, P_FUNCTION)
    if function == 0 or entry(ctx, MODE, t) == ABSENT:
        return
    streams, count = record(plan, STREAM, STREAM_FIELDS, word(program, P_STREAM)), word(program, P_STREAMS)
    terms = scratch + 8 * word(plan, MAX_STREAMS)
    buffers = scratch + 8 * ((6 * word(plan, MAX_STREAMS) + 15) // 8 * 8)
    special, longest = 0, UNLIMITED
    for j in range(count):
        stream, term = at(streams, STREAM_FIELDS, j), at(terms, TERM_FIELDS, j)
        special |= open_stream(plan, ctx, t, chunk, stream, at(buffers, SEGMENT, j), term)
        if word(stream, S_KIND) >= ROW_TOTAL:
            clear_totals(chunk, stream, term)
            longest = SEGMENT
        if word(term, 0) == word(plan, ZEROS):
            longest = SEGMENT
    if special != 0 or word(program, P_TOTALS) != 0:
        longest = SEGMENT
    ahead = 0
    if count == 1 and word(program, P_TOTALS) != 0:
        ahead, longest = word(terms, 3), LONE
    totals = word(plan, PARTIAL) + 8 * index * word(plan, PARTIAL_WIDTH)
    for j in range(word(program, P_TOTALS)):
        column = entry(plan, TOTAL, word(program, P_TOTAL) + j)
        set_number(totals, j, neutral(entry(plan, TOTAL_OP, column)))
    scalars = word(ctx, TENSOR_VALUE) + 8 * t * word(plan, TENSOR_COLUMNS)
    end = word(chunk, C_COL_END)
    for matrix in range(word(chunk, C_MATRIX), word(chunk, C_MATRIX_END)):
        for row in range(word(chunk, C_ROW), word(chunk, C_ROW_END)):
            first = (matrix * word(tensor, T_ROWS) + row) * word(tensor, T_COLS)
            col = word(chunk, C_COL)
            while col < end:
                n = longest if longest < end - col else end - col
                for j in range(count):
                    set_word(scratch, j, place(at(terms, TERM_FIELDS, j), matrix, row, col))
                if special != 0:
                    exchange(plan, ctx, t, streams, count, terms, buffers, first + col, n, False)
                if ahead != 0:
                    for line in range(word(scratch, 0) + LONE * ahead, word(scratch, 0) + (LONE + n) * ahead, LINE):
                        prefetch(line)
                call_segment(function, n, scratch, scalars, totals)
                if (special & WRITE) != 0:
                    exchange(plan, ctx, t, streams, count, terms, buffers, first + col, n, True)
                col += n


@routine("void(int64, int64, int64, int64, int64, int64, int64, int64, int64, boolean)", "noinline", "optsize")
def exchange(plan, ctx, t, streams, count, terms, buffers, first, n, outward):
    """Fills the buffers of a segment, or stores what was written to them."""
    for j in range(count):
        how, stream, buffer = word(terms, TERM_FIELDS * j + 4), at(streams, STREAM_FIELDS, j), at(buffers, SEGMENT, j)
        if (how & (WRITE if outward else READ)) != 0:
            cell = t * word(plan, SLOTS) + word(stream, S_INDEX)
            memory, layout = entry(ctx, ADDRESS, cell), entry(plan, LAYOUT, cell)
            copy_slot(buffer, memory, layout, word(stream, S_ITEM), first, n, outward)
        elif how == DRAW and not outward:
            draw(plan, ctx, t, stream, buffer, first, n)
        elif how == PULL and not outward:
            apart = buffers + 8 * SEGMENT * word(plan, MAX_STREAMS)
            pull(plan, ctx, t, stream, buffer, apart, first, n)


@routine("int64(int64, int64, int64, int64, int64)")
def program_of(plan, ctx, tensor, t, sweep):
    """Address of what a tensor's variant does in a sweep, with or without neighbours."""
    alone = 1 if word(tensor, T_NEIGHBOURS) == 0 else 0
    variant = (2 * word(tensor, T_MODULE) + alone) * word(plan, VARIANTS) + entry(ctx, VARIANT, t)
    return word(plan, PROGRAM) + 8 * PROGRAM_FIELDS * (variant * word(plan, SWEEPS) + sweep - 1)
