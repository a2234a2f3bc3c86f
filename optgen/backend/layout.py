"""Which column of which table holds each named value of a kernel module."""

from __future__ import annotations

from dataclasses import dataclass

from optgen.ir.view import Module
from optgen.runtime.abi import META
from optgen.runtime.storage import BYTES, NARROW

VECTORS = ("matrix", "row", "col")
TABLES = ("tensor", "layer", "model", *VECTORS)
ITEM_BYTES = BYTES
SHORT = {"float32": "f4", "float64": "f8", "int64": "i8", "bfloat16": "b2", "float16": "f2"}


@dataclass(frozen=True)
class Place:
    """A column of the table of an extent."""

    extent: str
    column: int


class Layout:
    """Columns of values, totals, hypers, slots and metadata."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.values: dict[str, list[str]] = {extent: [] for extent in TABLES}
        for name, extent in module.values.items():
            self.values[extent].append(name)
        self.totals: list[str] = []
        for name, total in module.totals.items():
            if total.extent in VECTORS:
                self.values[total.extent].append(name)
            else:
                self.totals.append(name)
        self._slots = {slot.name: i for i, slot in enumerate(module.slots)}

    def value(self, name: str) -> Place:
        """Where a coarse value, or a row or column total, is kept."""
        total = self.module.totals.get(name)
        extent = self.module.values[name] if total is None else total.extent
        return Place(extent, self.values[extent].index(name))

    def total(self, name: str) -> int:
        """Column of a total over a tensor or more."""
        return self.totals.index(name)

    def slot(self, name: str) -> int:
        """Column of a slot in the address table."""
        return self._slots[name]

    def dtype(self, slot: str) -> str:
        """Storage dtype of a slot."""
        return self.module.slots[self._slots[slot]].dtype

    def is_narrow(self, slot: str) -> bool:
        """Whether a slot's elements are words that kernels widen."""
        return self.dtype(slot) in NARROW

    @property
    def counter(self) -> int:
        """Column of the update counter."""
        return next(i for i, slot in enumerate(self.module.slots) if slot.role == "counter")

    def hyper(self, name: str) -> int:
        """Column of a hyper."""
        return list(self.module.hypers).index(name)

    @staticmethod
    def metadata(name: str) -> int:
        """Column of a piece of metadata."""
        return META.index(name)
