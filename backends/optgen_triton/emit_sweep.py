"""Sweeps: a block function with the rule's equations, and the loops over a chunk that call it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from optgen.backend.element_text import ElementText
from optgen.backend.gpu_text import Partial, SweepCode
from optgen.backend.launch_plan import first_stages
from optgen.backend.layout import VECTORS, Layout
from optgen.backend.python_text import call, several
from optgen.ir.view import Sweep, Total, Value, Variant
from optgen_triton.emit_scalars import scalars_function
from optgen_triton.spelling import KINDS, SWEEP_RESERVED, Body, Names

_REAL = {"float32": "tl.float32", "float64": "tl.float64"}
_ADD = {"sum": "add_total", "max": "max_total", "min": "min_total"}
_START = {"sum": "0.0", "max": "-INFINITY", "min": "INFINITY"}
_BOTH = {"sum": "{a} + {b}", "max": "maximum({a}, {b})", "min": "minimum({a}, {b})"}
_REDUCE = {"sum": "sum_of", "max": "max_of", "min": "min_of"}
#: Index of a vector entry of an extent within its tensor, in a step over matrices m, rows r, columns c; and its mask.
_ENTRY = {
    "matrix": ("this_matrix", "this_matrix < matrix_end"),
    "row": ("this_matrix * rows + this_row", "(this_matrix < matrix_end) & (this_row < row_end)"),
    "col": ("this_matrix * cols + this_col", "(this_matrix < matrix_end) & (this_col < col_end)"),
}


@dataclass(frozen=True)
class Neighbours:
    """A sum over neighbours of a slot."""

    slot: str
    gradient: bool


class _Writer(ElementText):
    backend = "triton"

    def __init__(self, name: str, sweep: Sweep, layout: Layout, *, tiled: bool, inline: Variant | None) -> None:
        self.names = Names(SWEEP_RESERVED)
        super().__init__(sweep, layout, Body(self.names))
        self.name = name
        self.tiled = tiled
        self.inline = inline
        self.real = _REAL[layout.module.compute]
        self.slots: dict[str, str] = {}
        self.scalars: dict[str, str] = {}  # coarse value -> variable
        self.vectors: dict[str, str] = {}
        self.totals: list[Partial] = []
        self.near: list[Neighbours] = []
        self.random = False
        self._loaded: dict[str, str] = {}

    def write(self) -> SweepCode:
        """All functions."""
        for slot in self.touched("kernel.load", "kernel.store", "kernel.stencil"):
            self.slots[slot] = self.names.new(f"{slot}_at")
        self.write_ops()
        functions = [self._block(), self._chunk()]
        if self.inline is not None and self.scalars:
            values = list(self.scalars)
            ops = first_stages(self.inline, values)
            functions.insert(0, scalars_function(f"{self.name}_scalars", ops, values, self.layout))
        vector_totals = [total for total in self.totals if total.extent in VECTORS]
        columns = [total.column for total in self.totals if total.extent not in VECTORS]
        held = len(self.slots) + len(self.totals) + 2 * len(self.near)
        return SweepCode(self.name, functions, columns, vector_totals, held)

    # Equations

    def is_slot(self, name: str) -> bool:
        """Slots alone."""
        return name in self.slots

    def widened(self, slot: str) -> str:  # noqa: ARG002 (of any slot)
        """What is loaded has the slot's name, in whatever type."""
        return ""

    def load(self, result: Value, slot: str) -> None:
        """Once."""
        if slot in self._loaded:
            self.body.bind(result, self._loaded[slot])
        else:
            self._loaded[slot] = self.body.assign(result, self._loading(slot), slot)

    def store(self, slot: str, x: str) -> None:
        """A call."""
        self.body.line(f"store({self.slots[slot]}, i, {x}, updated, HOW)")

    def at_random(self, result: Value, x: str, stream: int) -> None:
        """A call."""
        self.random = True
        self.body.bind(result, f"at_random(ctx, t, {x}, i, {stream})")

    def _loading(self, slot: str) -> str:
        return f"load({self.slots[slot]}, i, {'updated' if self._is_gradient(slot) else 'inside'}, HOW)"

    def _is_gradient(self, slot: str) -> bool:
        return self.layout.module.slots[self.layout.slot(slot)].role == "gradient"

    def read(self, result: Value, name: str) -> None:
        """An argument."""
        place = self.layout.value(name)
        known = self.scalars if place.extent == "tensor" else self.vectors
        if name not in known:
            known[name] = self.names.new(name if place.extent == "tensor" else f"this_{name}")
        self.body.bind(result, known[name])

    def stencil(self, result: Value, slot: str, kind: str) -> None:
        """A call."""
        if slot not in self._loaded:
            self._loaded[slot] = self.names.new(slot)
            self.body.line(f"{self._loaded[slot]} = {self._loading(slot)}")
        gradient = self._is_gradient(slot)
        column = self.layout.slot(slot)
        dtype = KINDS[self.layout.dtype(slot)]
        flags = f"{gradient}, {kind == 'laplacian'}"
        own = self._loaded[slot] + (f".to({self.real})" if self.layout.is_narrow(slot) else "")
        call = f"near(ctx, t, {own}, i, inside, {column}, {dtype}, {flags}, HOW)"
        self.body.assign(result, call, result.hint or f"pull_{slot}")
        self.near.append(Neighbours(slot, gradient))

    def accumulate(self, total: Total, x: str) -> None:
        """A call."""
        name, how = total.name, total.reduction
        vector = total.extent in VECTORS
        column = self.layout.value(name).column if vector else self.layout.total(name)
        partial = Partial(self.names.new(name), how, total.extent, column)
        self.totals.append(partial)
        self.body.line(f"{partial.name} = {_ADD[how]}({partial.name}, {x}, inside, HOW)")

    def _block(self) -> list[str]:
        where = ["ctx", "t"] if self.near or self.random else []
        arguments = [*where, *self._arguments(), "i", "inside", "updated", "HOW: tl.constexpr"]
        lines = ["@triton.jit", *call("", f"def {self.name}_block(", arguments, "):"), *self.body.lines]
        if self.totals:
            lines.append(f"    return {', '.join(total.name for total in self.totals)}")
        return lines

    def _arguments(self) -> list[str]:
        return [
            *self.slots.values(),
            *self.scalars.values(),
            *self.vectors.values(),
            *(total.name for total in self.totals),
        ]

    # Loops

    def _chunk(self) -> list[str]:
        names = Names(SWEEP_RESERVED | set(self._arguments()))
        places = {slot: names.new(slot) for slot in self.slots}
        sizes = ("M", "R", "C", "FEWER") if self.tiled else ("BLOCK", "TAIL", "STRIDED")
        lines = [
            "@triton.jit",
            f"def {self.name}(ctx, chunk, t, active, {', '.join(f'{size}: tl.constexpr' for size in sizes)}):",
        ]
        lines += [f"    {places[s]} = slot(ctx, t, {self.layout.slot(s)})" for s in self.slots]
        lines += self._values()
        whole = ["active", *(f"plain({place})" for place in places.values())]
        apart = [f"strided({place})" for place in places.values()]
        for near in self.near:
            column = self.layout.slot(near.slot)
            whole.append(f"neighbours_plain(ctx, t, {column}, {near.gradient})")
            apart.append(f"neighbours_strided(ctx, t, {column})")
        for how in ("whole", "strided"):
            for slot, at in self.slots.items():
                kind = KINDS[self.layout.dtype(slot)]
                name = f"{at}_whole" if how == "whole" else at
                lines.append(f'    {name} = pointer({places[slot]}, {kind}, "{how}")')
        lines += self._tiles(" & ".join(whole)) if self.tiled else self._line(" & ".join(whole), " | ".join(apart))
        return lines

    def _values(self) -> list[str]:
        """The coarse values of the tensor."""
        if not self.scalars:
            return []
        if self.inline is not None:
            return several("    ", list(self.scalars.values()), f" = {self.name}_scalars(ctx, t)")
        columns = len(self.layout.values["tensor"])
        lines = [f"    read = table(ctx, TENSOR_READ, {self.real}) + t * {columns}"]
        for value, name in self.scalars.items():
            lines.append(f"    {name} = tl.load(read + {self.layout.value(value).column})")
        return lines

    def _call(self, indent: str, how: str) -> list[str]:
        where = ["ctx", "t"] if self.near or self.random else []
        slots = [f"{at}_whole" if how == "whole" else at for at in self.slots.values()]
        rest = self._arguments()[len(slots) :]
        masks = ["True", "True"] if how == "whole" else ["inside", "updated"]
        results = ", ".join(total.name for total in self.totals)
        head = f"{results} = {self.name}_block(" if results else f"{self.name}_block("
        return call(indent, head, [*where, *slots, *rest, "i", *masks, f'"{how}"'])

    def _started(self, totals: Sequence[Partial], shape: str, indent: str) -> list[str]:
        return [f"{indent}{x.name} = tl.full({shape}, {_START[x.how]}, {self.real})" for x in totals]

    def _kept(self, totals: Sequence[Partial], how: str, axes: Sequence[int], shape: str, indent: str) -> list[str]:
        """Reduces what was gathered in one kind of step, and starts anew in the shape of the next."""
        lines: list[str] = []
        for total in totals:
            lines.append(f"{indent}{how}_{total.name} = {_reduced(total, axes)}")
            lines += self._started([total], shape, indent)
        return lines

    def _stored(self, reduced: Sequence[str]) -> list[str]:
        columns = len(self.layout.totals)
        coarse = [total for total in self.totals if total.extent not in VECTORS]
        lines = [f"    partial = table(ctx, PARTIAL, {self.real}) + chunk * {columns}"] if coarse else []
        lines += [f"    tl.store(partial + {x.column}, {text})" for x, text in zip(coarse, reduced, strict=True)]
        return lines

    def _line(self, whole: str, apart: str) -> list[str]:
        """The loops over a range of elements: whole blocks; what is left in shorter steps, which may be strided."""
        lines = [
            *self._started(self.totals, "(BLOCK,)", "    "),
            "    first = multiple_of_16(chunk_field(ctx, chunk, C_COL))",
            "    end = chunk_field(ctx, chunk, C_COL_END)",
            "    rest = first",
            f"    if {whole}:",
            "        rest = end - (end - first) % BLOCK",
            "        for start in range(first, rest, BLOCK):",
            "            i = start + tl.arange(0, BLOCK)",
            *self._call("            ", "whole"),
            *self._kept(self.totals, "whole", (0,), "(TAIL,)", "    "),
            "    updated_end = tl.where(active, end, first)",
            f"    masked_end = tl.where({apart}, rest, end)",
        ]
        lines += self._masked("rest, masked_end", "TAIL", "masked", "    ")
        lines += self._kept(self.totals, "masked", (0,), "(STRIDED,)", "    ")
        lines.append("    if masked_end < end:")
        # read again here, so that no register holds them until then
        for slot, at in self.slots.items():
            place = f"slot(ctx, t, {self.layout.slot(slot)})"
            lines.append(f'        {at} = pointer({place}, {KINDS[self.layout.dtype(slot)]}, "strided")')
        lines += self._masked("masked_end, end", "STRIDED", "strided", "        ")
        sums = [_joined(x, f"whole_{x.name}", f"masked_{x.name}", _reduced(x, (0,))) for x in self.totals]
        return [*lines, *self._stored(sums)]

    def _masked(self, bounds: str, size: str, how: str, indent: str) -> list[str]:
        return [
            f"{indent}for start in range({bounds}, {size}):",
            f"{indent}    i = start + tl.arange(0, {size})",
            f"{indent}    inside = i < end",
            f"{indent}    updated = i < updated_end",
            *self._call(f"{indent}    ", how),
        ]

    def _tiles(self, whole: str) -> list[str]:
        """The loops over a chunk of rows and columns: whole tiles, then tiles of FEWER rows; or of small matrices.

        No reduction here is over matrices: the compiler takes those over rows, then over their totals.
        """
        rows = [total for total in self.totals if total.extent == "row"]
        cols = [total for total in self.totals if total.extent == "col"]
        coarse = [total for total in self.totals if total.extent not in VECTORS]
        outer = [v for v in self.vectors if self.layout.value(v).extent in ("matrix", "col")]
        full, fewer, inside = "(M, R, C)", "(M, FEWER, C)", "            "
        lines = [
            "    rows = tl.load(table(ctx, VIEW, tl.int64) + t * 3 + 1)",
            "    cols = tl.load(table(ctx, VIEW, tl.int64) + t * 3 + 2)",
            f"    whole = {whole} & (cols % 16 == 0)",
            "    matrix_end = chunk_field(ctx, chunk, C_MATRIX_END)",
            "    updated_end = tl.where(active, matrix_end, 0)",
            "    first = chunk_field(ctx, chunk, C_ROW)",
            "    row_end = chunk_field(ctx, chunk, C_ROW_END)",
            "    col_end = chunk_field(ctx, chunk, C_COL_END)",
            *(f"    all_{x.name} = {_START[x.how]}" for x in coarse),
            "    for matrix in range(chunk_field(ctx, chunk, C_MATRIX), matrix_end, M):",
            "        this_matrix = (matrix + tl.arange(0, M))[:, None, None]",
            "        for col in range(multiple_of_16(chunk_field(ctx, chunk, C_COL)), col_end, C):",
            "            this_col = (col + tl.arange(0, C))[None, None, :]",
            *(self._vector(v, inside) for v in outer),
            *self._started([*coarse, *cols], full, inside),
            "            rest = first",
            "            if M == 1:",
            "                if whole & (col + C <= col_end):",
            "                    rest = row_end - (row_end - first) % R",
            "                    for row in range(first, rest, R):",
            *self._step("whole", rows, "R", "                        "),
            *self._kept(coarse, "whole", (2, 1, 0), fewer, inside),
            *self._kept(cols, "whole", (1,), fewer, inside),
            "            for row in range(rest, row_end, FEWER):",
            *self._step("strided", rows, "FEWER", "                "),
        ]
        for x in coarse:
            lines.append(
                f"{inside}all_{x.name} = {_joined(x, f'all_{x.name}', f'whole_{x.name}', _reduced(x, (2, 1, 0)))}"
            )
        for ordinal, x in enumerate(cols):
            lines += self._vector_partial(x, ordinal, _joined(x, f"whole_{x.name}", _reduced(x, (1,))), "", inside)
        return [*lines, *self._stored([f"all_{x.name}" for x in coarse])]

    def _step(self, how: str, rows: Sequence[Partial], height: str, indent: str) -> list[str]:
        """One tile."""
        inner = [v for v in self.vectors if self.layout.value(v).extent == "row"]
        lines = [
            f"{indent}this_row = (row + tl.arange(0, {height}))[None, :, None]",
            *(self._vector(v, indent) for v in inner),
            *self._started(rows, f"(M, {height}, C)", indent),
        ]
        if how == "whole":
            lines.append(f"{indent}i = (this_matrix * rows + this_row) * multiple_of_16(cols) + this_col")
        else:
            lines += [
                f"{indent}i = (this_matrix * rows + this_row) * cols + this_col",
                f"{indent}inside = (this_matrix < matrix_end) & (this_row < row_end) & (this_col < col_end)",
                f"{indent}updated = inside & (this_matrix < updated_end)",
            ]
        lines += self._call(indent, how)
        for ordinal, total in enumerate(rows):
            lines += self._vector_partial(total, ordinal, _reduced(total, (2,)), height, indent)
        return lines

    def _vector(self, value: str, indent: str) -> str:
        place = self.layout.value(value)
        upper = place.extent.upper()
        entry, mask = _ENTRY[place.extent]
        at = f"word(ctx, {upper}_WIDTH) * {place.column} + tl.load(table(ctx, {upper}_OFFSET, tl.int64) + t)"
        return f"{indent}{self.vectors[value]} = get(table(ctx, {upper}_READ, {self.real}) + {at} + {entry}, {mask})"

    def _vector_partial(self, total: Partial, ordinal: int, reduced: str, height: str, indent: str) -> list[str]:
        """The chunk's part of row totals (of its columns) or of column totals (of its rows)."""
        row = total.extent == "row"
        upper, per = ("ROW", "rows") if row else ("COL", "cols")
        part = "(col // C)" if row else "chunk_field(ctx, chunk, C_ROW_BLOCK)"
        step = f"(row + tl.arange(0, {height}))[None, :]" if row else "(col + tl.arange(0, C))[None, :]"
        end = "row_end" if row else "col_end"
        return [
            f"{indent}tile = word(ctx, {upper}_PARTIAL_WIDTH) * {ordinal}",
            f"{indent}tile += tl.load(table(ctx, {upper}_PARTIAL_AT, tl.int64) + t)",
            f"{indent}tile += {part} * tl.load(table(ctx, VIEW, tl.int64) + t * 3) * {per}",
            f"{indent}put(",
            f"{indent}    table(ctx, {upper}_PARTIAL, {self.real}) + tile",
            f"{indent}    + (matrix + tl.arange(0, M))[:, None] * {per} + {step},",
            f"{indent}    {reduced},",
            f"{indent}    ((matrix + tl.arange(0, M))[:, None] < matrix_end) & ({step} < {end}),",
            f"{indent})",
        ]


def _reduced(total: Partial, axes: Sequence[int]) -> str:
    text = total.name
    for axis in axes:
        text = f"{_REDUCE[total.how]}({text}, {axis})"
    return text


def _joined(total: Partial, *parts: str) -> str:
    """Parts of a total as one."""
    text = parts[0]
    for part in parts[1:]:
        text = _BOTH[total.how].format(a=text, b=part)
    return text


def emit_sweep(name: str, sweep: Sweep, layout: Layout, *, tiled: bool, inline: Variant | None = None) -> SweepCode:
    """One sweep of one variant. inline: the variant, if programs compute coarse values for themselves."""
    return _Writer(name, sweep, layout, tiled=tiled, inline=inline).write()
