"""Eight devices: a sharded step is the unsharded one, and state lies where its parameters do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from optgen.frontends.declared import reach_of
from optgen.spec.loader import load, shipped

#: One rule of each reach, the one with row and column state, and the one whose steps are not always due.
SPREAD = sorted({*{reach_of(load(name)): name for name in shipped()}.values(), "adafactor", "nested"})


def test_sharded_is_unsharded() -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-m", "tests.jax_frontend.sharded", *SPREAD],
        cwd=Path(__file__).parents[2],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == "equal"
