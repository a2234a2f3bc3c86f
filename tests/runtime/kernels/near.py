"""As pulled.py, but the kernels read the neighbours themselves."""

import importlib.util
from pathlib import Path

from optgen.runtime.cpu import add_reassoc, f4, f4_near, f4_stream, f8, laplacian_at, segment

spec = importlib.util.spec_from_file_location("optgen_test_pulled", Path(__file__).with_name("pulled.py"))
pulled = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pulled)


@segment
def squares(n, streams, scalars, totals):
    g_near = f4_near(streams, 0)
    t = f4(0)
    for i in range(n):
        x = laplacian_at(g_near, i)
        t = add_reassoc(t, x * x)
    totals[0] += f8(t)


@segment
def apply(n, streams, scalars, totals):
    param = f4_stream(streams[0], n)
    g = f4_stream(streams[1], n)
    g_near = f4_near(streams, 2)
    mu, scale = f4(scalars[0]), f4(scalars[1])
    for i in range(n):
        x = laplacian_at(g_near, i)
        param[i] = param[i] - (g[i] - mu * x) * scale


SWEEPS = [
    {"function": "squares", "streams": [["near", 1]], "totals": [0]},
    {"function": "apply", "streams": [["slot", 0, "rw"], ["slot", 1, "r"], ["near", 1]], "totals": []},
]
MANIFEST = {**pulled.MANIFEST, "variants": [{"name": "all", "when": "", "slots": [], "sweeps": SWEEPS}]}
FUNCTIONS = {**pulled.FUNCTIONS, "squares": squares, "apply": apply}
