"""All CPU measurements, into benchmarks/results."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

if __name__ == "__main__":
    for script in ("start_times", "cpu_step", "jax_step", "families", "shelf"):
        out = HERE / "results" / f"{script}.json"
        subprocess.run([sys.executable, str(HERE / f"{script}.py"), "--out", str(out), *sys.argv[1:]], check=True)
