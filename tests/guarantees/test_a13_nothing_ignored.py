"""A13: what was asked for is what runs: it can be seen, a pattern that matches nothing is an error, 0 is a value."""

from __future__ import annotations

from typing import Any

import pytest
from torch.nn import Parameter

from optgen.errors import BackendError, HyperError, UsageError
from optgen.runtime.rule_info import HyperInfo
from optgen.runtime.torch_optimizer import Optimizer
from tests.guarantees import shelf


@pytest.mark.parametrize("cls", shelf.CLASSES, ids=shelf.name_of)
def test_every_parameter_is_described(cls: type[Optimizer]) -> None:
    named = shelf.parameters()
    optimizer = shelf.make(cls, [{"params": named[:2]}, {"params": named[2:], "lr": 0.01}])  # type: ignore[arg-type]
    reports = optimizer.describe()
    assert [report.parameter for report in reports] == list(shelf.SHAPES)
    assert [report.group for report in reports] == [0, 0, 1, 1, 1, 1]
    assert {report.backend for report in reports} == {"numba"}
    assert {report.reach for report in reports} == {cls.RULE.reach}
    assert all(report.module in optimizer.source() for report in reports)
    table = str(reports).splitlines()
    assert len(table) == 1 + len(named)
    assert all(name in line for name, line in zip(shelf.SHAPES, table[1:], strict=True))


def zeros() -> list[Any]:
    found = []
    for cls in shelf.CLASSES:
        for hyper in cls.RULE.hypers:
            zero: bool | int | float = False if hyper.kind == "bool" else 0 if hyper.kind == "int" else 0.0
            allowed = hyper.kind in ("float", "int") and (hyper.domain is None or hyper.domain.contains(0))
            if allowed or hyper.kind == "bool":
                found.append(pytest.param(cls, hyper, zero, id=f"{cls.__name__}-{hyper.name}"))
    return found


@pytest.mark.parametrize(("cls", "hyper", "zero"), zeros())
def test_nothing_is_taken_for_not_given(cls: type[Optimizer], hyper: HyperInfo, zero: bool | int | float) -> None:
    """0, 0.0 and False reach the rule from arguments and from groups, where the default is another number."""
    arguments = shelf.lively(cls.RULE)
    value: Any = zero
    if hyper.index is not None:
        value = tuple(zero if i == hyper.index else entry for i, entry in enumerate(arguments[hyper.key]))
    given = {**arguments, hyper.key: value}
    params = [("h.0.weight", Parameter(shelf.parameters()[0][1].detach()))]
    for made in (
        lambda: cls(params, **given, backend="reference"),
        lambda: cls([{"params": params, hyper.key: value}], **arguments, backend="reference"),
    ):
        values = {h.name: v[h.index] if h.index is not None else v for h in cls.RULE.hypers for v in [given[h.key]]}
        if not all(requirement.holds(values) for requirement in cls.RULE.require):
            with pytest.raises(HyperError, match="breaks the condition"):
                made()
            continue
        optimizer = made()
        assert optimizer.param_groups[0][hyper.key] == value
        assert optimizer._current().plan.members[0].hypers[hyper.name] == zero  # pyright: ignore[reportPrivateUsage]


def patterns() -> list[Any]:
    found = []
    for cls in shelf.CLASSES:
        rule = cls.RULE
        arguments = [hyper.per_parameter for hyper in rule.hypers if hyper.per_parameter]
        arguments += ["players"] if rule.layers else []
        arguments += ["depths"] if rule.depth else []
        found += [pytest.param(cls, argument, id=f"{cls.__name__}-{argument}") for argument in arguments]
    return found


@pytest.mark.parametrize(("cls", "argument"), patterns())
def test_a_pattern_that_matches_no_parameter_is_an_error(cls: type[Optimizer], argument: str) -> None:
    value = "other" if argument == "players" else 1
    with pytest.raises(UsageError, match=r'names "h.7.\*", which no parameter matches'):
        shelf.make(cls, shelf.parameters(), **{argument: {"h.7.*": value}})


@pytest.mark.parametrize("cls", shelf.CLASSES, ids=shelf.name_of)
def test_a_backend_that_cannot_serve_is_an_error(cls: type[Optimizer]) -> None:
    with pytest.raises(BackendError, match=r'backend "tryton" is not installed'):
        cls(shelf.parameters(), backend="tryton")


@pytest.mark.parametrize("cls", shelf.CLASSES, ids=shelf.name_of)
def test_unknown_arguments_are_errors_in_calls_and_in_groups(cls: type[Optimizer]) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        cls(shelf.parameters(), weight_decoy=0.1)  # type: ignore[call-arg]
    for hyper in cls.RULE.hypers:
        if len(hyper.key) > 4:
            wrong = hyper.key[:2] + hyper.key[3:]
            with pytest.raises(HyperError, match=f'"{wrong}" is no argument of {cls.RULE.class_name}; did you mean'):
                cls([{"params": shelf.parameters(), wrong: 1}], backend="reference")
