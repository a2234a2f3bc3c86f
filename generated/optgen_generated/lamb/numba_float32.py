"""Kernels of the rule lamb in float32, generated from lamb.yaml.

spec aaea894c034715dec592897008d055f3a583dba984dde649f9688530ff698502
made by: optgen build lamb --backend numba --set maximize=false
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
    f4_stream,
    f8,
    f8_table,
    i8_stream,
    i8_table,
    load_f4,
    minimum,
    segment,
    stage,
    store_f4,
)

MANIFEST = {'abi': 1,
 'rule': 'lamb',
 'class': 'Lamb',
 'digest': 'aaea894c034715dec592897008d055f3a583dba984dde649f9688530ff698502',
 'backend': 'numba',
 'settled': {'maximize': False},
 'dtype': {'compute': 'float32', 'param': 'float32', 'g': 'float32'},
 'hypers': ['lr', 'beta1', 'beta2', 'eps', 'weight_decay', 'max_norm'],
 'inputs': [],
 'slots': [{'name': 'param', 'extent': 'elem', 'dtype': 'float32', 'role': 'param'},
           {'name': 'g', 'extent': 'elem', 'dtype': 'float32', 'role': 'gradient'},
           {'name': 'm', 'extent': 'elem', 'dtype': 'float32', 'role': 'state'},
           {'name': 'v', 'extent': 'elem', 'dtype': 'float32', 'role': 'state'},
           {'name': 'step', 'extent': 'tensor', 'dtype': 'float32', 'role': 'counter'}],
 'values': {'tensor': ['beta1',
                       'one_minus_beta1',
                       'beta2',
                       'one_minus_beta2',
                       'inverse_one_minus_beta1_to_t',
                       'inverse_one_minus_beta2_to_t',
                       'eps',
                       'weight_decay',
                       'minimum_over_length',
                       'lr'],
            'layer': [],
            'model': [],
            'matrix': [],
            'row': [],
            'col': []},
 'totals': [{'name': 'sum_param_param', 'op': 'sum'}, {'name': 'sum_u_u', 'op': 'sum'}],
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
               'sweeps': [{'function': 'sweep_1',
                           'streams': [['slot', 2, 'rw'], ['slot', 1, 'r'], ['slot', 3, 'rw'], ['slot', 0, 'r']],
                           'totals': [0, 1]},
                          {'function': 'sweep_2',
                           'streams': [['slot', 2, 'r'], ['slot', 3, 'r'], ['slot', 0, 'rw']],
                           'totals': []}],
               'stored': [[], [], ['step']]}]}


@segment
def sweep_1(n, streams, scalars, totals):
    m_at = f4_stream(streams[0], n)
    g_at = f4_stream(streams[1], n)
    v_at = f4_stream(streams[2], n)
    param_at = f4_stream(streams[3], n)
    beta1 = f4(scalars[0])
    one_minus_beta1 = f4(scalars[1])
    beta2 = f4(scalars[2])
    one_minus_beta2 = f4(scalars[3])
    inverse_one_minus_beta1_to_t = f4(scalars[4])
    inverse_one_minus_beta2_to_t = f4(scalars[5])
    eps = f4(scalars[6])
    weight_decay = f4(scalars[7])
    sum_param_param = f4(0)
    sum_u_u = f4(0)
    for i in range(n):
        m = m_at[i]
        g = g_at[i]
        # m = beta1*m + (1 - beta1)*g
        m_new = beta1 * m + one_minus_beta1 * g
        v = v_at[i]
        # v = beta2*v + (1 - beta2)*g**2
        v_new = beta2 * v + one_minus_beta2 * (g * g)
        param = param_at[i]
        # u = (m/(1 - beta1**t)) / (sqrt(v/(1 - beta2**t)) + eps) + weight_decay*param
        u = m_new * inverse_one_minus_beta1_to_t / (np.sqrt(v_new * inverse_one_minus_beta2_to_t) + eps) + weight_decay * param
        # size = norm(param, over="tensor")
        sum_param_param = add_reassoc(sum_param_param, param * param)
        # length = norm(u, over="tensor")
        sum_u_u = add_reassoc(sum_u_u, u * u)
        m_at[i] = m_new
        v_at[i] = v_new
    totals[0] = totals[0] + f8(sum_param_param)
    totals[1] = totals[1] + f8(sum_u_u)


@segment
def sweep_2(n, streams, scalars, totals):
    m_at = f4_stream(streams[0], n)
    v_at = f4_stream(streams[1], n)
    param_at = f4_stream(streams[2], n)
    inverse_one_minus_beta1_to_t = f4(scalars[4])
    inverse_one_minus_beta2_to_t = f4(scalars[5])
    eps = f4(scalars[6])
    weight_decay = f4(scalars[7])
    minimum_over_length = f4(scalars[8])
    lr = f4(scalars[9])
    for i in range(n):
        m = m_at[i]
        v = v_at[i]
        param = param_at[i]
        # u = (m/(1 - beta1**t)) / (sqrt(v/(1 - beta2**t)) + eps) + weight_decay*param
        u = m * inverse_one_minus_beta1_to_t / (np.sqrt(v * inverse_one_minus_beta2_to_t) + eps) + weight_decay * param
        # d = where(size == 0 or length == 0, 1, minimum(size, max_norm)/length)*u
        d = minimum_over_length * u
        # param = param - lr*d
        param_new = param - lr * d
        param_at[i] = param_new


@stage
def stage_0_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    hyper = f8_table(ctx[HYPER], ctx[TENSORS], 6)
    tensor_value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 10)
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
        # u = (m/(1 - beta1**t)) / (sqrt(v/(1 - beta2**t)) + eps) + weight_decay*param
        tensor_value[t, 4] = 1.0 / -np.expm1(updates * np.log(beta1))  # inverse_one_minus_beta1_to_t
        tensor_value[t, 5] = 1.0 / -np.expm1(updates * np.log(beta2))  # inverse_one_minus_beta2_to_t
        tensor_value[t, 0] = beta1
        tensor_value[t, 2] = beta2
        eps = hyper[t, 3]
        tensor_value[t, 6] = eps
        weight_decay = hyper[t, 4]
        tensor_value[t, 7] = weight_decay
        lr = hyper[t, 0]
        tensor_value[t, 9] = lr


@stage
def stage_1_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    tensor_total = f8_table(ctx[TENSOR_TOTAL], ctx[TENSORS], 2)
    hyper = f8_table(ctx[HYPER], ctx[TENSORS], 6)
    tensor_value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 10)
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        # size = norm(param, over="tensor")
        size = np.sqrt(tensor_total[t, 0])
        # length = norm(u, over="tensor")
        length = np.sqrt(tensor_total[t, 1])
        max_norm = hyper[t, 5]
        # d = where(size == 0 or length == 0, 1, minimum(size, max_norm)/length)*u
        tensor_value[t, 8] = (1.0 if (size == 0.0) | (length == 0.0) else minimum(size, max_norm) / length)  # minimum_over_length


@stage
def stage_2_tensor(ctx, begin, end):
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
    "sweep_2": sweep_2,
    "stage_0_tensor": stage_0_tensor,
    "stage_1_tensor": stage_1_tensor,
    "stage_2_tensor": stage_2_tensor,
}
