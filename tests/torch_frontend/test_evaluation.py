"""Weights to evaluate with: set from what the rule keeps, and taken back to the bit."""

from __future__ import annotations

import copy
import importlib
import pickle
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import optgen
from optgen.errors import BackendError, StateError, UsageError
from optgen.runtime.torch_optimizer import Optimizer
from optgen.spec.loader import cases, load, loads
from tests.cli.support import optgen as run

AVERAGED = [name for name in cases() if load(name).evaluate is not None]
SHAPES = [(5, 3), (7,), (), (0, 2), (2, 3, 2)]


def parameters(dtype: torch.dtype = torch.float64) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(1)
    return [
        torch.nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)) for shape in SHAPES
    ]


def trained(rule: str, dtype: torch.dtype = torch.float64, backend: str | None = None, **given: Any) -> Optimizer:
    """An optimizer after six steps, with gradients missing now and then."""
    optimizer = optgen.compile(rule, backend=backend)(parameters(dtype), lr=0.1, **given)  # type: ignore[call-arg]
    train(optimizer, 6)
    return optimizer


def train(optimizer: Optimizer, steps: int) -> None:
    generator = torch.Generator().manual_seed(2)
    for number in range(steps):
        for i, p in enumerate(params_of(optimizer)):
            g = torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p.dtype)
            p.grad = None if (number + i) % 4 == 3 else g
        optimizer.step()


def params_of(optimizer: Optimizer) -> list[torch.Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def weights(optimizer: Optimizer) -> list[torch.Tensor]:
    return [p.detach().clone() for p in params_of(optimizer)]


def state(optimizer: Optimizer) -> list[Mapping[str, torch.Tensor]]:
    return [{key: value.clone() for key, value in optimizer.state[p].items()} for p in params_of(optimizer)]


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def average(optimizer: Optimizer) -> list[torch.Tensor]:
    return [optimizer.state[p]["ema_average"].to(p.dtype) for p in params_of(optimizer)]


def free(optimizer: Optimizer) -> list[torch.Tensor]:
    """The average in the middle, from the parameters and what the rule steps."""
    return [(p.detach() - 0.25 * optimizer.state[p]["schedule_free_z"]) / 0.75 for p in params_of(optimizer)]


EXPECTED: dict[str, tuple[dict[str, Any], Callable[[Optimizer], list[torch.Tensor]]]] = {
    "adamw+ema": ({"ema_decay": 0.5}, average),
    "adam+schedule_free": ({"betas": (0.0, 0.9), "schedule_free_beta": 0.75}, free),
}


@pytest.mark.parametrize("backend", ["numba", "reference"])
@pytest.mark.parametrize("rule", EXPECTED)
def test_what_they_are(rule: str, backend: str) -> None:
    given, expected = EXPECTED[rule]
    optimizer = trained(rule, backend=backend, **given)
    wanted, kept = expected(optimizer), state(optimizer)
    with optimizer.evaluation_weights():
        assert optimizer.evaluating
        for p, e in zip(params_of(optimizer), wanted, strict=True):
            torch.testing.assert_close(p.detach(), e, rtol=1e-14, atol=1e-14)
        assert any(not torch.equal(p, e) for p, e in zip(params_of(optimizer), parameters(), strict=True))
    for before, after in zip(kept, state(optimizer), strict=True):
        assert all(torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize("rule", AVERAGED)
def test_training_goes_on_to_the_bit(rule: str) -> None:
    plain, twin = trained(rule, torch.float32), trained(rule, torch.float32)
    before = weights(twin)
    memory = [p.data_ptr() for p in params_of(twin)]
    twin.eval()
    assert not same(weights(twin), before)
    twin.eval()
    twin.train()
    twin.train()
    assert same(weights(twin), before)
    assert [p.data_ptr() for p in params_of(twin)] == memory
    train(plain, 3)
    train(twin, 3)
    assert same(weights(plain), weights(twin))
    assert plain.global_step == twin.global_step == 9


@pytest.mark.parametrize("rule", AVERAGED)
def test_before_the_first_step_they_are_the_weights(rule: str) -> None:
    optimizer = optgen.compile(rule)(parameters())  # type: ignore[call-arg]
    with optimizer.evaluation_weights():
        for p, e in zip(params_of(optimizer), parameters(), strict=True):
            torch.testing.assert_close(p, e, rtol=1e-14, atol=1e-14)


def test_a_scheduled_average_against_the_published_recursion() -> None:
    """z moves by the rule, x is the weighted mean of z, y lies between them; all three kept, as in the paper."""
    beta, lr = 0.8, 0.2
    optimizer = optgen.compile("sgd+schedule_free+warmup")(  # type: ignore[call-arg]
        [p := torch.nn.Parameter(torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64))],
        lr=lr,
        schedule_free_beta=beta,
        warmup_steps=4,
        warmup_start=0.25,
    )
    x = z = y = p.detach().numpy().copy()
    total = largest = 0.0
    rng = np.random.default_rng(3)
    for number in range(12):
        g = rng.normal(size=3)
        p.grad = torch.from_numpy(g)
        optimizer.step()
        rate = lr * (0.25 + 0.75 * min(number / 4, 1))
        largest = max(largest, rate)
        total += largest**2
        z = z - rate * g
        c = largest**2 / total
        x = (1 - c) * x + c * z
        y = (1 - beta) * z + beta * x
        np.testing.assert_allclose(p.detach().numpy(), y, rtol=1e-13)
        with optimizer.evaluation_weights():
            np.testing.assert_allclose(p.detach().numpy(), x, rtol=1e-12)


@pytest.mark.parametrize("backend", ["numba", "reference"])
def test_counters_are_those_of_the_last_step(backend: str) -> None:
    text = "optgen: 1\nname: counting\ntitle: Counting\nhyper: {lr: {default: 0.5}}\neval: 0*param + t + 100*step\n"
    optimizer = optgen.compile(loads(text), backend=backend)(params := parameters())  # type: ignore[call-arg]
    for number in range(4):
        with optimizer.evaluation_weights():
            done = [number - (number > 2 and i == 1) for i in range(len(params))]
            for p, t in zip(params, done, strict=True):
                assert torch.equal(p.detach(), torch.full_like(p, t + 100.0 * number))
        for i, p in enumerate(params):
            p.grad = None if (number, i) == (2, 1) else torch.ones_like(p)
        optimizer.step()


def test_what_needs_the_training_weights_is_refused_meanwhile() -> None:
    optimizer = trained("adamw+ema")
    saved = optimizer.state_dict()
    optimizer.eval()
    held, kept = weights(optimizer), state(optimizer)
    for what, call in {
        "step()": optimizer.step,
        "state_dict()": optimizer.state_dict,
        "load_state_dict()": lambda: optimizer.load_state_dict(saved),
        "add_param_group()": lambda: optimizer.add_param_group({"params": parameters()}),
        "pickling": lambda: pickle.dumps(optimizer),
        "pickling ": lambda: copy.deepcopy(optimizer),
    }.items():
        with pytest.raises(UsageError, match=rf"^{what.strip().replace('()', r'[(][)]')} needs the weights that train"):
            call()
    assert same(weights(optimizer), held)
    assert all(torch.equal(a[k], b[k]) for a, b in zip(kept, state(optimizer), strict=True) for k in a)
    optimizer.train()
    optimizer.step()


def test_an_exception_inside_gives_the_weights_back() -> None:
    optimizer = trained("adamw+ema")
    before = weights(optimizer)
    with pytest.raises(ZeroDivisionError), optimizer.evaluation_weights(), optimizer.evaluation_weights():
        raise ZeroDivisionError
    assert same(weights(optimizer), before)
    assert not optimizer.evaluating


def test_what_was_written_meanwhile_is_not_lost_in_silence() -> None:
    optimizer = trained("adamw+ema")
    before = weights(optimizer)
    optimizer.eval()
    with torch.no_grad():
        params_of(optimizer)[1].fill_(7.0)
    with pytest.raises(StateError, match=r"parameter 1 \(shape \(7,\)\) was written .* train\(discard=True\)"):
        optimizer.train()
    assert optimizer.evaluating
    optimizer.train(discard=True)
    assert same(weights(optimizer), before)


def test_gradients_are_not_looked_at() -> None:
    optimizer = trained("adamw+ema")
    for p in params_of(optimizer):
        p.grad = torch.full_like(p, float("nan"))
    wanted = average(optimizer)
    with optimizer.evaluation_weights():
        assert same(weights(optimizer), wanted)
    optimizer.zero_grad()
    with optimizer.evaluation_weights():
        assert same(weights(optimizer), wanted)


def test_maximize_and_groups_of_their_own() -> None:
    cls = optgen.compile("adamw+ema")
    params = parameters()
    groups = [{"params": params[:2], "maximize": True, "ema_decay": 0.25}, {"params": params[2:], "lr": 0.2}]
    optimizer = cls(groups, ema_decay=0.5)  # type: ignore[call-arg]
    train(optimizer, 4)
    wanted = average(optimizer)
    with optimizer.evaluation_weights():
        assert same(weights(optimizer), wanted)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"master_weights": True}, {"stochastic_rounding": True}], ids=str)
def test_narrow_parameters(options: dict[str, Any]) -> None:
    optimizer = trained("adamw+ema", torch.bfloat16, ema_decay=0.5, **options)
    before, wanted, kept = weights(optimizer), average(optimizer), state(optimizer)
    with optimizer.evaluation_weights():
        assert same(weights(optimizer), wanted)
    assert same(weights(optimizer), before)
    assert all(torch.equal(a[k], b[k]) for a, b in zip(kept, state(optimizer), strict=True) for k in a)
    train(optimizer, 1)


def test_a_rule_without_them_says_so() -> None:
    optimizer = optgen.compile("adamw")(parameters())  # type: ignore[call-arg]
    for call in (optimizer.eval, optimizer.evaluation_weights().__enter__):
        with pytest.raises(UsageError, match="AdamW has no weights of its own to evaluate with"):
            call()
    optimizer.train()
    with pytest.raises(UsageError, match="adamw has no weights of its own to evaluate with"):
        load("adamw#eval")


def test_a_build_folder_holds_their_kernels(tmp_path: Path) -> None:
    result = run("build", "adamw+ema", "--dtype", "float32", "--out", str(tmp_path))
    assert result.exit_code == 0, result.output
    text = (tmp_path / "adamw_ema" / "evaluation_numba_float32.py").read_text(encoding="utf-8")
    assert "ema_average" in text
    assert "optgen build adamw+ema " in text
    sys.path.insert(0, str(tmp_path))
    try:
        cls = importlib.import_module("adamw_ema.torch").AdamWEma
    finally:
        sys.path.remove(str(tmp_path))
    optimizer = cls(parameters(torch.float32), lr=0.1, ema_decay=0.5)
    train(optimizer, 2)
    wanted = average(optimizer)
    with optimizer.evaluation_weights():
        assert same(weights(optimizer), wanted)
    (tmp_path / "adamw_ema" / "evaluation_numba_float32.py").unlink()
    with pytest.raises(BackendError, match=r"build them with `optgen build \S+/adamw_ema/adamw_ema\.yaml "):
        cls(parameters(torch.float32)).eval()
    result = run("explain", "adamw+ema#eval", "--format", "json")
    assert '"bytes_per_param": 8' in result.stdout
