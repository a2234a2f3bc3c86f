"""State that goes to Keras and back, in a process of its own: Keras settles its backend when imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_all_checks() -> None:
    env = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-m", "tests.state.keras_checks"],
        cwd=Path(__file__).parents[2],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-2000:]}"
    assert done.stdout.count("ok check_") == 5
