"""Kernels of the rule nadam in float64, generated from nadam.yaml.

spec 4df3d6dcc71e962d57d3ae4ae3dbb35876d7665f12fc08ee54fdaa9f22b02f94
made by: optgen build nadam --backend numba --set maximize=false
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
    load_f8,
    segment,
    stage,
    store_f4,
    store_f8,
)

MANIFEST = {'abi': 1,
 'rule': 'nadam',
 'class': 'NAdam',
 'digest': '4df3d6dcc71e962d57d3ae4ae3dbb35876d7665f12fc08ee54fdaa9f22b02f94',
 'backend': 'numba',
 'settled': {'maximize': False},
 'dtype': {'compute': 'float64', 'param': 'float64', 'g': 'float64'},
 'hypers': ['lr', 'beta1', 'beta2', 'eps', 'weight_decay', 'momentum_decay', 'decoupled_weight_decay'],
 'inputs': [],
 'slots': [{'name': 'param', 'extent': 'elem', 'dtype': 'float64', 'role': 'param'},
           {'name': 'g', 'extent': 'elem', 'dtype': 'float64', 'role': 'gradient'},
           {'name': 'm', 'extent': 'elem', 'dtype': 'float64', 'role': 'state'},
           {'name': 'v', 'extent': 'elem', 'dtype': 'float64', 'role': 'state'},
           {'name': 'product', 'extent': 'tensor', 'dtype': 'float64', 'role': 'state'},
           {'name': 'step', 'extent': 'tensor', 'dtype': 'float32', 'role': 'counter'}],
 'values': {'tensor': ['weight_decay',
                       'beta1',
                       'one_minus_beta1',
                       'beta2',
                       'one_minus_beta2',
                       'div',
                       'div_2',
                       'inverse_one_minus_beta2_to_t',
                       'eps',
                       'weight_decay_2',
                       'lr',
                       'product'],
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
               'slots': ['m', 'v', 'product'],
               'sweeps': [{'function': 'sweep_1',
                           'streams': [['slot', 0, 'rw'], ['slot', 1, 'r'], ['slot', 2, 'rw'], ['slot', 3, 'rw']],
                           'totals': []}],
               'stored': [[], ['product', 'step']]}]}


@segment
def sweep_1(n, streams, scalars, totals):
    param_at = f8_stream(streams[0], n)
    g_at = f8_stream(streams[1], n)
    m_at = f8_stream(streams[2], n)
    v_at = f8_stream(streams[3], n)
    weight_decay = f8(scalars[0])
    beta1 = f8(scalars[1])
    one_minus_beta1 = f8(scalars[2])
    beta2 = f8(scalars[3])
    one_minus_beta2 = f8(scalars[4])
    div = f8(scalars[5])
    div_2 = f8(scalars[6])
    inverse_one_minus_beta2_to_t = f8(scalars[7])
    eps = f8(scalars[8])
    weight_decay_2 = f8(scalars[9])
    lr = f8(scalars[10])
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
        # d = (mu_next/(1 - product*mu_next)*m + (1 - mu)/(1 - product)*g) / (sqrt(v/(1 - beta2**t)) + eps)
        d = (div * m_new + div_2 * g_new) / (np.sqrt(v_new * inverse_one_minus_beta2_to_t) + eps)
        # param = param - lr*(d + where(decoupled_weight_decay, weight_decay, 0)*param)
        param_new = param - lr * (d + weight_decay_2 * param)
        m_at[i] = m_new
        param_at[i] = param_new
        v_at[i] = v_new


@stage
def stage_0_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    address = i8_table(ctx[ADDRESS], ctx[TENSORS], ctx[SLOTS])
    hyper = f8_table(ctx[HYPER], ctx[TENSORS], 7)
    tensor_value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 12)
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        product = f8(load_f8(address[t, 4]))
        decoupled_weight_decay = hyper[t, 6]
        weight_decay = hyper[t, 4]
        # g = g + where(decoupled_weight_decay, 0, weight_decay)*param
        tensor_value[t, 0] = (0.0 if decoupled_weight_decay != 0.0 else weight_decay)  # weight_decay
        updates = f8(load_f4(address[t, 5])) + 1.0
        momentum_decay = hyper[t, 5]
        beta1 = hyper[t, 1]
        # mu = beta1*(1 - 0.5*0.96**(t*momentum_decay))
        mu = beta1 * (1.0 - 0.5 * 0.96 ** (updates * momentum_decay))
        # mu_next = beta1*(1 - 0.5*0.96**((t + 1)*momentum_decay))
        mu_next = beta1 * (1.0 - 0.5 * 0.96 ** ((updates + 1.0) * momentum_decay))
        # product = product*mu
        product_1 = product * mu
        tensor_value[t, 11] = product_1  # product
        # m = beta1*m + (1 - beta1)*g
        tensor_value[t, 2] = 1.0 - beta1  # one_minus_beta1
        beta2 = hyper[t, 2]
        # v = beta2*v + (1 - beta2)*g**2
        tensor_value[t, 4] = 1.0 - beta2  # one_minus_beta2
        # d = (mu_next/(1 - product*mu_next)*m + (1 - mu)/(1 - product)*g) / (sqrt(v/(1 - beta2**t)) + eps)
        tensor_value[t, 5] = mu_next / (1.0 - product_1 * mu_next)  # div
        tensor_value[t, 6] = (1.0 - mu) / (1.0 - product_1)  # div_2
        tensor_value[t, 7] = 1.0 / -np.expm1(updates * np.log(beta2))  # inverse_one_minus_beta2_to_t
        # param = param - lr*(d + where(decoupled_weight_decay, weight_decay, 0)*param)
        tensor_value[t, 9] = (weight_decay if decoupled_weight_decay != 0.0 else 0.0)  # weight_decay_2
        tensor_value[t, 1] = beta1
        tensor_value[t, 3] = beta2
        eps = hyper[t, 3]
        tensor_value[t, 8] = eps
        lr = hyper[t, 0]
        tensor_value[t, 10] = lr


@stage
def stage_1_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    tensor_value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 12)
    address = i8_table(ctx[ADDRESS], ctx[TENSORS], ctx[SLOTS])
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        if mode[t] == ACTIVE:
            store_f8(address[t, 4], f8(tensor_value[t, 11]))
        updates = f8(load_f4(address[t, 5])) + 1.0
        if mode[t] == ACTIVE:
            store_f4(address[t, 5], f4(updates))


FUNCTIONS = {
    "sweep_1": sweep_1,
    "stage_0_tensor": stage_0_tensor,
    "stage_1_tensor": stage_1_tensor,
}
