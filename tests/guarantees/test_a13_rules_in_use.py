"""A13, several rules in one optimizer: which of them a parameter gets is said, and so is one that none gets."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch

import optgen

TEXT = """
optgen: 1
name: mixed
title: Sign steps for matrices, another rule for the rest
hyper: {lr: {default: 0.1, domain: ">= 0"}}
when: ndim(param) >= 2
else: adamw
update: param = param - lr*sign(g)
"""


def parameters(*shapes: tuple[int, ...]) -> list[tuple[str, torch.nn.Parameter]]:
    return [(f"p{i}", torch.nn.Parameter(torch.ones(shape))) for i, shape in enumerate(shapes)]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> type:
    path: Path = tmp_path_factory.mktemp("rules") / "mixed.yaml"
    path.write_text(TEXT, encoding="utf-8")
    return optgen.compile(path)


def test_describe_says_which_rule_each_parameter_gets(mixed: type) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer = mixed(parameters((2, 3), (3,)))
    assert [report.rule for report in optimizer.describe()] == ["mixed", "adamw"]


def test_a_rule_that_no_parameter_gets_is_said(mixed: type) -> None:
    with pytest.warns(UserWarning, match='no parameter gets the rule "mixed"'):
        mixed(parameters((3,)))
    with pytest.warns(UserWarning, match='no parameter gets the rule "adamw"'):
        mixed(parameters((2, 3)))


def test_a_group_that_asks_for_a_rule_has_it(mixed: type) -> None:
    (_, matrix), (_, other) = parameters((2, 3), (2, 3))
    optimizer = mixed([{"params": [matrix]}, {"params": [other], "rule": "adamw"}])
    assert [report.rule for report in optimizer.describe()] == ["mixed", "adamw"]
