"""Kernels of the rule adafactor in float32, generated from adafactor.yaml.

spec 413f99778e9d313cfad1a80412c2b4aa10374e712aa6791162e7cdeb4ac3f469
made by: optgen build adafactor --backend triton --set maximize=false
"""

import triton
import triton.language as tl

from optgen.runtime.triton_device import (
    ABSENT,
    ACTIVE,
    ADDRESS,
    COL_BLOCK,
    COL_OFFSET,
    COL_PARTIAL,
    COL_PARTIAL_AT,
    COL_PARTIAL_WIDTH,
    COL_PARTS,
    COL_READ,
    COL_VALUE,
    COL_WIDTH,
    C_COL,
    C_COL_END,
    C_MATRIX,
    C_MATRIX_END,
    C_ROW,
    C_ROW_BLOCK,
    C_ROW_END,
    HYPER,
    MATRIX_BLOCK,
    MATRIX_OFFSET,
    MATRIX_READ,
    MATRIX_VALUE,
    MATRIX_WIDTH,
    MEMBERS,
    MEMBER_COUNT,
    META,
    MODE,
    PARTIAL,
    ROW_BLOCK,
    ROW_OFFSET,
    ROW_PARTIAL,
    ROW_PARTIAL_AT,
    ROW_PARTIAL_WIDTH,
    ROW_PARTS,
    ROW_READ,
    ROW_VALUE,
    ROW_WIDTH,
    SLOTS,
    TENSOR_READ,
    TENSOR_TOTAL,
    TENSOR_VALUE,
    VARIANT,
    VIEW,
    add_total,
    chunk_field,
    chunk_of_program,
    deposit,
    f8,
    fetch,
    get,
    has_small_matrices,
    load,
    longest,
    maximum,
    minimum,
    multiple_of_16,
    plain,
    pointer,
    put,
    slot,
    store,
    strided,
    sum_of,
    table,
    total_runs,
    total_tensors,
    word,
)
from optgen.runtime.triton_library import (
    power,
)

MANIFEST = {'abi': 1,
 'rule': 'adafactor',
 'class': 'Adafactor',
 'digest': '413f99778e9d313cfad1a80412c2b4aa10374e712aa6791162e7cdeb4ac3f469',
 'backend': 'triton',
 'settled': {'maximize': False},
 'dtype': {'compute': 'float32', 'param': 'float32', 'g': 'float32'},
 'hypers': ['lr', 'beta2_decay', 'eps1', 'eps2', 'clip_threshold', 'weight_decay', 'relative_step'],
 'inputs': [],
 'slots': [{'name': 'param', 'extent': 'elem', 'dtype': 'float32', 'role': 'param'},
           {'name': 'g', 'extent': 'elem', 'dtype': 'float32', 'role': 'gradient'},
           {'name': 'r', 'extent': 'row', 'dtype': 'float32', 'role': 'state'},
           {'name': 'c', 'extent': 'col', 'dtype': 'float32', 'role': 'state'},
           {'name': 'v', 'extent': 'elem', 'dtype': 'float32', 'role': 'state'},
           {'name': 'step', 'extent': 'tensor', 'dtype': 'float32', 'role': 'counter'}],
 'values': {'tensor': ['eps1_times_eps1', 'maximum_2', 'lr_times_weight_decay', 'rate_times_size', 'b', 'rate'],
            'layer': [],
            'model': [],
            'matrix': ['maximum'],
            'row': ['r', 'r_2', 'sum_d_d'],
            'col': ['c', 'c_2', 'sum_d_d_2']},
 'totals': [{'name': 'sum_param_param', 'op': 'sum'}, {'name': 'sum_u_u', 'op': 'sum'}],
 'matrix': 'trailing',
 'tiled': True,
 'graph': False,
 'stencil': False,
 'sweeps': 3,
 'barriers': ['tensor', 'tensor', 'none'],
 'select': 'select_variant',
 'inexact': [],
 'stages': [[['stage_0_row', 'tensor'], ['stage_0_col', 'tensor'], ['stage_0_tensor', 'tensor']],
            [['stage_1_row', 'tensor'],
             ['stage_1_col', 'tensor'],
             ['stage_1_matrix', 'tensor'],
             ['stage_1_tensor', 'tensor']],
            [['stage_2_tensor', 'tensor']],
            [['stage_3_row', 'tensor'], ['stage_3_col', 'tensor'], ['stage_3_tensor', 'tensor']]],
 'variants': [{'name': 'ndim_param_ge_2',
               'when': 'ndim(param) >= 2',
               'slots': ['r', 'c'],
               'sweeps': [{'function': 'ndim_param_ge_2_sweep_1',
                           'streams': [['row_total', 2, 'sum'], ['col_total', 2, 'sum']],
                           'totals': [0]},
                          {'function': 'ndim_param_ge_2_sweep_2', 'streams': [], 'totals': [1]},
                          {'function': 'ndim_param_ge_2_sweep_3', 'streams': [], 'totals': []}],
               'stored': [[], [], [], ['r', 'c', 'step']]},
              {'name': 'not_ndim_param_ge_2',
               'when': 'not (ndim(param) >= 2)',
               'slots': ['v'],
               'sweeps': [{'function': 'not_ndim_param_ge_2_sweep_1', 'streams': [], 'totals': [1, 0]},
                          {'function': 'not_ndim_param_ge_2_sweep_2', 'streams': [], 'totals': []},
                          None],
               'stored': [[], [], ['step'], []]}],
 'warps': 8,
 'launches': [[{'function': 'stages_0', 'grid': 'one', 'phases': ['tensor']},
               {'function': 'stage_0_row', 'grid': 'row', 'phases': []},
               {'function': 'stage_0_col', 'grid': 'col', 'phases': []},
               {'function': 'stages_0_2', 'grid': 'one', 'phases': ['tensor']}],
              [{'function': 'finish_1_row', 'grid': 'row', 'phases': []},
               {'function': 'finish_1_col', 'grid': 'col', 'phases': []},
               {'function': 'stage_1_row', 'grid': 'row', 'phases': []},
               {'function': 'stage_1_col', 'grid': 'col', 'phases': []},
               {'function': 'stage_1_matrix', 'grid': 'matrix', 'phases': []},
               {'function': 'stages_1', 'grid': 'one', 'phases': ['tensor', 'tensor', 'tensor']}],
              [{'function': 'stages_2', 'grid': 'one', 'phases': ['tensor', 'tensor', 'tensor']}],
              [{'function': 'stage_3_row', 'grid': 'row', 'phases': []},
               {'function': 'stage_3_col', 'grid': 'col', 'phases': []},
               {'function': 'stages_3', 'grid': 'one', 'phases': ['tensor']}]]}


@triton.jit
def select_variant(ctx):
    LANES: tl.constexpr = 128
    member_count = word(ctx, MEMBER_COUNT)
    members = table(ctx, MEMBERS, tl.int64)
    meta = table(ctx, META, tl.float64)
    variant = table(ctx, VARIANT, tl.int64)
    for first in range(0, member_count, LANES):
        k = first + tl.arange(0, LANES)
        here = k < member_count
        t = get(members + k, here)
        put(variant + t, (tl.where(get(meta + t * 6 + 1, here) >= 2.0, f8(0.0), f8(1.0))).to(tl.int64), here)


@triton.jit
def ndim_param_ge_2_sweep_1_block(
    g_at, param_at, sum_param_param, sum_d_d, sum_d_d_2, i, inside, updated, HOW: tl.constexpr,
):
    g = load(g_at, i, updated, HOW)
    # r = r + b*(mean(g**2, over="row") - r)
    x = g * g
    param = load(param_at, i, inside, HOW)
    # size = maximum(eps2, sqrt(mean(param**2, over="tensor")))
    sum_param_param = add_total(sum_param_param, param * param, inside, HOW)
    # r = r + b*(mean(g**2, over="row") - r)
    sum_d_d = add_total(sum_d_d, x, inside, HOW)
    # c = c + b*(mean(g**2, over="col") - c)
    sum_d_d_2 = add_total(sum_d_d_2, x, inside, HOW)
    return sum_param_param, sum_d_d, sum_d_d_2


@triton.jit
def ndim_param_ge_2_sweep_1(ctx, chunk, t, active, M: tl.constexpr, R: tl.constexpr, C: tl.constexpr, FEWER: tl.constexpr):
    g = slot(ctx, t, 1)
    param = slot(ctx, t, 0)
    g_at_whole = pointer(g, tl.float32, "whole")
    param_at_whole = pointer(param, tl.float32, "whole")
    g_at = pointer(g, tl.float32, "strided")
    param_at = pointer(param, tl.float32, "strided")
    rows = tl.load(table(ctx, VIEW, tl.int64) + t * 3 + 1)
    cols = tl.load(table(ctx, VIEW, tl.int64) + t * 3 + 2)
    whole = active & plain(g) & plain(param) & (cols % 16 == 0)
    matrix_end = chunk_field(ctx, chunk, C_MATRIX_END)
    updated_end = tl.where(active, matrix_end, 0)
    first = chunk_field(ctx, chunk, C_ROW)
    row_end = chunk_field(ctx, chunk, C_ROW_END)
    col_end = chunk_field(ctx, chunk, C_COL_END)
    all_sum_param_param = 0.0
    for matrix in range(chunk_field(ctx, chunk, C_MATRIX), matrix_end, M):
        this_matrix = (matrix + tl.arange(0, M))[:, None, None]
        for col in range(multiple_of_16(chunk_field(ctx, chunk, C_COL)), col_end, C):
            this_col = (col + tl.arange(0, C))[None, None, :]
            sum_param_param = tl.full((M, R, C), 0.0, tl.float32)
            sum_d_d_2 = tl.full((M, R, C), 0.0, tl.float32)
            rest = first
            if M == 1:
                if whole & (col + C <= col_end):
                    rest = row_end - (row_end - first) % R
                    for row in range(first, rest, R):
                        this_row = (row + tl.arange(0, R))[None, :, None]
                        sum_d_d = tl.full((M, R, C), 0.0, tl.float32)
                        i = (this_matrix * rows + this_row) * multiple_of_16(cols) + this_col
                        sum_param_param, sum_d_d, sum_d_d_2 = ndim_param_ge_2_sweep_1_block(
                            g_at_whole, param_at_whole, sum_param_param, sum_d_d, sum_d_d_2, i, True, True,
                            "whole",
                        )
                        tile = word(ctx, ROW_PARTIAL_WIDTH) * 0
                        tile += tl.load(table(ctx, ROW_PARTIAL_AT, tl.int64) + t)
                        tile += (col // C) * tl.load(table(ctx, VIEW, tl.int64) + t * 3) * rows
                        put(
                            table(ctx, ROW_PARTIAL, tl.float32) + tile
                            + (matrix + tl.arange(0, M))[:, None] * rows + (row + tl.arange(0, R))[None, :],
                            sum_of(sum_d_d, 2),
                            ((matrix + tl.arange(0, M))[:, None] < matrix_end) & ((row + tl.arange(0, R))[None, :] < row_end),
                        )
            whole_sum_param_param = sum_of(sum_of(sum_of(sum_param_param, 2), 1), 0)
            sum_param_param = tl.full((M, FEWER, C), 0.0, tl.float32)
            whole_sum_d_d_2 = sum_of(sum_d_d_2, 1)
            sum_d_d_2 = tl.full((M, FEWER, C), 0.0, tl.float32)
            for row in range(rest, row_end, FEWER):
                this_row = (row + tl.arange(0, FEWER))[None, :, None]
                sum_d_d = tl.full((M, FEWER, C), 0.0, tl.float32)
                i = (this_matrix * rows + this_row) * cols + this_col
                inside = (this_matrix < matrix_end) & (this_row < row_end) & (this_col < col_end)
                updated = inside & (this_matrix < updated_end)
                sum_param_param, sum_d_d, sum_d_d_2 = ndim_param_ge_2_sweep_1_block(
                    g_at, param_at, sum_param_param, sum_d_d, sum_d_d_2, i, inside, updated, "strided",
                )
                tile = word(ctx, ROW_PARTIAL_WIDTH) * 0
                tile += tl.load(table(ctx, ROW_PARTIAL_AT, tl.int64) + t)
                tile += (col // C) * tl.load(table(ctx, VIEW, tl.int64) + t * 3) * rows
                put(
                    table(ctx, ROW_PARTIAL, tl.float32) + tile
                    + (matrix + tl.arange(0, M))[:, None] * rows + (row + tl.arange(0, FEWER))[None, :],
                    sum_of(sum_d_d, 2),
                    ((matrix + tl.arange(0, M))[:, None] < matrix_end) & ((row + tl.arange(0, FEWER))[None, :] < row_end),
                )
            all_sum_param_param = all_sum_param_param + whole_sum_param_param + sum_of(sum_of(sum_of(sum_param_param, 2), 1), 0)
            tile = word(ctx, COL_PARTIAL_WIDTH) * 0
            tile += tl.load(table(ctx, COL_PARTIAL_AT, tl.int64) + t)
            tile += chunk_field(ctx, chunk, C_ROW_BLOCK) * tl.load(table(ctx, VIEW, tl.int64) + t * 3) * cols
            put(
                table(ctx, COL_PARTIAL, tl.float32) + tile
                + (matrix + tl.arange(0, M))[:, None] * cols + (col + tl.arange(0, C))[None, :],
                whole_sum_d_d_2 + sum_of(sum_d_d_2, 1),
                ((matrix + tl.arange(0, M))[:, None] < matrix_end) & ((col + tl.arange(0, C))[None, :] < col_end),
            )
    partial = table(ctx, PARTIAL, tl.float32) + chunk * 2
    tl.store(partial + 0, all_sum_param_param)


@triton.jit
def ndim_param_ge_2_sweep_2_block(
    g_at, eps1_times_eps1, this_r, this_c, this_maximum, sum_u_u, i, inside, updated, HOW: tl.constexpr,
):
    # s = r*c/maximum(mean(r, over="matrix"), eps1)
    s = tl.div_rn(this_r * this_c, this_maximum)
    g = load(g_at, i, updated, HOW)
    # u = g/sqrt(maximum(s, eps1**2))
    u = tl.div_rn(g, tl.sqrt_rn(maximum(s, eps1_times_eps1)))
    # d = u/maximum(1, sqrt(mean(u**2, over="tensor"))/clip_threshold)
    sum_u_u = add_total(sum_u_u, u * u, inside, HOW)
    return sum_u_u


@triton.jit
def ndim_param_ge_2_sweep_2(ctx, chunk, t, active, M: tl.constexpr, R: tl.constexpr, C: tl.constexpr, FEWER: tl.constexpr):
    g = slot(ctx, t, 1)
    read = table(ctx, TENSOR_READ, tl.float32) + t * 6
    eps1_times_eps1 = tl.load(read + 0)
    g_at_whole = pointer(g, tl.float32, "whole")
    g_at = pointer(g, tl.float32, "strided")
    rows = tl.load(table(ctx, VIEW, tl.int64) + t * 3 + 1)
    cols = tl.load(table(ctx, VIEW, tl.int64) + t * 3 + 2)
    whole = active & plain(g) & (cols % 16 == 0)
    matrix_end = chunk_field(ctx, chunk, C_MATRIX_END)
    updated_end = tl.where(active, matrix_end, 0)
    first = chunk_field(ctx, chunk, C_ROW)
    row_end = chunk_field(ctx, chunk, C_ROW_END)
    col_end = chunk_field(ctx, chunk, C_COL_END)
    all_sum_u_u = 0.0
    for matrix in range(chunk_field(ctx, chunk, C_MATRIX), matrix_end, M):
        this_matrix = (matrix + tl.arange(0, M))[:, None, None]
        for col in range(multiple_of_16(chunk_field(ctx, chunk, C_COL)), col_end, C):
            this_col = (col + tl.arange(0, C))[None, None, :]
            this_c = get(table(ctx, COL_READ, tl.float32) + word(ctx, COL_WIDTH) * 0 + tl.load(table(ctx, COL_OFFSET, tl.int64) + t) + this_matrix * cols + this_col, (this_matrix < matrix_end) & (this_col < col_end))
            this_maximum = get(table(ctx, MATRIX_READ, tl.float32) + word(ctx, MATRIX_WIDTH) * 0 + tl.load(table(ctx, MATRIX_OFFSET, tl.int64) + t) + this_matrix, this_matrix < matrix_end)
            sum_u_u = tl.full((M, R, C), 0.0, tl.float32)
            rest = first
            if M == 1:
                if whole & (col + C <= col_end):
                    rest = row_end - (row_end - first) % R
                    for row in range(first, rest, R):
                        this_row = (row + tl.arange(0, R))[None, :, None]
                        this_r = get(table(ctx, ROW_READ, tl.float32) + word(ctx, ROW_WIDTH) * 0 + tl.load(table(ctx, ROW_OFFSET, tl.int64) + t) + this_matrix * rows + this_row, (this_matrix < matrix_end) & (this_row < row_end))
                        i = (this_matrix * rows + this_row) * multiple_of_16(cols) + this_col
                        sum_u_u = ndim_param_ge_2_sweep_2_block(
                            g_at_whole, eps1_times_eps1, this_r, this_c, this_maximum, sum_u_u, i, True, True,
                            "whole",
                        )
            whole_sum_u_u = sum_of(sum_of(sum_of(sum_u_u, 2), 1), 0)
            sum_u_u = tl.full((M, FEWER, C), 0.0, tl.float32)
            for row in range(rest, row_end, FEWER):
                this_row = (row + tl.arange(0, FEWER))[None, :, None]
                this_r = get(table(ctx, ROW_READ, tl.float32) + word(ctx, ROW_WIDTH) * 0 + tl.load(table(ctx, ROW_OFFSET, tl.int64) + t) + this_matrix * rows + this_row, (this_matrix < matrix_end) & (this_row < row_end))
                i = (this_matrix * rows + this_row) * cols + this_col
                inside = (this_matrix < matrix_end) & (this_row < row_end) & (this_col < col_end)
                updated = inside & (this_matrix < updated_end)
                sum_u_u = ndim_param_ge_2_sweep_2_block(
                    g_at, eps1_times_eps1, this_r, this_c, this_maximum, sum_u_u, i, inside, updated,
                    "strided",
                )
            all_sum_u_u = all_sum_u_u + whole_sum_u_u + sum_of(sum_of(sum_of(sum_u_u, 2), 1), 0)
    partial = table(ctx, PARTIAL, tl.float32) + chunk * 2
    tl.store(partial + 1, all_sum_u_u)


@triton.jit
def ndim_param_ge_2_sweep_3_block(
    g_at, param_at, eps1_times_eps1, maximum_2, lr_times_weight_decay, rate_times_size, this_r, this_c,
    this_maximum, i, inside, updated, HOW: tl.constexpr,
):
    # s = r*c/maximum(mean(r, over="matrix"), eps1)
    s = tl.div_rn(this_r * this_c, this_maximum)
    g = load(g_at, i, updated, HOW)
    # u = g/sqrt(maximum(s, eps1**2))
    u = tl.div_rn(g, tl.sqrt_rn(maximum(s, eps1_times_eps1)))
    # d = u/maximum(1, sqrt(mean(u**2, over="tensor"))/clip_threshold)
    d = tl.div_rn(u, maximum_2)
    param = load(param_at, i, inside, HOW)
    # param = param - lr*weight_decay*param - rate*size*d
    param_new = param - lr_times_weight_decay * param - rate_times_size * d
    store(param_at, i, param_new, updated, HOW)


@triton.jit
def ndim_param_ge_2_sweep_3(ctx, chunk, t, active, M: tl.constexpr, R: tl.constexpr, C: tl.constexpr, FEWER: tl.constexpr):
    g = slot(ctx, t, 1)
    param = slot(ctx, t, 0)
    read = table(ctx, TENSOR_READ, tl.float32) + t * 6
    eps1_times_eps1 = tl.load(read + 0)
    maximum_2 = tl.load(read + 1)
    lr_times_weight_decay = tl.load(read + 2)
    rate_times_size = tl.load(read + 3)
    g_at_whole = pointer(g, tl.float32, "whole")
    param_at_whole = pointer(param, tl.float32, "whole")
    g_at = pointer(g, tl.float32, "strided")
    param_at = pointer(param, tl.float32, "strided")
    rows = tl.load(table(ctx, VIEW, tl.int64) + t * 3 + 1)
    cols = tl.load(table(ctx, VIEW, tl.int64) + t * 3 + 2)
    whole = active & plain(g) & plain(param) & (cols % 16 == 0)
    matrix_end = chunk_field(ctx, chunk, C_MATRIX_END)
    updated_end = tl.where(active, matrix_end, 0)
    first = chunk_field(ctx, chunk, C_ROW)
    row_end = chunk_field(ctx, chunk, C_ROW_END)
    col_end = chunk_field(ctx, chunk, C_COL_END)
    for matrix in range(chunk_field(ctx, chunk, C_MATRIX), matrix_end, M):
        this_matrix = (matrix + tl.arange(0, M))[:, None, None]
        for col in range(multiple_of_16(chunk_field(ctx, chunk, C_COL)), col_end, C):
            this_col = (col + tl.arange(0, C))[None, None, :]
            this_c = get(table(ctx, COL_READ, tl.float32) + word(ctx, COL_WIDTH) * 0 + tl.load(table(ctx, COL_OFFSET, tl.int64) + t) + this_matrix * cols + this_col, (this_matrix < matrix_end) & (this_col < col_end))
            this_maximum = get(table(ctx, MATRIX_READ, tl.float32) + word(ctx, MATRIX_WIDTH) * 0 + tl.load(table(ctx, MATRIX_OFFSET, tl.int64) + t) + this_matrix, this_matrix < matrix_end)
            rest = first
            if M == 1:
                if whole & (col + C <= col_end):
                    rest = row_end - (row_end - first) % R
                    for row in range(first, rest, R):
                        this_row = (row + tl.arange(0, R))[None, :, None]
                        this_r = get(table(ctx, ROW_READ, tl.float32) + word(ctx, ROW_WIDTH) * 0 + tl.load(table(ctx, ROW_OFFSET, tl.int64) + t) + this_matrix * rows + this_row, (this_matrix < matrix_end) & (this_row < row_end))
                        i = (this_matrix * rows + this_row) * multiple_of_16(cols) + this_col
                        ndim_param_ge_2_sweep_3_block(
                            g_at_whole, param_at_whole, eps1_times_eps1, maximum_2, lr_times_weight_decay,
                            rate_times_size, this_r, this_c, this_maximum, i, True, True, "whole",
                        )
            for row in range(rest, row_end, FEWER):
                this_row = (row + tl.arange(0, FEWER))[None, :, None]
                this_r = get(table(ctx, ROW_READ, tl.float32) + word(ctx, ROW_WIDTH) * 0 + tl.load(table(ctx, ROW_OFFSET, tl.int64) + t) + this_matrix * rows + this_row, (this_matrix < matrix_end) & (this_row < row_end))
                i = (this_matrix * rows + this_row) * cols + this_col
                inside = (this_matrix < matrix_end) & (this_row < row_end) & (this_col < col_end)
                updated = inside & (this_matrix < updated_end)
                ndim_param_ge_2_sweep_3_block(
                    g_at, param_at, eps1_times_eps1, maximum_2, lr_times_weight_decay, rate_times_size,
                    this_r, this_c, this_maximum, i, inside, updated, "strided",
                )


@triton.jit
def not_ndim_param_ge_2_sweep_1_block(
    g_at, v_at, param_at, b, eps1_times_eps1, sum_u_u, sum_param_param, i, inside, updated, HOW: tl.constexpr,
):
    g = load(g_at, i, updated, HOW)
    v = load(v_at, i, inside, HOW)
    # v = v + b*(g**2 - v)
    v_new = v + b * (g * g - v)
    # u = g/sqrt(maximum(s, eps1**2))
    u = tl.div_rn(g, tl.sqrt_rn(maximum(v_new, eps1_times_eps1)))
    param = load(param_at, i, inside, HOW)
    # d = u/maximum(1, sqrt(mean(u**2, over="tensor"))/clip_threshold)
    sum_u_u = add_total(sum_u_u, u * u, inside, HOW)
    # size = maximum(eps2, sqrt(mean(param**2, over="tensor")))
    sum_param_param = add_total(sum_param_param, param * param, inside, HOW)
    return sum_u_u, sum_param_param


@triton.jit
def not_ndim_param_ge_2_sweep_1(ctx, chunk, t, active, M: tl.constexpr, R: tl.constexpr, C: tl.constexpr, FEWER: tl.constexpr):
    g = slot(ctx, t, 1)
    v = slot(ctx, t, 4)
    param = slot(ctx, t, 0)
    read = table(ctx, TENSOR_READ, tl.float32) + t * 6
    b = tl.load(read + 4)
    eps1_times_eps1 = tl.load(read + 0)
    g_at_whole = pointer(g, tl.float32, "whole")
    v_at_whole = pointer(v, tl.float32, "whole")
    param_at_whole = pointer(param, tl.float32, "whole")
    g_at = pointer(g, tl.float32, "strided")
    v_at = pointer(v, tl.float32, "strided")
    param_at = pointer(param, tl.float32, "strided")
    rows = tl.load(table(ctx, VIEW, tl.int64) + t * 3 + 1)
    cols = tl.load(table(ctx, VIEW, tl.int64) + t * 3 + 2)
    whole = active & plain(g) & plain(v) & plain(param) & (cols % 16 == 0)
    matrix_end = chunk_field(ctx, chunk, C_MATRIX_END)
    updated_end = tl.where(active, matrix_end, 0)
    first = chunk_field(ctx, chunk, C_ROW)
    row_end = chunk_field(ctx, chunk, C_ROW_END)
    col_end = chunk_field(ctx, chunk, C_COL_END)
    all_sum_u_u = 0.0
    all_sum_param_param = 0.0
    for matrix in range(chunk_field(ctx, chunk, C_MATRIX), matrix_end, M):
        this_matrix = (matrix + tl.arange(0, M))[:, None, None]
        for col in range(multiple_of_16(chunk_field(ctx, chunk, C_COL)), col_end, C):
            this_col = (col + tl.arange(0, C))[None, None, :]
            sum_u_u = tl.full((M, R, C), 0.0, tl.float32)
            sum_param_param = tl.full((M, R, C), 0.0, tl.float32)
            rest = first
            if M == 1:
                if whole & (col + C <= col_end):
                    rest = row_end - (row_end - first) % R
                    for row in range(first, rest, R):
                        this_row = (row + tl.arange(0, R))[None, :, None]
                        i = (this_matrix * rows + this_row) * multiple_of_16(cols) + this_col
                        sum_u_u, sum_param_param = not_ndim_param_ge_2_sweep_1_block(
                            g_at_whole, v_at_whole, param_at_whole, b, eps1_times_eps1, sum_u_u,
                            sum_param_param, i, True, True, "whole",
                        )
            whole_sum_u_u = sum_of(sum_of(sum_of(sum_u_u, 2), 1), 0)
            sum_u_u = tl.full((M, FEWER, C), 0.0, tl.float32)
            whole_sum_param_param = sum_of(sum_of(sum_of(sum_param_param, 2), 1), 0)
            sum_param_param = tl.full((M, FEWER, C), 0.0, tl.float32)
            for row in range(rest, row_end, FEWER):
                this_row = (row + tl.arange(0, FEWER))[None, :, None]
                i = (this_matrix * rows + this_row) * cols + this_col
                inside = (this_matrix < matrix_end) & (this_row < row_end) & (this_col < col_end)
                updated = inside & (this_matrix < updated_end)
                sum_u_u, sum_param_param = not_ndim_param_ge_2_sweep_1_block(
                    g_at, v_at, param_at, b, eps1_times_eps1, sum_u_u, sum_param_param, i, inside, updated,
                    "strided",
                )
            all_sum_u_u = all_sum_u_u + whole_sum_u_u + sum_of(sum_of(sum_of(sum_u_u, 2), 1), 0)
            all_sum_param_param = all_sum_param_param + whole_sum_param_param + sum_of(sum_of(sum_of(sum_param_param, 2), 1), 0)
    partial = table(ctx, PARTIAL, tl.float32) + chunk * 2
    tl.store(partial + 1, all_sum_u_u)
    tl.store(partial + 0, all_sum_param_param)


@triton.jit
def not_ndim_param_ge_2_sweep_2_block(
    g_at, v_at, param_at, b, eps1_times_eps1, maximum_2, lr_times_weight_decay, rate_times_size, i, inside,
    updated, HOW: tl.constexpr,
):
    g = load(g_at, i, updated, HOW)
    v = load(v_at, i, inside, HOW)
    # v = v + b*(g**2 - v)
    v_new = v + b * (g * g - v)
    # u = g/sqrt(maximum(s, eps1**2))
    u = tl.div_rn(g, tl.sqrt_rn(maximum(v_new, eps1_times_eps1)))
    # d = u/maximum(1, sqrt(mean(u**2, over="tensor"))/clip_threshold)
    d = tl.div_rn(u, maximum_2)
    param = load(param_at, i, inside, HOW)
    # param = param - lr*weight_decay*param - rate*size*d
    param_new = param - lr_times_weight_decay * param - rate_times_size * d
    store(param_at, i, param_new, updated, HOW)
    store(v_at, i, v_new, updated, HOW)


@triton.jit
def not_ndim_param_ge_2_sweep_2(ctx, chunk, t, active, M: tl.constexpr, R: tl.constexpr, C: tl.constexpr, FEWER: tl.constexpr):
    g = slot(ctx, t, 1)
    v = slot(ctx, t, 4)
    param = slot(ctx, t, 0)
    read = table(ctx, TENSOR_READ, tl.float32) + t * 6
    b = tl.load(read + 4)
    eps1_times_eps1 = tl.load(read + 0)
    maximum_2 = tl.load(read + 1)
    lr_times_weight_decay = tl.load(read + 2)
    rate_times_size = tl.load(read + 3)
    g_at_whole = pointer(g, tl.float32, "whole")
    v_at_whole = pointer(v, tl.float32, "whole")
    param_at_whole = pointer(param, tl.float32, "whole")
    g_at = pointer(g, tl.float32, "strided")
    v_at = pointer(v, tl.float32, "strided")
    param_at = pointer(param, tl.float32, "strided")
    rows = tl.load(table(ctx, VIEW, tl.int64) + t * 3 + 1)
    cols = tl.load(table(ctx, VIEW, tl.int64) + t * 3 + 2)
    whole = active & plain(g) & plain(v) & plain(param) & (cols % 16 == 0)
    matrix_end = chunk_field(ctx, chunk, C_MATRIX_END)
    updated_end = tl.where(active, matrix_end, 0)
    first = chunk_field(ctx, chunk, C_ROW)
    row_end = chunk_field(ctx, chunk, C_ROW_END)
    col_end = chunk_field(ctx, chunk, C_COL_END)
    for matrix in range(chunk_field(ctx, chunk, C_MATRIX), matrix_end, M):
        this_matrix = (matrix + tl.arange(0, M))[:, None, None]
        for col in range(multiple_of_16(chunk_field(ctx, chunk, C_COL)), col_end, C):
            this_col = (col + tl.arange(0, C))[None, None, :]
            rest = first
            if M == 1:
                if whole & (col + C <= col_end):
                    rest = row_end - (row_end - first) % R
                    for row in range(first, rest, R):
                        this_row = (row + tl.arange(0, R))[None, :, None]
                        i = (this_matrix * rows + this_row) * multiple_of_16(cols) + this_col
                        not_ndim_param_ge_2_sweep_2_block(
                            g_at_whole, v_at_whole, param_at_whole, b, eps1_times_eps1, maximum_2,
                            lr_times_weight_decay, rate_times_size, i, True, True, "whole",
                        )
            for row in range(rest, row_end, FEWER):
                this_row = (row + tl.arange(0, FEWER))[None, :, None]
                i = (this_matrix * rows + this_row) * cols + this_col
                inside = (this_matrix < matrix_end) & (this_row < row_end) & (this_col < col_end)
                updated = inside & (this_matrix < updated_end)
                not_ndim_param_ge_2_sweep_2_block(
                    g_at, v_at, param_at, b, eps1_times_eps1, maximum_2, lr_times_weight_decay,
                    rate_times_size, i, inside, updated, "strided",
                )


@triton.jit
def sweep_1(ctx):
    chunk, t = chunk_of_program(ctx)
    mode = tl.load(table(ctx, MODE, tl.int64) + t)
    if mode != ABSENT:
        variant = tl.load(table(ctx, VARIANT, tl.int64) + t)
        small = has_small_matrices(ctx, t, 8, 8)
        if (variant == 0) & (small):
            ndim_param_ge_2_sweep_1(ctx, chunk, t, mode == ACTIVE, 16, 2, 8, 2)
        if (variant == 0) & (small == 0):
            ndim_param_ge_2_sweep_1(ctx, chunk, t, mode == ACTIVE, 1, 4, 256, 1)
        if (variant == 1) & (small):
            not_ndim_param_ge_2_sweep_1(ctx, chunk, t, mode == ACTIVE, 16, 2, 8, 2)
        if (variant == 1) & (small == 0):
            not_ndim_param_ge_2_sweep_1(ctx, chunk, t, mode == ACTIVE, 1, 4, 256, 1)


@triton.jit
def sweep_2(ctx):
    chunk, t = chunk_of_program(ctx)
    mode = tl.load(table(ctx, MODE, tl.int64) + t)
    if mode != ABSENT:
        variant = tl.load(table(ctx, VARIANT, tl.int64) + t)
        small = has_small_matrices(ctx, t, 8, 8)
        if (variant == 0) & (small):
            ndim_param_ge_2_sweep_2(ctx, chunk, t, mode == ACTIVE, 16, 2, 8, 2)
        if (variant == 0) & (small == 0):
            ndim_param_ge_2_sweep_2(ctx, chunk, t, mode == ACTIVE, 1, 4, 256, 1)
        if (variant == 1) & (small):
            not_ndim_param_ge_2_sweep_2(ctx, chunk, t, mode == ACTIVE, 16, 2, 8, 2)
        if (variant == 1) & (small == 0):
            not_ndim_param_ge_2_sweep_2(ctx, chunk, t, mode == ACTIVE, 1, 4, 256, 1)


@triton.jit
def sweep_3(ctx):
    chunk, t = chunk_of_program(ctx)
    mode = tl.load(table(ctx, MODE, tl.int64) + t)
    if mode != ABSENT:
        variant = tl.load(table(ctx, VARIANT, tl.int64) + t)
        small = has_small_matrices(ctx, t, 8, 8)
        if (variant == 0) & (small):
            ndim_param_ge_2_sweep_3(ctx, chunk, t, mode == ACTIVE, 16, 2, 8, 2)
        if (variant == 0) & (small == 0):
            ndim_param_ge_2_sweep_3(ctx, chunk, t, mode == ACTIVE, 1, 4, 256, 1)


@triton.jit
def stage_0_row(ctx):
    LANES: tl.constexpr = 256
    meta = table(ctx, META, tl.float64)
    row_block = table(ctx, ROW_BLOCK, tl.int64)
    mode = table(ctx, MODE, tl.int64)
    variant = table(ctx, VARIANT, tl.int64)
    address = table(ctx, ADDRESS, tl.int64)
    slots = word(ctx, SLOTS)
    row_offset = table(ctx, ROW_OFFSET, tl.int64)
    row_value = table(ctx, ROW_VALUE, tl.float64)
    row_width = word(ctx, ROW_WIDTH)
    t = tl.load(row_block + tl.program_id(0) * 2) + tl.zeros((LANES,), tl.int64)
    j = tl.load(row_block + tl.program_id(0) * 2 + 1) + tl.arange(0, LANES)
    here = t >= 0
    here = (j < (get(meta + t * 6 + 4, here) * get(meta + t * 6 + 2, here)).to(tl.int64)) & (get(mode + t, here) != ABSENT)
    here_0 = here & (get(variant + t, here) == 0)
    r = fetch(get(address + t * slots + 2, here_0) + 4 * j, tl.float32, here_0)
    put(row_value + row_width * 1 + get(row_offset + t, here_0) + j, r, here_0)  # r_2


@triton.jit
def stage_0_col(ctx):
    LANES: tl.constexpr = 256
    meta = table(ctx, META, tl.float64)
    col_block = table(ctx, COL_BLOCK, tl.int64)
    mode = table(ctx, MODE, tl.int64)
    variant = table(ctx, VARIANT, tl.int64)
    address = table(ctx, ADDRESS, tl.int64)
    slots = word(ctx, SLOTS)
    col_offset = table(ctx, COL_OFFSET, tl.int64)
    col_value = table(ctx, COL_VALUE, tl.float64)
    col_width = word(ctx, COL_WIDTH)
    t = tl.load(col_block + tl.program_id(0) * 2) + tl.zeros((LANES,), tl.int64)
    j = tl.load(col_block + tl.program_id(0) * 2 + 1) + tl.arange(0, LANES)
    here = t >= 0
    here = (j < (get(meta + t * 6 + 4, here) * get(meta + t * 6 + 3, here)).to(tl.int64)) & (get(mode + t, here) != ABSENT)
    here_0 = here & (get(variant + t, here) == 0)
    c = fetch(get(address + t * slots + 3, here_0) + 4 * j, tl.float32, here_0)
    put(col_value + col_width * 1 + get(col_offset + t, here_0) + j, c, here_0)  # c_2


@triton.jit
def stage_0_tensor(ctx):
    LANES: tl.constexpr = 128
    mode = table(ctx, MODE, tl.int64)
    member_count = word(ctx, MEMBER_COUNT)
    members = table(ctx, MEMBERS, tl.int64)
    address = table(ctx, ADDRESS, tl.int64)
    slots = word(ctx, SLOTS)
    hyper = table(ctx, HYPER, tl.float64)
    tensor_value = table(ctx, TENSOR_VALUE, tl.float64)
    tensor_read = table(ctx, TENSOR_READ, tl.float32)
    for first in range(0, member_count, LANES):
        k = first + tl.arange(0, LANES)
        here = k < member_count
        t = get(members + k, here)
        here = here & (get(mode + t, here) != ABSENT)
        updates = fetch(get(address + t * slots + 5, here), tl.float32, here) + 1.0
        beta2_decay = get(hyper + t * 7 + 1, here)
        # b = t**beta2_decay
        b = power(updates, beta2_decay)
        put(tensor_value + t * 6 + 4, b, here)
        put(tensor_read + t * 6 + 4, b, here)
        eps1 = get(hyper + t * 7 + 2, here)
        # u = g/sqrt(maximum(s, eps1**2))
        eps1_times_eps1 = eps1 * eps1
        put(tensor_value + t * 6 + 0, eps1_times_eps1, here)
        put(tensor_read + t * 6 + 0, eps1_times_eps1, here)
        lr = get(hyper + t * 7 + 0, here)
        relative_step = get(hyper + t * 7 + 6, here)
        # rate = where(relative_step, minimum(lr, 1/sqrt(t)), lr)
        rate = tl.where(relative_step != 0.0, minimum(lr, 1.0 / tl.sqrt(updates)), lr)
        put(tensor_value + t * 6 + 5, rate, here)
        weight_decay = get(hyper + t * 7 + 5, here)
        # param = param - lr*weight_decay*param - rate*size*d
        lr_times_weight_decay = lr * weight_decay
        put(tensor_value + t * 6 + 2, lr_times_weight_decay, here)
        put(tensor_read + t * 6 + 2, lr_times_weight_decay, here)


@triton.jit
def stage_1_row(ctx):
    LANES: tl.constexpr = 256
    meta = table(ctx, META, tl.float64)
    row_block = table(ctx, ROW_BLOCK, tl.int64)
    mode = table(ctx, MODE, tl.int64)
    variant = table(ctx, VARIANT, tl.int64)
    row_offset = table(ctx, ROW_OFFSET, tl.int64)
    row_value = table(ctx, ROW_VALUE, tl.float64)
    row_width = word(ctx, ROW_WIDTH)
    tensor_value = table(ctx, TENSOR_VALUE, tl.float64)
    row_read = table(ctx, ROW_READ, tl.float32)
    t = tl.load(row_block + tl.program_id(0) * 2) + tl.zeros((LANES,), tl.int64)
    j = tl.load(row_block + tl.program_id(0) * 2 + 1) + tl.arange(0, LANES)
    here = t >= 0
    here = (j < (get(meta + t * 6 + 4, here) * get(meta + t * 6 + 2, here)).to(tl.int64)) & (get(mode + t, here) != ABSENT)
    here_0 = here & (get(variant + t, here) == 0)
    sum_d_d = get(row_value + row_width * 2 + get(row_offset + t, here_0) + j, here_0)
    r_2 = get(row_value + row_width * 1 + get(row_offset + t, here_0) + j, here_0)
    b = get(tensor_value + t * 6 + 4, here_0)
    # r = r + b*(mean(g**2, over="row") - r)
    r = r_2 + b * (sum_d_d / (get(meta + t * 6 + 3, here_0)) - r_2)
    put(row_value + row_width * 0 + get(row_offset + t, here_0) + j, r, here_0)
    put(row_read + row_width * 0 + get(row_offset + t, here_0) + j, r, here_0)


@triton.jit
def stage_1_col(ctx):
    LANES: tl.constexpr = 256
    meta = table(ctx, META, tl.float64)
    col_block = table(ctx, COL_BLOCK, tl.int64)
    mode = table(ctx, MODE, tl.int64)
    variant = table(ctx, VARIANT, tl.int64)
    col_offset = table(ctx, COL_OFFSET, tl.int64)
    col_value = table(ctx, COL_VALUE, tl.float64)
    col_width = word(ctx, COL_WIDTH)
    tensor_value = table(ctx, TENSOR_VALUE, tl.float64)
    col_read = table(ctx, COL_READ, tl.float32)
    t = tl.load(col_block + tl.program_id(0) * 2) + tl.zeros((LANES,), tl.int64)
    j = tl.load(col_block + tl.program_id(0) * 2 + 1) + tl.arange(0, LANES)
    here = t >= 0
    here = (j < (get(meta + t * 6 + 4, here) * get(meta + t * 6 + 3, here)).to(tl.int64)) & (get(mode + t, here) != ABSENT)
    here_0 = here & (get(variant + t, here) == 0)
    sum_d_d_2 = get(col_value + col_width * 2 + get(col_offset + t, here_0) + j, here_0)
    c_2 = get(col_value + col_width * 1 + get(col_offset + t, here_0) + j, here_0)
    b = get(tensor_value + t * 6 + 4, here_0)
    # c = c + b*(mean(g**2, over="col") - c)
    c = c_2 + b * (sum_d_d_2 / (get(meta + t * 6 + 2, here_0)) - c_2)
    put(col_value + col_width * 0 + get(col_offset + t, here_0) + j, c, here_0)
    put(col_read + col_width * 0 + get(col_offset + t, here_0) + j, c, here_0)


@triton.jit
def stage_1_matrix(ctx):
    LANES: tl.constexpr = 8
    WIDE: tl.constexpr = 128
    meta = table(ctx, META, tl.float64)
    matrix_block = table(ctx, MATRIX_BLOCK, tl.int64)
    mode = table(ctx, MODE, tl.int64)
    variant = table(ctx, VARIANT, tl.int64)
    row_offset = table(ctx, ROW_OFFSET, tl.int64)
    row_value = table(ctx, ROW_VALUE, tl.float64)
    row_width = word(ctx, ROW_WIDTH)
    hyper = table(ctx, HYPER, tl.float64)
    matrix_offset = table(ctx, MATRIX_OFFSET, tl.int64)
    matrix_value = table(ctx, MATRIX_VALUE, tl.float64)
    matrix_width = word(ctx, MATRIX_WIDTH)
    matrix_read = table(ctx, MATRIX_READ, tl.float32)
    t = tl.load(matrix_block + tl.program_id(0) * 2) + tl.zeros((LANES,), tl.int64)
    j = tl.load(matrix_block + tl.program_id(0) * 2 + 1) + tl.arange(0, LANES)
    here = t >= 0
    here = (j < (get(meta + t * 6 + 4, here)).to(tl.int64)) & (get(mode + t, here) != ABSENT)
    here_0 = here & (get(variant + t, here) == 0)
    r = tl.full((LANES,), 0.0, tl.float64)
    start = j * get(meta + t * 6 + 2, here_0).to(tl.int64)
    stop = (j + 1) * get(meta + t * 6 + 2, here_0).to(tl.int64)
    for begin in range(0, longest(start, stop), WIDE):
        entry = start[:, None] + begin + tl.arange(0, WIDE)[None, :]
        there = entry < stop[:, None]
        r = r + sum_of(tl.where(there, get(row_value + row_width * 0 + get(row_offset + t, here_0)[:, None] + entry, there), 0.0), 1)
    eps1 = get(hyper + t * 7 + 2, here_0)
    # s = r*c/maximum(mean(r, over="matrix"), eps1)
    maximum_1 = maximum(r / (get(meta + t * 6 + 2, here_0)), eps1)
    put(matrix_value + matrix_width * 0 + get(matrix_offset + t, here_0) + j, maximum_1, here_0)  # maximum
    put(matrix_read + matrix_width * 0 + get(matrix_offset + t, here_0) + j, maximum_1, here_0)


@triton.jit
def stage_1_tensor(ctx):
    LANES: tl.constexpr = 128
    mode = table(ctx, MODE, tl.int64)
    member_count = word(ctx, MEMBER_COUNT)
    members = table(ctx, MEMBERS, tl.int64)
    variant = table(ctx, VARIANT, tl.int64)
    tensor_total = table(ctx, TENSOR_TOTAL, tl.float64)
    meta = table(ctx, META, tl.float64)
    hyper = table(ctx, HYPER, tl.float64)
    tensor_value = table(ctx, TENSOR_VALUE, tl.float64)
    tensor_read = table(ctx, TENSOR_READ, tl.float32)
    for first in range(0, member_count, LANES):
        k = first + tl.arange(0, LANES)
        here = k < member_count
        t = get(members + k, here)
        here = here & (get(mode + t, here) != ABSENT)
        here_0 = here & (get(variant + t, here) == 0)
        sum_param_param = get(tensor_total + t * 2 + 0, here_0)
        eps2 = get(hyper + t * 7 + 3, here_0)
        # size = maximum(eps2, sqrt(mean(param**2, over="tensor")))
        size = maximum(eps2, tl.sqrt(sum_param_param / (get(meta + t * 6 + 0, here_0))))
        rate = get(tensor_value + t * 6 + 5, here_0)
        # param = param - lr*weight_decay*param - rate*size*d
        rate_times_size = rate * size
        put(tensor_value + t * 6 + 3, rate_times_size, here_0)
        put(tensor_read + t * 6 + 3, rate_times_size, here_0)
        here_1 = here & (get(variant + t, here) == 1)
        sum_u_u = get(tensor_total + t * 2 + 1, here_1)
        clip_threshold = get(hyper + t * 7 + 4, here_1)
        # d = u/maximum(1, sqrt(mean(u**2, over="tensor"))/clip_threshold)
        maximum_2 = maximum(f8(1.0), tl.sqrt(sum_u_u / (get(meta + t * 6 + 0, here_1))) / clip_threshold)
        put(tensor_value + t * 6 + 1, maximum_2, here_1)
        put(tensor_read + t * 6 + 1, maximum_2, here_1)
        sum_param_param_1 = get(tensor_total + t * 2 + 0, here_1)
        eps2_1 = get(hyper + t * 7 + 3, here_1)
        # size = maximum(eps2, sqrt(mean(param**2, over="tensor")))
        size_1 = maximum(eps2_1, tl.sqrt(sum_param_param_1 / (get(meta + t * 6 + 0, here_1))))
        rate_1 = get(tensor_value + t * 6 + 5, here_1)
        # param = param - lr*weight_decay*param - rate*size*d
        rate_times_size_1 = rate_1 * size_1
        put(tensor_value + t * 6 + 3, rate_times_size_1, here_1)  # rate_times_size
        put(tensor_read + t * 6 + 3, rate_times_size_1, here_1)


@triton.jit
def stage_2_tensor(ctx):
    LANES: tl.constexpr = 128
    mode = table(ctx, MODE, tl.int64)
    member_count = word(ctx, MEMBER_COUNT)
    members = table(ctx, MEMBERS, tl.int64)
    variant = table(ctx, VARIANT, tl.int64)
    tensor_total = table(ctx, TENSOR_TOTAL, tl.float64)
    meta = table(ctx, META, tl.float64)
    hyper = table(ctx, HYPER, tl.float64)
    tensor_value = table(ctx, TENSOR_VALUE, tl.float64)
    tensor_read = table(ctx, TENSOR_READ, tl.float32)
    address = table(ctx, ADDRESS, tl.int64)
    slots = word(ctx, SLOTS)
    for first in range(0, member_count, LANES):
        k = first + tl.arange(0, LANES)
        here = k < member_count
        t = get(members + k, here)
        here = here & (get(mode + t, here) != ABSENT)
        here_0 = here & (get(variant + t, here) == 0)
        sum_u_u = get(tensor_total + t * 2 + 1, here_0)
        clip_threshold = get(hyper + t * 7 + 4, here_0)
        # d = u/maximum(1, sqrt(mean(u**2, over="tensor"))/clip_threshold)
        maximum_2 = maximum(f8(1.0), tl.sqrt(sum_u_u / (get(meta + t * 6 + 0, here_0))) / clip_threshold)
        put(tensor_value + t * 6 + 1, maximum_2, here_0)
        put(tensor_read + t * 6 + 1, maximum_2, here_0)
        here_1 = here & (get(variant + t, here) == 1)
        updates = fetch(get(address + t * slots + 5, here_1), tl.float32, here_1) + 1.0
        deposit(get(address + t * slots + 5, here_1), tl.float32, updates, here_1 & (get(mode + t, here_1) == ACTIVE))


@triton.jit
def stage_3_row(ctx):
    LANES: tl.constexpr = 256
    meta = table(ctx, META, tl.float64)
    row_block = table(ctx, ROW_BLOCK, tl.int64)
    mode = table(ctx, MODE, tl.int64)
    variant = table(ctx, VARIANT, tl.int64)
    row_offset = table(ctx, ROW_OFFSET, tl.int64)
    row_value = table(ctx, ROW_VALUE, tl.float64)
    row_width = word(ctx, ROW_WIDTH)
    address = table(ctx, ADDRESS, tl.int64)
    slots = word(ctx, SLOTS)
    t = tl.load(row_block + tl.program_id(0) * 2) + tl.zeros((LANES,), tl.int64)
    j = tl.load(row_block + tl.program_id(0) * 2 + 1) + tl.arange(0, LANES)
    here = t >= 0
    here = (j < (get(meta + t * 6 + 4, here) * get(meta + t * 6 + 2, here)).to(tl.int64)) & (get(mode + t, here) != ABSENT)
    here_0 = here & (get(variant + t, here) == 0)
    r = get(row_value + row_width * 0 + get(row_offset + t, here_0) + j, here_0)
    deposit(get(address + t * slots + 2, here_0) + 4 * j, tl.float32, r, here_0 & (get(mode + t, here_0) == ACTIVE))


@triton.jit
def stage_3_col(ctx):
    LANES: tl.constexpr = 256
    meta = table(ctx, META, tl.float64)
    col_block = table(ctx, COL_BLOCK, tl.int64)
    mode = table(ctx, MODE, tl.int64)
    variant = table(ctx, VARIANT, tl.int64)
    col_offset = table(ctx, COL_OFFSET, tl.int64)
    col_value = table(ctx, COL_VALUE, tl.float64)
    col_width = word(ctx, COL_WIDTH)
    address = table(ctx, ADDRESS, tl.int64)
    slots = word(ctx, SLOTS)
    t = tl.load(col_block + tl.program_id(0) * 2) + tl.zeros((LANES,), tl.int64)
    j = tl.load(col_block + tl.program_id(0) * 2 + 1) + tl.arange(0, LANES)
    here = t >= 0
    here = (j < (get(meta + t * 6 + 4, here) * get(meta + t * 6 + 3, here)).to(tl.int64)) & (get(mode + t, here) != ABSENT)
    here_0 = here & (get(variant + t, here) == 0)
    c = get(col_value + col_width * 0 + get(col_offset + t, here_0) + j, here_0)
    deposit(get(address + t * slots + 3, here_0) + 4 * j, tl.float32, c, here_0 & (get(mode + t, here_0) == ACTIVE))


@triton.jit
def stage_3_tensor(ctx):
    LANES: tl.constexpr = 128
    mode = table(ctx, MODE, tl.int64)
    member_count = word(ctx, MEMBER_COUNT)
    members = table(ctx, MEMBERS, tl.int64)
    variant = table(ctx, VARIANT, tl.int64)
    address = table(ctx, ADDRESS, tl.int64)
    slots = word(ctx, SLOTS)
    for first in range(0, member_count, LANES):
        k = first + tl.arange(0, LANES)
        here = k < member_count
        t = get(members + k, here)
        here = here & (get(mode + t, here) != ABSENT)
        here_0 = here & (get(variant + t, here) == 0)
        updates = fetch(get(address + t * slots + 5, here_0), tl.float32, here_0) + 1.0
        deposit(get(address + t * slots + 5, here_0), tl.float32, updates, here_0 & (get(mode + t, here_0) == ACTIVE))


@triton.jit
def stages_0(ctx, FROM: tl.constexpr, UPTO: tl.constexpr):
    if FROM <= 0 and 0 < UPTO:
        select_variant(ctx)


@triton.jit
def stages_0_2(ctx, FROM: tl.constexpr, UPTO: tl.constexpr):
    if FROM <= 0 and 0 < UPTO:
        stage_0_tensor(ctx)


@triton.jit
def finish_1_row(ctx):
    LANES: tl.constexpr = 256
    block = table(ctx, ROW_BLOCK, tl.int64) + tl.program_id(0) * 2
    t = tl.load(block)
    j = tl.load(block + 1) + tl.arange(0, LANES)
    view = table(ctx, VIEW, tl.int64) + t * 3
    units = tl.load(view) * tl.load(view + 1)
    mode = tl.load(table(ctx, MODE, tl.int64) + t) + j * 0
    variant = tl.load(table(ctx, VARIANT, tl.int64) + t) + j * 0
    part = table(ctx, ROW_PARTIAL, tl.float32)
    part += tl.load(table(ctx, ROW_PARTIAL_AT, tl.int64) + t)
    parts = tl.load(table(ctx, ROW_PARTS, tl.int64) + t)
    value = table(ctx, ROW_VALUE, tl.float64) + tl.load(table(ctx, ROW_OFFSET, tl.int64) + t)
    here = (j < units) & (mode != ABSENT) & (variant == 0)
    total = tl.full((LANES,), 0.0, tl.float64)
    for at in range(0, parts):
        total = total + get(part + word(ctx, ROW_PARTIAL_WIDTH) * 0 + at * units + j, here).to(tl.float64)
    put(value + word(ctx, ROW_WIDTH) * 2 + j, total, here)


@triton.jit
def finish_1_col(ctx):
    LANES: tl.constexpr = 256
    block = table(ctx, COL_BLOCK, tl.int64) + tl.program_id(0) * 2
    t = tl.load(block)
    j = tl.load(block + 1) + tl.arange(0, LANES)
    view = table(ctx, VIEW, tl.int64) + t * 3
    units = tl.load(view) * tl.load(view + 2)
    mode = tl.load(table(ctx, MODE, tl.int64) + t) + j * 0
    variant = tl.load(table(ctx, VARIANT, tl.int64) + t) + j * 0
    part = table(ctx, COL_PARTIAL, tl.float32)
    part += tl.load(table(ctx, COL_PARTIAL_AT, tl.int64) + t)
    parts = tl.load(table(ctx, COL_PARTS, tl.int64) + t)
    value = table(ctx, COL_VALUE, tl.float64) + tl.load(table(ctx, COL_OFFSET, tl.int64) + t)
    here = (j < units) & (mode != ABSENT) & (variant == 0)
    total = tl.full((LANES,), 0.0, tl.float64)
    for at in range(0, parts):
        total = total + get(part + word(ctx, COL_PARTIAL_WIDTH) * 0 + at * units + j, here).to(tl.float64)
    put(value + word(ctx, COL_WIDTH) * 2 + j, total, here)


@triton.jit
def stages_1(ctx, FROM: tl.constexpr, UPTO: tl.constexpr):
    if FROM <= 0 and 0 < UPTO:
        total_runs(ctx, 0, 2, tl.float32, "sum")
        total_runs(ctx, 1, 2, tl.float32, "sum")
    if FROM <= 1 and 1 < UPTO:
        tl.debug_barrier()
        total_tensors(ctx, 0, 2, "sum", 3, True)
        total_tensors(ctx, 1, 2, "sum", 2, True)
    if FROM <= 2 and 2 < UPTO:
        tl.debug_barrier()
        stage_1_tensor(ctx)


@triton.jit
def stages_2(ctx, FROM: tl.constexpr, UPTO: tl.constexpr):
    if FROM <= 0 and 0 < UPTO:
        total_runs(ctx, 1, 2, tl.float32, "sum")
    if FROM <= 1 and 1 < UPTO:
        tl.debug_barrier()
        total_tensors(ctx, 1, 2, "sum", 1, False)
    if FROM <= 2 and 2 < UPTO:
        tl.debug_barrier()
        stage_2_tensor(ctx)


@triton.jit
def stages_3(ctx, FROM: tl.constexpr, UPTO: tl.constexpr):
    if FROM <= 0 and 0 < UPTO:
        stage_3_tensor(ctx)


FUNCTIONS = {
    "sweep_1": sweep_1,
    "sweep_2": sweep_2,
    "sweep_3": sweep_3,
    "stages_0": stages_0,
    "stage_0_row": stage_0_row,
    "stage_0_col": stage_0_col,
    "stages_0_2": stages_0_2,
    "finish_1_row": finish_1_row,
    "finish_1_col": finish_1_col,
    "stage_1_row": stage_1_row,
    "stage_1_col": stage_1_col,
    "stage_1_matrix": stage_1_matrix,
    "stages_1": stages_1,
    "stages_2": stages_2,
    "stage_3_row": stage_3_row,
    "stage_3_col": stage_3_col,
    "stages_3": stages_3,
}
