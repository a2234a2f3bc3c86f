"""A11: what is derived from hyper-parameters is derived from the groups as they are at each step."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from optgen.runtime.rule_info import HyperInfo, RuleInfo
from optgen.runtime.torch_optimizer import Optimizer
from tests.guarantees import shelf


def changed(rule: RuleInfo, hyper: HyperInfo) -> dict[str, Any] | None:
    """Arguments with another value of one number, neither neutral nor one that needs other kernels."""
    arguments = shelf.lively(rule)
    value = arguments[hyper.key] if hyper.index is None else arguments[hyper.key][hyper.index]
    if hyper.kind not in ("float", "int"):
        return None
    candidates = [value * 0.75, value * 1.25, value + 0.25] if hyper.kind == "float" else [value + 1, value + 2]
    for candidate in candidates:
        if candidate == value or (hyper.domain is not None and not hyper.domain.contains(candidate)):
            continue
        entries = list(arguments[hyper.key]) if hyper.index is not None else []
        if hyper.index is not None:
            entries[hyper.index] = candidate
        new = {**arguments, hyper.key: tuple(entries) if entries else candidate}
        if rule.settled(by_name(rule, new)) == rule.settled(by_name(rule, arguments)) and all(
            requirement.holds(by_name(rule, new)) for requirement in rule.require
        ):
            return new
    return None


def by_name(rule: RuleInfo, arguments: dict[str, Any]) -> dict[str, Any]:
    return {h.name: arguments[h.key] if h.index is None else arguments[h.key][h.index] for h in rule.hypers}


def cases() -> list[Any]:
    return [
        pytest.param(cls, hyper, id=f"{cls.__name__}-{hyper.name}")
        for cls in shelf.CLASSES
        for hyper in cls.RULE.hypers
        if hyper.name not in cls.RULE.structural and changed(cls.RULE, hyper) is not None
    ]


@pytest.mark.parametrize(("cls", "hyper"), cases())
def test_a_number_changed_in_the_groups_is_as_one_given_at_the_start(cls: type[Optimizer], hyper: HyperInfo) -> None:
    """Changed while training, against an optimizer made with it that has taken over the state."""
    new = changed(cls.RULE, hyper)
    assert new is not None
    named, live = shelf.trained(cls, 2)
    saved = copy.deepcopy(live.state_dict())  # its tensors are the live ones
    for group in [*saved["param_groups"], *live.param_groups]:
        group[hyper.key] = new[hyper.key]
    shelf.train(live, named, [2])

    again, _ = shelf.trained(cls, 2)
    made = shelf.make(cls, again, **{hyper.key: new[hyper.key]})
    made.load_state_dict(saved)
    shelf.train(made, again, [2])
    assert shelf.difference(shelf.everything(named, live), shelf.everything(again, made)) == []


@pytest.mark.parametrize("cls", shelf.CLASSES, ids=shelf.name_of)
def test_the_rate_matters(cls: type[Optimizer]) -> None:
    """The test above would pass if groups were never read."""
    named, optimizer = shelf.trained(cls, 1)
    other, changed_ = shelf.trained(cls, 1)
    changed_.param_groups[0]["lr"] *= 0.5
    shelf.train(optimizer, named, [1])
    shelf.train(changed_, other, [1])
    moved = shelf.difference(shelf.everything(named, optimizer), shelf.everything(other, changed_))
    assert {name for name, _ in named} & set(moved)  # not all are due at every step under every rule
