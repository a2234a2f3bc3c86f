"""The rule that takes conflict with an opponent out of the gradient, from its description, for one tensor at a time.

Nothing of optgen. The corrections are made as arrays in the coordinates the description names, with no algebra.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

Array = np.ndarray


@dataclass
class Settings:
    """Options, with the defaults of the description."""

    lr: float = 1e-3
    alpha: float = 0.25
    beta: float = 0.9
    nce_mode: str = "projection"
    eps: float = 1e-8
    weight_decay: float = 0.0
    decouple_weight_decay: bool = True
    nce_clip_ratio: float = 1.0
    sparsity_l1: float = 0.0
    prune_threshold: float = 0.0
    opponent_source: str = "momentum"
    opponent_ema_decay: float = 0.9
    opponent_blend: float = 0.5
    correction_warmup_steps: int = 0
    conflict_threshold: float = 0.0
    adaptive_correction: bool = False
    adaptive_correction_decay: float = 0.9
    adaptive_correction_min_scale: float = 1.0
    adaptive_correction_max_scale: float = 3.0
    adaptive_preconditioning: bool = False
    second_moment_beta: float = 0.999
    bias_correction: bool = False
    precondition_nce: bool = True
    update_mode: str = "momentum"
    adaptive_alpha: bool = False
    adaptive_alpha_min: float = 0.0
    adaptive_alpha_max: float = 1.0
    gradient_noise_decay: float = 0.95
    gradient_centralization: bool = False
    nesterov: bool = False
    lookahead_k: int = 0
    lookahead_alpha: float = 0.5
    convention: str = "numpy"
    metrics_interval: int = 0

    @property
    def guarded(self) -> bool:
        return self.convention in ("numpy", "cpp")


def norm(x: Array) -> float:
    return float(np.sqrt(np.sum(x * x)))


def cosine(x: Array, y: Array, s: Settings) -> float:
    if s.guarded and (norm(x) <= s.eps or norm(y) <= s.eps):
        return 0.0
    return float(np.sum(x * y)) / (norm(x) * norm(y) + s.eps)


def projection(x: Array, y: Array, s: Settings) -> Array:
    length = float(np.sum(y * y))
    if s.guarded and length <= (0 if s.convention == "cpp" else s.eps):
        return np.zeros_like(x)
    return float(np.sum(x * y)) / (length + s.eps) * y


def limited(correction: Array, limit: float, s: Settings) -> Array:
    size = norm(correction)
    if s.guarded:
        return correction * (limit / size) if size > limit and size > s.eps else correction
    return correction * min(1.0, limit / (size + s.eps))


@dataclass
class Tensor:
    """A parameter and what is remembered of it."""

    settings: Settings
    param: Array
    step: int = 0
    memory: dict[str, Array] = field(default_factory=dict[str, Array])
    conflict_ema: float = 0.0
    noise_ema: float = 0.0
    alignment_ema: float = 0.0
    noise: float = 0.0
    sums: dict[str, float] = field(default_factory=dict[str, float])

    def __post_init__(self) -> None:
        self.memory = {name: np.zeros_like(self.param) for name in ("m", "v", "previous", "ema")}
        self.memory["slow"] = self.param.copy()

    def opponent(self) -> Array:
        s, kept = self.settings, self.memory
        if s.opponent_source == "blended":
            return s.opponent_blend * kept["m"] + (1 - s.opponent_blend) * kept["ema"]
        return kept[{"momentum": "m", "previous_gradient": "previous", "gradient_ema": "ema"}[s.opponent_source]]

    def effective_alpha(self, g: Array) -> float:
        s, kept = self.settings, self.memory
        self.noise = norm(g - kept["ema"]) / (norm(g) + norm(kept["ema"]) + s.eps)
        keep = s.gradient_noise_decay
        self.noise_ema = keep * self.noise_ema + (1 - keep) * self.noise
        self.alignment_ema = keep * self.alignment_ema + (1 - keep) * cosine(g, kept["previous"], s)
        if not s.adaptive_alpha:
            return s.alpha
        scale = 1 + self.conflict_ema + self.noise_ema - 0.5 * max(0.0, self.alignment_ema)
        return min(max(s.alpha * scale, s.adaptive_alpha_min), s.adaptive_alpha_max)

    def correction(self, x: Array, y: Array, conflict: float, alpha: float) -> Array:
        s = self.settings
        if s.nce_mode == "off" or self.step < s.correction_warmup_steps or conflict < s.conflict_threshold:
            return np.zeros_like(x)
        scale = 1.0
        if s.adaptive_correction:
            scale = 1 + norm(y) / (norm(x) + norm(y) + s.eps) + max(conflict, self.conflict_ema)
            scale = min(max(scale, s.adaptive_correction_min_scale), s.adaptive_correction_max_scale)
        along = x if s.nce_mode == "cosine" else projection(x, y, s)
        return limited(-alpha * scale * conflict * along, s.nce_clip_ratio * norm(x), s)

    def update(self, g: Array) -> None:
        """One step."""
        s, kept, t = self.settings, self.memory, self.step + 1
        if s.gradient_centralization and g.ndim > 1:
            g = g - g.mean(axis=tuple(range(1, g.ndim)), keepdims=True)
        kept["v"] = s.second_moment_beta * kept["v"] + (1 - s.second_moment_beta) * g * g
        scale = np.sqrt(kept["v"] / (1 - s.second_moment_beta**t) if s.bias_correction else kept["v"]) + s.eps
        seen = scale if s.adaptive_preconditioning and s.precondition_nce else np.ones_like(g)
        opponent = self.opponent()
        x, y = g / seen, opponent / seen
        conflict = max(0.0, -cosine(x, y, s))
        keep = s.adaptive_correction_decay
        self.conflict_ema = keep * self.conflict_ema + (1 - keep) * conflict
        alpha = self.effective_alpha(g)
        u = g + seen * self.correction(x, y, conflict, alpha)
        if s.metrics_interval and (t - 1) % s.metrics_interval == 0:
            self.measure(g, opponent, u, conflict, alpha)
        kept["m"] = s.beta * kept["m"] + (1 - s.beta) * u
        d = kept["m"] / (1 - s.beta**t) if s.bias_correction else kept["m"]
        if s.nesterov:
            d = s.beta * d + (1 - s.beta) * u
        if s.adaptive_preconditioning:
            d = d / scale
        if s.update_mode == "lion":
            d = np.sign(d)
        self.apply(d)
        kept["previous"] = g
        kept["ema"] = s.opponent_ema_decay * kept["ema"] + (1 - s.opponent_ema_decay) * g
        self.step = t
        if s.lookahead_k and t % s.lookahead_k == 0:
            kept["slow"] = kept["slow"] + s.lookahead_alpha * (self.param - kept["slow"])
            self.param = kept["slow"].copy()

    def measure(self, g: Array, opponent: Array, u: Array, conflict: float, alpha: float) -> None:
        """Add a sample to the sums of the seven diagnostics."""
        s = self.settings
        silent = (s.guarded and self.step < s.correction_warmup_steps) or (
            s.nce_mode == "off" and s.convention != "torch"
        )
        sample = {
            "mean_conflict_ratio": 0.0 if silent else conflict,
            "mean_correction_ratio": norm(u - g) / (norm(g) + s.eps),
            "mean_update_alignment": cosine(g, u, s),
            "mean_opponent_norm": norm(opponent),
            "correction_active_fraction": float(norm(u - g) > s.eps),
            "mean_effective_alpha": alpha,
            "mean_gradient_noise": self.noise,
        }
        for name, value in sample.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def apply(self, d: Array) -> None:
        """Decay, step, soft threshold, pruning."""
        s = self.settings
        if s.decouple_weight_decay:
            self.param = self.param * (1 - s.lr * s.weight_decay) - s.lr * d
        else:
            self.param = self.param - s.lr * (d + s.weight_decay * self.param)
        self.param = np.sign(self.param) * np.maximum(np.abs(self.param) - s.lr * s.sparsity_l1, 0)
        self.param = np.where(np.abs(self.param) < s.prune_threshold, 0, self.param)
