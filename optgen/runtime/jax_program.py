"""Runs the steps of a generated JAX module: which function sees which tensor, and what is summed in between.

Everything here happens while JAX traces. A value is held by name, per tensor, per layer, or once for the model; a
function's arguments are looked up from fine to coarse, then among what is given (slots, hypers, counters, metadata).
"""

# JAX and optax carry partial types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from optgen.runtime.graph import Edges as GraphEdges
from optgen.runtime.graph import Neighbours
from optgen.runtime.rule_info import Meta

#: A generated function: arrays and numbers in, a tuple of them out.
Code: TypeAlias = Callable[..., tuple[Any, ...]]
Value: TypeAlias = Any  # an array, or a number that is known while tracing
TINY = 1e-16
_COMBINE: Mapping[str, Callable[..., Value]] = {
    "sum": jnp.add,
    "count": jnp.add,
    "max": jnp.maximum,
    "min": jnp.minimum,
}
_START: Mapping[str, float] = {"sum": 0.0, "count": 0.0, "max": -np.inf, "min": np.inf}
_REDUCE: Mapping[str, Callable[..., Value]] = {"sum": jnp.sum, "max": jnp.max, "min": jnp.min}
_SCALAR = ("model", "layer", "tensor")


@dataclass(frozen=True)
class Slot:
    """A state: how fine it is, what it holds, its declared dtype or "", and the function it starts from."""

    name: str
    extent: str
    kind: str
    dtype: str
    start: Code
    takes: tuple[str, ...]


@dataclass(frozen=True)
class Each:
    """A function of one tensor, one layer or the model."""

    unit: str
    function: Code
    takes: tuple[str, ...]
    gives: tuple[str, ...]


@dataclass(frozen=True)
class Total:
    """A value of some extent, combined over a layer or the model; `count` counts its entries."""

    kind: str
    own: str
    over: str
    value: str
    result: str


@dataclass(frozen=True)
class Edges:
    """A sum over the edges of a layer."""

    kind: str
    value: str
    result: str


@dataclass(frozen=True)
class Stencil:
    """A sum over matched neighbours of an element value."""

    kind: str
    value: str
    result: str


Step: TypeAlias = Each | Total | Edges | Stencil


@dataclass(frozen=True)
class Variant:
    """One way through the rule. `advance` says whether an update counts, or names the value that does."""

    name: str
    condition: Code | None
    takes: tuple[str, ...]
    steps: tuple[Step, ...]
    finals: Mapping[str, str]
    advance: bool | str


@dataclass(frozen=True)
class Program:
    """A rule under settled choices; `vectors` if its functions see tensors as (matrices, rows, columns)."""

    rule: str
    digest: str
    settled: Mapping[str, str | int | float | bool]
    matrix: str
    vectors: bool
    slots: tuple[Slot, ...]
    variants: tuple[Variant, ...]


@dataclass
class Tensor:
    """One parameter in one step. `given` holds param, g, slots, hypers, counters, metadata and inputs by name."""

    given: dict[str, Value]
    layer: int
    meta: Meta
    values: dict[str, Value] = field(default_factory=dict[str, Value])


@dataclass
class World:
    """The tensors of a step and the graph between their layers."""

    tensors: Sequence[Tensor]
    edges: GraphEdges | None = None
    neighbours: Neighbours | None = None
    layers: dict[int, dict[str, Value]] = field(default_factory=dict[int, dict[str, Value]])
    model: dict[str, Value] = field(default_factory=dict[str, Value])

    def lookup(self, tensor: Tensor, name: str) -> Value:
        """A value by name, as seen from a tensor."""
        for place in (tensor.values, self.layers.get(tensor.layer, {}), self.model, tensor.given):
            if name in place:
                return place[name]
        raise KeyError(name)


def run(variant: Variant, world: World) -> None:
    """All steps of a variant, for every tensor of the world."""
    for step in variant.steps:
        match step:
            case Each():
                _each(step, world)
            case Total():
                _total(step, world)
            case Edges():
                _edges(step, world)
            case Stencil():
                _stencil(step, world)


def _each(step: Each, world: World) -> None:
    done: set[int] = set()
    for tensor in world.tensors:
        unit = {"tensor": -1 - len(done), "layer": tensor.layer, "model": 0}[step.unit]
        if unit in done:
            continue
        done.add(unit)
        found = step.function(*(world.lookup(tensor, name) for name in step.takes))
        target = {
            "tensor": lambda t=tensor: t.values,
            "layer": lambda t=tensor: world.layers.setdefault(t.layer, {}),
            "model": lambda: world.model,
        }[step.unit]()
        target.update(zip(step.gives, found, strict=True))


def _total(step: Total, world: World) -> None:
    totals: dict[int, Value] = {}
    seen: set[int] = set()
    for tensor in world.tensors:
        if step.own == "layer" and tensor.layer in seen:
            continue
        seen.add(tensor.layer)
        unit = tensor.layer if step.over == "layer" else 0
        entry = 1 if step.own == "layer" else _entries(step.own, tensor.meta)
        if step.kind != "count":
            entry = world.lookup(tensor, step.value)
            if step.own not in _SCALAR:
                initial = {} if step.kind == "sum" else {"initial": _START[step.kind]}
                entry = _REDUCE[step.kind](entry, **initial)
        totals[unit] = entry if unit not in totals else _COMBINE[step.kind](totals[unit], entry)
    for unit, total in totals.items():
        (world.layers.setdefault(unit, {}) if step.over == "layer" else world.model)[step.result] = total


def _entries(extent: str, meta: Meta) -> int:
    return {
        "elem": meta.numel,
        "row": meta.matrices * meta.rows,
        "col": meta.matrices * meta.cols,
        "matrix": meta.matrices,
    }.get(extent, 1)


def _edges(step: Edges, world: World) -> None:
    values = {tensor.layer: world.lookup(tensor, step.value) for tensor in world.tensors}
    for layer, own in values.items():
        total: Value = 0.0
        for e in range(*_range(world.edges, layer)):
            assert world.edges is not None
            a, b = float(world.edges.own[e]), float(world.edges.other[e])
            other = values[int(world.edges.to[e])]
            match step.kind:
                case "laplacian":
                    total = total + (a * own - b * other)
                case "neighbors":
                    total = total + b * other
                case _ if world.edges.matched[e]:
                    pass
                case "pull":
                    total = total + (a - b * other / jnp.maximum(own, TINY))
                case _:
                    total = total + b * other / jnp.maximum(own, TINY)
        world.layers.setdefault(layer, {})[step.result] = total


def _range(edges: GraphEdges | None, layer: int) -> tuple[int, int]:
    return (0, 0) if edges is None else (int(edges.start[layer]), int(edges.start[layer + 1]))


def _stencil(step: Stencil, world: World) -> None:
    values = [world.lookup(tensor, step.value) for tensor in world.tensors]
    near = world.neighbours
    for i, (tensor, own) in enumerate(zip(world.tensors, values, strict=True)):
        total: Value = jnp.zeros_like(own)
        for n in range(int(near.start[i]), int(near.start[i + 1])) if near is not None else ():
            assert near is not None
            other = float(near.other[n]) * values[int(near.tensor[n])]
            total = total + (float(near.own[n]) * own - other if step.kind == "laplacian" else other)
        tensor.values[step.result] = total


def holds(variant: Variant, world: World, tensor: Tensor) -> bool | jax.Array:
    """Whether a tensor takes a variant: known while tracing, or traced."""
    if variant.condition is None:
        return True
    (found,) = variant.condition(*(world.lookup(tensor, name) for name in variant.takes))
    return bool(found) if isinstance(found, bool | int | float) else found


def stored(x: Value, like: jax.Array) -> jax.Array:
    """A value as a slot holds it: of its shape, rounded once to its dtype, where no later pass drops the rounding."""
    array = jnp.broadcast_to(jnp.asarray(x), like.shape) if jnp.shape(x) != like.shape else jnp.asarray(x)
    if array.dtype != like.dtype and jnp.issubdtype(like.dtype, jnp.floating) and jnp.finfo(like.dtype).bits < 32:
        info = jnp.finfo(like.dtype)
        array = jax.lax.reduce_precision(array, info.nexp, info.nmant)
    return jax.lax.convert_element_type(array, like.dtype)  # a number of no fixed type gets one, too
