"""Kernels of the rule muon in float32, generated from muon.yaml.

spec 5ad0f2e4b10225d8dc66026ef473fcac5f84db47f3334b8cb98fddc273340426
made of: muon abe53ca569aad20e + adamw 776539a6877fcdf5
made by: optgen build muon --backend numba --set adamw_amsgrad=false --set adjust_lr_fn=original --set maximize=false --set nesterov=true --set rule=muon
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
    f4_stream,
    f8,
    f8_table,
    i8,
    i8_stream,
    i8_table,
    load_f4,
    maximum,
    segment,
    select,
    stage,
    store_f4,
)

MANIFEST = {'abi': 1,
 'rule': 'muon',
 'class': 'Muon',
 'digest': '5ad0f2e4b10225d8dc66026ef473fcac5f84db47f3334b8cb98fddc273340426',
 'backend': 'numba',
 'settled': {'adamw_amsgrad': False,
             'adjust_lr_fn': 'original',
             'maximize': False,
             'nesterov': True,
             'rule': 'muon'},
 'dtype': {'compute': 'float32', 'param': 'float32', 'g': 'float32'},
 'hypers': ['lr',
            'momentum',
            'nesterov',
            'ns_steps',
            'ns_a',
            'ns_b',
            'ns_c',
            'eps',
            'weight_decay',
            'adamw_lr',
            'adamw_beta1',
            'adamw_beta2',
            'adamw_eps',
            'adamw_weight_decay',
            'adamw_amsgrad'],
 'inputs': [],
 'slots': [{'name': 'param', 'extent': 'elem', 'dtype': 'float32', 'role': 'param'},
           {'name': 'g', 'extent': 'elem', 'dtype': 'float32', 'role': 'gradient'},
           {'name': 'm', 'extent': 'elem', 'dtype': 'float32', 'role': 'state'},
           {'name': 'adamw_m', 'extent': 'elem', 'dtype': 'float32', 'role': 'state'},
           {'name': 'adamw_v', 'extent': 'elem', 'dtype': 'float32', 'role': 'state'},
           {'name': 'step', 'extent': 'tensor', 'dtype': 'float32', 'role': 'counter'},
           {'name': 'scratch0', 'extent': 'elem', 'dtype': 'float32', 'role': 'scratch'},
           {'name': 'scratch1', 'extent': 'elem', 'dtype': 'float32', 'role': 'scratch'}],
 'values': {'tensor': ['momentum',
                       'one_minus_momentum',
                       'scale',
                       'weight_decay',
                       'lr',
                       'ns_steps',
                       'ns_a',
                       'ns_b',
                       'ns_c',
                       'eps',
                       'adamw_beta1',
                       'one_minus_adamw_beta1',
                       'adamw_beta2',
                       'one_minus_adamw_beta2',
                       'inverse_one_minus_adamw_beta1_to_t',
                       'inverse_one_minus_adamw_beta2_to_t',
                       'adamw_eps',
                       'adamw_weight_decay',
                       'adamw_lr'],
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
 'variants': [{'name': 'ndim_param_ge_2',
               'when': 'ndim(param) >= 2',
               'slots': ['m'],
               'sweeps': [{'function': 'ndim_param_ge_2_sweep_1',
                           'streams': [['slot', 2, 'rw'], ['slot', 1, 'r'], ['slot', 6, 'w']],
                           'totals': []},
                          {'function': 'ndim_param_ge_2_sweep_2',
                           'streams': [['slot', 7, 'r'], ['slot', 0, 'rw']],
                           'totals': []}],
               'stored': [[], [], ['step']],
               'calls': [[],
                         [{'function': 'newton_schulz', 'operand': 6, 'target': 7, 'numbers': [5, 6, 7, 8, 9]}],
                         []]},
              {'name': 'not_ndim_param_ge_2',
               'when': 'not (ndim(param) >= 2)',
               'slots': ['adamw_m', 'adamw_v'],
               'sweeps': [{'function': 'not_ndim_param_ge_2_sweep_1',
                           'streams': [['slot', 3, 'rw'], ['slot', 1, 'r'], ['slot', 4, 'rw'], ['slot', 0, 'rw']],
                           'totals': []},
                          None],
               'stored': [[], ['step'], []]}]}


@segment
def ndim_param_ge_2_sweep_1(n, streams, scalars, totals):
    m_at = f4_stream(streams[0], n)
    g_at = f4_stream(streams[1], n)
    scratch0_at = f4_stream(streams[2], n)
    momentum = f4(scalars[0])
    one_minus_momentum = f4(scalars[1])
    for i in range(n):
        m = m_at[i]
        g = g_at[i]
        # m = momentum*m + (1 - momentum)*g
        x = one_minus_momentum * g
        m_new = momentum * m + x
        # u = momentum*m + (1 - momentum)*g
        u = momentum * m_new + x
        m_at[i] = m_new
        scratch0_at[i] = u


@segment
def ndim_param_ge_2_sweep_2(n, streams, scalars, totals):
    scratch1_at = f4_stream(streams[0], n)
    param_at = f4_stream(streams[1], n)
    scale = f4(scalars[2])
    weight_decay = f4(scalars[3])
    lr = f4(scalars[4])
    for i in range(n):
        scratch1 = scratch1_at[i]
        # d = scale*o
        d = scale * scratch1
        param = param_at[i]
        # param = param - lr*(d + weight_decay*param)
        param_new = param - lr * (d + weight_decay * param)
        param_at[i] = param_new


@segment
def not_ndim_param_ge_2_sweep_1(n, streams, scalars, totals):
    adamw_m_at = f4_stream(streams[0], n)
    g_at = f4_stream(streams[1], n)
    adamw_v_at = f4_stream(streams[2], n)
    param_at = f4_stream(streams[3], n)
    adamw_beta1 = f4(scalars[10])
    one_minus_adamw_beta1 = f4(scalars[11])
    adamw_beta2 = f4(scalars[12])
    one_minus_adamw_beta2 = f4(scalars[13])
    inverse_one_minus_adamw_beta1_to_t = f4(scalars[14])
    inverse_one_minus_adamw_beta2_to_t = f4(scalars[15])
    adamw_eps = f4(scalars[16])
    adamw_weight_decay = f4(scalars[17])
    adamw_lr = f4(scalars[18])
    for i in range(n):
        adamw_m = adamw_m_at[i]
        g = g_at[i]
        # adamw_m = adamw_beta1*adamw_m + (1 - adamw_beta1)*g
        adamw_m_new = adamw_beta1 * adamw_m + one_minus_adamw_beta1 * g
        adamw_v = adamw_v_at[i]
        # adamw_v = adamw_beta2*adamw_v + (1 - adamw_beta2)*g**2
        adamw_v_new = adamw_beta2 * adamw_v + one_minus_adamw_beta2 * (g * g)
        # d = (adamw_m/(1 - adamw_beta1**t)) / (sqrt(adamw_v/(1 - adamw_beta2**t)) + adamw_eps)
        d = adamw_m_new * inverse_one_minus_adamw_beta1_to_t / (np.sqrt(adamw_v_new * inverse_one_minus_adamw_beta2_to_t) + adamw_eps)
        param = param_at[i]
        # param = param - adamw_lr*(d + adamw_weight_decay*param)
        param_new = param - adamw_lr * (d + adamw_weight_decay * param)
        adamw_m_at[i] = adamw_m_new
        adamw_v_at[i] = adamw_v_new
        param_at[i] = param_new


@stage
def stage_0_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    hyper = f8_table(ctx[HYPER], ctx[TENSORS], 15)
    tensor_value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 19)
    meta = f8_table(ctx[META], ctx[TENSORS], 6)
    variant = i8_stream(ctx[VARIANT], ctx[TENSORS])
    address = i8_table(ctx[ADDRESS], ctx[TENSORS], ctx[SLOTS])
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        if variant[t] == 0:
            momentum = hyper[t, 1]
            # m = momentum*m + (1 - momentum)*g
            tensor_value[t, 1] = 1.0 - momentum  # one_minus_momentum
            # scale = sqrt(maximum(1, rows(param)/cols(param)))
            scale = np.sqrt(maximum(1.0, meta[t, 2] / meta[t, 3]))
            tensor_value[t, 2] = scale
            tensor_value[t, 0] = momentum
            weight_decay = hyper[t, 8]
            tensor_value[t, 3] = weight_decay
            lr = hyper[t, 0]
            tensor_value[t, 4] = lr
            ns_steps = hyper[t, 3]
            tensor_value[t, 5] = ns_steps
            ns_a = hyper[t, 4]
            tensor_value[t, 6] = ns_a
            ns_b = hyper[t, 5]
            tensor_value[t, 7] = ns_b
            ns_c = hyper[t, 6]
            tensor_value[t, 8] = ns_c
            eps = hyper[t, 7]
            tensor_value[t, 9] = eps
        elif variant[t] == 1:
            adamw_beta1 = hyper[t, 10]
            # adamw_m = adamw_beta1*adamw_m + (1 - adamw_beta1)*g
            tensor_value[t, 11] = 1.0 - adamw_beta1  # one_minus_adamw_beta1
            adamw_beta2 = hyper[t, 11]
            # adamw_v = adamw_beta2*adamw_v + (1 - adamw_beta2)*g**2
            tensor_value[t, 13] = 1.0 - adamw_beta2  # one_minus_adamw_beta2
            updates = f8(load_f4(address[t, 5])) + 1.0
            # d = (adamw_m/(1 - adamw_beta1**t)) / (sqrt(adamw_v/(1 - adamw_beta2**t)) + adamw_eps)
            tensor_value[t, 14] = 1.0 / -np.expm1(updates * np.log(adamw_beta1))  # inverse_one_minus_adamw_beta1_to_t
            tensor_value[t, 15] = 1.0 / -np.expm1(updates * np.log(adamw_beta2))  # inverse_one_minus_adamw_beta2_to_t
            tensor_value[t, 10] = adamw_beta1
            tensor_value[t, 12] = adamw_beta2
            adamw_eps = hyper[t, 12]
            tensor_value[t, 16] = adamw_eps
            adamw_weight_decay = hyper[t, 13]
            tensor_value[t, 17] = adamw_weight_decay
            adamw_lr = hyper[t, 9]
            tensor_value[t, 18] = adamw_lr


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
        if variant[t] == 1:
            updates = f8(load_f4(address[t, 5])) + 1.0
            if mode[t] == ACTIVE:
                store_f4(address[t, 5], f4(updates))


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
        if variant[t] == 0:
            updates = f8(load_f4(address[t, 5])) + 1.0
            if mode[t] == ACTIVE:
                store_f4(address[t, 5], f4(updates))


@select
def select_variant(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    meta = f8_table(ctx[META], ctx[TENSORS], 6)
    variant = i8_stream(ctx[VARIANT], ctx[TENSORS])
    for k in range(begin, end):
        t = members[k]
        variant[t] = i8((0.0 if meta[t, 1] >= 2.0 else 1.0))


FUNCTIONS = {
    "ndim_param_ge_2_sweep_1": ndim_param_ge_2_sweep_1,
    "ndim_param_ge_2_sweep_2": ndim_param_ge_2_sweep_2,
    "not_ndim_param_ge_2_sweep_1": not_ndim_param_ge_2_sweep_1,
    "stage_0_tensor": stage_0_tensor,
    "stage_1_tensor": stage_1_tensor,
    "stage_2_tensor": stage_2_tensor,
    "select_variant": select_variant,
}
