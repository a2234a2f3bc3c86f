"""Kernels of the rule nce in float64, generated from nce.yaml.

spec 7634f9e35f997fffab370172301e1789fc8177052383d3f69261bf8c0ff6513f
made by: optgen build nce --backend numba --set adaptive_alpha=false --set adaptive_correction=false --set adaptive_preconditioning=false --set bias_correction=false --set convention=numpy --set decouple_weight_decay=true --set gradient_centralization=false --set maximize=false --set nce_mode=projection --set nesterov=false --set opponent_source=momentum --set update_mode=momentum
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
 'rule': 'nce',
 'class': 'NCE',
 'digest': '7634f9e35f997fffab370172301e1789fc8177052383d3f69261bf8c0ff6513f',
 'backend': 'numba',
 'settled': {'adaptive_alpha': False,
             'adaptive_correction': False,
             'adaptive_preconditioning': False,
             'adaptive_preconditioning and precondition_nce': False,
             'bias_correction': False,
             'convention': 'numpy',
             'decouple_weight_decay': True,
             'gradient_centralization': False,
             'lookahead_k > 0': False,
             'maximize': False,
             'metrics_interval > 0': False,
             'nce_mode': 'projection',
             'nesterov': False,
             'opponent_source': 'momentum',
             'prune_threshold > 0': False,
             'sparsity_l1 > 0': False,
             'update_mode': 'momentum'},
 'dtype': {'compute': 'float64', 'param': 'float64', 'g': 'float64'},
 'hypers': ['lr',
            'alpha',
            'beta',
            'eps',
            'weight_decay',
            'decouple_weight_decay',
            'nce_clip_ratio',
            'sparsity_l1',
            'prune_threshold',
            'opponent_ema_decay',
            'opponent_blend',
            'correction_warmup_steps',
            'conflict_threshold',
            'adaptive_correction',
            'adaptive_correction_decay',
            'adaptive_correction_min_scale',
            'adaptive_correction_max_scale',
            'adaptive_preconditioning',
            'second_moment_beta',
            'bias_correction',
            'precondition_nce',
            'adaptive_alpha',
            'adaptive_alpha_min',
            'adaptive_alpha_max',
            'gradient_noise_decay',
            'gradient_centralization',
            'nesterov',
            'lookahead_k',
            'lookahead_alpha',
            'metrics_interval'],
 'inputs': [],
 'slots': [{'name': 'param', 'extent': 'elem', 'dtype': 'float64', 'role': 'param'},
           {'name': 'g', 'extent': 'elem', 'dtype': 'float64', 'role': 'gradient'},
           {'name': 'm', 'extent': 'elem', 'dtype': 'float64', 'role': 'state'},
           {'name': 'step', 'extent': 'tensor', 'dtype': 'float32', 'role': 'counter'}],
 'values': {'tensor': ['s', 'beta', 'one_minus_beta', 'one_minus_lr_times_weight_decay', 'lr', 'silent'],
            'layer': [],
            'model': [],
            'matrix': [],
            'row': [],
            'col': []},
 'totals': [{'name': 'sum_d_d', 'op': 'sum'}, {'name': 'sum_o_o', 'op': 'sum'}, {'name': 'sum_d_o', 'op': 'sum'}],
 'matrix': 'units',
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
               'slots': ['m'],
               'sweeps': [{'function': 'sweep_1',
                           'streams': [['slot', 1, 'r'], ['slot', 2, 'r']],
                           'totals': [2, 0, 1]},
                          {'function': 'sweep_2',
                           'streams': [['slot', 2, 'rw'], ['slot', 1, 'r'], ['slot', 0, 'rw']],
                           'totals': []}],
               'stored': [[], [], ['step']]}]}


@segment
def sweep_1(n, streams, scalars, totals):
    g_at = f8_stream(streams[0], n)
    m_at = f8_stream(streams[1], n)
    sum_d_o = f8(0)
    sum_d_d = f8(0)
    sum_o_o = f8(0)
    for i in range(n):
        g = g_at[i]
        m = m_at[i]
        # xy = dot(x, y, over="tensor")
        sum_d_o = add_reassoc(sum_d_o, g * m)
        # X = norm(x, over="tensor")
        sum_d_d = add_reassoc(sum_d_d, g * g)
        # Y = norm(y, over="tensor")
        sum_o_o = add_reassoc(sum_o_o, m * m)
    totals[0] = totals[0] + f8(sum_d_o)
    totals[1] = totals[1] + f8(sum_d_d)
    totals[2] = totals[2] + f8(sum_o_o)


@segment
def sweep_2(n, streams, scalars, totals):
    m_at = f8_stream(streams[0], n)
    g_at = f8_stream(streams[1], n)
    param_at = f8_stream(streams[2], n)
    s = f8(scalars[0])
    beta = f8(scalars[1])
    one_minus_beta = f8(scalars[2])
    one_minus_lr_times_weight_decay = f8(scalars[3])
    lr = f8(scalars[4])
    for i in range(n):
        m = m_at[i]
        g = g_at[i]
        # u = g - s*o
        u = g - s * m
        # m = beta*m + (1 - beta)*u
        m_new = beta * m + one_minus_beta * u
        param = param_at[i]
        # param = (1 - lr*weight_decay)*param - lr*d
        param_new = one_minus_lr_times_weight_decay * param - lr * m_new
        m_at[i] = m_new
        param_at[i] = param_new


@stage
def stage_0_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    address = i8_table(ctx[ADDRESS], ctx[TENSORS], ctx[SLOTS])
    hyper = f8_table(ctx[HYPER], ctx[TENSORS], 30)
    tensor_value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 6)
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        updates = f8(load_f4(address[t, 3])) + 1.0
        correction_warmup_steps = hyper[t, 11]
        # s = where(t <= correction_warmup_steps or conflict < conflict_threshold, 0, s)
        silent = updates <= correction_warmup_steps
        tensor_value[t, 5] = (1.0 if silent else 0.0)  # silent
        beta = hyper[t, 2]
        # m = beta*m + (1 - beta)*u
        tensor_value[t, 2] = 1.0 - beta  # one_minus_beta
        lr = hyper[t, 0]
        weight_decay = hyper[t, 4]
        # param = (1 - lr*weight_decay)*param - lr*d
        tensor_value[t, 3] = 1.0 - lr * weight_decay  # one_minus_lr_times_weight_decay
        tensor_value[t, 1] = beta
        tensor_value[t, 4] = lr


@stage
def stage_1_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    tensor_total = f8_table(ctx[TENSOR_TOTAL], ctx[TENSORS], 3)
    hyper = f8_table(ctx[HYPER], ctx[TENSORS], 30)
    tensor_value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 6)
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        # X = norm(x, over="tensor")
        X = np.sqrt(tensor_total[t, 0])
        # Y = norm(y, over="tensor")
        Y = np.sqrt(tensor_total[t, 1])
        eps = hyper[t, 3]
        # conflict = where(guarded and (X <= eps or Y <= eps), 0, maximum(0, -xy/(X*Y + eps)))
        conflict = 0.0 if (X <= eps) | (Y <= eps) else maximum(0.0, -tensor_total[t, 2] / (X * Y + eps))
        alpha = hyper[t, 1]
        # s = a*conflict
        s = alpha * conflict
        # s = s*where(guarded and Y**2 <= where(convention == "cpp", 0, eps), 0, xy/(Y**2 + eps))
        x = Y * Y
        s_1 = s * (0.0 if x <= eps else tensor_total[t, 2] / (x + eps))
        # longest = abs(s)*Y
        longest = abs(s_1) * Y
        nce_clip_ratio = hyper[t, 6]
        # limit = nce_clip_ratio*X
        limit = nce_clip_ratio * X
        # s = s*where(longest > limit and longest > eps, limit/longest, 1)
        s_2 = s_1 * (limit / longest if (longest > limit) & (longest > eps) else 1.0)
        conflict_threshold = hyper[t, 12]
        # s = where(t <= correction_warmup_steps or conflict < conflict_threshold, 0, s)
        s_3 = 0.0 if (tensor_value[t, 5] != 0.0) | (conflict < conflict_threshold) else s_2
        tensor_value[t, 0] = s_3  # s


@stage
def stage_2_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    address = i8_table(ctx[ADDRESS], ctx[TENSORS], ctx[SLOTS])
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        updates = f8(load_f4(address[t, 3])) + 1.0
        if mode[t] == ACTIVE:
            store_f4(address[t, 3], f4(updates))


FUNCTIONS = {
    "sweep_1": sweep_1,
    "sweep_2": sweep_2,
    "stage_0_tensor": stage_0_tensor,
    "stage_1_tensor": stage_1_tensor,
    "stage_2_tensor": stage_2_tensor,
}
