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
    """Command, date, machine, what else it had to do, and versions.

    With other work on the machine, `chrt -r 1 python ...` lets a measurement go first: `real_time`.
    """
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {
        "command": command,
        "date": datetime.date.today().isoformat(),
        "machine": {"processor": names[0] if names else platform.processor(), "cores": os.cpu_count()},
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "real_time": hasattr(os, "sched_getscheduler") and os.sched_getscheduler(0) != os.SCHED_OTHER,
        "versions": {
            "python": platform.python_version(),
            **{name: found for name in PACKAGES if (found := version(name))},
        },
    }
