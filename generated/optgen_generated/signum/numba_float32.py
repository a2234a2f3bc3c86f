"""Kernels of the rule signum in float32, generated from signum.yaml.

spec b92462919a1d226bbd4cacde5ca8c4801f4e249878501e68ead4f57964a287ec
made by: optgen build signum --backend numba --set maximize=false
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
 'rule': 'signum',
 'class': 'Signum',
 'digest': 'b92462919a1d226bbd4cacde5ca8c4801f4e249878501e68ead4f57964a287ec',
 'backend': 'numba',
 'settled': {'maximize': False, 'momentum != 0': True},
 'dtype': {'compute': 'float32', 'param': 'float32', 'g': 'float32'},
 'hypers': ['lr', 'momentum', 'weight_decay'],
 'inputs': [],
 'slots': [{'name': 'param', 'extent': 'elem', 'dtype': 'float32', 'role': 'param'},
           {'name': 'g', 'extent': 'elem', 'dtype': 'float32', 'role': 'gradient'},
           {'name': 'm', 'extent': 'elem', 'dtype': 'float32', 'role': 'state'},
           {'name': 'step', 'extent': 'tensor', 'dtype': 'float32', 'role': 'counter'}],
 'values': {'tensor': ['momentum', 'one_minus_momentum', 'weight_decay', 'lr'],
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
    momentum = f4(scalars[0])
    one_minus_momentum = f4(scalars[1])
    weight_decay = f4(scalars[2])
    lr = f4(scalars[3])
    for i in range(n):
        m = m_at[i]
        g = g_at[i]
        # m = momentum*m + (1 - momentum)*g
        m_new = momentum * m + one_minus_momentum * g
        # d = sign(m)
        d = f4(1.0) if m_new > f4(0.0) else (f4(-1.0) if m_new < f4(0.0) else m_new)
        param = param_at[i]
        # param = param - lr*(d + weight_decay*param)
        param_new = param - lr * (d + weight_decay * param)
        m_at[i] = m_new
        param_at[i] = param_new


@stage
def stage_0_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    hyper = f8_table(ctx[HYPER], ctx[TENSORS], 3)
    tensor_value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 4)
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        momentum = hyper[t, 1]
        # m = momentum*m + (1 - momentum)*g
        tensor_value[t, 1] = 1.0 - momentum  # one_minus_momentum
        tensor_value[t, 0] = momentum
        weight_decay = hyper[t, 2]
        tensor_value[t, 2] = weight_decay
        lr = hyper[t, 0]
        tensor_value[t, 3] = lr


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
