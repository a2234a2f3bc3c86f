"""Kernels of the rule adafactor in float32, generated from adafactor.yaml.

spec 413f99778e9d313cfad1a80412c2b4aa10374e712aa6791162e7cdeb4ac3f469
made by: optgen build adafactor --backend numba --set maximize=false
"""

import numpy as np

from optgen.runtime.cpu import (
    ABSENT,
    ACTIVE,
    ADDRESS,
    COL_OFFSET,
    COL_VALUE,
    COL_WIDTH,
    HYPER,
    MATRIX_OFFSET,
    MATRIX_VALUE,
    MATRIX_WIDTH,
    MEMBERS,
    MEMBER_COUNT,
    META,
    MODE,
    ROW_OFFSET,
    ROW_VALUE,
    ROW_WIDTH,
    SLOTS,
    TENSORS,
    TENSOR_TOTAL,
    TENSOR_VALUE,
    VARIANT,
    add_reassoc,
    f4,
    f4_stream,
    f8,
    f8_stream,
    f8_table,
    i8,
    i8_stream,
    i8_table,
    load_f4,
    maximum,
    minimum,
    segment,
    select,
    stage,
    store_f4,
)

MANIFEST = {'abi': 1,
 'rule': 'adafactor',
 'class': 'Adafactor',
 'digest': '413f99778e9d313cfad1a80412c2b4aa10374e712aa6791162e7cdeb4ac3f469',
 'backend': 'numba',
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
                           'streams': [['slot', 1, 'r'],
                                       ['slot', 0, 'r'],
                                       ['row_total', 2, 'sum'],
                                       ['col_total', 2, 'sum']],
                           'totals': [0]},
                          {'function': 'ndim_param_ge_2_sweep_2',
                           'streams': [['slot', 1, 'r'], ['row', 0], ['col', 0], ['matrix', 0]],
                           'totals': [1]},
                          {'function': 'ndim_param_ge_2_sweep_3',
                           'streams': [['slot', 1, 'r'], ['slot', 0, 'rw'], ['row', 0], ['col', 0], ['matrix', 0]],
                           'totals': []}],
               'stored': [[], [], [], ['r', 'c', 'step']]},
              {'name': 'not_ndim_param_ge_2',
               'when': 'not (ndim(param) >= 2)',
               'slots': ['v'],
               'sweeps': [{'function': 'not_ndim_param_ge_2_sweep_1',
                           'streams': [['slot', 1, 'r'], ['slot', 4, 'r'], ['slot', 0, 'r']],
                           'totals': [1, 0]},
                          {'function': 'not_ndim_param_ge_2_sweep_2',
                           'streams': [['slot', 1, 'r'], ['slot', 4, 'rw'], ['slot', 0, 'rw']],
                           'totals': []},
                          None],
               'stored': [[], [], ['step'], []]}]}


@segment
def ndim_param_ge_2_sweep_1(n, streams, scalars, totals):
    g_at = f4_stream(streams[0], n)
    param_at = f4_stream(streams[1], n)
    sum_param_param = f4(0)
    sum_d_d = f4(0)
    sum_d_d_row = f8_stream(streams[2], 1)
    sum_d_d_2_at = f8_stream(streams[3], n)
    for i in range(n):
        g = g_at[i]
        # r = r + b*(mean(g**2, over="row") - r)
        x = g * g
        param = param_at[i]
        # size = maximum(eps2, sqrt(mean(param**2, over="tensor")))
        sum_param_param = add_reassoc(sum_param_param, param * param)
        # r = r + b*(mean(g**2, over="row") - r)
        sum_d_d = add_reassoc(sum_d_d, x)
        # c = c + b*(mean(g**2, over="col") - c)
        sum_d_d_2_at[i] = sum_d_d_2_at[i] + f8(x)
    totals[0] = totals[0] + f8(sum_param_param)
    sum_d_d_row[0] = sum_d_d_row[0] + f8(sum_d_d)


@segment
def ndim_param_ge_2_sweep_2(n, streams, scalars, totals):
    g_at = f4_stream(streams[0], n)
    r = f8_stream(streams[1], 1)
    this_r = f4(r[0])
    c_at = f8_stream(streams[2], n)
    maximum_1 = f8_stream(streams[3], 1)
    this_maximum = f4(maximum_1[0])
    eps1_times_eps1 = f4(scalars[0])
    sum_u_u = f4(0)
    for i in range(n):
        # s = r*c/maximum(mean(r, over="matrix"), eps1)
        s = this_r * f4(c_at[i]) / this_maximum
        g = g_at[i]
        # u = g/sqrt(maximum(s, eps1**2))
        u = g / np.sqrt(maximum(s, eps1_times_eps1))
        # d = u/maximum(1, sqrt(mean(u**2, over="tensor"))/clip_threshold)
        sum_u_u = add_reassoc(sum_u_u, u * u)
    totals[0] = totals[0] + f8(sum_u_u)


@segment
def ndim_param_ge_2_sweep_3(n, streams, scalars, totals):
    g_at = f4_stream(streams[0], n)
    param_at = f4_stream(streams[1], n)
    r = f8_stream(streams[2], 1)
    this_r = f4(r[0])
    c_at = f8_stream(streams[3], n)
    maximum_1 = f8_stream(streams[4], 1)
    this_maximum = f4(maximum_1[0])
    eps1_times_eps1 = f4(scalars[0])
    maximum_2 = f4(scalars[1])
    lr_times_weight_decay = f4(scalars[2])
    rate_times_size = f4(scalars[3])
    for i in range(n):
        # s = r*c/maximum(mean(r, over="matrix"), eps1)
        s = this_r * f4(c_at[i]) / this_maximum
        g = g_at[i]
        # u = g/sqrt(maximum(s, eps1**2))
        u = g / np.sqrt(maximum(s, eps1_times_eps1))
        # d = u/maximum(1, sqrt(mean(u**2, over="tensor"))/clip_threshold)
        d = u / maximum_2
        param = param_at[i]
        # param = param - lr*weight_decay*param - rate*size*d
        param_new = param - lr_times_weight_decay * param - rate_times_size * d
        param_at[i] = param_new


@segment
def not_ndim_param_ge_2_sweep_1(n, streams, scalars, totals):
    g_at = f4_stream(streams[0], n)
    v_at = f4_stream(streams[1], n)
    param_at = f4_stream(streams[2], n)
    b = f4(scalars[4])
    eps1_times_eps1 = f4(scalars[0])
    sum_u_u = f4(0)
    sum_param_param = f4(0)
    for i in range(n):
        g = g_at[i]
        v = v_at[i]
        # v = v + b*(g**2 - v)
        v_new = v + b * (g * g - v)
        # u = g/sqrt(maximum(s, eps1**2))
        u = g / np.sqrt(maximum(v_new, eps1_times_eps1))
        param = param_at[i]
        # d = u/maximum(1, sqrt(mean(u**2, over="tensor"))/clip_threshold)
        sum_u_u = add_reassoc(sum_u_u, u * u)
        # size = maximum(eps2, sqrt(mean(param**2, over="tensor")))
        sum_param_param = add_reassoc(sum_param_param, param * param)
    totals[0] = totals[0] + f8(sum_u_u)
    totals[1] = totals[1] + f8(sum_param_param)


@segment
def not_ndim_param_ge_2_sweep_2(n, streams, scalars, totals):
    g_at = f4_stream(streams[0], n)
    v_at = f4_stream(streams[1], n)
    param_at = f4_stream(streams[2], n)
    b = f4(scalars[4])
    eps1_times_eps1 = f4(scalars[0])
    maximum_2 = f4(scalars[1])
    lr_times_weight_decay = f4(scalars[2])
    rate_times_size = f4(scalars[3])
    for i in range(n):
        g = g_at[i]
        v = v_at[i]
        # v = v + b*(g**2 - v)
        v_new = v + b * (g * g - v)
        # u = g/sqrt(maximum(s, eps1**2))
        u = g / np.sqrt(maximum(v_new, eps1_times_eps1))
        # d = u/maximum(1, sqrt(mean(u**2, over="tensor"))/clip_threshold)
        d = u / maximum_2
        param = param_at[i]
        # param = param - lr*weight_decay*param - rate*size*d
        param_new = param - lr_times_weight_decay * param - rate_times_size * d
        param_at[i] = param_new
        v_at[i] = v_new


@stage
def stage_0_row(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    meta = f8_table(ctx[META], ctx[TENSORS], 6)
    address = i8_table(ctx[ADDRESS], ctx[TENSORS], ctx[SLOTS])
    row_offset = i8_stream(ctx[ROW_OFFSET], ctx[TENSORS])
    row_value = f8_table(ctx[ROW_VALUE], 3, ctx[ROW_WIDTH])
    variant = i8_stream(ctx[VARIANT], ctx[TENSORS])
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        for j in range(i8(meta[t, 4] * meta[t, 2])):
            if variant[t] == 0:
                r = f8(load_f4(address[t, 2] + 4 * j))
                row_value[1, row_offset[t] + j] = r  # r_2


@stage
def stage_0_col(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    meta = f8_table(ctx[META], ctx[TENSORS], 6)
    address = i8_table(ctx[ADDRESS], ctx[TENSORS], ctx[SLOTS])
    col_offset = i8_stream(ctx[COL_OFFSET], ctx[TENSORS])
    col_value = f8_table(ctx[COL_VALUE], 3, ctx[COL_WIDTH])
    variant = i8_stream(ctx[VARIANT], ctx[TENSORS])
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        for j in range(i8(meta[t, 4] * meta[t, 3])):
            if variant[t] == 0:
                c = f8(load_f4(address[t, 3] + 4 * j))
                col_value[1, col_offset[t] + j] = c  # c_2


@stage
def stage_0_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    address = i8_table(ctx[ADDRESS], ctx[TENSORS], ctx[SLOTS])
    hyper = f8_table(ctx[HYPER], ctx[TENSORS], 7)
    tensor_value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 6)
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        updates = f8(load_f4(address[t, 5])) + 1.0
        beta2_decay = hyper[t, 1]
        # b = t**beta2_decay
        b = updates ** beta2_decay
        tensor_value[t, 4] = b
        eps1 = hyper[t, 2]
        # u = g/sqrt(maximum(s, eps1**2))
        tensor_value[t, 0] = eps1 * eps1  # eps1_times_eps1
        lr = hyper[t, 0]
        relative_step = hyper[t, 6]
        # rate = where(relative_step, minimum(lr, 1/sqrt(t)), lr)
        rate = minimum(lr, 1.0 / np.sqrt(updates)) if relative_step != 0.0 else lr
        tensor_value[t, 5] = rate
        weight_decay = hyper[t, 5]
        # param = param - lr*weight_decay*param - rate*size*d
        tensor_value[t, 2] = lr * weight_decay  # lr_times_weight_decay


@stage
def stage_1_row(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    meta = f8_table(ctx[META], ctx[TENSORS], 6)
    row_offset = i8_stream(ctx[ROW_OFFSET], ctx[TENSORS])
    row_value = f8_table(ctx[ROW_VALUE], 3, ctx[ROW_WIDTH])
    tensor_value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 6)
    variant = i8_stream(ctx[VARIANT], ctx[TENSORS])
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        for j in range(i8(meta[t, 4] * meta[t, 2])):
            if variant[t] == 0:
                # r = r + b*(mean(g**2, over="row") - r)
                r = row_value[1, row_offset[t] + j] + tensor_value[t, 4] * (row_value[2, row_offset[t] + j] / (meta[t, 3]) - row_value[1, row_offset[t] + j])
                row_value[0, row_offset[t] + j] = r


@stage
def stage_1_col(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    meta = f8_table(ctx[META], ctx[TENSORS], 6)
    col_offset = i8_stream(ctx[COL_OFFSET], ctx[TENSORS])
    col_value = f8_table(ctx[COL_VALUE], 3, ctx[COL_WIDTH])
    tensor_value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 6)
    variant = i8_stream(ctx[VARIANT], ctx[TENSORS])
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        for j in range(i8(meta[t, 4] * meta[t, 3])):
            if variant[t] == 0:
                # c = c + b*(mean(g**2, over="col") - c)
                c = col_value[1, col_offset[t] + j] + tensor_value[t, 4] * (col_value[2, col_offset[t] + j] / (meta[t, 2]) - col_value[1, col_offset[t] + j])
                col_value[0, col_offset[t] + j] = c


@stage
def stage_1_matrix(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    meta = f8_table(ctx[META], ctx[TENSORS], 6)
    row_offset = i8_stream(ctx[ROW_OFFSET], ctx[TENSORS])
    row_value = f8_table(ctx[ROW_VALUE], 3, ctx[ROW_WIDTH])
    hyper = f8_table(ctx[HYPER], ctx[TENSORS], 7)
    matrix_offset = i8_stream(ctx[MATRIX_OFFSET], ctx[TENSORS])
    matrix_value = f8_table(ctx[MATRIX_VALUE], 1, ctx[MATRIX_WIDTH])
    variant = i8_stream(ctx[VARIANT], ctx[TENSORS])
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        for j in range(i8(meta[t, 4])):
            if variant[t] == 0:
                r = 0.0
                for entry in range(j * i8(meta[t, 2]), (j + 1) * i8(meta[t, 2])):
                    r = r + row_value[0, row_offset[t] + entry]
                eps1 = hyper[t, 2]
                # s = r*c/maximum(mean(r, over="matrix"), eps1)
                matrix_value[0, matrix_offset[t] + j] = maximum(r / (meta[t, 2]), eps1)  # maximum


@stage
def stage_1_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    tensor_total = f8_table(ctx[TENSOR_TOTAL], ctx[TENSORS], 2)
    meta = f8_table(ctx[META], ctx[TENSORS], 6)
    hyper = f8_table(ctx[HYPER], ctx[TENSORS], 7)
    tensor_value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 6)
    variant = i8_stream(ctx[VARIANT], ctx[TENSORS])
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        if variant[t] == 0:
            eps2 = hyper[t, 3]
            # size = maximum(eps2, sqrt(mean(param**2, over="tensor")))
            size = maximum(eps2, np.sqrt(tensor_total[t, 0] / (meta[t, 0])))
            # param = param - lr*weight_decay*param - rate*size*d
            tensor_value[t, 3] = tensor_value[t, 5] * size  # rate_times_size
        elif variant[t] == 1:
            clip_threshold = hyper[t, 4]
            # d = u/maximum(1, sqrt(mean(u**2, over="tensor"))/clip_threshold)
            tensor_value[t, 1] = maximum(1.0, np.sqrt(tensor_total[t, 1] / (meta[t, 0])) / clip_threshold)  # maximum_2
            eps2_1 = hyper[t, 3]
            # size = maximum(eps2, sqrt(mean(param**2, over="tensor")))
            size_1 = maximum(eps2_1, np.sqrt(tensor_total[t, 0] / (meta[t, 0])))
            # param = param - lr*weight_decay*param - rate*size*d
            tensor_value[t, 3] = tensor_value[t, 5] * size_1  # rate_times_size


@stage
def stage_2_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    tensor_total = f8_table(ctx[TENSOR_TOTAL], ctx[TENSORS], 2)
    meta = f8_table(ctx[META], ctx[TENSORS], 6)
    hyper = f8_table(ctx[HYPER], ctx[TENSORS], 7)
    tensor_value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 6)
    variant = i8_stream(ctx[VARIANT], ctx[TENSORS])
    address = i8_table(ctx[ADDRESS], ctx[TENSORS], ctx[SLOTS])
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        if variant[t] == 0:
            clip_threshold = hyper[t, 4]
            # d = u/maximum(1, sqrt(mean(u**2, over="tensor"))/clip_threshold)
            tensor_value[t, 1] = maximum(1.0, np.sqrt(tensor_total[t, 1] / (meta[t, 0])) / clip_threshold)  # maximum_2
        elif variant[t] == 1:
            updates = f8(load_f4(address[t, 5])) + 1.0
            if mode[t] == ACTIVE:
                store_f4(address[t, 5], f4(updates))


@stage
def stage_3_row(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    meta = f8_table(ctx[META], ctx[TENSORS], 6)
    row_offset = i8_stream(ctx[ROW_OFFSET], ctx[TENSORS])
    row_value = f8_table(ctx[ROW_VALUE], 3, ctx[ROW_WIDTH])
    address = i8_table(ctx[ADDRESS], ctx[TENSORS], ctx[SLOTS])
    variant = i8_stream(ctx[VARIANT], ctx[TENSORS])
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        for j in range(i8(meta[t, 4] * meta[t, 2])):
            if variant[t] == 0:
                if mode[t] == ACTIVE:
                    store_f4(address[t, 2] + 4 * j, f4(row_value[0, row_offset[t] + j]))


@stage
def stage_3_col(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    meta = f8_table(ctx[META], ctx[TENSORS], 6)
    col_offset = i8_stream(ctx[COL_OFFSET], ctx[TENSORS])
    col_value = f8_table(ctx[COL_VALUE], 3, ctx[COL_WIDTH])
    address = i8_table(ctx[ADDRESS], ctx[TENSORS], ctx[SLOTS])
    variant = i8_stream(ctx[VARIANT], ctx[TENSORS])
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        for j in range(i8(meta[t, 4] * meta[t, 3])):
            if variant[t] == 0:
                if mode[t] == ACTIVE:
                    store_f4(address[t, 3] + 4 * j, f4(col_value[0, col_offset[t] + j]))


@stage
def stage_3_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    address = i8_table(ctx[ADDRESS], ctx[TENSORS], ctx[SLOTS])
    variant = i8_stream(ctx[VARIANT], ctx[TENSORS])
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        if variant[t] == 0:
            updates = f8(load_f4(address[t, 5])) + 1.0
            if mode[t] == ACTIVE:
                store_f4(address[t, 5], f4(updates))


@select
def select_variant(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    meta = f8_table(ctx[META], ctx[TENSORS], 6)
    variant = i8_stream(ctx[VARIANT], ctx[TENSORS])
    for k in range(begin, end):
        t = members[k]
        variant[t] = i8((0.0 if meta[t, 1] >= 2.0 else 1.0))


FUNCTIONS = {
    "ndim_param_ge_2_sweep_1": ndim_param_ge_2_sweep_1,
    "ndim_param_ge_2_sweep_2": ndim_param_ge_2_sweep_2,
    "ndim_param_ge_2_sweep_3": ndim_param_ge_2_sweep_3,
    "not_ndim_param_ge_2_sweep_1": not_ndim_param_ge_2_sweep_1,
    "not_ndim_param_ge_2_sweep_2": not_ndim_param_ge_2_sweep_2,
    "stage_0_row": stage_0_row,
    "stage_0_col": stage_0_col,
    "stage_0_tensor": stage_0_tensor,
    "stage_1_row": stage_1_row,
    "stage_1_col": stage_1_col,
    "stage_1_matrix": stage_1_matrix,
    "stage_1_tensor": stage_1_tensor,
    "stage_2_tensor": stage_2_tensor,
    "stage_3_row": stage_3_row,
    "stage_3_col": stage_3_col,
    "stage_3_tensor": stage_3_tensor,
    "select_variant": select_variant,
}
