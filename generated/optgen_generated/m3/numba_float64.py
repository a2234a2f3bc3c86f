"""Kernels of the rule m3 in float64, generated from m3.yaml.

spec cae22ee4f9ca3fa0c9acd0f0222118f3d3394292609588902116c85a3f42af9d
made by: optgen build m3 --backend numba --set maximize=false --set moments=sum
"""

import numpy as np

from optgen.runtime.cpu import (
    ABSENT,
    ACTIVE,
    ADDRESS,
    HYPER,
    MEMBERS,
    MEMBER_COUNT,
    META,
    MODE,
    SLOTS,
    TENSORS,
    TENSOR_VALUE,
    VARIANT,
    f4,
    f8,
    f8_stream,
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
 'rule': 'm3',
 'class': 'M3',
 'digest': 'cae22ee4f9ca3fa0c9acd0f0222118f3d3394292609588902116c85a3f42af9d',
 'backend': 'numba',
 'settled': {'maximize': False, 'moments': 'sum'},
 'dtype': {'compute': 'float64', 'param': 'float64', 'g': 'float64'},
 'hypers': ['lr',
            'beta1',
            'beta2',
            'beta3',
            'alpha',
            'eps',
            'ns_steps',
            'ns_a',
            'ns_b',
            'ns_c',
            'ns_eps',
            'frequency',
            'weight_decay'],
 'inputs': [],
 'slots': [{'name': 'param', 'extent': 'elem', 'dtype': 'float64', 'role': 'param'},
           {'name': 'g', 'extent': 'elem', 'dtype': 'float64', 'role': 'gradient'},
           {'name': 'm1', 'extent': 'elem', 'dtype': 'float64', 'role': 'state'},
           {'name': 'm2', 'extent': 'elem', 'dtype': 'float64', 'role': 'state'},
           {'name': 'v', 'extent': 'elem', 'dtype': 'float64', 'role': 'state'},
           {'name': 'chunk', 'extent': 'elem', 'dtype': 'float64', 'role': 'state'},
           {'name': 'o2', 'extent': 'elem', 'dtype': 'float64', 'role': 'state'},
           {'name': 'step', 'extent': 'tensor', 'dtype': 'float32', 'role': 'counter'},
           {'name': 'scratch0', 'extent': 'elem', 'dtype': 'float64', 'role': 'scratch'},
           {'name': 'scratch1', 'extent': 'elem', 'dtype': 'float64', 'role': 'scratch'}],
 'values': {'tensor': ['beta3',
                       'beta1',
                       'beta2',
                       'alpha',
                       'eps',
                       'weight_decay',
                       'lr',
                       'ns_steps',
                       'ns_a',
                       'ns_b',
                       'ns_c',
                       'ns_eps'],
            'layer': [],
            'model': [],
            'matrix': [],
            'row': [],
            'col': []},
 'totals': [],
 'matrix': 'units',
 'tiled': False,
 'graph': False,
 'stencil': False,
 'sweeps': 2,
 'barriers': ['tensor', 'none'],
 'select': 'select_variant',
 'inexact': ['newton_schulz'],
 'stages': [[['stage_0_tensor', 'tensor']], [['stage_1_tensor', 'tensor']], [['stage_2_tensor', 'tensor']]],
 'variants': [{'name': 'ends_ndim_param_ge_2',
               'when': 'ends and ndim(param) >= 2',
               'slots': ['m1', 'm2', 'v', 'chunk', 'o2'],
               'sweeps': [{'function': 'ends_ndim_param_ge_2_sweep_1',
                           'streams': [['slot', 3, 'rw'], ['slot', 5, 'r'], ['slot', 2, 'rw'], ['slot', 1, 'r']],
                           'totals': []},
                          {'function': 'ends_ndim_param_ge_2_sweep_2',
                           'streams': [['slot', 4, 'rw'],
                                       ['slot', 1, 'r'],
                                       ['slot', 8, 'r'],
                                       ['slot', 9, 'r'],
                                       ['slot', 0, 'rw'],
                                       ['slot', 5, 'w'],
                                       ['slot', 6, 'w']],
                           'totals': []}],
               'stored': [[], [], ['step']],
               'calls': [[],
                         [{'function': 'newton_schulz', 'operand': 3, 'target': 8, 'numbers': [7, 8, 9, 10, 11]},
                          {'function': 'newton_schulz', 'operand': 2, 'target': 9, 'numbers': [7, 8, 9, 10, 11]}],
                         []]},
              {'name': 'not_ends_ndim_param_ge_2',
               'when': 'not (ends) and ndim(param) >= 2',
               'slots': ['m1', 'v', 'chunk', 'o2'],
               'sweeps': [{'function': 'not_ends_ndim_param_ge_2_sweep_1',
                           'streams': [['slot', 2, 'rw'], ['slot', 1, 'r']],
                           'totals': []},
                          {'function': 'not_ends_ndim_param_ge_2_sweep_2',
                           'streams': [['slot', 4, 'rw'],
                                       ['slot', 1, 'r'],
                                       ['slot', 5, 'rw'],
                                       ['slot', 6, 'r'],
                                       ['slot', 8, 'r'],
                                       ['slot', 0, 'rw']],
                           'totals': []}],
               'stored': [[], [], ['step']],
               'calls': [[],
                         [{'function': 'newton_schulz', 'operand': 2, 'target': 8, 'numbers': [7, 8, 9, 10, 11]}],
                         []]},
              {'name': 'not_ends_not_ndim_param_ge_2',
               'when': 'not (ends) and not (ndim(param) >= 2)',
               'slots': ['m1', 'v', 'chunk', 'o2'],
               'sweeps': [{'function': 'not_ends_not_ndim_param_ge_2_sweep_1',
                           'streams': [['slot', 2, 'rw'],
                                       ['slot', 1, 'r'],
                                       ['slot', 4, 'rw'],
                                       ['slot', 5, 'rw'],
                                       ['slot', 6, 'r'],
                                       ['slot', 0, 'rw']],
                           'totals': []},
                          None],
               'stored': [[], ['step'], []]},
              {'name': 'ends_not_ndim_param_ge_2',
               'when': 'ends and not (ndim(param) >= 2)',
               'slots': ['m1', 'm2', 'v', 'chunk', 'o2'],
               'sweeps': [{'function': 'ends_not_ndim_param_ge_2_sweep_1',
                           'streams': [['slot', 3, 'rw'],
                                       ['slot', 5, 'rw'],
                                       ['slot', 2, 'rw'],
                                       ['slot', 1, 'r'],
                                       ['slot', 4, 'rw'],
                                       ['slot', 0, 'rw'],
                                       ['slot', 6, 'w']],
                           'totals': []},
                          None],
               'stored': [[], ['step'], []]}]}


@segment
def ends_ndim_param_ge_2_sweep_1(n, streams, scalars, totals):
    m2_at = f8_stream(streams[0], n)
    chunk_at = f8_stream(streams[1], n)
    m1_at = f8_stream(streams[2], n)
    g_at = f8_stream(streams[3], n)
    beta3 = f8(scalars[0])
    beta1 = f8(scalars[1])
    for i in range(n):
        m2 = m2_at[i]
        chunk = chunk_at[i]
        # m2 = keep[2]*m2 + take[2]*chunk
        m2_new = 1.0 * m2 + beta3 * chunk
        m1 = m1_at[i]
        g = g_at[i]
        # m1 = keep[0]*m1 + take[0]*g
        m1_new = 1.0 * m1 + beta1 * g
        m1_at[i] = m1_new
        m2_at[i] = m2_new


@segment
def ends_ndim_param_ge_2_sweep_2(n, streams, scalars, totals):
    v_at = f8_stream(streams[0], n)
    g_at = f8_stream(streams[1], n)
    scratch0_at = f8_stream(streams[2], n)
    scratch1_at = f8_stream(streams[3], n)
    param_at = f8_stream(streams[4], n)
    chunk_at = f8_stream(streams[5], n)
    o2_at = f8_stream(streams[6], n)
    beta2 = f8(scalars[2])
    alpha = f8(scalars[3])
    eps = f8(scalars[4])
    weight_decay = f8(scalars[5])
    lr = f8(scalars[6])
    for i in range(n):
        v = v_at[i]
        g = g_at[i]
        # v = keep[1]*v + take[1]*g**2
        v_new = 1.0 * v + beta2 * (g * g)
        # chunk = chunk + g
        chunk_new = 0.0 + g
        scratch0 = scratch0_at[i]
        scratch1 = scratch1_at[i]
        # d = (o1 + alpha*o2)/(sqrt(v) + eps)
        d = (scratch1 + alpha * scratch0) / (np.sqrt(v_new) + eps)
        param = param_at[i]
        # param = param - lr*(d + weight_decay*param)
        param_new = param - lr * (d + weight_decay * param)
        chunk_at[i] = chunk_new
        o2_at[i] = scratch0
        param_at[i] = param_new
        v_at[i] = v_new


@segment
def not_ends_ndim_param_ge_2_sweep_1(n, streams, scalars, totals):
    m1_at = f8_stream(streams[0], n)
    g_at = f8_stream(streams[1], n)
    beta1 = f8(scalars[1])
    for i in range(n):
        m1 = m1_at[i]
        g = g_at[i]
        # m1 = keep[0]*m1 + take[0]*g
        m1_new = 1.0 * m1 + beta1 * g
        m1_at[i] = m1_new


@segment
def not_ends_ndim_param_ge_2_sweep_2(n, streams, scalars, totals):
    v_at = f8_stream(streams[0], n)
    g_at = f8_stream(streams[1], n)
    chunk_at = f8_stream(streams[2], n)
    o2_at = f8_stream(streams[3], n)
    scratch0_at = f8_stream(streams[4], n)
    param_at = f8_stream(streams[5], n)
    beta2 = f8(scalars[2])
    alpha = f8(scalars[3])
    eps = f8(scalars[4])
    weight_decay = f8(scalars[5])
    lr = f8(scalars[6])
    for i in range(n):
        v = v_at[i]
        g = g_at[i]
        # v = keep[1]*v + take[1]*g**2
        v_new = 1.0 * v + beta2 * (g * g)
        chunk = chunk_at[i]
        # chunk = chunk + g
        chunk_new = chunk + g
        o2 = o2_at[i]
        scratch0 = scratch0_at[i]
        # d = (o1 + alpha*o2)/(sqrt(v) + eps)
        d = (scratch0 + alpha * o2) / (np.sqrt(v_new) + eps)
        param = param_at[i]
        # param = param - lr*(d + weight_decay*param)
        param_new = param - lr * (d + weight_decay * param)
        chunk_at[i] = chunk_new
        param_at[i] = param_new
        v_at[i] = v_new


@segment
def not_ends_not_ndim_param_ge_2_sweep_1(n, streams, scalars, totals):
    m1_at = f8_stream(streams[0], n)
    g_at = f8_stream(streams[1], n)
    v_at = f8_stream(streams[2], n)
    chunk_at = f8_stream(streams[3], n)
    o2_at = f8_stream(streams[4], n)
    param_at = f8_stream(streams[5], n)
    beta1 = f8(scalars[1])
    beta2 = f8(scalars[2])
    alpha = f8(scalars[3])
    eps = f8(scalars[4])
    weight_decay = f8(scalars[5])
    lr = f8(scalars[6])
    for i in range(n):
        m1 = m1_at[i]
        g = g_at[i]
        # m1 = keep[0]*m1 + take[0]*g
        m1_new = 1.0 * m1 + beta1 * g
        v = v_at[i]
        # v = keep[1]*v + take[1]*g**2
        v_new = 1.0 * v + beta2 * (g * g)
        chunk = chunk_at[i]
        # chunk = chunk + g
        chunk_new = chunk + g
        o2 = o2_at[i]
        # d = (o1 + alpha*o2)/(sqrt(v) + eps)
        d = (m1_new + alpha * o2) / (np.sqrt(v_new) + eps)
        param = param_at[i]
        # param = param - lr*(d + weight_decay*param)
        param_new = param - lr * (d + weight_decay * param)
        chunk_at[i] = chunk_new
        m1_at[i] = m1_new
        param_at[i] = param_new
        v_at[i] = v_new


@segment
def ends_not_ndim_param_ge_2_sweep_1(n, streams, scalars, totals):
    m2_at = f8_stream(streams[0], n)
    chunk_at = f8_stream(streams[1], n)
    m1_at = f8_stream(streams[2], n)
    g_at = f8_stream(streams[3], n)
    v_at = f8_stream(streams[4], n)
    param_at = f8_stream(streams[5], n)
    o2_at = f8_stream(streams[6], n)
    beta3 = f8(scalars[0])
    beta1 = f8(scalars[1])
    beta2 = f8(scalars[2])
    alpha = f8(scalars[3])
    eps = f8(scalars[4])
    weight_decay = f8(scalars[5])
    lr = f8(scalars[6])
    for i in range(n):
        m2 = m2_at[i]
        chunk = chunk_at[i]
        # m2 = keep[2]*m2 + take[2]*chunk
        m2_new = 1.0 * m2 + beta3 * chunk
        m1 = m1_at[i]
        g = g_at[i]
        # m1 = keep[0]*m1 + take[0]*g
        m1_new = 1.0 * m1 + beta1 * g
        v = v_at[i]
        # v = keep[1]*v + take[1]*g**2
        v_new = 1.0 * v + beta2 * (g * g)
        # chunk = chunk + g
        chunk_new = 0.0 + g
        # d = (o1 + alpha*o2)/(sqrt(v) + eps)
        d = (m1_new + alpha * m2_new) / (np.sqrt(v_new) + eps)
        param = param_at[i]
        # param = param - lr*(d + weight_decay*param)
        param_new = param - lr * (d + weight_decay * param)
        chunk_at[i] = chunk_new
        m1_at[i] = m1_new
        m2_at[i] = m2_new
        o2_at[i] = m2_new
        param_at[i] = param_new
        v_at[i] = v_new


@stage
def stage_0_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    hyper = f8_table(ctx[HYPER], ctx[TENSORS], 13)
    tensor_value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 12)
    variant = i8_stream(ctx[VARIANT], ctx[TENSORS])
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        if variant[t] == 0:
            beta3 = hyper[t, 3]
            tensor_value[t, 0] = beta3
            beta1 = hyper[t, 1]
            tensor_value[t, 1] = beta1
            beta2 = hyper[t, 2]
            tensor_value[t, 2] = beta2
            alpha = hyper[t, 4]
            tensor_value[t, 3] = alpha
            eps = hyper[t, 5]
            tensor_value[t, 4] = eps
            weight_decay = hyper[t, 12]
            tensor_value[t, 5] = weight_decay
            lr = hyper[t, 0]
            tensor_value[t, 6] = lr
            ns_steps = hyper[t, 6]
            tensor_value[t, 7] = ns_steps
            ns_a = hyper[t, 7]
            tensor_value[t, 8] = ns_a
            ns_b = hyper[t, 8]
            tensor_value[t, 9] = ns_b
            ns_c = hyper[t, 9]
            tensor_value[t, 10] = ns_c
            ns_eps = hyper[t, 10]
            tensor_value[t, 11] = ns_eps
        elif variant[t] == 1:
            beta1_1 = hyper[t, 1]
            tensor_value[t, 1] = beta1_1  # beta1
            beta2_1 = hyper[t, 2]
            tensor_value[t, 2] = beta2_1  # beta2
            alpha_1 = hyper[t, 4]
            tensor_value[t, 3] = alpha_1  # alpha
            eps_1 = hyper[t, 5]
            tensor_value[t, 4] = eps_1  # eps
            weight_decay_1 = hyper[t, 12]
            tensor_value[t, 5] = weight_decay_1  # weight_decay
            lr_1 = hyper[t, 0]
            tensor_value[t, 6] = lr_1  # lr
            ns_steps_1 = hyper[t, 6]
            tensor_value[t, 7] = ns_steps_1  # ns_steps
            ns_a_1 = hyper[t, 7]
            tensor_value[t, 8] = ns_a_1  # ns_a
            ns_b_1 = hyper[t, 8]
            tensor_value[t, 9] = ns_b_1  # ns_b
            ns_c_1 = hyper[t, 9]
            tensor_value[t, 10] = ns_c_1  # ns_c
            ns_eps_1 = hyper[t, 10]
            tensor_value[t, 11] = ns_eps_1  # ns_eps
        elif variant[t] == 2:
            beta1_2 = hyper[t, 1]
            tensor_value[t, 1] = beta1_2  # beta1
            beta2_2 = hyper[t, 2]
            tensor_value[t, 2] = beta2_2  # beta2
            alpha_2 = hyper[t, 4]
            tensor_value[t, 3] = alpha_2  # alpha
            eps_2 = hyper[t, 5]
            tensor_value[t, 4] = eps_2  # eps
            weight_decay_2 = hyper[t, 12]
            tensor_value[t, 5] = weight_decay_2  # weight_decay
            lr_2 = hyper[t, 0]
            tensor_value[t, 6] = lr_2  # lr
        elif variant[t] == 3:
            beta3_1 = hyper[t, 3]
            tensor_value[t, 0] = beta3_1  # beta3
            beta1_3 = hyper[t, 1]
            tensor_value[t, 1] = beta1_3  # beta1
            beta2_3 = hyper[t, 2]
            tensor_value[t, 2] = beta2_3  # beta2
            alpha_3 = hyper[t, 4]
            tensor_value[t, 3] = alpha_3  # alpha
            eps_3 = hyper[t, 5]
            tensor_value[t, 4] = eps_3  # eps
            weight_decay_3 = hyper[t, 12]
            tensor_value[t, 5] = weight_decay_3  # weight_decay
            lr_3 = hyper[t, 0]
            tensor_value[t, 6] = lr_3  # lr


@stage
def stage_1_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    address = i8_table(ctx[ADDRESS], ctx[TENSORS], ctx[SLOTS])
    variant = i8_stream(ctx[VARIANT], ctx[TENSORS])
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        if variant[t] == 2 or variant[t] == 3:
            updates = f8(load_f4(address[t, 7])) + 1.0
            if mode[t] == ACTIVE:
                store_f4(address[t, 7], f4(updates))


@stage
def stage_2_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    address = i8_table(ctx[ADDRESS], ctx[TENSORS], ctx[SLOTS])
    variant = i8_stream(ctx[VARIANT], ctx[TENSORS])
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        if variant[t] == 0 or variant[t] == 1:
            updates = f8(load_f4(address[t, 7])) + 1.0
            if mode[t] == ACTIVE:
                store_f4(address[t, 7], f4(updates))


@select
def select_variant(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    address = i8_table(ctx[ADDRESS], ctx[TENSORS], ctx[SLOTS])
    hyper = f8_table(ctx[HYPER], ctx[TENSORS], 13)
    meta = f8_table(ctx[META], ctx[TENSORS], 6)
    variant = i8_stream(ctx[VARIANT], ctx[TENSORS])
    for k in range(begin, end):
        t = members[k]
        updates = f8(load_f4(address[t, 7])) + 1.0
        frequency = hyper[t, 11]
        updates_1 = f8(load_f4(address[t, 7])) + 1.0
        frequency_1 = hyper[t, 11]
        updates_2 = f8(load_f4(address[t, 7])) + 1.0
        frequency_2 = hyper[t, 11]
        variant[t] = i8((0.0 if (updates_2 > 1.0) & (((updates_2 - 1.0) % frequency_2 if frequency_2 != 0 else 0.0) == 0.0) & (meta[t, 1] >= 2.0) else (1.0 if (not (updates_1 > 1.0) & (((updates_1 - 1.0) % frequency_1 if frequency_1 != 0 else 0.0) == 0.0)) & (meta[t, 1] >= 2.0) else (2.0 if (not (updates > 1.0) & (((updates - 1.0) % frequency if frequency != 0 else 0.0) == 0.0)) & (not meta[t, 1] >= 2.0) else 3.0))))


FUNCTIONS = {
    "ends_ndim_param_ge_2_sweep_1": ends_ndim_param_ge_2_sweep_1,
    "ends_ndim_param_ge_2_sweep_2": ends_ndim_param_ge_2_sweep_2,
    "not_ends_ndim_param_ge_2_sweep_1": not_ends_ndim_param_ge_2_sweep_1,
    "not_ends_ndim_param_ge_2_sweep_2": not_ends_ndim_param_ge_2_sweep_2,
    "not_ends_not_ndim_param_ge_2_sweep_1": not_ends_not_ndim_param_ge_2_sweep_1,
    "ends_not_ndim_param_ge_2_sweep_1": ends_not_ndim_param_ge_2_sweep_1,
    "stage_0_tensor": stage_0_tensor,
    "stage_1_tensor": stage_1_tensor,
    "stage_2_tensor": stage_2_tensor,
    "select_variant": select_variant,
}
