"""Kernels of the rule nce_players in float64, generated from nce_players.yaml.

spec f2a1b6cfc8d70c779c800911a6cbae98071e939a9a8c70baab8c0c6f129bb1ec
made by: optgen build nce_players --backend numba --set decouple_weight_decay=true --set maximize=false --set nce_mode=projection --set opponent_mode=mean_excluding_self --set player_count=1 --set player_reduction=mean
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
    load_f8,
    maximum,
    minimum,
    segment,
    stage,
    store_f4,
    store_f8,
)

MANIFEST = {'abi': 1,
 'rule': 'nce_players',
 'class': 'NCEPlayers',
 'digest': 'f2a1b6cfc8d70c779c800911a6cbae98071e939a9a8c70baab8c0c6f129bb1ec',
 'backend': 'numba',
 'settled': {'decouple_weight_decay': True,
             'maximize': False,
             'metrics_interval > 0': False,
             'nce_mode': 'projection',
             'opponent_mode': 'mean_excluding_self',
             'player_count': 1,
             'player_reduction': 'mean',
             'prune_threshold > 0': False,
             'sparsity_l1 > 0': False},
 'dtype': {'compute': 'float64', 'param': 'float64', 'g': 'float64'},
 'hypers': ['lr',
            'player_count',
            'alpha',
            'beta',
            'eps',
            'weight_decay',
            'decouple_weight_decay',
            'nce_clip_ratio',
            'sparsity_l1',
            'prune_threshold',
            'correction_warmup_steps',
            'conflict_threshold',
            'adaptive_correction',
            'adaptive_correction_decay',
            'adaptive_correction_min_scale',
            'adaptive_correction_max_scale',
            'metrics_interval'],
 'inputs': [],
 'slots': [{'name': 'param', 'extent': 'elem', 'dtype': 'float64', 'role': 'param'},
           {'name': 'g[0]', 'extent': 'elem', 'dtype': 'float64', 'role': 'gradient'},
           {'name': 'm', 'extent': 'elem', 'dtype': 'float64', 'role': 'state'},
           {'name': 'conflict_ema', 'extent': 'tensor', 'dtype': 'float64', 'role': 'state'},
           {'name': 'step', 'extent': 'tensor', 'dtype': 'float32', 'role': 'counter'}],
 'values': {'tensor': ['inverse_maximum',
                       'mul_times_mul_over_maximum',
                       'inverse_constant',
                       'beta',
                       'one_minus_beta',
                       'one_minus_lr_times_weight_decay',
                       'lr',
                       'one_minus_adaptive_correction_decay',
                       'mul',
                       'le',
                       'conflict_ema'],
            'layer': [],
            'model': [],
            'matrix': [],
            'row': [],
            'col': []},
 'totals': [{'name': 'sum_g[0]_g[0]', 'op': 'sum'},
            {'name': 'sum_x_x_x_x', 'op': 'sum'},
            {'name': 'sum_g[0]_x_x', 'op': 'sum'}],
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
               'slots': ['m', 'conflict_ema'],
               'sweeps': [{'function': 'sweep_1', 'streams': [['slot', 1, 'r']], 'totals': [2, 0, 1]},
                          {'function': 'sweep_2',
                           'streams': [['slot', 1, 'r'], ['slot', 2, 'rw'], ['slot', 0, 'rw']],
                           'totals': []}],
               'stored': [[], [], ['conflict_ema', 'step']]}]}


@segment
def sweep_1(n, streams, scalars, totals):
    g_0__at = f8_stream(streams[0], n)
    inverse_maximum = f8(scalars[0])
    sum_g_0__x_x = f8(0)
    sum_g_0__g_0 = f8(0)
    sum_x_x_x_x = f8(0)
    for i in range(n):
        g_0 = g_0__at[i]
        # o = (sum(g) - g)/maximum(player_count - 1, 1)
        x = (g_0 - g_0) * inverse_maximum
        # xy = dot(g, o, over="tensor")
        sum_g_0__x_x = add_reassoc(sum_g_0__x_x, g_0 * x)
        # X = norm(g, over="tensor")
        sum_g_0__g_0 = add_reassoc(sum_g_0__g_0, g_0 * g_0)
        # Y = norm(o, over="tensor")
        sum_x_x_x_x = add_reassoc(sum_x_x_x_x, x * x)
    totals[0] = totals[0] + f8(sum_g_0__x_x)
    totals[1] = totals[1] + f8(sum_g_0__g_0)
    totals[2] = totals[2] + f8(sum_x_x_x_x)


@segment
def sweep_2(n, streams, scalars, totals):
    g_0__at = f8_stream(streams[0], n)
    m_at = f8_stream(streams[1], n)
    param_at = f8_stream(streams[2], n)
    inverse_maximum = f8(scalars[0])
    mul_times_mul_over_maximum = f8(scalars[1])
    inverse_constant = f8(scalars[2])
    beta = f8(scalars[3])
    one_minus_beta = f8(scalars[4])
    one_minus_lr_times_weight_decay = f8(scalars[5])
    lr = f8(scalars[6])
    for i in range(n):
        g_0 = g_0__at[i]
        # together = mean(g)
        together = g_0 * inverse_constant
        # correction = mean(c)
        correction = mul_times_mul_over_maximum * ((g_0 - g_0) * inverse_maximum) * inverse_constant
        m = m_at[i]
        # m = beta*m + (1 - beta)*(together + correction)
        m_new = beta * m + one_minus_beta * (together + correction)
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
    hyper = f8_table(ctx[HYPER], ctx[TENSORS], 17)
    tensor_value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 11)
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        conflict_ema = f8(load_f8(address[t, 3]))
        adaptive_correction_decay = hyper[t, 13]
        # averaged = averages(conflict, conflict_ema, adaptive_correction_decay)
        tensor_value[t, 7] = 1.0 - adaptive_correction_decay  # one_minus_adaptive_correction_decay
        tensor_value[t, 8] = adaptive_correction_decay * conflict_ema  # mul
        updates = f8(load_f4(address[t, 4])) + 1.0
        correction_warmup_steps = hyper[t, 10]
        # s = where(t <= correction_warmup_steps or conflict < conflict_threshold, 0, s)
        tensor_value[t, 9] = (1.0 if updates <= correction_warmup_steps else 0.0)  # le
        beta = hyper[t, 3]
        # m = beta*m + (1 - beta)*(together + correction)
        tensor_value[t, 4] = 1.0 - beta  # one_minus_beta
        lr = hyper[t, 0]
        weight_decay = hyper[t, 5]
        # param = (1 - lr*weight_decay)*param - lr*d
        tensor_value[t, 5] = 1.0 - lr * weight_decay  # one_minus_lr_times_weight_decay
        tensor_value[t, 0] = 1.0  # inverse_maximum
        tensor_value[t, 2] = 1.0  # inverse_constant
        tensor_value[t, 3] = beta
        tensor_value[t, 6] = lr


@stage
def stage_1_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    tensor_total = f8_table(ctx[TENSOR_TOTAL], ctx[TENSORS], 3)
    hyper = f8_table(ctx[HYPER], ctx[TENSORS], 17)
    tensor_value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 11)
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        # X = norm(g, over="tensor")
        x = np.sqrt(tensor_total[t, 0])
        # Y = norm(o, over="tensor")
        x_1 = np.sqrt(tensor_total[t, 1])
        eps = hyper[t, 4]
        # conflict = where(X <= eps or Y <= eps, 0, maximum(0, -xy/(X*Y + eps)))
        x_2 = 0.0 if (x <= eps) | (x_1 <= eps) else maximum(0.0, -tensor_total[t, 2] / (x * x_1 + eps))
        # averaged = averages(conflict, conflict_ema, adaptive_correction_decay)
        conflict_ema = tensor_value[t, 8] + tensor_value[t, 7] * x_2
        tensor_value[t, 10] = conflict_ema
        alpha = hyper[t, 2]
        # s = alpha*conflict
        x_3 = alpha * x_2
        adaptive_correction_min_scale = hyper[t, 14]
        adaptive_correction_max_scale = hyper[t, 15]
        adaptive_correction = hyper[t, 12]
        # s = s*where(Y**2 <= eps, 0, xy/(Y**2 + eps))
        x_4 = x_1 * x_1
        x_5 = (x_3 * minimum(maximum(1.0 + x_1 / (x + x_1 + eps) + maximum(x_2, conflict_ema), adaptive_correction_min_scale), adaptive_correction_max_scale) if adaptive_correction != 0.0 else x_3) * (0.0 if x_4 <= eps else tensor_total[t, 2] / (x_4 + eps))
        # longest = abs(s)*Y
        x_6 = abs(x_5) * x_1
        nce_clip_ratio = hyper[t, 7]
        # limit = nce_clip_ratio*X
        x_7 = nce_clip_ratio * x
        conflict_threshold = hyper[t, 11]
        # c = -s*o
        tensor_value[t, 1] = -(0.0 if (tensor_value[t, 9] != 0.0) | (x_2 < conflict_threshold) else x_5 * (x_7 / maximum(x_6, eps) if (x_6 > x_7) & (x_6 > eps) else 1.0))  # mul_times_mul_over_maximum


@stage
def stage_2_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    tensor_value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 11)
    address = i8_table(ctx[ADDRESS], ctx[TENSORS], ctx[SLOTS])
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        if mode[t] == ACTIVE:
            store_f8(address[t, 3], f8(tensor_value[t, 10]))
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
