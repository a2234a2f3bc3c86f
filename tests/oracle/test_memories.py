"""The rule with memories and a depth schedule against a loop written from its description."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from optgen.spec.loader import load
from optgen.verify import Reference
from tests.oracle.memories import Settings, Tensor, interval_of, rate_of
from tests.oracle.streams import gradients, worst

SPEC = load("nested")
TOLERANCE = 1e-12
STEPS = 24
SHAPES: dict[str, tuple[int, ...]] = {
    "0.w": (4, 3),
    "0.b": (4,),
    "1.w": (2, 3, 2),
    "2.w": (5,),
    "3.w": (),
    "4.w": (1, 6),
    "5.w": (3, 3),
}
BASE = Settings(
    lr=0.02,
    beta2=0.9,
    eps=1e-3,
    short_term_decay=0.5,
    medium_term_decay=0.8,
    long_term_decay=0.95,
    short_term_weight=0.2,
    medium_term_weight=0.35,
    long_term_weight=0.7,
    weight_decay=0.1,
)

CASES: dict[str, dict[str, Any]] = {
    "attention": {},
    "cosine scores": {"attention_score": "cosine"},
    "fixed": {"memory_blend_mode": "fixed"},
    "adaptive": {"memory_blend_mode": "adaptive"},
    "linear": {"schedule_curve": "linear", "max_interval": 4},
    "exponential": {"schedule_curve": "exponential", "max_interval": 9},
    "early layers slow": {"reverse_depth_order": False},
    "own interval": {"interval": 3},
    "always": {"interval": 1},
    "one interval for all": {"max_interval": 1},
    "warm": {"warmup_steps": 7},
    "latest gradient": {"accumulate_gradients": False},
    "amsgrad": {"amsgrad": True},
    "compressed": {"use_gradient_compression": True, "compression_rank": 1},
    "a rank alone": {"compression_rank": 1},
    "manual": {"auto_schedule": False, "default_interval": 2},
    "manual, of layers": {"auto_schedule": False, "default_interval": 2, "layer_interval": 3},
    "epochs": {"steps_per_epoch": 9},
    "epochs of other shares": {
        "steps_per_epoch": 13,
        "lr_warmup_fraction": 0.4,
        "lr_hold_fraction": 0.1,
        "lr_decay_fraction": 0.3,
        "lr_min_fraction": 0.2,
        "lr_warmup_start_fraction": 0.3,
    },
}


@pytest.mark.parametrize("compat", ["ours", "reference"])
@pytest.mark.parametrize("case", CASES, ids=lambda name: name.replace(" ", "-"))
def test_the_description(rng: np.random.Generator, case: str, compat: str) -> None:
    chosen = replace(BASE, **CASES[case], compat=compat)
    params = {name: np.asarray(rng.normal(size=shape)) for name, shape in SHAPES.items()}
    reference = Reference(SPEC, params, asdict(chosen))
    apart = {name: k / (len(SHAPES) - 1) for k, name in enumerate(SHAPES)}  # the published code counts tensors
    depth = apart if compat == "reference" else {name: int(name[0]) / 5 for name in SHAPES}
    tensors = {name: Tensor(chosen, x, depth[name]) for name, x in params.items()}
    for t, grads in enumerate(gradients(rng, list(SHAPES.values()), STEPS, missing=0.15), 1):
        reference.step(grads)
        for tensor, g in zip(tensors.values(), grads, strict=True):
            if g is not None:
                tensor.step(g, t)
        slots = {name: reference.state(name) for name in SPEC.states}
        for name, tensor in tensors.items():
            assert worst(reference.params[name], tensor.param) < TOLERANCE, (name, t)
            expected = dict(zip(("s", "m", "l"), tensor.memories, strict=True))
            expected |= {"v": tensor.v, "acc": tensor.acc, "v_max": tensor.v_max}
            expected |= {"count": np.asarray(float(tensor.count)), "logits": np.array(tensor.logits)}
            if tensor.count == 0:
                del expected["acc"]  # nothing reads it
            for slot, value in expected.items():
                assert worst(slots[slot][name], value) < TOLERANCE, (slot, name, t)


def test_intervals_of_the_published_code() -> None:
    """The ones that its description lists, for depths 0, 0.1, ... 1."""
    listed = [1, 1, 1, 2, 3, 4, 4, 5, 6, 6, 7]
    published = replace(Settings(), compat="reference")
    assert [interval_of(published, k / 10) for k in range(11)] == listed
    assert [interval_of(Settings(), k / 10) for k in range(11)] == [min(k, 6) for k in listed]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("curve", ["linear", "exponential", "cosine"])
def test_which_steps_are_due(curve: str, reverse: bool) -> None:
    """Read off the reference: its second moment is written on due steps only."""
    chosen = replace(BASE, schedule_curve=curve, reverse_depth_order=reverse, max_interval=5)
    names = [f"{k}.w" for k in range(7)]
    reference = Reference(SPEC, {name: np.ones(1) for name in names}, asdict(chosen))
    before = dict.fromkeys(names, 0.0)
    written: dict[str, list[int]] = {name: [] for name in names}
    for t in range(1, 31):
        reference.step([np.full(1, 1.0 + t) for _ in names])
        for name, v in reference.state("v").items():
            if v[0] != before[name]:
                written[name].append(t)
            before[name] = float(v[0])
    for k, name in enumerate(names):
        interval = interval_of(chosen, k / 6)
        assert written[name] == list(range(interval, 31, interval))


def test_the_first_step_of_the_published_code_is_too_large() -> None:
    """Its bias correction counts one step too many: by the square root of 2, nearly, when squares are remembered."""
    steps = {}
    for compat in ("ours", "reference"):
        hypers = {"lr": 0.1, "eps": 1e-12, "compat": compat, "interval": 1, "beta2": 0.999}
        reference = Reference(SPEC, [np.zeros(1)], hypers)
        reference.step([np.ones(1)])
        steps[compat] = -float(reference.params["0"][0])
    assert steps["ours"] == pytest.approx(0.1, rel=1e-9)
    assert steps["reference"] == pytest.approx(0.1414, abs=1e-4)


def test_a_rate_restarts_with_every_epoch() -> None:
    chosen = replace(Settings(), lr=1.0, steps_per_epoch=8)
    rates = [rate_of(chosen, t) for t in range(1, 17)]
    assert rates[:8] == rates[8:]
    assert rates[0] == pytest.approx(0.01)
    assert max(rates) == rates[3] == 1.0
    assert min(rates) == rates[0]


def test_depths_and_tensors_of_one_layer() -> None:
    layers = Reference(SPEC, {name: np.zeros(shape) for name, shape in SHAPES.items()}).layers
    assert layers.depth == [0.0, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert Reference(SPEC, [np.zeros(2)]).layers.depth == [0.5]
    assert Reference(SPEC, [np.zeros(2)] * 3, depths=[0, 4, 1]).layers.depth == [0.0, 1.0, 0.25]
    named = Reference(SPEC, {"a.w": np.zeros(1), "b.w": np.zeros(1)}, depths={"b*": 0.25})
    assert named.layers.depth == [0.0, 0.25]
