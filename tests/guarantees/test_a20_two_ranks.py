"""A20: torch's distributed checkpoint, written by two ranks and read by both."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.guarantees import shelf
from tests.processes import together

#: A rule of each reach, and one for each kind of state: elements, rows, columns, tensors, short vectors.
_KINDS = {
    **{cls.RULE.reach: cls for cls in shelf.CLASSES},
    **{(state.extent, state.vector): cls for cls in shelf.CLASSES for state in cls.RULE.states},
}
SPREAD = sorted({cls.__name__ for cls in _KINDS.values()})


def test_training_goes_on_from_a_checkpoint_of_two_ranks(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    commands = [["-m", "tests.guarantees.two_ranks", rank, tmp_path, *SPREAD] for rank in "01"]
    ranks = together(commands, Path(__file__).parents[2], env)
    said = "\n".join(rank.stderr[-2000:] for rank in ranks)
    assert [rank.stdout.strip() for rank in ranks] == ["equal", "equal"], said
