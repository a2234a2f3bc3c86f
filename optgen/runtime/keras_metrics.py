"""What a rule measures of itself while a Keras model trains: means when asked for, and a callback for every epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from optgen.errors import UsageError
from optgen.runtime.keras_layout import Layout, Variable
from optgen.runtime.keras_untyped import keras, ops
from optgen.runtime.metrics import INTERVAL, ScalarWriter, means, sums_of
from optgen.runtime.rule_info import RuleInfo

_Callback: Any = keras.callbacks.Callback


class Metrics:
    """The part of an optimizer that reads metrics; the sums are variables of its own, which every step adds to."""

    RULE: ClassVar[RuleInfo]

    def layout(self) -> Layout:
        """The rule laid out for the variables that the optimizer was built for."""
        raise UsageError(f"{type(self).__name__} is not built yet")

    def metrics(self) -> dict[str, float]:
        """Mean of each metric of the rule over variables and sampled steps since `reset_metrics()`, by name.

        Empty before the first sample. UsageError where the rule has no metrics, or none are taken (`metrics_interval`
        is 0, the default).
        """
        names = sums_of(self.RULE.metrics)
        found = [{name: float(ops.convert_to_numpy(slots[name])) for name in names} for slots in self._sampled()]
        return means(self.RULE.metrics, found)

    def reset_metrics(self) -> None:
        """Begins the means anew. UsageError as `metrics()`."""
        for slots in self._sampled():
            for name in sums_of(self.RULE.metrics):
                slots[name].assign(ops.zeros(slots[name].shape, slots[name].dtype))

    def _sampled(self) -> Sequence[Mapping[str, Variable]]:
        """The state of every variable that is sampled."""
        names = sums_of(self.RULE.metrics)
        if not names:
            raise UsageError(f"{type(self).__name__} has no metrics: its rule has no `metrics:`")
        found = [slots for slots in self.layout().slots if names[0] in slots]
        if not found:
            raise UsageError(f"{type(self).__name__} takes no samples: give {INTERVAL}=10, say, when making it")
        return found


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
