"""Kernels of the rule lion in float32, generated from lion.yaml.

spec 2ae1e83b89d8d06912e96d398487972853d31ff25acd5e120c2cbce0ab52ab93
made by: optgen build lion --backend triton --set maximize=false
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
    f4,
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
 'rule': 'lion',
 'class': 'Lion',
 'digest': '2ae1e83b89d8d06912e96d398487972853d31ff25acd5e120c2cbce0ab52ab93',
 'backend': 'triton',
 'settled': {'maximize': False},
 'dtype': {'compute': 'float32', 'param': 'float32', 'g': 'float32'},
 'hypers': ['lr', 'beta1', 'beta2', 'weight_decay'],
 'inputs': [],
 'slots': [{'name': 'param', 'extent': 'elem', 'dtype': 'float32', 'role': 'param'},
           {'name': 'g', 'extent': 'elem', 'dtype': 'float32', 'role': 'gradient'},
           {'name': 'm', 'extent': 'elem', 'dtype': 'float32', 'role': 'state'},
           {'name': 'step', 'extent': 'tensor', 'dtype': 'float32', 'role': 'counter'}],
 'values': {'tensor': ['beta1', 'one_minus_beta1', 'beta2', 'one_minus_beta2', 'weight_decay', 'lr'],
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
               'slots': ['m'],
               'sweeps': [{'function': 'step_1', 'streams': [], 'totals': []}],
               'stored': [[], ['step']]}],
 'warps': 4,
 'launches': [[], []]}


@triton.jit
def step_1_scalars(ctx, t):
    hyper = table(ctx, HYPER, tl.float64)
    beta1 = tl.load(hyper + t * 4 + 1)
    # d = sign(beta1*m + (1 - beta1)*g)
    one_minus_beta1 = 1.0 - beta1
    beta2 = tl.load(hyper + t * 4 + 2)
    # m = beta2*m + (1 - beta2)*g
    one_minus_beta2 = 1.0 - beta2
    weight_decay = tl.load(hyper + t * 4 + 3)
    lr = tl.load(hyper + t * 4 + 0)
    return (
        beta1.to(tl.float32), one_minus_beta1.to(tl.float32), beta2.to(tl.float32),
        one_minus_beta2.to(tl.float32), weight_decay.to(tl.float32), lr.to(tl.float32),
    )


@triton.jit
def step_1_block(
    m_at, g_at, param_at, beta1, one_minus_beta1, beta2, one_minus_beta2, weight_decay, lr, i, inside,
    updated, HOW: tl.constexpr,
):
    m = load(m_at, i, inside, HOW)
    g = load(g_at, i, updated, HOW)
    # d = sign(beta1*m + (1 - beta1)*g)
    x = beta1 * m + one_minus_beta1 * g
    d = tl.where(x > 0.0, f4(1.0), tl.where(x < 0.0, f4(-1.0), x))
    # m = beta2*m + (1 - beta2)*g
    m_new = beta2 * m + one_minus_beta2 * g
    param = load(param_at, i, inside, HOW)
    # param = param - lr*(d + weight_decay*param)
    param_new = param - lr * (d + weight_decay * param)
    store(m_at, i, m_new, updated, HOW)
    store(param_at, i, param_new, updated, HOW)


@triton.jit
def step_1(ctx, chunk, t, active, BLOCK: tl.constexpr, TAIL: tl.constexpr, STRIDED: tl.constexpr):
    m = slot(ctx, t, 2)
    g = slot(ctx, t, 1)
    param = slot(ctx, t, 0)
    beta1, one_minus_beta1, beta2, one_minus_beta2, weight_decay, lr = step_1_scalars(ctx, t)
    m_at_whole = pointer(m, tl.float32, "whole")
    g_at_whole = pointer(g, tl.float32, "whole")
    param_at_whole = pointer(param, tl.float32, "whole")
    m_at = pointer(m, tl.float32, "strided")
    g_at = pointer(g, tl.float32, "strided")
    param_at = pointer(param, tl.float32, "strided")
    first = multiple_of_16(chunk_field(ctx, chunk, C_COL))
    end = chunk_field(ctx, chunk, C_COL_END)
    rest = first
    if active & plain(m) & plain(g) & plain(param):
        rest = end - (end - first) % BLOCK
        for start in range(first, rest, BLOCK):
            i = start + tl.arange(0, BLOCK)
            step_1_block(
                m_at_whole, g_at_whole, param_at_whole, beta1, one_minus_beta1, beta2, one_minus_beta2,
                weight_decay, lr, i, True, True, "whole",
            )
    updated_end = tl.where(active, end, first)
    masked_end = tl.where(strided(m) | strided(g) | strided(param), rest, end)
    for start in range(rest, masked_end, TAIL):
        i = start + tl.arange(0, TAIL)
        inside = i < end
        updated = i < updated_end
        step_1_block(
            m_at, g_at, param_at, beta1, one_minus_beta1, beta2, one_minus_beta2, weight_decay, lr, i, inside,
            updated, "masked",
        )
    if masked_end < end:
        m_at = pointer(slot(ctx, t, 2), tl.float32, "strided")
        g_at = pointer(slot(ctx, t, 1), tl.float32, "strided")
        param_at = pointer(slot(ctx, t, 0), tl.float32, "strided")
        for start in range(masked_end, end, STRIDED):
            i = start + tl.arange(0, STRIDED)
            inside = i < end
            updated = i < updated_end
            step_1_block(
                m_at, g_at, param_at, beta1, one_minus_beta1, beta2, one_minus_beta2, weight_decay, lr, i,
                inside, updated, "strided",
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
