"""Kernel code on balls: what `bounds` runs, for one unit at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from optgen.errors import OptgenError
from optgen.ir import view, world
from optgen.ir.extents import Extent
from optgen.ir.kernel_interpreter import SLICE
from optgen.verify import ball
from optgen.verify.ball import PRECISIONS, Ball, Precision, Truth

#: The slot that counts updates, and the precision of coarse code.
COUNTER = "step"
_DOUBLE = PRECISIONS["f64"]
#: Guards the ratio of two norms where the own one is zero.
_TINY = 1e-16
#: Axes of (matrices, rows, columns) within a unit of an extent.
_WITHIN: Mapping[Extent, tuple[int, ...]] = {
    Extent.MATRIX: (1, 2),
    Extent.ROW: (2,),
    Extent.COL: (1,),
}

Value = Ball | Truth

_PURE: Mapping[str, Callable[..., Ball]] = {
    "arith.addf": ball.add,
    "arith.subf": ball.subtract,
    "arith.mulf": ball.multiply,
    "arith.divf": ball.divide,
    "arith.negf": ball.negate,
    "arith.minimumf": ball.smaller,
    "arith.maximumf": ball.larger,
    "math.absf": ball.magnitude,
    "math.sqrt": ball.square_root,
    "math.exp": ball.exponential,
    "math.expm1": partial(ball.exponential, shift=1.0),
    "math.log": ball.logarithm,
    "math.log1p": partial(ball.logarithm, shift=1.0),
    "math.powf": ball.power,
    "math.floor": ball.stair(np.floor),
    "math.ceil": ball.stair(np.ceil),
    "math.roundeven": ball.stair(np.rint),
    "math.sin": ball.wave(np.sin),
    "math.cos": ball.wave(np.cos),
    "math.tanh": ball.wave(np.tanh),
    "kernel.mod": ball.remainder,
}
_LOGIC: Mapping[str, Callable[[Truth, Truth], Truth]] = {
    "arith.andi": ball.both,
    "arith.ori": ball.either,
    "arith.xori": ball.differ,
}


@dataclass
class Step:
    """Everything of one step. `slots`, `values` and `totals` hold a ball per tensor, by name; a name that a tensor's
    variant does not give is missing."""

    modules: Sequence[view.Module]
    tensors: Sequence[world.Tensor]
    views: Sequence[tuple[int, int, int]]
    members: Sequence[int]
    graph: world.Graph
    step: int
    inputs: Mapping[str, float]
    slots: list[dict[str, Ball]]
    inverts: bool = False
    taken: dict[int, view.Variant] = field(default_factory=dict[int, view.Variant])

    def __post_init__(self) -> None:
        self.old = [dict(own) for own in self.slots]
        self.values: list[dict[str, Ball]] = [{} for _ in self.tensors]
        self.totals: list[dict[str, Ball]] = [{} for _ in self.tensors]

    def choose_variants(self) -> None:
        """The variant of every tensor."""
        for i in self.members:
            module = self.modules[i]
            number = 0 if module.select is None else Code(self, (i,), Extent.TENSOR).run(module.select)
            self.taken[i] = module.variants[number]

    def units(self, extent: Extent) -> list[tuple[int, ...]]:
        """Tensors that take part, by unit."""
        if extent is Extent.MODEL:
            return [tuple(self.members)] if self.members else []
        if extent is not Extent.LAYER:
            return [(i,) for i in self.members]
        layers: dict[int, list[int]] = {}
        for i in self.members:
            layers.setdefault(self.tensors[i].layer, []).append(i)
        return [tuple(layers[layer]) for layer in sorted(layers)]


class Code:
    """Runs the operations of one unit: tensors that share the values defined here."""

    def __init__(self, step: Step, unit: tuple[int, ...], extent: Extent) -> None:
        self.step = step
        self.unit = unit
        self.extent = extent
        self.tensor = unit[0]
        self.made: dict[view.Value, Value] = {}

    def run(self, ops: Sequence[view.Op]) -> int:
        """Run every operation; the number of the variant where the code ends in a choice."""
        chosen = 0
        for op in ops:
            match op.name:
                case "kernel.define":
                    for i in self.unit:
                        self.step.values[i][op.word("sym_name")] = self.number(op, 0)
                case "kernel.put" | "kernel.store":
                    self._write(op)
                case "kernel.accumulate":
                    self._accumulate(op)
                case "kernel.chosen":
                    chosen = int(self.number(op, 0).c.item())
                case _:
                    assert op.result is not None
                    self.made[op.result] = self._value(op)
        return chosen

    @property
    def sums(self) -> Precision:
        """The type in which sums of sums are carried."""
        return PRECISIONS[self.step.modules[self.tensor].sums]

    def total(self, reduction: str, x: Ball, axes: tuple[int, ...] | None, element: Precision) -> Ball:
        """A reduction: long sums are carried in float64 where sums of sums are."""
        return ball.total(reduction, x, axes, element, SLICE if self.sums is _DOUBLE else x.c.size)

    def number(self, op: view.Op, operand: int) -> Ball:
        """An operand that is a number."""
        x = self.made[op.operands[operand]]
        assert isinstance(x, Ball)
        return x

    def truth(self, op: view.Op, operand: int) -> Truth:
        """An operand that is a condition."""
        x = self.made[op.operands[operand]]
        assert isinstance(x, Truth)
        return x

    def _precision(self, op: view.Op) -> Precision:
        assert op.result is not None
        return PRECISIONS[op.result.type]

    def _value(self, op: view.Op) -> Value:
        match op.name:
            case "arith.constant":
                return self._constant(op)
            case "arith.cmpf":
                return ball.compare(op.word("predicate"), self.number(op, 0), self.number(op, 1))
            case "arith.andi" | "arith.ori" | "arith.xori":
                return _LOGIC[op.name](self.truth(op, 0), self.truth(op, 1))
            case "arith.select":
                return self._select(op)
            case "arith.extf":
                return self.number(op, 0)
            case "arith.truncf":
                return self.number(op, 0).rounded(self._precision(op))
            case "kernel.round_at_random":
                return self.number(op, 0).rounded(self._precision(op), roundoffs=2.0)
            case "arith.divf" if self.step.inverts:
                return ball.divide_by_shared(self.number(op, 0), self.number(op, 1), self._precision(op))
            case name if name in _PURE:
                operands = [self.number(op, k) for k in range(len(op.operands))]
                return _PURE[name](*operands, self._precision(op))
            case _:
                return self._read(op)

    def _constant(self, op: view.Op) -> Value:
        assert op.result is not None
        value = np.full((1, 1, 1), float(op.attributes["value"]))
        if op.result.type == "i1":
            return Truth(value != 0, value == value)
        return Ball.exact(value).rounded(self._precision(op))

    def _select(self, op: view.Op) -> Value:
        condition = self.truth(op, 0)
        if isinstance(self.made[op.operands[1]], Ball):
            return ball.choose(condition, self.number(op, 1), self.number(op, 2))
        inverse = Truth(~condition.holds, condition.sure)
        return ball.either(ball.both(condition, self.truth(op, 1)), ball.both(inverse, self.truth(op, 2)))

    # What comes from outside the code

    def _read(self, op: view.Op) -> Ball:
        own, tensor = self.step.slots[self.tensor], self.step.tensors[self.tensor]
        match op.name:
            case "kernel.load":
                return own[op.word("slot")]
            case "kernel.fetch":
                return own[op.word("slot")]
            case "kernel.value":
                return self.step.values[self.tensor][op.word("value")]
            case "kernel.read":
                return self.step.values[self.tensor][op.word("value")].rounded(self._precision(op))
            case "kernel.hyper":
                return _one(float(tensor.hypers[op.word("hyper")]))
            case "kernel.input":
                return _one(self.step.inputs[op.word("input")])
            case "kernel.counter":
                t = 1.0 + self.step.old[self.tensor][COUNTER].c.item()
                return _one(self.step.step if op.word("counter") == "step" else t)
            case "kernel.metadata":
                return _one(self._metadata(op.word("metadata")))
            case "kernel.count":
                return _one(self._count(Extent(op.word("extent"))))
            case "kernel.total":
                return self._total(op.word("reduction"), op.word("total"))
            case "kernel.fold":
                return self._fold(op.word("reduction"), op.word("value"))
            case "kernel.edges":
                return self._edges(op.word("kind"), op.word("value"))
            case "kernel.stencil":
                return self._stencil(op.word("kind"), op.word("slot"), self._precision(op))
            case _:
                raise OptgenError(f"there is no error bound for {op.name}")

    def _metadata(self, what: str) -> float:
        matrices, rows, cols = self.step.views[self.tensor]
        tensor = self.step.tensors[self.tensor]
        return {
            "numel": tensor.param.size,
            "ndim": tensor.param.ndim,
            "rows": rows,
            "cols": cols,
            "matrices": matrices,
            "depth": tensor.depth,
        }[what]

    def _count(self, extent: Extent) -> float:
        if extent is Extent.LAYER:
            return len(self.step.units(Extent.LAYER))
        shapes = [world.value_shape(extent, self.step.views[i]) for i in self.unit]
        axes = _WITHIN.get(self.extent, (0, 1, 2))
        return sum(float(np.prod([shape[axis] for axis in axes])) for shape in shapes)

    # Reductions

    def _accumulate(self, op: view.Op) -> None:
        i, name = self.tensor, op.word("total")
        declared = self.step.modules[i].totals[name]
        x = self.number(op, 0).broadcast(self.step.views[i])
        element = PRECISIONS[op.operands[0].type]
        axes = _WITHIN.get(Extent(declared.extent), (0, 1, 2))
        self.step.totals[i][name] = self.total(op.word("reduction"), x, axes, element)

    def _total(self, reduction: str, name: str) -> Ball:
        if self.extent in _WITHIN:
            return self.step.totals[self.tensor][name]
        return self._over(reduction, [self.step.totals[i][name] for i in self.unit if name in self.step.totals[i]])

    def _fold(self, reduction: str, name: str) -> Ball:
        values = self.step.values
        if self.extent in _WITHIN:
            x = _spread(values[self.tensor][name], self._extent_of(name), self.step.views[self.tensor])
            return self.total(reduction, x, _WITHIN[self.extent], self.sums)
        extent, units = self._extent_of(name), self.unit
        if extent is Extent.LAYER:
            units = tuple(layer[0] for layer in self.step.units(Extent.LAYER))
        found = [_spread(values[i][name], extent, self.step.views[i]) for i in units if name in values[i]]
        return self._over(reduction, [self.total(reduction, x, (0, 1, 2), self.sums) for x in found])

    def _over(self, reduction: str, parts: Sequence[Ball]) -> Ball:
        """Totals of several tensors, combined."""
        if not parts:
            return _one(np.nan)
        x = Ball(np.concatenate([p.c for p in parts]), np.concatenate([p.r for p in parts]))
        return self.total(reduction, x, (0,), self.sums)

    def _extent_of(self, name: str) -> Extent:
        module = self.step.modules[self.tensor]
        return Extent(module.values[name] if name in module.values else module.totals[name].extent)

    # The graph

    def _stencil(self, kind: str, slot: str, precision: Precision) -> Ball:
        own = self.step.slots[self.tensor][slot]
        near = self.step.graph.counterparts[self.tensor]
        c, r, reach = np.zeros(own.c.shape), np.zeros(own.c.shape), np.zeros(own.c.shape)
        for part in near:
            a, b = part.own if kind == "laplacian" else 0.0, part.other
            (x, y), (own_r, other_r), (own_reach, other_reach) = (
                part.meet(getattr(own, field), lambda j, field=field: getattr(self.step.slots[j][slot], field))
                for field in ("c", "r", "reach")
            )
            c = c + (a * x - b * y if a else b * y)
            r = r + a * own_r + b * other_r
            reach = reach + a * own_reach + b * other_reach
        # per neighbour: two coefficients rounded, two products, a difference; then the sum over neighbours
        share = ball.gamma(4.0 + len(near), precision.cost) if near else 0.0
        return Ball(c, r + share * reach + np.where(reach > 0, (4.0 + len(near)) * precision.tiny, 0.0))

    def _edges(self, kind: str, name: str) -> Ball:
        layers = {self.step.tensors[i].layer: i for i in reversed(self.step.members)}
        own, result, precision = self.step.values[self.tensor][name], _one(0.0), self.sums
        for edge in self.step.graph.edges[self.step.tensors[self.tensor].layer]:
            if kind in ("pull", "push") and edge.matched:
                continue
            x = ball.multiply(_one(edge.other).rounded(precision), self.step.values[layers[edge.to]][name], precision)
            if kind in ("pull", "push"):
                x = ball.divide(x, ball.larger(own, _one(_TINY), precision), precision)
            if kind == "pull":
                x = ball.subtract(_one(edge.own).rounded(precision), x, precision)
            elif kind == "laplacian":
                x = ball.subtract(ball.multiply(_one(edge.own).rounded(precision), own, precision), x, precision)
            result = ball.add(result, x, precision)
        return result

    # Stores

    def _write(self, op: view.Op) -> None:
        """Element stores are of the slot's own type already; coarse ones round to it."""
        name = op.word("slot")
        for i in self.unit:
            slot = next(s for s in self.step.modules[i].slots if s.name == name)
            x = self.number(op, 0)
            if op.name == "kernel.store":
                x = x.broadcast(self.step.views[i])
            elif slot.dtype in ("float32", "float64"):
                x = x.rounded(PRECISIONS["f32" if slot.dtype == "float32" else "f64"])
            self.step.slots[i][name] = x.broadcast(world.value_shape(Extent(slot.extent), self.step.views[i]))


def _one(x: float) -> Ball:
    return Ball.exact(np.full((1, 1, 1), x))


def _spread(x: Ball, extent: Extent, shape: tuple[int, int, int]) -> Ball:
    return x.broadcast(world.value_shape(extent, shape))
