"""Stages, and the choice of variant: float64 code for several units at once, one per lane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from optgen.backend.coarse_text import COMBINE, CoarseText, Loop, StagePlan
from optgen.backend.layout import VECTORS, Layout
from optgen.ir.view import Op, Value
from optgen.runtime.abi import META
from optgen_triton.spelling import KINDS, STAGE_RESERVED, Body, Names, within_type

#: Units and entries of what is combined per unit that a program handles at once.
LANES = {
    "model": (1, 1024),
    "layer": (32, 32),
    "tensor": (128, 8),
    "matrix": (8, 128),
    "row": (256, 1),
    "col": (256, 1),
}
#: The same where entries have rows, columns or matrices of their own that are combined, and how many of those.
INNER_LANES = {"model": (1, 8, 256), "layer": (8, 2, 128)}
_REDUCE = {"sum": "sum_of", "max": "max_of", "min": "min_of"}
#: Tables of int64; the others are of float64.
_INTEGERS = frozenset(
    (
        *("MEMBERS", "MODE", "VARIANT", "ADDRESS", "LAYER_PRESENT", "LAYER_START", "LAYER_MEMBER", "LAYER_OF"),
        *("MATRIX_OFFSET", "ROW_OFFSET", "COL_OFFSET", "MATRIX_BLOCK", "ROW_BLOCK", "COL_BLOCK"),
        *("EDGE_START", "EDGE_TO", "EDGE_MATCHED"),
    )
)


@dataclass
class Tables:
    """The tables that a function uses, as pointers made on first use; `read` are values that sweeps read."""

    layout: Layout
    names: Names
    read: frozenset[str]
    lines: list[str] = field(default_factory=list[str])
    _made: dict[str, str] = field(default_factory=dict[str, str])

    def table(self, word: str, kind: str = "") -> str:
        """Pointer to a table."""
        return self._make(word, f"table(ctx, {word}, {kind or ('tl.int64' if word in _INTEGERS else 'tl.float64')})")

    def word(self, word: str) -> str:
        """A number."""
        return self._make(word, f"word(ctx, {word})")

    def _make(self, word: str, text: str) -> str:
        if word not in self._made:
            self._made[word] = self.names.new(word.lower())
            self.lines.append(f"    {self._made[word]} = {text}")
        return self._made[word]

    def columns(self, word: str) -> str:
        """Columns of a table with two axes."""
        layout = self.layout
        match word:
            case "HYPER":
                return str(len(layout.module.hypers))
            case "META":
                return str(len(META))
            case "ADDRESS":
                return self.word("SLOTS")
            case "TENSOR_TOTAL":
                return str(len(layout.totals))
            case _:
                return str(len(layout.values[word.rpartition("_")[0].lower()]))

    @property
    def real(self) -> str:
        """The type that sweeps compute in."""
        return KINDS[self.layout.module.compute]


class StageCode(CoarseText):
    """The operations of one stage of one variant, as the lines of the loop over its units."""

    backend = "triton"
    identity: ClassVar = {"sum": "0.0", "max": "-INFINITY", "min": "INFINITY"}

    def __init__(self, extent: str, tables: Tables, indent: int, here: str = "here") -> None:
        super().__init__(extent, tables.layout, Body(tables.names, indent), here)
        self.tables = tables

    # Tables and memory

    def cell(self, table: str, row: str, column: int | None = None) -> str:
        """A pointer."""
        at = self.tables.table(table)
        return self._cell(at, table, row, column)

    def _cell(self, at: str, table: str, row: str, column: int | None) -> str:
        if column is None:
            return f"{at} + {row}"
        if not row:
            return f"{at} + {column} + t * 0"
        return f"{at} + {row} * {self.tables.columns(table)} + {column}"

    def vector_cell(self, extent: str, column: int, first: str, entry: str) -> str:
        """A pointer."""
        return self._vector_cell(self.tables.table(f"{extent.upper()}_VALUE"), extent, column, first, entry)

    def _vector_cell(self, at: str, extent: str, column: int, first: str, entry: str) -> str:
        return f"{at} + {self.tables.word(f'{extent.upper()}_WIDTH')} * {column} + {first} + {entry}"

    def get(self, place: str, here: str = "") -> str:
        """A masked load."""
        return f"get({place}, {here or self.here})"

    def single(self, table: str, index: int) -> str:
        """A load of one number."""
        at = self.tables.table(table)
        return f"tl.load({at} + {index})" if index else f"tl.load({at})"

    def count(self, word: str) -> str:
        """None where there is no unit."""
        return f"tl.where({self.here}, {self.tables.word(word)}, 0)"

    def fetch(self, slot: str, address: str) -> str:
        """A load through addresses."""
        return f"fetch({address}, {KINDS[self.layout.dtype(slot)]}, {self.here})"

    def deposit(self, slot: str, address: str, x: str) -> None:
        """A store through addresses."""
        active = f"{self.here} & ({self.get(self.cell('MODE', 't'))} == ACTIVE)"
        self.body.line(f"deposit({address}, {KINDS[self.layout.dtype(slot)]}, {self._lanes(x)}, {active})")

    def deposit_in(self, loop: Loop, slot: str, address: str, x: str) -> None:
        """A store for every tensor of every unit."""
        name = self.body.names.new(slot)
        self.body.line(f"{name} = {self._lanes(x)}")
        kind = KINDS[self.layout.dtype(slot)]
        loop.line(f"deposit({address}, {kind}, {name}[:, None] + tl.zeros_like({loop.each}), {loop.there})")
        self.loop(loop)

    def define(self, name: str, place: str, x: str) -> None:
        """A masked store, and another of the value as sweeps read it."""
        x = within_type(x, "f64")
        rounded = name in self.tables.read and self.layout.module.compute != "float64"
        if rounded and not x.isidentifier():
            x_name = self.body.names.new(name)
            self.body.line(f"{x_name} = {x}")
            x = x_name
        self.body.line(f"put({place}, {x}, {self.here})" + ("" if x == name else f"  # {name}"))
        if rounded:
            self.body.line(f"put({self._read_place(name)}, {x}, {self.here})")

    def _read_place(self, name: str) -> str:
        """The place of a value of this extent as sweeps read it."""
        own = self.layout.value(name)
        at = self.tables.table(f"{own.extent.upper()}_READ", self.tables.real)
        if own.extent in VECTORS:
            first = self.get(self.cell(f"{own.extent.upper()}_OFFSET", "t"))
            return self._vector_cell(at, own.extent, own.column, first, "j")
        return self._cell(at, f"{own.extent.upper()}_READ", "t", own.column)

    def choose(self, x: str) -> None:
        """A masked store."""
        self.body.line(f"put({self.cell('VARIANT', 't')}, ({x}).to(tl.int64), {self.here})")

    def take(self, value: Value, text: str, wish: str) -> None:
        """What is loaded has a name."""
        self.body.assign(value, text, wish)

    # Numbers and loops

    @staticmethod
    def _lanes(x: str) -> str:
        """A value of which every lane has one."""
        return f"{x} + tl.zeros_like(t).to(tl.float64)" if not x.isidentifier() else x

    def whole(self, x: str, *, divides: bool = False) -> str:
        """A conversion."""
        x = f"({x}).to(tl.int64)" if x.count("get(") > 1 else f"{x}.to(tl.int64)"
        return f"tl.maximum({x}, 1)" if divides else x

    def one(self) -> str:
        """Of the right type."""
        return "f8(1.0)"

    def floor(self, number: str) -> str:
        """Of the right type."""
        return f"f8({number})"

    def span(self, start: str, stop: str, wish: str, inside: Loop | None = None) -> Loop:
        """A loop over as many entries as any unit has, WIDE at a time along an axis of their own; or DEEP."""
        new = self.body.names.new
        first, last, at, each, there = new("start"), new("stop"), new("begin"), new(wish), new("there")
        size, axes, mask = ("WIDE", "[:, None]", "") if inside is None else ("DEEP", "[:, :, None]", inside.there)
        own = "[None, :]" if inside is None else "[None, None, :]"
        unit = "t" if inside is None else inside.each
        if mask:
            stop = f"tl.where({mask}, {stop}, 0)"
        loop = Loop(each, [], 0, there) if inside is None else Loop(each, inside.lines, inside.depth, there)
        loop.line(f"{first} = {f'{unit} * 0' if start == '0' else start}")
        loop.line(f"{last} = {stop}")
        loop.line(f"for {at} in range(0, longest({first}, {last}), {size}):")
        loop.depth += 1
        loop.line(f"{each} = {first}{axes} + {at} + tl.arange(0, {size}){own}")
        loop.line(f"{there} = {each} < {last}{axes}")
        return loop

    def only(self, loop: Loop, x: str, sign: str, y: str) -> None:
        """Leaves them out of the mask."""
        loop.line(f"{loop.there} = {loop.there} & ({x} {sign} {y})")

    def within(self, x: str, loop: Loop) -> str:
        """Along one axis more."""
        return f"{x}{'[:, :, None]' if self._is_inner(loop) else '[:, None]'}"

    def start(self, how: str) -> str:
        """One for each unit."""
        return f"tl.full((LANES,), {self.identity[how]}, tl.float64)"

    def combined(self, total: str, how: str, loop: Loop, term: str) -> str:
        """With what the entries come to."""
        entries = f"tl.where({loop.there}, {term}, {self.identity[how]})"
        for axis in (2, 1) if self._is_inner(loop) else (1,):
            entries = f"{_REDUCE[how]}({entries}, {axis})"
        return COMBINE[how].format(a=total, b=entries)

    @staticmethod
    def _is_inner(loop: Loop) -> bool:
        return any("DEEP" in line for line in loop.lines)


def stage_function(plan: StagePlan, layout: Layout, read: frozenset[str]) -> list[str]:
    """A stage of every variant."""

    def lines(ops: Sequence[Op], tables: Tables, here: str = "here") -> list[str]:
        return StageCode(extent, tables, depth, here).write(ops)

    extent = plan.extent
    depth = 1 if extent in VECTORS or extent == "model" else 2
    tables = Tables(layout, Names(STAGE_RESERVED), read)
    body: list[str] = []
    heads = unit_heads(extent, tables)
    for ops, variants in plan.cases(lambda ops: lines(ops, Tables(layout, Names(STAGE_RESERVED), read))):
        here = "here"
        if variants:
            here = tables.names.new(f"here_{variants[0]}")
            chosen = f"get({tables.table('VARIANT')} + t, here)"
            tests = [f"({chosen} == {number})" for number in variants]
            test = tests[0] if len(tests) == 1 else f"({' | '.join(tests)})"
            body.append("    " * depth + f"{here} = here & {test}")
        body += lines(ops, tables, here)
    code = "\n".join((*heads, *body))
    sizes = zip(("LANES", "WIDE", "DEEP"), INNER_LANES[extent] if "DEEP" in code else LANES[extent], strict=False)
    return [
        "@triton.jit",
        f"def {plan.name}(ctx):",
        *(f"    {name}: tl.constexpr = {size}" for name, size in sizes if name == "LANES" or name in code),
        *tables.lines,
        *heads,
        *body,
    ]


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
    units = StageCode("tensor", tables, 1).units(extent)
    block = tables.table(f"{extent.upper()}_BLOCK")
    return [
        f"    t = tl.load({block} + tl.program_id(0) * 2) + tl.zeros((LANES,), tl.int64)",
        f"    j = tl.load({block} + tl.program_id(0) * 2 + 1) + tl.arange(0, LANES)",
        "    here = t >= 0",
        f"    here = (j < ({units}).to(tl.int64)) & (get({tables.table('MODE')} + t, here) != ABSENT)",
    ]
