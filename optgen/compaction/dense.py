"""Which units of a stack of dense layers can go, and the stack without them: numbers only, of no framework."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]
Kept = NDArray[np.intp]


@dataclass(frozen=True)
class Dense:
    """A dense layer: `kernel` (inputs, outputs), `bias` (outputs) or None.

    `quiet` says that a unit whose inputs and bias are 0 gives 0, as after a linear or rectifying activation.
    """

    kernel: Array
    bias: Array | None
    quiet: bool

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return self.kernel.size + (0 if self.bias is None else self.bias.size)

    def above(self, threshold: float) -> int:
        """Number of weights of a larger magnitude."""
        return sum(int(np.count_nonzero(_size(x) > threshold)) for x in (self.kernel, self.bias) if x is not None)


@dataclass(frozen=True)
class DenseCompactionReport:
    """What a compaction did: hidden units, parameters and parameters other than 0, before and after."""

    threshold: float
    units_before: tuple[int, ...]
    units_after: tuple[int, ...]
    parameters_before: int
    parameters_after: int
    nonzero_before: int
    nonzero_after: int


def kept_units(layers: Sequence[Dense], threshold: float) -> list[Kept]:
    """The units of each hidden layer that stay (neat_optim, `compaction`), decided from the last layer on.

    A unit goes if its weights reach none that stays, or, where silence passes on, if nothing enters it. No layer is
    emptied.
    """
    after = _all(layers[-1].kernel.shape[1])
    kept: list[Kept] = []
    for layer, following in reversed(list(pairwise(layers))):
        outgoing = _largest(_size(following.kernel)[:, after], axis=1)
        after = _above_or_strongest(outgoing, threshold)
        if layer.quiet:
            incoming = _largest(_size(layer.kernel), axis=0)
            bias = np.zeros_like(incoming) if layer.bias is None else _size(layer.bias)
            fed = after[(incoming[after] > threshold) | (bias[after] > threshold)]
            strength = np.maximum(np.maximum(incoming, bias), outgoing)
            after = fed if fed.size else after[[int(np.argmax(strength[after]))]]
        kept.append(after)
    return kept[::-1]


def compacted(layers: Sequence[Dense], threshold: float) -> tuple[list[Dense], DenseCompactionReport]:
    """The layers without units that have no say, and what that saved."""
    kept = kept_units(layers, threshold)
    inputs = [_all(layers[0].kernel.shape[0]), *kept]
    outputs = [*kept, _all(layers[-1].kernel.shape[1])]
    made = [
        replace(
            layer,
            kernel=np.ascontiguousarray(layer.kernel[np.ix_(rows, cols)]),
            bias=None if layer.bias is None else layer.bias[cols],
        )
        for layer, rows, cols in zip(layers, inputs, outputs, strict=True)
    ]
    report = DenseCompactionReport(
        threshold,
        tuple(layer.kernel.shape[1] for layer in layers[:-1]),
        tuple(units.size for units in kept),
        *(sum(layer.parameters for layer in each) for each in (layers, made)),
        *(sum(layer.above(0.0) for layer in each) for each in (layers, made)),
    )
    return made, report


def _all(units: int) -> Kept:
    return np.arange(units, dtype=np.intp)


def _size(x: Array) -> NDArray[np.float64]:
    return np.abs(x.astype(np.float64))


def _largest(x: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    return np.max(x, axis=axis, initial=0.0)


def _above_or_strongest(strength: NDArray[np.float64], threshold: float) -> Kept:
    above = np.flatnonzero(strength > threshold)
    return above if above.size else np.array([int(np.argmax(strength))], dtype=np.intp)
