"""Weights to evaluate with, in place of those that train: an average of them, or whatever the rule's `eval:` says."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any, ClassVar, cast

import torch
from torch import Tensor

from optgen.errors import StateError
from optgen.runtime import evaluation
from optgen.runtime.rule_info import MAXIMIZE, RuleInfo
from optgen.runtime.torch_binding import Binding
from optgen.runtime.torch_groups import Group, Options, flat
from optgen.runtime.torch_plan import plan
from optgen.runtime.torch_state import STEP, Slots

_VERSION = attrgetter("_version")


class _Held:
    """The weights that train, kept while the parameters hold others, whose `versions` are as they were set."""

    def __init__(self, params: Sequence[Tensor]) -> None:
        self.params = list(params)
        with torch.no_grad():
            self.weights = [param.detach().clone() for param in params]
        self.versions: list[int] = []

    def restore(self) -> None:
        """Puts every weight back, to the bit."""
        with torch.no_grad():
            for param, weight in zip(self.params, self.weights, strict=True):
                param.copy_(weight)


class EvaluationWeights(evaluation.EvaluationBlock, ABC):
    """The part of an optimizer that swaps weights. It adds nothing to a step, and holds a copy of the weights between
    `eval()` and `train()` only."""

    RULE: ClassVar[RuleInfo]
    param_groups: list[Group]
    _options: Options
    _held: _Held | None = None

    @property
    def evaluating(self) -> bool:
        """Whether the parameters hold the weights to evaluate with."""
        return self._held is not None

    def eval(self) -> None:
        """Sets the parameters to the weights to evaluate with, until `train()`. Nothing happens if they are set.

        Until then `step`, `state_dict`, `load_state_dict`, `add_param_group` and pickling raise UsageError: what they
        would use or save are not the weights that train. A model's own `state_dict()` holds what the parameters hold.
        UsageError where the rule has no `eval:`.
        """
        self._check_whole()
        rule = evaluation.rule_of(self.RULE)
        if self._held is not None:
            return
        binding = self._bound_to_evaluate(rule)
        held = _Held(flat(self.param_groups))
        try:
            binding.run(self.global_step)
        except BaseException:
            held.restore()
            raise
        held.versions = list(map(_VERSION, held.params))
        self._held = held

    def train(self, *, discard: bool = False) -> None:
        """Puts back the weights that train, to the bit. Nothing happens if they are there.

        StateError if parameters were written meanwhile, as by loading a model's state: that would be lost. `discard`
        says that it may be.
        """
        held = self._held
        if held is None:
            return
        if not discard:
            self._check_unwritten(held)
        held.restore()
        self._held = None

    def _check_unwritten(self, held: _Held) -> None:
        for number, (param, version) in enumerate(zip(held.params, held.versions, strict=True)):
            if param._version != version:
                raise StateError(evaluation.overwritten(f"parameter {number} (shape {tuple(param.shape)})"))

    def _check_training(self, what: str) -> None:
        """UsageError while the parameters hold the weights to evaluate with."""
        evaluation.check_training(self.evaluating, self.RULE, what)

    @abstractmethod
    def _check_whole(self) -> None:
        """PartialStepError if an earlier step was cut while it stored, and no state was loaded since."""

    @property
    @abstractmethod
    def global_step(self) -> int:
        """Steps completed."""

    def _bound_to_evaluate(self, rule: RuleInfo) -> Binding:
        """The kernels that set the weights, tied to the parameters and the state they read; they store no state."""
        groups: list[Group] = [{**group, MAXIMIZE: False} for group in self.param_groups]
        options = replace(
            self._options, storage=replace(self._options.storage, stochastic_rounding=False, scaled=False)
        )
        made = plan(rule, groups, options)
        names = {info.name for info in rule.states}
        own: dict[Tensor, Slots] = {}
        for member in made.members:
            slots = cast(Mapping[str, Any], vars(self)["state"][member.param])
            own[member.param] = {name: value if name in names else _aside(name, value) for name, value in slots.items()}
        return Binding(made, groups, options, own)


def _aside(name: str, value: Tensor) -> Tensor:
    """A copy of what kernels store besides the weights; the count one less, for it is that of the step after."""
    return value.clone() - 1 if name == STEP else value.clone()
