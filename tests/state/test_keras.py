"""State that goes to Keras and back, in a process of its own: Keras settles its backend when imported."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.processes import python
from tests.quick_xla import QUICK_VARIABLES


def test_all_checks() -> None:
    env = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        **QUICK_VARIABLES,
    }
    done = python(["-m", "tests.state.keras_checks"], Path(__file__).parents[2], env)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-2000:]}"
    assert done.stdout.count("ok check_") == 5
