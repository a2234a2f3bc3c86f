"""Kernels of the rule lion in float32, generated from lion.yaml.

spec 2ae1e83b89d8d06912e96d398487972853d31ff25acd5e120c2cbce0ab52ab93
made by: optgen build lion --backend numba --set maximize=false
"""

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
    TENSOR_VALUE,
    f4,
    f4_stream,
    f8,
    f8_table,
    i8_stream,
    i8_table,
    load_f4,
    segment,
    stage,
    store_f4,
)

MANIFEST = {'abi': 1,
 'rule': 'lion',
 'class': 'Lion',
 'digest': '2ae1e83b89d8d06912e96d398487972853d31ff25acd5e120c2cbce0ab52ab93',
 'backend': 'numba',
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
               'sweeps': [{'function': 'sweep_1',
                           'streams': [['slot', 2, 'rw'], ['slot', 1, 'r'], ['slot', 0, 'rw']],
                           'totals': []}],
               'stored': [[], ['step']]}]}


@segment
def sweep_1(n, streams, scalars, totals):
    m_at = f4_stream(streams[0], n)
    g_at = f4_stream(streams[1], n)
    param_at = f4_stream(streams[2], n)
    beta1 = f4(scalars[0])
    one_minus_beta1 = f4(scalars[1])
    beta2 = f4(scalars[2])
    one_minus_beta2 = f4(scalars[3])
    weight_decay = f4(scalars[4])
    lr = f4(scalars[5])
    for i in range(n):
        m = m_at[i]
        g = g_at[i]
        # d = sign(beta1*m + (1 - beta1)*g)
        x = beta1 * m + one_minus_beta1 * g
        d = f4(1.0) if x > f4(0.0) else (f4(-1.0) if x < f4(0.0) else x)
        # m = beta2*m + (1 - beta2)*g
        m_new = beta2 * m + one_minus_beta2 * g
        param = param_at[i]
        # param = param - lr*(d + weight_decay*param)
        param_new = param - lr * (d + weight_decay * param)
        m_at[i] = m_new
        param_at[i] = param_new


@stage
def stage_0_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    hyper = f8_table(ctx[HYPER], ctx[TENSORS], 4)
    tensor_value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 6)
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        beta1 = hyper[t, 1]
        # d = sign(beta1*m + (1 - beta1)*g)
        tensor_value[t, 1] = 1.0 - beta1  # one_minus_beta1
        beta2 = hyper[t, 2]
        # m = beta2*m + (1 - beta2)*g
        tensor_value[t, 3] = 1.0 - beta2  # one_minus_beta2
        tensor_value[t, 0] = beta1
        tensor_value[t, 2] = beta2
        weight_decay = hyper[t, 3]
        tensor_value[t, 4] = weight_decay
        lr = hyper[t, 0]
        tensor_value[t, 5] = lr


@stage
def stage_1_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    address = i8_table(ctx[ADDRESS], ctx[TENSORS], ctx[SLOTS])
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        updates = f8(load_f4(address[t, 3])) + 1.0
        if mode[t] == ACTIVE:
            store_f4(address[t, 3], f4(updates))


FUNCTIONS = {
    "sweep_1": sweep_1,
    "stage_0_tensor": stage_0_tensor,
    "stage_1_tensor": stage_1_tensor,
}
