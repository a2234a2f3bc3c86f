"""Kernels of the rule adadelta in float64, generated from adadelta.yaml.

spec 4b454bf4c36dc31bed9947c0bd2a50b737e901020b6bee111b9b54a6e4b03473
made by: optgen build adadelta --backend numba --set maximize=false
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
 'rule': 'adadelta',
 'class': 'Adadelta',
 'digest': '4b454bf4c36dc31bed9947c0bd2a50b737e901020b6bee111b9b54a6e4b03473',
 'backend': 'numba',
 'settled': {'maximize': False},
 'dtype': {'compute': 'float64', 'param': 'float64', 'g': 'float64'},
 'hypers': ['lr', 'rho', 'eps', 'weight_decay'],
 'inputs': [],
 'slots': [{'name': 'param', 'extent': 'elem', 'dtype': 'float64', 'role': 'param'},
           {'name': 'g', 'extent': 'elem', 'dtype': 'float64', 'role': 'gradient'},
           {'name': 'v', 'extent': 'elem', 'dtype': 'float64', 'role': 'state'},
           {'name': 'u', 'extent': 'elem', 'dtype': 'float64', 'role': 'state'},
           {'name': 'step', 'extent': 'tensor', 'dtype': 'float32', 'role': 'counter'}],
 'values': {'tensor': ['weight_decay', 'rho', 'one_minus_rho', 'eps', 'lr'],
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
               'slots': ['v', 'u'],
               'sweeps': [{'function': 'sweep_1',
                           'streams': [['slot', 0, 'rw'], ['slot', 1, 'r'], ['slot', 2, 'rw'], ['slot', 3, 'rw']],
                           'totals': []}],
               'stored': [[], ['step']]}]}


@segment
def sweep_1(n, streams, scalars, totals):
    param_at = f8_stream(streams[0], n)
    g_at = f8_stream(streams[1], n)
    v_at = f8_stream(streams[2], n)
    u_at = f8_stream(streams[3], n)
    weight_decay = f8(scalars[0])
    rho = f8(scalars[1])
    one_minus_rho = f8(scalars[2])
    eps = f8(scalars[3])
    lr = f8(scalars[4])
    for i in range(n):
        param = param_at[i]
        g = g_at[i]
        # g = g + weight_decay*param
        g_new = g + weight_decay * param
        v = v_at[i]
        # v = rho*v + (1 - rho)*g**2
        v_new = rho * v + one_minus_rho * (g_new * g_new)
        u = u_at[i]
        # d = sqrt(u + eps)/sqrt(v + eps)*g
        d = np.sqrt(u + eps) / np.sqrt(v_new + eps) * g_new
        # u = rho*u + (1 - rho)*d**2
        u_new = rho * u + one_minus_rho * (d * d)
        # param = param - lr*d
        param_new = param - lr * d
        param_at[i] = param_new
        u_at[i] = u_new
        v_at[i] = v_new


@stage
def stage_0_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    hyper = f8_table(ctx[HYPER], ctx[TENSORS], 4)
    tensor_value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 5)
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        rho = hyper[t, 1]
        # v = rho*v + (1 - rho)*g**2
        tensor_value[t, 2] = 1.0 - rho  # one_minus_rho
        weight_decay = hyper[t, 3]
        tensor_value[t, 0] = weight_decay
        tensor_value[t, 1] = rho
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
        updates = f8(load_f4(address[t, 4])) + 1.0
        if mode[t] == ACTIVE:
            store_f4(address[t, 4], f4(updates))


FUNCTIONS = {
    "sweep_1": sweep_1,
    "stage_0_tensor": stage_0_tensor,
    "stage_1_tensor": stage_1_tensor,
}
