"""Two moments and decoupled decay in one sweep; float64 (a copy in float32 is made by replacing f8 in the segment)."""

import numpy as np

from optgen.runtime.cpu import (
    ABSENT,
    ADDRESS,
    HYPER,
    MEMBER_COUNT,
    MEMBERS,
    MODE,
    TENSOR_VALUE,
    TENSORS,
    f4,
    f4_stream,
    f8_table,
    i8_stream,
    i8_table,
    load_f4,
    segment,
    stage,
    store_f4,
)


@stage
def stage_0(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    hyper = f8_table(ctx[HYPER], ctx[TENSORS], 5)
    value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 8)
    address = i8_table(ctx[ADDRESS], ctx[TENSORS], 5)
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        count = load_f4(address[t, 4]) + 1
        store_f4(address[t, 4], f4(count))
        lr, beta1, beta2, eps, decay = hyper[t, 0], hyper[t, 1], hyper[t, 2], hyper[t, 3], hyper[t, 4]
        value[t, 0] = beta1
        value[t, 1] = 1 - beta1
        value[t, 2] = beta2
        value[t, 3] = 1 - beta2
        value[t, 4] = lr / (1 - beta1**count)
        value[t, 5] = 1 / np.sqrt(1 - beta2**count)
        value[t, 6] = eps
        value[t, 7] = 1 - lr * decay


@segment
def sweep_1(n, streams, scalars, totals):
    param = f4_stream(streams[0], n)
    g = f4_stream(streams[1], n)
    m = f4_stream(streams[2], n)
    v = f4_stream(streams[3], n)
    beta1, one_minus_beta1 = f4(scalars[0]), f4(scalars[1])
    beta2, one_minus_beta2 = f4(scalars[2]), f4(scalars[3])
    step, root, eps, keep = f4(scalars[4]), f4(scalars[5]), f4(scalars[6]), f4(scalars[7])
    for i in range(n):
        m_1 = beta1 * m[i] + one_minus_beta1 * g[i]
        v_1 = beta2 * v[i] + one_minus_beta2 * g[i] * g[i]
        param[i] = keep * param[i] - step * m_1 / (np.sqrt(v_1) * root + eps)
        m[i] = m_1
        v[i] = v_1


MANIFEST = {
    "abi": 1,
    "rule": "adaptive",
    "class": "Adaptive",
    "digest": "",
    "backend": "numba",
    "settled": {},
    "dtype": {"compute": "float32", "param": "float32", "g": "float32"},
    "hypers": ["lr", "beta1", "beta2", "eps", "decay"],
    "inputs": [],
    "slots": [
        {"name": "param", "extent": "elem", "dtype": "float32", "role": "param"},
        {"name": "g", "extent": "elem", "dtype": "float32", "role": "gradient"},
        {"name": "m", "extent": "elem", "dtype": "float32", "role": "state"},
        {"name": "v", "extent": "elem", "dtype": "float32", "role": "state"},
        {"name": "step", "extent": "tensor", "dtype": "float32", "role": "counter"},
    ],
    "values": {"tensor": [f"s{i}" for i in range(8)], "layer": [], "model": [], "matrix": [], "row": [], "col": []},
    "totals": [],
    "matrix": "trailing",
    "tiled": False,
    "graph": False,
    "stencil": False,
    "sweeps": 1,
    "barriers": ["none"],
    "select": None,
    "stages": [[["stage_0", "tensor"]], []],
    "variants": [
        {
            "name": "all",
            "when": "",
            "slots": ["m", "v"],
            "sweeps": [
                {
                    "function": "sweep_1",
                    "streams": [["slot", 0, "rw"], ["slot", 1, "r"], ["slot", 2, "rw"], ["slot", 3, "rw"]],
                    "totals": [],
                }
            ],
        }
    ],
}
FUNCTIONS = {"stage_0": stage_0, "sweep_1": sweep_1}
