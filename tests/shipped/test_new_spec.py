"""A rule is a file: adding one to `specs/`, and writing `generated/` anew, adds its cases to every suite."""

from __future__ import annotations

import os
import re
import shutil
from collections import defaultdict
from pathlib import Path

import pytest

from optgen.spec.loader import load, shipped
from tests.processes import python

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
MODEL, NAME, CLASS = "sgd", "brand_new", "BrandNew"
#: Folders with at least one suite that the registry drives.
FOLDERS = {
    "authoring",
    "cli",
    "equivalence",
    "guarantees",
    "ir",
    "oracle",
    "passes",
    "shipped",
    "spec",
    "torch_frontend",
}
#: Figures worked out by hand, one by one.
BY_HAND = "tests/passes/test_pinned_bytes.py"
CASE = re.compile(r"tests/(?P<folder>\w+)/.*::(?P<test>\w+)\[(?P<id>.*)\]$")


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The words in the ids of every parametrized test, in a copy of the checkout with one more spec."""
    copy = tmp_path_factory.mktemp("checkout")
    for folder in ("optgen", "backends", "specs", "tools", "tests", "generated", "benchmarks", "docs"):
        if (ROOT / folder).is_dir():
            shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("*.pyc.*"))
    for file in ROOT.glob("*.*"):
        if file.is_file():
            shutil.copy(file, copy)
    text = (copy / "specs" / f"{MODEL}.yaml").read_text(encoding="utf-8")
    text = text.replace(f"name: {MODEL}\n", f"name: {NAME}\n").replace(
        f"class: {load(MODEL).class_name}\n", f"class: {CLASS}\n"
    )
    (copy / "specs" / f"{NAME}.yaml").write_text(text, encoding="utf-8")
    path = os.pathsep.join(str(copy / part) for part in ("", "backends", "generated"))
    environment = {**os.environ, "PYTHONPATH": path}

    def run(*command: str) -> str:
        done = python(command, copy, environment)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    run("tools/regenerate.py")
    found: defaultdict[str, set[str]] = defaultdict(set)
    for line in run("-m", "pytest", "tests", "--collect-only", "-q", "-p", "no:cacheprovider").splitlines():
        if match := CASE.match(line):
            found[line.partition("[")[0]] |= {*re.split(r"[-+\]]", match["id"])}
    return found


def test_every_suite_over_all_rules_has_the_new_one(cases: dict[str, set[str]]) -> None:
    """A suite with a case for each shipped rule, by name or by class, is one that the registry drives."""
    names, classes = set(shipped()), {load(name).class_name for name in shipped()}
    driven = {test: words for test, words in cases.items() if names <= words or classes <= words}
    assert {Path(test).parts[1] for test in driven} >= FOLDERS - {"oracle"}
    without = [test for test, words in driven.items() if not {NAME, CLASS} & words]
    assert [test for test in without if not test.startswith(BY_HAND)] == []


def test_a_reference_is_enough_to_be_compared_with_torch(cases: dict[str, set[str]]) -> None:
    assert NAME in cases["tests/oracle/test_torch.py::test_every_option"]
