"""Two sweeps with a barrier per tensor: param -= lr * g * norm(param) / norm(g), and the largest |g| of each tensor.

Tensors of one axis have a variant without the norms.
"""

import numpy as np

from optgen.runtime.cpu import (
    ABSENT,
    HYPER,
    MEMBER_COUNT,
    MEMBERS,
    META,
    MODE,
    TENSOR_TOTAL,
    TENSOR_VALUE,
    TENSORS,
    VARIANT,
    add_reassoc,
    f4,
    f4_stream,
    f8,
    f8_table,
    i8_stream,
    maximum,
    segment,
    select,
    stage,
)


@select
def variants(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    variant = i8_stream(ctx[VARIANT], ctx[TENSORS])
    meta = f8_table(ctx[META], ctx[TENSORS], 6)
    for k in range(begin, end):
        variant[members[k]] = 1 if meta[members[k], 1] == 1 else 0


@segment
def norms(n, streams, scalars, totals):
    param = f4_stream(streams[0], n)
    g = f4_stream(streams[1], n)
    a = f4(0)
    b = f4(0)
    c = f4(0)
    for i in range(n):
        a = add_reassoc(a, param[i] * param[i])
        b = add_reassoc(b, g[i] * g[i])
        c = maximum(c, abs(g[i]))
    totals[0] += f8(a)
    totals[1] += f8(b)
    totals[2] = maximum(totals[2], f8(c))


@stage
def rate(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    mode = i8_stream(ctx[MODE], ctx[TENSORS])
    hyper = f8_table(ctx[HYPER], ctx[TENSORS], 1)
    total = f8_table(ctx[TENSOR_TOTAL], ctx[TENSORS], 3)
    value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 2)
    variant = i8_stream(ctx[VARIANT], ctx[TENSORS])
    for k in range(begin, end):
        t = members[k]
        if mode[t] == ABSENT:
            continue
        value[t, 0] = hyper[t, 0]
        if variant[t] == 0 and total[t, 1] > 0:
            value[t, 0] *= np.sqrt(total[t, 0]) / np.sqrt(total[t, 1])
        value[t, 1] = total[t, 2]


@segment
def apply(n, streams, scalars, totals):
    param = f4_stream(streams[0], n)
    g = f4_stream(streams[1], n)
    lr = f4(scalars[0])
    for i in range(n):
        param[i] = param[i] - lr * g[i]


READ = [["slot", 0, "r"], ["slot", 1, "r"]]
STORE = [["slot", 0, "rw"], ["slot", 1, "r"]]
MANIFEST = {
    "abi": 1,
    "rule": "normed",
    "class": "Normed",
    "digest": "",
    "backend": "numba",
    "settled": {},
    "dtype": {"compute": "float32", "param": "float32", "g": "float32"},
    "hypers": ["lr"],
    "inputs": [],
    "slots": [
        {"name": "param", "extent": "elem", "dtype": "float32", "role": "param"},
        {"name": "g", "extent": "elem", "dtype": "float32", "role": "gradient"},
    ],
    "values": {"tensor": ["rate", "largest"], "layer": [], "model": [], "matrix": [], "row": [], "col": []},
    "totals": [{"name": "a", "op": "sum"}, {"name": "b", "op": "sum"}, {"name": "c", "op": "max"}],
    "matrix": "trailing",
    "tiled": False,
    "graph": False,
    "stencil": False,
    "sweeps": 2,
    "barriers": ["tensor", "none"],
    "select": "variants",
    "stages": [[], [["rate", "tensor"]], []],
    "variants": [
        {
            "name": "matrices",
            "when": "ndim(param) != 1",
            "slots": [],
            "sweeps": [
                {"function": "norms", "streams": READ, "totals": [0, 1, 2]},
                {"function": "apply", "streams": STORE, "totals": []},
            ],
        },
        {
            "name": "vectors",
            "when": "ndim(param) == 1",
            "slots": [],
            "sweeps": [None, {"function": "apply", "streams": STORE, "totals": []}],
        },
    ],
}
FUNCTIONS = {"variants": variants, "norms": norms, "rate": rate, "apply": apply}
