"""The first things a user tries: the README's example as it stands, and the demo."""

import os
import re
from pathlib import Path

import pytest

from tests.processes import python

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str | Path, cwd: Path) -> str:
    """Standard output of a Python process that must succeed."""
    done = python(command, cwd, os.environ)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_rule_from_scratch_trains(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8").split("## A rule of your own")[1]
    (rule,) = re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)
    program = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)[0]
    assert len((rule + program).splitlines()) <= 20
    (tmp_path / "normed_momentum.yaml").write_text(rule, encoding="utf-8")
    (tmp_path / "train.py").write_text("import torch\ntorch.manual_seed(0)\n" + program, encoding="utf-8")
    losses = [float(line.split()[1]) for line in run("train.py", cwd=tmp_path).splitlines()]
    assert losses[-1] < losses[0] / 20


@pytest.mark.slow
def test_the_demo_reports_every_optimizer_and_writes_a_plot(tmp_path: Path) -> None:
    (tmp_path / "examples").mkdir()
    demo = tmp_path / "examples" / "demo.py"
    demo.write_bytes((ROOT / "examples" / "demo.py").read_bytes())
    out = run(demo, "--epochs", "2", "--seeds", "1", cwd=tmp_path)
    for name in ("AdamW", "NEAT", "Nested"):
        assert f"{name} seed 0: loss" in out
    plot = Path(out.splitlines()[-1].removeprefix("loss curves: "))
    assert plot.is_relative_to(tmp_path)
    assert plot.read_bytes().startswith(b"\x89PNG")
