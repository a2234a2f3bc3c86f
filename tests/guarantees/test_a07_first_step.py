"""A7: the first step from a cold cache is that from a warm cache, bit for bit; no kernel is ever run to try it out."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from optgen.runtime import driver, layout
from optgen.runtime.torch_optimizer import Optimizer
from tests.guarantees import shelf, spread
from tests.processes import python
from tests.programs import runs_of

#: Prints a digest of parameters and state after the first step, and whether anything was compiled.
FIRST = """
import hashlib, json, sys
from tests.guarantees import counting, shelf

found = {}
with counting.compiles() as compiled:
    for cls in shelf.CLASSES:
        if cls.__name__ in sys.argv[1:]:
            named, optimizer = shelf.trained(cls, 1)
            bits = b"".join(value.numpy().tobytes() for value in shelf.everything(named, optimizer).values())
            found[cls.__name__] = hashlib.sha256(bits).hexdigest()
print(json.dumps([found, len(compiled)]))
"""


def first_steps(folder: Path, names: list[str]) -> tuple[dict[str, str], int]:
    """Digests after the first step in a process of its own, and how many functions it compiled."""
    caches = {"NUMBA_CACHE_DIR": str(folder / "numba"), "OPTGEN_CACHE_DIR": str(folder / "optgen")}
    environment = {**os.environ, **caches, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = python(["-c", FIRST, *names], folder, environment)
    assert done.returncode == 0, done.stderr
    found, compiles = json.loads(done.stdout)
    return found, compiles


def test_a_cold_cache_changes_no_bit(tmp_path: Path) -> None:
    names = [next(spread.having(fact)).__name__ for fact in ("one sweep", "totals over more than a tensor")]
    cold, compiled = first_steps(tmp_path, names)
    warm, again = first_steps(tmp_path, names)
    assert sorted(cold) == sorted(names)
    assert cold == warm
    assert compiled > 0
    assert again == 0


@pytest.mark.parametrize("cls", shelf.CLASSES, ids=shelf.name_of)
def test_kernels_run_once_per_step_and_never_before(cls: type[Optimizer], monkeypatch: pytest.MonkeyPatch) -> None:
    whole, actions = driver.drive, list[int]()

    def drive(plan: int, action: int, *rest: Any) -> int:
        actions.append(action)
        return whole(plan, action, *rest)

    monkeypatch.setattr(driver, "drive", drive)
    named, fresh = shelf.parameters(), shelf.parameters()
    optimizer = shelf.make(cls, named)
    assert actions == []
    assert all(shelf.same_bits(p.detach(), q.detach()) for (_, p), (_, q) in zip(named, fresh, strict=True))
    for count in (1, 2):
        shelf.train(optimizer, named, [count])
        assert actions == [layout.RUN] * count * runs_of(cls.RULE.name)
        assert all(float(optimizer.state[param]["step"]) <= count for _, param in named)
