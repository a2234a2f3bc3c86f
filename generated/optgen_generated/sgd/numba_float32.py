"""Kernels of the rule sgd in float32, generated from sgd.yaml.

spec 24e528f55c5d6fb159f767df25db1d6c7c79b39bf614e60e17726e13d3b00f46
made by: optgen build sgd --backend numba --set maximize=false
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
 'rule': 'sgd',
 'class': 'SGD',
 'digest': '24e528f55c5d6fb159f767df25db1d6c7c79b39bf614e60e17726e13d3b00f46',
 'backend': 'numba',
 'settled': {'maximize': False, 'momentum != 0': False},
 'dtype': {'compute': 'float32', 'param': 'float32', 'g': 'float32'},
 'hypers': ['lr', 'momentum', 'dampening', 'nesterov', 'weight_decay'],
 'inputs': [],
 'slots': [{'name': 'param', 'extent': 'elem', 'dtype': 'float32', 'role': 'param'},
           {'name': 'g', 'extent': 'elem', 'dtype': 'float32', 'role': 'gradient'},
           {'name': 'step', 'extent': 'tensor', 'dtype': 'float32', 'role': 'counter'}],
 'values': {'tensor': ['weight_decay', 'lr'], 'layer': [], 'model': [], 'matrix': [], 'row': [], 'col': []},
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
               'slots': [],
               'sweeps': [{'function': 'sweep_1', 'streams': [['slot', 0, 'rw'], ['slot', 1, 'r']], 'totals': []}],
               'stored': [[], ['step']]}]}


@segment
def sweep_1(n, streams, scalars, totals):
    param_at = f4_stream(streams[0], n)
    g_at = f4_stream(streams[1], n)
    weight_decay = f4(scalars[0])
    lr = f4(scalars[1])
    for i in range(n):
        param = param_at[i]
        g = g_at[i]
        # g = g + weight_decay*param
        g_new = g + weight_decay * param
        # param = param - lr*d
        param_new = param - lr * g_new
        param_at[i] = param_new


@stage
def stage_0_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    hyper = f8_table(ctx[HYPER], ctx[TENSORS], 5)
    tensor_value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 2)
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        weight_decay = hyper[t, 4]
        tensor_value[t, 0] = weight_decay
        lr = hyper[t, 0]
        tensor_value[t, 1] = lr


@stage
def stage_1_tensor(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    address = i8_table(ctx[ADDRESS], ctx[TENSORS], ctx[SLOTS])
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        updates = f8(load_f4(address[t, 2])) + 1.0
        if mode[t] == ACTIVE:
            store_f4(address[t, 2], f4(updates))


FUNCTIONS = {
    "sweep_1": sweep_1,
    "stage_0_tensor": stage_0_tensor,
    "stage_1_tensor": stage_1_tensor,
}
