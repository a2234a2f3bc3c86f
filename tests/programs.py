"""Programs of test folders, run in processes of their own: each simulates a device, which is chosen on import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from optgen.frontends.declared import calls_in
from optgen.ir.view import Call, view
from optgen.passes.pipeline import to_kernels
from optgen.runtime.library_calls import FUNCTIONS
from optgen.spec.loader import load, shipped
from optgen.spec.model import Setting, Spec

ROOT = Path(__file__).resolve().parents[1]


def lines_of(module: str, arguments: Sequence[str], given: Mapping[str, str], without: str = "-") -> list[str]:
    """What a module prints, with variables given and those that begin with `without` taken out of the environment."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(without)}
    command = [sys.executable, "-W", "ignore", "-m", module, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**environment, **given}, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


def check_reports(lines: Sequence[str], work: Sequence[str]) -> None:
    """Fails with the reports of what does not agree."""
    found = [json.loads(line) for line in lines]
    assert [each["asked"] for each in found] == list(work)
    wrong = [f"{each['asked']}: {each['says']}" for each in found if not each["ok"]]
    assert not wrong, "\n".join(wrong)


def runs_of(rule: str) -> int:
    """Runs of the driver in a step: one, and one more for each stop at which a library is called, or readied for."""
    made = view(to_kernels(load(rule), {}, "float32")).variants
    stops = {call.boundary for variant in made for call in variant.calls}
    return 1 + len(stops | {0}) if stops else 1


def calls_a_library(rule: str) -> bool:
    """Whether the kernels of a rule's defaults stop for calls of a matrix library."""
    return _names_a_library(load(rule)) and bool(_calls(rule, {}))


def _names_a_library(spec: Spec) -> bool:
    return any(call.function in FUNCTIONS for call in calls_in(spec))


@cache
def calling() -> dict[str, dict[str, Setting]]:
    """The rules whose text calls a matrix library, with settings under which kernels do: numbers small, so that few
    steps come by all variants, and the first switch that it takes."""
    found: dict[str, dict[str, Setting]] = {}
    for name in shipped():
        spec = load(name)
        if not _names_a_library(spec):
            continue
        small: dict[str, Setting] = {key: 2 for key, hyper in spec.hypers.items() if hyper.kind == "int"}
        switches = [{key: not hyper.default} for key, hyper in spec.hypers.items() if hyper.kind == "bool"]
        found[name] = next(given for each in ({}, *switches) if _calls(name, given := {**small, **each}))
    return found


def query(rule: str, settings: Mapping[str, Setting]) -> str:
    """A rule and settings in one word, which `asked` takes apart."""
    return f"{rule}?{json.dumps(dict(settings))}" if settings else rule


def asked(word: str) -> tuple[str, dict[str, Setting]]:
    """A rule, and settings over its defaults; `coupling` among them is the graph's."""
    rule, _, settings = word.partition("?")
    return rule, json.loads(settings or "{}")


def _calls(rule: str, settings: Mapping[str, Setting]) -> list[Call]:
    return [call for variant in view(to_kernels(load(rule), settings, "float32")).variants for call in variant.calls]


def on_devices(dtypes: Mapping[str, Sequence[str]]) -> list[str]:
    """What is run where a GPU is simulated, as DTYPE:RULE: every rule in float32, and some in other dtypes."""
    plain = [rule for rule in shipped() if not calls_a_library(rule)]
    others = [f"{dtype}:{rule}" for dtype, rules in dtypes.items() for rule in rules]
    return [*(f"float32:{rule}" for rule in (*plain, *besides())), *others]


def besides() -> list[str]:
    """What is run where a GPU is simulated besides rules' defaults: calls of a library, and graphs by flat index."""
    graphs = [query("neat", {"coupling": coupling}) for coupling in ("overlap", "pad")]
    return [*(query(rule, settings) for rule, settings in calling().items()), *graphs]
