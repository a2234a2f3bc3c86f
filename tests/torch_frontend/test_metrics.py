"""Metrics of a rule in torch: sums of samples in the state, read and logged when asked for."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch

from optgen.api import compile as compile_rule
from optgen.errors import UsageError
from optgen.runtime.metrics import means, sum_of
from optgen.runtime.torch_optimizer import Optimizer
from optgen.spec.loader import load, shipped
from optgen.verify import Reference

RULES = [name for name in shipped() if load(name).metrics]
STEPS = 7
SHAPES = {"0.weight": (5, 4), "0.bias": (5,), "1.weight": (3, 5)}


class Writer:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, float, int]] = []

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        self.rows.append((tag, scalar_value, global_step))


def trained(name: str, steps: int = STEPS, **given: object) -> tuple[Optimizer, list[list[torch.Tensor]]]:
    """An optimizer after some steps, and the gradients of each."""
    generator = torch.Generator().manual_seed(5)
    params = [(key, torch.nn.Parameter(torch.randn(shape, generator=generator))) for key, shape in SHAPES.items()]
    opt = compile_rule(name, framework="torch")(params, **given)
    stream = [[torch.randn(p.shape, generator=generator) for _, p in params] for _ in range(steps)]
    for grads in stream:
        for (_, param), g in zip(params, grads, strict=True):
            param.grad = g
        opt.step()
    return opt, stream


@pytest.mark.parametrize("name", RULES)
def test_means_are_those_of_the_reference(name: str) -> None:
    opt, stream = trained(name, metrics_interval=2)
    generator = torch.Generator().manual_seed(5)
    start = {key: torch.randn(shape, generator=generator).double().numpy() for key, shape in SHAPES.items()}
    reference = Reference(load(name), start, {"metrics_interval": 2})
    for grads in stream:
        reference.step([g.double().numpy() for g in grads])
    names = ["metric_samples", *(sum_of(metric.name) for metric in load(name).metrics)]
    sums = {each: reference.state(each) for each in names}
    assert all(float(x) == (STEPS + 1) // 2 for x in sums["metric_samples"].values())
    wanted = means(opt.RULE.metrics, [{each: float(sums[each][key]) for each in names} for key in SHAPES])
    found = opt.metrics()
    assert list(found) == [metric.name for metric in load(name).metrics]
    np.testing.assert_allclose(list(found.values()), list(wanted.values()), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", RULES)
def test_samples_change_nothing_and_none_cost_nothing(name: str) -> None:
    with_samples, _ = trained(name, metrics_interval=3)
    without, _ = trained(name)
    for a, b in zip(with_samples.param_groups[0]["params"], without.param_groups[0]["params"], strict=True):
        assert torch.equal(a, b)
    assert not any(key.startswith("metric_") for slots in without.state.values() for key in slots)
    with pytest.raises(UsageError, match="metrics_interval=10"):
        without.metrics()


def test_reset_save_and_go_on() -> None:
    opt, _ = trained(RULES[0], metrics_interval=1)
    saved, before = deepcopy(opt.state_dict()), opt.metrics()
    opt.reset_metrics()
    assert opt.metrics() == {}
    opt.load_state_dict(saved)
    assert opt.metrics() == before


def test_logging() -> None:
    opt, stream = trained(RULES[0], steps=1, metrics_interval=1)
    writer = Writer()
    handle = opt.log_metrics(writer, every=3, prefix="run")
    params = opt.param_groups[0]["params"]
    for _ in range(5):
        for param, g in zip(params, stream[0], strict=True):
            param.grad = g
        opt.step()
    assert [(tag, step) for tag, _, step in writer.rows] == [
        (f"run/{metric.name}", step) for step in (3, 6) for metric in load(RULES[0]).metrics
    ]
    handle.remove()
    opt.step()
    with pytest.raises(UsageError, match="at least 1; got 0"):
        opt.log_metrics(writer, every=0)


def test_a_rule_without_metrics_says_so() -> None:
    opt, _ = trained("adamw", steps=0)
    with pytest.raises(UsageError, match="AdamW has no metrics"):
        opt.metrics()
