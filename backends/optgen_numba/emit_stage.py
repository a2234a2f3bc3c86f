"""Stages, and the choice of variant, as functions that loop over units in float64."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from optgen.errors import BackendError
from optgen.ir.view import Op
from optgen_numba.emit_segment import RESERVED
from optgen_numba.layout import ITEM_BYTES, SHORT, VECTORS, Layout
from optgen_numba.python_text import PURE, Body, Names

_COMBINE = {"sum": "{a} + {b}", "max": "maximum({a}, {b})", "min": "minimum({a}, {b})"}
_IDENTITY = {"sum": "0.0", "max": "-np.inf", "min": "np.inf"}


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

    # The tables by what they hold

    @property
    def members(self) -> str:
        return self.vector("members", "MEMBERS", "ctx[MEMBER_COUNT]")

    @property
    def mode(self) -> str:
        return self.vector("mode", "MODE", "ctx[TENSORS]")

    @property
    def variant(self) -> str:
        return self.vector("variant", "VARIANT", "ctx[TENSORS]")

    @property
    def hyper(self) -> str:
        return self.table("hyper", "HYPER", "ctx[TENSORS]", str(len(self.layout.module.hypers)))

    @property
    def meta(self) -> str:
        return self.table("meta", "META", "ctx[TENSORS]", "6")

    @property
    def address(self) -> str:
        return self.table("address", "ADDRESS", "ctx[TENSORS]", "ctx[SLOTS]", "i8")

    @property
    def present(self) -> str:
        return self.vector("layer_present", "LAYER_PRESENT", "ctx[LAYERS]")

    @property
    def layer_start(self) -> str:
        return self.vector("layer_start", "LAYER_START", "ctx[LAYERS] + 1")

    @property
    def layer_member(self) -> str:
        return self.vector("layer_member", "LAYER_MEMBER", "ctx[TENSORS]")

    @property
    def layer_of(self) -> str:
        return self.vector("layer_of", "LAYER_OF", "ctx[TENSORS]")

    def offset(self, extent: str) -> str:
        """First entry of a tensor in the tables of a vector extent."""
        return self.vector(f"{extent}_offset", f"{extent.upper()}_OFFSET", "ctx[TENSORS]")

    def values(self, extent: str) -> str:
        """The table of coarse values of an extent."""
        columns = str(len(self.layout.values[extent]))
        if extent == "tensor":
            return self.table("tensor_value", "TENSOR_VALUE", "ctx[TENSORS]", columns)
        if extent == "layer":
            return self.table("layer_value", "LAYER_VALUE", "ctx[LAYERS]", columns)
        if extent == "model":
            return self.vector("model_value", "MODEL_VALUE", columns, "f8")
        return self.table(f"{extent}_value", f"{extent.upper()}_VALUE", columns, f"ctx[{extent.upper()}_WIDTH]")

    def totals(self) -> str:
        """Per-tensor totals."""
        return self.table("tensor_total", "TENSOR_TOTAL", "ctx[TENSORS]", str(len(self.layout.totals)))


class StageCode:
    """The operations of one stage of one variant, as the lines of the loop over its units."""

    def __init__(self, extent: str, tables: Tables, indent: int) -> None:
        self.extent = extent
        self.tables = tables
        self.layout = tables.layout
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
        body, tables, layout = self.body, self.tables, self.layout
        result = op.result
        match op.name:
            case "kernel.hyper" if result is not None:
                body.assign(result, f"{tables.hyper}[t, {layout.hyper(op.word('hyper'))}]", op.word("hyper"))
            case "kernel.metadata" if result is not None:
                body.bind(result, f"{tables.meta}[t, {layout.metadata(op.word('metadata'))}]")
            case "kernel.input" if result is not None:
                column = list(layout.module.inputs).index(op.word("input"))
                body.bind(result, f"{tables.vector('given', 'INPUT', str(len(layout.module.inputs)), 'f8')}[{column}]")
            case "kernel.counter" if result is not None:
                self._counter(op)
            case "kernel.value" if result is not None:
                body.bind(result, self._cell(op.word("value")))
            case "kernel.define":
                cell = self._cell(op.word("sym_name"))
                body.say(op.statement)
                name, text = op.word("sym_name"), body.text(op.operands[0])
                body.line(f"{cell} = {text}" + ("" if text == name else f"  # {name}"))
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
                body.assign(result, f"f8(load_{SHORT[layout.dtype(slot)]}({self._slot_address(slot)}))", slot)
            case "kernel.put":
                self._put(op)
            case "kernel.chosen":
                body.line(f"{tables.variant}[t] = i8({body.text(op.operands[0])})")
            case _:
                raise BackendError(f"numba: {op.name} is not an operation of coarse code")

    # Cells

    def _cell(self, name: str) -> str:
        """A coarse value as seen from this stage's unit."""
        place, tables = self.layout.value(name), self.tables
        table = tables.values(place.extent)
        match place.extent:
            case "model":
                return f"{table}[{place.column}]"
            case "layer":
                layer = "k" if self.extent == "layer" else f"{tables.layer_of}[t]"
                return f"{table}[{layer}, {place.column}]"
            case "tensor":
                return f"{table}[t, {place.column}]"
            case extent:
                return f"{table}[{place.column}, {tables.offset(extent)}[t] + {self._index(extent)}]"

    def _index(self, extent: str) -> str:
        """Index of the unit of a vector extent within its tensor; `j` is the index of this stage's unit."""
        if extent == self.extent:
            return "j"
        assert extent == "matrix", f"a {self.extent} stage cannot see a {extent} value"
        return f"j // i8({self.tables.meta}[t, {self.layout.metadata('rows' if self.extent == 'row' else 'cols')}])"

    def _slot_address(self, slot: str) -> str:
        base = f"{self.tables.address}[t, {self.layout.slot(slot)}]"
        return f"{base} + {ITEM_BYTES[self.layout.dtype(slot)]} * j" if self.extent in VECTORS else base

    def _counter(self, op: Op) -> None:
        assert op.result is not None
        if op.word("counter") == "step":
            self.body.bind(op.result, f"{self.tables.vector('step', 'STEP', '1', 'f8')}[0]")
        else:
            text = f"f8(load_f4({self.tables.address}[t, {self.layout.counter}])) + 1.0"
            self.body.assign(op.result, text, "updates")

    def _put(self, op: Op) -> None:
        slot = op.word("slot")
        short = SHORT[self.layout.dtype(slot)]
        store = f"store_{short}({self._slot_address(slot)}, {short}({self.body.text(op.operands[0])}))"
        if self.extent not in ("layer", "model"):
            self.body.line(f"if {self.tables.mode}[t] == ACTIVE:")
            self.body.line("    " + store)
            return
        each = self.body.names.new("each")
        everyone = [f"for {each} in range(ctx[TENSORS]):"]
        for line in self._members(each) if self.extent == "layer" else everyone:
            self.body.line(line)
        self.body.line("    " + store.replace(f"{self.tables.address}[t, ", f"{self.tables.address}[{each}, "))

    # Loops over finer units

    def _members(self, name: str) -> list[str]:
        """Loop heads over the tensors of a layer or of the model."""
        tables = self.tables
        if self.extent == "layer":
            loop = self.body.names.new("at")
            return [
                f"for {loop} in range({tables.layer_start}[k], {tables.layer_start}[k + 1]):",
                f"    {name} = {tables.layer_member}[{loop}]",
            ]
        return [f"for {name} in range(ctx[TENSORS]):", f"    if {tables.mode}[{name}] == ABSENT:", "        continue"]

    def _total(self, op: Op) -> None:
        assert op.result is not None
        name, how = op.word("total"), op.word("reduction")
        if self.extent in VECTORS:
            self.body.bind(op.result, self._cell(name))
            return
        column = self.layout.total(name)
        if self.extent == "tensor":
            self.body.bind(op.result, f"{self.tables.totals()}[t, {column}]")
            return
        each = self.body.names.new("each")
        cell = f"{self.tables.totals()}[{each}, {column}]"
        self._loop(op, how, name, self._members(each), cell)

    def _loop(self, op: Op, how: str, wish: str, heads: Sequence[str], term: str) -> None:
        """Combine a term over a loop."""
        assert op.result is not None
        total = self.body.assign(op.result, _IDENTITY[how], op.result.hint or wish)
        for head in heads:
            self.body.line(head)
        indent = len(heads[-1]) - len(heads[-1].lstrip()) + (4 if heads[-1].endswith(":") else 0)
        indent = 4 if heads[-1].strip() == "continue" else indent
        self.body.line(" " * indent + f"{total} = {_COMBINE[how].format(a=total, b=term)}")

    def _fold(self, op: Op) -> None:
        name, how, own = op.word("value"), op.word("reduction"), op.word("extent")
        tables, column = self.tables, self.layout.value(name).column
        table = tables.values(own)
        if own == "layer":
            layer = self.body.names.new("layer")
            heads = [
                f"for {layer} in range(ctx[LAYERS]):",
                f"    if {tables.present}[{layer}] == 0:",
                "        continue",
            ]
            self._loop(op, how, name, heads, f"{table}[{layer}, {column}]")
            return
        if own == "tensor":
            each = self.body.names.new("each")
            self._loop(op, how, name, self._members(each), f"{table}[{each}, {column}]")
            return
        entry = self.body.names.new("entry")
        if self.extent in ("layer", "model"):
            each = self.body.names.new("each")
            heads = self._members(each)
            inner = f"    for {entry} in range({self._length(own, each)}):"
            self._loop(op, how, name, [*heads, inner], f"{table}[{column}, {tables.offset(own)}[{each}] + {entry}]")
            return
        start, stop = self._span(own)
        heads = [f"for {entry} in range({start}, {stop}):"]
        self._loop(op, how, name, heads, f"{table}[{column}, {tables.offset(own)}[t] + {entry}]")

    def _length(self, extent: str, tensor: str = "t") -> str:
        """Entries of a vector extent in a tensor."""
        return f"i8({self._number(extent, tensor)})"

    def _number(self, extent: str, tensor: str) -> str:
        meta, of = self.tables.meta, self.layout.metadata
        per = {"matrix": "", "row": f" * {meta}[{tensor}, {of('rows')}]", "col": f" * {meta}[{tensor}, {of('cols')}]"}
        if extent == "elem":
            return f"{meta}[{tensor}, {of('numel')}]"
        return f"{meta}[{tensor}, {of('matrices')}]{per[extent]}"

    def _span(self, own: str) -> tuple[str, str]:
        """Entries of a vector extent in this stage's unit: a tensor, or matrix `j` of it."""
        if self.extent == "tensor":
            return "0", self._length(own)
        per = f"i8({self.tables.meta}[t, {self.layout.metadata('rows' if own == 'row' else 'cols')}])"
        return f"j * {per}", f"(j + 1) * {per}"

    def _count(self, op: Op) -> None:
        assert op.result is not None
        own, tables, meta = op.word("extent"), self.tables, self.tables.meta
        of = self.layout.metadata
        if self.extent == "tensor":
            self.body.bind(op.result, self._number(own, "t"), 0)
        elif self.extent in VECTORS:
            inside = {
                ("elem", "row"): f"{meta}[t, {of('cols')}]",
                ("elem", "col"): f"{meta}[t, {of('rows')}]",
                ("elem", "matrix"): f"{meta}[t, {of('rows')}] * {meta}[t, {of('cols')}]",
                ("row", "matrix"): f"{meta}[t, {of('rows')}]",
                ("col", "matrix"): f"{meta}[t, {of('cols')}]",
            }
            self.body.bind(op.result, inside[own, self.extent], 0)
        elif own == "layer":
            heads = ["for layer in range(ctx[LAYERS]):"]
            self._loop(op, "sum", "layers", heads, f"{tables.present}[layer]")
        else:
            each = self.body.names.new("each")
            term = "1.0" if own == "tensor" else self._number(own, each)
            self._loop(op, "sum", "entries", self._members(each), term)

    def _edges(self, op: Op) -> None:
        assert op.result is not None
        tables, kind = self.tables, op.word("kind")
        start = tables.vector("edge_start", "EDGE_START", "ctx[LAYERS] + 1")
        count = f"{start}[ctx[LAYERS]]"
        to = tables.vector("edge_to", "EDGE_TO", count)
        own = tables.vector("edge_own", "EDGE_OWN", count, "f8")
        other = tables.vector("edge_other", "EDGE_OTHER", count, "f8")
        column = self.layout.value(op.word("value")).column
        table = tables.values("layer")
        x, x_to = f"{table}[k, {column}]", f"{table}[{to}[edge], {column}]"
        term = {
            "laplacian": f"{own}[edge] * {x} - {other}[edge] * {x_to}",
            "neighbors": f"{other}[edge] * {x_to}",
            "pull": f"({own}[edge] - {other}[edge] * {x_to} / maximum({x}, 1e-16))",
            "push": f"{other}[edge] * {x_to} / maximum({x}, 1e-16)",
        }[kind]
        total = self.body.assign(op.result, "0.0", op.result.hint or kind)
        self.body.line(f"for edge in range({start}[k], {start}[k + 1]):")
        if kind in ("pull", "push"):
            matched = tables.vector("edge_matched", "EDGE_MATCHED", count)
            self.body.line(f"    if {matched}[edge] == 0:")
            self.body.line(f"        {total} = {total} + {term}")
        else:
            self.body.line(f"    {total} = {total} + {term}")
