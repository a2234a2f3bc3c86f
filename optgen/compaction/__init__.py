"""Smaller dense models: units that training silenced, by an L1 penalty or pruning, are cut out.

For `keras.Sequential` of `Input` and `Dense`, and `torch.nn.Sequential` of `Linear` and activations.
"""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any, Generic, Protocol, TypeVar, cast

from optgen.compaction.dense import Dense, DenseCompactionReport, compacted
from optgen.errors import UsageError

__all__ = [
    "DenseCompactionReport",
    "DenseCompactionSearchResult",
    "benchmark_inference_latency",
    "compact_dense_model",
    "count_nonzero_model_params",
    "measure_keras_file_size",
    "search_compact_dense_model",
]

Model = TypeVar("Model")


class _Stack(Protocol):
    """What a framework's dense stacks need: their layers, and a stack of other layers."""

    def layers_of(self, model: Any, /) -> list[Dense]: ...

    def rebuilt(self, model: Any, layers: Sequence[Dense], /) -> Any: ...


@dataclass(frozen=True)
class DenseCompactionSearchResult(Generic[Model]):
    """The smallest model that a search accepted; the original, with neither report nor threshold, where it took none.

    `tried` has every threshold with the score of its model.
    """

    model: Model
    score: float
    report: DenseCompactionReport | None
    tried: tuple[tuple[float, float], ...]

    @property
    def threshold(self) -> float | None:
        """The threshold of the accepted model."""
        return None if self.report is None else self.report.threshold


def compact_dense_model(model: Model, threshold: float = 0.0) -> tuple[Model, DenseCompactionReport]:
    """A new model without hidden units that no weight above the threshold leaves, or, after a linear or rectifying
    activation, enters; and a report. With threshold 0 it computes the same function. The model given stays as it is.

    TypeError for anything but a dense stack, UsageError for a threshold that is negative or no number.
    """
    if not threshold >= 0:
        raise UsageError(f"a threshold is a magnitude, 0 or more; got {threshold}")
    stack = _stack_of(model)
    layers, report = compacted(stack.layers_of(model), threshold)
    return cast(Model, stack.rebuilt(model, layers)), report


def search_compact_dense_model(
    model: Model, score: Callable[[Model], float], thresholds: Iterable[float], min_score: float | None = None
) -> DenseCompactionSearchResult[Model]:
    """Of the models of these thresholds whose score is at least `min_score` (the original's unless given), that with
    the fewest parameters; of equals, the fewest other than 0. A score is better the higher it is."""
    original = float(score(model))
    least = original if min_score is None else min_score
    best = DenseCompactionSearchResult(model, original, None, ())
    size, tried = (math.inf, math.inf), list[tuple[float, float]]()
    for threshold in thresholds:
        candidate, report = compact_dense_model(model, threshold)
        reached = float(score(candidate))
        tried.append((threshold, reached))
        found = (report.parameters_after, report.nonzero_after)
        if reached >= least and found < size:
            best, size = DenseCompactionSearchResult(candidate, reached, report, ()), found
    return DenseCompactionSearchResult(best.model, best.score, best.report, tuple(tried))


def count_nonzero_model_params(model: object, threshold: float = 0.0) -> int:
    """Number of weights of a dense stack with a magnitude above the threshold."""
    return sum(layer.above(threshold) for layer in _stack_of(model).layers_of(model))


def measure_keras_file_size(model: object) -> int:
    """Bytes of the `.keras` file that the model is saved as."""
    save = getattr(model, "save", None)
    if not callable(save):
        raise TypeError(f"{type(model).__name__} is no Keras model")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        save(path)
        return os.path.getsize(path)


def benchmark_inference_latency(forward: Callable[[], object], discard: int = 5, runs: int = 25) -> float:
    """Mean seconds of a call, after some that do not count."""
    if discard < 0 or runs < 1:
        raise UsageError(f"a latency is the mean of at least one run; got discard={discard}, runs={runs}")
    for _ in range(discard):
        forward()
    return mean(_seconds(forward) for _ in range(runs))


def _seconds(forward: Callable[[], object]) -> float:
    start = time.perf_counter()
    forward()
    return time.perf_counter() - start


def _stack_of(model: object) -> _Stack:
    """What knows this kind of model. Only a framework that is in use already is imported."""
    kinds = {cls.__module__.partition(".")[0] for cls in type(model).__mro__ if cls.__name__ == "Sequential"}
    if "torch" in kinds:
        from optgen.compaction import torch_stack

        return torch_stack
    if "keras" in kinds:
        from optgen.compaction import keras_stack

        return keras_stack
    raise TypeError(
        f"{type(model).__name__} is no dense stack: give a keras.Sequential of Dense or a torch nn.Sequential of Linear"
    )
