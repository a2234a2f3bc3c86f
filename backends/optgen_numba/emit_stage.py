"""Stages, and the choice of variant, as functions that loop over units in float64."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from optgen.backend.coarse_text import COMBINE, CoarseText, Loop
from optgen.ir.view import Value
from optgen_numba.emit_segment import RESERVED
from optgen_numba.layout import SHORT, Layout
from optgen_numba.python_text import Body, Names

#: Tables with one axis: what their view is called, and its length.
_ONE_AXIS = {
    "MEMBERS": ("members", "ctx[MEMBER_COUNT]"),
    "MODE": ("mode", "ctx[TENSORS]"),
    "VARIANT": ("variant", "ctx[TENSORS]"),
    "LAYER_PRESENT": ("layer_present", "ctx[LAYERS]"),
    "LAYER_START": ("layer_start", "ctx[LAYERS] + 1"),
    "LAYER_MEMBER": ("layer_member", "ctx[TENSORS]"),
    "LAYER_OF": ("layer_of", "ctx[TENSORS]"),
    "MATRIX_OFFSET": ("matrix_offset", "ctx[TENSORS]"),
    "ROW_OFFSET": ("row_offset", "ctx[TENSORS]"),
    "COL_OFFSET": ("col_offset", "ctx[TENSORS]"),
    "EDGE_START": ("edge_start", "ctx[LAYERS] + 1"),
}
_EDGES = {"EDGE_TO": "i8", "EDGE_OWN": "f8", "EDGE_OTHER": "f8", "EDGE_MATCHED": "i8"}
_OPPOSITE = {"==": "!=", "!=": "=="}


@dataclass
class Tables:
    """The table views that a function uses, made on first use."""

    layout: Layout
    names: Names
    lines: list[str] = field(default_factory=list[str])
    _made: dict[str, str] = field(default_factory=dict[str, str])

    def vector(self, name: str, word: str, length: str, short: str = "i8") -> str:
        """A table with one axis."""
        return self._make(name, f"{short}_stream(ctx[{word}], {length})")

    def table(self, name: str, word: str, rows: str, cols: str, short: str = "f8") -> str:
        """A table with two axes."""
        return self._make(name, f"{short}_table(ctx[{word}], {rows}, {cols})")

    def _make(self, name: str, text: str) -> str:
        if name not in self._made:
            self._made[name] = name if name in RESERVED else self.names.new(name)
            self.lines.append(f"    {self._made[name]} = {text}")
        return self._made[name]

    def takes(self, variants: Sequence[int]) -> str:
        """Whether tensor `t` is of one of these variants."""
        return " or ".join(f"{self.named('VARIANT')}[t] == {number}" for number in variants)

    def named(self, word: str) -> str:
        """The view of the table of a word."""
        layout = self.layout
        if word in _ONE_AXIS:
            name, length = _ONE_AXIS[word]
            return self.vector(name, word, length)
        if word in _EDGES:
            return self.vector(word.lower(), word, f"{self.named('EDGE_START')}[ctx[LAYERS]]", _EDGES[word])
        match word:
            case "INPUT":
                return self.vector("given", word, str(len(layout.module.inputs)), "f8")
            case "STEP":
                return self.vector("step", word, "1", "f8")
            case "HYPER":
                return self.table("hyper", word, "ctx[TENSORS]", str(len(layout.module.hypers)))
            case "META":
                return self.table("meta", word, "ctx[TENSORS]", "6")
            case "ADDRESS":
                return self.table("address", word, "ctx[TENSORS]", "ctx[SLOTS]", "i8")
            case "TENSOR_TOTAL":
                return self.table("tensor_total", word, "ctx[TENSORS]", str(len(layout.totals)))
            case _:
                return self._values(word)

    def _values(self, word: str) -> str:
        """The table of coarse values of an extent."""
        extent = word.removesuffix("_VALUE").lower()
        columns = str(len(self.layout.values[extent]))
        match extent:
            case "model":
                return self.vector("model_value", word, columns, "f8")
            case "tensor" | "layer":
                return self.table(word.lower(), word, f"ctx[{extent.upper()}S]", columns)
            case _:
                return self.table(word.lower(), word, columns, f"ctx[{extent.upper()}_WIDTH]")


class StageCode(CoarseText):
    """The operations of one stage of one variant, as the lines of the loop over its units."""

    backend = "numba"
    identity: ClassVar = {"sum": "0.0", "max": "-np.inf", "min": "np.inf"}

    def __init__(self, extent: str, tables: Tables, indent: int) -> None:
        super().__init__(extent, tables.layout, Body(tables.names, indent))
        self.tables = tables

    # Tables and memory

    def cell(self, table: str, row: str, column: int | None = None) -> str:
        """An item of a view."""
        return f"{self.tables.named(table)}[{', '.join(x for x in (row, '' if column is None else str(column)) if x)}]"

    def vector_cell(self, extent: str, column: int, first: str, entry: str) -> str:
        """An item of a view whose first axis are the columns."""
        return f"{self.tables.named(f'{extent.upper()}_VALUE')}[{column}, {first} + {entry}]"

    def get(self, place: str, here: str = "") -> str:  # noqa: ARG002 (one unit at a time)
        """Views are read as they are written."""
        return place

    def single(self, table: str, index: int) -> str:
        """An item of a view."""
        return f"{self.tables.named(table)}[{index}]"

    def count(self, word: str) -> str:
        """A word of the context."""
        return f"ctx[{word}]"

    def fetch(self, slot: str, address: str) -> str:
        """A load through an address."""
        return f"f8(load_{SHORT[self.layout.dtype(slot)]}({address}))"

    def _store(self, slot: str, address: str, x: str) -> str:
        short = SHORT[self.layout.dtype(slot)]
        return f"store_{short}({address}, {short}({x}))"

    def deposit(self, slot: str, address: str, x: str) -> None:
        """A store through an address."""
        self.body.line(f"if {self.cell('MODE', 't')} == ACTIVE:")
        self.body.line("    " + self._store(slot, address, x))

    def deposit_in(self, loop: Loop, slot: str, address: str, x: str) -> None:
        """A store for every tensor."""
        loop.line(self._store(slot, address, x))
        self.loop(loop)

    def define(self, name: str, place: str, x: str) -> None:
        """An assignment."""
        self.body.line(f"{place} = {x}" + ("" if x == name else f"  # {name}"))

    def choose(self, x: str) -> None:
        """An assignment."""
        self.body.line(f"{self.cell('VARIANT', 't')} = i8({x})")

    def take(self, value: Value, text: str, wish: str) -> None:  # noqa: ARG002 (the view says what it is)
        """Items of views need no names of their own."""
        self.body.bind(value, text)

    # Numbers and loops

    def whole(self, x: str, *, divides: bool = False) -> str:  # noqa: ARG002 (there always is a unit)
        """A conversion."""
        return f"i8({x})"

    def one(self) -> str:
        """As it is."""
        return "1.0"

    def span(self, start: str, stop: str, wish: str, inside: Loop | None = None) -> Loop:
        """A loop of Python."""
        name = self.body.names.new(wish)
        head = f"for {name} in range({stop if start == '0' else f'{start}, {stop}'}):"
        if inside is None:
            return Loop(name, [head])
        inside.line(head)
        return Loop(name, inside.lines, inside.depth + 1)

    def only(self, loop: Loop, x: str, sign: str, y: str) -> None:
        """Goes on to the next."""
        loop.line(f"if {x} {_OPPOSITE[sign]} {y}:")
        loop.line("    continue")

    def within(self, x: str, loop: Loop) -> str:  # noqa: ARG002 (one entry at a time)
        """As it is."""
        return x

    def start(self, how: str) -> str:
        """A number."""
        return self.identity[how]

    def combined(self, total: str, how: str, loop: Loop, term: str) -> str:  # noqa: ARG002 (one entry at a time)
        """One operation."""
        return COMBINE[how].format(a=total, b=term)
