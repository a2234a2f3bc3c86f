"""Kernels of the rule novograd in float64, generated from novograd.yaml.

spec 94d806ea2a6cce983ec5e72b78629569804cb5d8bea93367cb94d2ad36b7e71f
made by: optgen build novograd --backend numba --set maximize=false
"""

import numpy as np

from optgen.runtime.cpu import (
    ABSENT,
    ACTIVE,
    ADDRESS,
    HYPER,
    MEMBERS,
    MEMBER_COUNT,
    MODE,
    SLOTS,
    TENSORS,
    TENSOR_TOTAL,
    TENSOR_VALUE,
    add_reassoc,
    f4,
    f8,
    f8_stream,
    f8_table,
    i8_stream,
    i8_table,
    load_f4,
    load_f8,
    segment,
    stage,
    store_f4,
    store_f8,
)

MANIFEST = {'abi': 1,
 'rule': 'novograd',
 'class': 'NovoGrad',
 'digest': '94d806ea2a6cce983ec5e72b78629569804cb5d8bea93367cb94d2ad36b7e71f',
 'backend': 'numba',
 'settled': {'maximize': False},
 'dtype': {'compute': 'float64', 'param': 'float64', 'g': 'float64'},
 'hypers': ['lr', 'beta1', 'beta2', 'eps', 'weight_decay', 'grad_averaging'],
 'inputs': [],
 'slots': [{'name': 'param', 'extent': 'elem', 'dtype': 'float64', 'role': 'param'},
           {'name': 'g', 'extent': 'elem', 'dtype': 'float64', 'role': 'gradient'},
           {'name': 'm', 'extent': 'elem', 'dtype': 'float64', 'role': 'state'},
           {'name': 'v', 'extent': 'tensor', 'dtype': 'float64', 'role': 'state'},
           {'name': 'step', 'extent': 'tensor', 'dtype': 'float32', 'role': 'counter'}],
 'values': {'tensor': ['beta1',
                       'root_v_plus_eps',
                       'weight_decay',
                       'one_minus_beta1',
                       'lr',
                       'one_minus_beta2',
                       'beta2_times_v',
                       'eq',
                       'v'],
            'layer': [],
            'model': [],
            'matrix': [],
            'row': [],
            'col': []},
 'totals': [{'name': 'sum_d_d', 'op': 'sum'}],
 'matrix': 'trailing',
 'tiled': False,
 'graph': False,
 'stencil': False,
 'sweeps': 2,
 'barriers': ['tensor', 'none'],
 'select': None,
 'inexact': [],
 'stages': [[['stage_0_tensor', 'tensor']], [['stage_1_tensor', 'tensor']], [['stage_2_tensor', 'tensor']]],
 'variants': [{'name': 'always',
               'when': '',
               'slots': ['m', 'v'],
               'sweeps': [{'function': 'sweep_1', 'streams': [['slot', 1, 'r']], 'totals': [0]},
                          {'function': 'sweep_2',
                           'streams': [['slot', 2, 'rw'], ['slot', 1, 'r'], ['slot', 0, 'rw']],
                           'totals': []}],
               'stored': [[], [], ['v', 'step']]}]}


@segment
def sweep_1(n, streams, scalars, totals):
    g_at = f8_stream(streams[0], n)
    sum_d_d = f8(0)
    for i in range(n):
        g = g_at[i]
        # n = sum(g**2, over="tensor")
        sum_d_d = add_reassoc(sum_d_d, g * g)
    totals[0] = totals[0] + f8(sum_d_d)


@segment
def sweep_2(n, streams, scalars, totals):
    m_at = f8_stream(streams[0], n)
    g_at = f8_stream(streams[1], n)
    param_at = f8_stream(streams[2], n)
    beta1 = f8(scalars[0])
    root_v_plus_eps = f8(scalars[1])
    weight_decay = f8(scalars[2])
    one_minus_beta1 = f8(scalars[3])
    lr = f8(scalars[4])
    for i in range(n):
        m = m_at[i]
        g = g_at[i]
        param = param_at[i]
        # m = beta1*m + where(grad_averaging and t > 1, 1 - beta1, 1)*(g/(sqrt(v) + eps) + weight_decay*param)
        m_new = beta1 * m + one_minus_beta1 * (g / root_v_plus_eps + weight_decay * param)
        # param = param - lr*d
        param_new = param - lr * m_new
        m_at[i] = m_new
        param_at[i] = param_new


@stage
def stage_0_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    address = i8_table(ctx[ADDRESS], ctx[TENSORS], ctx[SLOTS])
    tensor_value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 9)
    hyper = f8_table(ctx[HYPER], ctx[TENSORS], 6)
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        v = f8(load_f8(address[t, 3]))
        updates = f8(load_f4(address[t, 4])) + 1.0
        # v = where(t == 1, n, beta2*v + (1 - beta2)*n)
        tensor_value[t, 7] = (1.0 if updates == 1.0 else 0.0)  # eq
        beta2 = hyper[t, 2]
        tensor_value[t, 6] = beta2 * v  # beta2_times_v
        tensor_value[t, 5] = 1.0 - beta2  # one_minus_beta2
        grad_averaging = hyper[t, 5]
        beta1 = hyper[t, 1]
        # m = beta1*m + where(grad_averaging and t > 1, 1 - beta1, 1)*(g/(sqrt(v) + eps) + weight_decay*param)
        tensor_value[t, 3] = (1.0 - beta1 if (grad_averaging != 0.0) & (updates > 1.0) else 1.0)  # one_minus_beta1
        tensor_value[t, 0] = beta1
        weight_decay = hyper[t, 4]
        tensor_value[t, 2] = weight_decay
        lr = hyper[t, 0]
        tensor_value[t, 4] = lr


@stage
def stage_1_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    tensor_total = f8_table(ctx[TENSOR_TOTAL], ctx[TENSORS], 1)
    tensor_value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 9)
    hyper = f8_table(ctx[HYPER], ctx[TENSORS], 6)
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        # v = where(t == 1, n, beta2*v + (1 - beta2)*n)
        v = tensor_total[t, 0] if tensor_value[t, 7] != 0.0 else tensor_value[t, 6] + tensor_value[t, 5] * tensor_total[t, 0]
        tensor_value[t, 8] = v
        eps = hyper[t, 3]
        # m = beta1*m + where(grad_averaging and t > 1, 1 - beta1, 1)*(g/(sqrt(v) + eps) + weight_decay*param)
        tensor_value[t, 1] = np.sqrt(v) + eps  # root_v_plus_eps


@stage
def stage_2_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    tensor_value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 9)
    address = i8_table(ctx[ADDRESS], ctx[TENSORS], ctx[SLOTS])
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        if mode[t] == ACTIVE:
            store_f8(address[t, 3], f8(tensor_value[t, 8]))
        updates = f8(load_f4(address[t, 4])) + 1.0
        if mode[t] == ACTIVE:
            store_f4(address[t, 4], f4(updates))


FUNCTIONS = {
    "sweep_1": sweep_1,
    "sweep_2": sweep_2,
    "stage_0_tensor": stage_0_tensor,
    "stage_1_tensor": stage_1_tensor,
    "stage_2_tensor": stage_2_tensor,
}
