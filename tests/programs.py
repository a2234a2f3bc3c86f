"""Programs of test folders, run in processes of their own: each simulates a device, which is chosen on import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from optgen.ir.view import view
from optgen.passes.pipeline import to_kernels
from optgen.spec.loader import load

ROOT = Path(__file__).resolve().parents[1]


def lines_of(module: str, arguments: Sequence[str], given: Mapping[str, str], without: str = "-") -> list[str]:
    """What a module prints, with variables given and those that begin with `without` taken out of the environment."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(without)}
    command = [sys.executable, "-W", "ignore", "-m", module, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**environment, **given}, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


def check_reports(lines: Sequence[str], rules: Sequence[str]) -> None:
    """Fails with the reports of the rules that do not agree."""
    found = [json.loads(line) for line in lines]
    assert [each["rule"] for each in found] == list(rules)
    wrong = [f"{each['rule']}: {each['says']}" for each in found if not each["ok"]]
    assert not wrong, "\n".join(wrong)


def runs_of(rule: str) -> int:
    """Runs of the driver in a step: one, and one more for each stop at which a library is called, or readied for."""
    made = view(to_kernels(load(rule), {}, "float32")).variants
    stops = {call.boundary for variant in made for call in variant.calls}
    return 1 + len(stops | {0}) if stops else 1


def calls_a_library(rule: str) -> bool:
    """Whether the kernels of a rule stop for matrix products, for which backends of graphics processors refuse it."""
    return any(variant.calls for variant in view(to_kernels(load(rule), {}, "float32")).variants)
