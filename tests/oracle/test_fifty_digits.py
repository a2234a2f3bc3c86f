"""A few steps worked out with 50 digits: the reference and kernels stay within the bounds of their own rounding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mpmath
import numpy as np
import pytest

from optgen.ir.view import view
from optgen.passes.pipeline import to_kernels
from optgen.spec.loader import load
from optgen.verify import Reference
from optgen.verify.bounds import Bounds, literal_kernels, start_costs

HYPERS: dict[str, dict[str, float]] = {
    "adamw": {"lr": 3e-3, "beta1": 0.9, "beta2": 0.9999, "eps": 1e-8, "weight_decay": 0.01},
    "lamb": {"lr": 3e-3, "beta1": 0.9, "beta2": 0.9999, "eps": 1e-8, "weight_decay": 0.01, "max_norm": 1.25},
}
Number = Any


def adam(h: dict[str, Number], t: int, memory: dict[str, list[Number]], g: Sequence[Number]) -> list[Number]:
    """Adam's direction; `memory` holds both moments."""
    memory["m"] = [h["beta1"] * m + (1 - h["beta1"]) * x for m, x in zip(memory["m"], g, strict=True)]
    memory["v"] = [h["beta2"] * v + (1 - h["beta2"]) * x * x for v, x in zip(memory["v"], g, strict=True)]
    c1, c2 = 1 - h["beta1"] ** t, 1 - h["beta2"] ** t
    return [(m / c1) / (mpmath.sqrt(v / c2) + h["eps"]) for m, v in zip(memory["m"], memory["v"], strict=True)]


def adamw(h: dict[str, Number], param: list[Number], d: list[Number]) -> list[Number]:
    return [p - h["lr"] * (x + h["weight_decay"] * p) for p, x in zip(param, d, strict=True)]


def lamb(h: dict[str, Number], param: list[Number], d: list[Number]) -> list[Number]:
    u = [x + h["weight_decay"] * p for p, x in zip(param, d, strict=True)]
    size, length = (mpmath.sqrt(mpmath.fsum(x * x for x in xs)) for xs in (param, u))
    return [p - h["lr"] * min(size, h["max_norm"]) / length * x for p, x in zip(param, u, strict=True)]


@pytest.mark.parametrize(("name", "update"), [("adamw", adamw), ("lamb", lamb)])
def test_within_float64(
    rng: np.random.Generator, name: str, update: Callable[[dict[str, Number], list[Number], list[Number]], list[Number]]
) -> None:
    with mpmath.workdps(50):
        h = {key: mpmath.mpf(value) for key, value in HYPERS[name].items()}
        spec, start = load(name), rng.normal(size=6)
        reference = Reference(spec, [start], HYPERS[name])
        bounds = {
            "as written": Bounds([literal_kernels(spec, HYPERS[name])], reference.world, start_costs(spec)),
            "float64": Bounds([view(to_kernels(spec, HYPERS[name], "float64"))], reference.world, start_costs(spec)),
            "float32": Bounds([view(to_kernels(spec, HYPERS[name], "float32"))], reference.world, start_costs(spec)),
        }
        param = [mpmath.mpf(x) for x in start]
        memory = {key: [mpmath.mpf(0)] * 6 for key in ("m", "v")}
        for t in range(1, 6):
            g = rng.normal(size=6)
            reference.step([g])
            for each in bounds.values():
                each.step([g])
            param = update(h, param, adam(h, t, memory, [mpmath.mpf(x) for x in g]))
            exact = {"param": param, **memory}
            for slot, values in exact.items():
                ours = reference.params["0"] if slot == "param" else reference.state(slot)["0"]
                radius = bounds["as written"].slots[0][slot].r.ravel()
                assert radius.max() < 1e-12
                assert all(abs(mpmath.mpf(x) - e) <= r for x, e, r in zip(ours, values, radius, strict=True)), (t, slot)
                for dtype in ("float64", "float32"):
                    ball = bounds[dtype].slots[0][slot]
                    pairs = zip(ball.c.ravel(), ball.r.ravel(), values, strict=True)
                    assert all(abs(mpmath.mpf(c) - e) <= r for c, r, e in pairs), (t, slot, dtype)
