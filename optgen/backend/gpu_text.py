"""Kernel modules for graphics processors as Python text: which kernels there are, and what is launched between sweeps.

A sweep is one kernel, with a program per chunk, whatever variants and tensors there are. Between sweeps one program
finishes totals and runs the stages of tensors, layers and the model as phases with a barrier between them; stages of
rows, columns and matrices are kernels of their own. What needs no launch (:mod:`optgen.backend.launch_plan`) is run by
the programs of a sweep. The device chooses the variant of each tensor; where the host calls a library between sweeps it
is the host's to choose (:mod:`optgen.backend.host_text`). Backends write the text of each of these.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import ClassVar

from optgen.backend.coarse_text import StagePlan, stage_plans
from optgen.backend.element_text import sees_vectors
from optgen.backend.host_text import HostText, calls_of
from optgen.backend.launch_plan import launch_plan
from optgen.backend.layout import VECTORS, Layout
from optgen.backend.manifest import header, literal_of, manifest
from optgen.backend.python_text import words_of
from optgen.ir.view import Module, Op, Sweep, Variant
from optgen.runtime.gpu_abi import FEW_VALUES, MANY_WARPS, WARPS


@dataclass(frozen=True)
class Partial:
    """A reduction of a sweep: its variable, and where the chunk's part of it goes."""

    name: str
    how: str
    extent: str
    column: int


@dataclass(frozen=True)
class SweepCode:
    """The functions of one sweep of one variant. `totals` are columns of tensor totals; held: values per element."""

    name: str
    functions: Sequence[Sequence[str]]
    totals: Sequence[int]
    vector_totals: Sequence[Partial]
    held: int


@dataclass
class Launch:
    """A kernel between sweeps. One program runs all phases, a barrier between them; or a program per block of units."""

    function: str
    grid: str
    phases: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])  # extent and statement

    def entry(self) -> dict[str, object]:
        """What the manifest says of it."""
        return {"function": self.function, "grid": self.grid, "phases": [extent for extent, _ in self.phases]}


class GpuText(ABC):
    """One module of kernels."""

    #: What the manifest and users call the backend.
    backend: ClassVar[str]

    def __init__(self, module: Module) -> None:
        self.module = module
        self.layout = Layout(module)
        self.functions: list[list[str]] = []
        self.kernels: list[str] = []
        sweeps = [sweep for variant in module.variants for sweep in variant.sweeps]
        self.host = HostText(module, self.layout) if calls_of(module) else None
        #: How the device chooses a variant for each tensor; None where there is one, or the host does.
        self.select = None if self.host is not None else module.select
        self.tiled = any(sees_vectors(sweep, self.layout) for sweep in sweeps)
        self.read = frozenset(op.word("value") for sweep in sweeps for op in sweep.ops if op.name == "kernel.read")

    # -- what a backend writes --------------------------------------------------------------------------------------

    @abstractmethod
    def sweep_code(self, name: str, sweep: Sweep, inline: Variant | None) -> SweepCode:
        """The functions of a sweep of a variant. inline: the variant, if programs compute coarse values themselves."""

    @abstractmethod
    def sweep_kernel(
        self, name: str, codes: Mapping[int, SweepCode], ends: Sequence[str], *, one: bool, choice: str
    ) -> list[str]:
        """The kernel that runs the code of a chunk's variant.

        ends: statements for the last program to end, a barrier between them; one: all variants have the same code;
        choice: the function that gives a tensor's variant, "" where the table of variants does.
        """

    @abstractmethod
    def variant_function(self, name: str, ops: Sequence[Op]) -> list[str]:
        """A function whose result is the variant of one tensor."""

    @abstractmethod
    def stage_function(self, plan: StagePlan) -> list[str]:
        """A stage of all variants: a function of one program, or a kernel where units are rows, columns or matrices."""

    @abstractmethod
    def stage_statement(self, name: str, extent: str) -> str:
        """Runs a stage in one program."""

    @abstractmethod
    def select_function(self, name: str, ops: Sequence[Op]) -> list[str]:
        """The choice of a variant for every tensor, by one program."""

    @abstractmethod
    def run_statement(self, column: int, how: str) -> str:
        """Combines the partial totals of each run of chunks, in one program."""

    @abstractmethod
    def tensor_statement(self, column: int, how: str, variants: int, *, first: bool) -> str:
        """Combines the runs of each tensor whose variant takes the total (a bit each); others get none if first."""

    @abstractmethod
    def phases_kernel(self, name: str, statements: Sequence[str]) -> list[str]:
        """One program that runs the statements `FROM` to `UPTO`, a barrier between them."""

    @abstractmethod
    def finish_kernel(self, name: str, extent: str, takers: Mapping[int, Sequence[Partial]]) -> list[str]:
        """Combines the parts of row or column totals that chunks left, by variant; a program per block of units."""

    @abstractmethod
    def imports(self, words: set[str]) -> list[str]:
        """The lines that bring what functions use."""

    # -- the module -------------------------------------------------------------------------------------------------

    def emit(self) -> tuple[dict[str, object], str]:
        """The manifest and the source text."""
        plans = stage_plans(self.module)
        self.plan = launch_plan(self.module, plans)
        sweeps = self._sweeps(self._ends(plans))
        for plan in (*(plans[0] if self.plan.keeps else ()), *self.plan.ends, *chain(*self.plan.launched)):
            self.functions.append(self.stage_function(plan))
        launches = [self._between(boundary, found, sweeps) for boundary, found in enumerate(self.plan.launched)]
        entries = [
            [self._entry(sweeps.get((v, s))) for s in range(1, self.module.sweeps + 1)]
            for v in range(len(self.module.variants))
        ]
        described = manifest(
            self.module,
            self.layout,
            self.backend,
            tiled=self.tiled,
            select=None if self.select is None else "select_variant",
            stages=[[plan.manifest for plan in boundary] for boundary in plans],
            sweeps=entries,
        )
        described["warps"] = MANY_WARPS if self._is_wide(sweeps.values()) else WARPS
        described["launches"] = [[launch.entry() for launch in boundary] for boundary in launches]
        if self.host is not None:
            described["host"] = self.host.manifest
        return described, self._text(described)

    def _is_wide(self, sweeps: Iterable[SweepCode]) -> bool:
        """Whether a step holds so much that threads are given fewer elements, so that registers suffice."""
        return self.tiled or any(code.held > FEW_VALUES for code in sweeps)

    def _ends(self, plans: Sequence[Sequence[StagePlan]]) -> dict[int, list[str]]:
        """What the last program of each sweep runs at its end."""
        ends: dict[int, list[str]] = {sweep: [] for sweep in range(1, self.module.sweeps + 1)}
        if self.select is not None:
            self.functions.append(self.select_function("select_variant", self.select))
        if self.plan.inline:
            ends[1] += [] if self.select is None else [self.stage_statement("select_variant", "tensor")]
            ends[1] += [self.stage_statement(plan.name, plan.extent) for plan in plans[0] if self.plan.keeps]
        if self.plan.ends:
            ends[self.module.sweeps] += [self.stage_statement(plan.name, plan.extent) for plan in self.plan.ends]
        return ends

    def _sweeps(self, ends: Mapping[int, Sequence[str]]) -> dict[tuple[int, int], SweepCode]:
        """Code per variant and sweep, equal code once, and a kernel per sweep that picks the variant's."""
        made: dict[tuple[int, int], SweepCode] = {}
        by_text: dict[str, SweepCode] = {}
        for number, variant in enumerate(self.module.variants):
            for sweep in variant.sweeps:
                name = f"{variant.name}_sweep_{sweep.index}" if len(self.module.variants) > 1 else f"step_{sweep.index}"
                inline = variant if self.plan.inline and sweep.index == 1 else None
                code = self.sweep_code(name, sweep, inline)
                key = "\n".join(line for lines in code.functions for line in lines).replace(name, "")
                if key not in by_text:
                    self.functions += [list(lines) for lines in code.functions]
                made[number, sweep.index] = by_text.setdefault(key, code)
        for index in range(1, self.module.sweeps + 1):
            self._sweep_kernel(index, {v: code for (v, s), code in made.items() if s == index}, ends[index])
        return made

    def _sweep_kernel(self, index: int, codes: Mapping[int, SweepCode], ends: Sequence[str]) -> None:
        """The kernel that every program of a sweep begins with."""
        one = len(codes) == len(self.module.variants) and len({code.name for code in codes.values()}) == 1
        choice = ""
        if not one and self.plan.inline and index == 1 and self.select is not None:
            choice = "variant_of"
            self.functions.append(self.variant_function(choice, self.select))
        name = f"sweep_{index}"
        self._add(name, self.sweep_kernel(name, codes, ends, one=one, choice=choice))

    def _add(self, name: str, lines: list[str]) -> None:
        """A kernel."""
        self.functions.append(lines)
        self.kernels.append(name)

    def _entry(self, code: SweepCode | None) -> dict[str, object] | None:
        if code is None:
            return None
        vectors = [[f"{total.extent}_total", total.column, total.how] for total in code.vector_totals]
        return {"function": code.name, "streams": vectors, "totals": list(code.totals)}

    # -- between sweeps ---------------------------------------------------------------------------------------------

    def _between(
        self, boundary: int, stages: Sequence[StagePlan], sweeps: Mapping[tuple[int, int], SweepCode]
    ) -> list[Launch]:
        """What is launched after so many sweeps."""
        phases: list[tuple[str, str]] = []
        launches: list[Launch] = []
        if boundary == 0 and self.select is not None and not self.plan.inline:
            phases.append(("tensor", self.stage_statement("select_variant", "tensor")))
        finish = self._finish(boundary, sweeps)  # rows, columns and matrices do not look at totals of tensors
        for extent, name in self._vector_finish(boundary, sweeps):
            launches.append(Launch(name, extent))
        for plan in stages:
            if plan.extent in VECTORS:
                self._close(boundary, phases, launches)
                launches.append(Launch(plan.name, plan.extent))
                self.kernels.append(plan.name)
            else:
                phases += [*finish, (plan.extent, self.stage_statement(plan.name, plan.extent))]
                finish = []
        phases += finish
        self._close(boundary, phases, launches)
        return launches

    def _close(self, boundary: int, phases: list[tuple[str, str]], launches: list[Launch]) -> None:
        """One kernel of what has gathered."""
        if not phases:
            return
        number = sum(launch.grid == "one" for launch in launches)
        name = f"stages_{boundary}" + (f"_{number + 1}" if number else "")
        self._add(name, self.phases_kernel(name, [statement for _, statement in phases]))
        launches.append(Launch(name, "one", list(phases)))
        phases.clear()

    def _finish(self, boundary: int, sweeps: Mapping[tuple[int, int], SweepCode]) -> list[tuple[str, str]]:
        """Phases that turn the partial totals of a sweep into totals of tensors."""
        runs: list[str] = []
        tensors: list[str] = []
        for column, name in enumerate(self.layout.totals):
            takers = [v for (v, s), code in sweeps.items() if s == boundary and column in code.totals]
            if not takers:
                continue
            before = any(s < boundary and column in code.totals for (_, s), code in sweeps.items())
            how = self.module.totals[name].reduction
            runs.append(self.run_statement(column, how))
            tensors.append(self.tensor_statement(column, how, sum(1 << v for v in takers), first=not before))
        return [("tensor", "\n        ".join(part)) for part in (runs, tensors) if part]

    def _vector_finish(self, boundary: int, sweeps: Mapping[tuple[int, int], SweepCode]) -> list[tuple[str, str]]:
        """Kernels that combine the parts of row or column totals that chunks left: extent and name of each."""
        made: list[tuple[str, str]] = []
        for extent in ("row", "col"):
            takers: dict[int, list[Partial]] = {}
            for (v, s), code in sweeps.items():
                found = [total for total in code.vector_totals if total.extent == extent]
                if s == boundary and found:
                    takers[v] = found
            if takers:
                name = f"finish_{boundary}_{extent}"
                self._add(name, self.finish_kernel(name, extent, takers))
                made.append((extent, name))
        return made

    # -- the file ---------------------------------------------------------------------------------------------------

    def _text(self, described: dict[str, object]) -> str:
        words = words_of("\n".join(line for lines in self.functions for line in lines))
        on_host = self.host.functions if self.host is not None else []
        blocks = [*header(self.module, self.backend), "", *self.imports(words | ({"np"} if on_host else set()))]
        blocks += ["", f"MANIFEST = {literal_of(described)}", ""]
        for lines in (*self.functions, *on_host):
            blocks += ["", *lines, ""]
        blocks += ["", "FUNCTIONS = {", *(f'    "{kernel}": {kernel},' for kernel in self.kernels), "}", ""]
        blocks += [*self.host.table, ""] if self.host is not None else []
        return "\n".join(blocks)


def imported(module: str, names: Iterable[str]) -> list[str]:
    """An import of some names, one per line."""
    return [f"from {module} import (", *(f"    {name}," for name in sorted(names)), ")"]
