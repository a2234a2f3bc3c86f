"""The rule that takes conflict among players out of their gradients, all of its options, against a plain loop.

The loop is written from the description of the published player mode, for one tensor at a time, with nothing of optgen.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest

from optgen.runtime.metrics import sum_of
from optgen.spec.loader import load
from optgen.verify import Reference

Array = np.ndarray
SPEC = load("nce_players")
STEPS = 5
SHAPES: dict[str, tuple[int, ...]] = {"a.w": (4, 3), "b": ()}


@dataclass
class Settings:
    """Options, with the defaults of the description."""

    lr: float = 1e-3
    player_count: int = 1
    alpha: float = 0.25
    beta: float = 0.9
    nce_mode: str = "projection"
    opponent_mode: str = "mean_excluding_self"
    player_reduction: str = "mean"
    eps: float = 1e-8
    weight_decay: float = 0.0
    decouple_weight_decay: bool = True
    nce_clip_ratio: float = 1.0
    sparsity_l1: float = 0.0
    prune_threshold: float = 0.0
    correction_warmup_steps: int = 0
    conflict_threshold: float = 0.0
    adaptive_correction: bool = False
    adaptive_correction_decay: float = 0.9
    adaptive_correction_min_scale: float = 1.0
    adaptive_correction_max_scale: float = 3.0
    metrics_interval: int = 0


def norm(x: Array) -> float:
    return float(np.sqrt(np.sum(x * x)))


@dataclass
class Tensor:
    """A parameter and what is remembered of it."""

    settings: Settings
    param: Array
    step: int = 0
    conflict_ema: float = 0.0
    sums: dict[str, float] = field(default_factory=dict[str, float])

    def __post_init__(self) -> None:
        self.momentum = np.zeros_like(self.param)

    def opponent(self, grads: Array, player: int) -> Array:
        if self.settings.opponent_mode == "batch_mean":
            return np.mean(grads, axis=0)
        others = [g for i, g in enumerate(grads) if i != player]
        return np.mean(others, axis=0) if others else np.zeros_like(grads[player])

    def correction(self, g: Array, o: Array, conflict: float) -> Array:
        s = self.settings
        if s.nce_mode == "off" or self.step < s.correction_warmup_steps or conflict < s.conflict_threshold:
            return np.zeros_like(g)
        scale = 1.0
        if s.adaptive_correction:
            scale = 1 + norm(o) / (norm(g) + norm(o) + s.eps) + max(conflict, self.conflict_ema)
            scale = min(max(scale, s.adaptive_correction_min_scale), s.adaptive_correction_max_scale)
        along = g
        if s.nce_mode == "projection":
            length = float(np.sum(o * o))
            along = np.zeros_like(g) if length <= s.eps else float(np.sum(g * o)) / (length + s.eps) * o
        found = -s.alpha * scale * conflict * along
        size, limit = norm(found), s.nce_clip_ratio * norm(g)
        return found * (limit / size) if size > limit and size > s.eps else found

    def update(self, grads: Array) -> None:
        """One step of all players."""
        s = self.settings
        corrections: list[Array] = []
        conflicts: list[float] = []
        for player, g in enumerate(grads):
            o = self.opponent(grads, player)
            apart = norm(g) > s.eps and norm(o) > s.eps
            cosine = float(np.sum(g * o)) / (norm(g) * norm(o) + s.eps) if apart else 0.0
            conflicts.append(max(0.0, -cosine))
            keep = s.adaptive_correction_decay
            self.conflict_ema = keep * self.conflict_ema + (1 - keep) * conflicts[-1]
            corrections.append(self.correction(g, o, conflicts[-1]))
        fold = np.mean if s.player_reduction == "mean" else np.sum
        u = fold([g + c for g, c in zip(grads, corrections, strict=True)], axis=0)
        self.momentum = s.beta * self.momentum + (1 - s.beta) * u
        if s.metrics_interval and self.step % s.metrics_interval == 0:
            sample = {
                "grad_norm": norm(fold(grads, axis=0)),
                "update_norm": norm(self.momentum),
                "nce_norm": norm(fold(corrections, axis=0)),
                "mean_conflict": float(np.mean(conflicts)),
                "max_conflict": max(conflicts),
                "active_fraction": float(np.mean([norm(c) > s.eps for c in corrections])),
                "mean_correction_ratio": float(
                    np.mean([norm(c) / (norm(g) + s.eps) for c, g in zip(corrections, grads, strict=True)])
                ),
            }
            self.sums = {name: self.sums.get(name, 0.0) + value for name, value in sample.items()}
        if s.decouple_weight_decay:
            self.param = self.param * (1 - s.lr * s.weight_decay) - s.lr * self.momentum
        else:
            self.param = self.param - s.lr * (self.momentum + s.weight_decay * self.param)
        self.param = np.sign(self.param) * np.maximum(np.abs(self.param) - s.lr * s.sparsity_l1, 0)
        self.param = np.where(np.abs(self.param) < s.prune_threshold, 0, self.param)
        self.step += 1


#: Nothing is at the value where it does nothing.
BASE = Settings(lr=0.03, player_count=3, alpha=0.4, beta=0.7, eps=1e-3, weight_decay=0.1, nce_clip_ratio=0.6)
#: Every other option away from it.
OTHERS: dict[str, tuple[Any, ...]] = {
    "player_count": (1, 2, 5),
    "nce_mode": ("cosine", "off"),
    "opponent_mode": ("batch_mean",),
    "player_reduction": ("sum",),
    "eps": (0.3,),
    "decouple_weight_decay": (False,),
    "nce_clip_ratio": (0.05, 1.0),
    "sparsity_l1": (0.3,),
    "prune_threshold": (0.05,),
    "correction_warmup_steps": (2,),
    "conflict_threshold": (0.3,),
    "adaptive_correction": (True,),
    "adaptive_correction_decay": (0.5,),
    "adaptive_correction_min_scale": (1.8,),
    "adaptive_correction_max_scale": (1.4,),
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
    for _ in range(STEPS):
        sizes = 10.0 ** rng.uniform(-2, 1, size=len(SHAPES))
        grads = [s * rng.normal(size=(chosen.player_count, *x)) for s, x in zip(sizes, SHAPES.values(), strict=True)]
        given = [None if rng.random() < 0.15 else g for g in grads]
        reference.step(given)
        for tensor, g in zip(tensors.values(), given, strict=True):
            if g is not None:
                tensor.update(g)
    emas = reference.state("conflict_ema")
    pairs = [(reference.params[name], tensor.param) for name, tensor in tensors.items()]
    pairs += [(emas[name], np.array(tensor.conflict_ema)) for name, tensor in tensors.items()]
    for metric in SPEC.metrics if chosen.metrics_interval else ():
        sums = reference.state(sum_of(metric.name))
        pairs += [(sums[name], np.array(tensor.sums.get(metric.name, 0.0))) for name, tensor in tensors.items()]
    return max(float(np.max(np.abs(ours - expected))) for ours, expected in pairs)


def test_no_option_is_forgotten() -> None:
    always = {"lr", "alpha", "beta", "weight_decay"}
    assert {each.name for each in fields(Settings)} == set(SPEC.hypers) == always | set(OTHERS)
    assert asdict(Settings()) == {name: hyper.default for name, hyper in SPEC.hypers.items()}


def test_every_way_to_correct(rng: np.random.Generator) -> None:
    """All combinations of what selects code, for one player and for three."""
    names = ("nce_mode", "opponent_mode", "player_reduction", "adaptive_correction", "decouple_weight_decay")
    values = (("projection", "cosine", "off"), ("mean_excluding_self", "batch_mean"), ("mean", "sum"))
    for chosen in product(*values, (False, True), (False, True)):
        for count in (1, 3):
            made = settings(player_count=count, **dict(zip(names, chosen, strict=True)))
            assert worst(rng, made) < 1e-12, made


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
