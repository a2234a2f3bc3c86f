"""The graph rule written from its description, one player at a time, with explicit neighbours; nothing of optgen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

Array = np.ndarray
Edge = tuple[int, int, float]


@dataclass
class Settings:
    """Hyper-parameters, with the defaults of the description but for the graph's."""

    lr: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    mu: float = 0.1
    kappa: float = 1.0
    nsa: str = "l2"
    nsa_mean_preserving: bool = False
    bias_correction: bool = True
    weight_decay: float = 0.0
    decoupled_weight_decay: bool = True
    maximize: bool = False
    laplacian: str = "combinatorial"
    coupling: str = "transport"


@dataclass
class Players:
    """`roles[i]` maps the roles of player i to tensor names. Conflicts and smoothed gradients of the last step are
    kept for a test to look at."""

    settings: Settings
    params: dict[str, Array]
    roles: Sequence[Mapping[str, str]]
    edges: Sequence[Edge]
    conflict: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.m = {name: np.zeros_like(x) for name, x in self.params.items()}
        self.v = {name: np.zeros_like(x) for name, x in self.params.items()}
        self.t = dict.fromkeys(self.params, 0)

    def matched(self, i: int, j: int) -> bool:
        """Whether two players have equal roles of equal shapes."""
        shapes = [{role: self.params[name].shape for role, name in self.roles[k].items()} for k in (i, j)]
        return shapes[0] == shapes[1]

    def laplacian(self, grads: Mapping[str, Array | None]) -> tuple[dict[str, Array], dict[int, float], list[Edge]]:
        """L(g) per tensor, the norm of g per player, and the edges there are, in both directions."""
        s = self.settings
        present = [i for i, roles in enumerate(self.roles) if any(grads[name] is not None for name in roles.values())]
        g = {
            i: {r: np.zeros_like(self.params[n]) if grads[n] is None else grads[n] for r, n in self.roles[i].items()}
            for i in present
        }
        norm = {i: math.sqrt(sum(float((x**2).sum()) for x in g[i].values())) for i in present}
        kept = [(i, j, w) for i, j, w in self.edges if i in g and j in g and w > 0]
        if s.coupling == "match":
            kept = [(i, j, w) for i, j, w in kept if self.matched(i, j)]
        kept += [(j, i, w) for i, j, w in kept]
        degree = {i: sum(w for a, _, w in kept if a == i) for i in present}
        flat = {i: np.concatenate([x.ravel() for x in g[i].values()]) for i in present}
        result: dict[str, Array] = {}
        for i in present:
            total = np.zeros_like(flat[i])
            for a, j, w in kept:
                if a != i:
                    continue
                own, moved = self.met(flat[i], flat[j], self.matched(i, j))
                if s.laplacian == "combinatorial":
                    total = total + w * (own - moved)
                elif s.laplacian == "random_walk":
                    total = total + w / degree[i] * (own - moved)
                else:
                    total = total + w / degree[i] * own - w / math.sqrt(degree[i] * degree[j]) * moved
            begin = 0
            for role, name in self.roles[i].items():
                size = g[i][role].size
                result[name] = total[begin : begin + size].reshape(g[i][role].shape)
                begin += size
        return result, norm, kept

    def met(self, own: Array, other: Array, matched: bool) -> tuple[Array, Array]:
        """What an edge compares: own elements, and the neighbour's in their place."""
        both = min(own.size, other.size)
        if self.settings.coupling in ("overlap", "pad", "flat"):
            there = np.arange(own.size) < both
            moved = np.zeros_like(own)
            moved[:both] = other[:both]
            return (own if self.settings.coupling == "pad" else np.where(there, own, 0.0)), moved
        if matched:
            return own, other
        return own, math.sqrt(float((other**2).sum())) / max(math.sqrt(float((own**2).sum())), 1e-16) * own

    def step(self, grads: Mapping[str, Array | None]) -> None:
        """One step; tensors without gradient keep everything."""
        s = self.settings
        grads = {n: None if x is None else (-x if s.maximize else x) for n, x in grads.items()}
        lg, norm, kept = self.laplacian(grads)
        self.conflict = {}
        for i in norm:
            length = math.sqrt(sum(float((lg[name] ** 2).sum()) for name in self.roles[i].values()))
            around = sum(
                self._own(i, w, kept) * norm[i] + self._other(i, j, w, kept) * norm[j] for a, j, w in kept if a == i
            )
            self.conflict[i] = {"l2": length, "relative": length / max(around, 1e-16), "off": 0.0}[s.nsa]
        share = {i: 1 / (1 + s.kappa * c) for i, c in self.conflict.items()}
        if s.nsa_mean_preserving and share:
            mean = sum(share.values()) / len(share)
            share = {i: x / mean for i, x in share.items()}
        for i in norm:
            for name in self.roles[i].values():
                if (g := grads[name]) is not None:
                    self._tensor(name, g - s.mu * lg[name], share[i])

    def _own(self, i: int, w: float, kept: Sequence[Edge]) -> float:
        return w if self.settings.laplacian == "combinatorial" else w / self._degree(i, kept)

    def _other(self, i: int, j: int, w: float, kept: Sequence[Edge]) -> float:
        if self.settings.laplacian == "symmetric":
            return w / math.sqrt(self._degree(i, kept) * self._degree(j, kept))
        return self._own(i, w, kept)

    @staticmethod
    def _degree(i: int, kept: Sequence[Edge]) -> float:
        return sum(w for a, _, w in kept if a == i)

    def _tensor(self, name: str, g: Array, share: float) -> None:
        s, param = self.settings, self.params[name]
        self.t[name] += 1
        if not s.decoupled_weight_decay:
            g = g + s.weight_decay * param
        self.m[name] = s.beta1 * self.m[name] + (1 - s.beta1) * g
        self.v[name] = s.beta2 * self.v[name] + (1 - s.beta2) * g * g
        m, v = self.m[name], self.v[name]
        if s.bias_correction:
            m, v = m / (1 - s.beta1 ** self.t[name]), v / (1 - s.beta2 ** self.t[name])
        if s.decoupled_weight_decay:
            param = (1 - s.lr * s.weight_decay) * param
        self.params[name] = param - s.lr * share * m / (np.sqrt(v) + s.eps)
