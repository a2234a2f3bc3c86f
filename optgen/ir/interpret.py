"""The float64 interpreter of the `rule` dialect: the meaning of a rule, and the oracle of every other test.

A value is a list with one array per tensor, of shape (matrices, rows, columns) with ones where it does not vary, so
that element functions broadcast. Statements happen for every tensor before the next begins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from xdsl.ir import Block, Operation, SSAValue

from optgen.errors import OptgenError
from optgen.ir import rule_dialect as rule
from optgen.ir.build import MAXIMIZE
from optgen.ir.extents import Extent
from optgen.ir.functions import TABLE
from optgen.ir.rule_types import Counter, EdgeSum, Metadata, Reduction, Stencil, type_of
from optgen.ir.world import Array, Graph, Tensor, World, elements_of, matrices_of, slot_shape, value_shape
from optgen.runtime.gradients import entry_of, is_gradient, stacked
from optgen.runtime.library_calls import FUNCTIONS

Value = list[Array]
#: Guards the ratio of two norms where the own gradient is zero.
TINY = 1e-16
_IDENTITY = {Reduction.SUM: 0.0, Reduction.MAX: -np.inf, Reduction.MIN: np.inf}
_COMBINE = {Reduction.SUM: np.add, Reduction.MAX: np.maximum, Reduction.MIN: np.minimum}
_AXES = {Extent.ROW: (2,), Extent.COL: (1,), Extent.MATRIX: (1, 2)}


def declared_states(program: rule.ProgramOp) -> list[rule.DeclareStateOp]:
    """The slots a program declares."""
    return [op for op in program.body.block.ops if isinstance(op, rule.DeclareStateOp)]


def start(program: rule.ProgramOp, world: World) -> None:
    """Give every tensor its starting state."""
    for declaration in declared_states(program):
        world.extents[declaration.sym_name.data] = declaration.extent.data
    for declaration in declared_states(program):
        run = Execution(world, [None] * len(world.tensors), {})
        run.present = [True] * world.layers
        run.block(declaration.start.block, [True] * len(world.tensors))
        for tensor, x in zip(world.tensors, run.yielded, strict=True):
            shape = slot_shape(declaration.extent.data, tensor.param.shape, world.matrix)
            if declaration.extent.data is Extent.ELEM:
                tensor.state[declaration.sym_name.data] = elements_of(x, tensor.param.shape, world.matrix).copy()
            else:
                view = value_shape(declaration.extent.data, matrices_of(tensor.param, world.matrix).shape)
                tensor.state[declaration.sym_name.data] = np.broadcast_to(x, view).reshape(shape).copy()


def step(
    program: rule.ProgramOp | rule.VariantOp,
    world: World,
    gradients: Sequence[Array | None],
    inputs: Mapping[str, float] | None = None,
) -> None:
    """One optimizer step, in place. Gradients have the parameters' shapes; None where a parameter has none."""
    run = Execution(world, gradients, inputs or {})
    run.block(program.body.block, [True] * len(world.tensors))
    run.commit()
    world.steps += 1


def step_variants(
    variants: Sequence[rule.VariantOp],
    world: World,
    gradients: Sequence[Array | None],
    inputs: Mapping[str, float] | None = None,
) -> list[str]:
    """One step in value form: every tensor takes the variant whose conditions hold. Gives the variants' names."""
    runs = [Execution(world, gradients, inputs or {}) for _ in variants]
    taken = [""] * len(world.tensors)
    for variant, run in zip(variants, runs, strict=True):
        run.block(variant.body.block, [True] * len(world.tensors))
        for i, holds in enumerate(run.chosen):
            if holds:
                taken[i] = variant.sym_name.data
    for variant, run in zip(variants, runs, strict=True):
        run.commit(only=[name == variant.sym_name.data for name in taken])
    world.steps += 1
    return taken


class Execution:
    """One run over a block; slots are read from the world at the start and written back by `commit`."""

    def __init__(self, world: World, gradients: Sequence[Array | None], inputs: Mapping[str, float]) -> None:
        self.world = world
        self.inputs = inputs
        self.active = [g is not None for g in gradients]
        self.present = world.present(self.active)
        self.values: dict[SSAValue, Value] = {}
        self.views = [matrices_of(tensor.param, world.matrix).shape for tensor in world.tensors]
        self.gradients = gradients
        self.env: dict[str, Value] = {
            "param": [matrices_of(tensor.param, world.matrix) for tensor in world.tensors],
        }
        for name in world.tensors[0].state if world.tensors else ():
            self.env[name] = [self._slot(i, name) for i in range(len(world.tensors))]
        self.initial = dict(self.env)
        self.finals: list[dict[str, Array]] = [{} for _ in world.tensors]
        self.skipped = [False] * len(world.tensors)
        self.advanced = [True] * len(world.tensors)
        self.chosen = [True] * len(world.tensors)
        self.yielded: Value = []
        self._graph: Graph | None = None

    def _gradient(self, name: str) -> Value:
        """One gradient of every tensor, 0 where there is none. Several lie along a first axis."""
        return [
            np.zeros((1, 1, 1))
            if g is None
            else matrices_of(stacked(g, tensor.param.shape)[entry_of(name)], self.world.matrix)
            for g, tensor in zip(self.gradients, self.world.tensors, strict=True)
        ]

    def _slot(self, i: int, name: str) -> Array:
        tensor, view = self.world.tensors[i], self.views[i]
        x, extent = tensor.state[name], self.world.extents[name]
        return matrices_of(x, self.world.matrix) if extent is Extent.ELEM else x.reshape(value_shape(extent, view))

    def commit(self, only: Sequence[bool] | None = None) -> None:
        """Write the new values of every tensor with a gradient."""
        for i, tensor in enumerate(self.world.tensors):
            if not self.active[i] or (only is not None and not only[i]):
                continue
            finals = self.finals[i] or {name: self.env[name][i] for name in ("param", *tensor.state)}
            for name, x in finals.items():
                if name == "param":
                    tensor.param = elements_of(x, tensor.param.shape, self.world.matrix)
                elif self.world.extents[name] is Extent.ELEM:
                    tensor.state[name] = elements_of(x, tensor.param.shape, self.world.matrix)
                else:
                    view, old = self.initial[name][i].shape, tensor.state[name]
                    tensor.state[name] = np.broadcast_to(x, view).reshape(old.shape).copy()
            tensor.t += int(self.advanced[i] and not self.skipped[i])
        self._share()

    def _share(self) -> None:
        """State of a layer or of the model is the same with every tensor it covers, with or without a gradient."""
        for name, extent in self.world.extents.items():
            if extent in (Extent.LAYER, Extent.MODEL):
                held = {self._unit(extent, t.layer): t.state[name] for t, a in self._pairs() if a}
                for tensor in self.world.tensors:
                    unit = self._unit(extent, tensor.layer)
                    tensor.state[name] = held.get(unit, tensor.state[name]).copy()

    def _pairs(self) -> list[tuple[Tensor, bool]]:
        return list(zip(self.world.tensors, self.active, strict=True))

    @staticmethod
    def _unit(extent: Extent, layer: int) -> int:
        return layer if extent is Extent.LAYER else 0

    def block(self, block: Block, mask: Sequence[bool]) -> None:
        """Run every operation of a block for the tensors in the mask."""
        with np.errstate(all="ignore"):
            for op in block.ops:
                if op.results:
                    self.values[op.results[0]] = self._value(op, mask)
                else:
                    self._run(op, mask)

    def _run(self, op: Operation, mask: Sequence[bool]) -> None:
        match op:
            case rule.SetOp():
                self._set(op.variable.string_value(), self.values[op.value], mask)
            case rule.IfOp():
                taken = [bool(c.item()) for c in self.values[op.condition]]
                self.block(op.then.block, [m and c for m, c in zip(mask, taken, strict=True)])
                self.block(op.orelse.block, [m and not c for m, c in zip(mask, taken, strict=True)])
            case rule.SkipOp():
                self._skip(mask)
            case rule.YieldOp():
                self.yielded = self.values[op.values[0]]
            case rule.FinalOp():
                for i, x in enumerate(self.values[op.value]):
                    self.finals[i][op.slot.string_value()] = x
            case rule.AdvanceOp():
                self.advanced = [bool(x.item()) for x in self.values[op.value]]
            case rule.WhenOp():
                for i, x in enumerate(self.values[op.value]):
                    self.chosen[i] &= bool(x.item()) == bool(op.holds.value.data)
            case rule.DeclareHyperOp() | rule.DeclareInputOp() | rule.DeclareStateOp():
                pass
            case _:
                raise _unknown(op)

    def _set(self, name: str, value: Value, mask: Sequence[bool]) -> None:
        old = self._get(name) if is_gradient(name) else self.env.get(name, value)
        self.env[name] = [new if m else kept for new, kept, m in zip(value, old, mask, strict=True)]

    def _skip(self, mask: Sequence[bool]) -> None:
        for i, (m, tensor) in enumerate(zip(mask, self.world.tensors, strict=True)):
            if m and not self.skipped[i]:
                self.finals[i] = {name: self.env[name][i] for name in ("param", *tensor.state)}
                self.skipped[i] = True
        for name in filter(is_gradient, self.env):
            self.env[name] = self._unless_skipped(self.env[name])

    def _get(self, name: str) -> Value:
        if name in self.env or not is_gradient(name):
            return self.env[name]
        return self._unless_skipped(self._gradient(name))

    def _unless_skipped(self, g: Value) -> Value:
        """A gradient, 0 where a `skip` was reached."""
        return [np.zeros((1, 1, 1)) if skipped else x for x, skipped in zip(g, self.skipped, strict=True)]

    # Values

    def _each(self, numbers: Sequence[float]) -> Value:
        return [np.full((1, 1, 1), float(number)) for number in numbers]

    def _value(self, op: Operation, mask: Sequence[bool]) -> Value:
        tensors = self.world.tensors
        match op:
            case rule.ApplyOp():
                meaning = TABLE[op.function.data].meaning
                operands = [self.values[a] for a in op.args]
                return [meaning(*(x[i] for x in operands)) for i in range(len(tensors))]
            case rule.ConstantOp():
                return self._each([op.number] * len(tensors))
            case rule.HyperOp():
                return self._each([float(tensor.hypers[op.hyper.string_value()]) for tensor in tensors])
            case rule.ChoiceOp():
                name = op.hyper.string_value()
                return self._each([_chosen(tensor.hypers, name) == op.value.data for tensor in tensors])
            case rule.InputOp():
                return self._each([self.inputs[op.input.string_value()]] * len(tensors))
            case rule.CounterOp():
                if op.counter.data is Counter.STEP:
                    return self._each([self.world.steps + 1] * len(tensors))
                return self._each([tensor.t + 1 for tensor in tensors])
            case rule.MetadataOp():
                return self._each([self._metadata(i, op.metadata.data) for i in range(len(tensors))])
            case rule.GetOp():
                return self._get(op.variable.string_value())
            case rule.OldOp():
                slot = op.slot.string_value()
                return self._gradient(slot) if is_gradient(slot) else self.initial[slot]
            case rule.CallOp():
                x, *numbers = (self.values[a] for a in op.args)
                call = FUNCTIONS[op.function.data]
                each = zip(x, self.views, *numbers, strict=True)
                return [call(np.broadcast_to(a, v), [float(n.item()) for n in rest]) for a, v, *rest in each]
            case rule.ReduceOp():
                own = type_of(op.operand).extent
                return self._reduce(op.reduction.data, op.over.data, own, self.values[op.operand], mask)
            case rule.CountOp():
                ones = [np.ones(value_shape(type_of(op.operand).extent, view)) for view in self.views]
                return self._reduce(Reduction.SUM, op.over.data, type_of(op.operand).extent, ones, mask)
            case rule.GraphOp():
                return self._graph_value(op.kind.data, type_of(op.operand).extent, self.values[op.operand])
            case rule.StencilOp():
                return self._stencil(op.kind.data, self.values[op.operand])
            case rule.EdgesOp():
                return self._edges(op.kind.data, self.values[op.operand])
            case _:
                raise _unknown(op)

    def _metadata(self, i: int, what: Metadata) -> float:
        matrices, rows, cols = self.views[i]
        tensor = self.world.tensors[i]
        return {
            Metadata.NUMEL: tensor.param.size,
            Metadata.NDIM: tensor.param.ndim,
            Metadata.ROWS: rows,
            Metadata.COLS: cols,
            Metadata.MATRICES: matrices,
            Metadata.DEPTH: tensor.depth,
        }[what]

    def _reduce(self, reduction: Reduction, over: Extent, own: Extent, x: Value, mask: Sequence[bool]) -> Value:
        """Entries of the tensors in the mask: those that reach the statement."""
        combine, identity = _COMBINE[reduction], _IDENTITY[reduction]
        full = [np.broadcast_to(a, value_shape(own, view)) for a, view in zip(x, self.views, strict=True)]
        if over in _AXES:
            return [combine.reduce(a, axis=_AXES[over], keepdims=True, initial=identity) for a in full]
        totals = [float(combine.reduce(a, axis=None, initial=identity)) for a in full]
        if over is Extent.TENSOR:
            return self._each(totals)
        units: dict[int, float] = {}
        seen: set[int] = set()
        for total, tensor, reaches in zip(totals, self.world.tensors, mask, strict=True):
            if not (reaches and self.present[tensor.layer]) or (own is Extent.LAYER and tensor.layer in seen):
                continue
            seen.add(tensor.layer)
            unit = tensor.layer if over is Extent.LAYER else 0
            units[unit] = float(combine(units.get(unit, identity), total))
        key = [tensor.layer if over is Extent.LAYER else 0 for tensor in self.world.tensors]
        return self._each([units.get(unit, identity) for unit in key])

    # The graph

    @property
    def graph(self) -> Graph:
        """Edges among the layers that have a gradient."""
        if self._graph is None:
            make = self.world.graph
            empty = Graph.empty(self.world.layers, len(self.world.tensors))
            self._graph = empty if make is None else make(self.present)
        return self._graph

    def _stencil(self, kind: Stencil, x: Value) -> Value:
        result: Value = []
        x = [
            np.broadcast_to(v, matrices_of(t.param, self.world.matrix).shape)
            for v, t in zip(x, self.world.tensors, strict=True)
        ]
        for i, own in enumerate(x):
            total = np.zeros(own.shape)
            for part in self.graph.counterparts[i]:
                mine, theirs = part.meet(own, x.__getitem__)
                pushed = part.other * theirs
                total = total + (part.own * mine - pushed if kind is Stencil.LAPLACIAN else pushed)
            result.append(total)
        return result

    def _edges(self, kind: EdgeSum, x: Value) -> Value:
        layer_value = {tensor.layer: float(a.item()) for tensor, a in zip(self.world.tensors, x, strict=True)}
        totals: list[float] = []
        for tensor in self.world.tensors:
            own, total = layer_value[tensor.layer], 0.0
            for edge in self.graph.edges[tensor.layer]:
                other = layer_value[edge.to]
                match kind:
                    case EdgeSum.LAPLACIAN:
                        total += edge.own * own - edge.other * other
                    case EdgeSum.NEIGHBORS:
                        total += edge.other * other
                    case _ if edge.matched:
                        pass
                    case EdgeSum.PULL:
                        total += edge.own - edge.other * other / max(own, TINY)
                    case EdgeSum.PUSH:
                        total += edge.other * other / max(own, TINY)
            totals.append(total)
        return self._each(totals)

    def _graph_value(self, kind: Stencil, extent: Extent, x: Value) -> Value:
        if extent is Extent.LAYER:
            return self._edges(EdgeSum(kind.value), x)
        everyone = [True] * len(x)
        squares = self._reduce(Reduction.SUM, Extent.LAYER, Extent.ELEM, [a * a for a in x], everyone)
        pull = self._edges(EdgeSum.PULL if kind is Stencil.LAPLACIAN else EdgeSum.PUSH, [np.sqrt(s) for s in squares])
        return [near + far * own for near, far, own in zip(self._stencil(kind, x), pull, x, strict=True)]


def _chosen(hypers: Mapping[str, float | int | bool | str], name: str) -> str:
    value = hypers.get(name, False) if name == MAXIMIZE else hypers[name]
    return str(value).lower() if isinstance(value, bool) else str(value)


def _unknown(op: Operation) -> OptgenError:
    return OptgenError(f"the interpreter does not know {op.name}")
