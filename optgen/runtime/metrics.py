"""Names of what a rule's metrics are kept in, and what is read off them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from optgen.errors import UsageError

T = TypeVar("T")

INTERVAL = "metrics_interval"
"""The hyper-parameter: updates of a parameter between samples; 0: none are taken."""
SAMPLES = "metric_samples"
"""The state that counts the samples of a tensor."""
_PREFIX = "metric_"


class ScalarWriter(Protocol):
    """What takes scalars: TensorBoard's `SummaryWriter`, for one."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int, /) -> object:
        """Keep one number."""
        ...


def sum_of(metric: str) -> str:
    """The state that holds the sum of a metric's samples."""
    return _PREFIX + metric


def sums_of(metrics: Sequence[str]) -> list[str]:
    """Every state that metrics need, the count of samples first; none for no metrics."""
    return [SAMPLES, *map(sum_of, metrics)] if metrics else []


def name_of(state: str) -> str:
    """The metric whose sum a state holds; empty for any other state."""
    return state.removeprefix(_PREFIX) if state.startswith(_PREFIX) and state != SAMPLES else ""


def means(metrics: Sequence[str], states: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Every metric's mean over all samples of all tensors; empty where there is none."""
    found = list(states)
    samples = sum(state[SAMPLES] for state in found)
    if not samples:
        return {}
    return {name: sum(state[sum_of(name)] for state in found) / samples for name in metrics}


def sampled(
    class_name: str, metrics: Sequence[str], states: Callable[[], Iterable[Mapping[str, T]]]
) -> list[Mapping[str, T]]:
    """The states of what is sampled, of all that `states` gives. UsageError, by the name of the optimizer's class,
    where its rule has no metrics or no samples are taken."""
    if not metrics:
        raise UsageError(f"{class_name} has no metrics: its rule has no `metrics:`")
    found = [slots for slots in states() if SAMPLES in slots]
    if not found:
        raise UsageError(f"{class_name} takes no samples: give {INTERVAL}=10, say, when making it")
    return found
