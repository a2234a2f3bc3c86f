"""Kernels of the rule neat in float32, generated from neat.yaml.

spec ff7f4e683ee165e7c590337fe1c355bd778ee51d76fc6e648f2c6e808796e349
made by: optgen build neat --backend triton --set bias_correction=true --set coupling=transport --set maximize=false --set nsa=l2 --set nsa_mean_preserving=false
"""

import triton
import triton.language as tl

from optgen.runtime.triton_device import (
    ABSENT,
    ACTIVE,
    ADDRESS,
    C_COL,
    C_COL_END,
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
    PARTIAL,
    SLOTS,
    TENSOR_READ,
    TENSOR_TOTAL,
    TENSOR_VALUE,
    add_total,
    chunk_field,
    chunk_of_program,
    deposit,
    f8,
    fetch,
    get,
    is_last_program,
    load,
    longest,
    maximum,
    multiple_of_16,
    plain,
    pointer,
    put,
    slot,
    store,
    strided,
    sum_of,
    table,
    total_runs,
    total_tensors,
    word,
)
from optgen.runtime.triton_library import (
    expm1,
    log,
)
from optgen.runtime.triton_neighbours import (
    near,
    neighbours_plain,
    neighbours_strided,
)

MANIFEST = {'abi': 1,
 'rule': 'neat',
 'class': 'NEAT',
 'digest': 'ff7f4e683ee165e7c590337fe1c355bd778ee51d76fc6e648f2c6e808796e349',
 'backend': 'triton',
 'settled': {'bias_correction': True,
             'coupling': 'transport',
             'maximize': False,
             'not decoupled_weight_decay': False,
             'nsa': 'l2',
             'nsa_mean_preserving': False},
 'dtype': {'compute': 'float32', 'param': 'float32', 'g': 'float32'},
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
 'slots': [{'name': 'param', 'extent': 'elem', 'dtype': 'float32', 'role': 'param'},
           {'name': 'g', 'extent': 'elem', 'dtype': 'float32', 'role': 'gradient'},
           {'name': 'm', 'extent': 'elem', 'dtype': 'float32', 'role': 'state'},
           {'name': 'v', 'extent': 'elem', 'dtype': 'float32', 'role': 'state'},
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
               'sweeps': [{'function': 'step_1', 'streams': [], 'totals': [1, 2, 0]},
                          {'function': 'step_2', 'streams': [], 'totals': []}],
               'stored': [[], [], ['step']]}],
 'warps': 8,
 'launches': [[],
              [{'function': 'stages_1', 'grid': 'one', 'phases': ['tensor', 'tensor', 'layer', 'layer', 'tensor']}],
              []]}


@triton.jit
def step_1_block(ctx, t, g_at, sum_x_x, sum_x_g, sum_g_g, i, inside, updated, HOW: tl.constexpr):
    g = load(g_at, i, updated, HOW)
    pull_g = near(ctx, t, g, i, inside, 1, tl.float32, True, True, HOW)
    # c = norm(LG, over="layer")
    sum_x_x = add_total(sum_x_x, pull_g * pull_g, inside, HOW)
    sum_x_g = add_total(sum_x_g, pull_g * g, inside, HOW)
    # LG = laplacian(g)
    sum_g_g = add_total(sum_g_g, g * g, inside, HOW)
    return sum_x_x, sum_x_g, sum_g_g


@triton.jit
def step_1(ctx, chunk, t, active, BLOCK: tl.constexpr, TAIL: tl.constexpr, STRIDED: tl.constexpr):
    g = slot(ctx, t, 1)
    g_at_whole = pointer(g, tl.float32, "whole")
    g_at = pointer(g, tl.float32, "strided")
    sum_x_x = tl.full((BLOCK,), 0.0, tl.float32)
    sum_x_g = tl.full((BLOCK,), 0.0, tl.float32)
    sum_g_g = tl.full((BLOCK,), 0.0, tl.float32)
    first = multiple_of_16(chunk_field(ctx, chunk, C_COL))
    end = chunk_field(ctx, chunk, C_COL_END)
    rest = first
    if active & plain(g) & neighbours_plain(ctx, t, 1, True):
        rest = end - (end - first) % BLOCK
        for start in range(first, rest, BLOCK):
            i = start + tl.arange(0, BLOCK)
            sum_x_x, sum_x_g, sum_g_g = step_1_block(
                ctx, t, g_at_whole, sum_x_x, sum_x_g, sum_g_g, i, True, True, "whole",
            )
    whole_sum_x_x = sum_of(sum_x_x, 0)
    sum_x_x = tl.full((TAIL,), 0.0, tl.float32)
    whole_sum_x_g = sum_of(sum_x_g, 0)
    sum_x_g = tl.full((TAIL,), 0.0, tl.float32)
    whole_sum_g_g = sum_of(sum_g_g, 0)
    sum_g_g = tl.full((TAIL,), 0.0, tl.float32)
    updated_end = tl.where(active, end, first)
    masked_end = tl.where(strided(g) | neighbours_strided(ctx, t, 1), rest, end)
    for start in range(rest, masked_end, TAIL):
        i = start + tl.arange(0, TAIL)
        inside = i < end
        updated = i < updated_end
        sum_x_x, sum_x_g, sum_g_g = step_1_block(
            ctx, t, g_at, sum_x_x, sum_x_g, sum_g_g, i, inside, updated, "masked",
        )
    masked_sum_x_x = sum_of(sum_x_x, 0)
    sum_x_x = tl.full((STRIDED,), 0.0, tl.float32)
    masked_sum_x_g = sum_of(sum_x_g, 0)
    sum_x_g = tl.full((STRIDED,), 0.0, tl.float32)
    masked_sum_g_g = sum_of(sum_g_g, 0)
    sum_g_g = tl.full((STRIDED,), 0.0, tl.float32)
    if masked_end < end:
        g_at = pointer(slot(ctx, t, 1), tl.float32, "strided")
        for start in range(masked_end, end, STRIDED):
            i = start + tl.arange(0, STRIDED)
            inside = i < end
            updated = i < updated_end
            sum_x_x, sum_x_g, sum_g_g = step_1_block(
                ctx, t, g_at, sum_x_x, sum_x_g, sum_g_g, i, inside, updated, "strided",
            )
    partial = table(ctx, PARTIAL, tl.float32) + chunk * 3
    tl.store(partial + 1, whole_sum_x_x + masked_sum_x_x + sum_of(sum_x_x, 0))
    tl.store(partial + 2, whole_sum_x_g + masked_sum_x_g + sum_of(sum_x_g, 0))
    tl.store(partial + 0, whole_sum_g_g + masked_sum_g_g + sum_of(sum_g_g, 0))


@triton.jit
def step_2_block(
    ctx, t, g_at, m_at, v_at, param_at, edges, mu, beta1, one_minus_beta1, beta2, one_minus_beta2,
    inverse_one_minus_beta1_to_t, inverse_one_minus_beta2_to_t, eps, share, weight_decay, lr, i, inside,
    updated, HOW: tl.constexpr,
):
    g = load(g_at, i, updated, HOW)
    pull_g = near(ctx, t, g, i, inside, 1, tl.float32, True, True, HOW)
    # LG = laplacian(g)
    LG = pull_g + edges * g
    # g = g - mu*LG
    g_new = g - mu * LG
    m = load(m_at, i, inside, HOW)
    # m = beta1*m + (1 - beta1)*g
    m_new = beta1 * m + one_minus_beta1 * g_new
    v = load(v_at, i, inside, HOW)
    # v = beta2*v + (1 - beta2)*g**2
    v_new = beta2 * v + one_minus_beta2 * (g_new * g_new)
    # d = (m/(1 - beta1**t)) / (sqrt(v/(1 - beta2**t)) + eps)
    d = tl.div_rn(m_new * inverse_one_minus_beta1_to_t, tl.sqrt_rn(v_new * inverse_one_minus_beta2_to_t) + eps)
    # d = share*d
    d_1 = share * d
    param = load(param_at, i, inside, HOW)
    # param = param - lr*(d + where(decoupled_weight_decay, weight_decay, 0)*param)
    param_new = param - lr * (d_1 + weight_decay * param)
    store(m_at, i, m_new, updated, HOW)
    store(param_at, i, param_new, updated, HOW)
    store(v_at, i, v_new, updated, HOW)


@triton.jit
def step_2(ctx, chunk, t, active, BLOCK: tl.constexpr, TAIL: tl.constexpr, STRIDED: tl.constexpr):
    g = slot(ctx, t, 1)
    m = slot(ctx, t, 2)
    v = slot(ctx, t, 3)
    param = slot(ctx, t, 0)
    read = table(ctx, TENSOR_READ, tl.float32) + t * 12
    edges = tl.load(read + 0)
    mu = tl.load(read + 1)
    beta1 = tl.load(read + 2)
    one_minus_beta1 = tl.load(read + 3)
    beta2 = tl.load(read + 4)
    one_minus_beta2 = tl.load(read + 5)
    inverse_one_minus_beta1_to_t = tl.load(read + 6)
    inverse_one_minus_beta2_to_t = tl.load(read + 7)
    eps = tl.load(read + 8)
    share = tl.load(read + 9)
    weight_decay = tl.load(read + 10)
    lr = tl.load(read + 11)
    g_at_whole = pointer(g, tl.float32, "whole")
    m_at_whole = pointer(m, tl.float32, "whole")
    v_at_whole = pointer(v, tl.float32, "whole")
    param_at_whole = pointer(param, tl.float32, "whole")
    g_at = pointer(g, tl.float32, "strided")
    m_at = pointer(m, tl.float32, "strided")
    v_at = pointer(v, tl.float32, "strided")
    param_at = pointer(param, tl.float32, "strided")
    first = multiple_of_16(chunk_field(ctx, chunk, C_COL))
    end = chunk_field(ctx, chunk, C_COL_END)
    rest = first
    if active & plain(g) & plain(m) & plain(v) & plain(param) & neighbours_plain(ctx, t, 1, True):
        rest = end - (end - first) % BLOCK
        for start in range(first, rest, BLOCK):
            i = start + tl.arange(0, BLOCK)
            step_2_block(
                ctx, t, g_at_whole, m_at_whole, v_at_whole, param_at_whole, edges, mu, beta1, one_minus_beta1,
                beta2, one_minus_beta2, inverse_one_minus_beta1_to_t, inverse_one_minus_beta2_to_t, eps,
                share, weight_decay, lr, i, True, True, "whole",
            )
    updated_end = tl.where(active, end, first)
    masked_end = tl.where(strided(g) | strided(m) | strided(v) | strided(param) | neighbours_strided(ctx, t, 1), rest, end)
    for start in range(rest, masked_end, TAIL):
        i = start + tl.arange(0, TAIL)
        inside = i < end
        updated = i < updated_end
        step_2_block(
            ctx, t, g_at, m_at, v_at, param_at, edges, mu, beta1, one_minus_beta1, beta2, one_minus_beta2,
            inverse_one_minus_beta1_to_t, inverse_one_minus_beta2_to_t, eps, share, weight_decay, lr, i,
            inside, updated, "masked",
        )
    if masked_end < end:
        g_at = pointer(slot(ctx, t, 1), tl.float32, "strided")
        m_at = pointer(slot(ctx, t, 2), tl.float32, "strided")
        v_at = pointer(slot(ctx, t, 3), tl.float32, "strided")
        param_at = pointer(slot(ctx, t, 0), tl.float32, "strided")
        for start in range(masked_end, end, STRIDED):
            i = start + tl.arange(0, STRIDED)
            inside = i < end
            updated = i < updated_end
            step_2_block(
                ctx, t, g_at, m_at, v_at, param_at, edges, mu, beta1, one_minus_beta1, beta2, one_minus_beta2,
                inverse_one_minus_beta1_to_t, inverse_one_minus_beta2_to_t, eps, share, weight_decay, lr, i,
                inside, updated, "strided",
            )


@triton.jit
def sweep_1(ctx):
    chunk, t = chunk_of_program(ctx)
    mode = tl.load(table(ctx, MODE, tl.int64) + t)
    if mode != ABSENT:
        step_1(ctx, chunk, t, mode == ACTIVE, 1024, 256, 128)
    if is_last_program(ctx):
        stage_0_tensor(ctx)


@triton.jit
def sweep_2(ctx):
    chunk, t = chunk_of_program(ctx)
    mode = tl.load(table(ctx, MODE, tl.int64) + t)
    if mode != ABSENT:
        step_2(ctx, chunk, t, mode == ACTIVE, 1024, 256, 128)
    if is_last_program(ctx):
        stage_2_tensor(ctx)


@triton.jit
def stage_0_tensor(ctx):
    LANES: tl.constexpr = 128
    mode = table(ctx, MODE, tl.int64)
    member_count = word(ctx, MEMBER_COUNT)
    members = table(ctx, MEMBERS, tl.int64)
    hyper = table(ctx, HYPER, tl.float64)
    tensor_value = table(ctx, TENSOR_VALUE, tl.float64)
    tensor_read = table(ctx, TENSOR_READ, tl.float32)
    address = table(ctx, ADDRESS, tl.int64)
    slots = word(ctx, SLOTS)
    for first in range(0, member_count, LANES):
        k = first + tl.arange(0, LANES)
        here = k < member_count
        t = get(members + k, here)
        here = here & (get(mode + t, here) != ABSENT)
        beta1 = get(hyper + t * 10 + 1, here)
        # m = beta1*m + (1 - beta1)*g
        one_minus_beta1 = 1.0 - beta1
        put(tensor_value + t * 12 + 3, one_minus_beta1, here)
        put(tensor_read + t * 12 + 3, one_minus_beta1, here)
        beta2 = get(hyper + t * 10 + 2, here)
        # v = beta2*v + (1 - beta2)*g**2
        one_minus_beta2 = 1.0 - beta2
        put(tensor_value + t * 12 + 5, one_minus_beta2, here)
        put(tensor_read + t * 12 + 5, one_minus_beta2, here)
        updates = fetch(get(address + t * slots + 4, here), tl.float32, here) + 1.0
        # d = (m/(1 - beta1**t)) / (sqrt(v/(1 - beta2**t)) + eps)
        inverse_one_minus_beta1_to_t = 1.0 / -expm1(updates * log(beta1))
        put(tensor_value + t * 12 + 6, inverse_one_minus_beta1_to_t, here)
        put(tensor_read + t * 12 + 6, inverse_one_minus_beta1_to_t, here)
        inverse_one_minus_beta2_to_t = 1.0 / -expm1(updates * log(beta2))
        put(tensor_value + t * 12 + 7, inverse_one_minus_beta2_to_t, here)
        put(tensor_read + t * 12 + 7, inverse_one_minus_beta2_to_t, here)
        decoupled_weight_decay = get(hyper + t * 10 + 9, here)
        weight_decay = get(hyper + t * 10 + 8, here)
        # param = param - lr*(d + where(decoupled_weight_decay, weight_decay, 0)*param)
        weight_decay_1 = tl.where(decoupled_weight_decay != 0.0, weight_decay, f8(0.0))
        put(tensor_value + t * 12 + 10, weight_decay_1, here)  # weight_decay
        put(tensor_read + t * 12 + 10, weight_decay_1, here)
        mu = get(hyper + t * 10 + 4, here)
        put(tensor_value + t * 12 + 1, mu, here)
        put(tensor_read + t * 12 + 1, mu, here)
        put(tensor_value + t * 12 + 2, beta1, here)
        put(tensor_read + t * 12 + 2, beta1, here)
        put(tensor_value + t * 12 + 4, beta2, here)
        put(tensor_read + t * 12 + 4, beta2, here)
        eps = get(hyper + t * 10 + 3, here)
        put(tensor_value + t * 12 + 8, eps, here)
        put(tensor_read + t * 12 + 8, eps, here)
        lr = get(hyper + t * 10 + 0, here)
        put(tensor_value + t * 12 + 11, lr, here)
        put(tensor_read + t * 12 + 11, lr, here)


@triton.jit
def stage_2_tensor(ctx):
    LANES: tl.constexpr = 128
    mode = table(ctx, MODE, tl.int64)
    member_count = word(ctx, MEMBER_COUNT)
    members = table(ctx, MEMBERS, tl.int64)
    address = table(ctx, ADDRESS, tl.int64)
    slots = word(ctx, SLOTS)
    for first in range(0, member_count, LANES):
        k = first + tl.arange(0, LANES)
        here = k < member_count
        t = get(members + k, here)
        here = here & (get(mode + t, here) != ABSENT)
        updates = fetch(get(address + t * slots + 4, here), tl.float32, here) + 1.0
        deposit(get(address + t * slots + 4, here), tl.float32, updates, here & (get(mode + t, here) == ACTIVE))


@triton.jit
def stage_1_layer(ctx):
    LANES: tl.constexpr = 32
    WIDE: tl.constexpr = 32
    layer_present = table(ctx, LAYER_PRESENT, tl.int64)
    layer_start = table(ctx, LAYER_START, tl.int64)
    layers = word(ctx, LAYERS)
    layer_member = table(ctx, LAYER_MEMBER, tl.int64)
    tensor_total = table(ctx, TENSOR_TOTAL, tl.float64)
    layer_value = table(ctx, LAYER_VALUE, tl.float64)
    for first in range(0, layers, LANES):
        k = first + tl.arange(0, LANES)
        here = get(layer_present + k, k < layers) != 0
        t = get(layer_member + get(layer_start + k, here), here)
        sum_g_g = tl.full((LANES,), 0.0, tl.float64)
        start = get(layer_start + k, here)
        stop = get(layer_start + k + 1, here)
        for begin in range(0, longest(start, stop), WIDE):
            at = start[:, None] + begin + tl.arange(0, WIDE)[None, :]
            there = at < stop[:, None]
            each = get(layer_member + at, there)
            sum_g_g = sum_g_g + sum_of(tl.where(there, get(tensor_total + each * 3 + 0, there), 0.0), 1)
        # LG = laplacian(g)
        put(layer_value + k * 6 + 2, sum_g_g, here)  # sum_g_g_2
        put(layer_value + k * 6 + 0, tl.sqrt(sum_g_g), here)  # root_sum_g_g
        sum_x_x = tl.full((LANES,), 0.0, tl.float64)
        start_1 = get(layer_start + k, here)
        stop_1 = get(layer_start + k + 1, here)
        for begin_1 in range(0, longest(start_1, stop_1), WIDE):
            at_1 = start_1[:, None] + begin_1 + tl.arange(0, WIDE)[None, :]
            there_1 = at_1 < stop_1[:, None]
            each_1 = get(layer_member + at_1, there_1)
            sum_x_x = sum_x_x + sum_of(tl.where(there_1, get(tensor_total + each_1 * 3 + 1, there_1), 0.0), 1)
        # c = norm(LG, over="layer")
        put(layer_value + k * 6 + 3, sum_x_x, here)  # sum_x_x_2
        sum_x_g = tl.full((LANES,), 0.0, tl.float64)
        start_2 = get(layer_start + k, here)
        stop_2 = get(layer_start + k + 1, here)
        for begin_2 in range(0, longest(start_2, stop_2), WIDE):
            at_2 = start_2[:, None] + begin_2 + tl.arange(0, WIDE)[None, :]
            there_2 = at_2 < stop_2[:, None]
            each_2 = get(layer_member + at_2, there_2)
            sum_x_g = sum_x_g + sum_of(tl.where(there_2, get(tensor_total + each_2 * 3 + 2, there_2), 0.0), 1)
        put(layer_value + k * 6 + 1, sum_x_g, here)  # sum_x_g_2


@triton.jit
def stage_1_layer_2(ctx):
    LANES: tl.constexpr = 32
    WIDE: tl.constexpr = 32
    layer_present = table(ctx, LAYER_PRESENT, tl.int64)
    layer_start = table(ctx, LAYER_START, tl.int64)
    layers = word(ctx, LAYERS)
    layer_member = table(ctx, LAYER_MEMBER, tl.int64)
    edge_start = table(ctx, EDGE_START, tl.int64)
    edge_matched = table(ctx, EDGE_MATCHED, tl.int64)
    edge_own = table(ctx, EDGE_OWN, tl.float64)
    edge_other = table(ctx, EDGE_OTHER, tl.float64)
    layer_value = table(ctx, LAYER_VALUE, tl.float64)
    edge_to = table(ctx, EDGE_TO, tl.int64)
    hyper = table(ctx, HYPER, tl.float64)
    for first in range(0, layers, LANES):
        k = first + tl.arange(0, LANES)
        here = get(layer_present + k, k < layers) != 0
        t = get(layer_member + get(layer_start + k, here), here)
        pull = tl.full((LANES,), 0.0, tl.float64)
        start = get(edge_start + k, here)
        stop = get(edge_start + k + 1, here)
        for begin in range(0, longest(start, stop), WIDE):
            edge = start[:, None] + begin + tl.arange(0, WIDE)[None, :]
            there = edge < stop[:, None]
            there = there & (get(edge_matched + edge, there) == 0)
            pull = pull + sum_of(tl.where(there, (get(edge_own + edge, there) - get(edge_other + edge, there) * get(layer_value + get(edge_to + edge, there) * 6 + 0, there) / maximum(get(layer_value + k * 6 + 0, here)[:, None], f8(1e-16))), 0.0), 1)
        # LG = laplacian(g)
        put(layer_value + k * 6 + 4, pull, here)  # edges_2
        sum_x_g_2 = get(layer_value + k * 6 + 1, here)
        sum_g_g_2 = get(layer_value + k * 6 + 2, here)
        sum_x_x_2 = get(layer_value + k * 6 + 3, here)
        # c = norm(LG, over="layer")
        c = tl.sqrt(maximum(f8(0.0), sum_x_x_2 + 2.0 * (pull * sum_x_g_2) + pull * (pull * sum_g_g_2)))
        kappa = get(hyper + t * 10 + 5, here)
        # share = 1/(1 + kappa*c)
        share = 1.0 / (1.0 + kappa * c)
        put(layer_value + k * 6 + 5, share, here)  # share_2


@triton.jit
def stage_1_tensor(ctx):
    LANES: tl.constexpr = 128
    mode = table(ctx, MODE, tl.int64)
    member_count = word(ctx, MEMBER_COUNT)
    members = table(ctx, MEMBERS, tl.int64)
    layer_of = table(ctx, LAYER_OF, tl.int64)
    layer_value = table(ctx, LAYER_VALUE, tl.float64)
    tensor_value = table(ctx, TENSOR_VALUE, tl.float64)
    tensor_read = table(ctx, TENSOR_READ, tl.float32)
    for first in range(0, member_count, LANES):
        k = first + tl.arange(0, LANES)
        here = k < member_count
        t = get(members + k, here)
        here = here & (get(mode + t, here) != ABSENT)
        edges_2 = get(layer_value + get(layer_of + t, here) * 6 + 4, here)
        put(tensor_value + t * 12 + 0, edges_2, here)  # edges
        put(tensor_read + t * 12 + 0, edges_2, here)
        share_2 = get(layer_value + get(layer_of + t, here) * 6 + 5, here)
        put(tensor_value + t * 12 + 9, share_2, here)  # share
        put(tensor_read + t * 12 + 9, share_2, here)


@triton.jit
def stages_1(ctx, FROM: tl.constexpr, UPTO: tl.constexpr):
    if FROM <= 0 and 0 < UPTO:
        total_runs(ctx, 0, 3, tl.float32, "sum")
        total_runs(ctx, 1, 3, tl.float32, "sum")
        total_runs(ctx, 2, 3, tl.float32, "sum")
    if FROM <= 1 and 1 < UPTO:
        tl.debug_barrier()
        total_tensors(ctx, 0, 3, "sum", 1, True)
        total_tensors(ctx, 1, 3, "sum", 1, True)
        total_tensors(ctx, 2, 3, "sum", 1, True)
    if FROM <= 2 and 2 < UPTO:
        tl.debug_barrier()
        stage_1_layer(ctx)
    if FROM <= 3 and 3 < UPTO:
        tl.debug_barrier()
        stage_1_layer_2(ctx)
    if FROM <= 4 and 4 < UPTO:
        tl.debug_barrier()
        stage_1_tensor(ctx)


FUNCTIONS = {
    "sweep_1": sweep_1,
    "sweep_2": sweep_2,
    "stages_1": stages_1,
}
