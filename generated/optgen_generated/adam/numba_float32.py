"""Kernels of the rule adam in float32, generated from adam.yaml.

spec f7391aed7024a6ebd09e7e5868f0991ac97dd4a2acd6130663f765db004d7dd0
made by: optgen build adam --backend numba --set amsgrad=false --set maximize=false
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
 'rule': 'adam',
 'class': 'Adam',
 'digest': 'f7391aed7024a6ebd09e7e5868f0991ac97dd4a2acd6130663f765db004d7dd0',
 'backend': 'numba',
 'settled': {'amsgrad': False, 'maximize': False},
 'dtype': {'compute': 'float32', 'param': 'float32', 'g': 'float32'},
 'hypers': ['lr', 'beta1', 'beta2', 'eps', 'weight_decay', 'amsgrad', 'decoupled_weight_decay'],
 'inputs': [],
 'slots': [{'name': 'param', 'extent': 'elem', 'dtype': 'float32', 'role': 'param'},
           {'name': 'g', 'extent': 'elem', 'dtype': 'float32', 'role': 'gradient'},
           {'name': 'm', 'extent': 'elem', 'dtype': 'float32', 'role': 'state'},
           {'name': 'v', 'extent': 'elem', 'dtype': 'float32', 'role': 'state'},
           {'name': 'step', 'extent': 'tensor', 'dtype': 'float32', 'role': 'counter'}],
 'values': {'tensor': ['weight_decay',
                       'beta1',
                       'one_minus_beta1',
                       'beta2',
                       'one_minus_beta2',
                       'inverse_one_minus_beta1_to_t',
                       'inverse_one_minus_beta2_to_t',
                       'eps',
                       'weight_decay_2',
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
                           'streams': [['slot', 0, 'rw'], ['slot', 1, 'r'], ['slot', 2, 'rw'], ['slot', 3, 'rw']],
                           'totals': []}],
               'stored': [[], ['step']]}]}


@segment
def sweep_1(n, streams, scalars, totals):
    param_at = f4_stream(streams[0], n)
    g_at = f4_stream(streams[1], n)
    m_at = f4_stream(streams[2], n)
    v_at = f4_stream(streams[3], n)
    weight_decay = f4(scalars[0])
    beta1 = f4(scalars[1])
    one_minus_beta1 = f4(scalars[2])
    beta2 = f4(scalars[3])
    one_minus_beta2 = f4(scalars[4])
    inverse_one_minus_beta1_to_t = f4(scalars[5])
    inverse_one_minus_beta2_to_t = f4(scalars[6])
    eps = f4(scalars[7])
    weight_decay_2 = f4(scalars[8])
    lr = f4(scalars[9])
    for i in range(n):
        param = param_at[i]
        g = g_at[i]
        # g = g + where(decoupled_weight_decay, 0, weight_decay)*param
        g_new = g + weight_decay * param
        m = m_at[i]
        # m = beta1*m + (1 - beta1)*g
        m_new = beta1 * m + one_minus_beta1 * g_new
        v = v_at[i]
        # v = beta2*v + (1 - beta2)*g**2
        v_new = beta2 * v + one_minus_beta2 * (g_new * g_new)
        # d = (m/(1 - beta1**t)) / (sqrt(v/(1 - beta2**t)) + eps)
        d = m_new * inverse_one_minus_beta1_to_t / (np.sqrt(v_new * inverse_one_minus_beta2_to_t) + eps)
        # param = param - lr*(d + where(decoupled_weight_decay, weight_decay, 0)*param)
        param_new = param - lr * (d + weight_decay_2 * param)
        m_at[i] = m_new
        param_at[i] = param_new
        v_at[i] = v_new


@stage
def stage_0_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    hyper = f8_table(ctx[HYPER], ctx[TENSORS], 7)
    tensor_value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 10)
    address = i8_table(ctx[ADDRESS], ctx[TENSORS], ctx[SLOTS])
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        decoupled_weight_decay = hyper[t, 6]
        weight_decay = hyper[t, 4]
        # g = g + where(decoupled_weight_decay, 0, weight_decay)*param
        tensor_value[t, 0] = (0.0 if decoupled_weight_decay != 0.0 else weight_decay)  # weight_decay
        beta1 = hyper[t, 1]
        # m = beta1*m + (1 - beta1)*g
        tensor_value[t, 2] = 1.0 - beta1  # one_minus_beta1
        beta2 = hyper[t, 2]
        # v = beta2*v + (1 - beta2)*g**2
        tensor_value[t, 4] = 1.0 - beta2  # one_minus_beta2
        updates = f8(load_f4(address[t, 4])) + 1.0
        # d = (m/(1 - beta1**t)) / (sqrt(v/(1 - beta2**t)) + eps)
        tensor_value[t, 5] = 1.0 / -np.expm1(updates * np.log(beta1))  # inverse_one_minus_beta1_to_t
        tensor_value[t, 6] = 1.0 / -np.expm1(updates * np.log(beta2))  # inverse_one_minus_beta2_to_t
        # param = param - lr*(d + where(decoupled_weight_decay, weight_decay, 0)*param)
        tensor_value[t, 8] = (weight_decay if decoupled_weight_decay != 0.0 else 0.0)  # weight_decay_2
        tensor_value[t, 1] = beta1
        tensor_value[t, 3] = beta2
        eps = hyper[t, 3]
        tensor_value[t, 7] = eps
        lr = hyper[t, 0]
        tensor_value[t, 9] = lr


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
