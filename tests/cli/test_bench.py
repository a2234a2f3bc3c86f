"""`optgen bench`: what it prints and refuses. No test looks at a time."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from optgen.bench import run, sides
from optgen.commands.bench import SHAPES
from optgen.spec.loader import load
from tests.cli.support import optgen, write_rule

pytest.importorskip("torch")
QUICK = ["--repeats", "1", "--shapes", "many-small"]


@pytest.fixture(autouse=True)
def _short_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    short = [("a.weight", (4, 3)), ("a.bias", (4,)), ("b.weight", (4, 4))]
    monkeypatch.setattr(run, "LISTS", dict.fromkeys(run.LISTS, lambda: short))


def test_lists_have_the_names_that_the_command_offers() -> None:
    assert tuple(run.LISTS) == SHAPES


def test_a_table_and_a_picture(tmp_path: Path) -> None:
    plot = tmp_path / "b.png"
    result = optgen("bench", "lion", *QUICK, "--against", "torch,axpy,torch:Rprop", "--plot", plot)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("many-small: 32 parameters in 3 tensors, ")
    assert lines[1].split() == ["rule", "who", "ms/step", "GB/s", "optgen/who"]
    assert re.fullmatch(r"lion +optgen \(numba\) +[\d.]+ +[\d.]+", lines[2])
    assert re.fullmatch(r" +in-place axpy +[\d.]+ +[\d.]+ +[\d.]+x", lines[3])
    assert re.fullmatch(r" +torch Rprop foreach +[\d.]+ +[\d.]+x", lines[4])
    assert lines[5] == 'lion: torch has no "Lion"; name what to compare with: --against torch:NAME'
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_json_of_a_rule_of_ones_own(tmp_path: Path) -> None:
    rule = write_rule(tmp_path)
    result = optgen("bench", rule, *QUICK, "--against", "axpy", "--set", "style=signed", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert {"date", "machine", "versions", "device"} <= set(found)
    (row,) = found["rows"]
    assert (row["rule"], row["tensors"], row["elements"], row["bytes_per_param"]) == ("drifter", 3, 32, 12)
    ours, axpy = row["sides"]
    assert (ours["ratio"], ours["name"], axpy["name"]) == (1.0, "optgen (numba)", "in-place axpy")
    assert axpy["ratio"] == pytest.approx(ours["ms"] / axpy["ms"])
    assert ours["gigabytes_per_s"] == pytest.approx(12 * 32 / ours["ms"] / 1e6)


def test_a_peer_takes_the_same_values() -> None:
    spec = load("adamw")
    seen: dict[str, Any] = {}

    def record(case: sides.Case, _: str) -> sides.Side:
        made, how = sides._torch_optimizer(case, "", fused=True)
        seen.update(made.defaults, how=how, ours=case.given)
        raise sides.NoCounterpartError("recorded")

    given = {"beta2": 0.9, "weight_decay": 0.5, "lr": 0.25}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sides, "PEERS", {"torch": ((), "", record)})
        patch.setattr(run, "PEERS", sides.PEERS)
        options: dict[str, Any] = {"device": "cpu", "backend": "reference", "given": given, "repeats": 1}
        run.compare(spec, "tensor", [("torch", "")], **options)
    assert (seen["lr"], seen["betas"], seen["weight_decay"], seen["fused"]) == (0.25, (0.9, 0.9), 0.5, True)
    assert seen["ours"] == {"lr": 0.25, "betas": (0.9, 0.9), "weight_decay": 0.5}


@pytest.mark.skipif(importlib.util.find_spec("optax") is None, reason="optax is not installed")
def test_optax_steps_as_its_own_optimizer() -> None:
    shapes = [("w", (3,))]
    case = sides.Case(load("sgd"), shapes, "cpu", {"lr": 0.5, "momentum": 0.0, "nesterov": False}, {}, {})
    side = sides.PEERS["optax"][2](case, "")
    assert side.name == "optax sgd"
    side.step()
    side.step()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--against", "trch"], 1, 'did you mean "torch"?'),
        (["--against", "torch:Rpro"], 1, 'torch has no optimizer "Rpro". did you mean "Rprop"?'),
        (["--against", "axpy:x"], 1, "no library"),
        (["--device", "cuda"], 1, "torch sees no GPU here"),
        (["--device", "tpu"], 2, "cpu"),
        (["--backend", "numba-cuda"], 1, '"numba-cuda" serves the device "cuda"'),
        (["--plot", "nowhere/b.png"], 1, "no folder"),
        (["--plot", "b.xyz"], 1, "kind of picture"),
        (["--set", "lr=-1"], 1, "lr must be"),
        (["--repeats", "0"], 2, "repeats"),
    ],
)
def test_refusals(arguments: list[str], code: int, says: str) -> None:
    import torch

    if "cuda" in arguments and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    result = optgen("bench", "lion", *QUICK, *arguments)
    assert result.exit_code == code, result.output
    assert says in result.stderr


def test_what_is_missing_is_said_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sides, "missing", lambda peer: ["jax"] if peer == "optax" else [])
    assert 'pip install "optgen[jax]"' in optgen("bench", "lion", *QUICK, "--against", "optax").stderr
    assert ("optax", "") not in sides.choose([], "cpu")
    assert ("torch-compile", "") not in sides.choose([], "cpu")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "pip install matplotlib" in optgen("bench", "lion", *QUICK, "--plot", "b.png").stderr
    monkeypatch.setitem(sys.modules, "torch", None)
    assert 'pip install "optgen[torch]"' in optgen("bench", "lion", *QUICK).stderr
