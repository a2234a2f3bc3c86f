"""Every rule on every backend in every dtype: the same random gradients through all, and how far each is off.

A backend whose device is missing here runs in its interpreter, if it has one, in a process of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from queue import Queue

from optgen.errors import OptgenError
from optgen.verify.report import Report

#: Tensors of whole blocks and a tail, large and small matrices, a scalar, nothing, and layers that are neighbours. In
#: natural order, so that trees that are sorted by name have it, too.
SHAPES: Mapping[str, tuple[int, ...]] = {
    "blocks.0.bias": (4, 3, 3, 3),
    "blocks.0.weight": (9, 32),
    "blocks.1.bias": (4, 3, 3, 3),
    "blocks.1.weight": (9, 32),
    "head.weight": (2100,),
    "none.weight": (0,),
    "norm.scale": (),
    "tail.weight": (3, 300),
}
STEPS, SEED = 3, 11


@dataclass(frozen=True)
class Column:
    """A backend behind a front end. `variable` is what the environment of its interpreter's process has as 1."""

    backend: str
    framework: str
    variable: str = ""

    @property
    def name(self) -> str:
        """What a table calls it."""
        return f"{self.backend} ({'interpreted' if self.variable else self.framework})"


@dataclass(frozen=True)
class Cell:
    """One comparison.

    `ulps`: largest error in units in the last place; `share`: as a fraction of its bound; `unbounded`: part of all
    values that have no finite bound. `worst` says where the largest share is; `error` why nothing was compared.
    """

    rule: str
    column: str
    dtype: str
    ok: bool
    ulps: float = 0.0
    share: float = 0.0
    unbounded: float = 0.0
    worst: str = ""
    error: str = ""


@dataclass(frozen=True)
class Job:
    """What a cell is made from."""

    rule: str
    column: Column
    dtype: str


def columns(backends: Sequence[str]) -> list[Column]:
    """Where these backends can be run on this machine, behind every front end that can be compared."""
    from optgen.backend.registry import REFERENCE
    from optgen.generate import frameworks_of, serves_here
    from optgen.runtime.modules import INTERPRETERS
    from optgen.verify.side import has_side

    found: list[Column] = []
    for name in backends:
        if name == REFERENCE or serves_here(name):
            found.append(Column(name, "torch"))
        elif name in INTERPRETERS:
            found.append(Column(name, "torch", INTERPRETERS[name]))
        else:
            found += [Column(name, framework) for framework in frameworks_of([name]) if has_side(framework)]
    return found


def jobs(rules: Sequence[str], chosen: Sequence[Column], dtypes: Sequence[str]) -> list[Job]:
    """All cells, rule by rule; without dtypes that a backend does not serve."""
    from optgen.backend.registry import REFERENCE, backend

    served = {column: dtypes if column.backend == REFERENCE else backend(column.backend).dtypes for column in chosen}
    return [Job(*each) for each in product(rules, chosen, dtypes) if each[2] in served[each[1]]]


def run(work: Sequence[Job]) -> Iterator[Cell]:
    """The cells, as they are done: interpreters run beside what runs here."""
    done: Queue[Cell] = Queue()
    apart = [job for job in work if job.column.variable]
    variables = list(dict.fromkeys(job.column.variable for job in apart))
    shares = [[job for job in apart if job.column.variable == variable] for variable in variables]
    threads = [threading.Thread(target=_interpret, args=(share, done), daemon=True) for share in shares]
    for thread in threads:
        thread.start()
    for job in work:
        if not job.column.variable:
            yield cell(job)
            while not done.empty():
                yield done.get()
    for thread in threads:
        while thread.is_alive() or not done.empty():
            thread.join(0.1)
            while not done.empty():
                yield done.get()


def cell(job: Job) -> Cell:
    """One comparison, here."""
    from optgen.verify.compare import compare

    column = job.column
    try:
        report = compare(
            job.rule,
            column.backend,
            job.dtype,
            steps=STEPS,
            shapes=SHAPES,
            seed=SEED,
            framework=column.framework,
            complete=True,
        )
    except OptgenError as error:
        return Cell(job.rule, column.name, job.dtype, ok=False, error=f"{type(error).__name__}: {error}")
    return _cell(job, report)


def _cell(job: Job, report: Report) -> Cell:
    lines = [line for line in report.lines if line.elements]
    worst = max(lines, key=lambda line: line.share)
    where = "" if worst.worst is None else f"{worst.slot} of {worst.worst}"
    values = sum(line.elements for line in lines)
    unbounded = sum(line.unbounded for line in lines) / values
    return Cell(job.rule, job.column.name, job.dtype, report.ok, report.ulps, report.share, unbounded, where)


def _interpret(share: Sequence[Job], done: Queue[Cell]) -> None:
    """Jobs of one interpreter, in a process of its own; what it does not answer is an error."""
    left = list(share)
    variable = share[0].column.variable
    environment = {**os.environ, variable: "1"}
    command = [sys.executable, "-W", "ignore", "-m", "optgen.verify.interpreter"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        said: list[str] = []
        errors = process.stderr
        reader = threading.Thread(target=lambda: said.extend(errors), daemon=True)
        reader.start()
        with contextlib.suppress(BrokenPipeError):  # it stopped: what it said of that is reported
            process.stdin.write("".join(json.dumps(asdict(job)) + "\n" for job in share))
            process.stdin.close()
        for line in process.stdout:
            if line.startswith("{"):
                done.put(Cell(**json.loads(line)))
                left.pop(0)
        reader.join()
    reason = "".join(said[-3:]).strip() or f"exit code {process.returncode}"
    for job in left:
        done.put(Cell(job.rule, job.column.name, job.dtype, ok=False, error=f"the interpreter stopped: {reason}"))
