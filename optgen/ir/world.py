"""What a rule acts on, for the interpreters: tensors in layers, a graph between layers, float64 values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from optgen.ir.extents import Extent

Array = NDArray[np.float64]


@dataclass
class Tensor:
    """One parameter. `state` holds arrays by slot name, each of `slot_shape` of its extent; `t` counts its updates."""

    param: Array
    layer: int = 0
    depth: float = 0.5
    hypers: Mapping[str, float | int | bool | str] = field(default_factory=dict[str, "float | int | bool | str"])
    state: dict[str, Array] = field(default_factory=dict[str, Array])
    t: int = 0


@dataclass(frozen=True)
class Edge:
    """One direction of an edge: a Laplacian gives `own*x - other*x_to` to the layer that holds it."""

    to: int
    own: float
    other: float
    matched: bool


@dataclass(frozen=True)
class Counterpart:
    """A tensor that another is compared with element by element: a Laplacian gives `own*x - other*x_tensor`.

    Tensor -1 is one of zeros. With a window (first, end, shift), only elements first to end of the other tensor have
    this counterpart, in row-major order, and element k has its element k + shift.
    """

    tensor: int
    own: float
    other: float
    window: tuple[int, int, int] | None = None

    def meet(self, own: Array, values: Callable[[int], Array]) -> tuple[Array, Array]:
        """Own values and the counterpart's, as arrays of the shape of `own`, 0 where there is no counterpart."""
        if self.window is None:
            return own, values(self.tensor)
        first, end, shift = self.window
        mine, theirs = np.zeros(own.shape), np.zeros(own.shape)
        mine.reshape(-1)[first:end] = own.reshape(-1)[first:end]
        if self.tensor >= 0:
            theirs.reshape(-1)[first:end] = values(self.tensor).reshape(-1)[first + shift : end + shift]
        return mine, theirs


@dataclass(frozen=True)
class Graph:
    """Edges of every layer, and of every tensor its counterparts in neighbours."""

    edges: Sequence[Sequence[Edge]]
    counterparts: Sequence[Sequence[Counterpart]]

    @classmethod
    def empty(cls, layers: int, tensors: int) -> Graph:
        """No edges."""
        return cls([[] for _ in range(layers)], [[] for _ in range(tensors)])


@dataclass
class World:
    """Every tensor of an optimizer, and how many steps it has made. `graph` gives the edges among present layers.

    `extents` says of every slot how fine it is; `interpret.start` fills it in.
    """

    tensors: list[Tensor]
    matrix: str = "trailing"
    extents: dict[str, Extent] = field(default_factory=dict[str, Extent])
    graph: Callable[[Sequence[bool]], Graph] | None = None
    steps: int = 0

    @property
    def layers(self) -> int:
        """Number of layers."""
        return 1 + max((tensor.layer for tensor in self.tensors), default=-1)

    def present(self, active: Sequence[bool]) -> list[bool]:
        """Which layers have a gradient."""
        found = [False] * self.layers
        for tensor, has in zip(self.tensors, active, strict=True):
            found[tensor.layer] |= has
        return found


def matrices_of(x: Array, matrix: str) -> Array:
    """An array of a tensor's shape as (matrices, rows, columns) under a `matrix:` view."""
    if x.ndim < 2:
        return x.reshape(1, 1, x.size)
    if matrix == "trailing":
        return x.reshape(-1 if x.size else int(np.prod(x.shape[:-2])), *x.shape[-2:])
    units = x.reshape(1, x.shape[0], -1 if x.size else int(np.prod(x.shape[1:])))
    if matrix == "units":
        return units
    if matrix == "wide":
        return units.swapaxes(1, 2) if units.shape[1] > units.shape[2] else units
    rows = next(r for r in range(int(x.size**0.5), 0, -1) if x.size % r == 0) if x.size else 1
    return x.reshape(1, rows, x.size // rows)


def elements_of(x: Array, shape: tuple[int, ...], matrix: str) -> Array:
    """The inverse of `matrices_of` for a tensor of this shape."""
    place = matrices_of(np.arange(int(np.prod(shape)), dtype=np.float64).reshape(shape), matrix)
    out = np.empty(place.size)
    out[place.astype(np.int64).ravel()] = np.broadcast_to(x, place.shape).ravel()
    return out.reshape(shape)


def slot_shape(extent: Extent, shape: tuple[int, ...], matrix: str) -> tuple[int, ...]:
    """Shape in which a slot of an extent is kept for a tensor of this shape."""
    matrices, rows, cols = matrices_of(np.empty(shape), matrix).shape
    match extent:
        case Extent.ELEM:
            return shape
        case Extent.ROW:
            return (matrices, rows)
        case Extent.COL:
            return (matrices, cols)
        case Extent.MATRIX:
            return (matrices,)
        case _:
            return ()


def value_shape(extent: Extent, view: tuple[int, int, int]) -> tuple[int, int, int]:
    """Shape of a value of an extent in a tensor seen as (matrices, rows, columns); 1 where it does not vary."""
    matrices, rows, cols = view
    match extent:
        case Extent.ELEM:
            return view
        case Extent.ROW:
            return (matrices, rows, 1)
        case Extent.COL:
            return (matrices, 1, cols)
        case Extent.MATRIX:
            return (matrices, 1, 1)
        case _:
            return (1, 1, 1)
