"""Kernels of the rule adopt in float32, generated from adopt.yaml.

spec 38a4d3d78f79c2cdba7b0c86006596e61d7598ac7efd866489cabb5b75afb511
made by: optgen build adopt --backend numba --set maximize=false
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
    VARIANT,
    f4,
    f4_stream,
    f8,
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
 'rule': 'adopt',
 'class': 'ADOPT',
 'digest': '38a4d3d78f79c2cdba7b0c86006596e61d7598ac7efd866489cabb5b75afb511',
 'backend': 'numba',
 'settled': {'maximize': False},
 'dtype': {'compute': 'float32', 'param': 'float32', 'g': 'float32'},
 'hypers': ['lr', 'beta1', 'beta2', 'eps', 'weight_decay'],
 'inputs': [],
 'slots': [{'name': 'param', 'extent': 'elem', 'dtype': 'float32', 'role': 'param'},
           {'name': 'g', 'extent': 'elem', 'dtype': 'float32', 'role': 'gradient'},
           {'name': 'm', 'extent': 'elem', 'dtype': 'float32', 'role': 'state'},
           {'name': 'v', 'extent': 'elem', 'dtype': 'float32', 'role': 'state'},
           {'name': 'step', 'extent': 'tensor', 'dtype': 'float32', 'role': 'counter'}],
 'values': {'tensor': ['beta1',
                       'eps',
                       'bound',
                       'bound_2',
                       'one_minus_beta1',
                       'beta2',
                       'one_minus_beta2',
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
 'select': 'select_variant',
 'inexact': [],
 'stages': [[['stage_0_tensor', 'tensor']], [['stage_1_tensor', 'tensor']]],
 'variants': [{'name': 't_is_1',
               'when': 't == 1',
               'slots': ['v'],
               'sweeps': [{'function': 't_is_1_sweep_1',
                           'streams': [['slot', 1, 'r'], ['slot', 3, 'w']],
                           'totals': []}],
               'stored': [[], ['step']]},
              {'name': 'not_t_is_1',
               'when': 'not (t == 1)',
               'slots': ['m', 'v'],
               'sweeps': [{'function': 'not_t_is_1_sweep_1',
                           'streams': [['slot', 2, 'rw'], ['slot', 3, 'rw'], ['slot', 1, 'r'], ['slot', 0, 'rw']],
                           'totals': []}],
               'stored': [[], ['step']]}]}


@segment
def t_is_1_sweep_1(n, streams, scalars, totals):
    g_at = f4_stream(streams[0], n)
    v_at = f4_stream(streams[1], n)
    for i in range(n):
        g = g_at[i]
        # v = g**2
        v_new = g * g
        v_at[i] = v_new


@segment
def not_t_is_1_sweep_1(n, streams, scalars, totals):
    m_at = f4_stream(streams[0], n)
    v_at = f4_stream(streams[1], n)
    g_at = f4_stream(streams[2], n)
    param_at = f4_stream(streams[3], n)
    beta1 = f4(scalars[0])
    eps = f4(scalars[1])
    bound = f4(scalars[2])
    bound_2 = f4(scalars[3])
    one_minus_beta1 = f4(scalars[4])
    beta2 = f4(scalars[5])
    one_minus_beta2 = f4(scalars[6])
    weight_decay = f4(scalars[7])
    lr = f4(scalars[8])
    for i in range(n):
        m = m_at[i]
        v = v_at[i]
        g = g_at[i]
        # m = beta1*m + (1 - beta1)*clip(g/maximum(sqrt(v), eps), -bound, bound)
        m_new = beta1 * m + one_minus_beta1 * minimum(maximum(g / maximum(np.sqrt(v), eps), bound), bound_2)
        # v = beta2*v + (1 - beta2)*g**2
        v_new = beta2 * v + one_minus_beta2 * (g * g)
        param = param_at[i]
        # param = param - lr*(d + weight_decay*param)
        param_new = param - lr * (m_new + weight_decay * param)
        m_at[i] = m_new
        param_at[i] = param_new
        v_at[i] = v_new


@stage
def stage_0_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    address = i8_table(ctx[ADDRESS], ctx[TENSORS], ctx[SLOTS])
    tensor_value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 9)
    hyper = f8_table(ctx[HYPER], ctx[TENSORS], 5)
    variant = i8_stream(ctx[VARIANT], ctx[TENSORS])
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        if variant[t] == 1:
            updates = f8(load_f4(address[t, 4])) + 1.0
            # bound = (t - 1)**0.25
            bound = (updates - 1.0) ** 0.25
            tensor_value[t, 3] = bound  # bound_2
            beta1 = hyper[t, 1]
            # m = beta1*m + (1 - beta1)*clip(g/maximum(sqrt(v), eps), -bound, bound)
            tensor_value[t, 4] = 1.0 - beta1  # one_minus_beta1
            tensor_value[t, 2] = -bound  # bound
            beta2 = hyper[t, 2]
            # v = beta2*v + (1 - beta2)*g**2
            tensor_value[t, 6] = 1.0 - beta2  # one_minus_beta2
            tensor_value[t, 0] = beta1
            eps = hyper[t, 3]
            tensor_value[t, 1] = eps
            tensor_value[t, 5] = beta2
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


@select
def select_variant(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    address = i8_table(ctx[ADDRESS], ctx[TENSORS], ctx[SLOTS])
    variant = i8_stream(ctx[VARIANT], ctx[TENSORS])
    for k in range(begin, end):
        t = members[k]
        updates = f8(load_f4(address[t, 4])) + 1.0
        variant[t] = i8((0.0 if updates == 1.0 else 1.0))


FUNCTIONS = {
    "t_is_1_sweep_1": t_is_1_sweep_1,
    "not_t_is_1_sweep_1": not_t_is_1_sweep_1,
    "stage_0_tensor": stage_0_tensor,
    "stage_1_tensor": stage_1_tensor,
    "select_variant": select_variant,
}
