"""Kernels of the rule neat in float64, generated from neat.yaml.

spec ff7f4e683ee165e7c590337fe1c355bd778ee51d76fc6e648f2c6e808796e349
made by: optgen build neat --backend numba --set bias_correction=true --set coupling=transport --set maximize=false --set nsa=l2 --set nsa_mean_preserving=false
"""

import numpy as np

from optgen.runtime.cpu import (
    ABSENT,
    ACTIVE,
    ADDRESS,
    EDGE_MATCHED,
    EDGE_OTHER,
    EDGE_OWN,
    EDGE_START,
    EDGE_TO,
    HYPER,
    LAYERS,
    LAYER_MEMBER,
    LAYER_OF,
    LAYER_PRESENT,
    LAYER_START,
    LAYER_VALUE,
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
    f8_near,
    f8_stream,
    f8_table,
    i8_stream,
    i8_table,
    laplacian_at,
    load_f4,
    maximum,
    segment,
    stage,
    store_f4,
)

MANIFEST = {'abi': 1,
 'rule': 'neat',
 'class': 'NEAT',
 'digest': 'ff7f4e683ee165e7c590337fe1c355bd778ee51d76fc6e648f2c6e808796e349',
 'backend': 'numba',
 'settled': {'bias_correction': True,
             'coupling': 'transport',
             'maximize': False,
             'not decoupled_weight_decay': False,
             'nsa': 'l2',
             'nsa_mean_preserving': False},
 'dtype': {'compute': 'float64', 'param': 'float64', 'g': 'float64'},
 'hypers': ['lr',
            'beta1',
            'beta2',
            'eps',
            'mu',
            'kappa',
            'nsa_mean_preserving',
            'bias_correction',
            'weight_decay',
            'decoupled_weight_decay'],
 'inputs': [],
 'slots': [{'name': 'param', 'extent': 'elem', 'dtype': 'float64', 'role': 'param'},
           {'name': 'g', 'extent': 'elem', 'dtype': 'float64', 'role': 'gradient'},
           {'name': 'm', 'extent': 'elem', 'dtype': 'float64', 'role': 'state'},
           {'name': 'v', 'extent': 'elem', 'dtype': 'float64', 'role': 'state'},
           {'name': 'step', 'extent': 'tensor', 'dtype': 'float32', 'role': 'counter'}],
 'values': {'tensor': ['edges',
                       'mu',
                       'beta1',
                       'one_minus_beta1',
                       'beta2',
                       'one_minus_beta2',
                       'inverse_one_minus_beta1_to_t',
                       'inverse_one_minus_beta2_to_t',
                       'eps',
                       'share',
                       'weight_decay',
                       'lr'],
            'layer': ['root_sum_g_g', 'sum_x_g_2', 'sum_g_g_2', 'sum_x_x_2', 'edges_2', 'share_2'],
            'model': [],
            'matrix': [],
            'row': [],
            'col': []},
 'totals': [{'name': 'sum_g_g', 'op': 'sum'}, {'name': 'sum_x_x', 'op': 'sum'}, {'name': 'sum_x_g', 'op': 'sum'}],
 'matrix': 'trailing',
 'tiled': False,
 'graph': True,
 'stencil': True,
 'sweeps': 2,
 'barriers': ['layer', 'none'],
 'select': None,
 'inexact': [],
 'stages': [[['stage_0_tensor', 'tensor']],
            [['stage_1_layer', 'layer'], ['stage_1_layer_2', 'layer'], ['stage_1_tensor', 'tensor']],
            [['stage_2_tensor', 'tensor']]],
 'variants': [{'name': 'always',
               'when': '',
               'slots': ['m', 'v'],
               'sweeps': [{'function': 'sweep_1',
                           'streams': [['slot', 1, 'r'], ['near', 1]],
                           'totals': [1, 2, 0],
                           'alone': {'function': 'sweep_1_alone', 'streams': [['slot', 1, 'r']], 'totals': [0]}},
                          {'function': 'sweep_2',
                           'streams': [['slot', 1, 'r'],
                                       ['slot', 2, 'rw'],
                                       ['slot', 3, 'rw'],
                                       ['slot', 0, 'rw'],
                                       ['near', 1]],
                           'totals': [],
                           'alone': {'function': 'sweep_2_alone',
                                     'streams': [['slot', 1, 'r'],
                                                 ['slot', 2, 'rw'],
                                                 ['slot', 3, 'rw'],
                                                 ['slot', 0, 'rw']],
                                     'totals': []}}],
               'stored': [[], [], ['step']]}]}


@segment
def sweep_1(n, streams, scalars, totals):
    g_at = f8_stream(streams[0], n)
    g_near = f8_near(streams, 1)
    sum_x_x = f8(0)
    sum_x_g = f8(0)
    sum_g_g = f8(0)
    for i in range(n):
        pull_g = laplacian_at(g_near, i)
        g = g_at[i]
        # c = norm(LG, over="layer")
        sum_x_x = add_reassoc(sum_x_x, pull_g * pull_g)
        sum_x_g = add_reassoc(sum_x_g, pull_g * g)
        # LG = laplacian(g)
        sum_g_g = add_reassoc(sum_g_g, g * g)
    totals[0] = totals[0] + f8(sum_x_x)
    totals[1] = totals[1] + f8(sum_x_g)
    totals[2] = totals[2] + f8(sum_g_g)


@segment
def sweep_1_alone(n, streams, scalars, totals):
    g_at = f8_stream(streams[0], n)
    sum_g_g = f8(0)
    for i in range(n):
        g = g_at[i]
        # LG = laplacian(g)
        sum_g_g = add_reassoc(sum_g_g, g * g)
    totals[0] = totals[0] + f8(sum_g_g)


@segment
def sweep_2(n, streams, scalars, totals):
    g_at = f8_stream(streams[0], n)
    m_at = f8_stream(streams[1], n)
    v_at = f8_stream(streams[2], n)
    param_at = f8_stream(streams[3], n)
    g_near = f8_near(streams, 4)
    edges = f8(scalars[0])
    mu = f8(scalars[1])
    beta1 = f8(scalars[2])
    one_minus_beta1 = f8(scalars[3])
    beta2 = f8(scalars[4])
    one_minus_beta2 = f8(scalars[5])
    inverse_one_minus_beta1_to_t = f8(scalars[6])
    inverse_one_minus_beta2_to_t = f8(scalars[7])
    eps = f8(scalars[8])
    share = f8(scalars[9])
    weight_decay = f8(scalars[10])
    lr = f8(scalars[11])
    for i in range(n):
        pull_g = laplacian_at(g_near, i)
        g = g_at[i]
        # LG = laplacian(g)
        LG = pull_g + edges * g
        # g = g - mu*LG
        g_new = g - mu * LG
        m = m_at[i]
        # m = beta1*m + (1 - beta1)*g
        m_new = beta1 * m + one_minus_beta1 * g_new
        v = v_at[i]
        # v = beta2*v + (1 - beta2)*g**2
        v_new = beta2 * v + one_minus_beta2 * (g_new * g_new)
        # d = (m/(1 - beta1**t)) / (sqrt(v/(1 - beta2**t)) + eps)
        d = m_new * inverse_one_minus_beta1_to_t / (np.sqrt(v_new * inverse_one_minus_beta2_to_t) + eps)
        # d = share*d
        d_1 = share * d
        param = param_at[i]
        # param = param - lr*(d + where(decoupled_weight_decay, weight_decay, 0)*param)
        param_new = param - lr * (d_1 + weight_decay * param)
        m_at[i] = m_new
        param_at[i] = param_new
        v_at[i] = v_new


@segment
def sweep_2_alone(n, streams, scalars, totals):
    g_at = f8_stream(streams[0], n)
    m_at = f8_stream(streams[1], n)
    v_at = f8_stream(streams[2], n)
    param_at = f8_stream(streams[3], n)
    edges = f8(scalars[0])
    mu = f8(scalars[1])
    beta1 = f8(scalars[2])
    one_minus_beta1 = f8(scalars[3])
    beta2 = f8(scalars[4])
    one_minus_beta2 = f8(scalars[5])
    inverse_one_minus_beta1_to_t = f8(scalars[6])
    inverse_one_minus_beta2_to_t = f8(scalars[7])
    eps = f8(scalars[8])
    share = f8(scalars[9])
    weight_decay = f8(scalars[10])
    lr = f8(scalars[11])
    for i in range(n):
        g = g_at[i]
        # g = g - mu*LG
        g_new = g - mu * (edges * g)
        m = m_at[i]
        # m = beta1*m + (1 - beta1)*g
        m_new = beta1 * m + one_minus_beta1 * g_new
        v = v_at[i]
        # v = beta2*v + (1 - beta2)*g**2
        v_new = beta2 * v + one_minus_beta2 * (g_new * g_new)
        # d = (m/(1 - beta1**t)) / (sqrt(v/(1 - beta2**t)) + eps)
        d = m_new * inverse_one_minus_beta1_to_t / (np.sqrt(v_new * inverse_one_minus_beta2_to_t) + eps)
        # d = share*d
        d_1 = share * d
        param = param_at[i]
        # param = param - lr*(d + where(decoupled_weight_decay, weight_decay, 0)*param)
        param_new = param - lr * (d_1 + weight_decay * param)
        m_at[i] = m_new
        param_at[i] = param_new
        v_at[i] = v_new


@stage
def stage_0_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    hyper = f8_table(ctx[HYPER], ctx[TENSORS], 10)
    tensor_value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 12)
    address = i8_table(ctx[ADDRESS], ctx[TENSORS], ctx[SLOTS])
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        beta1 = hyper[t, 1]
        # m = beta1*m + (1 - beta1)*g
        tensor_value[t, 3] = 1.0 - beta1  # one_minus_beta1
        beta2 = hyper[t, 2]
        # v = beta2*v + (1 - beta2)*g**2
        tensor_value[t, 5] = 1.0 - beta2  # one_minus_beta2
        updates = f8(load_f4(address[t, 4])) + 1.0
        # d = (m/(1 - beta1**t)) / (sqrt(v/(1 - beta2**t)) + eps)
        tensor_value[t, 6] = 1.0 / -np.expm1(updates * np.log(beta1))  # inverse_one_minus_beta1_to_t
        tensor_value[t, 7] = 1.0 / -np.expm1(updates * np.log(beta2))  # inverse_one_minus_beta2_to_t
        decoupled_weight_decay = hyper[t, 9]
        weight_decay = hyper[t, 8]
        # param = param - lr*(d + where(decoupled_weight_decay, weight_decay, 0)*param)
        tensor_value[t, 10] = (weight_decay if decoupled_weight_decay != 0.0 else 0.0)  # weight_decay
        mu = hyper[t, 4]
        tensor_value[t, 1] = mu
        tensor_value[t, 2] = beta1
        tensor_value[t, 4] = beta2
        eps = hyper[t, 3]
        tensor_value[t, 8] = eps
        lr = hyper[t, 0]
        tensor_value[t, 11] = lr


@stage
def stage_1_layer(ctx, begin, end):
    layer_present = i8_stream(ctx[LAYER_PRESENT], ctx[LAYERS])
    layer_member = i8_stream(ctx[LAYER_MEMBER], ctx[TENSORS])
    layer_start = i8_stream(ctx[LAYER_START], ctx[LAYERS] + 1)
    tensor_total = f8_table(ctx[TENSOR_TOTAL], ctx[TENSORS], 3)
    layer_value = f8_table(ctx[LAYER_VALUE], ctx[LAYERS], 6)
    for k in range(begin, end):
        if layer_present[k] == 0:
            continue
        t = layer_member[layer_start[k]]
        sum_g_g = 0.0
        for at in range(layer_start[k], layer_start[k + 1]):
            each = layer_member[at]
            sum_g_g = sum_g_g + tensor_total[each, 0]
        # LG = laplacian(g)
        layer_value[k, 2] = sum_g_g  # sum_g_g_2
        layer_value[k, 0] = np.sqrt(sum_g_g)  # root_sum_g_g
        sum_x_x = 0.0
        for at_1 in range(layer_start[k], layer_start[k + 1]):
            each_1 = layer_member[at_1]
            sum_x_x = sum_x_x + tensor_total[each_1, 1]
        # c = norm(LG, over="layer")
        layer_value[k, 3] = sum_x_x  # sum_x_x_2
        sum_x_g = 0.0
        for at_2 in range(layer_start[k], layer_start[k + 1]):
            each_2 = layer_member[at_2]
            sum_x_g = sum_x_g + tensor_total[each_2, 2]
        layer_value[k, 1] = sum_x_g  # sum_x_g_2


@stage
def stage_1_layer_2(ctx, begin, end):
    layer_present = i8_stream(ctx[LAYER_PRESENT], ctx[LAYERS])
    layer_member = i8_stream(ctx[LAYER_MEMBER], ctx[TENSORS])
    layer_start = i8_stream(ctx[LAYER_START], ctx[LAYERS] + 1)
    edge_start = i8_stream(ctx[EDGE_START], ctx[LAYERS] + 1)
    edge_matched = i8_stream(ctx[EDGE_MATCHED], edge_start[ctx[LAYERS]])
    edge_own = f8_stream(ctx[EDGE_OWN], edge_start[ctx[LAYERS]])
    edge_other = f8_stream(ctx[EDGE_OTHER], edge_start[ctx[LAYERS]])
    layer_value = f8_table(ctx[LAYER_VALUE], ctx[LAYERS], 6)
    edge_to = i8_stream(ctx[EDGE_TO], edge_start[ctx[LAYERS]])
    hyper = f8_table(ctx[HYPER], ctx[TENSORS], 10)
    for k in range(begin, end):
        if layer_present[k] == 0:
            continue
        t = layer_member[layer_start[k]]
        pull = 0.0
        for edge in range(edge_start[k], edge_start[k + 1]):
            if edge_matched[edge] != 0:
                continue
            pull = pull + (edge_own[edge] - edge_other[edge] * layer_value[edge_to[edge], 0] / maximum(layer_value[k, 0], 1e-16))
        # LG = laplacian(g)
        layer_value[k, 4] = pull  # edges_2
        # c = norm(LG, over="layer")
        c = np.sqrt(maximum(0.0, layer_value[k, 3] + 2.0 * (pull * layer_value[k, 1]) + pull * (pull * layer_value[k, 2])))
        kappa = hyper[t, 5]
        # share = 1/(1 + kappa*c)
        share = 1.0 / (1.0 + kappa * c)
        layer_value[k, 5] = share  # share_2


@stage
def stage_1_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    layer_of = i8_stream(ctx[LAYER_OF], ctx[TENSORS])
    layer_value = f8_table(ctx[LAYER_VALUE], ctx[LAYERS], 6)
    tensor_value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 12)
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        tensor_value[t, 0] = layer_value[layer_of[t], 4]  # edges
        tensor_value[t, 9] = layer_value[layer_of[t], 5]  # share


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
    "sweep_1_alone": sweep_1_alone,
    "sweep_2": sweep_2,
    "sweep_2_alone": sweep_2_alone,
    "stage_0_tensor": stage_0_tensor,
    "stage_1_layer": stage_1_layer,
    "stage_1_layer_2": stage_1_layer_2,
    "stage_1_tensor": stage_1_tensor,
    "stage_2_tensor": stage_2_tensor,
}
