"""A20: torch's distributed checkpoint, written by two ranks and read by both."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.guarantees import shelf

#: A rule of each reach, and one for each kind of state: elements, rows, columns, tensors, short vectors.
_KINDS = {
    **{cls.RULE.reach: cls for cls in shelf.CLASSES},
    **{(state.extent, state.vector): cls for cls in shelf.CLASSES for state in cls.RULE.states},
}
SPREAD = sorted({cls.__name__ for cls in _KINDS.values()})


def test_training_goes_on_from_a_checkpoint_of_two_ranks(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.guarantees.two_ranks", rank, str(tmp_path), *SPREAD],
            cwd=Path(__file__).parents[2],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    ]
    try:
        said = [rank.communicate(timeout=120) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert [out.strip() for out, _ in said] == ["equal", "equal"], "\n".join(err[-2000:] for _, err in said)
