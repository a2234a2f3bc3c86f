"""Stages, and the choice of variant: float64 code for several units at once, one per lane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from optgen.backend.layout import ITEM_BYTES, VECTORS, Layout
from optgen.backend.python_text import PURE
from optgen.errors import BackendError
from optgen.ir.view import Op, Stage
from optgen_triton.spelling import KINDS, STAGE_RESERVED, Body, Names

#: Units and entries of what is combined per unit that a program handles at once.
LANES = {
    "model": (1, 1024),
    "layer": (32, 32),
    "tensor": (128, 8),
    "matrix": (8, 128),
    "row": (256, 1),
    "col": (256, 1),
}
_COMBINE = {"sum": "{a} + {b}", "max": "maximum({a}, {b})", "min": "minimum({a}, {b})"}
_IDENTITY = {"sum": "0.0", "max": "-INFINITY", "min": "INFINITY"}
_REDUCE = {"sum": "sum_of", "max": "max_of", "min": "min_of"}


@dataclass
class Tables:
    """The tables that a function uses, as pointers made on first use; `read` are values that sweeps read."""

    layout: Layout
    names: Names
    read: frozenset[str]
    lines: list[str] = field(default_factory=list[str])
    _made: dict[str, str] = field(default_factory=dict[str, str])

    def table(self, word: str, kind: str = "tl.int64") -> str:
        """Pointer to a table."""
        return self._make(word, f"table(ctx, {word}, {kind})")

    def word(self, word: str) -> str:
        """A number."""
        return self._make(word, f"word(ctx, {word})")

    def _make(self, word: str, text: str) -> str:
        if word not in self._made:
            self._made[word] = self.names.new(word.lower())
            self.lines.append(f"    {self._made[word]} = {text}")
        return self._made[word]

    def values(self, extent: str) -> str:
        """The table of coarse values of an extent."""
        return self.table(f"{extent.upper()}_VALUE", "tl.float64")

    @property
    def real(self) -> str:
        """The type that sweeps compute in."""
        return KINDS[self.layout.module.compute]


class StageCode:
    """The operations of one stage of one variant, as the lines of the loop over its units."""

    def __init__(self, extent: str, tables: Tables, indent: int, here: str = "here") -> None:
        self.extent = extent
        self.tables = tables
        self.layout = tables.layout
        self.here = here
        self.body = Body(tables.names, indent)

    def write(self, ops: Sequence[Op]) -> list[str]:
        """The lines."""
        for op in ops:
            if op.name in PURE:
                self.body.pure(op)
            else:
                self._op(op)
        return self.body.lines

    def _op(self, op: Op) -> None:
        body, result = self.body, op.result
        match op.name:
            case "kernel.hyper" if result is not None:
                column, columns = self.layout.hyper(op.word("hyper")), len(self.layout.module.hypers)
                hyper = self.tables.table("HYPER", "tl.float64")
                body.assign(result, self._get(f"{hyper} + t * {columns} + {column}"), op.word("hyper"))
            case "kernel.metadata" if result is not None:
                body.bind(result, self._meta(op.word("metadata")))
            case "kernel.input" if result is not None:
                column = list(self.layout.module.inputs).index(op.word("input"))
                body.assign(result, f"tl.load({self.tables.table('INPUT', 'tl.float64')} + {column})", op.word("input"))
            case "kernel.counter" if result is not None:
                self._counter(op)
            case "kernel.value" if result is not None:
                body.assign(result, self._get(self._cell(op.word("value"))), op.word("value"))
            case "kernel.define":
                self._define(op)
            case "kernel.total" if result is not None:
                self._total(op)
            case "kernel.fold" if result is not None:
                self._fold(op)
            case "kernel.count" if result is not None:
                self._count(op)
            case "kernel.edges" if result is not None:
                self._edges(op)
            case "kernel.fetch" if result is not None:
                slot = op.word("slot")
                kind = KINDS[self.layout.dtype(slot)]
                body.assign(result, f"fetch({self._address(slot)}, {kind}, {self.here})", slot)
            case "kernel.put":
                self._put(op)
            case "kernel.chosen":
                chosen = self.tables.table("VARIANT")
                body.line(f"put({chosen} + t, ({body.text(op.operands[0])}).to(tl.int64), {self.here})")
            case _:
                raise BackendError(f"triton: {op.name} is not an operation of coarse code")

    # Cells

    def _get(self, cell: str) -> str:
        return f"get({cell}, {self.here})"

    def _meta(self, what: str, tensor: str = "t", here: str = "") -> str:
        meta = self.tables.table("META", "tl.float64")
        return f"get({meta} + {tensor} * 6 + {self.layout.metadata(what)}, {here or self.here})"

    def _cell(self, name: str, table: str = "") -> str:
        """Pointer to a coarse value as seen from this stage's unit, in the table of values or another of that shape."""
        place, tables = self.layout.value(name), self.tables
        at = table or tables.values(place.extent)
        columns = len(self.layout.values[place.extent])
        match place.extent:
            case "model":
                return f"{at} + {place.column} + t * 0"
            case "layer":
                layer = "k" if self.extent == "layer" else f"{self._get(tables.table('LAYER_OF') + ' + t')}"
                return f"{at} + {layer} * {columns} + {place.column}"
            case "tensor":
                return f"{at} + t * {columns} + {place.column}"
            case extent:
                width, offset = tables.word(f"{extent.upper()}_WIDTH"), tables.table(f"{extent.upper()}_OFFSET")
                return f"{at} + {width} * {place.column} + {self._get(f'{offset} + t')} + {self._index(extent)}"

    def _index(self, extent: str) -> str:
        """Index of the unit of a vector extent within its tensor; `j` is the index of this stage's unit."""
        if extent == self.extent:
            return "j"
        assert extent == "matrix", f"a {self.extent} stage cannot see a {extent} value"
        return f"j // {self._whole('rows' if self.extent == 'row' else 'cols')}"

    def _whole(self, what: str, tensor: str = "t", here: str = "") -> str:
        """Metadata as an integer, 1 where there is nothing."""
        return f"tl.maximum({self._meta(what, tensor, here)}.to(tl.int64), 1)"

    def _address(self, slot: str, tensor: str = "t", here: str = "") -> str:
        cell = f"{self.tables.table('ADDRESS')} + {tensor} * {self.tables.word('SLOTS')} + {self.layout.slot(slot)}"
        base = f"get({cell}, {here or self.here})"
        return f"{base} + j * {ITEM_BYTES[self.layout.dtype(slot)]}" if self.extent in VECTORS else base

    def _counter(self, op: Op) -> None:
        assert op.result is not None
        if op.word("counter") == "step":
            self.body.assign(op.result, f"tl.load({self.tables.table('STEP', 'tl.float64')})", "step")
        else:
            last = self.layout.module.slots[self.layout.counter].name
            self.body.assign(op.result, f"fetch({self._address(last)}, tl.float32, {self.here}) + 1.0", "updates")

    def _define(self, op: Op) -> None:
        name, x = op.word("sym_name"), self.body.text(op.operands[0])
        self.body.say(op.statement)
        read = name in self.tables.read
        rounded = read and self.layout.module.compute != "float64"
        if rounded and not x.isidentifier():
            x_name = self.body.names.new(name)
            self.body.line(f"{x_name} = {x}")
            x = x_name
        self.body.line(f"put({self._cell(name)}, {x}, {self.here})" + ("" if x == name else f"  # {name}"))
        if rounded:
            upper = self.layout.value(name).extent.upper()
            cell = self._cell(name, self.tables.table(f"{upper}_READ", self.tables.real))
            self.body.line(f"put({cell}, {x}, {self.here})")

    def _put(self, op: Op) -> None:
        slot = op.word("slot")
        kind, x = KINDS[self.layout.dtype(slot)], self.body.text(op.operands[0])
        mode = self.tables.table("MODE")
        if self.extent not in ("layer", "model"):
            active = f"{self.here} & ({self._get(f'{mode} + t')} == ACTIVE)"
            self.body.line(f"deposit({self._address(slot)}, {kind}, {self._number(x)}, {active})")
            return
        name = self.body.names.new(slot)
        self.body.line(f"{name} = {self._number(x)}")
        heads, each, there = self._members(everyone=True)
        for line in heads:
            self.body.line(line)
        address = self._address(slot, each, there)
        self.body.line(f"    deposit({address}, {kind}, {name}[:, None] + tl.zeros_like({each}), {there})")

    @staticmethod
    def _number(x: str) -> str:
        """A value of which every lane has one."""
        return f"{x} + tl.zeros_like(t).to(tl.float64)" if not x.isidentifier() else x

    # Loops over finer units

    def _span(self, start: str, stop: str) -> tuple[list[str], str, str]:
        """Heads of a loop over the entries from start to stop of every lane; the entries, and which there are."""
        new = self.body.names.new
        first, last, at, each, there = new("start"), new("stop"), new("at"), new("each"), new("there")
        heads = [
            f"{first} = {start}",
            f"{last} = {stop}",
            f"for {at} in range(0, longest({first}, {last}), WIDE):",
            f"    {each} = {first}[:, None] + {at} + tl.arange(0, WIDE)[None, :]",
            f"    {there} = {each} < {last}[:, None]",
        ]
        return heads, each, there

    def _members(self, *, everyone: bool = False) -> tuple[list[str], str, str]:
        """The same over the tensors of a layer, or those of the model that take part (or all)."""
        tables = self.tables
        if self.extent == "layer":
            start = tables.table("LAYER_START")
            heads, at, there = self._span(self._get(f"{start} + k"), self._get(f"{start} + k + 1"))
            each = self.body.names.new("member")
            return [*heads, f"    {each} = get({tables.table('LAYER_MEMBER')} + {at}, {there})"], each, there
        count = f"tl.where({self.here}, {tables.word('TENSORS')}, 0)"
        heads, each, there = self._span("t * 0", count)
        if not everyone:
            heads.append(f"    {there} = {there} & (get({tables.table('MODE')} + {each}, {there}) != ABSENT)")
        return heads, each, there

    def _loop(self, op: Op, how: str, wish: str, loop: tuple[list[str], str, str], term: str) -> None:
        """Combine a term over the entries of a loop."""
        assert op.result is not None
        heads, _, there = loop
        total = self.body.names.new(op.result.hint or wish)
        self.body.line(f"{total} = tl.full((LANES,), {_IDENTITY[how]}, tl.float64)")
        for head in heads:
            self.body.line(head)
        entries = f"{_REDUCE[how]}(tl.where({there}, {term}, {_IDENTITY[how]}), 1)"
        self.body.line(f"    {total} = {_COMBINE[how].format(a=total, b=entries)}")
        self.body.bind(op.result, total)

    def _total(self, op: Op) -> None:
        assert op.result is not None
        name, how = op.word("total"), op.word("reduction")
        if self.extent in VECTORS:
            self.body.assign(op.result, self._get(self._cell(name)), name)
            return
        column, columns = self.layout.total(name), len(self.layout.totals)
        total = self.tables.table("TENSOR_TOTAL", "tl.float64")
        if self.extent == "tensor":
            self.body.assign(op.result, self._get(f"{total} + t * {columns} + {column}"), name)
            return
        loop = self._members()
        self._loop(op, how, name, loop, f"get({total} + {loop[1]} * {columns} + {column}, {loop[2]})")

    def _fold(self, op: Op) -> None:
        name, how, own = op.word("value"), op.word("reduction"), op.word("extent")
        tables, column = self.tables, self.layout.value(name).column
        table, columns = tables.values(own), len(self.layout.values[own])
        if own == "layer":
            heads, each, there = self._span("t * 0", f"tl.where({self.here}, {tables.word('LAYERS')}, 0)")
            heads.append(f"    {there} = {there} & (get({tables.table('LAYER_PRESENT')} + {each}, {there}) != 0)")
            self._loop(op, how, name, (heads, each, there), f"get({table} + {each} * {columns} + {column}, {there})")
            return
        if own == "tensor":
            loop = self._members()
            self._loop(op, how, name, loop, f"get({table} + {loop[1]} * {columns} + {column}, {loop[2]})")
            return
        if self.extent in ("layer", "model"):
            raise BackendError(f"triton: {name}, a {own} value, over a {self.extent} is not built yet")
        width, offset = tables.word(f"{own.upper()}_WIDTH"), tables.table(f"{own.upper()}_OFFSET")
        if self.extent == "tensor":
            units = self._units(own)
            start, stop = "t * 0", f"({units}).to(tl.int64)"
        else:
            per = f"{self._meta('rows' if own == 'row' else 'cols')}.to(tl.int64)"
            start, stop = f"j * {per}", f"(j + 1) * {per}"
        loop = self._span(start, stop)
        entry = f"{table} + {width} * {column} + {self._get(f'{offset} + t')}[:, None] + {loop[1]}"
        self._loop(op, how, name, loop, f"get({entry}, {loop[2]})")

    def _units(self, extent: str, tensor: str = "t", here: str = "") -> str:
        """Entries of an extent in a tensor, as float64."""
        if extent == "elem":
            return self._meta("numel", tensor, here)
        matrices = self._meta("matrices", tensor, here)
        per = {"matrix": "", "row": "rows", "col": "cols"}[extent]
        return f"{matrices} * {self._meta(per, tensor, here)}" if per else matrices

    def _count(self, op: Op) -> None:
        assert op.result is not None
        own = op.word("extent")
        if self.extent == "tensor":
            self.body.bind(op.result, self._units(own), 0)
        elif self.extent in VECTORS:
            inside = {
                ("elem", "row"): ("cols",),
                ("elem", "col"): ("rows",),
                ("elem", "matrix"): ("rows", "cols"),
                ("row", "matrix"): ("rows",),
                ("col", "matrix"): ("cols",),
            }[own, self.extent]
            self.body.bind(op.result, " * ".join(self._meta(what) for what in inside), 0)
        elif own == "layer":
            tables = self.tables
            loop = self._span("t * 0", f"tl.where({self.here}, {tables.word('LAYERS')}, 0)")
            present = f"get({tables.table('LAYER_PRESENT')} + {loop[1]}, {loop[2]}).to(tl.float64)"
            self._loop(op, "sum", "layers", loop, present)
        else:
            loop = self._members()
            one = f"tl.where({loop[2]}, f8(1.0), f8(0.0))"
            self._loop(op, "sum", "entries", loop, one if own == "tensor" else self._units(own, loop[1], loop[2]))

    def _edges(self, op: Op) -> None:
        assert op.result is not None
        tables, kind = self.tables, op.word("kind")
        start = tables.table("EDGE_START")
        loop = self._span(self._get(f"{start} + k"), self._get(f"{start} + k + 1"))
        heads, edge, there = loop

        def of(word: str, type_: str = "tl.int64") -> str:
            return f"get({tables.table(word, type_)} + {edge}, {there})"

        a, b = of("EDGE_OWN", "tl.float64"), of("EDGE_OTHER", "tl.float64")
        name = op.word("value")
        columns, column = len(self.layout.values["layer"]), self.layout.value(name).column
        x = f"{self._get(self._cell(name))}[:, None]"
        other = f"get({tables.values('layer')} + {of('EDGE_TO')} * {columns} + {column}, {there})"
        term = {
            "laplacian": f"{a} * {x} - {b} * {other}",
            "neighbors": f"{b} * {other}",
            "pull": f"{a} - {b} * {other} / maximum({x}, f8(1e-16))",
            "push": f"{b} * {other} / maximum({x}, f8(1e-16))",
        }[kind]
        if kind in ("pull", "push"):
            heads.append(f"    {there} = {there} & ({of('EDGE_MATCHED')} == 0)")
        self._loop(op, "sum", op.result.hint or kind, loop, term)


def stage_function(
    name: str, extent: str, stages: Sequence[Stage | None], layout: Layout, read: frozenset[str]
) -> list[str]:
    """A stage of every variant."""
    lanes, wide = LANES[extent]
    tables = Tables(layout, Names(STAGE_RESERVED), read)
    depth = 1 if extent in VECTORS or extent == "model" else 2
    texts = {_text(extent, stage, layout, read) for stage in stages}
    body: list[str] = []
    heads = unit_heads(extent, tables)
    if len(texts) == 1:
        body = [] if stages[0] is None else StageCode(extent, tables, depth).write(stages[0].ops)
    else:
        for number, stage in enumerate(stages):
            if stage is None:
                continue
            here = tables.names.new(f"here_{number}")
            chosen = tables.table("VARIANT")
            body.append("    " * depth + f"{here} = here & (get({chosen} + t, here) == {number})")
            body += StageCode(extent, tables, depth, here).write(stage.ops)
    return [
        "@triton.jit",
        f"def {name}(ctx):",
        f"    LANES: tl.constexpr = {lanes}",
        *([f"    WIDE: tl.constexpr = {wide}"] if "WIDE" in "\n".join((*heads, *body)) else []),
        *tables.lines,
        *heads,
        *body,
    ]


def _text(extent: str, stage: Stage | None, layout: Layout, read: frozenset[str]) -> str:
    if stage is None:
        return ""
    return "\n".join(StageCode(extent, Tables(layout, Names(STAGE_RESERVED), read), 2).write(stage.ops))


def select_function(name: str, ops: Sequence[Op], layout: Layout) -> list[str]:
    """The choice of a variant for every tensor."""
    tables = Tables(layout, Names(STAGE_RESERVED), frozenset())
    heads = unit_heads("tensor", tables, everyone=True)
    body = StageCode("tensor", tables, 2).write(ops)
    lanes, _ = LANES["tensor"]
    return ["@triton.jit", f"def {name}(ctx):", f"    LANES: tl.constexpr = {lanes}", *tables.lines, *heads, *body]


def unit_heads(extent: str, tables: Tables, *, everyone: bool = False) -> list[str]:
    """What comes before the code of a unit: `t` is its (first present) tensor, `here` which lanes have one."""
    if extent == "model":
        return [
            "    t = first_present(ctx, WIDE) + tl.zeros((LANES,), tl.int64)",
            f"    here = t < {tables.word('TENSORS')}",
        ]
    if extent == "layer":
        present, start = tables.table("LAYER_PRESENT"), tables.table("LAYER_START")
        return [
            f"    for first in range(0, {tables.word('LAYERS')}, LANES):",
            "        k = first + tl.arange(0, LANES)",
            f"        here = get({present} + k, k < {tables.word('LAYERS')}) != 0",
            f"        t = get({tables.table('LAYER_MEMBER')} + get({start} + k, here), here)",
        ]
    if extent == "tensor":
        mode = [] if everyone else [f"        here = here & (get({tables.table('MODE')} + t, here) != ABSENT)"]
        return [
            f"    for first in range(0, {tables.word('MEMBER_COUNT')}, LANES):",
            "        k = first + tl.arange(0, LANES)",
            f"        here = k < {tables.word('MEMBER_COUNT')}",
            f"        t = get({tables.table('MEMBERS')} + k, here)",
            *mode,
        ]
    units = StageCode("tensor", tables, 1)._units(extent)  # pyright: ignore[reportPrivateUsage]
    block = tables.table(f"{extent.upper()}_BLOCK")
    return [
        f"    t = tl.load({block} + tl.program_id(0) * 2) + tl.zeros((LANES,), tl.int64)",
        f"    j = tl.load({block} + tl.program_id(0) * 2 + 1) + tl.arange(0, LANES)",
        "    here = t >= 0",
        f"    here = (j < ({units}).to(tl.int64)) & (get({tables.table('MODE')} + t, here) != ABSENT)",
    ]
