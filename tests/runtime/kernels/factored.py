"""Row and column sums of g*g, and param -= g / sqrt(row * col), in float64, on tiles."""

import numpy as np

from optgen.runtime.cpu import (
    COL_OFFSET,
    COL_VALUE,
    COL_WIDTH,
    MEMBER_COUNT,
    MEMBERS,
    META,
    ROW_OFFSET,
    ROW_VALUE,
    ROW_WIDTH,
    TENSORS,
    f8_stream,
    f8_table,
    i8_stream,
    segment,
    stage,
)


@segment
def sums(n, streams, scalars, totals):
    g = f8_stream(streams[0], n)
    row = f8_stream(streams[1], 1)
    col = f8_stream(streams[2], n)
    largest = f8_stream(streams[3], 1)
    for i in range(n):
        square = g[i] * g[i]
        row[0] += square
        col[i] += square
        largest[0] = max(largest[0], g[i])
        totals[0] += square


@stage
def roots(ctx, begin, end):
    members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
    meta = f8_table(ctx[META], ctx[TENSORS], 6)
    rows = f8_table(ctx[ROW_VALUE], 3, ctx[ROW_WIDTH])
    cols = f8_table(ctx[COL_VALUE], 2, ctx[COL_WIDTH])
    row_offset = i8_stream(ctx[ROW_OFFSET], ctx[TENSORS])
    col_offset = i8_stream(ctx[COL_OFFSET], ctx[TENSORS])
    for k in range(begin, end):
        t = members[k]
        for i in range(int(meta[t, 2] * meta[t, 4])):
            rows[1, row_offset[t] + i] = np.sqrt(rows[0, row_offset[t] + i])
        for i in range(int(meta[t, 3] * meta[t, 4])):
            cols[1, col_offset[t] + i] = np.sqrt(cols[0, col_offset[t] + i])


@segment
def apply(n, streams, scalars, totals):
    param = f8_stream(streams[0], n)
    g = f8_stream(streams[1], n)
    row = f8_stream(streams[2], 1)
    col = f8_stream(streams[3], n)
    largest = f8_stream(streams[4], 1)
    for i in range(n):
        param[i] = param[i] - g[i] / (row[0] * col[i]) + largest[0]


MANIFEST = {
    "abi": 1,
    "rule": "factored",
    "class": "Factored",
    "digest": "",
    "backend": "numba",
    "settled": {},
    "dtype": {"compute": "float64", "param": "float64", "g": "float64"},
    "hypers": [],
    "inputs": [],
    "slots": [
        {"name": "param", "extent": "elem", "dtype": "float64", "role": "param"},
        {"name": "g", "extent": "elem", "dtype": "float64", "role": "gradient"},
    ],
    "values": {
        "tensor": [],
        "layer": [],
        "model": [],
        "matrix": [],
        "row": ["sum", "root", "largest"],
        "col": ["sum", "root"],
    },
    "totals": [{"name": "all", "op": "sum"}],
    "matrix": "trailing",
    "tiled": True,
    "graph": False,
    "stencil": False,
    "sweeps": 2,
    "barriers": ["tensor", "none"],
    "select": None,
    "stages": [[], [["roots", "tensor"]], []],
    "variants": [
        {
            "name": "all",
            "when": "",
            "slots": [],
            "sweeps": [
                {
                    "function": "sums",
                    "streams": [["slot", 1, "r"], ["row_total", 0, "sum"], ["col_total", 0], ["row_total", 2, "max"]],
                    "totals": [0],
                },
                {
                    "function": "apply",
                    "streams": [["slot", 0, "rw"], ["slot", 1, "r"], ["row", 1], ["col", 1], ["row", 2]],
                    "totals": [],
                },
            ],
        }
    ],
}
FUNCTIONS = {"sums": sums, "roots": roots, "apply": apply}
