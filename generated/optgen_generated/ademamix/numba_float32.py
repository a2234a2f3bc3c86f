"""Kernels of the rule ademamix in float32, generated from ademamix.yaml.

spec cdb0d3a330ea4a834f88350c0b0e57e29e1999a6faf68f6fce63ec1322329e74
made by: optgen build ademamix --backend numba --set maximize=false
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
    minimum,
    segment,
    stage,
    store_f4,
)

MANIFEST = {'abi': 1,
 'rule': 'ademamix',
 'class': 'AdEMAMix',
 'digest': 'cdb0d3a330ea4a834f88350c0b0e57e29e1999a6faf68f6fce63ec1322329e74',
 'backend': 'numba',
 'settled': {'maximize': False},
 'dtype': {'compute': 'float32', 'param': 'float32', 'g': 'float32'},
 'hypers': ['lr', 'beta1', 'beta2', 'beta3', 'alpha', 'eps', 'alpha_warmup', 'beta3_warmup', 'weight_decay'],
 'inputs': [],
 'slots': [{'name': 'param', 'extent': 'elem', 'dtype': 'float32', 'role': 'param'},
           {'name': 'g', 'extent': 'elem', 'dtype': 'float32', 'role': 'gradient'},
           {'name': 'fast', 'extent': 'elem', 'dtype': 'float32', 'role': 'state'},
           {'name': 'slow', 'extent': 'elem', 'dtype': 'float32', 'role': 'state'},
           {'name': 'v', 'extent': 'elem', 'dtype': 'float32', 'role': 'state'},
           {'name': 'step', 'extent': 'tensor', 'dtype': 'float32', 'role': 'counter'}],
 'values': {'tensor': ['beta1',
                       'one_minus_beta1',
                       'b',
                       'one_minus_b',
                       'beta2',
                       'one_minus_beta2',
                       'inverse_one_minus_beta1_to_t',
                       'a',
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
               'slots': ['fast', 'slow', 'v'],
               'sweeps': [{'function': 'sweep_1',
                           'streams': [['slot', 2, 'rw'],
                                       ['slot', 1, 'r'],
                                       ['slot', 3, 'rw'],
                                       ['slot', 4, 'rw'],
                                       ['slot', 0, 'rw']],
                           'totals': []}],
               'stored': [[], ['step']]}]}


@segment
def sweep_1(n, streams, scalars, totals):
    fast_at = f4_stream(streams[0], n)
    g_at = f4_stream(streams[1], n)
    slow_at = f4_stream(streams[2], n)
    v_at = f4_stream(streams[3], n)
    param_at = f4_stream(streams[4], n)
    beta1 = f4(scalars[0])
    one_minus_beta1 = f4(scalars[1])
    b = f4(scalars[2])
    one_minus_b = f4(scalars[3])
    beta2 = f4(scalars[4])
    one_minus_beta2 = f4(scalars[5])
    inverse_one_minus_beta1_to_t = f4(scalars[6])
    a = f4(scalars[7])
    inverse_one_minus_beta2_to_t = f4(scalars[8])
    eps = f4(scalars[9])
    weight_decay = f4(scalars[10])
    lr = f4(scalars[11])
    for i in range(n):
        fast = fast_at[i]
        g = g_at[i]
        # fast = beta1*fast + (1 - beta1)*g
        fast_new = beta1 * fast + one_minus_beta1 * g
        slow = slow_at[i]
        # slow = b*slow + (1 - b)*g
        slow_new = b * slow + one_minus_b * g
        v = v_at[i]
        # v = beta2*v + (1 - beta2)*g**2
        v_new = beta2 * v + one_minus_beta2 * (g * g)
        # d = (fast/(1 - beta1**t) + a*slow) / (sqrt(v/(1 - beta2**t)) + eps)
        d = (fast_new * inverse_one_minus_beta1_to_t + a * slow_new) / (np.sqrt(v_new * inverse_one_minus_beta2_to_t) + eps)
        param = param_at[i]
        # param = param - lr*(d + weight_decay*param)
        param_new = param - lr * (d + weight_decay * param)
        fast_at[i] = fast_new
        param_at[i] = param_new
        slow_at[i] = slow_new
        v_at[i] = v_new


@stage
def stage_0_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    hyper = f8_table(ctx[HYPER], ctx[TENSORS], 9)
    address = i8_table(ctx[ADDRESS], ctx[TENSORS], ctx[SLOTS])
    tensor_value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 12)
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        alpha_warmup = hyper[t, 6]
        updates = f8(load_f4(address[t, 5])) + 1.0
        alpha = hyper[t, 4]
        # a = alpha*minimum(t/alpha_warmup, 1)
        a = alpha * minimum(updates / alpha_warmup, 1.0)
        # if alpha_warmup > 0:
        a_1 = a if alpha_warmup > 0.0 else alpha
        tensor_value[t, 7] = a_1  # a
        beta3_warmup = hyper[t, 7]
        beta1 = hyper[t, 1]
        # first = log(0.5)/log(beta1 + 1e-8) - 1
        x = np.log(0.5)
        first = x / np.log(beta1 + 1e-08) - 1.0
        beta3 = hyper[t, 3]
        # last = log(0.5)/log(beta3 + 1e-8) - 1
        last = x / np.log(beta3 + 1e-08) - 1.0
        # x = t/beta3_warmup
        x_1 = updates / beta3_warmup
        # b = where(x < 1, 0.5**(1/((1 - x)*first + x*last + 1)), beta3)
        b = 0.5 ** (1.0 / ((1.0 - x_1) * first + x_1 * last + 1.0)) if x_1 < 1.0 else beta3
        # if beta3_warmup > 0:
        b_1 = b if beta3_warmup > 0.0 else beta3
        tensor_value[t, 2] = b_1  # b
        # fast = beta1*fast + (1 - beta1)*g
        tensor_value[t, 1] = 1.0 - beta1  # one_minus_beta1
        # slow = b*slow + (1 - b)*g
        tensor_value[t, 3] = 1.0 - b_1  # one_minus_b
        beta2 = hyper[t, 2]
        # v = beta2*v + (1 - beta2)*g**2
        tensor_value[t, 5] = 1.0 - beta2  # one_minus_beta2
        # d = (fast/(1 - beta1**t) + a*slow) / (sqrt(v/(1 - beta2**t)) + eps)
        tensor_value[t, 6] = 1.0 / -np.expm1(updates * np.log(beta1))  # inverse_one_minus_beta1_to_t
        tensor_value[t, 8] = 1.0 / -np.expm1(updates * np.log(beta2))  # inverse_one_minus_beta2_to_t
        tensor_value[t, 0] = beta1
        tensor_value[t, 4] = beta2
        eps = hyper[t, 5]
        tensor_value[t, 9] = eps
        weight_decay = hyper[t, 8]
        tensor_value[t, 10] = weight_decay
        lr = hyper[t, 0]
        tensor_value[t, 11] = lr


@stage
def stage_1_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    address = i8_table(ctx[ADDRESS], ctx[TENSORS], ctx[SLOTS])
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        updates = f8(load_f4(address[t, 5])) + 1.0
        if mode[t] == ACTIVE:
            store_f4(address[t, 5], f4(updates))


FUNCTIONS = {
    "sweep_1": sweep_1,
    "stage_0_tensor": stage_0_tensor,
    "stage_1_tensor": stage_1_tensor,
}
