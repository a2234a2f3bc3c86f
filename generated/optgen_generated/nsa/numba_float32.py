"""Kernels of the rule nsa in float32, generated from nsa.yaml.

spec b1ead84a8fc0ea7097b154282d1597594e9299e563fd8a6e3ccb58a72dcd5ff3
made by: optgen build nsa --backend numba --set coupling=transport --set maximize=false --set nsa=l2 --set nsa_mean_preserving=false
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
    f4_near,
    f4_stream,
    f8,
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
 'rule': 'nsa',
 'class': 'NSA',
 'digest': 'b1ead84a8fc0ea7097b154282d1597594e9299e563fd8a6e3ccb58a72dcd5ff3',
 'backend': 'numba',
 'settled': {'coupling': 'transport', 'maximize': False, 'nsa': 'l2', 'nsa_mean_preserving': False},
 'dtype': {'compute': 'float32', 'param': 'float32', 'g': 'float32'},
 'hypers': ['lr',
            'beta1',
            'beta2',
            'eps',
            'kappa',
            'nsa_mean_preserving',
            'bias_correction',
            'weight_decay',
            'decoupled_weight_decay'],
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
                       'inverse_one_minus_beta2_to_t',
                       'eps',
                       'share',
                       'weight_decay_2',
                       'lr'],
            'layer': ['root_sum_g_g', 'sum_x_g_2', 'sum_g_g_2', 'sum_x_x_2', 'share_2'],
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
                           'streams': [['slot', 0, 'rw'], ['slot', 1, 'r'], ['slot', 2, 'rw'], ['slot', 3, 'rw']],
                           'totals': []}],
               'stored': [[], [], ['step']]}]}


@segment
def sweep_1(n, streams, scalars, totals):
    g_at = f4_stream(streams[0], n)
    g_near = f4_near(streams, 1)
    sum_x_x = f4(0)
    sum_x_g = f4(0)
    sum_g_g = f4(0)
    for i in range(n):
        pull_g = laplacian_at(g_near, i)
        g = g_at[i]
        # c = norm(laplacian(g), over="layer")
        sum_x_x = add_reassoc(sum_x_x, pull_g * pull_g)
        sum_x_g = add_reassoc(sum_x_g, pull_g * g)
        sum_g_g = add_reassoc(sum_g_g, g * g)
    totals[0] = totals[0] + f8(sum_x_x)
    totals[1] = totals[1] + f8(sum_x_g)
    totals[2] = totals[2] + f8(sum_g_g)


@segment
def sweep_1_alone(n, streams, scalars, totals):
    g_at = f4_stream(streams[0], n)
    sum_g_g = f4(0)
    for i in range(n):
        g = g_at[i]
        # c = norm(laplacian(g), over="layer")
        sum_g_g = add_reassoc(sum_g_g, g * g)
    totals[0] = totals[0] + f8(sum_g_g)


@segment
def sweep_2(n, streams, scalars, totals):
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
    inverse_one_minus_beta2_to_t = f4(scalars[6])
    eps = f4(scalars[7])
    share = f4(scalars[8])
    weight_decay_2 = f4(scalars[9])
    lr = f4(scalars[10])
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
        # d = (m/where(bias_correction, 1 - beta1**t, 1)) / (sqrt(v/where(bias_correction, 1 - beta2**t, 1)) + eps)
        d = m_new * inverse_one_minus_beta1_to_t / (np.sqrt(v_new * inverse_one_minus_beta2_to_t) + eps)
        # d = share*d
        d_1 = share * d
        # param = param - lr*(d + where(decoupled_weight_decay, weight_decay, 0)*param)
        param_new = param - lr * (d_1 + weight_decay_2 * param)
        m_at[i] = m_new
        param_at[i] = param_new
        v_at[i] = v_new


@stage
def stage_0_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    hyper = f8_table(ctx[HYPER], ctx[TENSORS], 9)
    tensor_value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 11)
    address = i8_table(ctx[ADDRESS], ctx[TENSORS], ctx[SLOTS])
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        decoupled_weight_decay = hyper[t, 8]
        weight_decay = hyper[t, 7]
        # g = g + where(decoupled_weight_decay, 0, weight_decay)*param
        tensor_value[t, 0] = (0.0 if decoupled_weight_decay != 0.0 else weight_decay)  # weight_decay
        beta1 = hyper[t, 1]
        # m = beta1*m + (1 - beta1)*g
        tensor_value[t, 2] = 1.0 - beta1  # one_minus_beta1
        beta2 = hyper[t, 2]
        # v = beta2*v + (1 - beta2)*g**2
        tensor_value[t, 4] = 1.0 - beta2  # one_minus_beta2
        updates = f8(load_f4(address[t, 4])) + 1.0
        bias_correction = hyper[t, 6]
        # d = (m/where(bias_correction, 1 - beta1**t, 1)) / (sqrt(v/where(bias_correction, 1 - beta2**t, 1)) + eps)
        tensor_value[t, 5] = 1.0 / (-np.expm1(updates * np.log(beta1)) if bias_correction != 0.0 else 1.0)  # inverse_one_minus_beta1_to_t
        tensor_value[t, 6] = 1.0 / (-np.expm1(updates * np.log(beta2)) if bias_correction != 0.0 else 1.0)  # inverse_one_minus_beta2_to_t
        # param = param - lr*(d + where(decoupled_weight_decay, weight_decay, 0)*param)
        tensor_value[t, 9] = (weight_decay if decoupled_weight_decay != 0.0 else 0.0)  # weight_decay_2
        tensor_value[t, 1] = beta1
        tensor_value[t, 3] = beta2
        eps = hyper[t, 3]
        tensor_value[t, 7] = eps
        lr = hyper[t, 0]
        tensor_value[t, 10] = lr


@stage
def stage_1_layer(ctx, begin, end):
    layer_present = i8_stream(ctx[LAYER_PRESENT], ctx[LAYERS])
    layer_member = i8_stream(ctx[LAYER_MEMBER], ctx[TENSORS])
    layer_start = i8_stream(ctx[LAYER_START], ctx[LAYERS] + 1)
    tensor_total = f8_table(ctx[TENSOR_TOTAL], ctx[TENSORS], 3)
    layer_value = f8_table(ctx[LAYER_VALUE], ctx[LAYERS], 5)
    for k in range(begin, end):
        if layer_present[k] == 0:
            continue
        t = layer_member[layer_start[k]]
        sum_g_g = 0.0
        for at in range(layer_start[k], layer_start[k + 1]):
            each = layer_member[at]
            sum_g_g = sum_g_g + tensor_total[each, 0]
        # c = norm(laplacian(g), over="layer")
        layer_value[k, 2] = sum_g_g  # sum_g_g_2
        layer_value[k, 0] = np.sqrt(sum_g_g)  # root_sum_g_g
        sum_x_x = 0.0
        for at_1 in range(layer_start[k], layer_start[k + 1]):
            each_1 = layer_member[at_1]
            sum_x_x = sum_x_x + tensor_total[each_1, 1]
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
    layer_value = f8_table(ctx[LAYER_VALUE], ctx[LAYERS], 5)
    edge_to = i8_stream(ctx[EDGE_TO], edge_start[ctx[LAYERS]])
    hyper = f8_table(ctx[HYPER], ctx[TENSORS], 9)
    for k in range(begin, end):
        if layer_present[k] == 0:
            continue
        t = layer_member[layer_start[k]]
        pull = 0.0
        for edge in range(edge_start[k], edge_start[k + 1]):
            if edge_matched[edge] != 0:
                continue
            pull = pull + (edge_own[edge] - edge_other[edge] * layer_value[edge_to[edge], 0] / maximum(layer_value[k, 0], 1e-16))
        # c = norm(laplacian(g), over="layer")
        c = np.sqrt(maximum(0.0, layer_value[k, 3] + 2.0 * (pull * layer_value[k, 1]) + pull * (pull * layer_value[k, 2])))
        kappa = hyper[t, 4]
        # share = 1/(1 + kappa*c)
        share = 1.0 / (1.0 + kappa * c)
        layer_value[k, 4] = share  # share_2


@stage
def stage_1_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    layer_of = i8_stream(ctx[LAYER_OF], ctx[TENSORS])
    layer_value = f8_table(ctx[LAYER_VALUE], ctx[LAYERS], 5)
    tensor_value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 11)
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        tensor_value[t, 8] = layer_value[layer_of[t], 4]  # share


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
    "stage_0_tensor": stage_0_tensor,
    "stage_1_layer": stage_1_layer,
    "stage_1_layer_2": stage_1_layer_2,
    "stage_1_tensor": stage_1_tensor,
    "stage_2_tensor": stage_2_tensor,
}
