"""What `metrics:` adds to a rule."""

from __future__ import annotations

import numpy as np
import pytest

from optgen.errors import SpecError
from optgen.explain import explain
from optgen.spec.loader import combine, load, loads, shipped
from optgen.verify import Reference

RULE = """
optgen: 1
name: plain
title: A plain rule
hyper: {{lr: {{default: 0.1}}{hyper}}}
state: {{m: zeros_like(param){state}}}
direction: |
  m = 0.9*m + g
  d = m
metrics: {{length: 'norm(d, over="tensor")'}}
"""


def test_a_rule_with_metrics_has_an_interval_and_sums() -> None:
    spec = loads(RULE.format(hyper="", state=""))
    assert [*spec.hypers] == ["lr", "metrics_interval"]
    assert [*spec.states] == ["m", "metric_samples", "metric_length"]


@pytest.mark.parametrize("name", [name for name in shipped() if load(name).metrics])
def test_none_are_kept_by_default(name: str) -> None:
    assert not [state for state in explain(load(name))["state"] if state.startswith("metric_")]


def test_of_a_joined_rule() -> None:
    spec = combine([loads(RULE.format(hyper="", state="")), load("clip_value")])
    assert [*spec.states].count("metric_length") == 1
    assert spec.stages["update"][-1].text.startswith("if metrics_interval > 0")


@pytest.mark.parametrize(
    ("hyper", "state", "name"),
    [(", metrics_interval: {default: 1}", "", "metrics_interval"), ("", ", metric_length: 0.0", "metric_length")],
)
def test_names_that_metrics_take(hyper: str, state: str, name: str) -> None:
    with pytest.raises(SpecError, match=rf'<text>:\d+:\d+: error: "{name}" is a name that metrics take'):
        loads(RULE.format(hyper=hyper, state=state))


def test_a_metric_per_element_is_refused_where_it_stands() -> None:
    with pytest.raises(SpecError, match=r"<text>:10:\d+: error: metric_length holds one number per tensor"):
        explain(loads(RULE.format(hyper="", state="").replace("'norm(d, over=\"tensor\")'", "d")))


def test_tensors_of_another_rule_have_no_samples() -> None:
    text = RULE.format(hyper="", state="") + "when: ndim(param) >= 2\nelse: sgd\n"
    reference = Reference(loads(text), {"a": np.ones((2, 2)), "b": np.ones(2)}, {"metrics_interval": 1})
    reference.step({"a": np.full((2, 2), 2.0), "b": np.ones(2)})
    assert {name: float(x) for name, x in reference.state("metric_length").items()} == {"a": 4.0, "b": 0.0}
