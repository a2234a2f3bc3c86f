"""What the optimizers of every framework that holds weights say and do of weights to evaluate with."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator
from contextlib import contextmanager

from optgen.errors import UsageError
from optgen.runtime.rule_info import RuleInfo


class EvaluationBlock:
    """An optimizer that swaps weights between `eval()` and `train()`."""

    @property
    @abstractmethod
    def evaluating(self) -> bool:
        """Whether the weights to evaluate with are set."""

    @abstractmethod
    def eval(self) -> None:
        """Sets the weights to evaluate with."""

    @abstractmethod
    def train(self, *, discard: bool = False) -> None:
        """Puts back the weights that train."""

    @contextmanager
    def evaluation_weights(self) -> Generator[None]:
        """`with optimizer.evaluation_weights(): ...`: the weights to evaluate with inside, those that train outside.

        Inside another such block, and between `eval()` and `train()`, it changes nothing.
        """
        if self.evaluating:
            yield
            return
        self.eval()
        try:
            yield
        finally:
            self.train()


def rule_of(rule: RuleInfo) -> RuleInfo:
    """The rule that sets the weights to evaluate with. UsageError where there is none."""
    if rule.evaluation is None:
        raise UsageError(f"{rule.class_name} has no weights of its own to evaluate with: its rule has no `eval:`")
    return rule.evaluation


def check_training(evaluating: bool, rule: RuleInfo, what: str) -> None:
    """UsageError for what needs the weights that train, while others are set."""
    if evaluating:
        raise UsageError(
            f"{what} needs the weights that train, and those to evaluate with are set: call train() of this "
            f"{rule.class_name} before"
        )


def overwritten(what: str) -> str:
    """Says that weights were written while they were those to evaluate with."""
    return (
        f"{what} was written while it held the weights to evaluate with, and train() would undo that: write it after "
        "train(), or call train(discard=True)"
    )
