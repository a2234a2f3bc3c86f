"""State that goes to Keras and back, in a process of its own: Keras settles its backend when imported."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.processes import python

#: The older of XLA's two code generators compiles faster. Numbers by the one that is the default are proven where they
#: are asked for, in tests/jax_frontend and tests/equivalence.
QUICK = {"XLA_FLAGS": "--xla_cpu_use_fusion_emitters=false"}


def test_all_checks() -> None:
    env = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **QUICK}
    done = python(["-m", "tests.state.keras_checks"], Path(__file__).parents[2], env)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-2000:]}"
    assert done.stdout.count("ok check_") == 5
