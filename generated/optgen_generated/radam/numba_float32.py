"""Kernels of the rule radam in float32, generated from radam.yaml.

spec 1d81291b6a8a95a65d65f3bd5c9134ba4fe9c91a135dddbab8ec2f81f6443408
made by: optgen build radam --backend numba --set maximize=false
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
    segment,
    select,
    stage,
    store_f4,
)

MANIFEST = {'abi': 1,
 'rule': 'radam',
 'class': 'RAdam',
 'digest': '1d81291b6a8a95a65d65f3bd5c9134ba4fe9c91a135dddbab8ec2f81f6443408',
 'backend': 'numba',
 'settled': {'maximize': False},
 'dtype': {'compute': 'float32', 'param': 'float32', 'g': 'float32'},
 'hypers': ['lr', 'beta1', 'beta2', 'eps', 'weight_decay', 'decoupled_weight_decay'],
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
                       'mul',
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
 'select': 'select_variant',
 'inexact': [],
 'stages': [[['stage_0_tensor', 'tensor']], [['stage_1_tensor', 'tensor']]],
 'variants': [{'name': 'rho_gt_5',
               'when': 'rho > 5',
               'slots': ['m', 'v'],
               'sweeps': [{'function': 'rho_gt_5_sweep_1',
                           'streams': [['slot', 0, 'rw'], ['slot', 1, 'r'], ['slot', 2, 'rw'], ['slot', 3, 'rw']],
                           'totals': []}],
               'stored': [[], ['step']]},
              {'name': 'not_rho_gt_5',
               'when': 'not (rho > 5)',
               'slots': ['m', 'v'],
               'sweeps': [{'function': 'not_rho_gt_5_sweep_1',
                           'streams': [['slot', 0, 'rw'], ['slot', 1, 'r'], ['slot', 2, 'rw'], ['slot', 3, 'rw']],
                           'totals': []}],
               'stored': [[], ['step']]}]}


@segment
def rho_gt_5_sweep_1(n, streams, scalars, totals):
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
    mul = f4(scalars[6])
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
        # d = m/(1 - beta1**t)
        d = m_new * inverse_one_minus_beta1_to_t
        # d = d*(r*sqrt(1 - beta2**t))/(sqrt(v) + eps)
        d_1 = d * mul / (np.sqrt(v_new) + eps)
        # param = param - lr*(d + where(decoupled_weight_decay, weight_decay, 0)*param)
        param_new = param - lr * (d_1 + weight_decay_2 * param)
        m_at[i] = m_new
        param_at[i] = param_new
        v_at[i] = v_new


@segment
def not_rho_gt_5_sweep_1(n, streams, scalars, totals):
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
        # d = m/(1 - beta1**t)
        d = m_new * inverse_one_minus_beta1_to_t
        # param = param - lr*(d + where(decoupled_weight_decay, weight_decay, 0)*param)
        param_new = param - lr * (d + weight_decay_2 * param)
        m_at[i] = m_new
        param_at[i] = param_new
        v_at[i] = v_new


@stage
def stage_0_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    hyper = f8_table(ctx[HYPER], ctx[TENSORS], 6)
    tensor_value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 10)
    address = i8_table(ctx[ADDRESS], ctx[TENSORS], ctx[SLOTS])
    variant = i8_stream(ctx[VARIANT], ctx[TENSORS])
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        if variant[t] == 0:
            decoupled_weight_decay = hyper[t, 5]
            weight_decay = hyper[t, 4]
            # g = g + where(decoupled_weight_decay, 0, weight_decay)*param
            tensor_value[t, 0] = (0.0 if decoupled_weight_decay != 0.0 else weight_decay)  # weight_decay
            beta1 = hyper[t, 1]
            # m = beta1*m + (1 - beta1)*g
            tensor_value[t, 2] = 1.0 - beta1  # one_minus_beta1
            beta2 = hyper[t, 2]
            # v = beta2*v + (1 - beta2)*g**2
            x = 1.0 - beta2
            tensor_value[t, 4] = x  # one_minus_beta2
            updates = f8(load_f4(address[t, 4])) + 1.0
            # d = m/(1 - beta1**t)
            tensor_value[t, 5] = 1.0 / -np.expm1(updates * np.log(beta1))  # inverse_one_minus_beta1_to_t
            # longest = 2/(1 - beta2) - 1
            longest = 2.0 / x - 1.0
            # rho = longest - 2*t*beta2**t/(1 - beta2**t)
            x_1 = -np.expm1(updates * np.log(beta2))
            rho = longest - 2.0 * updates * beta2 ** updates / x_1
            # r = sqrt((rho - 4)*(rho - 2)*longest/((longest - 4)*(longest - 2)*rho))
            r = np.sqrt((rho - 4.0) * (rho - 2.0) * longest / ((longest - 4.0) * (longest - 2.0) * rho))
            # d = d*(r*sqrt(1 - beta2**t))/(sqrt(v) + eps)
            tensor_value[t, 6] = r * np.sqrt(x_1)  # mul
            # param = param - lr*(d + where(decoupled_weight_decay, weight_decay, 0)*param)
            tensor_value[t, 8] = (weight_decay if decoupled_weight_decay != 0.0 else 0.0)  # weight_decay_2
            tensor_value[t, 1] = beta1
            tensor_value[t, 3] = beta2
            eps = hyper[t, 3]
            tensor_value[t, 7] = eps
            lr = hyper[t, 0]
            tensor_value[t, 9] = lr
        elif variant[t] == 1:
            decoupled_weight_decay_1 = hyper[t, 5]
            weight_decay_1 = hyper[t, 4]
            # g = g + where(decoupled_weight_decay, 0, weight_decay)*param
            tensor_value[t, 0] = (0.0 if decoupled_weight_decay_1 != 0.0 else weight_decay_1)  # weight_decay
            beta1_1 = hyper[t, 1]
            # m = beta1*m + (1 - beta1)*g
            tensor_value[t, 2] = 1.0 - beta1_1  # one_minus_beta1
            beta2_1 = hyper[t, 2]
            # v = beta2*v + (1 - beta2)*g**2
            tensor_value[t, 4] = 1.0 - beta2_1  # one_minus_beta2
            updates_1 = f8(load_f4(address[t, 4])) + 1.0
            # d = m/(1 - beta1**t)
            tensor_value[t, 5] = 1.0 / -np.expm1(updates_1 * np.log(beta1_1))  # inverse_one_minus_beta1_to_t
            # param = param - lr*(d + where(decoupled_weight_decay, weight_decay, 0)*param)
            tensor_value[t, 8] = (weight_decay_1 if decoupled_weight_decay_1 != 0.0 else 0.0)  # weight_decay_2
            tensor_value[t, 1] = beta1_1  # beta1
            tensor_value[t, 3] = beta2_1  # beta2
            lr_1 = hyper[t, 0]
            tensor_value[t, 9] = lr_1  # lr


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
    hyper = f8_table(ctx[HYPER], ctx[TENSORS], 6)
    address = i8_table(ctx[ADDRESS], ctx[TENSORS], ctx[SLOTS])
    variant = i8_stream(ctx[VARIANT], ctx[TENSORS])
    for k in range(begin, end):
        t = members[k]
        beta2 = hyper[t, 2]
        updates = f8(load_f4(address[t, 4])) + 1.0
        variant[t] = i8((0.0 if 2.0 / (1.0 - beta2) - 1.0 - 2.0 * updates * beta2 ** updates / -np.expm1(updates * np.log(beta2)) > 5.0 else 1.0))


FUNCTIONS = {
    "rho_gt_5_sweep_1": rho_gt_5_sweep_1,
    "not_rho_gt_5_sweep_1": not_rho_gt_5_sweep_1,
    "stage_0_tensor": stage_0_tensor,
    "stage_1_tensor": stage_1_tensor,
    "select_variant": select_variant,
}
