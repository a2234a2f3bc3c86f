"""All checks of Keras optimizers on each backend, one process per backend: Keras settles its own when imported."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

BACKENDS = ("jax", "torch", "tensorflow")


@pytest.mark.parametrize("backend", BACKENDS)
def test_all_checks(backend: str) -> None:
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed (TensorFlow's 270 MB are left out of the environment of these tests)")
    env = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "tests.keras_frontend.run"],
        cwd=root,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-2000:]}"
    assert done.stdout.count("ok check_") > 15
