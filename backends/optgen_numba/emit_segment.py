"""Sweeps as `segment` functions: one vectorised loop over consecutive elements."""

from __future__ import annotations

from dataclasses import dataclass, field

from optgen.backend.element_text import ElementText
from optgen.backend.lonely import without_neighbours
from optgen.ir.view import Sweep, Total, Value
from optgen_numba.layout import SHORT, Layout
from optgen_numba.python_text import Body, Names

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
    alone: Segment | None = None  # the same for tensors without neighbours; without lines where nothing is left to do

    def manifest(self) -> dict[str, object]:
        """The sweep's entry in the manifest."""
        entry: dict[str, object] = {
            "function": self.name,
            "streams": [list(s) for s in self.streams],
            "totals": self.totals,
        }
        if self.alone is None:
            return entry
        return {**entry, "alone": self.alone.manifest() if self.alone.lines else None}


class _Writer(ElementText):
    backend = "numba"

    def __init__(self, name: str, sweep: Sweep, layout: Layout) -> None:
        self.names = Names(RESERVED)
        super().__init__(sweep, layout, Body(self.names, indent=2))
        self.real = SHORT[layout.module.compute]
        self.head = Body(self.names)
        self.tail = Body(self.names)
        self.out = Segment(name, [])
        self._arrays: dict[str, str] = {}
        self._address = 0
        self._read: dict[str, str] = {}

    def segment(self) -> Segment:
        stored, loaded = self.touched("kernel.store"), self.touched("kernel.load")
        for slot in self.touched("kernel.load", "kernel.store"):
            access = ("r" if slot in loaded else "") + ("w" if slot in stored else "")
            self._array(slot, ("slot", self.layout.slot(slot), access), SHORT[self.layout.dtype(slot)])
        self.write_ops()
        self.out.lines = [
            "@segment",
            f"def {self.out.name}(n, streams, scalars, totals):",
            *self.head.lines,
            "    for i in range(n):",
            *self.body.lines,
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

    def is_slot(self, name: str) -> bool:
        """Slots and what else has an array."""
        return name in self._arrays

    def widened(self, slot: str) -> str:
        """The slot's own name: the word has none."""
        return slot

    def load(self, result: Value, slot: str) -> None:
        """An item; of narrow slots a word, called after the slot once it is widened."""
        if self.layout.is_narrow(slot):
            self.body.bind(result, f"{self._arrays[slot]}[i]")
        else:
            self.body.assign(result, f"{self._arrays[slot]}[i]", slot)

    def store(self, slot: str, x: str) -> None:
        """An item."""
        self.body.line(f"{self._arrays[slot]}[i] = {x}")

    def at_random(self, result: Value, x: str, stream: int) -> None:
        """By the words of a stream."""
        noise = self._array(f"noise_{stream}", ("noise", stream), "u2")
        self.body.bind(result, f"b2_at_random({x}, {noise}[i])")

    def read(self, result: Value, name: str) -> None:
        """Read before the loop where it is the same for all elements."""
        place = self.layout.value(name)
        if place.extent == "tensor":
            if name not in self._read:
                self._read[name] = self.names.new(name)
                self.head.line(f"{self._read[name]} = {self.real}(scalars[{place.column}])")
            self.body.bind(result, self._read[name])
        elif place.extent == "col":
            array = self._array(name, ("col", place.column), "f8")
            self.body.bind(result, f"{self.real}({array}[i])")
        else:
            if name not in self._read:
                array = self._array(name, (place.extent, place.column), "f8", "1")
                self._read[name] = self.names.new(f"this_{name}")
                self.head.line(f"{self._read[name]} = {self.real}({array}[0])")
            self.body.bind(result, self._read[name])

    def stencil(self, result: Value, slot: str, kind: str) -> None:
        """Differences from two neighbours read here; from more, and sums without own values, by the driver."""
        if kind != "laplacian":
            array = self._array(f"around_{slot}", ("stencil", self.layout.slot(slot), kind), self.real)
            self.body.assign(result, f"{array}[i]", result.hint or f"{kind}_{slot}")
            return
        if self.layout.is_narrow(slot):  # neighbours are widened where they are summed
            array = self._array(f"pull_{slot}", ("stencil", self.layout.slot(slot)), self.real)
            self.body.assign(result, f"{array}[i]", result.hint or f"laplacian_{slot}")
            return
        key = f"{slot}_near"
        if key not in self._arrays:
            self._arrays[key] = self.names.new(key)
            self.head.line(f"{self._arrays[key]} = {self.real}_near(streams, {self._address})")
            self._add(("near", self.layout.slot(slot)), NEAR_ADDRESSES)
        self.body.assign(result, f"laplacian_at({self._arrays[key]}, i)", result.hint or f"pull_{slot}")

    def accumulate(self, total: Total, x: str) -> None:
        """In a variable, or of columns in their array."""
        name, how = total.name, total.reduction
        if total.extent == "col":
            place = self.layout.value(name)
            stream: Stream = ("col_total", place.column, how)
            cell = f"{self._array(name, stream, 'f8')}[i]"
            self.body.line(f"{cell} = {_combine(how, cell, f'f8({x})', exact=True)}")
            return
        partial = self.names.new(name)
        self.head.line(f"{partial} = {self.real}({_IDENTITY[how]})")
        self.body.line(f"{partial} = {_combine(how, partial, x)}")
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
    segment = _Writer(name, sweep, layout).segment()
    if any(stream[0] in ("near", "stencil") for stream in segment.streams):
        rest = without_neighbours(sweep)
        segment.alone = _Writer(f"{name}_alone", rest, layout).segment() if rest.ops else Segment("", [])
    return segment
