"""Kernels of the rule nested in float32, generated from nested.yaml.

spec 08bc39dba2f73437abd337fa74774a8019ce4118ff2c207b197e7c36ba2e3892
made by: optgen build nested --backend triton --set accumulate_gradients=true --set amsgrad=false --set attention_score=dot --set compat=ours --set maximize=false --set memory_blend_mode=attention --set schedule_curve=cosine
"""

import triton
import triton.language as tl

from optgen.runtime.triton_device import (
    ABSENT,
    ACTIVE,
    ADDRESS,
    C_COL,
    C_COL_END,
    HYPER,
    MEMBERS,
    MEMBER_COUNT,
    META,
    MODE,
    PARTIAL,
    SLOTS,
    STEP,
    TENSOR_READ,
    TENSOR_TOTAL,
    TENSOR_VALUE,
    VARIANT,
    add_total,
    chunk_field,
    chunk_of_program,
    deposit,
    f8,
    fetch,
    get,
    is_last_program,
    load,
    maximum,
    minimum,
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
    cos,
    exp,
    expm1,
    log,
    remainder,
)

MANIFEST = {'abi': 1,
 'rule': 'nested',
 'class': 'Nested',
 'digest': '08bc39dba2f73437abd337fa74774a8019ce4118ff2c207b197e7c36ba2e3892',
 'backend': 'triton',
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
               'sweeps': [{'function': 'not_due_sweep_1', 'streams': [], 'totals': []}, None],
               'stored': [[], ['count'], []]},
              {'name': 'due_k_gt_1',
               'when': 'not (not due) and k > 1',
               'slots': ['s', 'm', 'l', 'v', 'acc', 'count'],
               'sweeps': [{'function': 'due_k_gt_1_sweep_1', 'streams': [], 'totals': [0, 1, 2]},
                          {'function': 'due_k_gt_1_sweep_2', 'streams': [], 'totals': []}],
               'stored': [[], [], ['count', 'step']]},
              {'name': 'due_not_k_gt_1',
               'when': 'not (not due) and not (k > 1)',
               'slots': ['s', 'm', 'l', 'v'],
               'sweeps': [{'function': 'due_not_k_gt_1_sweep_1', 'streams': [], 'totals': [3, 4, 5]},
                          {'function': 'due_not_k_gt_1_sweep_2', 'streams': [], 'totals': []}],
               'stored': [[], [], ['step']]}],
 'warps': 8,
 'launches': [[], [{'function': 'stages_1', 'grid': 'one', 'phases': ['tensor', 'tensor', 'tensor']}], []]}


@triton.jit
def select_variant(ctx):
    LANES: tl.constexpr = 128
    member_count = word(ctx, MEMBER_COUNT)
    members = table(ctx, MEMBERS, tl.int64)
    hyper = table(ctx, HYPER, tl.float64)
    meta = table(ctx, META, tl.float64)
    step = table(ctx, STEP, tl.float64)
    variant = table(ctx, VARIANT, tl.int64)
    for first in range(0, member_count, LANES):
        k = first + tl.arange(0, LANES)
        here = k < member_count
        t = get(members + k, here)
        interval = get(hyper + t * 28 + 12, here)
        x = interval == 0.0
        auto_schedule = get(hyper + t * 28 + 13, here)
        layer_interval = get(hyper + t * 28 + 14, here)
        default_interval = get(hyper + t * 28 + 15, here)
        max_interval = get(hyper + t * 28 + 16, here)
        reverse_depth_order = get(hyper + t * 28 + 17, here)
        x_1 = tl.where(x & ~(auto_schedule != 0.0), tl.where(layer_interval > 0.0, layer_interval, default_interval), tl.where(x, minimum(maximum(f8(1.0), tl.floor(max_interval * 0.5 * (1.0 + cos(3.141592653589793 * tl.where(reverse_depth_order != 0.0, 1.0 - get(meta + t * 6 + 5, here), get(meta + t * 6 + 5, here)))) + 1.0 + 1e-09)), max_interval), interval))
        step_1 = tl.load(step)
        warmup_steps = get(hyper + t * 28 + 18, here)
        interval_1 = get(hyper + t * 28 + 12, here)
        x_2 = interval_1 == 0.0
        auto_schedule_1 = get(hyper + t * 28 + 13, here)
        layer_interval_1 = get(hyper + t * 28 + 14, here)
        default_interval_1 = get(hyper + t * 28 + 15, here)
        max_interval_1 = get(hyper + t * 28 + 16, here)
        reverse_depth_order_1 = get(hyper + t * 28 + 17, here)
        x_3 = tl.where(x_2 & ~(auto_schedule_1 != 0.0), tl.where(layer_interval_1 > 0.0, layer_interval_1, default_interval_1), tl.where(x_2, minimum(maximum(f8(1.0), tl.floor(max_interval_1 * 0.5 * (1.0 + cos(3.141592653589793 * tl.where(reverse_depth_order_1 != 0.0, 1.0 - get(meta + t * 6 + 5, here), get(meta + t * 6 + 5, here)))) + 1.0 + 1e-09)), max_interval_1), interval_1))
        step_2 = tl.load(step)
        warmup_steps_1 = get(hyper + t * 28 + 18, here)
        put(variant + t, (tl.where(~((x_3 <= 1.0) | (step_2 <= warmup_steps_1) | (remainder(step_2, x_3) == 0.0)), f8(0.0), tl.where(~~((x_1 <= 1.0) | (step_1 <= warmup_steps) | (remainder(step_1, x_1) == 0.0)) & (x_1 > 1.0), f8(1.0), f8(2.0)))).to(tl.int64), here)


@triton.jit
def not_due_sweep_1_scalars(ctx, t):
    address = table(ctx, ADDRESS, tl.int64)
    slots = word(ctx, SLOTS)
    hyper = table(ctx, HYPER, tl.float64)
    count = fetch(tl.load(address + t * slots + 7), tl.int64, True)
    short_term_decay = tl.load(hyper + t * 28 + 4)
    # s = short_term_decay*s + (1 - short_term_decay)*h
    one_minus_short_term_decay = 1.0 - short_term_decay
    medium_term_decay = tl.load(hyper + t * 28 + 5)
    # m = medium_term_decay*m + (1 - medium_term_decay)*h
    one_minus_medium_term_decay = 1.0 - medium_term_decay
    long_term_decay = tl.load(hyper + t * 28 + 6)
    # l = long_term_decay*l + (1 - long_term_decay)*h
    one_minus_long_term_decay = 1.0 - long_term_decay
    # acc = where(count > 0, acc + g, g)
    gt = tl.where(count > 0.0, f8(1.0), f8(0.0))
    # count = count + 1
    return (
        short_term_decay.to(tl.float32), one_minus_short_term_decay.to(tl.float32),
        medium_term_decay.to(tl.float32), one_minus_medium_term_decay.to(tl.float32),
        long_term_decay.to(tl.float32), one_minus_long_term_decay.to(tl.float32), gt.to(tl.float32),
    )


@triton.jit
def not_due_sweep_1_block(
    s_at, g_at, m_at, l_at, acc_at, short_term_decay, one_minus_short_term_decay, medium_term_decay,
    one_minus_medium_term_decay, long_term_decay, one_minus_long_term_decay, gt, i, inside, updated,
    HOW: tl.constexpr,
):
    s = load(s_at, i, inside, HOW)
    g = load(g_at, i, updated, HOW)
    # s = short_term_decay*s + (1 - short_term_decay)*h
    s_new = short_term_decay * s + one_minus_short_term_decay * g
    m = load(m_at, i, inside, HOW)
    # m = medium_term_decay*m + (1 - medium_term_decay)*h
    m_new = medium_term_decay * m + one_minus_medium_term_decay * g
    l = load(l_at, i, inside, HOW)
    # l = long_term_decay*l + (1 - long_term_decay)*h
    l_new = long_term_decay * l + one_minus_long_term_decay * g
    acc = load(acc_at, i, inside, HOW)
    # acc = where(count > 0, acc + g, g)
    acc_new = tl.where(gt != 0.0, acc + g, g)
    store(acc_at, i, acc_new, updated, HOW)
    store(l_at, i, l_new, updated, HOW)
    store(m_at, i, m_new, updated, HOW)
    store(s_at, i, s_new, updated, HOW)


@triton.jit
def not_due_sweep_1(ctx, chunk, t, active, BLOCK: tl.constexpr, TAIL: tl.constexpr, STRIDED: tl.constexpr):
    s = slot(ctx, t, 2)
    g = slot(ctx, t, 1)
    m = slot(ctx, t, 3)
    l = slot(ctx, t, 4)
    acc = slot(ctx, t, 6)
    (
        short_term_decay, one_minus_short_term_decay, medium_term_decay, one_minus_medium_term_decay,
        long_term_decay, one_minus_long_term_decay, gt,
    ) = not_due_sweep_1_scalars(ctx, t)
    s_at_whole = pointer(s, tl.float32, "whole")
    g_at_whole = pointer(g, tl.float32, "whole")
    m_at_whole = pointer(m, tl.float32, "whole")
    l_at_whole = pointer(l, tl.float32, "whole")
    acc_at_whole = pointer(acc, tl.float32, "whole")
    s_at = pointer(s, tl.float32, "strided")
    g_at = pointer(g, tl.float32, "strided")
    m_at = pointer(m, tl.float32, "strided")
    l_at = pointer(l, tl.float32, "strided")
    acc_at = pointer(acc, tl.float32, "strided")
    first = multiple_of_16(chunk_field(ctx, chunk, C_COL))
    end = chunk_field(ctx, chunk, C_COL_END)
    rest = first
    if active & plain(s) & plain(g) & plain(m) & plain(l) & plain(acc):
        rest = end - (end - first) % BLOCK
        for start in range(first, rest, BLOCK):
            i = start + tl.arange(0, BLOCK)
            not_due_sweep_1_block(
                s_at_whole, g_at_whole, m_at_whole, l_at_whole, acc_at_whole, short_term_decay,
                one_minus_short_term_decay, medium_term_decay, one_minus_medium_term_decay, long_term_decay,
                one_minus_long_term_decay, gt, i, True, True, "whole",
            )
    updated_end = tl.where(active, end, first)
    masked_end = tl.where(strided(s) | strided(g) | strided(m) | strided(l) | strided(acc), rest, end)
    for start in range(rest, masked_end, TAIL):
        i = start + tl.arange(0, TAIL)
        inside = i < end
        updated = i < updated_end
        not_due_sweep_1_block(
            s_at, g_at, m_at, l_at, acc_at, short_term_decay, one_minus_short_term_decay, medium_term_decay,
            one_minus_medium_term_decay, long_term_decay, one_minus_long_term_decay, gt, i, inside, updated,
            "masked",
        )
    if masked_end < end:
        s_at = pointer(slot(ctx, t, 2), tl.float32, "strided")
        g_at = pointer(slot(ctx, t, 1), tl.float32, "strided")
        m_at = pointer(slot(ctx, t, 3), tl.float32, "strided")
        l_at = pointer(slot(ctx, t, 4), tl.float32, "strided")
        acc_at = pointer(slot(ctx, t, 6), tl.float32, "strided")
        for start in range(masked_end, end, STRIDED):
            i = start + tl.arange(0, STRIDED)
            inside = i < end
            updated = i < updated_end
            not_due_sweep_1_block(
                s_at, g_at, m_at, l_at, acc_at, short_term_decay, one_minus_short_term_decay,
                medium_term_decay, one_minus_medium_term_decay, long_term_decay, one_minus_long_term_decay,
                gt, i, inside, updated, "strided",
            )


@triton.jit
def due_k_gt_1_sweep_1_scalars(ctx, t):
    address = table(ctx, ADDRESS, tl.int64)
    slots = word(ctx, SLOTS)
    hyper = table(ctx, HYPER, tl.float64)
    count = fetch(tl.load(address + t * slots + 7), tl.int64, True)
    short_term_decay = tl.load(hyper + t * 28 + 4)
    # s = short_term_decay*s + (1 - short_term_decay)*h
    one_minus_short_term_decay = 1.0 - short_term_decay
    medium_term_decay = tl.load(hyper + t * 28 + 5)
    # m = medium_term_decay*m + (1 - medium_term_decay)*h
    one_minus_medium_term_decay = 1.0 - medium_term_decay
    long_term_decay = tl.load(hyper + t * 28 + 6)
    # l = long_term_decay*l + (1 - long_term_decay)*h
    one_minus_long_term_decay = 1.0 - long_term_decay
    # acc = where(count > 0, (acc + g)/(count + 1), g)
    gt = tl.where(count > 0.0, f8(1.0), f8(0.0))
    count_plus_constant = count + 1.0
    # rate = lr*where(steps_per_epoch == 0 or (warm_end <= i and i < hold_end), 1, where(i < warm_end, rise, fall))
    return (
        short_term_decay.to(tl.float32), one_minus_short_term_decay.to(tl.float32),
        medium_term_decay.to(tl.float32), one_minus_medium_term_decay.to(tl.float32),
        long_term_decay.to(tl.float32), one_minus_long_term_decay.to(tl.float32),
        count_plus_constant.to(tl.float32), gt.to(tl.float32),
    )


@triton.jit
def due_k_gt_1_sweep_1_block(
    s_at, g_at, m_at, l_at, acc_at, short_term_decay, one_minus_short_term_decay, medium_term_decay,
    one_minus_medium_term_decay, long_term_decay, one_minus_long_term_decay, count_plus_constant, gt,
    sum_acc_s, sum_acc_m, sum_acc_l, i, inside, updated, HOW: tl.constexpr,
):
    s = load(s_at, i, inside, HOW)
    g = load(g_at, i, updated, HOW)
    # s = short_term_decay*s + (1 - short_term_decay)*h
    s_new = short_term_decay * s + one_minus_short_term_decay * g
    m = load(m_at, i, inside, HOW)
    # m = medium_term_decay*m + (1 - medium_term_decay)*h
    m_new = medium_term_decay * m + one_minus_medium_term_decay * g
    l = load(l_at, i, inside, HOW)
    # l = long_term_decay*l + (1 - long_term_decay)*h
    l_new = long_term_decay * l + one_minus_long_term_decay * g
    acc = load(acc_at, i, inside, HOW)
    # acc = where(count > 0, (acc + g)/(count + 1), g)
    acc_new = tl.where(gt != 0.0, tl.div_rn(acc + g, count_plus_constant), g)
    # score = [dot(g, s, over="tensor"), dot(g, m, over="tensor"), dot(g, l, over="tensor")]
    sum_acc_s = add_total(sum_acc_s, acc_new * s_new, inside, HOW)
    sum_acc_m = add_total(sum_acc_m, acc_new * m_new, inside, HOW)
    sum_acc_l = add_total(sum_acc_l, acc_new * l_new, inside, HOW)
    store(acc_at, i, acc_new, updated, HOW)
    store(l_at, i, l_new, updated, HOW)
    store(m_at, i, m_new, updated, HOW)
    store(s_at, i, s_new, updated, HOW)
    return sum_acc_s, sum_acc_m, sum_acc_l


@triton.jit
def due_k_gt_1_sweep_1(ctx, chunk, t, active, BLOCK: tl.constexpr, TAIL: tl.constexpr, STRIDED: tl.constexpr):
    s = slot(ctx, t, 2)
    g = slot(ctx, t, 1)
    m = slot(ctx, t, 3)
    l = slot(ctx, t, 4)
    acc = slot(ctx, t, 6)
    (
        short_term_decay, one_minus_short_term_decay, medium_term_decay, one_minus_medium_term_decay,
        long_term_decay, one_minus_long_term_decay, count_plus_constant, gt,
    ) = due_k_gt_1_sweep_1_scalars(ctx, t)
    s_at_whole = pointer(s, tl.float32, "whole")
    g_at_whole = pointer(g, tl.float32, "whole")
    m_at_whole = pointer(m, tl.float32, "whole")
    l_at_whole = pointer(l, tl.float32, "whole")
    acc_at_whole = pointer(acc, tl.float32, "whole")
    s_at = pointer(s, tl.float32, "strided")
    g_at = pointer(g, tl.float32, "strided")
    m_at = pointer(m, tl.float32, "strided")
    l_at = pointer(l, tl.float32, "strided")
    acc_at = pointer(acc, tl.float32, "strided")
    sum_acc_s = tl.full((BLOCK,), 0.0, tl.float32)
    sum_acc_m = tl.full((BLOCK,), 0.0, tl.float32)
    sum_acc_l = tl.full((BLOCK,), 0.0, tl.float32)
    first = multiple_of_16(chunk_field(ctx, chunk, C_COL))
    end = chunk_field(ctx, chunk, C_COL_END)
    rest = first
    if active & plain(s) & plain(g) & plain(m) & plain(l) & plain(acc):
        rest = end - (end - first) % BLOCK
        for start in range(first, rest, BLOCK):
            i = start + tl.arange(0, BLOCK)
            sum_acc_s, sum_acc_m, sum_acc_l = due_k_gt_1_sweep_1_block(
                s_at_whole, g_at_whole, m_at_whole, l_at_whole, acc_at_whole, short_term_decay,
                one_minus_short_term_decay, medium_term_decay, one_minus_medium_term_decay, long_term_decay,
                one_minus_long_term_decay, count_plus_constant, gt, sum_acc_s, sum_acc_m, sum_acc_l, i, True,
                True, "whole",
            )
    whole_sum_acc_s = sum_of(sum_acc_s, 0)
    sum_acc_s = tl.full((TAIL,), 0.0, tl.float32)
    whole_sum_acc_m = sum_of(sum_acc_m, 0)
    sum_acc_m = tl.full((TAIL,), 0.0, tl.float32)
    whole_sum_acc_l = sum_of(sum_acc_l, 0)
    sum_acc_l = tl.full((TAIL,), 0.0, tl.float32)
    updated_end = tl.where(active, end, first)
    masked_end = tl.where(strided(s) | strided(g) | strided(m) | strided(l) | strided(acc), rest, end)
    for start in range(rest, masked_end, TAIL):
        i = start + tl.arange(0, TAIL)
        inside = i < end
        updated = i < updated_end
        sum_acc_s, sum_acc_m, sum_acc_l = due_k_gt_1_sweep_1_block(
            s_at, g_at, m_at, l_at, acc_at, short_term_decay, one_minus_short_term_decay, medium_term_decay,
            one_minus_medium_term_decay, long_term_decay, one_minus_long_term_decay, count_plus_constant, gt,
            sum_acc_s, sum_acc_m, sum_acc_l, i, inside, updated, "masked",
        )
    masked_sum_acc_s = sum_of(sum_acc_s, 0)
    sum_acc_s = tl.full((STRIDED,), 0.0, tl.float32)
    masked_sum_acc_m = sum_of(sum_acc_m, 0)
    sum_acc_m = tl.full((STRIDED,), 0.0, tl.float32)
    masked_sum_acc_l = sum_of(sum_acc_l, 0)
    sum_acc_l = tl.full((STRIDED,), 0.0, tl.float32)
    if masked_end < end:
        s_at = pointer(slot(ctx, t, 2), tl.float32, "strided")
        g_at = pointer(slot(ctx, t, 1), tl.float32, "strided")
        m_at = pointer(slot(ctx, t, 3), tl.float32, "strided")
        l_at = pointer(slot(ctx, t, 4), tl.float32, "strided")
        acc_at = pointer(slot(ctx, t, 6), tl.float32, "strided")
        for start in range(masked_end, end, STRIDED):
            i = start + tl.arange(0, STRIDED)
            inside = i < end
            updated = i < updated_end
            sum_acc_s, sum_acc_m, sum_acc_l = due_k_gt_1_sweep_1_block(
                s_at, g_at, m_at, l_at, acc_at, short_term_decay, one_minus_short_term_decay,
                medium_term_decay, one_minus_medium_term_decay, long_term_decay, one_minus_long_term_decay,
                count_plus_constant, gt, sum_acc_s, sum_acc_m, sum_acc_l, i, inside, updated, "strided",
            )
    partial = table(ctx, PARTIAL, tl.float32) + chunk * 6
    tl.store(partial + 0, whole_sum_acc_s + masked_sum_acc_s + sum_of(sum_acc_s, 0))
    tl.store(partial + 1, whole_sum_acc_m + masked_sum_acc_m + sum_of(sum_acc_m, 0))
    tl.store(partial + 2, whole_sum_acc_l + masked_sum_acc_l + sum_of(sum_acc_l, 0))


@triton.jit
def due_k_gt_1_sweep_2_block(
    acc_at, s_at, m_at, l_at, v_at, param_at, exp_over_exp_plus_exp_plus_exp,
    exp_over_exp_plus_exp_plus_exp_2, exp_over_exp_plus_exp_plus_exp_3, beta2, one_minus_beta2,
    inverse_one_minus_beta2_to_t, eps, weight_decay, rate, i, inside, updated, HOW: tl.constexpr,
):
    acc = load(acc_at, i, inside, HOW)
    s = load(s_at, i, inside, HOW)
    m = load(m_at, i, inside, HOW)
    l = load(l_at, i, inside, HOW)
    # c = 0.5*g + 0.5*(w[0]*s + w[1]*m + w[2]*l)
    c = 0.5 * acc + 0.5 * (exp_over_exp_plus_exp_plus_exp * s + exp_over_exp_plus_exp_plus_exp_2 * m + exp_over_exp_plus_exp_plus_exp_3 * l)
    v = load(v_at, i, inside, HOW)
    # v = beta2*v + (1 - beta2)*c**2
    v_new = beta2 * v + one_minus_beta2 * (c * c)
    # d = c/(sqrt(top_v/(1 - beta2**e)) + eps)
    d = tl.div_rn(c, tl.sqrt_rn(v_new * inverse_one_minus_beta2_to_t) + eps)
    param = load(param_at, i, inside, HOW)
    # param = param - rate*(d + where(compat == "ours", weight_decay, 0)*param)
    param_new = param - rate * (d + weight_decay * param)
    store(param_at, i, param_new, updated, HOW)
    store(v_at, i, v_new, updated, HOW)


@triton.jit
def due_k_gt_1_sweep_2(ctx, chunk, t, active, BLOCK: tl.constexpr, TAIL: tl.constexpr, STRIDED: tl.constexpr):
    acc = slot(ctx, t, 6)
    s = slot(ctx, t, 2)
    m = slot(ctx, t, 3)
    l = slot(ctx, t, 4)
    v = slot(ctx, t, 5)
    param = slot(ctx, t, 0)
    read = table(ctx, TENSOR_READ, tl.float32) + t * 19
    exp_over_exp_plus_exp_plus_exp = tl.load(read + 9)
    exp_over_exp_plus_exp_plus_exp_2 = tl.load(read + 10)
    exp_over_exp_plus_exp_plus_exp_3 = tl.load(read + 11)
    beta2 = tl.load(read + 12)
    one_minus_beta2 = tl.load(read + 13)
    inverse_one_minus_beta2_to_t = tl.load(read + 14)
    eps = tl.load(read + 15)
    weight_decay = tl.load(read + 16)
    rate = tl.load(read + 17)
    acc_at_whole = pointer(acc, tl.float32, "whole")
    s_at_whole = pointer(s, tl.float32, "whole")
    m_at_whole = pointer(m, tl.float32, "whole")
    l_at_whole = pointer(l, tl.float32, "whole")
    v_at_whole = pointer(v, tl.float32, "whole")
    param_at_whole = pointer(param, tl.float32, "whole")
    acc_at = pointer(acc, tl.float32, "strided")
    s_at = pointer(s, tl.float32, "strided")
    m_at = pointer(m, tl.float32, "strided")
    l_at = pointer(l, tl.float32, "strided")
    v_at = pointer(v, tl.float32, "strided")
    param_at = pointer(param, tl.float32, "strided")
    first = multiple_of_16(chunk_field(ctx, chunk, C_COL))
    end = chunk_field(ctx, chunk, C_COL_END)
    rest = first
    if active & plain(acc) & plain(s) & plain(m) & plain(l) & plain(v) & plain(param):
        rest = end - (end - first) % BLOCK
        for start in range(first, rest, BLOCK):
            i = start + tl.arange(0, BLOCK)
            due_k_gt_1_sweep_2_block(
                acc_at_whole, s_at_whole, m_at_whole, l_at_whole, v_at_whole, param_at_whole,
                exp_over_exp_plus_exp_plus_exp, exp_over_exp_plus_exp_plus_exp_2,
                exp_over_exp_plus_exp_plus_exp_3, beta2, one_minus_beta2, inverse_one_minus_beta2_to_t, eps,
                weight_decay, rate, i, True, True, "whole",
            )
    updated_end = tl.where(active, end, first)
    masked_end = tl.where(strided(acc) | strided(s) | strided(m) | strided(l) | strided(v) | strided(param), rest, end)
    for start in range(rest, masked_end, TAIL):
        i = start + tl.arange(0, TAIL)
        inside = i < end
        updated = i < updated_end
        due_k_gt_1_sweep_2_block(
            acc_at, s_at, m_at, l_at, v_at, param_at, exp_over_exp_plus_exp_plus_exp,
            exp_over_exp_plus_exp_plus_exp_2, exp_over_exp_plus_exp_plus_exp_3, beta2, one_minus_beta2,
            inverse_one_minus_beta2_to_t, eps, weight_decay, rate, i, inside, updated, "masked",
        )
    if masked_end < end:
        acc_at = pointer(slot(ctx, t, 6), tl.float32, "strided")
        s_at = pointer(slot(ctx, t, 2), tl.float32, "strided")
        m_at = pointer(slot(ctx, t, 3), tl.float32, "strided")
        l_at = pointer(slot(ctx, t, 4), tl.float32, "strided")
        v_at = pointer(slot(ctx, t, 5), tl.float32, "strided")
        param_at = pointer(slot(ctx, t, 0), tl.float32, "strided")
        for start in range(masked_end, end, STRIDED):
            i = start + tl.arange(0, STRIDED)
            inside = i < end
            updated = i < updated_end
            due_k_gt_1_sweep_2_block(
                acc_at, s_at, m_at, l_at, v_at, param_at, exp_over_exp_plus_exp_plus_exp,
                exp_over_exp_plus_exp_plus_exp_2, exp_over_exp_plus_exp_plus_exp_3, beta2, one_minus_beta2,
                inverse_one_minus_beta2_to_t, eps, weight_decay, rate, i, inside, updated, "strided",
            )


@triton.jit
def due_not_k_gt_1_sweep_1_scalars(ctx, t):
    hyper = table(ctx, HYPER, tl.float64)
    short_term_decay = tl.load(hyper + t * 28 + 4)
    # s = short_term_decay*s + (1 - short_term_decay)*h
    one_minus_short_term_decay = 1.0 - short_term_decay
    medium_term_decay = tl.load(hyper + t * 28 + 5)
    # m = medium_term_decay*m + (1 - medium_term_decay)*h
    one_minus_medium_term_decay = 1.0 - medium_term_decay
    long_term_decay = tl.load(hyper + t * 28 + 6)
    # l = long_term_decay*l + (1 - long_term_decay)*h
    one_minus_long_term_decay = 1.0 - long_term_decay
    # rate = lr*where(steps_per_epoch == 0 or (warm_end <= i and i < hold_end), 1, where(i < warm_end, rise, fall))
    return (
        short_term_decay.to(tl.float32), one_minus_short_term_decay.to(tl.float32),
        medium_term_decay.to(tl.float32), one_minus_medium_term_decay.to(tl.float32),
        long_term_decay.to(tl.float32), one_minus_long_term_decay.to(tl.float32),
    )


@triton.jit
def due_not_k_gt_1_sweep_1_block(
    s_at, g_at, m_at, l_at, short_term_decay, one_minus_short_term_decay, medium_term_decay,
    one_minus_medium_term_decay, long_term_decay, one_minus_long_term_decay, sum_g_s, sum_g_m, sum_g_l, i,
    inside, updated, HOW: tl.constexpr,
):
    s = load(s_at, i, inside, HOW)
    g = load(g_at, i, updated, HOW)
    # s = short_term_decay*s + (1 - short_term_decay)*h
    s_new = short_term_decay * s + one_minus_short_term_decay * g
    m = load(m_at, i, inside, HOW)
    # m = medium_term_decay*m + (1 - medium_term_decay)*h
    m_new = medium_term_decay * m + one_minus_medium_term_decay * g
    l = load(l_at, i, inside, HOW)
    # l = long_term_decay*l + (1 - long_term_decay)*h
    l_new = long_term_decay * l + one_minus_long_term_decay * g
    # score = [dot(g, s, over="tensor"), dot(g, m, over="tensor"), dot(g, l, over="tensor")]
    sum_g_s = add_total(sum_g_s, g * s_new, inside, HOW)
    sum_g_m = add_total(sum_g_m, g * m_new, inside, HOW)
    sum_g_l = add_total(sum_g_l, g * l_new, inside, HOW)
    return sum_g_s, sum_g_m, sum_g_l


@triton.jit
def due_not_k_gt_1_sweep_1(ctx, chunk, t, active, BLOCK: tl.constexpr, TAIL: tl.constexpr, STRIDED: tl.constexpr):
    s = slot(ctx, t, 2)
    g = slot(ctx, t, 1)
    m = slot(ctx, t, 3)
    l = slot(ctx, t, 4)
    (
        short_term_decay, one_minus_short_term_decay, medium_term_decay, one_minus_medium_term_decay,
        long_term_decay, one_minus_long_term_decay,
    ) = due_not_k_gt_1_sweep_1_scalars(ctx, t)
    s_at_whole = pointer(s, tl.float32, "whole")
    g_at_whole = pointer(g, tl.float32, "whole")
    m_at_whole = pointer(m, tl.float32, "whole")
    l_at_whole = pointer(l, tl.float32, "whole")
    s_at = pointer(s, tl.float32, "strided")
    g_at = pointer(g, tl.float32, "strided")
    m_at = pointer(m, tl.float32, "strided")
    l_at = pointer(l, tl.float32, "strided")
    sum_g_s = tl.full((BLOCK,), 0.0, tl.float32)
    sum_g_m = tl.full((BLOCK,), 0.0, tl.float32)
    sum_g_l = tl.full((BLOCK,), 0.0, tl.float32)
    first = multiple_of_16(chunk_field(ctx, chunk, C_COL))
    end = chunk_field(ctx, chunk, C_COL_END)
    rest = first
    if active & plain(s) & plain(g) & plain(m) & plain(l):
        rest = end - (end - first) % BLOCK
        for start in range(first, rest, BLOCK):
            i = start + tl.arange(0, BLOCK)
            sum_g_s, sum_g_m, sum_g_l = due_not_k_gt_1_sweep_1_block(
                s_at_whole, g_at_whole, m_at_whole, l_at_whole, short_term_decay, one_minus_short_term_decay,
                medium_term_decay, one_minus_medium_term_decay, long_term_decay, one_minus_long_term_decay,
                sum_g_s, sum_g_m, sum_g_l, i, True, True, "whole",
            )
    whole_sum_g_s = sum_of(sum_g_s, 0)
    sum_g_s = tl.full((TAIL,), 0.0, tl.float32)
    whole_sum_g_m = sum_of(sum_g_m, 0)
    sum_g_m = tl.full((TAIL,), 0.0, tl.float32)
    whole_sum_g_l = sum_of(sum_g_l, 0)
    sum_g_l = tl.full((TAIL,), 0.0, tl.float32)
    updated_end = tl.where(active, end, first)
    masked_end = tl.where(strided(s) | strided(g) | strided(m) | strided(l), rest, end)
    for start in range(rest, masked_end, TAIL):
        i = start + tl.arange(0, TAIL)
        inside = i < end
        updated = i < updated_end
        sum_g_s, sum_g_m, sum_g_l = due_not_k_gt_1_sweep_1_block(
            s_at, g_at, m_at, l_at, short_term_decay, one_minus_short_term_decay, medium_term_decay,
            one_minus_medium_term_decay, long_term_decay, one_minus_long_term_decay, sum_g_s, sum_g_m,
            sum_g_l, i, inside, updated, "masked",
        )
    masked_sum_g_s = sum_of(sum_g_s, 0)
    sum_g_s = tl.full((STRIDED,), 0.0, tl.float32)
    masked_sum_g_m = sum_of(sum_g_m, 0)
    sum_g_m = tl.full((STRIDED,), 0.0, tl.float32)
    masked_sum_g_l = sum_of(sum_g_l, 0)
    sum_g_l = tl.full((STRIDED,), 0.0, tl.float32)
    if masked_end < end:
        s_at = pointer(slot(ctx, t, 2), tl.float32, "strided")
        g_at = pointer(slot(ctx, t, 1), tl.float32, "strided")
        m_at = pointer(slot(ctx, t, 3), tl.float32, "strided")
        l_at = pointer(slot(ctx, t, 4), tl.float32, "strided")
        for start in range(masked_end, end, STRIDED):
            i = start + tl.arange(0, STRIDED)
            inside = i < end
            updated = i < updated_end
            sum_g_s, sum_g_m, sum_g_l = due_not_k_gt_1_sweep_1_block(
                s_at, g_at, m_at, l_at, short_term_decay, one_minus_short_term_decay, medium_term_decay,
                one_minus_medium_term_decay, long_term_decay, one_minus_long_term_decay, sum_g_s, sum_g_m,
                sum_g_l, i, inside, updated, "strided",
            )
    partial = table(ctx, PARTIAL, tl.float32) + chunk * 6
    tl.store(partial + 3, whole_sum_g_s + masked_sum_g_s + sum_of(sum_g_s, 0))
    tl.store(partial + 4, whole_sum_g_m + masked_sum_g_m + sum_of(sum_g_m, 0))
    tl.store(partial + 5, whole_sum_g_l + masked_sum_g_l + sum_of(sum_g_l, 0))


@triton.jit
def due_not_k_gt_1_sweep_2_block(
    s_at, g_at, m_at, l_at, v_at, param_at, short_term_decay, one_minus_short_term_decay, medium_term_decay,
    one_minus_medium_term_decay, long_term_decay, one_minus_long_term_decay, exp_over_exp_plus_exp_plus_exp,
    exp_over_exp_plus_exp_plus_exp_2, exp_over_exp_plus_exp_plus_exp_3, beta2, one_minus_beta2,
    inverse_one_minus_beta2_to_t, eps, weight_decay, rate, i, inside, updated, HOW: tl.constexpr,
):
    s = load(s_at, i, inside, HOW)
    g = load(g_at, i, updated, HOW)
    # s = short_term_decay*s + (1 - short_term_decay)*h
    s_new = short_term_decay * s + one_minus_short_term_decay * g
    m = load(m_at, i, inside, HOW)
    # m = medium_term_decay*m + (1 - medium_term_decay)*h
    m_new = medium_term_decay * m + one_minus_medium_term_decay * g
    l = load(l_at, i, inside, HOW)
    # l = long_term_decay*l + (1 - long_term_decay)*h
    l_new = long_term_decay * l + one_minus_long_term_decay * g
    # c = 0.5*g + 0.5*(w[0]*s + w[1]*m + w[2]*l)
    c = 0.5 * g + 0.5 * (exp_over_exp_plus_exp_plus_exp * s_new + exp_over_exp_plus_exp_plus_exp_2 * m_new + exp_over_exp_plus_exp_plus_exp_3 * l_new)
    v = load(v_at, i, inside, HOW)
    # v = beta2*v + (1 - beta2)*c**2
    v_new = beta2 * v + one_minus_beta2 * (c * c)
    # d = c/(sqrt(top_v/(1 - beta2**e)) + eps)
    d = tl.div_rn(c, tl.sqrt_rn(v_new * inverse_one_minus_beta2_to_t) + eps)
    param = load(param_at, i, inside, HOW)
    # param = param - rate*(d + where(compat == "ours", weight_decay, 0)*param)
    param_new = param - rate * (d + weight_decay * param)
    store(l_at, i, l_new, updated, HOW)
    store(m_at, i, m_new, updated, HOW)
    store(param_at, i, param_new, updated, HOW)
    store(s_at, i, s_new, updated, HOW)
    store(v_at, i, v_new, updated, HOW)


@triton.jit
def due_not_k_gt_1_sweep_2(ctx, chunk, t, active, BLOCK: tl.constexpr, TAIL: tl.constexpr, STRIDED: tl.constexpr):
    s = slot(ctx, t, 2)
    g = slot(ctx, t, 1)
    m = slot(ctx, t, 3)
    l = slot(ctx, t, 4)
    v = slot(ctx, t, 5)
    param = slot(ctx, t, 0)
    read = table(ctx, TENSOR_READ, tl.float32) + t * 19
    short_term_decay = tl.load(read + 0)
    one_minus_short_term_decay = tl.load(read + 1)
    medium_term_decay = tl.load(read + 2)
    one_minus_medium_term_decay = tl.load(read + 3)
    long_term_decay = tl.load(read + 4)
    one_minus_long_term_decay = tl.load(read + 5)
    exp_over_exp_plus_exp_plus_exp = tl.load(read + 9)
    exp_over_exp_plus_exp_plus_exp_2 = tl.load(read + 10)
    exp_over_exp_plus_exp_plus_exp_3 = tl.load(read + 11)
    beta2 = tl.load(read + 12)
    one_minus_beta2 = tl.load(read + 13)
    inverse_one_minus_beta2_to_t = tl.load(read + 14)
    eps = tl.load(read + 15)
    weight_decay = tl.load(read + 16)
    rate = tl.load(read + 17)
    s_at_whole = pointer(s, tl.float32, "whole")
    g_at_whole = pointer(g, tl.float32, "whole")
    m_at_whole = pointer(m, tl.float32, "whole")
    l_at_whole = pointer(l, tl.float32, "whole")
    v_at_whole = pointer(v, tl.float32, "whole")
    param_at_whole = pointer(param, tl.float32, "whole")
    s_at = pointer(s, tl.float32, "strided")
    g_at = pointer(g, tl.float32, "strided")
    m_at = pointer(m, tl.float32, "strided")
    l_at = pointer(l, tl.float32, "strided")
    v_at = pointer(v, tl.float32, "strided")
    param_at = pointer(param, tl.float32, "strided")
    first = multiple_of_16(chunk_field(ctx, chunk, C_COL))
    end = chunk_field(ctx, chunk, C_COL_END)
    rest = first
    if active & plain(s) & plain(g) & plain(m) & plain(l) & plain(v) & plain(param):
        rest = end - (end - first) % BLOCK
        for start in range(first, rest, BLOCK):
            i = start + tl.arange(0, BLOCK)
            due_not_k_gt_1_sweep_2_block(
                s_at_whole, g_at_whole, m_at_whole, l_at_whole, v_at_whole, param_at_whole, short_term_decay,
                one_minus_short_term_decay, medium_term_decay, one_minus_medium_term_decay, long_term_decay,
                one_minus_long_term_decay, exp_over_exp_plus_exp_plus_exp, exp_over_exp_plus_exp_plus_exp_2,
                exp_over_exp_plus_exp_plus_exp_3, beta2, one_minus_beta2, inverse_one_minus_beta2_to_t, eps,
                weight_decay, rate, i, True, True, "whole",
            )
    updated_end = tl.where(active, end, first)
    masked_end = tl.where(strided(s) | strided(g) | strided(m) | strided(l) | strided(v) | strided(param), rest, end)
    for start in range(rest, masked_end, TAIL):
        i = start + tl.arange(0, TAIL)
        inside = i < end
        updated = i < updated_end
        due_not_k_gt_1_sweep_2_block(
            s_at, g_at, m_at, l_at, v_at, param_at, short_term_decay, one_minus_short_term_decay,
            medium_term_decay, one_minus_medium_term_decay, long_term_decay, one_minus_long_term_decay,
            exp_over_exp_plus_exp_plus_exp, exp_over_exp_plus_exp_plus_exp_2,
            exp_over_exp_plus_exp_plus_exp_3, beta2, one_minus_beta2, inverse_one_minus_beta2_to_t, eps,
            weight_decay, rate, i, inside, updated, "masked",
        )
    if masked_end < end:
        s_at = pointer(slot(ctx, t, 2), tl.float32, "strided")
        g_at = pointer(slot(ctx, t, 1), tl.float32, "strided")
        m_at = pointer(slot(ctx, t, 3), tl.float32, "strided")
        l_at = pointer(slot(ctx, t, 4), tl.float32, "strided")
        v_at = pointer(slot(ctx, t, 5), tl.float32, "strided")
        param_at = pointer(slot(ctx, t, 0), tl.float32, "strided")
        for start in range(masked_end, end, STRIDED):
            i = start + tl.arange(0, STRIDED)
            inside = i < end
            updated = i < updated_end
            due_not_k_gt_1_sweep_2_block(
                s_at, g_at, m_at, l_at, v_at, param_at, short_term_decay, one_minus_short_term_decay,
                medium_term_decay, one_minus_medium_term_decay, long_term_decay, one_minus_long_term_decay,
                exp_over_exp_plus_exp_plus_exp, exp_over_exp_plus_exp_plus_exp_2,
                exp_over_exp_plus_exp_plus_exp_3, beta2, one_minus_beta2, inverse_one_minus_beta2_to_t, eps,
                weight_decay, rate, i, inside, updated, "strided",
            )


@triton.jit
def variant_of(ctx, t):
    hyper = table(ctx, HYPER, tl.float64)
    meta = table(ctx, META, tl.float64)
    step = table(ctx, STEP, tl.float64)
    interval = tl.load(hyper + t * 28 + 12)
    x = interval == 0.0
    auto_schedule = tl.load(hyper + t * 28 + 13)
    layer_interval = tl.load(hyper + t * 28 + 14)
    default_interval = tl.load(hyper + t * 28 + 15)
    max_interval = tl.load(hyper + t * 28 + 16)
    reverse_depth_order = tl.load(hyper + t * 28 + 17)
    x_1 = tl.where(x & ~(auto_schedule != 0.0), tl.where(layer_interval > 0.0, layer_interval, default_interval), tl.where(x, minimum(maximum(f8(1.0), tl.floor(max_interval * 0.5 * (1.0 + cos(3.141592653589793 * tl.where(reverse_depth_order != 0.0, 1.0 - tl.load(meta + t * 6 + 5), tl.load(meta + t * 6 + 5)))) + 1.0 + 1e-09)), max_interval), interval))
    step_1 = tl.load(step)
    warmup_steps = tl.load(hyper + t * 28 + 18)
    interval_1 = tl.load(hyper + t * 28 + 12)
    x_2 = interval_1 == 0.0
    auto_schedule_1 = tl.load(hyper + t * 28 + 13)
    layer_interval_1 = tl.load(hyper + t * 28 + 14)
    default_interval_1 = tl.load(hyper + t * 28 + 15)
    max_interval_1 = tl.load(hyper + t * 28 + 16)
    reverse_depth_order_1 = tl.load(hyper + t * 28 + 17)
    x_3 = tl.where(x_2 & ~(auto_schedule_1 != 0.0), tl.where(layer_interval_1 > 0.0, layer_interval_1, default_interval_1), tl.where(x_2, minimum(maximum(f8(1.0), tl.floor(max_interval_1 * 0.5 * (1.0 + cos(3.141592653589793 * tl.where(reverse_depth_order_1 != 0.0, 1.0 - tl.load(meta + t * 6 + 5), tl.load(meta + t * 6 + 5)))) + 1.0 + 1e-09)), max_interval_1), interval_1))
    step_2 = tl.load(step)
    warmup_steps_1 = tl.load(hyper + t * 28 + 18)
    return (tl.where(~((x_3 <= 1.0) | (step_2 <= warmup_steps_1) | (remainder(step_2, x_3) == 0.0)), f8(0.0), tl.where(~~((x_1 <= 1.0) | (step_1 <= warmup_steps) | (remainder(step_1, x_1) == 0.0)) & (x_1 > 1.0), f8(1.0), f8(2.0)))).to(tl.int64)


@triton.jit
def sweep_1(ctx):
    chunk, t = chunk_of_program(ctx)
    mode = tl.load(table(ctx, MODE, tl.int64) + t)
    if mode != ABSENT:
        variant = variant_of(ctx, t)
        if variant == 0:
            not_due_sweep_1(ctx, chunk, t, mode == ACTIVE, 1024, 256, 128)
        if variant == 1:
            due_k_gt_1_sweep_1(ctx, chunk, t, mode == ACTIVE, 1024, 256, 128)
        if variant == 2:
            due_not_k_gt_1_sweep_1(ctx, chunk, t, mode == ACTIVE, 1024, 256, 128)
    if is_last_program(ctx):
        select_variant(ctx)
        tl.debug_barrier()
        stage_0_tensor(ctx)


@triton.jit
def sweep_2(ctx):
    chunk, t = chunk_of_program(ctx)
    mode = tl.load(table(ctx, MODE, tl.int64) + t)
    if mode != ABSENT:
        variant = tl.load(table(ctx, VARIANT, tl.int64) + t)
        if variant == 1:
            due_k_gt_1_sweep_2(ctx, chunk, t, mode == ACTIVE, 1024, 256, 128)
        if variant == 2:
            due_not_k_gt_1_sweep_2(ctx, chunk, t, mode == ACTIVE, 1024, 256, 128)
    if is_last_program(ctx):
        stage_2_tensor(ctx)


@triton.jit
def stage_0_tensor(ctx):
    LANES: tl.constexpr = 128
    mode = table(ctx, MODE, tl.int64)
    member_count = word(ctx, MEMBER_COUNT)
    members = table(ctx, MEMBERS, tl.int64)
    variant = table(ctx, VARIANT, tl.int64)
    address = table(ctx, ADDRESS, tl.int64)
    slots = word(ctx, SLOTS)
    hyper = table(ctx, HYPER, tl.float64)
    tensor_value = table(ctx, TENSOR_VALUE, tl.float64)
    tensor_read = table(ctx, TENSOR_READ, tl.float32)
    meta = table(ctx, META, tl.float64)
    step = table(ctx, STEP, tl.float64)
    for first in range(0, member_count, LANES):
        k = first + tl.arange(0, LANES)
        here = k < member_count
        t = get(members + k, here)
        here = here & (get(mode + t, here) != ABSENT)
        here_0 = here & (get(variant + t, here) == 0)
        count = fetch(get(address + t * slots + 7, here_0), tl.int64, here_0)
        short_term_decay = get(hyper + t * 28 + 4, here_0)
        # s = short_term_decay*s + (1 - short_term_decay)*h
        one_minus_short_term_decay = 1.0 - short_term_decay
        put(tensor_value + t * 19 + 1, one_minus_short_term_decay, here_0)
        put(tensor_read + t * 19 + 1, one_minus_short_term_decay, here_0)
        medium_term_decay = get(hyper + t * 28 + 5, here_0)
        # m = medium_term_decay*m + (1 - medium_term_decay)*h
        one_minus_medium_term_decay = 1.0 - medium_term_decay
        put(tensor_value + t * 19 + 3, one_minus_medium_term_decay, here_0)
        put(tensor_read + t * 19 + 3, one_minus_medium_term_decay, here_0)
        long_term_decay = get(hyper + t * 28 + 6, here_0)
        # l = long_term_decay*l + (1 - long_term_decay)*h
        one_minus_long_term_decay = 1.0 - long_term_decay
        put(tensor_value + t * 19 + 5, one_minus_long_term_decay, here_0)
        put(tensor_read + t * 19 + 5, one_minus_long_term_decay, here_0)
        # acc = where(count > 0, acc + g, g)
        gt = tl.where(count > 0.0, f8(1.0), f8(0.0))
        put(tensor_value + t * 19 + 6, gt, here_0)
        put(tensor_read + t * 19 + 6, gt, here_0)
        # count = count + 1
        count_1 = count + 1.0
        put(tensor_value + t * 19 + 7, count_1, here_0)  # count
        put(tensor_value + t * 19 + 0, short_term_decay, here_0)
        put(tensor_read + t * 19 + 0, short_term_decay, here_0)
        put(tensor_value + t * 19 + 2, medium_term_decay, here_0)
        put(tensor_read + t * 19 + 2, medium_term_decay, here_0)
        put(tensor_value + t * 19 + 4, long_term_decay, here_0)
        put(tensor_read + t * 19 + 4, long_term_decay, here_0)
        here_1 = here & (get(variant + t, here) == 1)
        count_2 = fetch(get(address + t * slots + 7, here_1), tl.int64, here_1)
        short_term_decay_1 = get(hyper + t * 28 + 4, here_1)
        # s = short_term_decay*s + (1 - short_term_decay)*h
        one_minus_short_term_decay_1 = 1.0 - short_term_decay_1
        put(tensor_value + t * 19 + 1, one_minus_short_term_decay_1, here_1)  # one_minus_short_term_decay
        put(tensor_read + t * 19 + 1, one_minus_short_term_decay_1, here_1)
        medium_term_decay_1 = get(hyper + t * 28 + 5, here_1)
        # m = medium_term_decay*m + (1 - medium_term_decay)*h
        one_minus_medium_term_decay_1 = 1.0 - medium_term_decay_1
        put(tensor_value + t * 19 + 3, one_minus_medium_term_decay_1, here_1)  # one_minus_medium_term_decay
        put(tensor_read + t * 19 + 3, one_minus_medium_term_decay_1, here_1)
        long_term_decay_1 = get(hyper + t * 28 + 6, here_1)
        # l = long_term_decay*l + (1 - long_term_decay)*h
        one_minus_long_term_decay_1 = 1.0 - long_term_decay_1
        put(tensor_value + t * 19 + 5, one_minus_long_term_decay_1, here_1)  # one_minus_long_term_decay
        put(tensor_read + t * 19 + 5, one_minus_long_term_decay_1, here_1)
        # acc = where(count > 0, (acc + g)/(count + 1), g)
        gt_1 = tl.where(count_2 > 0.0, f8(1.0), f8(0.0))
        put(tensor_value + t * 19 + 6, gt_1, here_1)  # gt
        put(tensor_read + t * 19 + 6, gt_1, here_1)
        count_plus_constant = count_2 + 1.0
        put(tensor_value + t * 19 + 8, count_plus_constant, here_1)
        put(tensor_read + t * 19 + 8, count_plus_constant, here_1)
        # w = softmax(score/sqrt(numel(param) + 1e-8))
        put(tensor_value + t * 19 + 18, tl.sqrt(get(meta + t * 6 + 0, here_1) + 1e-08), here_1)  # root_numel_plus_constant
        beta2 = get(hyper + t * 28 + 2, here_1)
        # v = beta2*v + (1 - beta2)*c**2
        one_minus_beta2 = 1.0 - beta2
        put(tensor_value + t * 19 + 13, one_minus_beta2, here_1)
        put(tensor_read + t * 19 + 13, one_minus_beta2, here_1)
        updates = fetch(get(address + t * slots + 8, here_1), tl.float32, here_1) + 1.0
        # d = c/(sqrt(top_v/(1 - beta2**e)) + eps)
        inverse_one_minus_beta2_to_t = 1.0 / -expm1(updates * log(beta2))
        put(tensor_value + t * 19 + 14, inverse_one_minus_beta2_to_t, here_1)
        put(tensor_read + t * 19 + 14, inverse_one_minus_beta2_to_t, here_1)
        steps_per_epoch = get(hyper + t * 28 + 22, here_1)
        # length = maximum(steps_per_epoch, 1)
        length = maximum(steps_per_epoch, f8(1.0))
        step_1 = tl.load(step)
        # i = (maximum(step, 1) - 1) % length
        i = remainder(maximum(step_1, f8(1.0)) - 1.0, length)
        lr_warmup_fraction = get(hyper + t * 28 + 23, here_1)
        # warm_end = lr_warmup_fraction*length
        warm_end = lr_warmup_fraction * length
        lr_hold_fraction = get(hyper + t * 28 + 24, here_1)
        # hold_end = warm_end + lr_hold_fraction*length
        hold_end = warm_end + lr_hold_fraction * length
        lr_warmup_start_fraction = get(hyper + t * 28 + 27, here_1)
        # rise = lr_warmup_start_fraction + (1 - lr_warmup_start_fraction)*minimum(i/maximum(warm_end, 1), 1)
        rise = lr_warmup_start_fraction + (1.0 - lr_warmup_start_fraction) * minimum(i / maximum(warm_end, f8(1.0)), f8(1.0))
        lr_min_fraction = get(hyper + t * 28 + 26, here_1)
        lr_decay_fraction = get(hyper + t * 28 + 25, here_1)
        # fall = 1 - (1 - lr_min_fraction)*minimum((i - hold_end)/maximum(lr_decay_fraction*length, 1), 1)
        fall = 1.0 - (1.0 - lr_min_fraction) * minimum((i - hold_end) / maximum(lr_decay_fraction * length, f8(1.0)), f8(1.0))
        lr = get(hyper + t * 28 + 0, here_1)
        # rate = lr*where(steps_per_epoch == 0 or (warm_end <= i and i < hold_end), 1, where(i < warm_end, rise, fall))
        rate = lr * tl.where((steps_per_epoch == 0.0) | (warm_end <= i) & (i < hold_end), f8(1.0), tl.where(i < warm_end, rise, fall))
        put(tensor_value + t * 19 + 17, rate, here_1)
        put(tensor_read + t * 19 + 17, rate, here_1)
        put(tensor_value + t * 19 + 0, short_term_decay_1, here_1)  # short_term_decay
        put(tensor_read + t * 19 + 0, short_term_decay_1, here_1)
        put(tensor_value + t * 19 + 2, medium_term_decay_1, here_1)  # medium_term_decay
        put(tensor_read + t * 19 + 2, medium_term_decay_1, here_1)
        put(tensor_value + t * 19 + 4, long_term_decay_1, here_1)  # long_term_decay
        put(tensor_read + t * 19 + 4, long_term_decay_1, here_1)
        put(tensor_value + t * 19 + 12, beta2, here_1)
        put(tensor_read + t * 19 + 12, beta2, here_1)
        eps = get(hyper + t * 28 + 3, here_1)
        put(tensor_value + t * 19 + 15, eps, here_1)
        put(tensor_read + t * 19 + 15, eps, here_1)
        weight_decay = get(hyper + t * 28 + 21, here_1)
        put(tensor_value + t * 19 + 16, weight_decay, here_1)
        put(tensor_read + t * 19 + 16, weight_decay, here_1)
        here_2 = here & (get(variant + t, here) == 2)
        short_term_decay_2 = get(hyper + t * 28 + 4, here_2)
        # s = short_term_decay*s + (1 - short_term_decay)*h
        one_minus_short_term_decay_2 = 1.0 - short_term_decay_2
        put(tensor_value + t * 19 + 1, one_minus_short_term_decay_2, here_2)  # one_minus_short_term_decay
        put(tensor_read + t * 19 + 1, one_minus_short_term_decay_2, here_2)
        medium_term_decay_2 = get(hyper + t * 28 + 5, here_2)
        # m = medium_term_decay*m + (1 - medium_term_decay)*h
        one_minus_medium_term_decay_2 = 1.0 - medium_term_decay_2
        put(tensor_value + t * 19 + 3, one_minus_medium_term_decay_2, here_2)  # one_minus_medium_term_decay
        put(tensor_read + t * 19 + 3, one_minus_medium_term_decay_2, here_2)
        long_term_decay_2 = get(hyper + t * 28 + 6, here_2)
        # l = long_term_decay*l + (1 - long_term_decay)*h
        one_minus_long_term_decay_2 = 1.0 - long_term_decay_2
        put(tensor_value + t * 19 + 5, one_minus_long_term_decay_2, here_2)  # one_minus_long_term_decay
        put(tensor_read + t * 19 + 5, one_minus_long_term_decay_2, here_2)
        # w = softmax(score/sqrt(numel(param) + 1e-8))
        put(tensor_value + t * 19 + 18, tl.sqrt(get(meta + t * 6 + 0, here_2) + 1e-08), here_2)  # root_numel_plus_constant
        beta2_1 = get(hyper + t * 28 + 2, here_2)
        # v = beta2*v + (1 - beta2)*c**2
        one_minus_beta2_1 = 1.0 - beta2_1
        put(tensor_value + t * 19 + 13, one_minus_beta2_1, here_2)  # one_minus_beta2
        put(tensor_read + t * 19 + 13, one_minus_beta2_1, here_2)
        updates_1 = fetch(get(address + t * slots + 8, here_2), tl.float32, here_2) + 1.0
        # d = c/(sqrt(top_v/(1 - beta2**e)) + eps)
        inverse_one_minus_beta2_to_t_1 = 1.0 / -expm1(updates_1 * log(beta2_1))
        put(tensor_value + t * 19 + 14, inverse_one_minus_beta2_to_t_1, here_2)  # inverse_one_minus_beta2_to_t
        put(tensor_read + t * 19 + 14, inverse_one_minus_beta2_to_t_1, here_2)
        steps_per_epoch_1 = get(hyper + t * 28 + 22, here_2)
        # length = maximum(steps_per_epoch, 1)
        length_1 = maximum(steps_per_epoch_1, f8(1.0))
        step_2 = tl.load(step)
        # i = (maximum(step, 1) - 1) % length
        i_1 = remainder(maximum(step_2, f8(1.0)) - 1.0, length_1)
        lr_warmup_fraction_1 = get(hyper + t * 28 + 23, here_2)
        # warm_end = lr_warmup_fraction*length
        warm_end_1 = lr_warmup_fraction_1 * length_1
        lr_hold_fraction_1 = get(hyper + t * 28 + 24, here_2)
        # hold_end = warm_end + lr_hold_fraction*length
        hold_end_1 = warm_end_1 + lr_hold_fraction_1 * length_1
        lr_warmup_start_fraction_1 = get(hyper + t * 28 + 27, here_2)
        # rise = lr_warmup_start_fraction + (1 - lr_warmup_start_fraction)*minimum(i/maximum(warm_end, 1), 1)
        rise_1 = lr_warmup_start_fraction_1 + (1.0 - lr_warmup_start_fraction_1) * minimum(i_1 / maximum(warm_end_1, f8(1.0)), f8(1.0))
        lr_min_fraction_1 = get(hyper + t * 28 + 26, here_2)
        lr_decay_fraction_1 = get(hyper + t * 28 + 25, here_2)
        # fall = 1 - (1 - lr_min_fraction)*minimum((i - hold_end)/maximum(lr_decay_fraction*length, 1), 1)
        fall_1 = 1.0 - (1.0 - lr_min_fraction_1) * minimum((i_1 - hold_end_1) / maximum(lr_decay_fraction_1 * length_1, f8(1.0)), f8(1.0))
        lr_1 = get(hyper + t * 28 + 0, here_2)
        # rate = lr*where(steps_per_epoch == 0 or (warm_end <= i and i < hold_end), 1, where(i < warm_end, rise, fall))
        rate_1 = lr_1 * tl.where((steps_per_epoch_1 == 0.0) | (warm_end_1 <= i_1) & (i_1 < hold_end_1), f8(1.0), tl.where(i_1 < warm_end_1, rise_1, fall_1))
        put(tensor_value + t * 19 + 17, rate_1, here_2)  # rate
        put(tensor_read + t * 19 + 17, rate_1, here_2)
        put(tensor_value + t * 19 + 0, short_term_decay_2, here_2)  # short_term_decay
        put(tensor_read + t * 19 + 0, short_term_decay_2, here_2)
        put(tensor_value + t * 19 + 2, medium_term_decay_2, here_2)  # medium_term_decay
        put(tensor_read + t * 19 + 2, medium_term_decay_2, here_2)
        put(tensor_value + t * 19 + 4, long_term_decay_2, here_2)  # long_term_decay
        put(tensor_read + t * 19 + 4, long_term_decay_2, here_2)
        put(tensor_value + t * 19 + 12, beta2_1, here_2)  # beta2
        put(tensor_read + t * 19 + 12, beta2_1, here_2)
        eps_1 = get(hyper + t * 28 + 3, here_2)
        put(tensor_value + t * 19 + 15, eps_1, here_2)  # eps
        put(tensor_read + t * 19 + 15, eps_1, here_2)
        weight_decay_1 = get(hyper + t * 28 + 21, here_2)
        put(tensor_value + t * 19 + 16, weight_decay_1, here_2)  # weight_decay
        put(tensor_read + t * 19 + 16, weight_decay_1, here_2)


@triton.jit
def stage_2_tensor(ctx):
    LANES: tl.constexpr = 128
    mode = table(ctx, MODE, tl.int64)
    member_count = word(ctx, MEMBER_COUNT)
    members = table(ctx, MEMBERS, tl.int64)
    variant = table(ctx, VARIANT, tl.int64)
    address = table(ctx, ADDRESS, tl.int64)
    slots = word(ctx, SLOTS)
    for first in range(0, member_count, LANES):
        k = first + tl.arange(0, LANES)
        here = k < member_count
        t = get(members + k, here)
        here = here & (get(mode + t, here) != ABSENT)
        here_1 = here & (get(variant + t, here) == 1)
        deposit(get(address + t * slots + 7, here_1), tl.int64, 0.0 + tl.zeros_like(t).to(tl.float64), here_1 & (get(mode + t, here_1) == ACTIVE))
        updates = fetch(get(address + t * slots + 8, here_1), tl.float32, here_1) + 1.0
        deposit(get(address + t * slots + 8, here_1), tl.float32, updates, here_1 & (get(mode + t, here_1) == ACTIVE))
        here_2 = here & (get(variant + t, here) == 2)
        updates_1 = fetch(get(address + t * slots + 8, here_2), tl.float32, here_2) + 1.0
        deposit(get(address + t * slots + 8, here_2), tl.float32, updates_1, here_2 & (get(mode + t, here_2) == ACTIVE))


@triton.jit
def stage_1_tensor(ctx):
    LANES: tl.constexpr = 128
    mode = table(ctx, MODE, tl.int64)
    member_count = word(ctx, MEMBER_COUNT)
    members = table(ctx, MEMBERS, tl.int64)
    variant = table(ctx, VARIANT, tl.int64)
    tensor_value = table(ctx, TENSOR_VALUE, tl.float64)
    address = table(ctx, ADDRESS, tl.int64)
    slots = word(ctx, SLOTS)
    tensor_total = table(ctx, TENSOR_TOTAL, tl.float64)
    tensor_read = table(ctx, TENSOR_READ, tl.float32)
    for first in range(0, member_count, LANES):
        k = first + tl.arange(0, LANES)
        here = k < member_count
        t = get(members + k, here)
        here = here & (get(mode + t, here) != ABSENT)
        here_0 = here & (get(variant + t, here) == 0)
        count = get(tensor_value + t * 19 + 7, here_0)
        deposit(get(address + t * slots + 7, here_0), tl.int64, count, here_0 & (get(mode + t, here_0) == ACTIVE))
        here_1 = here & (get(variant + t, here) == 1)
        sum_acc_s = get(tensor_total + t * 6 + 0, here_1)
        sum_acc_m = get(tensor_total + t * 6 + 1, here_1)
        sum_acc_l = get(tensor_total + t * 6 + 2, here_1)
        root_numel_plus_constant = get(tensor_value + t * 19 + 18, here_1)
        # w = softmax(score/sqrt(numel(param) + 1e-8))
        x = sum_acc_s / root_numel_plus_constant
        x_1 = sum_acc_m / root_numel_plus_constant
        x_2 = sum_acc_l / root_numel_plus_constant
        x_3 = maximum(maximum(x, x_1), x_2)
        x_4 = exp(x - x_3)
        x_5 = exp(x_1 - x_3)
        x_6 = exp(x_2 - x_3)
        x_7 = x_4 + x_5 + x_6
        exp_over_exp_plus_exp_plus_exp = x_4 / x_7
        put(tensor_value + t * 19 + 9, exp_over_exp_plus_exp_plus_exp, here_1)
        put(tensor_read + t * 19 + 9, exp_over_exp_plus_exp_plus_exp, here_1)
        exp_over_exp_plus_exp_plus_exp_2 = x_5 / x_7
        put(tensor_value + t * 19 + 10, exp_over_exp_plus_exp_plus_exp_2, here_1)
        put(tensor_read + t * 19 + 10, exp_over_exp_plus_exp_plus_exp_2, here_1)
        exp_over_exp_plus_exp_plus_exp_3 = x_6 / x_7
        put(tensor_value + t * 19 + 11, exp_over_exp_plus_exp_plus_exp_3, here_1)
        put(tensor_read + t * 19 + 11, exp_over_exp_plus_exp_plus_exp_3, here_1)
        here_2 = here & (get(variant + t, here) == 2)
        sum_g_s = get(tensor_total + t * 6 + 3, here_2)
        sum_g_m = get(tensor_total + t * 6 + 4, here_2)
        sum_g_l = get(tensor_total + t * 6 + 5, here_2)
        root_numel_plus_constant_1 = get(tensor_value + t * 19 + 18, here_2)
        # w = softmax(score/sqrt(numel(param) + 1e-8))
        x_8 = sum_g_s / root_numel_plus_constant_1
        x_9 = sum_g_m / root_numel_plus_constant_1
        x_10 = sum_g_l / root_numel_plus_constant_1
        x_11 = maximum(maximum(x_8, x_9), x_10)
        x_12 = exp(x_8 - x_11)
        x_13 = exp(x_9 - x_11)
        x_14 = exp(x_10 - x_11)
        x_15 = x_12 + x_13 + x_14
        exp_over_exp_plus_exp_plus_exp_1 = x_12 / x_15
        put(tensor_value + t * 19 + 9, exp_over_exp_plus_exp_plus_exp_1, here_2)  # exp_over_exp_plus_exp_plus_exp
        put(tensor_read + t * 19 + 9, exp_over_exp_plus_exp_plus_exp_1, here_2)
        exp_over_exp_plus_exp_plus_exp_2_1 = x_13 / x_15
        put(tensor_value + t * 19 + 10, exp_over_exp_plus_exp_plus_exp_2_1, here_2)  # exp_over_exp_plus_exp_plus_exp_2
        put(tensor_read + t * 19 + 10, exp_over_exp_plus_exp_plus_exp_2_1, here_2)
        exp_over_exp_plus_exp_plus_exp_3_1 = x_14 / x_15
        put(tensor_value + t * 19 + 11, exp_over_exp_plus_exp_plus_exp_3_1, here_2)  # exp_over_exp_plus_exp_plus_exp_3
        put(tensor_read + t * 19 + 11, exp_over_exp_plus_exp_plus_exp_3_1, here_2)


@triton.jit
def stages_1(ctx, FROM: tl.constexpr, UPTO: tl.constexpr):
    if FROM <= 0 and 0 < UPTO:
        total_runs(ctx, 0, 6, tl.float32, "sum")
        total_runs(ctx, 1, 6, tl.float32, "sum")
        total_runs(ctx, 2, 6, tl.float32, "sum")
        total_runs(ctx, 3, 6, tl.float32, "sum")
        total_runs(ctx, 4, 6, tl.float32, "sum")
        total_runs(ctx, 5, 6, tl.float32, "sum")
    if FROM <= 1 and 1 < UPTO:
        tl.debug_barrier()
        total_tensors(ctx, 0, 6, "sum", 2, True)
        total_tensors(ctx, 1, 6, "sum", 2, True)
        total_tensors(ctx, 2, 6, "sum", 2, True)
        total_tensors(ctx, 3, 6, "sum", 4, True)
        total_tensors(ctx, 4, 6, "sum", 4, True)
        total_tensors(ctx, 5, 6, "sum", 4, True)
    if FROM <= 2 and 2 < UPTO:
        tl.debug_barrier()
        stage_1_tensor(ctx)


FUNCTIONS = {
    "sweep_1": sweep_1,
    "sweep_2": sweep_2,
    "stages_1": stages_1,
}
