"""Stages, and the choice of variant, as Python text: what each operation of coarse code means and which loop it needs.

Coarse code runs once per unit of its extent, in float64. In its text `k` is the unit's number, `t` its (first present)
tensor and `j` the index of a row, column or matrix within that tensor. Tables are those of :class:`optgen.runtime.abi.
Word`, by name. A backend gives the hooks: how a cell of a table is read and written, how memory is, and how a loop over
finer units is spelled.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from optgen.backend.layout import ITEM_BYTES, VECTORS, Layout
from optgen.backend.python_text import PURE, Body
from optgen.errors import BackendError
from optgen.ir.view import Module, Op, Stage, Value

COMBINE = {"sum": "{a} + {b}", "max": "maximum({a}, {b})", "min": "minimum({a}, {b})"}
#: Metadata whose product is the number of units of an extent in a unit of a wider one.
_UNITS = {
    ("elem", "tensor"): ("numel",),
    ("matrix", "tensor"): ("matrices",),
    ("row", "tensor"): ("matrices", "rows"),
    ("col", "tensor"): ("matrices", "cols"),
    ("elem", "row"): ("cols",),
    ("elem", "col"): ("rows",),
    ("elem", "matrix"): ("rows", "cols"),
    ("row", "matrix"): ("rows",),
    ("col", "matrix"): ("cols",),
}


@dataclass
class Loop:
    """A loop in the making: what runs over its entries, its lines so far, and the indent of its body below them.

    there: where several units run at once, which of them have this entry.
    """

    each: str
    lines: list[str]
    depth: int = 1
    there: str = ""

    def line(self, text: str) -> None:
        """A line of the body."""
        self.lines.append("    " * self.depth + text)


class CoarseText(ABC):
    """The operations of one stage of one variant, as the lines of the loop over its units.

    here: where several units run at once, which of them exist.
    """

    #: What errors call the backend.
    backend: ClassVar[str]
    #: A total that nothing was added to, by reduction.
    identity: ClassVar[dict[str, str]]

    def __init__(self, extent: str, layout: Layout, body: Body, here: str = "") -> None:
        self.extent = extent
        self.layout = layout
        self.body = body
        self.here = here

    def write(self, ops: Sequence[Op]) -> list[str]:
        """The lines."""
        for op in ops:
            if op.name in PURE:
                self.body.pure(op)
            else:
                self._op(op)
        return self.body.lines

    # -- what a backend says ----------------------------------------------------------------------------------------

    @abstractmethod
    def cell(self, table: str, row: str, column: int | None = None) -> str:
        """The place of an entry of a table with one axis or, given a column, two."""

    @abstractmethod
    def vector_cell(self, extent: str, column: int, first: str, entry: str) -> str:
        """The place of an entry of a table of matrix, row or column values; first: where its tensor's begin."""

    @abstractmethod
    def get(self, place: str, here: str = "") -> str:
        """What a place holds; here: where, if not where this stage's units are."""

    @abstractmethod
    def single(self, table: str, index: int) -> str:
        """What an entry of a table holds that all units share."""

    @abstractmethod
    def count(self, word: str) -> str:
        """A number of the tables, as the end of a loop."""

    @abstractmethod
    def fetch(self, slot: str, address: str) -> str:
        """The number of a slot, as float64."""

    @abstractmethod
    def deposit(self, slot: str, address: str, x: str) -> None:
        """Stores a number in a slot of this unit's tensor, if that is active."""

    @abstractmethod
    def deposit_in(self, loop: Loop, slot: str, address: str, x: str) -> None:
        """Ends a loop over tensors: each gets the number x of this unit."""

    @abstractmethod
    def define(self, name: str, place: str, x: str) -> None:
        """Puts a coarse value in its place."""

    @abstractmethod
    def choose(self, x: str) -> None:
        """Sets the variant of tensor `t`."""

    @abstractmethod
    def take(self, value: Value, text: str, wish: str) -> None:
        """Lets what was read stand for a value: under a name of its own, or wherever it is used."""

    @abstractmethod
    def whole(self, x: str, *, divides: bool = False) -> str:
        """A number as an integer; divides: at least 1, even where there is no unit."""

    @abstractmethod
    def one(self) -> str:
        """The float64 1."""

    @abstractmethod
    def span(self, start: str, stop: str, wish: str, inside: Loop | None = None) -> Loop:
        """A loop over start <= each < stop, which are integers of this unit or, inside another loop, of its entries."""

    @abstractmethod
    def only(self, loop: Loop, x: str, sign: str, y: str) -> None:
        """Leaves out the entries of a loop of which `x sign y` does not hold; sign: == or !=."""

    @abstractmethod
    def within(self, x: str, loop: Loop) -> str:
        """A number of this unit as the body of a loop sees it."""

    @abstractmethod
    def combined(self, total: str, how: str, loop: Loop, term: str) -> str:
        """A total with the term of a loop's entries."""

    @abstractmethod
    def start(self, how: str) -> str:
        """A total before its loop."""

    # -- operations -------------------------------------------------------------------------------------------------

    def _op(self, op: Op) -> None:
        body, layout, result = self.body, self.layout, op.result
        match op.name:
            case "kernel.hyper" if result is not None:
                name = op.word("hyper")
                body.assign(result, self.get(self.cell("HYPER", "t", layout.hyper(name))), name)
            case "kernel.metadata" if result is not None:
                body.bind(result, self.metadata(op.word("metadata")))
            case "kernel.input" if result is not None:
                name = op.word("input")
                self.take(result, self.single("INPUT", list(layout.module.inputs).index(name)), name)
            case "kernel.counter" if result is not None:
                self._counter(op, result)
            case "kernel.value" if result is not None:
                self.take(result, self.get(self.place(op.word("value"))), op.word("value"))
            case "kernel.define":
                body.say(op.statement)
                name = op.word("sym_name")
                self.define(name, self.place(name), body.text(op.operands[0]))
            case "kernel.total" if result is not None:
                self._total(op, result)
            case "kernel.fold" if result is not None:
                self._fold(op, result)
            case "kernel.count" if result is not None:
                self._count(op, result)
            case "kernel.edges" if result is not None:
                self._edges(op, result)
            case "kernel.fetch" if result is not None:
                slot = op.word("slot")
                body.assign(result, self.fetch(slot, self.address(slot)), slot)
            case "kernel.put":
                self._put(op)
            case "kernel.chosen":
                self.choose(body.text(op.operands[0]))
            case _:
                raise BackendError(f"{self.backend}: {op.name} is not an operation of coarse code")

    def _counter(self, op: Op, result: Value) -> None:
        if op.word("counter") == "step":
            self.take(result, self.single("STEP", 0), "step")
        else:
            last = self.layout.module.slots[self.layout.counter].name
            self.body.assign(result, f"{self.fetch(last, self.address(last))} + 1.0", "updates")

    def _put(self, op: Op) -> None:
        slot, x = op.word("slot"), self.body.text(op.operands[0])
        if self.extent not in ("layer", "model"):
            self.deposit(slot, self.address(slot), x)
            return
        loop = self.members(everyone=True)
        self.deposit_in(loop, slot, self.address(slot, loop.each, loop.there), x)

    def _total(self, op: Op, result: Value) -> None:
        name = op.word("total")
        if self.extent in VECTORS:
            self.take(result, self.get(self.place(name)), name)
            return
        column = self.layout.total(name)
        if self.extent == "tensor":
            self.take(result, self.get(self.cell("TENSOR_TOTAL", "t", column)), name)
            return
        loop = self.members()
        term = self.get(self.cell("TENSOR_TOTAL", loop.each, column), loop.there)
        self._reduce(result, op.word("reduction"), name, loop, term)

    def _fold(self, op: Op, result: Value) -> None:
        name, how, own = op.word("value"), op.word("reduction"), op.word("extent")
        column = self.layout.value(name).column
        if own in VECTORS:
            loop, place = self._units_loop(own, column)
        else:
            loop = self.layers() if own == "layer" else self.members()
            place = self.cell(f"{own.upper()}_VALUE", loop.each, column)
        self._reduce(result, how, name, loop, self.get(place, loop.there))

    def _units_loop(self, own: str, column: int) -> tuple[Loop, str]:
        """A loop over the matrices, rows or columns in this unit, and the place of a value of each."""
        if self.extent in ("layer", "model"):
            members = self.members()
            tensor, there = members.each, members.there
            first = self.get(self.cell(f"{own.upper()}_OFFSET", tensor), there)
            loop = self.span("0", self.whole(self.units(own, tensor, there)), "entry", members)
            return loop, self.vector_cell(own, column, self.within(first, loop), loop.each)
        first = self.get(self.cell(f"{own.upper()}_OFFSET", "t"))
        if self.extent == "tensor":
            loop = self.span("0", self.whole(self.units(own)), "entry")
        else:
            per = self.whole(self.units(own))
            loop = self.span(f"j * {per}", f"(j + 1) * {per}", "entry")
        return loop, self.vector_cell(own, column, self.within(first, loop), loop.each)

    def _count(self, op: Op, result: Value) -> None:
        own = op.word("extent")
        if self.extent not in ("layer", "model"):
            self.body.bind(result, self.units(own), 0)
        elif own == "layer":
            self._reduce(result, "sum", "layers", self.layers(), self.one())
        else:
            loop = self.members()
            term = self.one() if own == "tensor" else self.units(own, loop.each, loop.there)
            self._reduce(result, "sum", "entries", loop, term)

    def _edges(self, op: Op, result: Value) -> None:
        kind, name = op.word("kind"), op.word("value")
        loop = self.span(self.get(self.cell("EDGE_START", "k")), self.get(self.cell("EDGE_START", "k + 1")), "edge")
        edge, there = loop.each, loop.there
        if kind in ("pull", "push"):
            self.only(loop, self.get(self.cell("EDGE_MATCHED", edge), there), "==", "0")
        a, b = (self.get(self.cell(table, edge), there) for table in ("EDGE_OWN", "EDGE_OTHER"))
        x = self.within(self.get(self.place(name)), loop)
        to = self.get(self.cell("EDGE_TO", edge), there)
        other = self.get(self.cell("LAYER_VALUE", to, self.layout.value(name).column), there)
        least = self.floor("1e-16")
        term = {
            "laplacian": f"{a} * {x} - {b} * {other}",
            "neighbors": f"{b} * {other}",
            "pull": f"({a} - {b} * {other} / maximum({x}, {least}))",
            "push": f"{b} * {other} / maximum({x}, {least})",
        }[kind]
        self._reduce(result, "sum", result.hint or kind, loop, term)

    def _reduce(self, result: Value, how: str, wish: str, loop: Loop, term: str) -> None:
        """Combine a term over the entries of a loop."""
        total = self.body.assign(result, self.start(how), result.hint or wish)
        loop.line(f"{total} = {self.combined(total, how, loop, term)}")
        self.loop(loop)

    # -- places and loops -------------------------------------------------------------------------------------------

    def floor(self, number: str) -> str:
        """A number beside which a function is taken."""
        return number

    def loop(self, loop: Loop) -> None:
        """Writes a loop."""
        for line in loop.lines:
            self.body.line(line)

    def metadata(self, what: str, tensor: str = "t", here: str = "") -> str:
        """A piece of metadata of a tensor, as float64."""
        return self.get(self.cell("META", tensor, self.layout.metadata(what)), here)

    def units(self, extent: str, tensor: str = "t", here: str = "") -> str:
        """How many units of an extent there are in this stage's unit or, of layers and the model, in a tensor."""
        wide = self.extent if self.extent in VECTORS else "tensor"
        return " * ".join(self.metadata(what, tensor, here) for what in _UNITS[extent, wide])

    def place(self, name: str) -> str:
        """The place of a coarse value as seen from this stage's unit."""
        extent, column = self.layout.value(name).extent, self.layout.value(name).column
        table = f"{extent.upper()}_VALUE"
        if extent == "model":
            return self.cell(table, "", column)
        if extent == "layer":
            return self.cell(table, "k" if self.extent == "layer" else self.get(self.cell("LAYER_OF", "t")), column)
        if extent == "tensor":
            return self.cell(table, "t", column)
        first = self.get(self.cell(f"{extent.upper()}_OFFSET", "t"))
        return self.vector_cell(extent, column, first, self._index(extent))

    def _index(self, extent: str) -> str:
        """Index of the unit of a vector extent within its tensor."""
        if extent == self.extent:
            return "j"
        assert extent == "matrix", f"a {self.extent} stage cannot see a {extent} value"
        return f"j // {self.whole(self.metadata('rows' if self.extent == 'row' else 'cols'), divides=True)}"

    def address(self, slot: str, tensor: str = "t", here: str = "") -> str:
        """Where a slot of a tensor lies, or the entry of it that belongs to this stage's unit."""
        base = self.get(self.cell("ADDRESS", tensor, self.layout.slot(slot)), here)
        return f"{base} + {ITEM_BYTES[self.layout.dtype(slot)]} * j" if self.extent in VECTORS else base

    def members(self, *, everyone: bool = False) -> Loop:
        """A loop over the tensors of this layer, or over those of the model that take part (or all)."""
        if self.extent == "layer":
            loop = self.span(self.get(self.cell("LAYER_START", "k")), self.get(self.cell("LAYER_START", "k + 1")), "at")
            member = self.body.names.new("each")
            loop.line(f"{member} = {self.get(self.cell('LAYER_MEMBER', loop.each), loop.there)}")
            loop.each = member
            return loop
        loop = self.span("0", self.count("TENSORS"), "each")
        if not everyone:
            self.only(loop, self.get(self.cell("MODE", loop.each), loop.there), "!=", "ABSENT")
        return loop

    def layers(self) -> Loop:
        """A loop over the layers that take part."""
        loop = self.span("0", self.count("LAYERS"), "layer")
        self.only(loop, self.get(self.cell("LAYER_PRESENT", loop.each), loop.there), "!=", "0")
        return loop


# -- stages of all variants ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StagePlan:
    """A function of stages: its name, its extent, and the stage of every variant that has one."""

    name: str
    extent: str
    stages: Sequence[Stage | None]
    manifest: list[str] = field(default_factory=list[str])

    def cases(self, write: Callable[[Sequence[Op]], list[str]]) -> list[tuple[Sequence[Op], list[int]]]:
        """Code to write, each with the variants that run it: of variants with the same lines, once.

        `write` gives the lines as they are by themselves. A single case without variants is what all of them run.
        """
        found: dict[tuple[str, ...], tuple[Sequence[Op], list[int]]] = {}
        for number, stage in enumerate(self.stages):
            if stage is not None and stage.ops:
                found.setdefault(tuple(write(stage.ops)), (stage.ops, []))[1].append(number)
        cases = list(found.values())
        return [(cases[0][0], [])] if len(cases) == 1 and len(cases[0][1]) == len(self.stages) else cases


def stage_plans(module: Module) -> list[list[StagePlan]]:
    """The functions of stages after so many sweeps, 0 first."""
    return [_at_boundary(module, boundary) for boundary in range(module.sweeps + 1)]


def _at_boundary(module: Module, boundary: int) -> list[StagePlan]:
    columns = [[stage for stage in variant.stages if stage.boundary == boundary] for variant in module.variants]
    made: list[StagePlan] = []
    for position in range(max(map(len, columns), default=0)):
        stages = [column[position] if position < len(column) else None for column in columns]
        extent = next(stage.extent for stage in stages if stage is not None)
        name = f"stage_{boundary}_{extent}"
        if any(name == known.name for known in made):
            name += f"_{position + 1}"
        made.append(StagePlan(name, extent, stages, [name, "tensor" if extent in VECTORS else extent]))
    return made
