"""The interpreter of the `kernel` dialect: what kernel IR does to real buffers, in the dtypes it says.

Select, then stages and sweeps in order; every tensor finishes a sweep before any begins the next stage. Within a sweep,
chunks of all tensors run in a seeded random order, so a result that depended on it would show. Coarse values and totals
are NaN until given. A tensor without gradient whose layer has one takes part with a gradient of zero; what it stores is
seen by later sweeps of the same step and then forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from xdsl.dialects.builtin import StringAttr
from xdsl.ir import Block, Operation, SSAValue

from optgen.errors import UsageError
from optgen.ir import kernel_dialect as kernel
from optgen.ir.extents import Extent
from optgen.ir.kernel_arith import STORAGE, Array, Numbers, convert, evaluate, round_at_random, storage_name
from optgen.ir.kernel_coarse import Coarse, Contribution
from optgen.ir.kernel_memory import INNER, Memory, Unit, combine, identity
from optgen.ir.kernel_world import Traffic, World
from optgen.ir.philox import rounding_bits
from optgen.ir.rule_types import Reduction, Stencil
from optgen.ir.text import IRError
from optgen.ir.world import Counterpart

#: Sums run over this many elements in their own dtype, from there on in float64.
SLICE = 4096

#: Order in which stages of different extents at one position run.
_FINE_TO_COARSE = (Extent.ROW, Extent.COL, Extent.MATRIX, Extent.TENSOR, Extent.LAYER, Extent.MODEL)


def run(
    module: kernel.ModuleOp, world: World, *, seed: int = 0, chunk: int = 1024, step: int, poison: bool = True
) -> Traffic:
    """One optimizer step on the world's buffers, in place; `step` is 1 + steps completed.

    `poison`: raise IRError where a sweep stores a slot that it reads at a graph neighbour. A `version` attribute
    ("old" or "new") on `kernel.load` or `kernel.stencil` is always checked against what memory holds. The counter slot
    advances only by `kernel.put`.
    """
    if chunk < 1 or step < 1:
        raise UsageError(f"chunk {chunk} and step {step} must be at least 1")
    with np.errstate(all="ignore"):
        return _Run(module, world, step, chunk, np.random.default_rng(seed), poison).run()


@dataclass
class _Program:
    """A variant as what runs after each sweep (0: before the first), and its sweeps by index; calls follow stages."""

    name: str
    stages: dict[int, list[kernel.StageOp]] = field(default_factory=dict[int, list[kernel.StageOp]])
    sweeps: dict[int, kernel.SweepOp] = field(default_factory=dict[int, kernel.SweepOp])
    calls: dict[int, list[kernel.CallOp]] = field(default_factory=dict[int, list[kernel.CallOp]])

    @classmethod
    def of(cls, variant: kernel.VariantOp) -> _Program:
        """The variant's stages and sweeps, sorted."""
        program, index = cls(variant.sym_name.data), 0
        for op in variant.body.block.ops:
            match op:
                case kernel.StageOp():
                    program.stages.setdefault(index, []).append(op)
                case kernel.SweepOp() if op.index.value.data > index:
                    index = op.index.value.data
                    program.sweeps[index] = op
                case kernel.CallOp() if op.boundary.value.data >= index:
                    program.calls.setdefault(op.boundary.value.data, []).append(op)
                case _:
                    raise IRError(f"variant @{program.name}: {op.name} where a stage or the next sweep is expected")
        return program

    @property
    def contribution(self) -> Contribution:
        """What the variant gives to others."""
        stages = [op for group in self.stages.values() for stage in group for op in stage.body.block.ops]
        sweeps = [op for sweep in self.sweeps.values() for op in sweep.body.block.ops]
        return Contribution(
            frozenset(op.sym_name.data for op in stages if isinstance(op, kernel.DefineOp)),
            frozenset(kernel.symbol(op.total) for op in sweeps if isinstance(op, kernel.AccumulateOp)),
        )

    def stage(self, group: int, position: int) -> kernel.StageOp | None:
        """A stage, if the variant has that many after this sweep."""
        stages = self.stages.get(group, ())
        return stages[position] if position < len(stages) else None


_T = TypeVar("_T")

#: Partial results of one chunk, by total.
_Partials = dict[str, Numbers]


class _Run:
    def __init__(
        self, module: kernel.ModuleOp, world: World, step: int, chunk: int, rng: np.random.Generator, poison: bool
    ) -> None:
        self.module = module
        self.memory = Memory(module, world, step)
        self.chunk = chunk
        self.rng = rng
        self.poison = poison
        self.traffic = Traffic(chosen=[""] * len(world.tensors))
        self.programs = [_Program.of(variant) for variant in module.variants]
        self.taken: dict[int, _Program] = {}
        self.gives: dict[int, Contribution] = {}

    def run(self) -> Traffic:
        """Select, stages, then sweep and stages in turn."""
        self._select()
        self._stages(0)
        self._calls(0)
        for index in range(1, 1 + max((s for program in self.programs for s in program.sweeps), default=0)):
            self._sweep(index)
            self._stages(index)
            self._calls(index)
        return self.traffic

    def _shuffled(self, items: Sequence[_T]) -> list[_T]:
        return [items[k] for k in self.rng.permutation(len(items))]

    # Coarse code

    def _select(self) -> None:
        select = self.module.select
        if select is None and len(self.programs) != 1:
            raise IRError(f"module @{self.module.sym_name.data} has {len(self.programs)} variants and no kernel.select")
        self.traffic.launches += select is not None
        for number in self._shuffled(self.memory.present):
            unit = Unit(Extent.TENSOR, number, (number,))
            chosen = 0.0 if select is None else Coarse(self.memory, {}, unit, "kernel.select").run(select.body.block)
            if chosen not in range(len(self.programs)):
                raise IRError(
                    f"kernel.select chose {chosen} for tensor {number}; there are {len(self.programs)} variants"
                )
            self.taken[number] = self.programs[int(chosen)]
            self.traffic.chosen[number] = self.taken[number].name
        given = {program.name: program.contribution for program in self.programs}
        self.gives = {number: given[program.name] for number, program in self.taken.items()}

    def _stages(self, group: int) -> None:
        for position in range(max((len(program.stages.get(group, ())) for program in self.programs), default=0)):
            for extent in _FINE_TO_COARSE:
                work: list[tuple[Unit, Block]] = []
                for unit in self.memory.units(extent):
                    stage = self.taken[unit.first].stage(group, position)
                    if stage is not None and stage.extent.data is extent:
                        work.append((unit, stage.body.block))
                self.traffic.launches += bool(work)
                for unit, block in self._shuffled(work):
                    name = self.taken[unit.first].name
                    where = f"variant @{name}, {extent} stage {position + 1} after sweep {group}"
                    Coarse(self.memory, self.gives, unit, where).run(block)

    def _calls(self, group: int) -> None:
        for number, program in self._shuffled(sorted(self.taken.items())):
            for op in program.calls.get(group, ()):
                self.memory.call(number, op, f"variant @{program.name}, {op.function.data} after sweep {group}")

    # Element code

    def _sweep(self, index: int) -> None:
        bodies: dict[int, Block] = {}
        for number in sorted(self.taken):
            sweep = self.taken[number].sweeps.get(index)
            if sweep is not None and sweep.body.block.ops.first is not None:
                bodies[number] = sweep.body.block
        if not bodies:
            return
        if self.poison:
            self._refuse_hazards(index, bodies)
        work = [(t, begin) for t in bodies for begin in range(0, self.memory.views[t].numel, self.chunk)]
        partials: dict[int, dict[int, _Partials]] = {number: {} for number in bodies}
        for number, begin in self._shuffled(work):
            partials[number][begin] = self._chunk(index, number, begin, bodies[number])
        self.traffic.launches += 1
        self.traffic.chunks += len(work)
        for number, block in bodies.items():
            self._finish(number, block, [partials[number][begin] for begin in sorted(partials[number])])

    def _refuse_hazards(self, index: int, bodies: dict[int, Block]) -> None:
        read: dict[tuple[int, str], int] = {}
        for number, block in bodies.items():
            slots = [kernel.symbol(op.slot) for op in block.ops if isinstance(op, kernel.StencilOp)]
            for part in self.memory.graph.counterparts[number]:
                read.update({(part.tensor, slot): number for slot in slots})
        for number, block in bodies.items():
            for op in block.ops:
                if isinstance(op, kernel.StoreOp) and (number, kernel.symbol(op.slot)) in read:
                    name, reader = kernel.symbol(op.slot), read[number, kernel.symbol(op.slot)]
                    raise IRError(
                        f"sweep {index} stores @{name} of tensor {number}, which tensor {reader} reads as its "
                        "neighbour in the same sweep; store it in a later one"
                    )

    def _finish(self, number: int, block: Block, partials: list[_Partials]) -> None:
        """Totals of a tensor: its chunks in order."""
        for op in block.ops:
            if isinstance(op, kernel.AccumulateOp):
                name, reduction = kernel.symbol(op.total), op.reduction.data
                totals = self.memory.totals[name][number]
                start = np.full(totals.shape, identity(reduction))
                totals[...] = combine(reduction, [start, *(partial[name] for partial in partials)])

    def _chunk(self, index: int, number: int, begin: int, block: Block) -> _Partials:
        end = min(begin + self.chunk, self.memory.views[number].numel)
        chunk = _Chunk(self.memory, index, number, begin, end, f"variant @{self.taken[number].name}, sweep {index}")
        chunk.run(block)
        for slot in chunk.loaded:
            self._charge(self.traffic.loaded, index, slot, end - begin)
        for slot in chunk.stored:
            self._charge(self.traffic.stored, index, slot, end - begin)
        return chunk.partials

    def _charge(self, counted: dict[tuple[int, str], int], index: int, slot: str, elements: int) -> None:
        dtype = self.memory.slots[slot].dtype.data
        counted[index, dtype] += elements * STORAGE[dtype][1]


class _Chunk:
    """Element code on elements begin <= k < end of one tensor."""

    def __init__(self, memory: Memory, index: int, number: int, begin: int, end: int, where: str) -> None:
        self.memory = memory
        self.index = index
        self.number = number
        self.begin = begin
        self.end = end
        self.where = where
        self.loaded: set[str] = set()
        self.stored: set[str] = set()
        self.partials: _Partials = {}

    def run(self, block: Block) -> None:
        """Run every operation on all elements at once."""
        env: dict[SSAValue, Array] = {}
        for op in block.ops:
            args = [env[operand] for operand in op.operands]
            match op:
                case kernel.StoreOp():
                    self._store(op, args[0])
                case kernel.AccumulateOp():
                    self._accumulate(op, args[0])
                case kernel.RoundAtRandomOp():
                    env[op.result] = self._round_at_random(op, args[0])
                case _:
                    value = evaluate(op, args)
                    env[op.results[0]] = self._read(op) if value is None else value

    def _read(self, op: Operation) -> Array:
        match op:
            case kernel.LoadOp():
                return self._load(op)
            case kernel.StencilOp():
                return self._stencil(op)
            case kernel.ReadOp():
                return self._coarse(op)
            case _:
                raise IRError(f"{self.where}: {op.name} has no meaning in a sweep; coarse code belongs in a stage")

    def _each(self, value: Array) -> Array:
        return np.broadcast_to(value, (self.end - self.begin,))

    def _elements(
        self, op: kernel.LoadOp | kernel.StencilOp, tensor: int, span: tuple[int, int] | None = None
    ) -> Array:
        """What memory holds of the operation's slot on a tensor, in this chunk or a span, checked and counted."""
        name = kernel.symbol(op.slot)
        marked = op.attributes.get("version")
        begin, end = span or (self.begin, self.end)
        if isinstance(marked, StringAttr):
            self.memory.check_version(tensor, name, begin, end, marked.data, self.where)
        if not self.memory.reads_zero(self.number, self.memory.slot(name, self.where)):
            self.loaded.add(name)
        return self.memory.load(tensor, name, begin, end, self.where)

    def _load(self, op: kernel.LoadOp) -> Array:
        self._same_dtype(op, op.result)
        return self._elements(op, self.number)

    def _store(self, op: kernel.StoreOp, value: Array) -> None:
        self._same_dtype(op, op.value)
        name = kernel.symbol(op.slot)
        self.memory.store(self.number, name, self.begin, self._each(value), self.index, self.where)
        if self.memory.is_stored(self.number):
            self.stored.add(name)

    def _round_at_random(self, op: kernel.RoundAtRandomOp, value: Array) -> Array:
        if storage_name(op.value.type) != "float32" or storage_name(op.result.type) != "bfloat16":
            raise IRError(f"{self.where}: {op.name} from {op.value.type} to {op.result.type}; it is f32 to bf16 only")
        index = np.arange(self.begin, self.end)
        seed, step = self.memory.world.seed, self.memory.step
        bits = rounding_bits(seed, step, self.number, op.stream.value.data, index)
        return round_at_random(self._each(value), bits)

    def _same_dtype(self, op: kernel.LoadOp | kernel.StoreOp, value: SSAValue) -> None:
        name = kernel.symbol(op.slot)
        dtype = self.memory.slot(name, self.where).dtype.data
        if storage_name(value.type) != dtype:
            raise IRError(f"{self.where}: {op.name} @{name} as {value.type}, but the slot is {dtype}")

    def _stencil(self, op: kernel.StencilOp) -> Array:
        dtype = op.result.type
        own = convert(self._elements(op, self.number), dtype)
        total = np.zeros_like(own)
        for part in self.memory.graph.counterparts[self.number]:
            mine, theirs = self._met(op, part, own)
            other = self._scaled(part.other, theirs)
            if op.kind.data is Stencil.LAPLACIAN:
                other = np.subtract(self._scaled(part.own, mine), other)
            total = np.add(total, other)
        return total

    def _met(self, op: kernel.StencilOp, part: Counterpart, own: Array) -> tuple[Array, Array]:
        """Own values of this chunk and a counterpart's, 0 where there is none."""
        dtype = op.result.type
        if part.window is None:
            if self.memory.views[part.tensor].numel != self.memory.views[self.number].numel:
                raise UsageError(f"tensors {self.number} and {part.tensor} are matched but differ in size")
            return own, convert(self._elements(op, part.tensor), dtype)
        first, end, shift = part.window
        low, high = max(first, self.begin), min(end, self.end)
        mine, theirs = np.zeros_like(own), np.zeros_like(own)
        if low < high:
            here = slice(low - self.begin, high - self.begin)
            mine[here] = own[here]
            if part.tensor >= 0:
                theirs[here] = convert(self._elements(op, part.tensor, (low + shift, high + shift)), dtype)
        return mine, theirs

    def _scaled(self, factor: float, x: Array) -> Array:
        return np.multiply(np.asarray(factor).astype(x.dtype), x)

    def _coarse(self, op: kernel.ReadOp) -> Array:
        name = kernel.symbol(op.value)
        extent = self.memory.extent_of(name, self.where)
        table = self.memory.values[name][self.memory.key(extent, self.number)].reshape(-1)
        cells = self.memory.views[self.number].cells(extent, self.begin, self.end)
        return convert(table[cells], op.result.type)

    def _accumulate(self, op: kernel.AccumulateOp, value: Array) -> None:
        name, reduction = kernel.symbol(op.total), op.reduction.data
        declared = self.memory.totals_of.get(name)
        if declared is None or declared.reduction.data is not reduction or name in self.partials:
            raise IRError(f"{self.where}: {reduction} @{name} is not declared, or accumulated twice in one sweep")
        extent, view = declared.extent.data, self.memory.views[self.number]
        x = self._each(value)
        if extent not in INNER or extent is Extent.TENSOR:
            self.partials[name] = np.full((1, 1, 1), _total(reduction, x))
            return
        partial = np.full(view.units(extent), identity(reduction))
        add: Callable[..., None] = {Reduction.SUM: np.add, Reduction.MAX: np.maximum, Reduction.MIN: np.minimum}[
            reduction
        ].at
        add(partial.reshape(-1), view.cells(extent, self.begin, self.end), x.astype(np.float64))
        self.partials[name] = partial


def _total(reduction: Reduction, x: Array) -> float:
    """A chunk's total: slices in the value's own dtype, then float64."""
    total = identity(reduction)
    for begin in range(0, x.size, SLICE):
        part = x[begin : begin + SLICE]
        match reduction:
            case Reduction.SUM:
                total += float(np.sum(part, dtype=part.dtype))
            case Reduction.MAX:
                total = float(np.maximum(total, np.max(part)))
            case Reduction.MIN:
                total = float(np.minimum(total, np.min(part)))
    return total
