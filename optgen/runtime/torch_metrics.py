"""What a rule measures of itself while it trains: read and logged when asked for, at no cost until then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from optgen.errors import UsageError
from optgen.runtime.metrics import ScalarWriter, means, sampled, sums_of
from optgen.runtime.rule_info import RuleInfo

if TYPE_CHECKING:
    from torch.utils.hooks import RemovableHandle


class Metrics(torch.optim.Optimizer):
    """The part of an optimizer that reads metrics. The kernels add samples to sums in the state, on its device; nothing
    waits for them before they are read."""

    RULE: ClassVar[RuleInfo]
    _global_step: int

    def metrics(self) -> dict[str, float]:
        """Mean of each metric of the rule over tensors and sampled steps since `reset_metrics()`, by name.

        Empty before the first sample. Waits for the device. UsageError where the rule has no metrics, or none are taken
        (`metrics_interval` is 0, the default).
        """
        return means(
            self.RULE.metrics, [{n: float(slots[n]) for n in sums_of(self.RULE.metrics)} for slots in self._sampled()]
        )

    def reset_metrics(self) -> None:
        """Begins the means anew. UsageError as `metrics()`."""
        for slots in self._sampled():
            for name in sums_of(self.RULE.metrics):
                slots[name].zero_()

    def log_metrics(self, writer: ScalarWriter, every: int = 100, prefix: str = "") -> RemovableHandle:
        """After every so many steps, writes the means as `prefix/name` (the rule's name unless given) and resets them.

        Returns a handle whose `remove()` ends it. UsageError as `metrics()`, and for an interval below 1.
        """
        if every < 1:
            raise UsageError(f"metrics are written every so many steps, at least 1; got {every}")
        self._sampled()
        tag = prefix or self.RULE.name

        def write(optimizer: torch.optim.Optimizer, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> None:
            if isinstance(optimizer, Metrics) and optimizer._global_step % every == 0:
                for name, value in optimizer.metrics().items():
                    writer.add_scalar(f"{tag}/{name}", value, optimizer._global_step)
                optimizer.reset_metrics()

        return self.register_step_post_hook(write)

    def _sampled(self) -> Sequence[Mapping[str, Any]]:
        """The state of every parameter that is sampled."""
        return sampled(self.RULE.class_name, self.RULE.metrics, self.state.values)
