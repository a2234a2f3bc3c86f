"""Kernels of the rule adan in float64, generated from adan.yaml.

spec 932e977df29a81a22338d07f7a12d221d51c2ae24a5647d7112705ec9aa9bd77
made by: optgen build adan --backend numba --set maximize=false
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
 'rule': 'adan',
 'class': 'Adan',
 'digest': '932e977df29a81a22338d07f7a12d221d51c2ae24a5647d7112705ec9aa9bd77',
 'backend': 'numba',
 'settled': {'maximize': False},
 'dtype': {'compute': 'float64', 'param': 'float64', 'g': 'float64'},
 'hypers': ['lr', 'beta1', 'beta2', 'beta3', 'eps', 'weight_decay', 'no_prox'],
 'inputs': [],
 'slots': [{'name': 'param', 'extent': 'elem', 'dtype': 'float64', 'role': 'param'},
           {'name': 'g', 'extent': 'elem', 'dtype': 'float64', 'role': 'gradient'},
           {'name': 'm', 'extent': 'elem', 'dtype': 'float64', 'role': 'state'},
           {'name': 'u', 'extent': 'elem', 'dtype': 'float64', 'role': 'state'},
           {'name': 'n', 'extent': 'elem', 'dtype': 'float64', 'role': 'state'},
           {'name': 'before', 'extent': 'elem', 'dtype': 'float64', 'role': 'state'},
           {'name': 'step', 'extent': 'tensor', 'dtype': 'float32', 'role': 'counter'}],
 'values': {'tensor': ['eq',
                       'beta1',
                       'one_minus_beta1',
                       'beta2',
                       'one_minus_beta2',
                       'beta3',
                       'one_minus_beta3',
                       'inverse_one_minus_beta1_to_t',
                       'beta2_over_one_minus_beta2_to_t',
                       'inverse_one_minus_beta3_to_t',
                       'eps',
                       'one_minus_lr_times_weight_decay',
                       'lr',
                       'inverse_add'],
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
               'slots': ['m', 'u', 'n', 'before'],
               'sweeps': [{'function': 'sweep_1',
                           'streams': [['slot', 1, 'r'],
                                       ['slot', 5, 'rw'],
                                       ['slot', 2, 'rw'],
                                       ['slot', 3, 'rw'],
                                       ['slot', 4, 'rw'],
                                       ['slot', 0, 'rw']],
                           'totals': []}],
               'stored': [[], ['step']]}]}


@segment
def sweep_1(n, streams, scalars, totals):
    g_at = f8_stream(streams[0], n)
    before_at = f8_stream(streams[1], n)
    m_at = f8_stream(streams[2], n)
    u_at = f8_stream(streams[3], n)
    n_at = f8_stream(streams[4], n)
    param_at = f8_stream(streams[5], n)
    eq = f8(scalars[0])
    beta1 = f8(scalars[1])
    one_minus_beta1 = f8(scalars[2])
    beta2 = f8(scalars[3])
    one_minus_beta2 = f8(scalars[4])
    beta3 = f8(scalars[5])
    one_minus_beta3 = f8(scalars[6])
    inverse_one_minus_beta1_to_t = f8(scalars[7])
    beta2_over_one_minus_beta2_to_t = f8(scalars[8])
    inverse_one_minus_beta3_to_t = f8(scalars[9])
    eps = f8(scalars[10])
    one_minus_lr_times_weight_decay = f8(scalars[11])
    lr = f8(scalars[12])
    inverse_add = f8(scalars[13])
    for i in range(n):
        g = g_at[i]
        before = before_at[i]
        # x = where(t == 1, 0, g - before)
        x = 0.0 if eq != 0.0 else g - before
        m = m_at[i]
        # m = beta1*m + (1 - beta1)*g
        m_new = beta1 * m + one_minus_beta1 * g
        u = u_at[i]
        # u = beta2*u + (1 - beta2)*x
        u_new = beta2 * u + one_minus_beta2 * x
        n_1 = n_at[i]
        # n = beta3*n + (1 - beta3)*(g + beta2*x)**2
        x_1 = g + beta2 * x
        n_new = beta3 * n_1 + one_minus_beta3 * (x_1 * x_1)
        # d = (m/(1 - beta1**t) + beta2/(1 - beta2**t)*u) / (sqrt(n/(1 - beta3**t)) + eps)
        d = (m_new * inverse_one_minus_beta1_to_t + beta2_over_one_minus_beta2_to_t * u_new) / (np.sqrt(n_new * inverse_one_minus_beta3_to_t) + eps)
        param = param_at[i]
        # param = (where(no_prox, 1 - lr*weight_decay, 1)*param - lr*d)/where(no_prox, 1, 1 + lr*weight_decay)
        param_new = (one_minus_lr_times_weight_decay * param - lr * d) * inverse_add
        before_at[i] = g
        m_at[i] = m_new
        n_at[i] = n_new
        param_at[i] = param_new
        u_at[i] = u_new


@stage
def stage_0_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    address = i8_table(ctx[ADDRESS], ctx[TENSORS], ctx[SLOTS])
    tensor_value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 14)
    hyper = f8_table(ctx[HYPER], ctx[TENSORS], 7)
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        updates = f8(load_f4(address[t, 6])) + 1.0
        # x = where(t == 1, 0, g - before)
        tensor_value[t, 0] = (1.0 if updates == 1.0 else 0.0)  # eq
        beta1 = hyper[t, 1]
        # m = beta1*m + (1 - beta1)*g
        tensor_value[t, 2] = 1.0 - beta1  # one_minus_beta1
        beta2 = hyper[t, 2]
        # u = beta2*u + (1 - beta2)*x
        tensor_value[t, 4] = 1.0 - beta2  # one_minus_beta2
        beta3 = hyper[t, 3]
        # n = beta3*n + (1 - beta3)*(g + beta2*x)**2
        tensor_value[t, 6] = 1.0 - beta3  # one_minus_beta3
        # d = (m/(1 - beta1**t) + beta2/(1 - beta2**t)*u) / (sqrt(n/(1 - beta3**t)) + eps)
        tensor_value[t, 7] = 1.0 / -np.expm1(updates * np.log(beta1))  # inverse_one_minus_beta1_to_t
        tensor_value[t, 8] = beta2 / -np.expm1(updates * np.log(beta2))  # beta2_over_one_minus_beta2_to_t
        tensor_value[t, 9] = 1.0 / -np.expm1(updates * np.log(beta3))  # inverse_one_minus_beta3_to_t
        lr = hyper[t, 0]
        weight_decay = hyper[t, 5]
        # param = (where(no_prox, 1 - lr*weight_decay, 1)*param - lr*d)/where(no_prox, 1, 1 + lr*weight_decay)
        x = lr * weight_decay
        no_prox = hyper[t, 6]
        tensor_value[t, 11] = (1.0 - x if no_prox != 0.0 else 1.0)  # one_minus_lr_times_weight_decay
        tensor_value[t, 13] = 1.0 / (1.0 if no_prox != 0.0 else 1.0 + x)  # inverse_add
        tensor_value[t, 1] = beta1
        tensor_value[t, 3] = beta2
        tensor_value[t, 5] = beta3
        eps = hyper[t, 4]
        tensor_value[t, 10] = eps
        tensor_value[t, 12] = lr


@stage
def stage_1_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    address = i8_table(ctx[ADDRESS], ctx[TENSORS], ctx[SLOTS])
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        updates = f8(load_f4(address[t, 6])) + 1.0
        if mode[t] == ACTIVE:
            store_f4(address[t, 6], f4(updates))


FUNCTIONS = {
    "sweep_1": sweep_1,
    "stage_0_tensor": stage_0_tensor,
    "stage_1_tensor": stage_1_tensor,
}
