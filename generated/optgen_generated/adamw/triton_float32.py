"""Kernels of the rule adamw in float32, generated from adamw.yaml.

spec 776539a6877fcdf557c8e6fcfe462bdb7daae1acb4e06fe54482cedb711ef3c9
made by: optgen build adamw --backend triton --set amsgrad=false --set maximize=false
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
from optgen.runtime.triton_library import (
    expm1,
    log,
)

MANIFEST = {'abi': 1,
 'rule': 'adamw',
 'class': 'AdamW',
 'digest': '776539a6877fcdf557c8e6fcfe462bdb7daae1acb4e06fe54482cedb711ef3c9',
 'backend': 'triton',
 'settled': {'amsgrad': False, 'maximize': False},
 'dtype': {'compute': 'float32', 'param': 'float32', 'g': 'float32'},
 'hypers': ['lr', 'beta1', 'beta2', 'eps', 'weight_decay', 'amsgrad'],
 'inputs': [],
 'slots': [{'name': 'param', 'extent': 'elem', 'dtype': 'float32', 'role': 'param'},
           {'name': 'g', 'extent': 'elem', 'dtype': 'float32', 'role': 'gradient'},
           {'name': 'm', 'extent': 'elem', 'dtype': 'float32', 'role': 'state'},
           {'name': 'v', 'extent': 'elem', 'dtype': 'float32', 'role': 'state'},
           {'name': 'step', 'extent': 'tensor', 'dtype': 'float32', 'role': 'counter'}],
 'values': {'tensor': ['beta1',
                       'one_minus_beta1',
                       'beta2',
                       'one_minus_beta2',
                       'inverse_one_minus_beta1_to_t',
                       'inverse_one_minus_beta2_to_t',
                       'eps',
                       'weight_decay',
                       'lr'],
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
               'slots': ['m', 'v'],
               'sweeps': [{'function': 'step_1', 'streams': [], 'totals': []}],
               'stored': [[], ['step']]}],
 'warps': 8,
 'launches': [[], []]}


@triton.jit
def step_1_scalars(ctx, t):
    hyper = table(ctx, HYPER, tl.float64)
    address = table(ctx, ADDRESS, tl.int64)
    slots = word(ctx, SLOTS)
    beta1 = tl.load(hyper + t * 6 + 1)
    # m = beta1*m + (1 - beta1)*g
    one_minus_beta1 = 1.0 - beta1
    beta2 = tl.load(hyper + t * 6 + 2)
    # v = beta2*v + (1 - beta2)*g**2
    one_minus_beta2 = 1.0 - beta2
    updates = fetch(tl.load(address + t * slots + 4), tl.float32, True) + 1.0
    # d = (m/(1 - beta1**t)) / (sqrt(v/(1 - beta2**t)) + eps)
    inverse_one_minus_beta1_to_t = 1.0 / -expm1(updates * log(beta1))
    inverse_one_minus_beta2_to_t = 1.0 / -expm1(updates * log(beta2))
    eps = tl.load(hyper + t * 6 + 3)
    weight_decay = tl.load(hyper + t * 6 + 4)
    lr = tl.load(hyper + t * 6 + 0)
    return (
        beta1.to(tl.float32), one_minus_beta1.to(tl.float32), beta2.to(tl.float32),
        one_minus_beta2.to(tl.float32), inverse_one_minus_beta1_to_t.to(tl.float32),
        inverse_one_minus_beta2_to_t.to(tl.float32), eps.to(tl.float32), weight_decay.to(tl.float32),
        lr.to(tl.float32),
    )


@triton.jit
def step_1_block(
    m_at, g_at, v_at, param_at, beta1, one_minus_beta1, beta2, one_minus_beta2, inverse_one_minus_beta1_to_t,
    inverse_one_minus_beta2_to_t, eps, weight_decay, lr, i, inside, updated, HOW: tl.constexpr,
):
    m = load(m_at, i, inside, HOW)
    g = load(g_at, i, updated, HOW)
    # m = beta1*m + (1 - beta1)*g
    m_new = beta1 * m + one_minus_beta1 * g
    v = load(v_at, i, inside, HOW)
    # v = beta2*v + (1 - beta2)*g**2
    v_new = beta2 * v + one_minus_beta2 * (g * g)
    # d = (m/(1 - beta1**t)) / (sqrt(v/(1 - beta2**t)) + eps)
    d = tl.div_rn(m_new * inverse_one_minus_beta1_to_t, tl.sqrt_rn(v_new * inverse_one_minus_beta2_to_t) + eps)
    param = load(param_at, i, inside, HOW)
    # param = param - lr*(d + weight_decay*param)
    param_new = param - lr * (d + weight_decay * param)
    store(m_at, i, m_new, updated, HOW)
    store(param_at, i, param_new, updated, HOW)
    store(v_at, i, v_new, updated, HOW)


@triton.jit
def step_1(ctx, chunk, t, active, BLOCK: tl.constexpr, TAIL: tl.constexpr, STRIDED: tl.constexpr):
    m = slot(ctx, t, 2)
    g = slot(ctx, t, 1)
    v = slot(ctx, t, 3)
    param = slot(ctx, t, 0)
    (
        beta1, one_minus_beta1, beta2, one_minus_beta2, inverse_one_minus_beta1_to_t,
        inverse_one_minus_beta2_to_t, eps, weight_decay, lr,
    ) = step_1_scalars(ctx, t)
    m_at_whole = pointer(m, tl.float32, "whole")
    g_at_whole = pointer(g, tl.float32, "whole")
    v_at_whole = pointer(v, tl.float32, "whole")
    param_at_whole = pointer(param, tl.float32, "whole")
    m_at = pointer(m, tl.float32, "strided")
    g_at = pointer(g, tl.float32, "strided")
    v_at = pointer(v, tl.float32, "strided")
    param_at = pointer(param, tl.float32, "strided")
    first = multiple_of_16(chunk_field(ctx, chunk, C_COL))
    end = chunk_field(ctx, chunk, C_COL_END)
    rest = first
    if active & plain(m) & plain(g) & plain(v) & plain(param):
        rest = end - (end - first) % BLOCK
        for start in range(first, rest, BLOCK):
            i = start + tl.arange(0, BLOCK)
            step_1_block(
                m_at_whole, g_at_whole, v_at_whole, param_at_whole, beta1, one_minus_beta1, beta2,
                one_minus_beta2, inverse_one_minus_beta1_to_t, inverse_one_minus_beta2_to_t, eps,
                weight_decay, lr, i, True, True, "whole",
            )
    updated_end = tl.where(active, end, first)
    masked_end = tl.where(strided(m) | strided(g) | strided(v) | strided(param), rest, end)
    for start in range(rest, masked_end, TAIL):
        i = start + tl.arange(0, TAIL)
        inside = i < end
        updated = i < updated_end
        step_1_block(
            m_at, g_at, v_at, param_at, beta1, one_minus_beta1, beta2, one_minus_beta2,
            inverse_one_minus_beta1_to_t, inverse_one_minus_beta2_to_t, eps, weight_decay, lr, i, inside,
            updated, "masked",
        )
    if masked_end < end:
        m_at = pointer(slot(ctx, t, 2), tl.float32, "strided")
        g_at = pointer(slot(ctx, t, 1), tl.float32, "strided")
        v_at = pointer(slot(ctx, t, 3), tl.float32, "strided")
        param_at = pointer(slot(ctx, t, 0), tl.float32, "strided")
        for start in range(masked_end, end, STRIDED):
            i = start + tl.arange(0, STRIDED)
            inside = i < end
            updated = i < updated_end
            step_1_block(
                m_at, g_at, v_at, param_at, beta1, one_minus_beta1, beta2, one_minus_beta2,
                inverse_one_minus_beta1_to_t, inverse_one_minus_beta2_to_t, eps, weight_decay, lr, i, inside,
                updated, "strided",
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
        updates = fetch(get(address + t * slots + 4, here), tl.float32, here) + 1.0
        deposit(get(address + t * slots + 4, here), tl.float32, updates, here & (get(mode + t, here) == ACTIVE))


FUNCTIONS = {
    "sweep_1": sweep_1,
}
