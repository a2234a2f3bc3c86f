"""Kernels of the rule lamb in float32, generated from lamb.yaml.

spec aaea894c034715dec592897008d055f3a583dba984dde649f9688530ff698502
made by: optgen build lamb --backend triton --set maximize=false
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
    expm1,
    log,
)

MANIFEST = {'abi': 1,
 'rule': 'lamb',
 'class': 'Lamb',
 'digest': 'aaea894c034715dec592897008d055f3a583dba984dde649f9688530ff698502',
 'backend': 'triton',
 'settled': {'maximize': False},
 'dtype': {'compute': 'float32', 'param': 'float32', 'g': 'float32'},
 'hypers': ['lr', 'beta1', 'beta2', 'eps', 'weight_decay', 'max_norm'],
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
                       'minimum_over_length',
                       'lr'],
            'layer': [],
            'model': [],
            'matrix': [],
            'row': [],
            'col': []},
 'totals': [{'name': 'sum_param_param', 'op': 'sum'}, {'name': 'sum_u_u', 'op': 'sum'}],
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
               'slots': ['m', 'v'],
               'sweeps': [{'function': 'step_1', 'streams': [], 'totals': [0, 1]},
                          {'function': 'step_2', 'streams': [], 'totals': []}],
               'stored': [[], [], ['step']]}],
 'warps': 8,
 'launches': [[], [{'function': 'stages_1', 'grid': 'one', 'phases': ['tensor', 'tensor', 'tensor']}], []]}


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
    # u = (m/(1 - beta1**t)) / (sqrt(v/(1 - beta2**t)) + eps) + weight_decay*param
    inverse_one_minus_beta1_to_t = 1.0 / -expm1(updates * log(beta1))
    inverse_one_minus_beta2_to_t = 1.0 / -expm1(updates * log(beta2))
    eps = tl.load(hyper + t * 6 + 3)
    weight_decay = tl.load(hyper + t * 6 + 4)
    return (
        beta1.to(tl.float32), one_minus_beta1.to(tl.float32), beta2.to(tl.float32),
        one_minus_beta2.to(tl.float32), inverse_one_minus_beta1_to_t.to(tl.float32),
        inverse_one_minus_beta2_to_t.to(tl.float32), eps.to(tl.float32), weight_decay.to(tl.float32),
    )


@triton.jit
def step_1_block(
    m_at, g_at, v_at, param_at, beta1, one_minus_beta1, beta2, one_minus_beta2, inverse_one_minus_beta1_to_t,
    inverse_one_minus_beta2_to_t, eps, weight_decay, sum_param_param, sum_u_u, i, inside, updated,
    HOW: tl.constexpr,
):
    m = load(m_at, i, inside, HOW)
    g = load(g_at, i, updated, HOW)
    # m = beta1*m + (1 - beta1)*g
    m_new = beta1 * m + one_minus_beta1 * g
    v = load(v_at, i, inside, HOW)
    # v = beta2*v + (1 - beta2)*g**2
    v_new = beta2 * v + one_minus_beta2 * (g * g)
    param = load(param_at, i, inside, HOW)
    # u = (m/(1 - beta1**t)) / (sqrt(v/(1 - beta2**t)) + eps) + weight_decay*param
    u = tl.div_rn(m_new * inverse_one_minus_beta1_to_t, tl.sqrt_rn(v_new * inverse_one_minus_beta2_to_t) + eps) + weight_decay * param
    # size = norm(param, over="tensor")
    sum_param_param = add_total(sum_param_param, param * param, inside, HOW)
    # length = norm(u, over="tensor")
    sum_u_u = add_total(sum_u_u, u * u, inside, HOW)
    store(m_at, i, m_new, updated, HOW)
    store(v_at, i, v_new, updated, HOW)
    return sum_param_param, sum_u_u


@triton.jit
def step_1(ctx, chunk, t, active, BLOCK: tl.constexpr, TAIL: tl.constexpr, STRIDED: tl.constexpr):
    m = slot(ctx, t, 2)
    g = slot(ctx, t, 1)
    v = slot(ctx, t, 3)
    param = slot(ctx, t, 0)
    (
        beta1, one_minus_beta1, beta2, one_minus_beta2, inverse_one_minus_beta1_to_t,
        inverse_one_minus_beta2_to_t, eps, weight_decay,
    ) = step_1_scalars(ctx, t)
    m_at_whole = pointer(m, tl.float32, "whole")
    g_at_whole = pointer(g, tl.float32, "whole")
    v_at_whole = pointer(v, tl.float32, "whole")
    param_at_whole = pointer(param, tl.float32, "whole")
    m_at = pointer(m, tl.float32, "strided")
    g_at = pointer(g, tl.float32, "strided")
    v_at = pointer(v, tl.float32, "strided")
    param_at = pointer(param, tl.float32, "strided")
    sum_param_param = tl.full((BLOCK,), 0.0, tl.float32)
    sum_u_u = tl.full((BLOCK,), 0.0, tl.float32)
    first = multiple_of_16(chunk_field(ctx, chunk, C_COL))
    end = chunk_field(ctx, chunk, C_COL_END)
    rest = first
    if active & plain(m) & plain(g) & plain(v) & plain(param):
        rest = end - (end - first) % BLOCK
        for start in range(first, rest, BLOCK):
            i = start + tl.arange(0, BLOCK)
            sum_param_param, sum_u_u = step_1_block(
                m_at_whole, g_at_whole, v_at_whole, param_at_whole, beta1, one_minus_beta1, beta2,
                one_minus_beta2, inverse_one_minus_beta1_to_t, inverse_one_minus_beta2_to_t, eps,
                weight_decay, sum_param_param, sum_u_u, i, True, True, "whole",
            )
    whole_sum_param_param = sum_of(sum_param_param, 0)
    sum_param_param = tl.full((TAIL,), 0.0, tl.float32)
    whole_sum_u_u = sum_of(sum_u_u, 0)
    sum_u_u = tl.full((TAIL,), 0.0, tl.float32)
    updated_end = tl.where(active, end, first)
    masked_end = tl.where(strided(m) | strided(g) | strided(v) | strided(param), rest, end)
    for start in range(rest, masked_end, TAIL):
        i = start + tl.arange(0, TAIL)
        inside = i < end
        updated = i < updated_end
        sum_param_param, sum_u_u = step_1_block(
            m_at, g_at, v_at, param_at, beta1, one_minus_beta1, beta2, one_minus_beta2,
            inverse_one_minus_beta1_to_t, inverse_one_minus_beta2_to_t, eps, weight_decay, sum_param_param,
            sum_u_u, i, inside, updated, "masked",
        )
    masked_sum_param_param = sum_of(sum_param_param, 0)
    sum_param_param = tl.full((STRIDED,), 0.0, tl.float32)
    masked_sum_u_u = sum_of(sum_u_u, 0)
    sum_u_u = tl.full((STRIDED,), 0.0, tl.float32)
    if masked_end < end:
        m_at = pointer(slot(ctx, t, 2), tl.float32, "strided")
        g_at = pointer(slot(ctx, t, 1), tl.float32, "strided")
        v_at = pointer(slot(ctx, t, 3), tl.float32, "strided")
        param_at = pointer(slot(ctx, t, 0), tl.float32, "strided")
        for start in range(masked_end, end, STRIDED):
            i = start + tl.arange(0, STRIDED)
            inside = i < end
            updated = i < updated_end
            sum_param_param, sum_u_u = step_1_block(
                m_at, g_at, v_at, param_at, beta1, one_minus_beta1, beta2, one_minus_beta2,
                inverse_one_minus_beta1_to_t, inverse_one_minus_beta2_to_t, eps, weight_decay,
                sum_param_param, sum_u_u, i, inside, updated, "strided",
            )
    partial = table(ctx, PARTIAL, tl.float32) + chunk * 2
    tl.store(partial + 0, whole_sum_param_param + masked_sum_param_param + sum_of(sum_param_param, 0))
    tl.store(partial + 1, whole_sum_u_u + masked_sum_u_u + sum_of(sum_u_u, 0))


@triton.jit
def step_2_block(
    m_at, v_at, param_at, inverse_one_minus_beta1_to_t, inverse_one_minus_beta2_to_t, eps, weight_decay,
    minimum_over_length, lr, i, inside, updated, HOW: tl.constexpr,
):
    m = load(m_at, i, inside, HOW)
    v = load(v_at, i, inside, HOW)
    param = load(param_at, i, inside, HOW)
    # u = (m/(1 - beta1**t)) / (sqrt(v/(1 - beta2**t)) + eps) + weight_decay*param
    u = tl.div_rn(m * inverse_one_minus_beta1_to_t, tl.sqrt_rn(v * inverse_one_minus_beta2_to_t) + eps) + weight_decay * param
    # d = where(size == 0 or length == 0, 1, minimum(size, max_norm)/length)*u
    d = minimum_over_length * u
    # param = param - lr*d
    param_new = param - lr * d
    store(param_at, i, param_new, updated, HOW)


@triton.jit
def step_2(ctx, chunk, t, active, BLOCK: tl.constexpr, TAIL: tl.constexpr, STRIDED: tl.constexpr):
    m = slot(ctx, t, 2)
    v = slot(ctx, t, 3)
    param = slot(ctx, t, 0)
    read = table(ctx, TENSOR_READ, tl.float32) + t * 10
    inverse_one_minus_beta1_to_t = tl.load(read + 4)
    inverse_one_minus_beta2_to_t = tl.load(read + 5)
    eps = tl.load(read + 6)
    weight_decay = tl.load(read + 7)
    minimum_over_length = tl.load(read + 8)
    lr = tl.load(read + 9)
    m_at_whole = pointer(m, tl.float32, "whole")
    v_at_whole = pointer(v, tl.float32, "whole")
    param_at_whole = pointer(param, tl.float32, "whole")
    m_at = pointer(m, tl.float32, "strided")
    v_at = pointer(v, tl.float32, "strided")
    param_at = pointer(param, tl.float32, "strided")
    first = multiple_of_16(chunk_field(ctx, chunk, C_COL))
    end = chunk_field(ctx, chunk, C_COL_END)
    rest = first
    if active & plain(m) & plain(v) & plain(param):
        rest = end - (end - first) % BLOCK
        for start in range(first, rest, BLOCK):
            i = start + tl.arange(0, BLOCK)
            step_2_block(
                m_at_whole, v_at_whole, param_at_whole, inverse_one_minus_beta1_to_t,
                inverse_one_minus_beta2_to_t, eps, weight_decay, minimum_over_length, lr, i, True, True,
                "whole",
            )
    updated_end = tl.where(active, end, first)
    masked_end = tl.where(strided(m) | strided(v) | strided(param), rest, end)
    for start in range(rest, masked_end, TAIL):
        i = start + tl.arange(0, TAIL)
        inside = i < end
        updated = i < updated_end
        step_2_block(
            m_at, v_at, param_at, inverse_one_minus_beta1_to_t, inverse_one_minus_beta2_to_t, eps,
            weight_decay, minimum_over_length, lr, i, inside, updated, "masked",
        )
    if masked_end < end:
        m_at = pointer(slot(ctx, t, 2), tl.float32, "strided")
        v_at = pointer(slot(ctx, t, 3), tl.float32, "strided")
        param_at = pointer(slot(ctx, t, 0), tl.float32, "strided")
        for start in range(masked_end, end, STRIDED):
            i = start + tl.arange(0, STRIDED)
            inside = i < end
            updated = i < updated_end
            step_2_block(
                m_at, v_at, param_at, inverse_one_minus_beta1_to_t, inverse_one_minus_beta2_to_t, eps,
                weight_decay, minimum_over_length, lr, i, inside, updated, "strided",
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
        beta1 = get(hyper + t * 6 + 1, here)
        # m = beta1*m + (1 - beta1)*g
        one_minus_beta1 = 1.0 - beta1
        put(tensor_value + t * 10 + 1, one_minus_beta1, here)
        put(tensor_read + t * 10 + 1, one_minus_beta1, here)
        beta2 = get(hyper + t * 6 + 2, here)
        # v = beta2*v + (1 - beta2)*g**2
        one_minus_beta2 = 1.0 - beta2
        put(tensor_value + t * 10 + 3, one_minus_beta2, here)
        put(tensor_read + t * 10 + 3, one_minus_beta2, here)
        updates = fetch(get(address + t * slots + 4, here), tl.float32, here) + 1.0
        # u = (m/(1 - beta1**t)) / (sqrt(v/(1 - beta2**t)) + eps) + weight_decay*param
        inverse_one_minus_beta1_to_t = 1.0 / -expm1(updates * log(beta1))
        put(tensor_value + t * 10 + 4, inverse_one_minus_beta1_to_t, here)
        put(tensor_read + t * 10 + 4, inverse_one_minus_beta1_to_t, here)
        inverse_one_minus_beta2_to_t = 1.0 / -expm1(updates * log(beta2))
        put(tensor_value + t * 10 + 5, inverse_one_minus_beta2_to_t, here)
        put(tensor_read + t * 10 + 5, inverse_one_minus_beta2_to_t, here)
        put(tensor_value + t * 10 + 0, beta1, here)
        put(tensor_read + t * 10 + 0, beta1, here)
        put(tensor_value + t * 10 + 2, beta2, here)
        put(tensor_read + t * 10 + 2, beta2, here)
        eps = get(hyper + t * 6 + 3, here)
        put(tensor_value + t * 10 + 6, eps, here)
        put(tensor_read + t * 10 + 6, eps, here)
        weight_decay = get(hyper + t * 6 + 4, here)
        put(tensor_value + t * 10 + 7, weight_decay, here)
        put(tensor_read + t * 10 + 7, weight_decay, here)
        lr = get(hyper + t * 6 + 0, here)
        put(tensor_value + t * 10 + 9, lr, here)
        put(tensor_read + t * 10 + 9, lr, here)


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
def stage_1_tensor(ctx):
    LANES: tl.constexpr = 128
    mode = table(ctx, MODE, tl.int64)
    member_count = word(ctx, MEMBER_COUNT)
    members = table(ctx, MEMBERS, tl.int64)
    tensor_total = table(ctx, TENSOR_TOTAL, tl.float64)
    hyper = table(ctx, HYPER, tl.float64)
    tensor_value = table(ctx, TENSOR_VALUE, tl.float64)
    tensor_read = table(ctx, TENSOR_READ, tl.float32)
    for first in range(0, member_count, LANES):
        k = first + tl.arange(0, LANES)
        here = k < member_count
        t = get(members + k, here)
        here = here & (get(mode + t, here) != ABSENT)
        sum_param_param = get(tensor_total + t * 2 + 0, here)
        # size = norm(param, over="tensor")
        size = tl.sqrt(sum_param_param)
        sum_u_u = get(tensor_total + t * 2 + 1, here)
        # length = norm(u, over="tensor")
        length = tl.sqrt(sum_u_u)
        max_norm = get(hyper + t * 6 + 5, here)
        # d = where(size == 0 or length == 0, 1, minimum(size, max_norm)/length)*u
        minimum_over_length = tl.where((size == 0.0) | (length == 0.0), f8(1.0), minimum(size, max_norm) / length)
        put(tensor_value + t * 10 + 8, minimum_over_length, here)
        put(tensor_read + t * 10 + 8, minimum_over_length, here)


@triton.jit
def stages_1(ctx, FROM: tl.constexpr, UPTO: tl.constexpr):
    if FROM <= 0 and 0 < UPTO:
        total_runs(ctx, 0, 2, tl.float32, "sum")
        total_runs(ctx, 1, 2, tl.float32, "sum")
    if FROM <= 1 and 1 < UPTO:
        tl.debug_barrier()
        total_tensors(ctx, 0, 2, "sum", 1, True)
        total_tensors(ctx, 1, 2, "sum", 1, True)
    if FROM <= 2 and 2 < UPTO:
        tl.debug_barrier()
        stage_1_tensor(ctx)


FUNCTIONS = {
    "sweep_1": sweep_1,
    "sweep_2": sweep_2,
    "stages_1": stages_1,
}
