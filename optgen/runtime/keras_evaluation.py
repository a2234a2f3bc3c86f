"""Weights to evaluate a Keras model with, in place of those that train: whatever the rule's `eval:` says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from optgen.errors import StateError, UsageError
from optgen.runtime import array_modules, array_step, evaluation
from optgen.runtime.array_program import Value
from optgen.runtime.array_step import Plan, Row
from optgen.runtime.keras_arrays import ARRAYS, number, unrecorded
from optgen.runtime.keras_layout import Layout, Part, Variable
from optgen.runtime.keras_untyped import keras, ops
from optgen.runtime.rule_info import RuleInfo

if TYPE_CHECKING:
    from optgen.runtime.keras_optimizer import Optimizer

_Callback: Any = keras.callbacks.Callback
Tensor: TypeAlias = Any


class Evaluation:
    """The weights that train, kept while the variables of an optimizer hold those to evaluate with.

    `known` says that the latter were set here, so that what is written over them is found.
    """

    def __init__(self) -> None:
        self.held: list[Tensor] | None = None
        self.known = False

    def begin(self, optimizer: Optimizer) -> None:
        """Sets the variables to the weights to evaluate with. UsageError where the rule has no `eval:`."""
        rule, layout = evaluation.rule_of(optimizer.RULE), optimizer.layout()
        if self.held is not None:
            return
        with unrecorded():
            variables: Sequence[Variable] = optimizer._trainable_variables
            kept = [ops.copy(ops.convert_to_tensor(variable)) for variable in variables]
            new = _evaluated(rule, layout, _values(optimizer), number(optimizer.iterations), kept)
            self.held, self.known = kept, True
            for variable, value in zip(variables, new, strict=True):
                variable.assign(ops.copy(value))  # which may be the state itself: JAX gives memory away

    def end(self, optimizer: Optimizer, *, discard: bool) -> None:
        """Puts back the weights that train. StateError if others were written meanwhile, unless they may be lost."""
        held, variables = self.held, optimizer._trainable_variables
        if held is None:
            return
        with unrecorded():
            if self.known and not discard:
                self._check_unwritten(optimizer, held)
            for variable, value in zip(variables, held, strict=True):
                variable.assign(value)
        self.held = None

    def take(self, held: Sequence[Tensor]) -> None:
        """Goes on from a file that was written while the variables held the weights to evaluate with."""
        self.held, self.known = list(held), False

    def _check_unwritten(self, optimizer: Optimizer, held: Sequence[Tensor]) -> None:
        rule, layout = optimizer.RULE.evaluation, optimizer.layout()
        assert rule is not None
        expected = _evaluated(rule, layout, _values(optimizer), number(optimizer.iterations), held)
        for path, variable, value in zip(layout.paths, optimizer._trainable_variables, expected, strict=True):
            found, wanted = ops.convert_to_numpy(variable), ops.convert_to_numpy(value)
            if not np.array_equal(found, wanted, equal_nan=True):
                raise StateError(evaluation.overwritten(f'"{path}" or its state'))


def _values(optimizer: Optimizer) -> dict[str, Value]:
    return {**optimizer.hypers(), "lr": number(optimizer.learning_rate)}


def _evaluated(
    rule: RuleInfo, layout: Layout, values: Mapping[str, Value], steps: Value, weights: Sequence[Tensor]
) -> list[Tensor]:
    """The weights of a rule that sets those to evaluate with; variables that have no step keep theirs."""
    found = list(weights)
    groups: dict[str, list[tuple[int, Part]]] = {}
    for i, part in enumerate(layout.parts):
        if part is not None:
            own = {**values, **layout.own(i)}
            key = repr([(hyper.name, own[hyper.name]) for hyper in rule.hypers if hyper.name != "lr"])
            groups.setdefault(key, []).append((i, part))
    for members in groups.values():
        known = {**values, **layout.own(members[0][0])}
        static = {hyper.name: known[hyper.name] for hyper in rule.hypers}
        program = array_modules.find(rule, rule.settled(static, False, layout.coupling), static, "keras")
        rows = [_row(layout, i, weights[i]) for i, _ in members]
        plan = Plan(ARRAYS, rule, program, [part.leaf for _, part in members], None)
        shared = {**{hyper.name: values[hyper.name] for hyper in rule.hypers}, "step": steps}
        for (i, _), new in zip(members, array_step.step(plan, rows, shared), strict=True):
            found[i] = new["param"]
    return found


def _row(layout: Layout, index: int, weight: Tensor) -> Row:
    """What a function sees of a variable: its state as it is, and counts as they were in the last step."""
    row: Row = {"param": weight, "g": weight}  # no gradient is read
    row |= {name: ops.convert_to_tensor(variable) for name, variable in layout.slots[index].items()}
    if layout.updates is not None:
        row["updates"] = ops.convert_to_tensor(layout.updates)[index] - 1
    return row


class EvaluationWeightsCallback(_Callback):
    """Evaluates and predicts with the weights of the optimizer's `evaluation_weights()`, as Keras's `SwapEMAWeights`
    does with its averages. With `swap_on_epoch` callbacks behind it, such as `ModelCheckpoint`, see them at the end of
    an epoch, too. Raises UsageError, before anything is trained or evaluated, for an optimizer without such weights.
    """

    def __init__(self, *, swap_on_epoch: bool = False) -> None:
        _Callback.__init__(self)
        self.swap_on_epoch = swap_on_epoch

    def on_train_begin(self, logs: object = None) -> None:  # noqa: ARG002  # as Keras calls it
        """Refuses an optimizer that has no such weights."""
        self._optimizer()

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:  # noqa: ARG002
        """Training goes on."""
        self._optimizer().train()

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:  # noqa: ARG002
        """For the callbacks behind."""
        if self.swap_on_epoch:
            self._optimizer().eval()

    def on_train_end(self, logs: object = None) -> None:  # noqa: ARG002
        """The model keeps the weights that train."""
        self._optimizer().train()

    def on_test_begin(self, logs: object = None) -> None:  # noqa: ARG002
        """Sets the weights to evaluate with."""
        self._optimizer().eval()

    def on_test_end(self, logs: object = None) -> None:  # noqa: ARG002
        """Puts back those that train."""
        self._optimizer().train()

    def on_predict_begin(self, logs: object = None) -> None:  # noqa: ARG002
        """Sets the weights to evaluate with."""
        self._optimizer().eval()

    def on_predict_end(self, logs: object = None) -> None:  # noqa: ARG002
        """Puts back those that train."""
        self._optimizer().train()

    def _optimizer(self) -> Any:
        optimizer: Any = self.model.optimizer
        found = getattr(optimizer, "inner_optimizer", optimizer)  # of a loss scaler
        rule: RuleInfo | None = getattr(found, "RULE", None)
        if rule is None or rule.evaluation is None:
            raise UsageError(f"{type(found).__name__} has no weights of its own to evaluate with")
        return found
