"""What a rule measures of itself while a Keras model trains: means when asked for, and a callback for every epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from optgen.errors import UsageError
from optgen.runtime.keras_layout import Layout, Variable
from optgen.runtime.keras_untyped import keras, ops
from optgen.runtime.metrics import ScalarWriter, means, sampled, sums_of
from optgen.runtime.rule_info import RuleInfo

_Callback: Any = keras.callbacks.Callback


def metrics(rule: RuleInfo, layout: Layout) -> dict[str, float]:
    """Mean of each metric over variables and sampled steps, by name; empty before the first sample.

    UsageError where the rule has no metrics, or none are taken.
    """
    names = sums_of(rule.metrics)
    found = [{name: float(ops.convert_to_numpy(slots[name])) for name in names} for slots in _sampled(rule, layout)]
    return means(rule.metrics, found)


def reset_metrics(rule: RuleInfo, layout: Layout) -> None:
    """Begins the means anew. UsageError as `metrics`."""
    for slots in _sampled(rule, layout):
        for name in sums_of(rule.metrics):
            slots[name].assign(ops.zeros(slots[name].shape, slots[name].dtype))


def _sampled(rule: RuleInfo, layout: Layout) -> Sequence[Mapping[str, Variable]]:
    return sampled(rule.class_name, rule.metrics, lambda: layout.slots)


class MetricsCallback(_Callback):
    """At the end of every epoch keeps the means of the optimizer's metrics in `history`, a list of each by name.

    With `writer`, anything that has `add_scalar(tag, value, step)` as TensorBoard's `SummaryWriter`, writes them too,
    as `prefix/name` (the rule's name unless given). `reset_each_epoch` begins the means anew. Raises UsageError, before
    the first epoch, for an optimizer without metrics.
    """

    def __init__(
        self, writer: ScalarWriter | None = None, *, reset_each_epoch: bool = True, prefix: str | None = None
    ) -> None:
        _Callback.__init__(self)
        self.writer, self.reset_each_epoch, self.prefix = writer, reset_each_epoch, prefix
        self.history: dict[str, list[float]] = {}

    def on_train_begin(self, logs: object = None) -> None:  # noqa: ARG002  # as Keras calls it
        """Starts anew."""
        optimizer: object = self.model.optimizer
        rule: RuleInfo | None = getattr(optimizer, "RULE", None)
        if rule is None or not rule.metrics:
            raise UsageError(f"{type(optimizer).__name__} has no metrics")
        self.history = {name: [] for name in rule.metrics}

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:  # noqa: ARG002  # as Keras calls it
        """Reads the means."""
        optimizer: Any = self.model.optimizer
        for name, value in optimizer.metrics().items():
            self.history[name].append(value)
            if self.writer is not None:
                self.writer.add_scalar(f"{self.prefix or optimizer.RULE.name}/{name}", value, epoch)
        if self.reset_each_epoch:
            optimizer.reset_metrics()
