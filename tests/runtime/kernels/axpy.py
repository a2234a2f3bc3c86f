"""param -= 0.001*g: what memory allows."""

from optgen.runtime.cpu import f4, f4_stream, segment


@segment
def sweep_1(n, streams, scalars, totals):
    param = f4_stream(streams[0], n)
    g = f4_stream(streams[1], n)
    for i in range(n):
        param[i] = param[i] - f4(0.001) * g[i]


MANIFEST = {
    "abi": 1,
    "rule": "axpy",
    "class": "Axpy",
    "digest": "",
    "backend": "numba",
    "settled": {},
    "dtype": {"compute": "float32", "param": "float32", "g": "float32"},
    "hypers": [],
    "inputs": [],
    "slots": [
        {"name": "param", "extent": "elem", "dtype": "float32", "role": "param"},
        {"name": "g", "extent": "elem", "dtype": "float32", "role": "gradient"},
    ],
    "values": {"tensor": [], "layer": [], "model": [], "matrix": [], "row": [], "col": []},
    "totals": [],
    "matrix": "trailing",
    "tiled": False,
    "graph": False,
    "stencil": False,
    "sweeps": 1,
    "barriers": ["none"],
    "select": None,
    "stages": [[], []],
    "variants": [
        {
            "name": "all",
            "when": "",
            "slots": [],
            "sweeps": [
                {"function": "sweep_1", "streams": [["slot", 0, "rw"], ["slot", 1, "r"]], "totals": []},
            ],
        }
    ],
}
FUNCTIONS = {"sweep_1": sweep_1}
