"""The rule that takes conflict out of the gradient, all of its options, against a loop written from its description."""

from __future__ import annotations

import warnings
from dataclasses import asdict, fields, replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch

from optgen.runtime.metrics import sum_of
from optgen.spec.loader import load
from optgen.torch import NCE
from optgen.verify import Reference
from tests.oracle.conflicts import Settings, Tensor
from tests.oracle.streams import gradients

SPEC = load("nce")
STEPS = 12
SHAPES: dict[str, tuple[int, ...]] = {"a.w": (4, 3), "a.b": (4,), "b.w": (2, 3, 2), "c": ()}
#: Nothing is at the value where it does nothing. A correction shorter than the gradient: where it equals it, signs and
#: cosines of the corrected gradient are those of rounding errors.
BASE = Settings(lr=0.03, alpha=0.4, beta=0.7, eps=1e-3, weight_decay=0.1, nce_clip_ratio=0.6, second_moment_beta=0.9)
#: Every option away from its default.
OTHERS: dict[str, tuple[Any, ...]] = {
    "nce_mode": ("cosine", "off"),
    "eps": (0.3,),
    "decouple_weight_decay": (False,),
    "nce_clip_ratio": (0.05, 1.0),
    "sparsity_l1": (0.3,),
    "prune_threshold": (0.05,),
    "opponent_source": ("previous_gradient", "gradient_ema", "blended"),
    "opponent_ema_decay": (0.6,),
    "opponent_blend": (0.2,),
    "correction_warmup_steps": (5,),
    "conflict_threshold": (0.3,),
    "adaptive_correction": (True,),
    "adaptive_correction_decay": (0.5,),
    "adaptive_correction_min_scale": (1.8,),
    "adaptive_correction_max_scale": (1.4,),
    "adaptive_preconditioning": (True,),
    "bias_correction": (True,),
    "precondition_nce": (False,),
    "update_mode": ("lion",),
    "adaptive_alpha": (True,),
    "adaptive_alpha_min": (0.45,),
    "adaptive_alpha_max": (0.5,),
    "gradient_noise_decay": (0.5,),
    "gradient_centralization": (True,),
    "nesterov": (True,),
    "lookahead_k": (4,),
    "lookahead_alpha": (0.8,),
    "convention": ("keras", "cpp", "torch"),
    "metrics_interval": (3,),
}


def settings(**given: Any) -> Settings:
    made = replace(BASE, **given)
    lowest = min(made.adaptive_correction_min_scale, made.adaptive_correction_max_scale)
    return replace(made, adaptive_correction_min_scale=lowest)


def worst(rng: np.random.Generator, chosen: Settings) -> float:
    params = {name: np.asarray(rng.normal(size=shape)) for name, shape in SHAPES.items()}
    reference = Reference(SPEC, params, asdict(chosen))
    tensors = {name: Tensor(chosen, x.copy()) for name, x in params.items()}
    for grads in gradients(rng, list(SHAPES.values()), STEPS, missing=0.15):
        reference.step(grads)
        for tensor, g in zip(tensors.values(), grads, strict=True):
            if g is not None:
                tensor.update(np.asarray(g))
    pairs = [(reference.params[name], tensor.param) for name, tensor in tensors.items()]
    for metric in SPEC.metrics if chosen.metrics_interval else ():
        sums = reference.state(sum_of(metric.name))
        pairs += [(sums[name], np.array(tensor.sums[metric.name])) for name, tensor in tensors.items()]
    return max(float(np.max(np.abs(ours - expected))) for ours, expected in pairs)


def test_no_option_is_forgotten() -> None:
    always = {"lr", "alpha", "beta", "weight_decay", "second_moment_beta"}
    assert {each.name for each in fields(Settings)} == set(SPEC.hypers) == always | set(OTHERS)
    defaults = {name: hyper.default for name, hyper in SPEC.hypers.items()}
    assert asdict(Settings()) == defaults


@pytest.mark.parametrize("name", OTHERS)
def test_each_option(rng: np.random.Generator, name: str) -> None:
    for value in OTHERS[name]:
        assert worst(rng, settings(**{name: value})) < 1e-12, (name, value)


def test_many_options_at_once(rng: np.random.Generator) -> None:
    together: set[tuple[str, str]] = set()
    for _ in range(40):
        chosen = {name: rng.choice(np.array(values, object)) for name, values in OTHERS.items() if rng.random() < 0.5}
        together.update(combinations(sorted(chosen), 2))
        assert worst(rng, settings(**chosen)) < 1e-12, chosen
    assert together == set(combinations(sorted(OTHERS), 2)), "two options were never away from their defaults together"


def test_a_share_without_its_interval_is_warned_of() -> None:
    params = [torch.nn.Parameter(torch.zeros(3))]
    with pytest.warns(UserWarning, match="lookahead_alpha has no effect; give lookahead_k"):
        NCE(params, lookahead_alpha=0.3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        NCE(params)
        NCE(params, lookahead_alpha=0.3, lookahead_k=2)
