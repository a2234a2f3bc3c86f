"""Meaning of coarse kernel code: stages and the choice of variants, in float64, one unit at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from xdsl.ir import Block, Operation, SSAValue

from optgen.ir import kernel_dialect as kernel
from optgen.ir.extents import Extent, at_most
from optgen.ir.kernel_arith import Array, Numbers, evaluate
from optgen.ir.kernel_memory import INNER, Memory, Unit, combine, reduce_all
from optgen.ir.kernel_world import Tensor
from optgen.ir.rule_types import Counter, EdgeSum, Metadata, Reduction
from optgen.ir.text import IRError

#: Axes of (matrices, rows, cols) that lie within one unit of an extent.
_WITHIN: dict[Extent, tuple[int, ...]] = {
    Extent.TENSOR: (0, 1, 2),
    Extent.MATRIX: (1, 2),
    Extent.ROW: (2,),
    Extent.COL: (1,),
}
#: Guards the ratio of two norms where the own one is zero.
TINY = 1e-16


@dataclass(frozen=True)
class Contribution:
    """What a tensor's variant gives at all; a tensor that does not give a value is left out where it is combined."""

    defines: frozenset[str]
    accumulates: frozenset[str]


class Coarse:
    """Runs coarse code of one tensor, layer or model against the step's memory."""

    def __init__(self, memory: Memory, gives: Mapping[int, Contribution], unit: Unit, where: str) -> None:
        self.memory = memory
        self.gives = gives
        self.unit = unit
        self.where = where

    def run(self, block: Block) -> float:
        """Run every operation; the number of the variant where the code ends in `kernel.chosen`."""
        env: dict[SSAValue, Array] = {}
        chosen = np.nan
        for op in block.ops:
            args = [env[operand] for operand in op.operands]
            match op:
                case kernel.DefineOp():
                    self._define(op.sym_name.data, args[0])
                case kernel.PutOp():
                    self.memory.put(self.unit, kernel.symbol(op.slot), args[0], self.where)
                case kernel.ChosenOp():
                    chosen = float(args[0].item())
                case _:
                    value = evaluate(op, args)
                    env[op.results[0]] = self._read(op) if value is None else value
        return chosen

    def _define(self, name: str, value: Array) -> None:
        extent = self.memory.extent_of(name, self.where)
        if extent is not self.unit.extent:
            raise IRError(f"{self.where}: @{name} is declared {extent}; define it in a stage of that extent")
        self.memory.values[name][self.unit.key][...] = value

    def _read(self, op: Operation) -> Array:
        match op:
            case kernel.ValueOp():
                return self._value(kernel.symbol(op.value))
            case kernel.FetchOp():
                return self.memory.fetch(self.unit, kernel.symbol(op.slot), self.where)
            case kernel.TotalOp():
                return self._total(op.reduction.data, kernel.symbol(op.total))
            case kernel.FoldOp():
                return self._fold(op.reduction.data, op.extent.data, kernel.symbol(op.value))
            case kernel.EdgesOp():
                return _number(self._edges(op.kind.data, kernel.symbol(op.value)))
            case kernel.CountOp():
                return _number(self._count(op.extent.data))
            case kernel.HyperOp():
                return _number(self._given(self._tensor.hypers, kernel.symbol(op.hyper), "hyper-parameter"))
            case kernel.InputOp():
                return _number(self._given(self.memory.world.inputs, kernel.symbol(op.input), "input"))
            case kernel.CounterOp():
                is_step = op.counter.data is Counter.STEP
                return _number(self.memory.step if is_step else self.memory.updates[self.unit.first])
            case kernel.MetadataOp():
                return _number(self._metadata(op.metadata.data))
            case _:
                raise IRError(f"{self.where}: {op.name} has no meaning in coarse code; element code belongs in a sweep")

    @property
    def _tensor(self) -> Tensor:
        return self.memory.world.tensors[self.unit.first]

    def _given(self, values: Mapping[str, float], name: str, what: str) -> float:
        if name not in values:
            raise IRError(f"{self.where}: the world gives no {what} @{name}; it gives {', '.join(values) or 'none'}")
        return float(values[name])

    def _metadata(self, what: Metadata) -> float:
        view, tensor = self.memory.views[self.unit.first], self._tensor
        match what:
            case Metadata.NUMEL:
                return view.numel
            case Metadata.NDIM:
                return len(tensor.shape)
            case Metadata.ROWS:
                return view.rows
            case Metadata.COLS:
                return view.cols
            case Metadata.MATRICES:
                return view.matrices
            case Metadata.DEPTH:
                return tensor.depth

    def _value(self, name: str) -> Numbers:
        extent = self.memory.extent_of(name, self.where)
        if not at_most(extent, self.unit.extent):
            raise IRError(
                f"{self.where}: @{name} is a {extent} value, finer than this stage; combine it by kernel.fold"
            )
        return self.memory.values[name][self.memory.key(extent, self.unit.first)]

    # Combining finer values

    def _count(self, extent: Extent) -> float:
        if at_most(extent, self.unit.extent):
            return 1
        if extent is Extent.LAYER:
            return len(self._layers())
        within = _WITHIN.get(self.unit.extent, (0, 1, 2))
        shapes = [self.memory.views[number].units(extent) for number in self.unit.members]
        return sum(float(np.prod([shape[axis] for axis in within])) for shape in shapes)

    def _fold(self, reduction: Reduction, written: Extent, name: str) -> Numbers:
        extent = self.memory.extent_of(name, self.where)
        if extent is self.unit.extent or not at_most(self.unit.extent, extent):
            raise IRError(f"{self.where}: @{name} is a {extent} value; a fold takes one finer than the stage")
        if written not in (extent, self.unit.extent):
            raise IRError(f"{self.where}: the fold of @{name} says {written}; @{name} is a {extent} value")
        values = self.memory.values[name]
        if self.unit.extent in INNER:
            return reduce_all(reduction, values[self.unit.key], _WITHIN[self.unit.extent])
        if extent is Extent.LAYER:
            keys = [layer.key for layer in self._layers() if name in self.gives[layer.first].defines]
        else:
            keys = [number for number in self.unit.members if name in self.gives[number].defines]
        return _over(reduction, [reduce_all(reduction, values[key]) for key in keys])

    def _total(self, reduction: Reduction, name: str) -> Numbers:
        declared = self.memory.totals_of.get(name)
        if declared is None or declared.reduction.data is not reduction:
            raise IRError(
                f"{self.where}: there is no {reduction} @{name}; add kernel.declare_total @{name} {reduction}"
            )
        totals, extent = self.memory.totals[name], declared.extent.data
        if extent in (Extent.ROW, Extent.COL, Extent.MATRIX):
            if extent is not self.unit.extent:
                raise IRError(f"{self.where}: @{name} is a {extent} total; take it in a {extent} stage")
            return totals[self.unit.key]
        if self.unit.extent in (Extent.ROW, Extent.COL, Extent.MATRIX):
            raise IRError(f"{self.where}: @{name} is a total over {extent}; take it in a stage of a tensor or coarser")
        reached = [number for number in self.unit.members if name in self.gives[number].accumulates]
        return _over(reduction, [totals[number] for number in reached])

    def _layers(self) -> list[Unit]:
        return self.memory.units(Extent.LAYER)

    # The graph

    def _edges(self, kind: EdgeSum, name: str) -> float:
        if self.unit.extent is not Extent.LAYER or self.memory.extent_of(name, self.where) is not Extent.LAYER:
            raise IRError(f"{self.where}: kernel.edges sums a layer value (@{name}) in a layer stage")
        values = self.memory.values[name]
        own, total = values[self.unit.key].item(), 0.0
        for edge in self.memory.graph.edges[self.unit.key]:
            other = values[edge.to].item()
            match kind:
                case EdgeSum.LAPLACIAN:
                    total += edge.own * own - edge.other * other
                case EdgeSum.NEIGHBORS:
                    total += edge.other * other
                case _ if edge.matched:
                    continue
                case EdgeSum.PULL:
                    total += edge.own - edge.other * other / np.maximum(own, TINY)
                case EdgeSum.PUSH:
                    total += edge.other * other / np.maximum(own, TINY)
        return total


def _number(x: float) -> Numbers:
    return np.full((1, 1, 1), float(x))


def _over(reduction: Reduction, values: Sequence[Numbers]) -> Numbers:
    """Values of several tensors combined; NaN where nobody gives one, for then nobody should ask."""
    return combine(reduction, list(values)) if values else _number(np.nan)
