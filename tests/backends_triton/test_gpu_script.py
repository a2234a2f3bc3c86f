"""`benchmarks/gpu.py` as far as a machine without a GPU runs it: everything, tiny, in Triton's interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("triton")

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = "benchmarks/gpu.py"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRITON_")}
    command = [sys.executable, "-W", "ignore", SCRIPT, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, check=False)


def test_a_dry_run_does_all_of_it_and_claims_no_figure(tmp_path: Path) -> None:
    done = run("--dry-run", "--out", str(tmp_path / "gpu.json"))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    found = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert found["dry_run"] is True
    assert found["graph_follows"] == found["beyond_int32"] == "ok"
    assert {(line["rule"], line["ok"]) for line in found["correctness"] if line["dtype"] == "float32"} == {
        ("adamw", True)
    }
    assert not [line for line in found["steps"] if "failed" in line], found["steps"]
    assert len(found["steps"]) == len({(line["rule"], line["side"]) for line in found["steps"]}) == 13
    kernels = {line["rule"]: line["kernels"] for line in found["steps"] if line["side"] == "optgen triton"}
    assert kernels == {"adamw": 1, "lion": 1, "sgd": 1, "neat": 3, "nested": 3}
    assert {each["reached"] for each in found["figures"] if "kernels" not in each["figure"]} == {None}


def test_what_there_is_no_time_for_is_said(tmp_path: Path) -> None:
    done = run("--dry-run", "--budget", "0", "--out", str(tmp_path / "gpu.json"))
    found = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert done.returncode == 0
    assert found["steps"] == []
    assert len(found["left_out"]) == 1 + 2 + 13
    for what in found["left_out"]:
        assert f"{what}: left out, no time" in done.stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_says_so() -> None:
    done = run()
    assert done.returncode == 1
    assert "torch sees no GPU here" in done.stderr
