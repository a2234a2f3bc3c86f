"""Kernels of the rule rmsprop in float64, generated from rmsprop.yaml.

spec c710169870631c2efc39e17ddb3e4786cac86a9e43e7b9d244f94c854f852176
made by: optgen build rmsprop --backend numba --set centered=false --set maximize=false
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
    TENSOR_VALUE,
    f4,
    f8,
    f8_stream,
    f8_table,
    i8_stream,
    i8_table,
    load_f4,
    segment,
    stage,
    store_f4,
)

MANIFEST = {'abi': 1,
 'rule': 'rmsprop',
 'class': 'RMSprop',
 'digest': 'c710169870631c2efc39e17ddb3e4786cac86a9e43e7b9d244f94c854f852176',
 'backend': 'numba',
 'settled': {'centered': False, 'maximize': False, 'momentum != 0': False},
 'dtype': {'compute': 'float64', 'param': 'float64', 'g': 'float64'},
 'hypers': ['lr', 'alpha', 'eps', 'weight_decay', 'momentum', 'centered'],
 'inputs': [],
 'slots': [{'name': 'param', 'extent': 'elem', 'dtype': 'float64', 'role': 'param'},
           {'name': 'g', 'extent': 'elem', 'dtype': 'float64', 'role': 'gradient'},
           {'name': 'v', 'extent': 'elem', 'dtype': 'float64', 'role': 'state'},
           {'name': 'step', 'extent': 'tensor', 'dtype': 'float32', 'role': 'counter'}],
 'values': {'tensor': ['weight_decay', 'alpha', 'one_minus_alpha', 'eps', 'lr'],
            'layer': [],
            'model': [],
            'matrix': [],
            'row': [],
            'col': []},
 'totals': [],
 'matrix': 'trailing',
 'tiled': False,
 'graph': False,
 'stencil': False,
 'sweeps': 1,
 'barriers': ['none'],
 'select': None,
 'inexact': [],
 'stages': [[['stage_0_tensor', 'tensor']], [['stage_1_tensor', 'tensor']]],
 'variants': [{'name': 'always',
               'when': '',
               'slots': ['v'],
               'sweeps': [{'function': 'sweep_1',
                           'streams': [['slot', 0, 'rw'], ['slot', 1, 'r'], ['slot', 2, 'rw']],
                           'totals': []}],
               'stored': [[], ['step']]}]}


@segment
def sweep_1(n, streams, scalars, totals):
    param_at = f8_stream(streams[0], n)
    g_at = f8_stream(streams[1], n)
    v_at = f8_stream(streams[2], n)
    weight_decay = f8(scalars[0])
    alpha = f8(scalars[1])
    one_minus_alpha = f8(scalars[2])
    eps = f8(scalars[3])
    lr = f8(scalars[4])
    for i in range(n):
        param = param_at[i]
        g = g_at[i]
        # g = g + weight_decay*param
        g_new = g + weight_decay * param
        v = v_at[i]
        # v = alpha*v + (1 - alpha)*g**2
        v_new = alpha * v + one_minus_alpha * (g_new * g_new)
        # d = g/(sqrt(s) + eps)
        d = g_new / (np.sqrt(v_new) + eps)
        # param = param - lr*d
        param_new = param - lr * d
        param_at[i] = param_new
        v_at[i] = v_new


@stage
def stage_0_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    hyper = f8_table(ctx[HYPER], ctx[TENSORS], 6)
    tensor_value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 5)
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        alpha = hyper[t, 1]
        # v = alpha*v + (1 - alpha)*g**2
        tensor_value[t, 2] = 1.0 - alpha  # one_minus_alpha
        weight_decay = hyper[t, 3]
        tensor_value[t, 0] = weight_decay
        tensor_value[t, 1] = alpha
        eps = hyper[t, 2]
        tensor_value[t, 3] = eps
        lr = hyper[t, 0]
        tensor_value[t, 4] = lr


@stage
def stage_1_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    address = i8_table(ctx[ADDRESS], ctx[TENSORS], ctx[SLOTS])
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        updates = f8(load_f4(address[t, 3])) + 1.0
        if mode[t] == ACTIVE:
            store_f4(address[t, 3], f4(updates))


FUNCTIONS = {
    "sweep_1": sweep_1,
    "stage_0_tensor": stage_0_tensor,
    "stage_1_tensor": stage_1_tensor,
}
