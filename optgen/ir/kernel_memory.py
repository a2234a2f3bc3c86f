"""Memory of one interpreted step: buffers, what each element holds by now, coarse values and totals."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import cast

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import BFloat16Type

from optgen.errors import UsageError
from optgen.ir import kernel_dialect as kernel
from optgen.ir.extents import Extent, at_most
from optgen.ir.kernel_arith import STORAGE, Array, Numbers, convert
from optgen.ir.kernel_world import Tensor, World
from optgen.ir.rule_types import Reduction
from optgen.ir.text import IRError
from optgen.ir.world import Graph, elements_of, matrices_of, slot_shape, value_shape
from optgen.runtime.abi import Mode
from optgen.runtime.library_calls import FUNCTIONS

#: Extents of which a tensor has units of its own.
INNER = (Extent.TENSOR, Extent.MATRIX, Extent.ROW, Extent.COL)


class View:
    """A tensor as matrices under the rule's `matrix:` view."""

    def __init__(self, shape: tuple[int, ...], matrix: str) -> None:
        self.numel = numel = math.prod(shape)
        place = matrices_of(np.arange(numel, dtype=np.float64).reshape(shape), matrix)
        self.matrices, self.rows, self.cols = place.shape
        self._seen_at = np.empty(numel, np.intp)  # of an element in memory order: its position in the view
        self._seen_at[place.astype(np.intp).ravel()] = np.arange(numel, dtype=np.intp)

    def units(self, extent: Extent) -> tuple[int, int, int]:
        """Shape of a value of this extent, as an array that broadcasts against (matrices, rows, cols)."""
        return value_shape(extent, (self.matrices, self.rows, self.cols))

    def cells(self, extent: Extent, begin: int, end: int) -> NDArray[np.intp]:
        """For elements begin <= k < end in memory order, the unit of this extent that each lies in."""
        seen = self._seen_at[begin:end]
        match extent:
            case Extent.MATRIX:
                return seen // max(self.rows * self.cols, 1)
            case Extent.ROW:
                return seen // max(self.cols, 1)
            case Extent.COL:
                return seen // max(self.rows * self.cols, 1) * self.cols + seen % max(self.cols, 1)
            case _:
                return np.zeros_like(seen)


@dataclass(frozen=True)
class Unit:
    """Where a stage runs: a tensor, a layer or the model, its number, and its present tensors in order."""

    extent: Extent
    key: int
    members: tuple[int, ...]

    @property
    def first(self) -> int:
        """The tensor that speaks for the unit."""
        return self.members[0]


def identity(reduction: Reduction) -> float:
    """What a reduction of nothing gives."""
    return {Reduction.SUM: 0.0, Reduction.MAX: -np.inf, Reduction.MIN: np.inf}[reduction]


def reduce_all(reduction: Reduction, value: Numbers, axes: tuple[int, ...] = (0, 1, 2)) -> Numbers:
    """A reduction along axes in float64; max and min keep NaN."""
    start = identity(reduction)
    match reduction:
        case Reduction.SUM:
            return np.sum(value, axis=axes, keepdims=True, initial=start)
        case Reduction.MAX:
            return np.max(value, axis=axes, keepdims=True, initial=start)
        case Reduction.MIN:
            return np.min(value, axis=axes, keepdims=True, initial=start)


def combine(reduction: Reduction, values: list[Numbers]) -> Numbers:
    """Values of equal shape combined one after another, in order."""
    ufunc = {Reduction.SUM: np.add, Reduction.MAX: np.maximum, Reduction.MIN: np.minimum}[reduction]
    result = values[0]
    for value in values[1:]:
        result = ufunc(result, value)
    return result


@dataclass
class Memory:
    """Tables and buffers of one step. Stores of a tensor without gradient last until the step ends and no longer."""

    module: kernel.ModuleOp
    world: World
    step: int
    slots: dict[str, kernel.SlotOp] = field(init=False)
    extents: dict[str, Extent] = field(init=False)
    totals_of: dict[str, kernel.DeclareTotalOp] = field(init=False)
    views: list[View] = field(init=False)
    modes: list[Mode] = field(init=False)
    graph: Graph = field(init=False)
    updates: list[float] = field(init=False)
    values: dict[str, list[Numbers]] = field(init=False)
    totals: dict[str, list[Numbers]] = field(init=False)
    versions: dict[tuple[int, str], NDArray[np.int16]] = field(default_factory=dict[tuple[int, str], NDArray[np.int16]])
    _shadows: dict[tuple[int, str], Array] = field(default_factory=dict[tuple[int, str], Array])

    def __post_init__(self) -> None:
        ops = self.module.body.block.ops
        self.slots = {op.sym_name.data: op for op in self.module.slots}
        self.extents = {op.sym_name.data: op.extent.data for op in ops if isinstance(op, kernel.DeclareValueOp)}
        self.totals_of = {op.sym_name.data: op for op in ops if isinstance(op, kernel.DeclareTotalOp)}
        kind = self.module.matrix.data
        shapes = [tensor.shape for tensor in self.world.tensors]
        self.views = [View(shape, kind) for shape in shapes]
        self._check_buffers()
        self.modes = self._modes()
        self.graph = self._graph()
        self.updates = [self._updates(tensor) for tensor in self.world.tensors]
        self.values = {name: self._blank(extent) for name, extent in self.extents.items()}
        self.totals = {name: self._blank_totals(op.extent.data) for name, op in self.totals_of.items()}

    def _check_buffers(self) -> None:
        kind = self.module.matrix.data
        for number, tensor in enumerate(self.world.tensors):
            for name, slot in self.slots.items():
                buffer = tensor.buffers.get(name)
                if slot.dtype.data not in STORAGE:
                    raise IRError(f"slot @{name}: unknown dtype {slot.dtype.data}; kernels store {', '.join(STORAGE)}")
                if buffer is None:
                    continue
                dtype, shape = STORAGE[slot.dtype.data][0], slot_shape(slot.extent.data, tensor.shape, kind)
                if buffer.dtype != dtype or buffer.shape != shape or not buffer.flags.c_contiguous:
                    raise UsageError(
                        f"tensor {number}: slot @{name} is {buffer.dtype} of shape {buffer.shape}; "
                        f"give a C-contiguous array of {dtype} and shape {shape}"
                    )

    def _modes(self) -> list[Mode]:
        gradients = [name for name, op in self.slots.items() if op.role.data is kernel.Role.GRADIENT]
        has = [all(t.buffers.get(name) is not None for name in gradients) for t in self.world.tensors]
        present = {tensor.layer for tensor, given in zip(self.world.tensors, has, strict=True) if given}
        without = [Mode.ZERO_GRADIENT if t.layer in present else Mode.ABSENT for t in self.world.tensors]
        return [Mode.ACTIVE if given else mode for given, mode in zip(has, without, strict=True)]

    def _graph(self) -> Graph:
        layers = {self.world.tensors[number].layer for number in self.present}
        if self.world.graph is None:
            return Graph.empty(self.world.layers, len(self.world.tensors))
        return self.world.graph([layer in layers for layer in range(self.world.layers)])

    def _updates(self, tensor: Tensor) -> float:
        for name, op in self.slots.items():
            buffer = tensor.buffers.get(name)
            if op.role.data is kernel.Role.COUNTER and buffer is not None:
                return 1.0 + float(buffer.astype(np.float64))
        return float(self.step)

    def _blank(self, extent: Extent) -> list[Numbers]:
        if extent is Extent.MODEL:
            return [np.full((1, 1, 1), np.nan)]
        if extent is Extent.LAYER:
            return [np.full((1, 1, 1), np.nan) for _ in range(self.world.layers)]
        return [np.full(view.units(extent), np.nan) for view in self.views]

    def _blank_totals(self, extent: Extent) -> list[Numbers]:
        """Totals over a layer or the model are kept per tensor and summed by the stage that asks."""
        return self._blank(extent if extent in INNER else Extent.TENSOR)

    # Units

    @property
    def present(self) -> list[int]:
        """Tensors that take part, in order."""
        return [number for number, mode in enumerate(self.modes) if mode is not Mode.ABSENT]

    def units(self, extent: Extent) -> list[Unit]:
        """Units in which a stage of this extent runs; tensors stand for the rows, columns and matrices inside."""
        present = self.present
        if extent is Extent.MODEL:
            return [Unit(extent, 0, tuple(present))] if present else []
        if extent is Extent.LAYER:
            members: dict[int, list[int]] = {}
            for number in present:
                members.setdefault(self.world.tensors[number].layer, []).append(number)
            return [Unit(extent, layer, tuple(numbers)) for layer, numbers in sorted(members.items())]
        return [Unit(extent, number, (number,)) for number in present]

    def key(self, extent: Extent, tensor: int) -> int:
        """Index in `values` of the unit of this extent that a tensor lies in."""
        if extent is Extent.MODEL:
            return 0
        return self.world.tensors[tensor].layer if extent is Extent.LAYER else tensor

    def extent_of(self, value: str, where: str) -> Extent:
        """Declared extent of a coarse value."""
        if value not in self.extents:
            raise IRError(f"{where}: the coarse value @{value} is not declared; add kernel.declare @{value}")
        return self.extents[value]

    def slot(self, name: str, where: str) -> kernel.SlotOp:
        """A declared slot."""
        if name not in self.slots:
            raise IRError(f"{where}: there is no slot @{name}; add kernel.slot @{name}")
        return self.slots[name]

    # Buffers

    def reads_zero(self, tensor: int, slot: kernel.SlotOp) -> bool:
        """Whether the slot is a gradient that the tensor does not have."""
        return slot.role.data is kernel.Role.GRADIENT and self.modes[tensor] is Mode.ZERO_GRADIENT

    def is_stored(self, tensor: int) -> bool:
        """Whether a tensor's stores outlive the step."""
        return self.modes[tensor] is Mode.ACTIVE

    def _buffer(self, tensor: int, name: str, where: str) -> Array:
        shadow = self._shadows.get((tensor, name))
        if shadow is not None:
            return shadow
        if self.slot(name, where).role.data is kernel.Role.SCRATCH:
            kind = STORAGE[self.slots[name].dtype.data][0]
            return self._shadows.setdefault((tensor, name), np.full(self.world.tensors[tensor].shape, np.nan, kind))
        buffer = self.world.tensors[tensor].buffers.get(name)
        if buffer is None:
            raise IRError(f"{where}: tensor {tensor} has no memory for slot @{name}; list it among the variant's slots")
        return buffer

    def _writable(self, tensor: int, name: str, where: str) -> Array:
        buffer = self._buffer(tensor, name, where)
        if self.modes[tensor] is Mode.ACTIVE:
            return buffer  # scratch too: it is this step's own
        return self._shadows.setdefault((tensor, name), buffer.copy())

    def load(self, tensor: int, name: str, begin: int, end: int, where: str) -> Array:
        """A copy of elements as they are stored now; zeros for a missing gradient."""
        slot = self.slot(name, where)
        if slot.extent.data is not Extent.ELEM:
            raise IRError(f"{where}: @{name} has extent {slot.extent.data}; sweeps load and store elem slots only")
        if self.reads_zero(tensor, slot):
            return np.zeros(end - begin, STORAGE[slot.dtype.data][0])
        return self._buffer(tensor, name, where).reshape(-1)[begin:end].copy()

    def store(self, tensor: int, name: str, begin: int, value: Array, sweep: int, where: str) -> None:
        """Replace elements, and remember which sweep did."""
        slot = self.slot(name, where)
        if slot.extent.data is not Extent.ELEM or slot.role.data in (kernel.Role.GRADIENT, kernel.Role.COUNTER):
            raise IRError(f"{where}: @{name} is a {slot.role.data} slot of extent {slot.extent.data}; it is not stored")
        flat = self._writable(tensor, name, where).reshape(-1)
        flat[begin : begin + value.size] = value
        self._version(tensor, name, flat.size)[begin : begin + value.size] = sweep

    def call(self, tensor: int, op: kernel.CallOp, where: str) -> None:
        """A library call on a tensor, in the compute dtype; NaN, not for use, where there is no gradient."""
        operand, target, kind = kernel.symbol(op.operand), kernel.symbol(op.target), self.module.matrix.data
        dtype, shape = STORAGE[self.module.compute.data][0], self.world.tensors[tensor].shape
        found = np.full(self.views[tensor].numel, np.nan)
        if self.modes[tensor] is Mode.ACTIVE:
            x = self.load(tensor, operand, 0, found.size, where).astype(np.float64).reshape(shape)
            numbers = [float(self.values[name][tensor].item()) for name in op.words]
            result = FUNCTIONS[op.function.data](cast(Numbers, matrices_of(x, kind).astype(dtype)), numbers)
            found = elements_of(result.astype(np.float64), shape, kind).ravel()
        self.store(tensor, target, 0, found.astype(dtype), 1 + op.boundary.value.data, where)

    def _version(self, tensor: int, name: str, size: int) -> NDArray[np.int16]:
        return self.versions.setdefault((tensor, name), np.zeros(size, np.int16))

    def check_version(self, tensor: int, name: str, begin: int, end: int, expected: str, where: str) -> None:
        """Raise unless memory holds what the lowering marked: `old` or `new` values."""
        if expected not in ("old", "new"):
            raise IRError(f'{where}: version "{expected}" is neither "old" nor "new"')
        versions = self.versions.get((tensor, name))
        held = np.zeros(end - begin, np.int16) if versions is None else versions[begin:end]
        wrong = (held != 0) if expected == "old" else (held == 0)
        if wrong.any():
            found = f"what sweep {held.max()} stored" if expected == "old" else "the old value"
            raise IRError(f"{where}: expects the {expected} value of @{name} on tensor {tensor}; memory holds {found}")

    def fetch(self, unit: Unit, name: str, where: str) -> Numbers:
        """A coarse slot's content in float64, of the unit the stage runs in or the coarser one around it."""
        slot = self.slot(name, where)
        extent = slot.extent.data
        if not at_most(extent, unit.extent):
            raise IRError(f"{where}: @{name} has extent {extent}, finer than a {unit.extent} stage can fetch")
        tensor = unit.first
        if extent in (Extent.LAYER, Extent.MODEL):
            tensor = next(number for number in self.present if self.key(extent, number) == self.key(extent, unit.first))
        content = self._buffer(tensor, name, where)
        return content.astype(np.float64).reshape(self.views[tensor].units(extent))

    def put(self, unit: Unit, name: str, value: Array, where: str) -> None:
        """Store a coarse slot; that of a layer or the model on every tensor it covers, present or not."""
        slot = self.slot(name, where)
        extent = slot.extent.data
        if extent is not unit.extent:
            raise IRError(f"{where}: @{name} has extent {extent}; put it in a stage of that extent")
        shared = extent in (Extent.LAYER, Extent.MODEL)
        for tensor in range(len(self.modes)) if shared else (unit.first,):
            if self.key(extent, tensor) != unit.key or (
                shared and self.world.tensors[tensor].buffers.get(name) is None
            ):
                continue
            buffer = self._buffer(tensor, name, where) if shared else self._writable(tensor, name, where)
            whole = np.broadcast_to(value, self.views[tensor].units(extent)).reshape(buffer.shape)
            rounded = convert(whole, BFloat16Type()) if slot.dtype.data == "bfloat16" else whole
            buffer[...] = rounded.astype(buffer.dtype)
