"""Extents: at what granularity a value varies. A lattice in which row and col meet in elem."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

from xdsl.utils.str_enum import StrEnum


class Extent(StrEnum):
    """Coarse to fine. A value of some extent is constant within each unit of that extent."""

    MODEL = "model"
    LAYER = "layer"
    TENSOR = "tensor"
    MATRIX = "matrix"
    ROW = "row"
    COL = "col"
    ELEM = "elem"


_RANK = {extent: rank for rank, extent in enumerate(Extent)}


def at_most(a: Extent, b: Extent) -> bool:
    """Whether `a` is as coarse as `b` or coarser."""
    return a == b or (_RANK[a] < _RANK[b] and not (a is Extent.ROW and b is Extent.COL))


def join(a: Extent, b: Extent) -> Extent:
    """The coarsest extent as fine as both."""
    if at_most(a, b):
        return b
    if at_most(b, a):
        return a
    return Extent.ELEM


def join_all(extents: Iterable[Extent]) -> Extent:
    """Join of any number of extents; model when there is none."""
    return reduce(join, extents, Extent.MODEL)


#: Extents whose values fit one number per tensor or coarser: conditions of `if` may have these.
SCALAR_EXTENTS = (Extent.MODEL, Extent.LAYER, Extent.TENSOR)
#: Extents kept as vectors per tensor.
VECTOR_EXTENTS = (Extent.MATRIX, Extent.ROW, Extent.COL)
