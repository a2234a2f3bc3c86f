"""Kernels of the rule adagrad in float32, generated from adagrad.yaml.

spec 5a5cf5a3b711620ec53419a4948c29cb9707d7b7a83d0d7920b5a6562f61f806
made by: optgen build adagrad --backend numba --set maximize=false
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
    f4_stream,
    f8,
    f8_table,
    i8_stream,
    i8_table,
    load_f4,
    segment,
    stage,
    store_f4,
)

MANIFEST = {'abi': 1,
 'rule': 'adagrad',
 'class': 'Adagrad',
 'digest': '5a5cf5a3b711620ec53419a4948c29cb9707d7b7a83d0d7920b5a6562f61f806',
 'backend': 'numba',
 'settled': {'maximize': False},
 'dtype': {'compute': 'float32', 'param': 'float32', 'g': 'float32'},
 'hypers': ['lr', 'lr_decay', 'weight_decay', 'initial_accumulator_value', 'eps'],
 'inputs': [],
 'slots': [{'name': 'param', 'extent': 'elem', 'dtype': 'float32', 'role': 'param'},
           {'name': 'g', 'extent': 'elem', 'dtype': 'float32', 'role': 'gradient'},
           {'name': 'v', 'extent': 'elem', 'dtype': 'float32', 'role': 'state'},
           {'name': 'step', 'extent': 'tensor', 'dtype': 'float32', 'role': 'counter'}],
 'values': {'tensor': ['weight_decay', 'eps', 'lr_over_add'],
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
    param_at = f4_stream(streams[0], n)
    g_at = f4_stream(streams[1], n)
    v_at = f4_stream(streams[2], n)
    weight_decay = f4(scalars[0])
    eps = f4(scalars[1])
    lr_over_add = f4(scalars[2])
    for i in range(n):
        param = param_at[i]
        g = g_at[i]
        # g = g + weight_decay*param
        g_new = g + weight_decay * param
        v = v_at[i]
        # v = v + g**2
        v_new = v + g_new * g_new
        # d = g/(sqrt(v) + eps)
        d = g_new / (np.sqrt(v_new) + eps)
        # param = param - lr/(1 + (t - 1)*lr_decay)*d
        param_new = param - lr_over_add * d
        param_at[i] = param_new
        v_at[i] = v_new


@stage
def stage_0_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    address = i8_table(ctx[ADDRESS], ctx[TENSORS], ctx[SLOTS])
    hyper = f8_table(ctx[HYPER], ctx[TENSORS], 5)
    tensor_value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 3)
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        updates = f8(load_f4(address[t, 3])) + 1.0
        lr_decay = hyper[t, 1]
        lr = hyper[t, 0]
        # param = param - lr/(1 + (t - 1)*lr_decay)*d
        tensor_value[t, 2] = lr / (1.0 + (updates - 1.0) * lr_decay)  # lr_over_add
        weight_decay = hyper[t, 2]
        tensor_value[t, 0] = weight_decay
        eps = hyper[t, 4]
        tensor_value[t, 1] = eps


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
