"""Sweeps on a GPU: an element function with the rule's equations, and the functions that take it over a chunk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from optgen.backend.element_text import ElementText
from optgen.backend.gpu_text import Partial, SweepCode
from optgen.backend.launch_plan import first_stages
from optgen.backend.layout import ITEM_BYTES, SHORT, VECTORS, Layout
from optgen.backend.python_text import call, several
from optgen.errors import BackendError
from optgen.ir.view import Sweep, Total, Value, Variant
from optgen_numba.gpu_spelling import ARRAYS, SWEEP_RESERVED, ZERO, Body, Names
from optgen_numba.gpu_stage import scalars_function

_ADD = {"sum": "{a} + {b}", "max": "maximum({a}, {b})", "min": "minimum({a}, {b})"}
_START = {"sum": "0.0", "max": "-np.inf", "min": "np.inf"}
#: Index of a vector entry of an extent within its tensor.
_ENTRY = {"matrix": "matrix", "row": "matrix * rows + row", "col": "matrix * cols + c"}
_INDEX = "(matrix * rows + row) * cols + c"


@dataclass(frozen=True)
class _Near:
    """A sum over neighbours of a slot: the argument it is, and whose."""

    name: str
    slot: str
    gradient: bool
    laplacian: bool


class _Writer(ElementText):
    backend = "numba-cuda"

    def __init__(self, name: str, sweep: Sweep, layout: Layout, inline: Variant | None) -> None:
        self.names = Names(SWEEP_RESERVED)
        super().__init__(sweep, layout, Body(self.names))
        self.name = name
        self.inline = inline
        self.real = SHORT[layout.module.compute]
        self.item = ITEM_BYTES[layout.module.compute]
        self.slots = self.touched("kernel.load", "kernel.store", "kernel.stencil")
        self.loaded: dict[str, str] = {}  # slot -> argument
        self.stored: dict[str, str] = {}  # slot -> result
        self.near: list[_Near] = []
        self.noise: dict[int, str] = {}  # stream -> argument
        self.scalars: dict[str, str] = {}  # coarse value -> argument
        self.vectors: dict[str, str] = {}
        self.totals: list[Partial] = []

    # Equations

    def is_slot(self, name: str) -> bool:
        """A slot of the sweep."""
        return name in self.slots

    def widened(self, slot: str) -> str:
        """The slot's own name is the word's."""
        return f"{slot}_wide"

    def load(self, result: Value, slot: str) -> None:
        """An argument."""
        self.body.bind(result, self._argument(slot))

    def _argument(self, slot: str) -> str:
        if slot not in self.loaded:
            self.loaded[slot] = self.names.new(slot)
        return self.loaded[slot]

    def store(self, slot: str, x: str) -> None:
        """A result."""
        self.stored[slot] = x

    def at_random(self, result: Value, x: str, stream: int) -> None:
        """By an argument."""
        if stream not in self.noise:
            self.noise[stream] = self.names.new(f"noise_{stream}")
        self.body.bind(result, f"b2_at_random({x}, {self.noise[stream]})")

    def read(self, result: Value, name: str) -> None:
        """An argument."""
        tensor = self.layout.value(name).extent == "tensor"
        known = self.scalars if tensor else self.vectors
        if name not in known:
            known[name] = self.names.new(name if tensor else f"this_{name}")
        self.body.bind(result, known[name])

    def stencil(self, result: Value, slot: str, kind: str) -> None:
        """An argument."""
        self._argument(slot)
        name = self.names.new(result.hint or f"pull_{slot}")
        gradient = self.layout.module.slots[self.layout.slot(slot)].role == "gradient"
        self.near.append(_Near(name, slot, gradient, kind == "laplacian"))
        self.body.bind(result, name)

    def accumulate(self, total: Total, x: str) -> None:
        """An argument and a result."""
        vector = total.extent in VECTORS
        if total.extent == "matrix":
            raise BackendError("numba-cuda: a reduction over matrices in a sweep is not built yet")
        column = self.layout.value(total.name).column if vector else self.layout.total(total.name)
        partial = Partial(self.names.new(total.name), total.reduction, total.extent, column)
        self.totals.append(partial)
        self.body.line(f"{partial.name} = {_ADD[total.reduction].format(a=partial.name, b=x)}")

    # Functions

    def write(self, *, tiled: bool) -> SweepCode:
        """All functions of the sweep."""
        self.write_ops()
        new = Names(SWEEP_RESERVED | set(self._arguments())).new  # names in the functions around it
        self.at = {slot: new(f"{slot}_at") for slot in self.slots}
        self.lies = {slot: new(f"{slot}_lies") for slot in self.slots}
        self.new = {slot: new(f"{slot}_new") for slot in self.stored}
        self.next = {slot: new(f"{slot}_next") for slot in self.stored}
        self.held = {total.name: new(f"{total.name}_down") for total in self._of("col")}
        self.beside = {value: new(f"{name}_here") for value, name in self.vectors.items() if self._is_col(value)}
        self.value_at = {value: new(f"{name}_at") for value, name in self.vectors.items()}
        self.part_at = {x.name: new(f"{x.name}_at") for x in self.totals if x.extent in VECTORS}
        chunk = [self._small(), self._tiles()] if tiled else [self._line()]
        vectors = [total for total in self.totals if total.extent in VECTORS]
        columns = [total.column for total in self._coarse()]
        held = len(self.slots) + len(self.totals) + 2 * len(self.near)
        return SweepCode(self.name, (*self._own(), self._element(), *chunk), columns, vectors, held)

    def _own(self) -> list[list[str]]:
        """What computes the coarse values of a tensor, where its programs do."""
        if self.inline is None or not self.scalars:
            return []
        values = list(self.scalars)
        return [scalars_function(f"{self.name}_scalars", first_stages(self.inline, values), values, self.layout)]

    def _of(self, extent: str) -> list[Partial]:
        return [total for total in self.totals if total.extent == extent]

    def _coarse(self) -> list[Partial]:
        return [total for total in self.totals if total.extent not in VECTORS]

    def _is_col(self, value: str) -> bool:
        return self.layout.value(value).extent == "col"

    def _short(self, slot: str) -> str:
        return SHORT[self.layout.dtype(slot)]

    def _arguments(self) -> list[str]:
        """Of the element function."""
        return [
            *self.loaded.values(),
            *(near.name for near in self.near),
            *self.noise.values(),
            *self.scalars.values(),
            *self.vectors.values(),
            *(total.name for total in self.totals),
        ]

    def _element(self) -> list[str]:
        lines = ["@device", *call("", f"def {self.name}_element(", self._arguments(), "):"), *self.body.lines]
        return [*lines, f"    return {', '.join([*self.stored.values(), *(total.name for total in self.totals)])}"]

    def _head(self, name: str) -> list[str]:
        """What all functions of a sweep begin with: slots, coarse values, totals."""
        lines = ["@device", f"def {name}(ctx, chunk, t, active):"]
        lines += [f"    {self.at[s]}, {self.lies[s]} = slot(ctx, t, {self.layout.slot(s)})" for s in self.slots]
        if self.scalars and self.inline is not None:
            lines += several("    ", list(self.scalars.values()), f" = {self.name}_scalars(ctx, t)")
        elif self.scalars:
            columns = len(self.layout.values["tensor"])
            lines.append(f"    read = {self.real}_stream(ctx[TENSOR_READ] + {self.item * columns} * t, {columns})")
            lines += [f"    {name} = read[{self.layout.value(value).column}]" for value, name in self.scalars.items()]
        lines.append("    where = i8_stream(ctx[CHUNK] + 8 * CHUNK_FIELDS * chunk, CHUNK_FIELDS)")
        return [*lines, *self._begun(self._coarse(), "    ")]

    def _begun(self, totals: Sequence[Partial], indent: str) -> list[str]:
        return [f"{indent}{total.name} = {self.real}({_START[total.how]})" for total in totals]

    def _arrays(self) -> list[str]:
        """Room for four new elements of each slot that is stored."""
        return [f"    {self.next[s]} = cuda.local.array(WIDE, {ARRAYS[self._short(s)]})" for s in self.stored]

    def _whole(self, *more: str) -> list[str]:
        """Whether four elements may be read at once."""
        tests = ["active", *(f"plain({self.at[s]}, {self.lies[s]})" for s in self.slots)]
        tests += [f"neighbours_plain(ctx, t, {self.layout.slot(n.slot)}, {n.gradient})" for n in self.near]
        lines, parts = list[str](), list(dict.fromkeys([*tests, *more]))
        for first in range(0, len(parts), 4):
            known = ["whole"] if first else []
            lines.append(f"    whole = {' and '.join([*known, *parts[first : first + 4]])}")
        return lines

    def _call(self, indent: str, wide: str, col: str, totals: dict[str, str]) -> list[str]:
        """A call of the element function. wide: index of the element of four, "" for one; col: of a column's value."""
        pick = f"[{wide}]" if wide else ""
        at = f"i + {wide}" if wide else "i"
        arguments = [
            *(f"{name}{pick}" for name in self.loaded.values()),
            *(f"{near.name}{pick}" for near in self.near),
            *(f"noise(ctx, t, {at}, {stream})" for stream in self.noise),
            *self.scalars.values(),
            *(f"{self.beside[v]}[{col}]" if col and v in self.beside else name for v, name in self.vectors.items()),
            *(totals.get(total.name, total.name) for total in self.totals),
        ]
        results = [
            *(f"{self.next[slot]}{pick}" if wide else self.new[slot] for slot in self.stored),
            *(totals.get(total.name, total.name) for total in self.totals),
        ]
        return call(indent, f"{', '.join(results)} = {self.name}_element(", arguments)

    def _loads(self, indent: str, *, wide: bool) -> list[str]:
        """The elements at i, four or one, and the sums over their neighbours."""
        lines: list[str] = []
        for slot, name in self.loaded.items():
            short, item = self._short(slot), ITEM_BYTES[self.layout.dtype(slot)]
            if wide:
                lines.append(f"{indent}{name} = load4_{short}({self.at[slot]} + {item} * i)")
                continue
            gradient = self.layout.module.slots[self.layout.slot(slot)].role == "gradient"
            otherwise = f" if active else {ZERO[short]}" if gradient else ""
            where = f"{self.at[slot]} + {item} * place({self.lies[slot]}, i)"
            lines.append(f"{indent}{name} = load_{short}({where}){otherwise}")
        for near in self.near:
            short = self._short(near.slot)
            if (short == "f8") != (self.real == "f8"):
                raise BackendError("numba-cuda: neighbours are of the dtype that computes, or narrower than float32")
            four = "4" if wide else ""
            own = f"{self.loaded[near.slot]}, i, {self.layout.slot(near.slot)}, {near.gradient}, {near.laplacian}"
            lines.append(f"{indent}{near.name} = near{four}_{short}(ctx, t, {own})")
        return lines

    def _stores(self, indent: str, *, wide: bool) -> list[str]:
        lines = [] if wide or not self.stored else [f"{indent}if active:"]
        for slot in self.stored:
            short, item = self._short(slot), ITEM_BYTES[self.layout.dtype(slot)]
            if wide:
                lines.append(f"{indent}store4_{short}({self.at[slot]} + {item} * i, {self.next[slot]})")
            else:
                where = f"{self.at[slot]} + {item} * place({self.lies[slot]}, i)"
                lines.append(f"{indent}    store_{short}({where}, {self.new[slot]})")
        return lines

    def _stored_totals(self) -> list[str]:
        """Totals of the chunk."""
        coarse, columns = self._coarse(), len(self.layout.totals)
        if not coarse:
            return []
        lines = [f"    {total.name} = block_{total.how}(cells, {total.name})" for total in coarse]
        lines.append("    if thread() == 0:")
        for total in coarse:
            place = f"ctx[PARTIAL] + {self.item} * (chunk * {columns} + {total.column})"
            lines.append(f"        store_{self.real}({place}, {total.name})")
        return lines

    # Loops

    def _line(self) -> list[str]:
        """Over a range of elements."""
        inside = "            "
        return [
            *self._head(self.name),
            "    first, end = where[C_COL], where[C_COL_END]",
            *self._arrays(),
            *self._shared(),
            "    rest = first",
            *self._whole(),
            "    if whole:",
            "        rest = end - (end - first) % WIDE",
            "        for i in range(first + WIDE * thread(), rest, WIDE * threads()):",
            *self._loads(inside, wide=True),
            f"{inside}for h in range(WIDE):",
            *self._call(inside + "    ", "h", "", {}),
            *self._stores(inside, wide=True),
            "    for i in range(rest + thread(), end, threads()):",
            *self._loads("        ", wide=False),
            *self._call("        ", "", "", {}),
            *self._stores("        ", wide=False),
            *self._stored_totals(),
        ]

    def _small(self) -> list[str]:
        """Over small matrices, one per thread."""
        held = {x.name: self._cell(n, "SMALL * thread() + c") for n, x in enumerate(self._of("col"))}
        inside = "            "
        lines = [*self._head(f"{self.name}_small"), *self._sizes(), *self._shared()]
        lines += [
            "    for matrix in range(where[C_MATRIX] + thread(), where[C_MATRIX_END], threads()):",
            *self._given("matrix", "        "),
        ]
        if held:
            lines.append("        for c in range(cols):")
            lines += [f"{inside}{held[x.name]} = {self.real}({_START[x.how]})" for x in self._of("col")]
        lines += [
            "        for row in range(rows):",
            *self._given("row", inside),
            *self._begun(self._of("row"), inside),
            f"{inside}for c in range(cols):",
            f"{inside}    i = {_INDEX}",
            *self._given("col", inside + "    "),
            *self._loads(inside + "    ", wide=False),
            *self._call(inside + "    ", "", "", held),
            *self._stores(inside + "    ", wide=False),
            *(self._part(total, total.name, "", inside) for total in self._of("row")),
        ]
        if held:
            lines.append("        for c in range(cols):")
            lines += [self._part(total, held[total.name], "", inside) for total in self._of("col")]
        return [*lines, *self._stored_totals()]

    def _sizes(self) -> list[str]:
        """How the tensor is seen."""
        return [
            "    view = i8_stream(ctx[VIEW] + 24 * t, 3)",
            "    matrices, rows, cols = view[0], view[1], view[2]"
            if self.part_at
            else "    rows, cols = view[1], view[2]",
            *self._places(),
        ]

    def _shared(self) -> list[str]:
        """Memory that threads share, for totals."""
        return [f"    cells = cuda.shared.array(0, {ARRAYS[self.real]})"] if self._coarse() or self.held else []

    @staticmethod
    def _cell(ordinal: int, at: str = "at") -> str:
        """A thread's or a warp's total of a column, among the cells of that total."""
        return f"cells[{f'{ordinal} * CELLS + ' if ordinal else ''}{at}]"

    def _given(self, extent: str, indent: str) -> list[str]:
        """The values of the matrix, row or column at hand."""
        found = [v for v in self.vectors if self.layout.value(v).extent == extent]
        return [f"{indent}{self.vectors[v]} = {self._value(v)}" for v in found]

    def _tiles(self) -> list[str]:
        """Over rows and columns of a matrix: warps take rows, or columns where there is one row; lanes take columns."""
        cols = self._of("col")
        arrays = [
            f"    {name} = cuda.local.array(HELD, {ARRAYS[self.real]})"
            for name in (*self.held.values(), *self.beside.values())
        ]
        return [
            *self._head(self.name),
            *self._sizes(),
            "    matrix, end = where[C_MATRIX], where[C_COL_END]",
            *self._given("matrix", "    "),
            *self._arrays(),
            *arrays,
            *self._shared(),
            "    lane, warp = thread() % LANES, thread() // LANES",
            "    across = threads() // LANES if rows == 1 else 1",
            "    down = threads() // LANES // across",
            *self._whole("cols % WIDE == 0"),
            "    for col in range(where[C_COL], end, TILE * across):",
            "        start = col + TILE * (warp % across)",
            "        stop = tile_end(start, end)",
            "        if whole:",
            *self._held_before(),
            *self._rows(wide=True),
            *self._held_after(),
            "        else:",
            *self._cells_before(),
            *self._rows(wide=False),
            *(line for n, total in enumerate(cols) for line in self._joined(n, total)),
            *self._stored_totals(),
        ]

    def _held_before(self) -> list[str]:
        """What each thread holds of its columns: their values, their totals."""
        if not self.held and not self.beside:
            return []
        lines = ["            for h in range(HELD):", *([f"                {_COLUMN}"] if self.beside else [])]
        for total in self._of("col"):
            lines.append(f"                {self.held[total.name]}[h] = {self.real}({_START[total.how]})")
        for value, name in self.beside.items():
            lines.append(f"                {name}[h] = {self.real}(0.0)")
            lines += ["                if c < stop:", f"                    {name}[h] = {self._value(value)}"]
        return lines

    def _held_after(self) -> list[str]:
        """Totals of columns, where all threads see them."""
        if not self.held:
            return []
        lines = ["            for h in range(HELD):", f"                {_COLUMN}", "                if c < stop:"]
        lines.append(f"                    {_AT}")
        for n, total in enumerate(self._of("col")):
            lines.append(f"                    {self._cell(n)} = {self.held[total.name]}[h]")
        return lines

    def _cells_before(self) -> list[str]:
        """The same of threads that hold nothing."""
        if not self.held:
            return []
        lines = ["            for h in range(HELD):", f"                {_COLUMN}", "                if c < stop:"]
        lines.append(f"                    {_AT}")
        for n, total in enumerate(self._of("col")):
            lines.append(f"                    {self._cell(n)} = {self.real}({_START[total.how]})")
        return lines

    def _rows(self, *, wide: bool) -> list[str]:
        """The rows of a tile."""
        inside = "                "
        lines = [
            "            for row in range(where[C_ROW] + warp // across, where[C_ROW_END], down):",
            *self._given("row", inside),
            *self._begun(self._of("row"), inside),
        ]
        if wide:
            here = {total.name: f"{self.held[total.name]}[WIDE * group + h]" for total in self._of("col")}
            lines += [
                f"{inside}for group in range(HELD // WIDE):",
                f"{inside}    c = start + WIDE * (lane + LANES * group)",
                f"{inside}    if c < stop:",
                f"{inside}        i = {_INDEX}",
                *self._loads(inside + "        ", wide=True),
                f"{inside}        for h in range(WIDE):",
                *self._call(inside + "            ", "h", "WIDE * group + h", here),
                *self._stores(inside + "        ", wide=True),
            ]
        else:
            lines += [
                f"{inside}for h in range(HELD):",
                f"{inside}    {_COLUMN}",
                f"{inside}    if c < stop:",
                f"{inside}        i = {_INDEX}",
                *([f"{inside}        {_AT}"] if self.held else []),
                *self._given("col", inside + "        "),
                *self._loads(inside + "        ", wide=False),
                *self._call(
                    inside + "        ", "", "", {x.name: self._cell(n) for n, x in enumerate(self._of("col"))}
                ),
                *self._stores(inside + "        ", wide=False),
            ]
        for total in self._of("row"):
            lines.append(f"{inside}{total.name} = warp_{total.how}({total.name})")
            lines.append(f"{inside}if lane == 0 and start < end:")
            lines.append(self._part(total, total.name, "start // TILE", inside + "    "))
        return lines

    def _joined(self, ordinal: int, total: Partial) -> list[str]:
        """A total of columns over the rows of all warps."""
        value = f"column_{total.how}(cells, {f'{ordinal} * CELLS + ' if ordinal else ''}c - col, across)"
        return [
            *(["        barrier()"] if ordinal == 0 else []),
            "        for c in range(col + thread(), min(col + TILE * across, end), threads()):",
            self._part(total, value, "where[C_ROW_BLOCK]", "            "),
            *(["        barrier()"] if ordinal == len(self.held) - 1 else []),
        ]

    # Rows, columns and matrices

    def _places(self) -> list[str]:
        """Where the rows, columns and matrices of this tensor have their values, and their part of totals."""
        lines: list[str] = []
        for value, at in self.value_at.items():
            place = self.layout.value(value)
            upper = place.extent.upper()
            first = f"ctx[{upper}_WIDTH] * {place.column} + load_i8(ctx[{upper}_OFFSET] + 8 * t)"
            lines.append(f"    {at} = ctx[{upper}_READ] + {self.item} * ({first})")
        for extent in ("row", "col"):
            for ordinal, total in enumerate(self._of(extent)):
                upper = extent.upper()
                first = f"ctx[{upper}_PARTIAL_WIDTH] * {ordinal} + load_i8(ctx[{upper}_PARTIAL_AT] + 8 * t)"
                lines.append(f"    {self.part_at[total.name]} = ctx[{upper}_PARTIAL] + {self.item} * ({first})")
        return lines

    def _value(self, value: str) -> str:
        """A coarse value of the row, column or matrix that is at hand."""
        entry = _ENTRY[self.layout.value(value).extent]
        return f"load_{self.real}({self.value_at[value]} + {self.item} * ({entry}))"

    def _part(self, total: Partial, value: str, part: str, indent: str) -> str:
        """Stores the chunk's part of a total of a row (of its columns) or of a column (of its rows)."""
        per = "rows" if total.extent == "row" else "cols"
        entry = f"{part} * matrices * {per} + {_ENTRY[total.extent]}" if part else _ENTRY[total.extent]
        return f"{indent}store_{self.real}({self.part_at[total.name]} + {self.item} * ({entry}), {value})"


#: Where a warp's total of a column is.
_AT = "at = TILE * warp + c - start"
#: The column of a lane's h-th element.
_COLUMN = "c = start + WIDE * (lane + LANES * (h // WIDE)) + h % WIDE"


def emit_sweep(name: str, sweep: Sweep, layout: Layout, *, tiled: bool, inline: Variant | None) -> SweepCode:
    """One sweep of one variant. inline: the variant, if programs compute coarse values for themselves."""
    return _Writer(name, sweep, layout, inline).write(tiled=tiled)
