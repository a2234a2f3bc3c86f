"""`benchmarks/convergence.py` without its training: what it sums up, keeps and draws, and the cosines it takes."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
for needed in ("sklearn", "matplotlib"):  # imported by the tests, not by whoever collects them
    if importlib.util.find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed", allow_module_level=True)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script as a module."""
    found = importlib.util.spec_from_file_location("convergence", ROOT / "benchmarks" / "convergence.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules["convergence"] = module
    found.loader.exec_module(module)
    return module


def test_one_command_makes_all_of_it_and_goes_on_where_it_ended(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Interrupted in the middle it keeps what it has, and then makes the rest; every rule has as many runs."""
    made: list[tuple[str, float, int]] = []

    def train(task: Any, rule: str, lr: float, seed: int) -> dict[str, object]:
        if len(made) == 30:
            made.append((rule, lr, seed))
            raise KeyboardInterrupt
        made.append((rule, lr, seed))
        rows = [1.0, 0.5, 0.05 if lr == script.RULES[rule][1] else math.inf]
        return {"losses": rows, "seconds": [0.0, 1.0, 2.0], "between_blocks": [0.5], "between_parts": [0.25]}

    monkeypatch.setattr(script, "train", train)
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)  # other tests want theirs
    out, picture = tmp_path / "runs.json", tmp_path / "runs.png"
    monkeypatch.setattr(sys, "argv", ["convergence.py", "--out", str(out), "--plot", str(picture)])
    with pytest.raises(KeyboardInterrupt):
        script.main()
    assert len(json.loads(out.read_text(encoding="utf-8"))["runs"]) == 30
    script.main()
    rules, runs = script.chosen(), len(script.GRID) + len(script.SEEDS)
    assert len(script.SEEDS) >= 5
    assert {"adamw", "sgd", "lion", "neat", "nce", "nested"} <= rules.keys()
    assert len(made) - 1 == len(script.TASKS) * len(rules) * runs
    data = json.loads(out.read_text(encoding="utf-8"))
    for rule, (_, middle, _) in rules.items():
        row = data["summary"]["digits"][rule]
        assert (row["lr"], row["reached"], row["of"]) == (middle, len(script.SEEDS), len(script.SEEDS))
        assert row["steps_to_target"] == [20, 20, 20]
        assert row["seconds_to_target"] == [2, 2, 2]
        assert (row["cosine_between_blocks"][0], row["cosine_between_parts_of_a_batch"][0]) == (0.5, 0.25)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "digits: validation loss" in capsys.readouterr().out


def test_conflict_is_the_cosine_between_gradients(script: ModuleType) -> None:
    """Of neighbouring blocks, and of parts of a batch: 1 where all are the same."""
    task = script.digits()
    model = task.model()
    rows = torch.arange(8)
    assert abs(script._between_blocks(model, task, rows)) < 1
    assert script._between_parts(model, task, torch.zeros(8, dtype=torch.int64)) == pytest.approx(1, abs=1e-5)
    assert script._between_parts(model, task, rows) < 0.999
