"""Where numba kernels find each named value: the columns that all backends share."""

from __future__ import annotations

from optgen.backend.layout import ITEM_BYTES, SHORT, TABLES, VECTORS, Layout, Place

__all__ = ["ITEM_BYTES", "SHORT", "TABLES", "VECTORS", "Layout", "Place"]
