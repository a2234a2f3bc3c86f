"""Kernels of the rule rmsprop in float32, generated from rmsprop.yaml.

spec c710169870631c2efc39e17ddb3e4786cac86a9e43e7b9d244f94c854f852176
made by: optgen build rmsprop --backend triton --set centered=false --set maximize=false
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
    MODE,
    SLOTS,
    chunk_field,
    chunk_of_program,
    deposit,
    fetch,
    get,
    is_last_program,
    load,
    multiple_of_16,
    plain,
    pointer,
    slot,
    store,
    strided,
    table,
    word,
)

MANIFEST = {'abi': 1,
 'rule': 'rmsprop',
 'class': 'RMSprop',
 'digest': 'c710169870631c2efc39e17ddb3e4786cac86a9e43e7b9d244f94c854f852176',
 'backend': 'triton',
 'settled': {'centered': False, 'maximize': False, 'momentum != 0': False},
 'dtype': {'compute': 'float32', 'param': 'float32', 'g': 'float32'},
 'hypers': ['lr', 'alpha', 'eps', 'weight_decay', 'momentum', 'centered'],
 'inputs': [],
 'slots': [{'name': 'param', 'extent': 'elem', 'dtype': 'float32', 'role': 'param'},
           {'name': 'g', 'extent': 'elem', 'dtype': 'float32', 'role': 'gradient'},
           {'name': 'v', 'extent': 'elem', 'dtype': 'float32', 'role': 'state'},
           {'name': 'step', 'extent': 'tensor', 'dtype': 'float32', 'role': 'counter'}],
 'values': {'tensor': ['weight_decay', 'alpha', 'one_minus_alpha', 'eps', 'lr'],
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
 'select': None,
 'inexact': [],
 'stages': [[['stage_0_tensor', 'tensor']], [['stage_1_tensor', 'tensor']]],
 'variants': [{'name': 'always',
               'when': '',
               'slots': ['v'],
               'sweeps': [{'function': 'step_1', 'streams': [], 'totals': []}],
               'stored': [[], ['step']]}],
 'warps': 4,
 'launches': [[], []]}


@triton.jit
def step_1_scalars(ctx, t):
    hyper = table(ctx, HYPER, tl.float64)
    alpha = tl.load(hyper + t * 6 + 1)
    # v = alpha*v + (1 - alpha)*g**2
    one_minus_alpha = 1.0 - alpha
    weight_decay = tl.load(hyper + t * 6 + 3)
    eps = tl.load(hyper + t * 6 + 2)
    lr = tl.load(hyper + t * 6 + 0)
    return (
        weight_decay.to(tl.float32), alpha.to(tl.float32), one_minus_alpha.to(tl.float32), eps.to(tl.float32),
        lr.to(tl.float32),
    )


@triton.jit
def step_1_block(
    param_at, g_at, v_at, weight_decay, alpha, one_minus_alpha, eps, lr, i, inside, updated,
    HOW: tl.constexpr,
):
    param = load(param_at, i, inside, HOW)
    g = load(g_at, i, updated, HOW)
    # g = g + weight_decay*param
    g_new = g + weight_decay * param
    v = load(v_at, i, inside, HOW)
    # v = alpha*v + (1 - alpha)*g**2
    v_new = alpha * v + one_minus_alpha * (g_new * g_new)
    # d = g/(sqrt(s) + eps)
    d = tl.div_rn(g_new, tl.sqrt_rn(v_new) + eps)
    # param = param - lr*d
    param_new = param - lr * d
    store(param_at, i, param_new, updated, HOW)
    store(v_at, i, v_new, updated, HOW)


@triton.jit
def step_1(ctx, chunk, t, active, BLOCK: tl.constexpr, TAIL: tl.constexpr, STRIDED: tl.constexpr):
    param = slot(ctx, t, 0)
    g = slot(ctx, t, 1)
    v = slot(ctx, t, 2)
    weight_decay, alpha, one_minus_alpha, eps, lr = step_1_scalars(ctx, t)
    param_at_whole = pointer(param, tl.float32, "whole")
    g_at_whole = pointer(g, tl.float32, "whole")
    v_at_whole = pointer(v, tl.float32, "whole")
    param_at = pointer(param, tl.float32, "strided")
    g_at = pointer(g, tl.float32, "strided")
    v_at = pointer(v, tl.float32, "strided")
    first = multiple_of_16(chunk_field(ctx, chunk, C_COL))
    end = chunk_field(ctx, chunk, C_COL_END)
    rest = first
    if active & plain(param) & plain(g) & plain(v):
        rest = end - (end - first) % BLOCK
        for start in range(first, rest, BLOCK):
            i = start + tl.arange(0, BLOCK)
            step_1_block(
                param_at_whole, g_at_whole, v_at_whole, weight_decay, alpha, one_minus_alpha, eps, lr, i,
                True, True, "whole",
            )
    updated_end = tl.where(active, end, first)
    masked_end = tl.where(strided(param) | strided(g) | strided(v), rest, end)
    for start in range(rest, masked_end, TAIL):
        i = start + tl.arange(0, TAIL)
        inside = i < end
        updated = i < updated_end
        step_1_block(
            param_at, g_at, v_at, weight_decay, alpha, one_minus_alpha, eps, lr, i, inside, updated, "masked",
        )
    if masked_end < end:
        param_at = pointer(slot(ctx, t, 0), tl.float32, "strided")
        g_at = pointer(slot(ctx, t, 1), tl.float32, "strided")
        v_at = pointer(slot(ctx, t, 2), tl.float32, "strided")
        for start in range(masked_end, end, STRIDED):
            i = start + tl.arange(0, STRIDED)
            inside = i < end
            updated = i < updated_end
            step_1_block(
                param_at, g_at, v_at, weight_decay, alpha, one_minus_alpha, eps, lr, i, inside, updated,
                "strided",
            )


@triton.jit
def sweep_1(ctx):
    chunk, t = chunk_of_program(ctx)
    mode = tl.load(table(ctx, MODE, tl.int64) + t)
    if mode != ABSENT:
        step_1(ctx, chunk, t, mode == ACTIVE, 1024, 256, 128)
    if is_last_program(ctx):
        stage_1_tensor(ctx)


@triton.jit
def stage_1_tensor(ctx):
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
        updates = fetch(get(address + t * slots + 3, here), tl.float32, here) + 1.0
        deposit(get(address + t * slots + 3, here), tl.float32, updates, here & (get(mode + t, here) == ACTIVE))


FUNCTIONS = {
    "sweep_1": sweep_1,
}
