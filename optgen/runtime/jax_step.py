"""One step of a rule on a pytree, while JAX traces: parameters in, new parameters and state out."""

# JAX and optax carry partial types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from optgen.errors import UsageError
from optgen.runtime import jax_program
from optgen.runtime.arrangement import Layers
from optgen.runtime.graph import Graph, neighbours, roles_of
from optgen.runtime.jax_program import Program, Slot, Tensor, Variant, World, stored
from optgen.runtime.rule_info import Meta, RuleInfo

Value: TypeAlias = Any
#: Named values of one tensor.
Row: TypeAlias = dict[str, Value]


@dataclass(frozen=True)
class Leaf:
    """What is known of a parameter before any step."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    layer: int
    role: str
    meta: Meta
    slots: tuple[Slot, ...]

    @property
    def compute(self) -> np.dtype[Any]:
        """Dtype of arithmetic: float64 for float64, else float32."""
        return np.dtype(np.float64) if self.dtype == np.float64 else np.dtype(np.float32)


@dataclass(frozen=True)
class Plan:
    """A program laid out for the leaves of one pytree."""

    rule: RuleInfo
    program: Program
    leaves: Sequence[Leaf]
    graph: Graph | None

    @property
    def counted(self) -> bool:
        """Whether parameters count their updates one by one: some step may not count."""
        return any(variant.advance is not True for variant in self.program.variants)

    @property
    def tied(self) -> bool:
        """Whether a tensor's step depends on other tensors."""
        return any(not isinstance(s, jax_program.Each) for v in self.program.variants for s in v.steps)


def slot_shape(slot: Slot, leaf: Leaf) -> tuple[int, ...]:
    """Shape in which a slot is kept."""
    meta = leaf.meta
    return {
        "elem": leaf.shape,
        "row": (meta.matrices, meta.rows),
        "col": (meta.matrices, meta.cols),
        "matrix": (meta.matrices,),
    }.get(slot.extent, ())


def slot_dtype(slot: Slot, leaf: Leaf) -> np.dtype[Any]:
    """Declared, or float32 at least, so that moments of narrow parameters are not rounded; whole numbers are ints."""
    if slot.kind != "float":
        return np.dtype(jnp.result_type(int))
    return np.dtype(slot.dtype) if slot.dtype and jnp.result_type(float) == np.float64 else leaf.compute


def start(leaf: Leaf, param: jax.Array, hypers: Mapping[str, Value]) -> Row:
    """The state of one parameter before its first step."""
    given = {**hypers, **_metadata(leaf.meta), "param": param}
    found: Row = {}
    for slot in leaf.slots:
        (value,) = slot.start(*(given[name] for name in slot.takes))
        dtype, shape = slot_dtype(slot, leaf), slot_shape(slot, leaf)
        like = jnp.zeros_like(param, dtype=dtype) if slot.extent == "elem" else jnp.zeros(shape, dtype)
        found[slot.name] = like if isinstance(value, int | float) and value == 0 else stored(value, like)
    return found


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
        holds = jax_program.holds(variant, world, tensors[0])
        if holds is True or isinstance(holds, jax.Array):
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

    conditions = [jnp.asarray(holds) for _, holds in open_]
    index = jnp.select(conditions[:-1], list(range(len(open_) - 1)), len(open_) - 1)
    chosen: list[Row] = jax.lax.switch(index, [branch(variant) for variant, _ in open_])
    return [
        {**{slot.name: row[slot.name] for slot in leaf.slots}, **new}
        for leaf, row, new in zip(leaves, rows, chosen, strict=True)
    ]


def _run(plan: Plan, variant: Variant, tensors: list[Tensor], leaves: list[Leaf], rows: Sequence[Row]) -> list[Row]:
    world = _world(plan, tensors)
    jax_program.run(variant, world)
    found: list[Row] = []
    for tensor, leaf, row in zip(tensors, leaves, rows, strict=True):
        new: Row = {"param": row["param"], **{slot.name: row[slot.name] for slot in leaf.slots}}
        for name, value in variant.finals.items():
            if name in new:
                new[name] = _kept(plan, leaf, name, world.lookup(tensor, value), new[name])
        if "updates" in row:
            counts = variant.advance if isinstance(variant.advance, bool) else world.lookup(tensor, variant.advance)
            new["updates"] = row["updates"] + jnp.asarray(counts).astype(row["updates"].dtype)
        found.append(new)
    return found


def _world(plan: Plan, tensors: Sequence[Tensor]) -> World:
    if plan.graph is None or len(tensors) != len(plan.leaves):
        return World(tensors)
    edges = plan.graph.edges(np.ones(plan.graph.players, dtype=np.bool_))
    players, roles = [leaf.layer for leaf in plan.leaves], [leaf.role for leaf in plan.leaves]
    return World(tensors, edges, neighbours(edges, players, roles))


def _tensor(plan: Plan, leaf: Leaf, row: Row, shared: Mapping[str, Value]) -> Tensor:
    given: Row = {**shared, **_metadata(leaf.meta)}
    for name, value in row.items():
        if name in ("param", "g"):
            given[name] = _seen(plan, leaf, "elem", value.astype(leaf.compute))
    for slot in leaf.slots:
        value = row[slot.name]
        value = value if slot.kind != "float" else value.astype(leaf.compute)
        given[slot.name.replace("[", "_").replace("]", "")] = _seen(plan, leaf, slot.extent, value)
    given["t"] = row["updates"] + 1 if "updates" in row else shared["step"]
    return Tensor(given, leaf.layer, leaf.meta)


def _metadata(meta: Meta) -> Row:
    names = ("numel", "ndim", "rows", "cols", "matrices", "depth")
    return {name: getattr(meta, name) for name in names}


def _seen(plan: Plan, leaf: Leaf, extent: str, value: jax.Array) -> jax.Array:
    """An array as the functions see it: as matrices where the rule speaks of rows, else as it is."""
    if not plan.program.vectors:
        return value
    view = (leaf.meta.matrices, leaf.meta.rows, leaf.meta.cols)
    match extent:
        case "elem":
            return (
                jnp.swapaxes(value.reshape(1, view[2], view[1]), 1, 2) if _turned(plan, leaf) else value.reshape(view)
            )
        case "row":
            return value[:, :, None]
        case "col":
            return value[:, None, :]
        case "matrix":
            return value[:, None, None]
        case _:
            return value


def _kept(plan: Plan, leaf: Leaf, name: str, value: Value, like: jax.Array) -> jax.Array:
    """The inverse, rounded to what the slot holds."""
    if not plan.program.vectors:
        return stored(value, like)
    extent = "elem" if name == "param" else next(slot.extent for slot in plan.program.slots if slot.name == name)
    seen = _seen(plan, leaf, extent, like)
    array = jnp.broadcast_to(jnp.asarray(value), seen.shape)
    if extent == "elem" and _turned(plan, leaf):
        array = jnp.swapaxes(array, 1, 2)
    return stored(array.reshape(like.shape), like)


def _turned(plan: Plan, leaf: Leaf) -> bool:
    """Whether a `wide` matrix is seen with rows and columns exchanged."""
    return plan.program.matrix == "wide" and len(leaf.shape) >= 2 and leaf.meta.rows != leaf.shape[0]


def graph_of(rule: RuleInfo, layers: Layers, leaves: Sequence[Leaf], laplacian: str, coupling: str) -> Graph | None:
    """The graph between layers, for rules that look at it."""
    if not rule.graph:
        return None
    roles = roles_of(layers.player, layers.role, [x.shape for x in leaves], [str(x.dtype) for x in leaves])
    return Graph(roles, layers.edges, laplacian, coupling)


def checked_leaf(name: str, leaf: object) -> jax.Array:
    """A leaf as an array of real numbers. UsageError names a leaf that is none."""
    array = jnp.asarray(leaf)  # pyright: ignore[reportArgumentType]
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise UsageError(
            f'the parameter "{name}" is {array.dtype}; optimizers step floating-point arrays: '
            "mask it out (optax.masked) or leave it out of the tree"
        )
    return array
