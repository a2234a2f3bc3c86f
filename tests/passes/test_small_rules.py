"""One construct at a time: memory form, value forms and kernels agree on small rules."""

from __future__ import annotations

import numpy as np
import pytest

from optgen.spec.loader import loads
from tests.ir.rules import text_of
from tests.passes.agreement import check_kernels, check_value_forms, expected, next_step, started
from tests.passes.compiled import DTYPES, compiled
from tests.passes.worlds import Setting

#: Body and declarations; each steps along x.
RULES: dict[str, tuple[str, dict[str, str]]] = {
    "a model value that one variant has": (
        "if ndim(param) >= 2:\n    s = abs(g) + 1\nelif numel(param) > 4:\n    s = beta + 1.0\nelse:\n    s = 2.0\n"
        "x = g/sqrt(s + 1e-6*beta)",
        {},
    ),
    "scalars that differ by variant": (
        'if ndim(param) >= 2:\n    s = beta**2 + sum(g, over="tensor")\nelse:\n    s = 2.0*beta + step\n'
        "x = g/sqrt(s*s + 1)",
        {},
    ),
    "reductions of the tensors that reach them, by shape": (
        'if ndim(param) >= 2:\n    s = norm(g, over="layer") + mean(g, over="model")\n'
        'else:\n    s = 1.0 + max(g, over="layer")\nx = g*s',
        {},
    ),
    "reductions of the tensors that reach them, by data": (
        'if sum(g, over="tensor") > 0:\n'
        '    s = norm(g, over="layer") + mean(abs(g), over="model") + max(g, over="model") + mean(n, over="layer")\n'
        '    ok = any(g > 1, over="model")\n'
        'else:\n    s = 1.0 + max_abs(g, over="layer") + sum(g > 0, over="model")\n    ok = all(g < 2, over="layer")\n'
        "x = g*s*where(ok, 1, 2)",
        {},
    ),
    "reductions of what differs by shape": (
        'x = g\nif ndim(param) >= 2:\n    x = 2*g*sum(g, over="row")\ns = norm(x, over="layer")\n'
        'q = norm(x, over="tensor")\nr = max(q, over="model") + min(q, over="layer") + mean(q, over="model")\n'
        "x = x/s + q*g/r",
        {},
    ),
    "a reduction that only some tensors use": (
        'q = norm(g, over="layer")\ns = 1.0\nif ndim(param) < 2:\n    s = q\nx = g*s',
        {},
    ),
    "layer values over the model": (
        'q = norm(g, over="layer")\nr = max(q, over="model") + mean(q, over="model")\n'
        'r = r + sum(sum(g, over="layer"), over="model")\nx = q*g/(10 + r)',
        {},
    ),
    "rows, columns and matrices": (
        'a = mean(g, over="row")\nb = mean(a, over="matrix")\nc = max(b, over="tensor")\ne = sum(g, over="matrix")\n'
        'f = min(sum(g, over="col"), over="matrix") + dot(a, a, over="matrix")\nx = (a*b + c + e*f)*g',
        {},
    ),
    "rows over layers": (
        'a = max_abs(g, over="row")\nb = mean(a, over="layer") + mean(sum(g, over="col"), over="model")\nx = a*b*g',
        {},
    ),
    "skip by data": (
        'm = m + g\nif sum(g, over="tensor") > 0:\n    skip\nk = k + 1\nx = m*k',
        {"state": "m: zeros_like(param), k: 'full(0, over=\"tensor\")'"},
    ),
    "skip for the whole model": (
        'if any(g > 1.5, over="model"):\n    skip\nm = m + g\nh = h + 1\nx = m*h*t',
        {"state": "m: zeros_like(param), h: 0"},
    ),
    "reductions after a skip": ('if sum(g, over="tensor") > 0:\n    skip\nq = norm(g, over="layer") + t\nx = g*q', {}),
    "two skips": (
        'if sum(g, over="tensor") > 1:\n    skip\nm = m + g\nif t > 1 and max(g, over="tensor") > 1:\n    skip\nx = m',
        {"state": "m: zeros_like(param)"},
    ),
    "NaN": ("x = where(g > 0, log(g), sqrt(-g)) + maximum(g, 0) + minimum(g*0/g, 1) + clip(0*g/g, 0, 1)", {}),
    "short vectors": (
        "v = [g, 2*g, g**2]\nw = repeat(0.5, 3)\nu = v*w\n"
        "x = u[step % 3] + u[n] + max(v) - min(v) + mean(v) + softmax(u)[1]",
        {},
    ),
    "integers": (
        "x = g % 0.3 + g // 0.7 + (step // 2) % 3 + (0 - step) % 3 + t % n + t % (n - 2) + round(3*g)*ceil(g)*floor(g)",
        {},
    ),
    "functions": (
        "x = abs(g)**0.5 + abs(g)**beta + g**3 + 2**g + g**0 + expm1(g) + log1p(abs(g)) + sin(g)*exp(-g) + sign(g)"
        " + tanh(g) + cos(g) + sqrt(abs(g)) + log(abs(g) + 1)",
        {},
    ),
    "truth values": (
        "x = (g > 0) + (g > 0.5)*2 - (not (g > 0)) + (on and g > 1) + (g > 0 or g < -1) - where(on == (g > 0), 1, 2)"
        " + (1 + true)*(2 - false) + (g != 0) + (g <= 1) + (g >= -1)",
        {},
    ),
    "starts": (
        "a = 0.9*a + g\nc = c*0.5\ne = e + 1\nx = a + c*r + e + k + z + y",
        {
            "state": "a: param, c: 'full(2.0, over=\"layer\")', e: 3, r: 'full(1.0*rows(param), over=\"row\")', "
            "k: 'full(1.0, over=\"matrix\")', z: {start: '2*param + 1', dtype: float32}, y: depth(param)"
        },
    ),
    "row, column and matrix state": (
        'c = 0.5*c + max(g, over="col")\nr = 0.5*r + min(g, over="row")\n'
        'k = k + mean(r, over="matrix") + mean(c, over="matrix")\nx = c*r + k',
        {"state": "r: 'full(0.0, over=\"row\")', c: 'full(0.0, over=\"col\")', k: 'full(0.0, over=\"matrix\")'"},
    ),
    "two slots swap": ("y = a\na = b\nb = y + g\nx = a", {"state": "a: param, b: zeros_like(param)"}),
    "state from the new parameter": (
        "param = param - lr*g\np = 0.5*p + param\nx = p",
        {"state": "p: zeros_like(param)"},
    ),
    "a slot assigned twice": ("m = m + g\ny = m\nm = 2*m\nx = y + m", {"state": "m: zeros_like(param)"}),
    "a state set to a number": (
        "y = m\nm = 0\nif step % 2 == 0:\n    m = g\nx = y + g",
        {"state": "m: zeros_like(param)"},
    ),
    "a gradient assigned a scalar": ('g = sum(g, over="tensor")\nx = g + norm(param, over="tensor")', {}),
    "graph of a state": ("y = laplacian(m)\nm = 0.5*m + g\nx = y*g + m", {"state": "m: zeros_like(param)"}),
    "both graph operators": ("x = laplacian(g)*neighbors(g)", {}),
    "graph of a scaled gradient": ('x = laplacian(0.5*g/norm(g, over="model")) + neighbors(-g)', {}),
    "graph of layer values": (
        'q = norm(g, over="layer")\nx = g*(laplacian(q) + neighbors(q))/(1 + laplacian(neighbors(q))**2)',
        {},
    ),
    "graph at some steps": ("x = g\nif step > 1:\n    x = laplacian(g)", {}),
    "layer state at some steps": (
        'p = 1.0\nif step % 2 == 0:\n    k = k + norm(g, over="layer")\n    p = norm(param, over="model")\nx = g*k*p',
        {"state": "k: 'full(0.0, over=\"layer\")'"},
    ),
    "an input": (
        "best = minimum(best, loss)\nx = g*(loss - best + 1)",
        {"state": "best: 1.0e30", "inputs": "loss: model"},
    ),
    "units": ('x = sum(g, over="row")*sum(g, over="col")', {"matrix": "units"}),
    "wide": (
        'r = r + sum(g, over="row")\nx = r*sum(g, over="col")*rows(param)',
        {"matrix": "wide", "state": "r: 'full(0.0, over=\"row\")'"},
    ),
    "square": (
        'c = c + sum(g, over="col")\nx = c*sum(g, over="row")*cols(param)',
        {"matrix": "square", "state": "c: 'full(0.0, over=\"col\")'"},
    ),
    "reduction algebra": (
        'q = norm(g, over="layer")\ny = g/q + 0.1*param\n'
        's = norm(y, over="layer") + dot(y, g, over="tensor") + sum(y, over="model")\nx = s*y',
        {},
    ),
    "algebra with signs": (
        'q = norm(g, over="tensor")\ny = m - q*g\nm = 0.5*m + 0.5*g\n'
        's = norm(y, over="tensor") + sum(-y, over="tensor") + dot(y, q*g - m, over="tensor")\nx = s*y',
        {"state": "m: zeros_like(param)"},
    ),
    "a switch around reductions": (
        's = 1.0\nif on:\n    s = mean(norm(g, over="layer"), over="model")\nx = s*g',
        {},
    ),
    "branches in branches": (
        'x = g\nif n > 1:\n    if t > 2:\n        x = 2*g\n        if sum(g, over="tensor") > 0:\n            x = 3*x\n'
        "    else:\n        m = m + g\nx = x + m",
        {"state": "m: zeros_like(param)"},
    ),
    "a tensor without elements, a mean over few": ('x = g - mean(g, over="model")/n', {}),
}
ALTERNATIVES: tuple[dict[str, Setting], ...] = ({}, {"on": False, "maximize": True, "kind": "hard", "n": 1})


@pytest.mark.parametrize("name", RULES)
def test_agreement(name: str, rng: np.random.Generator) -> None:
    body, declared = RULES[name]
    spec = loads(text_of(f"{body}\nparam = param - lr*x", **declared), "mine.yaml")  # type: ignore[arg-type]
    for settings in ALTERNATIVES:
        case = compiled(spec, settings)
        world = started(case, rng)
        step = next_step(case, world, rng)
        world, _ = check_kernels(case, step, expected(case, step, rng, dtypes=("float32",)), "float32")
        step = next_step(case, world, rng)
        right = expected(case, step, rng)
        check_value_forms(case, step, right)
        for dtype in DTYPES:
            check_kernels(case, step, right, dtype)
