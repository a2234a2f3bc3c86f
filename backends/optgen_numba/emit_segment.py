"""Sweeps as `segment` functions: one vectorised loop over consecutive elements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from optgen.errors import BackendError
from optgen.ir.view import Op, Sweep, Value
from optgen_numba.layout import SHORT, Layout
from optgen_numba.python_text import PURE, Body, Names, literal

#: Names that generated functions must not take for themselves.
_LANGUAGE = ("np", "range", "abs", "True", "False", "n", "i", "k", "t", "streams", "scalars", "totals", "ctx")
_RUNTIME = (
    "begin",
    "end",
    "f4",
    "f8",
    "i8",
    "segment",
    "stage",
    "select",
    "add_reassoc",
    "maximum",
    "minimum",
    "laplacian_at",
    "f4_of_b2",
    "f4_of_f2",
    "b2_of_f4",
    "f2_of_f4",
    "b2_at_random",
)
_TABLES = ("mode", "address", "hyper", "meta", "MANIFEST", "FUNCTIONS")
RESERVED = frozenset((*_LANGUAGE, *_RUNTIME, *_TABLES))
#: Addresses that a stream of neighbours takes: two pairs of arrays, and their coefficients.
NEAR_ADDRESSES = 5
Stream = tuple[str | int, ...]
_IDENTITY = {"sum": "0", "max": "-np.inf", "min": "np.inf"}


@dataclass
class Segment:
    """A segment function's text and what the manifest says of it."""

    name: str
    lines: list[str]
    streams: list[Stream] = field(default_factory=list[Stream])
    totals: list[int] = field(default_factory=list[int])
    alone: Segment | None = None  # the same for tensors without neighbours

    def manifest(self) -> dict[str, object]:
        """The sweep's entry in the manifest."""
        entry: dict[str, object] = {
            "function": self.name,
            "streams": [list(s) for s in self.streams],
            "totals": self.totals,
        }
        return entry if self.alone is None else {**entry, "alone": self.alone.manifest()}


class _Writer:
    def __init__(self, name: str, sweep: Sweep, layout: Layout, *, alone: bool) -> None:
        self.layout = layout
        self.alone = alone
        self.sweep = sweep
        self.real = SHORT[layout.module.compute]
        self.names = Names(RESERVED)
        self.head = Body(self.names)
        self.loop = Body(self.names, indent=2)
        self.tail = Body(self.names)
        self.out = Segment(name, [])
        self._arrays: dict[str, str] = {}
        self._address = 0
        self._read: dict[str, str] = {}

    def segment(self) -> Segment:
        stored = {op.word("slot") for op in self.sweep.ops if op.name == "kernel.store"}
        loaded = {op.word("slot") for op in self.sweep.ops if op.name == "kernel.load"}
        for slot in dict.fromkeys(
            op.word("slot") for op in self.sweep.ops if op.name in ("kernel.load", "kernel.store")
        ):
            access = ("r" if slot in loaded else "") + ("w" if slot in stored else "")
            self._array(slot, ("slot", self.layout.slot(slot), access), SHORT[self.layout.dtype(slot)])
        for op in self.sweep.ops:
            self._op(op)
        self.out.lines = [
            "@segment",
            f"def {self.out.name}(n, streams, scalars, totals):",
            *self.head.lines,
            "    for i in range(n):",
            *self.loop.lines,
            *self.tail.lines,
        ]
        return self.out

    def _array(self, key: str, stream: Stream, short: str, length: str = "n") -> str:
        """The view of a stream, made once."""
        if key not in self._arrays:
            self._arrays[key] = self.names.new(f"{key}_at" if length == "n" else key)
            self.head.line(f"{self._arrays[key]} = {short}_stream(streams[{self._address}], {length})")
            self._add(stream)
        return self._arrays[key]

    def _add(self, stream: Stream, addresses: int = 1) -> None:
        self.out.streams.append(stream)
        self._address += addresses

    def _op(self, op: Op) -> None:
        if op.name in PURE:
            self.loop.pure(op, self._wish(op))
            return
        match op.name:
            case "kernel.load":
                assert op.result is not None
                slot = op.word("slot")
                if self.layout.is_narrow(slot):  # a word: it is called after the slot once it is widened
                    self.loop.bind(op.result, f"{self._arrays[slot]}[i]")
                else:
                    self.loop.assign(op.result, f"{self._arrays[slot]}[i]", slot)
            case "kernel.store":
                slot = op.word("slot")
                self.loop.line(f"{self._arrays[slot]}[i] = {self.loop.text(op.operands[0])}")
            case "kernel.round_at_random":
                assert op.result is not None
                noise = self._array(f"noise_{op.attributes['stream']}", ("noise", int(op.attributes["stream"])), "u2")
                self.loop.bind(op.result, f"b2_at_random({self.loop.text(op.operands[0])}, {noise}[i])")
            case "kernel.read":
                self._read_value(op)
            case "kernel.stencil":
                self._stencil(op)
            case "kernel.accumulate":
                self._accumulate(op)
            case _:
                raise BackendError(f"numba: {op.name} is not an operation of element code")

    def _wish(self, op: Op) -> str:
        """New values of a slot are called after it."""
        assert op.result is not None
        hint = op.result.hint
        if op.name == "arith.extf" and op.operands[0].op.name == "kernel.load":
            return op.operands[0].op.word("slot")
        return f"{hint}_new" if hint in self._arrays else hint

    def _read_value(self, op: Op) -> None:
        assert op.result is not None
        name = op.word("value")
        place = self.layout.value(name)
        if place.extent == "tensor":
            if name not in self._read:
                self._read[name] = self.names.new(name)
                self.head.line(f"{self._read[name]} = {self.real}(scalars[{place.column}])")
            self.loop.bind(op.result, self._read[name])
        elif place.extent == "col":
            array = self._array(name, ("col", place.column), "f8")
            self.loop.bind(op.result, f"{self.real}({array}[i])")
        else:
            if name not in self._read:
                array = self._array(name, (place.extent, place.column), "f8", "1")
                self._read[name] = self.names.new(f"this_{name}")
                self.head.line(f"{self._read[name]} = {self.real}({array}[0])")
            self.loop.bind(op.result, self._read[name])

    def _stencil(self, op: Op) -> None:
        assert op.result is not None
        slot = op.word("slot")
        if op.word("kind") != "laplacian":
            raise BackendError(
                "numba: neighbors of an element value is not built yet; write deg*x - laplacian(x) or take layer values"
            )
        if self.alone:
            self.loop.bind(op.result, literal(0.0, op.result.type))
            return
        if self.layout.is_narrow(slot):  # neighbours are widened where they are summed
            array = self._array(f"pull_{slot}", ("stencil", self.layout.slot(slot)), self.real)
            self.loop.assign(op.result, f"{array}[i]", op.result.hint or f"laplacian_{slot}")
            return
        key = f"{slot}_near"
        if key not in self._arrays:
            self._arrays[key] = self.names.new(key)
            self.head.line(f"{self._arrays[key]} = {self.real}_near(streams, {self._address})")
            self._add(("near", self.layout.slot(slot)), NEAR_ADDRESSES)
        self.loop.assign(op.result, f"laplacian_at({self._arrays[key]}, i)", op.result.hint or f"pull_{slot}")

    def _accumulate(self, op: Op) -> None:
        name, how = op.word("total"), op.word("reduction")
        total = self.layout.module.totals[name]
        x: Value = op.operands[0]
        self.loop.say(op.statement)
        if total.extent == "col":
            place = self.layout.value(name)
            stream: Stream = ("col_total", place.column, how)
            cell = f"{self._array(name, stream, 'f8')}[i]"
            self.loop.line(f"{cell} = {_combine(how, cell, f'f8({self.loop.text(x)})', exact=True)}")
            return
        partial = self.names.new(name)
        self.head.line(f"{partial} = {self.real}({_IDENTITY[how]})")
        self.loop.line(f"{partial} = {_combine(how, partial, self.loop.text(x))}")
        if total.extent == "row":
            array = self._array(f"{name}_row", ("row_total", self.layout.value(name).column, how), "f8", "1")
            cell = f"{array}[0]"
        else:
            cell = f"totals[{len(self.out.totals)}]"
            self.out.totals.append(self.layout.total(name))
        self.tail.line(f"{cell} = {_combine(how, cell, f'f8({partial})', exact=True)}")


def _combine(how: str, total: str, x: str, *, exact: bool = False) -> str:
    if how == "sum":
        return f"{total} + {x}" if exact else f"add_reassoc({total}, {x})"
    return f"{how}imum({total}, {x})"


def emit_segment(name: str, sweep: Sweep, layout: Layout) -> Segment:
    """One sweep of one variant."""
    segment = _Writer(name, sweep, layout, alone=False).segment()
    if any(stream[0] in ("near", "stencil") for stream in segment.streams):
        segment.alone = _Writer(f"{name}_alone", sweep, layout, alone=True).segment()
    return segment


def uses_vectors(segments: Mapping[str, Segment]) -> bool:
    """Whether any segment reads or accumulates row, column or matrix values: its tensors are cut into tiles."""
    kinds = {"row", "col", "matrix", "row_total", "col_total"}
    return any(stream[0] in kinds for segment in segments.values() for stream in segment.streams)
