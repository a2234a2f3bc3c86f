"""Joined rules train a small network, save and go on, and say what they are."""

from __future__ import annotations

import io
import warnings
from typing import Any

import pytest
import torch

import optgen
from optgen.errors import SpecError
from optgen.spec.loader import load

#: Joined rules and their arguments; learning rates for sixty steps.
TRAINED: dict[str, dict[str, Any]] = {
    "lion+continuum_memory": {"lr": 0.01},
    "neat+depth_schedule": {"lr": 0.02, "depth_schedule_max_interval": 2},
    "adam+continuum_memory+depth_schedule": {"lr": 0.02, "betas": (0.0, 0.99), "depth_schedule_max_interval": 2},
    "clip_norm+adamw+cautious+lookahead+ema+warmup": {"lr": 0.05, "warmup_steps": 5, "clip_norm_limit": 5.0},
}


def network() -> torch.nn.Sequential:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.Tanh(), torch.nn.Linear(16, 16), torch.nn.Linear(16, 1))


@pytest.mark.slow
@pytest.mark.parametrize("rule", TRAINED)
def test_trains_and_goes_on_from_what_it_saved(rule: str) -> None:
    cls = optgen.compile(rule)
    model, twin = network(), network()
    optimizer = cls(model.named_parameters(), **TRAINED[rule])  # type: ignore[call-arg]
    x = torch.randn(64, 6)
    y = x[:, :1] * x[:, 1:2] + x[:, 2:3]

    def steps(model: torch.nn.Module, optimizer: torch.optim.Optimizer, count: int) -> list[float]:
        losses: list[float] = []
        for _ in range(count):
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    losses = steps(model, optimizer, 60)
    assert losses[-1] < 0.5 * losses[0]
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    twin.load_state_dict(saved["model"])
    again = cls(twin.named_parameters(), **TRAINED[rule])  # type: ignore[call-arg]
    again.load_state_dict(saved["optimizer"])
    assert steps(model, optimizer, 5) == steps(twin, again, 5)


def test_the_class_says_what_it_is_made_of() -> None:
    cls = optgen.compile("adamw+ema")
    assert cls.__name__ == "AdamWEma"
    assert cls.__doc__ is not None
    assert "ema_decay: decay of the average" in cls.__doc__
    assert "opt.evaluation_weights()" in cls.__doc__


def test_layers_are_spoken_of_where_they_matter() -> None:
    params = [torch.nn.Parameter(torch.ones(3)) for _ in range(2)]
    cls = optgen.compile("clip_norm+adamw")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cls(params)  # type: ignore[call-arg]
        cls(params, clip_norm_over="tensor")  # type: ignore[call-arg]
    with pytest.warns(UserWarning, match="works on layers, but the parameters have no names") as caught:
        cls(params, clip_norm_over="layer")  # type: ignore[call-arg]
    assert caught[0].filename == __file__


def test_probe_is_refused_by_its_place(tmp_path: Any) -> None:
    text = "optgen: 1\nname: far\ntitle: Far\nkind: transform\nprobe: |\n  param = param + g\n"
    (tmp_path / "far.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(SpecError, match=r"far\.yaml:6:3: error: the probe stage is not built yet"):
        optgen.compile(load(f"sgd+{tmp_path}/far.yaml"))
