"""Kernels of the rule adamax in float64, generated from adamax.yaml.

spec 3c71858a1385ebcf63c667b82bbd9c0f28df0b298975b1b6a6ea6194a412f80b
made by: optgen build adamax --backend numba --set maximize=false
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
    maximum,
    segment,
    stage,
    store_f4,
)

MANIFEST = {'abi': 1,
 'rule': 'adamax',
 'class': 'Adamax',
 'digest': '3c71858a1385ebcf63c667b82bbd9c0f28df0b298975b1b6a6ea6194a412f80b',
 'backend': 'numba',
 'settled': {'maximize': False},
 'dtype': {'compute': 'float64', 'param': 'float64', 'g': 'float64'},
 'hypers': ['lr', 'beta1', 'beta2', 'eps', 'weight_decay'],
 'inputs': [],
 'slots': [{'name': 'param', 'extent': 'elem', 'dtype': 'float64', 'role': 'param'},
           {'name': 'g', 'extent': 'elem', 'dtype': 'float64', 'role': 'gradient'},
           {'name': 'm', 'extent': 'elem', 'dtype': 'float64', 'role': 'state'},
           {'name': 'u', 'extent': 'elem', 'dtype': 'float64', 'role': 'state'},
           {'name': 'step', 'extent': 'tensor', 'dtype': 'float32', 'role': 'counter'}],
 'values': {'tensor': ['weight_decay',
                       'beta1',
                       'one_minus_beta1',
                       'beta2',
                       'eps',
                       'inverse_one_minus_beta1_to_t',
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
               'slots': ['m', 'u'],
               'sweeps': [{'function': 'sweep_1',
                           'streams': [['slot', 0, 'rw'], ['slot', 1, 'r'], ['slot', 2, 'rw'], ['slot', 3, 'rw']],
                           'totals': []}],
               'stored': [[], ['step']]}]}


@segment
def sweep_1(n, streams, scalars, totals):
    param_at = f8_stream(streams[0], n)
    g_at = f8_stream(streams[1], n)
    m_at = f8_stream(streams[2], n)
    u_at = f8_stream(streams[3], n)
    weight_decay = f8(scalars[0])
    beta1 = f8(scalars[1])
    one_minus_beta1 = f8(scalars[2])
    beta2 = f8(scalars[3])
    eps = f8(scalars[4])
    inverse_one_minus_beta1_to_t = f8(scalars[5])
    lr = f8(scalars[6])
    for i in range(n):
        param = param_at[i]
        g = g_at[i]
        # g = g + weight_decay*param
        g_new = g + weight_decay * param
        m = m_at[i]
        # m = beta1*m + (1 - beta1)*g
        m_new = beta1 * m + one_minus_beta1 * g_new
        u = u_at[i]
        # u = maximum(beta2*u, abs(g) + eps)
        u_new = maximum(beta2 * u, abs(g_new) + eps)
        # d = m/(1 - beta1**t)/u
        d = m_new * inverse_one_minus_beta1_to_t / u_new
        # param = param - lr*d
        param_new = param - lr * d
        m_at[i] = m_new
        param_at[i] = param_new
        u_at[i] = u_new


@stage
def stage_0_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    hyper = f8_table(ctx[HYPER], ctx[TENSORS], 5)
    tensor_value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 7)
    address = i8_table(ctx[ADDRESS], ctx[TENSORS], ctx[SLOTS])
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        beta1 = hyper[t, 1]
        # m = beta1*m + (1 - beta1)*g
        tensor_value[t, 2] = 1.0 - beta1  # one_minus_beta1
        updates = f8(load_f4(address[t, 4])) + 1.0
        # d = m/(1 - beta1**t)/u
        tensor_value[t, 5] = 1.0 / -np.expm1(updates * np.log(beta1))  # inverse_one_minus_beta1_to_t
        weight_decay = hyper[t, 4]
        tensor_value[t, 0] = weight_decay
        tensor_value[t, 1] = beta1
        beta2 = hyper[t, 2]
        tensor_value[t, 3] = beta2
        eps = hyper[t, 3]
        tensor_value[t, 4] = eps
        lr = hyper[t, 0]
        tensor_value[t, 6] = lr


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
