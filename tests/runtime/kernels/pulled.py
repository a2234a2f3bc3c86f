"""A stencil: x = laplacian(g); per layer ||x||, over the model its sum; param -= (g - mu*x) * scale / (1 + total)."""

import numpy as np

from optgen.runtime.cpu import (
    ABSENT,
    HYPER,
    LAYER_MEMBER,
    LAYER_PRESENT,
    LAYER_START,
    LAYER_VALUE,
    LAYERS,
    MEMBER_COUNT,
    MEMBERS,
    MODE,
    MODEL_VALUE,
    STEP,
    TENSOR_TOTAL,
    TENSOR_VALUE,
    TENSORS,
    add_reassoc,
    f4,
    f4_stream,
    f8,
    f8_stream,
    f8_table,
    i8_stream,
    load_f8,
    segment,
    stage,
)


@segment
def squares(n, streams, scalars, totals):
    x = f4_stream(streams[0], n)
    t = f4(0)
    for i in range(n):
        t = add_reassoc(t, x[i] * x[i])
    totals[0] += f8(t)


@stage
def layers(ctx, begin, end):
    start = i8_stream(ctx[LAYER_START], ctx[LAYERS] + 1)
    member = i8_stream(ctx[LAYER_MEMBER], ctx[TENSORS])
    present = i8_stream(ctx[LAYER_PRESENT], ctx[LAYERS])
    total = f8_table(ctx[TENSOR_TOTAL], ctx[TENSORS], 1)
    value = f8_table(ctx[LAYER_VALUE], ctx[LAYERS], 1)
    for layer in range(begin, end):
        value[layer, 0] = 0.0
        if present[layer]:
            for k in range(start[layer], start[layer + 1]):
                value[layer, 0] += total[member[k], 0]
            value[layer, 0] = np.sqrt(value[layer, 0])


@stage
def model(ctx, begin, end):
    layer = f8_table(ctx[LAYER_VALUE], ctx[LAYERS], 1)
    value = f8_stream(ctx[MODEL_VALUE], 1)
    value[0] = 0.0
    for k in range(ctx[LAYERS]):
        value[0] += layer[k, 0]


@stage
def tensors(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    hyper = f8_table(ctx[HYPER], ctx[TENSORS], 1)
    model = f8_stream(ctx[MODEL_VALUE], 1)
    value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 2)
    for k in range(begin, end):
        t = members[k]
        if mode[t] != ABSENT:
            value[t, 0] = hyper[t, 0]
            value[t, 1] = 1 / (load_f8(ctx[STEP]) + model[0])


@segment
def apply(n, streams, scalars, totals):
    param = f4_stream(streams[0], n)
    g = f4_stream(streams[1], n)
    x = f4_stream(streams[2], n)
    mu, scale = f4(scalars[0]), f4(scalars[1])
    for i in range(n):
        param[i] = param[i] - (g[i] - mu * x[i]) * scale


MANIFEST = {
    "abi": 1,
    "rule": "pulled",
    "class": "Pulled",
    "digest": "",
    "backend": "numba",
    "settled": {},
    "dtype": {"compute": "float32", "param": "float32", "g": "float32"},
    "hypers": ["mu"],
    "inputs": [],
    "slots": [
        {"name": "param", "extent": "elem", "dtype": "float32", "role": "param"},
        {"name": "g", "extent": "elem", "dtype": "float32", "role": "gradient"},
    ],
    "values": {"tensor": ["mu", "scale"], "layer": ["norm"], "model": ["sum"], "matrix": [], "row": [], "col": []},
    "totals": [{"name": "xx", "op": "sum"}],
    "matrix": "trailing",
    "tiled": False,
    "graph": True,
    "stencil": True,
    "sweeps": 2,
    "barriers": ["model", "none"],
    "select": None,
    "stages": [[], [["layers", "layer"], ["model", "model"], ["tensors", "tensor"]], []],
    "variants": [
        {
            "name": "all",
            "when": "",
            "slots": [],
            "sweeps": [
                {"function": "squares", "streams": [["stencil", 1]], "totals": [0]},
                {"function": "apply", "streams": [["slot", 0, "rw"], ["slot", 1, "r"], ["stencil", 1]], "totals": []},
            ],
        }
    ],
}
FUNCTIONS = {"squares": squares, "layers": layers, "model": model, "tensors": tensors, "apply": apply}
