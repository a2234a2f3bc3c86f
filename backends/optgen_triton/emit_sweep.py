"""Sweeps: a block function with the rule's equations, and the loops over a chunk that call it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from optgen.backend.layout import VECTORS, Layout
from optgen.backend.python_text import PURE
from optgen.errors import BackendError
from optgen.ir.view import Op, Sweep
from optgen_triton.spelling import KINDS, SWEEP_RESERVED, Body, Names, call

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
class Total:
    """A reduction of a sweep: its variable, and where the chunk's part of it goes."""

    name: str
    how: str
    extent: str
    column: int


@dataclass(frozen=True)
class Neighbours:
    """A sum over neighbours of a slot."""

    slot: str
    gradient: bool


@dataclass(frozen=True)
class SweepCode:
    """The functions of one sweep of one variant. `totals` are columns of tensor totals; held: values per element."""

    name: str
    functions: Sequence[Sequence[str]]
    totals: Sequence[int]
    vector_totals: Sequence[Total]
    held: int


class _Writer:
    def __init__(self, name: str, sweep: Sweep, layout: Layout, *, tiled: bool) -> None:
        self.name = name
        self.sweep = sweep
        self.layout = layout
        self.tiled = tiled
        self.real = _REAL[layout.module.compute]
        self.names = Names(SWEEP_RESERVED)
        self.body = Body(self.names)
        self.slots: dict[str, str] = {}
        self.scalars: dict[str, str] = {}  # coarse value -> variable
        self.vectors: dict[str, str] = {}
        self.totals: list[Total] = []
        self.near: list[Neighbours] = []
        self.random = False
        self._loaded: dict[str, str] = {}

    def write(self) -> SweepCode:
        """Both functions."""
        touched = ("kernel.load", "kernel.store", "kernel.stencil")
        for slot in dict.fromkeys(op.word("slot") for op in self.sweep.ops if op.name in touched):
            self.slots[slot] = self.names.new(f"{slot}_at")
        for op in self.sweep.ops:
            self._op(op)
        block, chunk = self._block(), self._chunk()
        vector_totals = [total for total in self.totals if total.extent in VECTORS]
        columns = [total.column for total in self.totals if total.extent not in VECTORS]
        held = len(self.slots) + len(self.totals) + 2 * len(self.near)
        return SweepCode(self.name, (block, chunk), columns, vector_totals, held)

    # Equations

    def _op(self, op: Op) -> None:
        if op.name in PURE:
            assert op.result is not None
            self.body.pure(op, self._wish(op))
            return
        match op.name:
            case "kernel.load":
                self._load(op)
            case "kernel.store":
                slot = op.word("slot")
                x = self.body.text(op.operands[0])
                self.body.line(f"store({self.slots[slot]}, i, {x}, updated, HOW)")
            case "kernel.read":
                self._read(op)
            case "kernel.round_at_random":
                assert op.result is not None
                stream = op.attributes["stream"]
                self.random = True
                self.body.bind(op.result, f"at_random(ctx, t, {self.body.text(op.operands[0])}, i, {stream})")
            case "kernel.stencil":
                self._stencil(op)
            case "kernel.accumulate":
                self._accumulate(op)
            case _:
                raise BackendError(f"triton: {op.name} is not an operation of element code")

    def _wish(self, op: Op) -> str:
        """New values of a slot are called after it; so is what was loaded, once it is widened."""
        assert op.result is not None
        hint = op.result.hint
        if op.name == "arith.extf" and op.operands[0].op.name == "kernel.load":
            return ""
        return f"{hint}_new" if hint in self.slots else hint

    def _load(self, op: Op) -> None:
        assert op.result is not None
        slot = op.word("slot")
        if slot in self._loaded:
            self.body.bind(op.result, self._loaded[slot])
        else:
            self._loaded[slot] = self.body.assign(op.result, self._loading(slot), slot)

    def _loading(self, slot: str) -> str:
        return f"load({self.slots[slot]}, i, {'updated' if self._is_gradient(slot) else 'inside'}, HOW)"

    def _is_gradient(self, slot: str) -> bool:
        return self.layout.module.slots[self.layout.slot(slot)].role == "gradient"

    def _read(self, op: Op) -> None:
        assert op.result is not None
        name = op.word("value")
        place = self.layout.value(name)
        known = self.scalars if place.extent == "tensor" else self.vectors
        if name not in known:
            known[name] = self.names.new(name if place.extent == "tensor" else f"this_{name}")
        self.body.bind(op.result, known[name])

    def _stencil(self, op: Op) -> None:
        assert op.result is not None
        slot, kind = op.word("slot"), op.word("kind")
        if slot not in self._loaded:
            self._loaded[slot] = self.names.new(slot)
            self.body.line(f"{self._loaded[slot]} = {self._loading(slot)}")
        gradient = self._is_gradient(slot)
        column = self.layout.slot(slot)
        dtype = KINDS[self.layout.dtype(slot)]
        flags = f"{gradient}, {kind == 'laplacian'}"
        own = self._loaded[slot] + (f".to({self.real})" if self.layout.is_narrow(slot) else "")
        call = f"near(ctx, t, {own}, i, inside, {column}, {dtype}, {flags}, HOW)"
        self.body.assign(op.result, call, op.result.hint or f"pull_{slot}")
        self.near.append(Neighbours(slot, gradient))

    def _accumulate(self, op: Op) -> None:
        name, how = op.word("total"), op.word("reduction")
        declared = self.layout.module.totals[name]
        vector = declared.extent in VECTORS
        column = self.layout.value(name).column if vector else self.layout.total(name)
        total = Total(self.names.new(name), how, declared.extent, column)
        self.totals.append(total)
        self.body.say(op.statement)
        x = self.body.text(op.operands[0])
        self.body.line(f"{total.name} = {_ADD[how]}({total.name}, {x}, inside, HOW)")

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
        if self.scalars:
            columns = len(self.layout.values["tensor"])
            lines.append(f"    read = table(ctx, TENSOR_READ, {self.real}) + t * {columns}")
            for value, name in self.scalars.items():
                lines.append(f"    {name} = tl.load(read + {self.layout.value(value).column})")
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

    def _call(self, indent: str, how: str) -> list[str]:
        where = ["ctx", "t"] if self.near or self.random else []
        slots = [f"{at}_whole" if how == "whole" else at for at in self.slots.values()]
        rest = self._arguments()[len(slots) :]
        masks = ["True", "True"] if how == "whole" else ["inside", "updated"]
        results = ", ".join(total.name for total in self.totals)
        head = f"{results} = {self.name}_block(" if results else f"{self.name}_block("
        return call(indent, head, [*where, *slots, *rest, "i", *masks, f'"{how}"'])

    def _started(self, totals: Sequence[Total], shape: str, indent: str) -> list[str]:
        return [f"{indent}{x.name} = tl.full({shape}, {_START[x.how]}, {self.real})" for x in totals]

    def _kept(self, totals: Sequence[Total], how: str, axes: Sequence[int], shape: str, indent: str) -> list[str]:
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
            "    first = tl.multiple_of(chunk_field(ctx, chunk, C_COL), 16)",
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
        """The loops over a chunk of rows and columns: whole tiles, then tiles of FEWER rows; or of small matrices."""
        rows = [total for total in self.totals if total.extent == "row"]
        cols = [total for total in self.totals if total.extent == "col"]
        coarse = [total for total in self.totals if total.extent not in VECTORS]
        if any(total.extent == "matrix" for total in self.totals):
            raise BackendError("triton: a reduction over matrices in a sweep is not built yet")
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
            "        for col in range(tl.multiple_of(chunk_field(ctx, chunk, C_COL), 16), col_end, C):",
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

    def _step(self, how: str, rows: Sequence[Total], height: str, indent: str) -> list[str]:
        """One tile."""
        inner = [v for v in self.vectors if self.layout.value(v).extent == "row"]
        lines = [
            f"{indent}this_row = (row + tl.arange(0, {height}))[None, :, None]",
            *(self._vector(v, indent) for v in inner),
            *self._started(rows, f"(M, {height}, C)", indent),
        ]
        if how == "whole":
            lines.append(f"{indent}i = (this_matrix * rows + this_row) * tl.multiple_of(cols, 16) + this_col")
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

    def _vector_partial(self, total: Total, ordinal: int, reduced: str, height: str, indent: str) -> list[str]:
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


def _reduced(total: Total, axes: Sequence[int]) -> str:
    text = total.name
    for axis in axes:
        text = f"{_REDUCE[total.how]}({text}, {axis})"
    return text


def _joined(total: Total, *parts: str) -> str:
    """Parts of a total as one."""
    text = parts[0]
    for part in parts[1:]:
        text = _BOTH[total.how].format(a=text, b=part)
    return text


def emit_sweep(name: str, sweep: Sweep, layout: Layout, *, tiled: bool) -> SweepCode:
    """One sweep of one variant."""
    return _Writer(name, sweep, layout, tiled=tiled).write()


def sees_vectors(sweep: Sweep, layout: Layout) -> bool:
    """Whether a sweep reads or reduces over rows, columns or matrices."""
    for op in sweep.ops:
        if op.name == "kernel.read" and layout.value(op.word("value")).extent in VECTORS:
            return True
        if op.name == "kernel.accumulate" and layout.module.totals[op.word("total")].extent in VECTORS:
            return True
    return False
