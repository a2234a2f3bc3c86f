"""C1: a thousand steps with every number changing compile once per dtype, rule and option, and never again."""

from __future__ import annotations

from typing import Any

import numba
import pytest
import torch

from optgen.runtime import modules, rule_info
from optgen.runtime.torch_optimizer import Optimizer
from tests.guarantees import counting, shelf, spread


def changed(value: Any, step: int) -> Any:
    """Another number of the same kind and side of 0."""
    if isinstance(value, tuple):
        return tuple(changed(entry, step) for entry in value)
    if isinstance(value, torch.Tensor):
        return value * 0.999
    return value * (1 - 1e-4 * (step % 7)) if isinstance(value, float) else value


@pytest.mark.parametrize("cls", spread.SPREAD, ids=shelf.name_of)
def test_a_thousand_steps_compile_once(cls: type[Optimizer], monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[tuple[str, str]] = []
    whole = modules.find

    def find(rule: rule_info.RuleInfo, settled: rule_info.Settled, dtype: str, *rest: Any) -> Any:
        found.append((dtype, str(sorted(settled.items()))))
        return whole(rule, settled, dtype, *rest)

    monkeypatch.setattr(modules, "find", find)
    named, more = shelf.parameters(), shelf.parameters(torch.float64, seed=1)
    every = named + [(f"x.{name}", param) for name, param in more]
    optimizer = shelf.make(cls, every)
    assert sorted(found) == sorted(set(found)), "looked for once each"
    assert {dtype for dtype, _ in found} == {"float32", "float64"}
    shelf.train(optimizer, every, range(2))
    made, bound = len(found), optimizer._binding
    keys = {hyper.key for hyper in cls.RULE.hypers}
    start = dict(optimizer.param_groups[0])
    with counting.compiles() as compiled:
        for step in range(2, 1002):
            group = optimizer.param_groups[0]
            group.update({key: changed(start[key], step) for key in keys})
            if step % 100 == 0:
                shelf.gradients(every, step, missing=[every[step // 100 % len(every)][0]])
            optimizer.step(**shelf.inputs(cls.RULE, step))
    assert compiled == []
    assert len(found) == made
    assert optimizer._binding is bound
    assert optimizer.global_step == 1002


def test_the_counter_of_compiles_counts() -> None:
    def nothing(n: Any) -> None:
        pass

    with counting.compiles() as compiled:
        numba.cfunc("void(int64)")(nothing)
    assert [name.rpartition(".")[2] for name in compiled] == ["nothing"]
