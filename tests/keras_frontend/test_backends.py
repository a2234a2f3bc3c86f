"""All checks of Keras optimizers on each backend, one process per backend: Keras settles its own when imported."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.processes import python
from tests.quick_xla import QUICK_VARIABLES

BACKENDS = ("jax", "torch", "tensorflow")


@pytest.mark.parametrize("backend", BACKENDS)
def test_all_checks(backend: str) -> None:
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed (TensorFlow's 270 MB are left out of the environment of these tests)")
    env = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        **QUICK_VARIABLES,
    }
    done = python(["-m", "tests.keras_frontend.run"], Path(__file__).parents[2], env)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-2000:]}"
    assert done.stdout.count("ok check_") > 15
