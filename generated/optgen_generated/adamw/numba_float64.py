"""Kernels of the rule adamw in float64, generated from adamw.yaml.

spec 776539a6877fcdf557c8e6fcfe462bdb7daae1acb4e06fe54482cedb711ef3c9
made by: optgen build adamw --backend numba --set amsgrad=false --set maximize=false
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
 'rule': 'adamw',
 'class': 'AdamW',
 'digest': '776539a6877fcdf557c8e6fcfe462bdb7daae1acb4e06fe54482cedb711ef3c9',
 'backend': 'numba',
 'settled': {'amsgrad': False, 'maximize': False},
 'dtype': {'compute': 'float64', 'param': 'float64', 'g': 'float64'},
 'hypers': ['lr', 'beta1', 'beta2', 'eps', 'weight_decay', 'amsgrad'],
 'inputs': [],
 'slots': [{'name': 'param', 'extent': 'elem', 'dtype': 'float64', 'role': 'param'},
           {'name': 'g', 'extent': 'elem', 'dtype': 'float64', 'role': 'gradient'},
           {'name': 'm', 'extent': 'elem', 'dtype': 'float64', 'role': 'state'},
           {'name': 'v', 'extent': 'elem', 'dtype': 'float64', 'role': 'state'},
           {'name': 'step', 'extent': 'tensor', 'dtype': 'float32', 'role': 'counter'}],
 'values': {'tensor': ['beta1',
                       'one_minus_beta1',
                       'beta2',
                       'one_minus_beta2',
                       'inverse_one_minus_beta1_to_t',
                       'inverse_one_minus_beta2_to_t',
                       'eps',
                       'weight_decay',
                       'lr'],
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
               'slots': ['m', 'v'],
               'sweeps': [{'function': 'sweep_1',
                           'streams': [['slot', 2, 'rw'], ['slot', 1, 'r'], ['slot', 3, 'rw'], ['slot', 0, 'rw']],
                           'totals': []}],
               'stored': [[], ['step']]}]}


@segment
def sweep_1(n, streams, scalars, totals):
    m_at = f8_stream(streams[0], n)
    g_at = f8_stream(streams[1], n)
    v_at = f8_stream(streams[2], n)
    param_at = f8_stream(streams[3], n)
    beta1 = f8(scalars[0])
    one_minus_beta1 = f8(scalars[1])
    beta2 = f8(scalars[2])
    one_minus_beta2 = f8(scalars[3])
    inverse_one_minus_beta1_to_t = f8(scalars[4])
    inverse_one_minus_beta2_to_t = f8(scalars[5])
    eps = f8(scalars[6])
    weight_decay = f8(scalars[7])
    lr = f8(scalars[8])
    for i in range(n):
        m = m_at[i]
        g = g_at[i]
        # m = beta1*m + (1 - beta1)*g
        m_new = beta1 * m + one_minus_beta1 * g
        v = v_at[i]
        # v = beta2*v + (1 - beta2)*g**2
        v_new = beta2 * v + one_minus_beta2 * (g * g)
        # d = (m/(1 - beta1**t)) / (sqrt(v/(1 - beta2**t)) + eps)
        d = m_new * inverse_one_minus_beta1_to_t / (np.sqrt(v_new * inverse_one_minus_beta2_to_t) + eps)
        param = param_at[i]
        # param = param - lr*(d + weight_decay*param)
        param_new = param - lr * (d + weight_decay * param)
        m_at[i] = m_new
        param_at[i] = param_new
        v_at[i] = v_new


@stage
def stage_0_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    hyper = f8_table(ctx[HYPER], ctx[TENSORS], 6)
    tensor_value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 9)
    address = i8_table(ctx[ADDRESS], ctx[TENSORS], ctx[SLOTS])
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        beta1 = hyper[t, 1]
        # m = beta1*m + (1 - beta1)*g
        tensor_value[t, 1] = 1.0 - beta1  # one_minus_beta1
        beta2 = hyper[t, 2]
        # v = beta2*v + (1 - beta2)*g**2
        tensor_value[t, 3] = 1.0 - beta2  # one_minus_beta2
        updates = f8(load_f4(address[t, 4])) + 1.0
        # d = (m/(1 - beta1**t)) / (sqrt(v/(1 - beta2**t)) + eps)
        tensor_value[t, 4] = 1.0 / -np.expm1(updates * np.log(beta1))  # inverse_one_minus_beta1_to_t
        tensor_value[t, 5] = 1.0 / -np.expm1(updates * np.log(beta2))  # inverse_one_minus_beta2_to_t
        tensor_value[t, 0] = beta1
        tensor_value[t, 2] = beta2
        eps = hyper[t, 3]
        tensor_value[t, 6] = eps
        weight_decay = hyper[t, 4]
        tensor_value[t, 7] = weight_decay
        lr = hyper[t, 0]
        tensor_value[t, 8] = lr


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
