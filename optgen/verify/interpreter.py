"""Comparisons of kernels in an interpreter: a process that reads jobs, a JSON object per line, and prints their cells.

`optgen.verify.matrix` starts it with the variable set by which a kernel library interprets.
"""

from __future__ import annotations

import json
import sys
import warnings

import numpy as np

from optgen.backend.protocol import Interpreted
from optgen.backend.registry import backend
from optgen.verify.matrix import Cell, Column, Job, cell


def main() -> None:
    """Cells in the order of the jobs."""
    np.seterr(all="ignore")
    warnings.simplefilter("ignore")
    sys.setswitchinterval(1e-5)  # simulators poll the threads that stand for a block's
    ready: set[str] = set()
    for line in sys.stdin:
        asked = json.loads(line)
        job = Job(asked["rule"], Column(**asked["column"]), asked["dtype"])
        found = backend(job.column.backend)
        if isinstance(found, Interpreted) and found.name not in ready:
            found.interpret()
        ready.add(found.name)
        print(json.dumps(vars(_safe(job))), flush=True)


def _safe(job: Job) -> Cell:
    """A cell, whatever the interpreter does."""
    try:
        return cell(job)
    except Exception as error:  # noqa: BLE001 (the report shows it)
        return Cell(job.rule, job.column.name, job.dtype, ok=False, error=f"{type(error).__name__}: {error}"[:500])


if __name__ == "__main__":
    main()
