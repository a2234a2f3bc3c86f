"""What a results file says of where it was measured."""

from __future__ import annotations

import datetime
import os
import platform
from pathlib import Path

from optgen.runtime.cache import version

#: Packages whose versions a figure depends on.
PACKAGES = ("torch", "numba", "numpy", "jax", "optax", "triton")


def about(command: str) -> dict[str, object]:
    """Command, date, machine and versions."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {
        "command": command,
        "date": datetime.date.today().isoformat(),
        "machine": {"processor": names[0] if names else platform.processor(), "cores": os.cpu_count()},
        "versions": {
            "python": platform.python_version(),
            **{name: found for name in PACKAGES if (found := version(name))},
        },
    }
