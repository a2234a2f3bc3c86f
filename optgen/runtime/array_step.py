"""One step of a rule on a list of parameters: parameters in, new parameters and state out; traced or not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from optgen.runtime import array_program
from optgen.runtime.arrangement import Layers
from optgen.runtime.array_program import Arrays, Each, Program, Slot, Tensor, Variant, World
from optgen.runtime.gradients import GRADIENT
from optgen.runtime.graph import Graph, neighbours, refuse_unconnected, roles_of
from optgen.runtime.rule_info import UNITS, Meta, RuleInfo

Value: TypeAlias = Any
#: Named values of one tensor.
Row: TypeAlias = dict[str, Value]


@dataclass(frozen=True)
class Leaf:
    """What is known of a parameter before any step. `own` holds hypers that it has for itself."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    layer: int
    role: str
    meta: Meta
    slots: tuple[Slot, ...]
    own: Mapping[str, Value] = field(default_factory=dict[str, Value])

    @property
    def compute(self) -> str:
        """Dtype of arithmetic: float64 for float64, else float32."""
        return "float64" if self.dtype == "float64" else "float32"


@dataclass(frozen=True)
class Plan:
    """A program laid out for some parameters, which are its leaves."""

    arrays: Arrays
    rule: RuleInfo
    program: Program
    leaves: Sequence[Leaf]
    graph: Graph | None
    edges: Sequence[tuple[int, int, float]] | None = None
    laplacian: str = "combinatorial"
    coupling: str = "transport"

    @property
    def counted(self) -> bool:
        """Whether parameters count their updates one by one: some step may not count."""
        return any(variant.advance is not True for variant in self.program.variants)

    @property
    def tied(self) -> bool:
        """Whether a tensor's step depends on other tensors."""
        return any(not isinstance(s, Each) for v in self.program.variants for s in v.steps)


def slot_shape(slot: Slot, leaf: Leaf) -> tuple[int, ...]:
    """Shape in which a slot is kept."""
    return shape_of(slot.extent, leaf)


def shape_of(extent: str, leaf: Leaf) -> tuple[int, ...]:
    """Shape of a parameter's values of an extent."""
    meta = leaf.meta
    return {
        "elem": leaf.shape,
        "row": (meta.matrices, meta.rows),
        "col": (meta.matrices, meta.cols),
        "matrix": (meta.matrices,),
    }.get(extent, ())


def slot_dtype(arrays: Arrays, slot: Slot, leaf: Leaf) -> str:
    """Declared, or float32 at least, so that moments of narrow parameters are not rounded; whole numbers are ints."""
    return arrays.held(slot.dtype, leaf.compute) if slot.kind == "float" else arrays.integer


def step(plan: Plan, rows: Sequence[Row], shared: Mapping[str, Value]) -> list[Row]:
    """New values of `param`, slots and `updates` per leaf, from a row of these and of g; all share `shared`."""
    tensors = [_tensor(plan, leaf, row, shared) for leaf, row in zip(plan.leaves, rows, strict=True)]
    if plan.tied:
        return _choose(plan, tensors, list(plan.leaves), rows)
    found: list[Row] = []
    for tensor, leaf, row in zip(tensors, plan.leaves, rows, strict=True):
        found += _choose(plan, [tensor], [leaf], [row])
    return found


def _choose(plan: Plan, tensors: list[Tensor], leaves: list[Leaf], rows: Sequence[Row]) -> list[Row]:
    """Runs the variant whose condition holds; where only the step can tell, all are traced and one is run."""
    if not tensors:
        return []
    world = _world(plan, tensors)
    open_: list[tuple[Variant, Value]] = []
    for variant in plan.program.variants:
        holds = array_program.holds(variant, world, tensors[0])
        if holds is not False:
            open_.append((variant, holds))
        if holds is True:
            break
    if len(open_) == 1:
        return _run(plan, open_[0][0], tensors, leaves, rows)
    names = {slot.name for variant, _ in open_ for slot in plan.program.slots if slot.name in variant.finals}

    def branch(variant: Variant) -> Callable[[], list[Row]]:
        def run() -> list[Row]:
            fresh = [Tensor(t.given, t.layer, t.meta) for t in tensors]
            found = _run(plan, variant, fresh, leaves, rows)
            return [{k: v for k, v in row.items() if k in names or k in ("param", "updates")} for row in found]

        return run

    chosen: list[Row] = plan.arrays.switch([holds for _, holds in open_], [branch(variant) for variant, _ in open_])
    return [
        {**{slot.name: row[slot.name] for slot in leaf.slots}, **new}
        for leaf, row, new in zip(leaves, rows, chosen, strict=True)
    ]


def _run(plan: Plan, variant: Variant, tensors: list[Tensor], leaves: list[Leaf], rows: Sequence[Row]) -> list[Row]:
    world = _world(plan, tensors)
    array_program.run(variant, world)
    found: list[Row] = []
    for tensor, leaf, row in zip(tensors, leaves, rows, strict=True):
        new: Row = {"param": row["param"], **{slot.name: row[slot.name] for slot in leaf.slots}}
        for name, value in variant.finals.items():
            if name in new:
                x = world.lookup(tensor, value)
                if value != name and name in tensor.given and value in ("param", "g", *new):
                    x = plan.arrays.taken(x, tensor.given[name], tensor.given["step"])
                new[name] = _kept(plan, leaf, name, x, new[name])
        if "updates" in row:
            counts = variant.advance if isinstance(variant.advance, bool) else world.lookup(tensor, variant.advance)
            new["updates"] = _advanced(plan.arrays, row["updates"], counts)
        found.append(new)
    return found


def _advanced(arrays: Arrays, updates: Value, counts: Value) -> Value:
    """A count of updates, one more where a step counts."""
    if arrays.known(updates):
        return updates + (int(counts) if arrays.known(counts) else arrays.cast(counts, arrays.integer))
    return arrays.stored(updates + arrays.cast(counts, arrays.integer), updates)


def _world(plan: Plan, tensors: Sequence[Tensor]) -> World:
    if plan.graph is None or len(tensors) != len(plan.leaves):
        return World(plan.arrays, tensors)
    present = np.zeros(plan.graph.players, dtype=np.bool_)
    present[[leaf.layer for leaf in plan.leaves]] = True
    edges = plan.graph.edges(present)
    players, roles = [leaf.layer for leaf in plan.leaves], [leaf.role for leaf in plan.leaves]
    return World(plan.arrays, tensors, edges, neighbours(plan.graph, edges, players, roles))


def _tensor(plan: Plan, leaf: Leaf, row: Row, shared: Mapping[str, Value]) -> Tensor:
    arrays, slots = plan.arrays, {slot.name for slot in leaf.slots}
    given: Row = {**shared, **leaf.own, **metadata(leaf.meta), **{k: v for k, v in row.items() if k not in slots}}
    for name, value in (("param", row["param"]), *_gradients(leaf, row["g"])):
        given[name] = _seen(plan, leaf, "elem", arrays.cast(value, leaf.compute))
    for slot in leaf.slots:
        value = row[slot.name]
        if slot.kind == "float":
            value = (arrays.cast if slot.extent == "elem" else arrays.coarse)(value, leaf.compute)
        else:
            value = arrays.counter(value, leaf.compute)
        given[slot.name.replace("[", "_").replace("]", "")] = _seen(plan, leaf, slot.extent, value)
    given["step"] = arrays.counter(shared["step"], leaf.compute)
    given["t"] = arrays.counter(row["updates"] + 1 if "updates" in row else shared["step"], leaf.compute)
    return Tensor(given, leaf.layer, leaf.meta)


def _gradients(leaf: Leaf, g: Value) -> list[tuple[str, Value]]:
    """The gradient, and where there are several, along a first axis, each by its name."""
    if len(g.shape) == len(leaf.shape):
        return [(GRADIENT, g), (f"{GRADIENT}_0", g)]
    return [(f"{GRADIENT}_{entry}", g[entry]) for entry in range(g.shape[0])]


def metadata(meta: Meta) -> Row:
    """What functions may ask of a tensor's shape and place."""
    names = ("numel", "ndim", "rows", "cols", "matrices", "depth")
    return {name: getattr(meta, name) for name in names}


def _seen(plan: Plan, leaf: Leaf, extent: str, value: Value) -> Value:
    """An array as the functions see it: as matrices where the rule speaks of rows, else as it is."""
    if not plan.program.vectors:
        return value
    reshape, meta = plan.arrays.reshape, leaf.meta
    match extent:
        case "elem" if _turned(plan, leaf):
            return plan.arrays.turned(reshape(value, (1, meta.cols, meta.rows)))
        case "elem":
            return reshape(value, (meta.matrices, meta.rows, meta.cols))
        case "row":
            return value[:, :, None]
        case "col":
            return value[:, None, :]
        case "matrix":
            return value[:, None, None]
        case _:
            return value


def _kept(plan: Plan, leaf: Leaf, name: str, value: Value, like: Value) -> Value:
    """The inverse, rounded to what the slot holds."""
    if not plan.program.vectors:
        return plan.arrays.stored(value, like)
    extent = "elem" if name == "param" else next(slot.extent for slot in plan.program.slots if slot.name == name)
    seen = _seen(plan, leaf, extent, like)
    array = plan.arrays.spread(value, tuple(seen.shape))
    if extent == "elem" and _turned(plan, leaf):
        array = plan.arrays.turned(array)
    return plan.arrays.stored(plan.arrays.reshape(array, tuple(like.shape)), like)


def _turned(plan: Plan, leaf: Leaf) -> bool:
    """Whether a matrix is seen with rows and columns exchanged: its rows are units, the last axis of these arrays."""
    return plan.program.matrix in UNITS and len(leaf.shape) >= 2 and leaf.meta.rows == leaf.shape[-1]


def graph_of(rule: RuleInfo, layers: Layers, leaves: Sequence[Leaf], laplacian: str, coupling: str) -> Graph | None:
    """The graph between layers, for rules that look at it. UsageError for edges that leave layers out."""
    if not rule.graph:
        return None
    refuse_unconnected(rule.class_name, layers.edges, layers.names)
    roles = roles_of(layers.player, layers.role, [x.shape for x in leaves], [x.dtype for x in leaves])
    return Graph(roles, layers.edges, laplacian, coupling)
