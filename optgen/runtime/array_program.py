"""Runs the steps of a generated module of array functions: which function sees which tensor, what is summed between.

A value is held by name, per tensor, per layer, or once for the model; a function's arguments are looked up from fine to
coarse, then among what is given (slots, hypers, counters, metadata). The few array operations that this takes are the
framework's (`Arrays`), so that one program runs wherever its functions do, traced or not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np

from optgen.runtime.graph import WHOLE, Neighbours
from optgen.runtime.graph import Edges as GraphEdges
from optgen.runtime.rule_info import Meta

#: A generated function: arrays and numbers in, a tuple of them out.
Code: TypeAlias = Callable[..., tuple[Any, ...]]
Value: TypeAlias = Any  # an array, or a number that is known while tracing
TINY = 1e-16
_SCALAR = ("model", "layer", "tensor")


class Arrays(Protocol):
    """A framework's array operations, as far as running a program takes them; dtypes are names such as "float32"."""

    @property
    def integer(self) -> str:
        """Dtype of counts."""
        ...

    def known(self, value: Value) -> bool:
        """Whether a value is a plain number, not an array."""
        ...

    def held(self, dtype: str, compute: str) -> str:
        """The dtype in which a slot declared to be `dtype` ("" where it is not) can be held."""
        ...

    def cast(self, x: Value, dtype: str) -> Value:
        """An array, or a number, as an array of a dtype."""
        ...

    def coarse(self, x: Value, compute: str) -> Value:
        """A number that is coarser than elements, as functions that compute in a dtype take it; it may be wider, as
        long as what it meets stays narrow."""
        ...

    def counter(self, x: Value, compute: str) -> Value:
        """A count as functions that compute in a dtype take it."""
        ...

    def zeros_like(self, x: Value) -> Value:
        """Zeros of an array's shape and dtype."""
        ...

    def reshape(self, x: Value, shape: tuple[int, ...]) -> Value:
        """The same entries in another shape."""
        ...

    def window(self, x: Value, first: int, end: int, like: Value, place: int) -> Value:
        """Entries first to end of x, in row-major order, from a place on in zeros of the shape of `like`."""
        ...

    def turned(self, x: Value) -> Value:
        """Axes 1 and 2 of three exchanged."""
        ...

    def spread(self, x: Value, shape: tuple[int, ...]) -> Value:
        """An array or a number, broadcast to a shape."""
        ...

    def reduce(self, kind: str, x: Value) -> Value:
        """The `sum`, `max` or `min` of all entries; what starts an empty one."""
        ...

    def combine(self, kind: str, a: Value, b: Value) -> Value:
        """Two results of `reduce` as one."""
        ...

    def at_least(self, x: Value, low: float) -> Value:
        """x, or `low` where that is more."""
        ...

    def taken(self, x: Value, old: Value, step: Value) -> Value:
        """An array that a slot takes as it is, instead of its old value; the count of the step is at least 1."""
        ...

    def stored(self, x: Value, like: Value) -> Value:
        """A value as a slot holds it: of its shape, rounded once to its dtype, which no later pass undoes."""
        ...

    def switch(self, conditions: Sequence[Value], branches: Sequence[Callable[[], list[Any]]]) -> list[Any]:
        """What the branch of the first condition that holds gives; the last one's counts as true."""
        ...


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
    """A rule under settled choices; `vectors` if its functions see tensors as (matrices, rows, columns).

    `inexact` names the functions of elements that backends round differently; None where nobody has said.
    """

    rule: str
    digest: str
    settled: Mapping[str, str | int | float | bool]
    matrix: str
    vectors: bool
    slots: tuple[Slot, ...]
    variants: tuple[Variant, ...]
    inexact: tuple[str, ...] | None = None


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

    arrays: Arrays
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
                entry = world.arrays.reduce(step.kind, entry)
        totals[unit] = entry if unit not in totals else world.arrays.combine(step.kind, totals[unit], entry)
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
                    total = total + (a - b * other / world.arrays.at_least(own, TINY))
                case _:
                    total = total + b * other / world.arrays.at_least(own, TINY)
        world.layers.setdefault(layer, {})[step.result] = total


def _range(edges: GraphEdges | None, layer: int) -> tuple[int, int]:
    return (0, 0) if edges is None else (int(edges.start[layer]), int(edges.start[layer + 1]))


def _stencil(step: Stencil, world: World) -> None:
    values = [world.lookup(tensor, step.value) for tensor in world.tensors]
    near = world.neighbours
    for i, (tensor, own) in enumerate(zip(world.tensors, values, strict=True)):
        total: Value = world.arrays.zeros_like(own)
        for n in range(int(near.start[i]), int(near.start[i + 1])) if near is not None else ():
            assert near is not None
            mine, theirs = _met(world.arrays, near, n, own, values)
            a, b = _coefficient(near.own[n], own), _coefficient(near.other[n], own)
            total = total + (_pull(a, b, mine, theirs) if step.kind == "laplacian" else b * theirs)
        tensor.values[step.result] = total


def _coefficient(x: float, own: Value) -> float:
    """A number in the precision of an array."""
    return float(x) if "float64" in str(own.dtype) else float(np.float32(x))


def _pull(a: float, b: float, own: Value, other: Value) -> Value:
    """a*own - b*other in the order of operations that all backends have."""
    pull = a * (own - other)
    return pull if a == b else pull + (a - b) * other


def _met(arrays: Arrays, near: Neighbours, n: int, own: Value, values: Sequence[Value]) -> tuple[Value, Value]:
    """What a tensor and one of its neighbours compare, both of the tensor's shape, 0 where there is nothing to."""
    tensor, (first, end, shift) = int(near.tensor[n]), (int(x) for x in near.window[n])
    if end == WHOLE:
        return own, values[tensor]
    theirs = (
        arrays.zeros_like(own) if tensor < 0 else arrays.window(values[tensor], first + shift, end + shift, own, first)
    )
    return arrays.window(own, first, end, own, first), theirs


def holds(variant: Variant, world: World, tensor: Tensor) -> Value:
    """Whether a tensor takes a variant: a bool, or an array where only the step can tell."""
    if variant.condition is None:
        return True
    (found,) = variant.condition(*(world.lookup(tensor, name) for name in variant.takes))
    return bool(found) if world.arrays.known(found) else found
