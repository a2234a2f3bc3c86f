"""Kernels of the rule nested in float32, generated from nested.yaml.

spec 08bc39dba2f73437abd337fa74774a8019ce4118ff2c207b197e7c36ba2e3892
made by: optgen build nested --backend numba --set accumulate_gradients=true --set amsgrad=false --set attention_score=dot --set compat=ours --set maximize=false --set memory_blend_mode=attention --set schedule_curve=cosine
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
    STEP,
    TENSORS,
    TENSOR_TOTAL,
    TENSOR_VALUE,
    VARIANT,
    add_reassoc,
    f4,
    f4_stream,
    f8,
    f8_stream,
    f8_table,
    i8,
    i8_stream,
    i8_table,
    load_f4,
    load_i8,
    maximum,
    minimum,
    segment,
    select,
    stage,
    store_f4,
    store_i8,
)

MANIFEST = {'abi': 1,
 'rule': 'nested',
 'class': 'Nested',
 'digest': '08bc39dba2f73437abd337fa74774a8019ce4118ff2c207b197e7c36ba2e3892',
 'backend': 'numba',
 'settled': {'accumulate_gradients': True,
             'amsgrad': False,
             'attention_score': 'dot',
             'compat': 'ours',
             'maximize': False,
             'memory_blend_mode': 'attention',
             'schedule_curve': 'cosine',
             'use_gradient_compression and compression_rank > 0': False},
 'dtype': {'compute': 'float32', 'param': 'float32', 'g': 'float32'},
 'hypers': ['lr',
            'beta1',
            'beta2',
            'eps',
            'short_term_decay',
            'medium_term_decay',
            'long_term_decay',
            'short_term_weight',
            'medium_term_weight',
            'long_term_weight',
            'use_gradient_compression',
            'compression_rank',
            'interval',
            'auto_schedule',
            'layer_interval',
            'default_interval',
            'max_interval',
            'reverse_depth_order',
            'warmup_steps',
            'accumulate_gradients',
            'amsgrad',
            'weight_decay',
            'steps_per_epoch',
            'lr_warmup_fraction',
            'lr_hold_fraction',
            'lr_decay_fraction',
            'lr_min_fraction',
            'lr_warmup_start_fraction'],
 'inputs': [],
 'slots': [{'name': 'param', 'extent': 'elem', 'dtype': 'float32', 'role': 'param'},
           {'name': 'g', 'extent': 'elem', 'dtype': 'float32', 'role': 'gradient'},
           {'name': 's', 'extent': 'elem', 'dtype': 'float32', 'role': 'state'},
           {'name': 'm', 'extent': 'elem', 'dtype': 'float32', 'role': 'state'},
           {'name': 'l', 'extent': 'elem', 'dtype': 'float32', 'role': 'state'},
           {'name': 'v', 'extent': 'elem', 'dtype': 'float32', 'role': 'state'},
           {'name': 'acc', 'extent': 'elem', 'dtype': 'float32', 'role': 'state'},
           {'name': 'count', 'extent': 'tensor', 'dtype': 'int64', 'role': 'state'},
           {'name': 'step', 'extent': 'tensor', 'dtype': 'float32', 'role': 'counter'}],
 'values': {'tensor': ['short_term_decay',
                       'one_minus_short_term_decay',
                       'medium_term_decay',
                       'one_minus_medium_term_decay',
                       'long_term_decay',
                       'one_minus_long_term_decay',
                       'gt',
                       'count',
                       'count_plus_constant',
                       'exp_over_exp_plus_exp_plus_exp',
                       'exp_over_exp_plus_exp_plus_exp_2',
                       'exp_over_exp_plus_exp_plus_exp_3',
                       'beta2',
                       'one_minus_beta2',
                       'inverse_one_minus_beta2_to_t',
                       'eps',
                       'weight_decay',
                       'rate',
                       'root_numel_plus_constant'],
            'layer': [],
            'model': [],
            'matrix': [],
            'row': [],
            'col': []},
 'totals': [{'name': 'sum_acc_s', 'op': 'sum'},
            {'name': 'sum_acc_m', 'op': 'sum'},
            {'name': 'sum_acc_l', 'op': 'sum'},
            {'name': 'sum_g_s', 'op': 'sum'},
            {'name': 'sum_g_m', 'op': 'sum'},
            {'name': 'sum_g_l', 'op': 'sum'}],
 'matrix': 'units',
 'tiled': False,
 'graph': False,
 'stencil': False,
 'sweeps': 2,
 'barriers': ['tensor', 'none'],
 'select': 'select_variant',
 'inexact': [],
 'stages': [[['stage_0_tensor', 'tensor']], [['stage_1_tensor', 'tensor']], [['stage_2_tensor', 'tensor']]],
 'variants': [{'name': 'not_due',
               'when': 'not due',
               'slots': ['s', 'm', 'l', 'acc', 'count'],
               'sweeps': [{'function': 'not_due_sweep_1',
                           'streams': [['slot', 2, 'rw'],
                                       ['slot', 1, 'r'],
                                       ['slot', 3, 'rw'],
                                       ['slot', 4, 'rw'],
                                       ['slot', 6, 'rw']],
                           'totals': []},
                          None],
               'stored': [[], ['count'], []]},
              {'name': 'due_k_gt_1',
               'when': 'not (not due) and k > 1',
               'slots': ['s', 'm', 'l', 'v', 'acc', 'count'],
               'sweeps': [{'function': 'due_k_gt_1_sweep_1',
                           'streams': [['slot', 2, 'rw'],
                                       ['slot', 1, 'r'],
                                       ['slot', 3, 'rw'],
                                       ['slot', 4, 'rw'],
                                       ['slot', 6, 'rw']],
                           'totals': [0, 1, 2]},
                          {'function': 'due_k_gt_1_sweep_2',
                           'streams': [['slot', 6, 'r'],
                                       ['slot', 2, 'r'],
                                       ['slot', 3, 'r'],
                                       ['slot', 4, 'r'],
                                       ['slot', 5, 'rw'],
                                       ['slot', 0, 'rw']],
                           'totals': []}],
               'stored': [[], [], ['count', 'step']]},
              {'name': 'due_not_k_gt_1',
               'when': 'not (not due) and not (k > 1)',
               'slots': ['s', 'm', 'l', 'v'],
               'sweeps': [{'function': 'due_not_k_gt_1_sweep_1',
                           'streams': [['slot', 2, 'r'], ['slot', 1, 'r'], ['slot', 3, 'r'], ['slot', 4, 'r']],
                           'totals': [3, 4, 5]},
                          {'function': 'due_not_k_gt_1_sweep_2',
                           'streams': [['slot', 2, 'rw'],
                                       ['slot', 1, 'r'],
                                       ['slot', 3, 'rw'],
                                       ['slot', 4, 'rw'],
                                       ['slot', 5, 'rw'],
                                       ['slot', 0, 'rw']],
                           'totals': []}],
               'stored': [[], [], ['step']]}]}


@segment
def not_due_sweep_1(n, streams, scalars, totals):
    s_at = f4_stream(streams[0], n)
    g_at = f4_stream(streams[1], n)
    m_at = f4_stream(streams[2], n)
    l_at = f4_stream(streams[3], n)
    acc_at = f4_stream(streams[4], n)
    short_term_decay = f4(scalars[0])
    one_minus_short_term_decay = f4(scalars[1])
    medium_term_decay = f4(scalars[2])
    one_minus_medium_term_decay = f4(scalars[3])
    long_term_decay = f4(scalars[4])
    one_minus_long_term_decay = f4(scalars[5])
    gt = f4(scalars[6])
    for i in range(n):
        s = s_at[i]
        g = g_at[i]
        # s = short_term_decay*s + (1 - short_term_decay)*h
        s_new = short_term_decay * s + one_minus_short_term_decay * g
        m = m_at[i]
        # m = medium_term_decay*m + (1 - medium_term_decay)*h
        m_new = medium_term_decay * m + one_minus_medium_term_decay * g
        l = l_at[i]
        # l = long_term_decay*l + (1 - long_term_decay)*h
        l_new = long_term_decay * l + one_minus_long_term_decay * g
        acc = acc_at[i]
        # acc = where(count > 0, acc + g, g)
        acc_new = acc + g if gt != f4(0.0) else g
        acc_at[i] = acc_new
        l_at[i] = l_new
        m_at[i] = m_new
        s_at[i] = s_new


@segment
def due_k_gt_1_sweep_1(n, streams, scalars, totals):
    s_at = f4_stream(streams[0], n)
    g_at = f4_stream(streams[1], n)
    m_at = f4_stream(streams[2], n)
    l_at = f4_stream(streams[3], n)
    acc_at = f4_stream(streams[4], n)
    short_term_decay = f4(scalars[0])
    one_minus_short_term_decay = f4(scalars[1])
    medium_term_decay = f4(scalars[2])
    one_minus_medium_term_decay = f4(scalars[3])
    long_term_decay = f4(scalars[4])
    one_minus_long_term_decay = f4(scalars[5])
    count_plus_constant = f4(scalars[8])
    gt = f4(scalars[6])
    sum_acc_s = f4(0)
    sum_acc_m = f4(0)
    sum_acc_l = f4(0)
    for i in range(n):
        s = s_at[i]
        g = g_at[i]
        # s = short_term_decay*s + (1 - short_term_decay)*h
        s_new = short_term_decay * s + one_minus_short_term_decay * g
        m = m_at[i]
        # m = medium_term_decay*m + (1 - medium_term_decay)*h
        m_new = medium_term_decay * m + one_minus_medium_term_decay * g
        l = l_at[i]
        # l = long_term_decay*l + (1 - long_term_decay)*h
        l_new = long_term_decay * l + one_minus_long_term_decay * g
        acc = acc_at[i]
        # acc = where(count > 0, (acc + g)/(count + 1), g)
        acc_new = (acc + g) / count_plus_constant if gt != f4(0.0) else g
        # score = [dot(g, s, over="tensor"), dot(g, m, over="tensor"), dot(g, l, over="tensor")]
        sum_acc_s = add_reassoc(sum_acc_s, acc_new * s_new)
        sum_acc_m = add_reassoc(sum_acc_m, acc_new * m_new)
        sum_acc_l = add_reassoc(sum_acc_l, acc_new * l_new)
        acc_at[i] = acc_new
        l_at[i] = l_new
        m_at[i] = m_new
        s_at[i] = s_new
    totals[0] = totals[0] + f8(sum_acc_s)
    totals[1] = totals[1] + f8(sum_acc_m)
    totals[2] = totals[2] + f8(sum_acc_l)


@segment
def due_k_gt_1_sweep_2(n, streams, scalars, totals):
    acc_at = f4_stream(streams[0], n)
    s_at = f4_stream(streams[1], n)
    m_at = f4_stream(streams[2], n)
    l_at = f4_stream(streams[3], n)
    v_at = f4_stream(streams[4], n)
    param_at = f4_stream(streams[5], n)
    exp_over_exp_plus_exp_plus_exp = f4(scalars[9])
    exp_over_exp_plus_exp_plus_exp_2 = f4(scalars[10])
    exp_over_exp_plus_exp_plus_exp_3 = f4(scalars[11])
    beta2 = f4(scalars[12])
    one_minus_beta2 = f4(scalars[13])
    inverse_one_minus_beta2_to_t = f4(scalars[14])
    eps = f4(scalars[15])
    weight_decay = f4(scalars[16])
    rate = f4(scalars[17])
    for i in range(n):
        acc = acc_at[i]
        s = s_at[i]
        m = m_at[i]
        l = l_at[i]
        # c = 0.5*g + 0.5*(w[0]*s + w[1]*m + w[2]*l)
        c = f4(0.5) * acc + f4(0.5) * (exp_over_exp_plus_exp_plus_exp * s + exp_over_exp_plus_exp_plus_exp_2 * m + exp_over_exp_plus_exp_plus_exp_3 * l)
        v = v_at[i]
        # v = beta2*v + (1 - beta2)*c**2
        v_new = beta2 * v + one_minus_beta2 * (c * c)
        # d = c/(sqrt(top_v/(1 - beta2**e)) + eps)
        d = c / (np.sqrt(v_new * inverse_one_minus_beta2_to_t) + eps)
        param = param_at[i]
        # param = param - rate*(d + where(compat == "ours", weight_decay, 0)*param)
        param_new = param - rate * (d + weight_decay * param)
        param_at[i] = param_new
        v_at[i] = v_new


@segment
def due_not_k_gt_1_sweep_1(n, streams, scalars, totals):
    s_at = f4_stream(streams[0], n)
    g_at = f4_stream(streams[1], n)
    m_at = f4_stream(streams[2], n)
    l_at = f4_stream(streams[3], n)
    short_term_decay = f4(scalars[0])
    one_minus_short_term_decay = f4(scalars[1])
    medium_term_decay = f4(scalars[2])
    one_minus_medium_term_decay = f4(scalars[3])
    long_term_decay = f4(scalars[4])
    one_minus_long_term_decay = f4(scalars[5])
    sum_g_s = f4(0)
    sum_g_m = f4(0)
    sum_g_l = f4(0)
    for i in range(n):
        s = s_at[i]
        g = g_at[i]
        # s = short_term_decay*s + (1 - short_term_decay)*h
        s_new = short_term_decay * s + one_minus_short_term_decay * g
        m = m_at[i]
        # m = medium_term_decay*m + (1 - medium_term_decay)*h
        m_new = medium_term_decay * m + one_minus_medium_term_decay * g
        l = l_at[i]
        # l = long_term_decay*l + (1 - long_term_decay)*h
        l_new = long_term_decay * l + one_minus_long_term_decay * g
        # score = [dot(g, s, over="tensor"), dot(g, m, over="tensor"), dot(g, l, over="tensor")]
        sum_g_s = add_reassoc(sum_g_s, g * s_new)
        sum_g_m = add_reassoc(sum_g_m, g * m_new)
        sum_g_l = add_reassoc(sum_g_l, g * l_new)
    totals[0] = totals[0] + f8(sum_g_s)
    totals[1] = totals[1] + f8(sum_g_m)
    totals[2] = totals[2] + f8(sum_g_l)


@segment
def due_not_k_gt_1_sweep_2(n, streams, scalars, totals):
    s_at = f4_stream(streams[0], n)
    g_at = f4_stream(streams[1], n)
    m_at = f4_stream(streams[2], n)
    l_at = f4_stream(streams[3], n)
    v_at = f4_stream(streams[4], n)
    param_at = f4_stream(streams[5], n)
    short_term_decay = f4(scalars[0])
    one_minus_short_term_decay = f4(scalars[1])
    medium_term_decay = f4(scalars[2])
    one_minus_medium_term_decay = f4(scalars[3])
    long_term_decay = f4(scalars[4])
    one_minus_long_term_decay = f4(scalars[5])
    exp_over_exp_plus_exp_plus_exp = f4(scalars[9])
    exp_over_exp_plus_exp_plus_exp_2 = f4(scalars[10])
    exp_over_exp_plus_exp_plus_exp_3 = f4(scalars[11])
    beta2 = f4(scalars[12])
    one_minus_beta2 = f4(scalars[13])
    inverse_one_minus_beta2_to_t = f4(scalars[14])
    eps = f4(scalars[15])
    weight_decay = f4(scalars[16])
    rate = f4(scalars[17])
    for i in range(n):
        s = s_at[i]
        g = g_at[i]
        # s = short_term_decay*s + (1 - short_term_decay)*h
        s_new = short_term_decay * s + one_minus_short_term_decay * g
        m = m_at[i]
        # m = medium_term_decay*m + (1 - medium_term_decay)*h
        m_new = medium_term_decay * m + one_minus_medium_term_decay * g
        l = l_at[i]
        # l = long_term_decay*l + (1 - long_term_decay)*h
        l_new = long_term_decay * l + one_minus_long_term_decay * g
        # c = 0.5*g + 0.5*(w[0]*s + w[1]*m + w[2]*l)
        c = f4(0.5) * g + f4(0.5) * (exp_over_exp_plus_exp_plus_exp * s_new + exp_over_exp_plus_exp_plus_exp_2 * m_new + exp_over_exp_plus_exp_plus_exp_3 * l_new)
        v = v_at[i]
        # v = beta2*v + (1 - beta2)*c**2
        v_new = beta2 * v + one_minus_beta2 * (c * c)
        # d = c/(sqrt(top_v/(1 - beta2**e)) + eps)
        d = c / (np.sqrt(v_new * inverse_one_minus_beta2_to_t) + eps)
        param = param_at[i]
        # param = param - rate*(d + where(compat == "ours", weight_decay, 0)*param)
        param_new = param - rate * (d + weight_decay * param)
        l_at[i] = l_new
        m_at[i] = m_new
        param_at[i] = param_new
        s_at[i] = s_new
        v_at[i] = v_new


@stage
def stage_0_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    address = i8_table(ctx[ADDRESS], ctx[TENSORS], ctx[SLOTS])
    hyper = f8_table(ctx[HYPER], ctx[TENSORS], 28)
    tensor_value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 19)
    variant = i8_stream(ctx[VARIANT], ctx[TENSORS])
    meta = f8_table(ctx[META], ctx[TENSORS], 6)
    step = f8_stream(ctx[STEP], 1)
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        if variant[t] == 0:
            count = f8(load_i8(address[t, 7]))
            short_term_decay = hyper[t, 4]
            # s = short_term_decay*s + (1 - short_term_decay)*h
            tensor_value[t, 1] = 1.0 - short_term_decay  # one_minus_short_term_decay
            medium_term_decay = hyper[t, 5]
            # m = medium_term_decay*m + (1 - medium_term_decay)*h
            tensor_value[t, 3] = 1.0 - medium_term_decay  # one_minus_medium_term_decay
            long_term_decay = hyper[t, 6]
            # l = long_term_decay*l + (1 - long_term_decay)*h
            tensor_value[t, 5] = 1.0 - long_term_decay  # one_minus_long_term_decay
            # acc = where(count > 0, acc + g, g)
            tensor_value[t, 6] = (1.0 if count > 0.0 else 0.0)  # gt
            # count = count + 1
            count_1 = count + 1.0
            tensor_value[t, 7] = count_1  # count
            tensor_value[t, 0] = short_term_decay
            tensor_value[t, 2] = medium_term_decay
            tensor_value[t, 4] = long_term_decay
        elif variant[t] == 1:
            count_2 = f8(load_i8(address[t, 7]))
            short_term_decay_1 = hyper[t, 4]
            # s = short_term_decay*s + (1 - short_term_decay)*h
            tensor_value[t, 1] = 1.0 - short_term_decay_1  # one_minus_short_term_decay
            medium_term_decay_1 = hyper[t, 5]
            # m = medium_term_decay*m + (1 - medium_term_decay)*h
            tensor_value[t, 3] = 1.0 - medium_term_decay_1  # one_minus_medium_term_decay
            long_term_decay_1 = hyper[t, 6]
            # l = long_term_decay*l + (1 - long_term_decay)*h
            tensor_value[t, 5] = 1.0 - long_term_decay_1  # one_minus_long_term_decay
            # acc = where(count > 0, (acc + g)/(count + 1), g)
            tensor_value[t, 6] = (1.0 if count_2 > 0.0 else 0.0)  # gt
            tensor_value[t, 8] = count_2 + 1.0  # count_plus_constant
            # w = softmax(score/sqrt(numel(param) + 1e-8))
            tensor_value[t, 18] = np.sqrt(meta[t, 0] + 1e-08)  # root_numel_plus_constant
            beta2 = hyper[t, 2]
            # v = beta2*v + (1 - beta2)*c**2
            tensor_value[t, 13] = 1.0 - beta2  # one_minus_beta2
            updates = f8(load_f4(address[t, 8])) + 1.0
            # d = c/(sqrt(top_v/(1 - beta2**e)) + eps)
            tensor_value[t, 14] = 1.0 / -np.expm1(updates * np.log(beta2))  # inverse_one_minus_beta2_to_t
            steps_per_epoch = hyper[t, 22]
            # length = maximum(steps_per_epoch, 1)
            length = maximum(steps_per_epoch, 1.0)
            # i = (maximum(step, 1) - 1) % length
            i_1 = (maximum(step[0], 1.0) - 1.0) % length if length != 0 else 0.0
            lr_warmup_fraction = hyper[t, 23]
            # warm_end = lr_warmup_fraction*length
            warm_end = lr_warmup_fraction * length
            lr_hold_fraction = hyper[t, 24]
            # hold_end = warm_end + lr_hold_fraction*length
            hold_end = warm_end + lr_hold_fraction * length
            lr_warmup_start_fraction = hyper[t, 27]
            # rise = lr_warmup_start_fraction + (1 - lr_warmup_start_fraction)*minimum(i/maximum(warm_end, 1), 1)
            rise = lr_warmup_start_fraction + (1.0 - lr_warmup_start_fraction) * minimum(i_1 / maximum(warm_end, 1.0), 1.0)
            lr_min_fraction = hyper[t, 26]
            lr_decay_fraction = hyper[t, 25]
            # fall = 1 - (1 - lr_min_fraction)*minimum((i - hold_end)/maximum(lr_decay_fraction*length, 1), 1)
            fall = 1.0 - (1.0 - lr_min_fraction) * minimum((i_1 - hold_end) / maximum(lr_decay_fraction * length, 1.0), 1.0)
            lr = hyper[t, 0]
            # rate = lr*where(steps_per_epoch == 0 or (warm_end <= i and i < hold_end), 1, where(i < warm_end, rise, fall))
            rate = lr * (1.0 if (steps_per_epoch == 0.0) | (warm_end <= i_1) & (i_1 < hold_end) else (rise if i_1 < warm_end else fall))
            tensor_value[t, 17] = rate
            tensor_value[t, 0] = short_term_decay_1  # short_term_decay
            tensor_value[t, 2] = medium_term_decay_1  # medium_term_decay
            tensor_value[t, 4] = long_term_decay_1  # long_term_decay
            tensor_value[t, 12] = beta2
            eps = hyper[t, 3]
            tensor_value[t, 15] = eps
            weight_decay = hyper[t, 21]
            tensor_value[t, 16] = weight_decay
        elif variant[t] == 2:
            short_term_decay_2 = hyper[t, 4]
            # s = short_term_decay*s + (1 - short_term_decay)*h
            tensor_value[t, 1] = 1.0 - short_term_decay_2  # one_minus_short_term_decay
            medium_term_decay_2 = hyper[t, 5]
            # m = medium_term_decay*m + (1 - medium_term_decay)*h
            tensor_value[t, 3] = 1.0 - medium_term_decay_2  # one_minus_medium_term_decay
            long_term_decay_2 = hyper[t, 6]
            # l = long_term_decay*l + (1 - long_term_decay)*h
            tensor_value[t, 5] = 1.0 - long_term_decay_2  # one_minus_long_term_decay
            # w = softmax(score/sqrt(numel(param) + 1e-8))
            tensor_value[t, 18] = np.sqrt(meta[t, 0] + 1e-08)  # root_numel_plus_constant
            beta2_1 = hyper[t, 2]
            # v = beta2*v + (1 - beta2)*c**2
            tensor_value[t, 13] = 1.0 - beta2_1  # one_minus_beta2
            updates_1 = f8(load_f4(address[t, 8])) + 1.0
            # d = c/(sqrt(top_v/(1 - beta2**e)) + eps)
            tensor_value[t, 14] = 1.0 / -np.expm1(updates_1 * np.log(beta2_1))  # inverse_one_minus_beta2_to_t
            steps_per_epoch_1 = hyper[t, 22]
            # length = maximum(steps_per_epoch, 1)
            length_1 = maximum(steps_per_epoch_1, 1.0)
            # i = (maximum(step, 1) - 1) % length
            i_2 = (maximum(step[0], 1.0) - 1.0) % length_1 if length_1 != 0 else 0.0
            lr_warmup_fraction_1 = hyper[t, 23]
            # warm_end = lr_warmup_fraction*length
            warm_end_1 = lr_warmup_fraction_1 * length_1
            lr_hold_fraction_1 = hyper[t, 24]
            # hold_end = warm_end + lr_hold_fraction*length
            hold_end_1 = warm_end_1 + lr_hold_fraction_1 * length_1
            lr_warmup_start_fraction_1 = hyper[t, 27]
            # rise = lr_warmup_start_fraction + (1 - lr_warmup_start_fraction)*minimum(i/maximum(warm_end, 1), 1)
            rise_1 = lr_warmup_start_fraction_1 + (1.0 - lr_warmup_start_fraction_1) * minimum(i_2 / maximum(warm_end_1, 1.0), 1.0)
            lr_min_fraction_1 = hyper[t, 26]
            lr_decay_fraction_1 = hyper[t, 25]
            # fall = 1 - (1 - lr_min_fraction)*minimum((i - hold_end)/maximum(lr_decay_fraction*length, 1), 1)
            fall_1 = 1.0 - (1.0 - lr_min_fraction_1) * minimum((i_2 - hold_end_1) / maximum(lr_decay_fraction_1 * length_1, 1.0), 1.0)
            lr_1 = hyper[t, 0]
            # rate = lr*where(steps_per_epoch == 0 or (warm_end <= i and i < hold_end), 1, where(i < warm_end, rise, fall))
            rate_1 = lr_1 * (1.0 if (steps_per_epoch_1 == 0.0) | (warm_end_1 <= i_2) & (i_2 < hold_end_1) else (rise_1 if i_2 < warm_end_1 else fall_1))
            tensor_value[t, 17] = rate_1  # rate
            tensor_value[t, 0] = short_term_decay_2  # short_term_decay
            tensor_value[t, 2] = medium_term_decay_2  # medium_term_decay
            tensor_value[t, 4] = long_term_decay_2  # long_term_decay
            tensor_value[t, 12] = beta2_1  # beta2
            eps_1 = hyper[t, 3]
            tensor_value[t, 15] = eps_1  # eps
            weight_decay_1 = hyper[t, 21]
            tensor_value[t, 16] = weight_decay_1  # weight_decay


@stage
def stage_1_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    tensor_value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 19)
    address = i8_table(ctx[ADDRESS], ctx[TENSORS], ctx[SLOTS])
    variant = i8_stream(ctx[VARIANT], ctx[TENSORS])
    tensor_total = f8_table(ctx[TENSOR_TOTAL], ctx[TENSORS], 6)
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        if variant[t] == 0:
            if mode[t] == ACTIVE:
                store_i8(address[t, 7], i8(tensor_value[t, 7]))
        elif variant[t] == 1:
            # w = softmax(score/sqrt(numel(param) + 1e-8))
            x = tensor_total[t, 0] / tensor_value[t, 18]
            x_1 = tensor_total[t, 1] / tensor_value[t, 18]
            x_2 = tensor_total[t, 2] / tensor_value[t, 18]
            x_3 = maximum(maximum(x, x_1), x_2)
            x_4 = np.exp(x - x_3)
            x_5 = np.exp(x_1 - x_3)
            x_6 = np.exp(x_2 - x_3)
            x_7 = x_4 + x_5 + x_6
            tensor_value[t, 9] = x_4 / x_7  # exp_over_exp_plus_exp_plus_exp
            tensor_value[t, 10] = x_5 / x_7  # exp_over_exp_plus_exp_plus_exp_2
            tensor_value[t, 11] = x_6 / x_7  # exp_over_exp_plus_exp_plus_exp_3
        elif variant[t] == 2:
            # w = softmax(score/sqrt(numel(param) + 1e-8))
            x_8 = tensor_total[t, 3] / tensor_value[t, 18]
            x_9 = tensor_total[t, 4] / tensor_value[t, 18]
            x_10 = tensor_total[t, 5] / tensor_value[t, 18]
            x_11 = maximum(maximum(x_8, x_9), x_10)
            x_12 = np.exp(x_8 - x_11)
            x_13 = np.exp(x_9 - x_11)
            x_14 = np.exp(x_10 - x_11)
            x_15 = x_12 + x_13 + x_14
            tensor_value[t, 9] = x_12 / x_15  # exp_over_exp_plus_exp_plus_exp
            tensor_value[t, 10] = x_13 / x_15  # exp_over_exp_plus_exp_plus_exp_2
            tensor_value[t, 11] = x_14 / x_15  # exp_over_exp_plus_exp_plus_exp_3


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
        if variant[t] == 1:
            if mode[t] == ACTIVE:
                store_i8(address[t, 7], i8(0.0))
            updates = f8(load_f4(address[t, 8])) + 1.0
            if mode[t] == ACTIVE:
                store_f4(address[t, 8], f4(updates))
        elif variant[t] == 2:
            updates_1 = f8(load_f4(address[t, 8])) + 1.0
            if mode[t] == ACTIVE:
                store_f4(address[t, 8], f4(updates_1))


@select
def select_variant(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    hyper = f8_table(ctx[HYPER], ctx[TENSORS], 28)
    meta = f8_table(ctx[META], ctx[TENSORS], 6)
    step = f8_stream(ctx[STEP], 1)
    variant = i8_stream(ctx[VARIANT], ctx[TENSORS])
    for k in range(begin, end):
        t = members[k]
        interval = hyper[t, 12]
        x = interval == 0.0
        auto_schedule = hyper[t, 13]
        layer_interval = hyper[t, 14]
        default_interval = hyper[t, 15]
        max_interval = hyper[t, 16]
        reverse_depth_order = hyper[t, 17]
        x_1 = (layer_interval if layer_interval > 0.0 else default_interval) if x & (not auto_schedule != 0.0) else (minimum(maximum(1.0, np.floor(max_interval * 0.5 * (1.0 + np.cos(3.141592653589793 * (1.0 - meta[t, 5] if reverse_depth_order != 0.0 else meta[t, 5]))) + 1.0 + 1e-09)), max_interval) if x else interval)
        warmup_steps = hyper[t, 18]
        interval_1 = hyper[t, 12]
        x_2 = interval_1 == 0.0
        auto_schedule_1 = hyper[t, 13]
        layer_interval_1 = hyper[t, 14]
        default_interval_1 = hyper[t, 15]
        max_interval_1 = hyper[t, 16]
        reverse_depth_order_1 = hyper[t, 17]
        x_3 = (layer_interval_1 if layer_interval_1 > 0.0 else default_interval_1) if x_2 & (not auto_schedule_1 != 0.0) else (minimum(maximum(1.0, np.floor(max_interval_1 * 0.5 * (1.0 + np.cos(3.141592653589793 * (1.0 - meta[t, 5] if reverse_depth_order_1 != 0.0 else meta[t, 5]))) + 1.0 + 1e-09)), max_interval_1) if x_2 else interval_1)
        warmup_steps_1 = hyper[t, 18]
        variant[t] = i8((0.0 if not (x_3 <= 1.0) | (step[0] <= warmup_steps_1) | ((step[0] % x_3 if x_3 != 0 else 0.0) == 0.0) else (1.0 if (not not (x_1 <= 1.0) | (step[0] <= warmup_steps) | ((step[0] % x_1 if x_1 != 0 else 0.0) == 0.0)) & (x_1 > 1.0) else 2.0)))


FUNCTIONS = {
    "not_due_sweep_1": not_due_sweep_1,
    "due_k_gt_1_sweep_1": due_k_gt_1_sweep_1,
    "due_k_gt_1_sweep_2": due_k_gt_1_sweep_2,
    "due_not_k_gt_1_sweep_1": due_not_k_gt_1_sweep_1,
    "due_not_k_gt_1_sweep_2": due_not_k_gt_1_sweep_2,
    "stage_0_tensor": stage_0_tensor,
    "stage_1_tensor": stage_1_tensor,
    "stage_2_tensor": stage_2_tensor,
    "select_variant": select_variant,
}
