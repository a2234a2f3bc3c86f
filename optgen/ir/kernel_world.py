"""What the kernel interpreter works on: tensors with their memory, and the traffic it counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from optgen.ir.world import Graph


@dataclass
class Tensor:
    """One parameter tensor.

    `buffers` maps slot names to C-contiguous memory in the slot's dtype: elem slots have `shape`, row slots (matrices,
    rows), col slots (matrices, cols), matrix slots (matrices,), tensor, layer and model slots (), one copy per tensor.
    The counter slot holds the number of updates completed. A gradient that is None or left out is no gradient.
    """

    shape: tuple[int, ...]
    layer: int
    buffers: dict[str, NDArray[np.generic] | None]
    hypers: Mapping[str, float]
    depth: float = 0.0


@dataclass
class World:
    """All tensors of one optimizer; `graph` gives the edges among present layers; model-wide inputs of the step.

    `seed` is that of random bits; a tensor's number among them is its position.
    """

    tensors: list[Tensor]
    graph: Callable[[Sequence[bool]], Graph] | None = None
    inputs: Mapping[str, float] = field(default_factory=dict[str, float])
    seed: int = 0

    @cached_property
    def layers(self) -> int:
        """Number of layers: ids run from 0."""
        return 1 + max((tensor.layer for tensor in self.tensors), default=-1)


@dataclass
class Traffic:
    """What one step did to element memory, and how often it was launched.

    `loaded` and `stored` count bytes by (sweep, storage dtype); a slot read by a stencil and by its own element counts
    once. `launches`: one per stage position and extent, one per sweep, one for the choice of variants. `chosen`: the
    variant of every tensor, "" where it was absent.
    """

    loaded: Counter[tuple[int, str]] = field(default_factory=Counter[tuple[int, str]])
    stored: Counter[tuple[int, str]] = field(default_factory=Counter[tuple[int, str]])
    launches: int = 0
    chunks: int = 0
    chosen: list[str] = field(default_factory=list[str])

    @property
    def bytes(self) -> int:
        """Bytes loaded and stored in all sweeps."""
        return self.loaded.total() + self.stored.total()

    def of_sweep(self, index: int) -> tuple[int, int]:
        """(bytes loaded, bytes stored) of one sweep, counted from 1."""
        loaded, stored = (sum(n for (s, _), n in c.items() if s == index) for c in (self.loaded, self.stored))
        return loaded, stored
