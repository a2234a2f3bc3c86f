"""XLA:GPU ahead of time, without a GPU: needs jax-cuda13-plugin and jax-cuda13-pjrt of jax's own version, and ptxas."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "xla_gpu.py"
RESULT = SCRIPT.parent / "results" / "xla_gpu.json"


def test_one_loop_per_tensor_the_bytes_of_the_plan_and_wide_accesses(tmp_path: Path) -> None:
    for module in ("jax_plugins", "jax_plugins.xla_cuda13"):
        if importlib.util.find_spec(module) is None:
            pytest.skip("jax-cuda13-plugin is not installed: pip install --no-deps --target FOLDER, and PYTHONPATH")
    if shutil.which("ptxas") is None:
        pytest.skip("ptxas is not on PATH")
    out = tmp_path / "found.json"
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "adamw", "radam", "adan", "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    kept = {row["rule"]: row for row in json.loads(RESULT.read_text(encoding="utf-8"))["rows"]}
    for row in json.loads(out.read_text(encoding="utf-8"))["rows"]:
        assert row["bytes_per_parameter"] == kept[row["rule"]]["bytes_per_parameter"]
