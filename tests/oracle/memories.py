"""The rule with three memories and a depth schedule, written from its description for one tensor; nothing of optgen."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

Array = np.ndarray


@dataclass
class Settings:
    """Hyper-parameters with the defaults of the description."""

    lr: float = 1e-3
    beta2: float = 0.999
    eps: float = 1e-7
    short_term_decay: float = 0.94
    medium_term_decay: float = 0.994
    long_term_decay: float = 0.9999
    memory_blend_mode: str = "attention"
    attention_score: str = "dot"
    short_term_weight: float = 0.1
    medium_term_weight: float = 0.3
    long_term_weight: float = 0.6
    use_gradient_compression: bool = False
    compression_rank: int = 0
    interval: int = 0
    auto_schedule: bool = True
    layer_interval: int = 0
    default_interval: int = 1
    max_interval: int = 6
    schedule_curve: str = "cosine"
    reverse_depth_order: bool = True
    warmup_steps: int = 0
    accumulate_gradients: bool = True
    amsgrad: bool = False
    weight_decay: float = 0.0
    steps_per_epoch: int = 0
    lr_warmup_fraction: float = 0.25
    lr_hold_fraction: float = 0.25
    lr_decay_fraction: float = 0.5
    lr_min_fraction: float = 0.01
    lr_warmup_start_fraction: float = 0.01
    compat: str = "ours"

    @property
    def decays(self) -> tuple[float, float, float]:
        return self.short_term_decay, self.medium_term_decay, self.long_term_decay

    @property
    def weights(self) -> tuple[float, float, float]:
        return self.short_term_weight, self.medium_term_weight, self.long_term_weight


def interval_of(s: Settings, depth: float) -> int:
    """Steps between updates at a relative depth."""
    if s.interval:
        return s.interval
    if not s.auto_schedule:
        return s.layer_interval or s.default_interval
    r = 1 - depth if s.reverse_depth_order else depth
    x = {
        "linear": s.max_interval * (1 - r) + 1,
        "exponential": s.max_interval * math.exp(-3 * r) + 1,
        "cosine": s.max_interval * 0.5 * (1 + math.cos(math.pi * r)) + 1,
    }[s.schedule_curve]
    if s.compat == "reference":
        return max(1, int(x))
    return min(max(1, int(x + 1e-9)), s.max_interval)


def rate_of(s: Settings, t: int) -> float:
    """The learning rate of step t, from 1."""
    length = s.steps_per_epoch
    if not length:
        return s.lr
    i = (t - 1) % length
    low, least = s.lr_warmup_start_fraction * s.lr, s.lr_min_fraction * s.lr
    rise, hold = s.lr_warmup_fraction * length, (s.lr_warmup_fraction + s.lr_hold_fraction) * length
    if i < rise:
        return low + min(i / max(rise, 1), 1) * (s.lr - low)
    if i < hold:
        return s.lr
    return s.lr - min((i - hold) / max(s.lr_decay_fraction * length, 1), 1) * (s.lr - least)


def softmax(x: list[float]) -> list[float]:
    powers = [math.exp(v - max(x)) for v in x]
    return [p / sum(powers) for p in powers]


@dataclass
class Tensor:
    """One parameter at a relative depth."""

    settings: Settings
    param: Array
    depth: float
    memories: list[Array] = field(default_factory=list)
    count: int = 0
    writes: int = 0

    def __post_init__(self) -> None:
        self.memories = [np.zeros_like(self.param) for _ in range(3)]
        self.v, self.v_max, self.acc = (np.zeros_like(self.param) for _ in range(3))
        raw = self.settings.compat == "reference"
        self.logits = [w if raw else math.log(w) for w in self.settings.weights]

    def compressed(self, g: Array) -> Array:
        rank = self.settings.compression_rank
        if not (self.settings.use_gradient_compression and rank) or g.ndim < 2:
            return g
        u, d, v = np.linalg.svd(g.reshape(g.shape[0], -1), full_matrices=False)
        return ((u[:, :rank] * d[:rank]) @ v[:rank]).reshape(g.shape)

    def due(self, t: int) -> bool:
        s = self.settings
        warm = t < s.warmup_steps if s.compat == "reference" else t <= s.warmup_steps
        interval = interval_of(s, self.depth)
        return interval <= 1 or warm or t % interval == 0

    def step(self, g: Array, t: int) -> None:
        """A step with a gradient; t counts the optimizer's steps from 1."""
        s = self.settings
        h = self.compressed(g)
        self.memories = [d * x + (1 - d) * h for d, x in zip(s.decays, self.memories, strict=True)]
        if not self.due(t):
            if s.accumulate_gradients:
                self.acc, self.count = self.acc + g, self.count + 1
            return
        q = (self.acc + g) / (self.count + 1) if s.accumulate_gradients and self.count > 0 else g
        c = 0.5 * q + 0.5 * sum(w * x for w, x in zip(self._weights(q), self.memories, strict=True))
        self.writes += 1
        exponent = t + 1 if s.compat == "reference" else self.writes
        self.v = s.beta2 * self.v + (1 - s.beta2) * c * c
        top = self.v
        if s.amsgrad:
            self.v_max = top = np.maximum(self.v_max, self.v)
        rate = rate_of(s, t)
        decay = 0.0 if s.compat == "reference" else s.weight_decay
        self.param = self.param - rate * (c / (np.sqrt(top / (1 - s.beta2**exponent)) + s.eps) + decay * self.param)
        if s.accumulate_gradients:
            self.acc, self.count = np.zeros_like(self.param), 0

    def _weights(self, q: Array) -> list[float]:
        s = self.settings
        dots = [float((q * x).sum()) for x in self.memories]
        length = math.sqrt(float((q * q).sum()))
        if s.memory_blend_mode == "fixed":
            return list(s.weights)
        if s.memory_blend_mode == "adaptive":
            weights = softmax(self.logits)
            self.logits = [x + 0.01 * d / (length + 1e-8) for x, d in zip(self.logits, dots, strict=True)]
            return weights
        if s.attention_score == "dot":
            return softmax([d / math.sqrt(q.size + 1e-8) for d in dots])
        return softmax(
            [d / max(length * math.sqrt(float((x * x).sum())), 1e-30) for d, x in zip(dots, self.memories, strict=True)]
        )
