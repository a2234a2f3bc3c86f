"""What the tables of kernels hold on every device: tensors and their layers, who takes part, how elements lie."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optgen.errors import StateError, UsageError
from optgen.runtime.abi import META, Mode
from optgen.runtime.chunks import slot_layout, walking_order
from optgen.runtime.graph import Edges, Graph, Neighbours, matched_groups, neighbours, roles_of
from optgen.runtime.kernel_module import Module, Slot
from optgen.runtime.programs import coupled
from optgen.runtime.rule_info import view


@dataclass(frozen=True)
class TensorInfo:
    """What the tables are told about a tensor. Tensors with equal ``player`` form a layer; ``role`` is within it."""

    shape: tuple[int, ...]
    player: int
    role: str
    depth: float
    dtype: str


class TensorTables(ABC):
    """The tables of one optimizer's kernels: one or several modules that differ in dtype only.

    The caller writes ``hyper`` (f64[T, hypers]), ``address`` (i64[T, slots], 0 where absent) and ``inputs``
    (f64[inputs]) in place; the columns of ``address`` are those of the tensor's own module. ``coupled``: tensors affect
    one another. Classes for a device give the tables, which `_mode` (i64[T]) and `_present` (i64[layers]) are two of,
    and take edges and layouts to where its kernels find them.
    """

    hyper: NDArray[np.float64]
    inputs: NDArray[np.float64]
    address: NDArray[np.int64]
    _mode: NDArray[np.int64]
    _present: NDArray[np.int64]

    def __init__(
        self,
        modules: Sequence[Module],
        infos: Sequence[TensorInfo],
        module_of: Sequence[int],
        edges: Sequence[tuple[int, int, float]] | None,
        laplacian: str,
        coupling: str,
    ) -> None:
        self.modules = list(modules)
        self.infos = list(infos)
        self.module_of = np.array(module_of, dtype=np.int64)
        manifest = self._manifest = modules[0].manifest
        self.coupled = coupled(manifest)
        self._slots = max(len(module.manifest["slots"]) for module in modules)
        self._views = [view(info.shape, manifest["matrix"]) for info in infos]
        self._numel = np.array([m * r * c for m, r, c in self._views], dtype=np.int64)
        self._players = [info.player for info in infos]
        self._roles = [info.role for info in infos]
        self._layer_count = max(self._players, default=-1) + 1
        self._graph: Graph | None = None
        self._groups: list[list[int]] = []
        if manifest["graph"] or manifest["stencil"]:
            kinds = roles_of(self._players, self._roles, [i.shape for i in infos], [i.dtype for i in infos])
            self._graph = Graph(kinds, edges, laplacian, coupling)
            if manifest["stencil"]:
                self._groups = matched_groups(self._graph, self._players, self._roles)
                self._refuse_turned(self._graph)
        self._group_of = {tensor: group for group in self._groups for tensor in group}
        self._strides: dict[tuple[int, int], tuple[int, ...]] = {}
        self._moved: set[int] = {t for t in range(len(infos)) if self._turned(t)}
        self._active: NDArray[np.bool_] | None = None
        self._calls = 0

    def _refuse_turned(self, graph: Graph) -> None:
        """UsageError where elements are coupled by flat index and the rule walks along columns."""
        if graph.by_index and self._manifest["tiled"] and self._manifest["matrix"] == "wide":
            raise UsageError(f'coupling "{graph.coupling}" counts elements row by row, but this rule turns matrices')

    # -- what the caller sets ---------------------------------------------------------------------------------------

    def set_layout(self, tensor: int, slot: int, strides: tuple[int, ...] | None) -> None:
        """Element strides of a slot's tensor in logical order; None: C-contiguous. StateError where it must be."""
        about = self._slots_of(tensor)[slot]
        if about["extent"] != "elem":
            if strides is not None:
                name = about["name"]
                raise StateError(f'the state "{name}" of tensor {tensor} must be contiguous: assign .contiguous()')
            return
        if strides == self._strides.get((tensor, slot)):
            return
        if strides is None:
            del self._strides[tensor, slot]
        else:
            self._strides[tensor, slot] = strides
        self._moved.update(self._group_of.get(tensor, [tensor]) if slot == 0 else [tensor])

    def set_active(self, active: NDArray[np.bool_]) -> None:
        """Which tensors have a gradient in the next step. Nothing happens if these are the same as last time."""
        if self._active is not None and np.array_equal(active, self._active):
            return
        self._active = None
        present = np.zeros(self._layer_count, dtype=np.bool_)
        present[np.array(self._players, dtype=np.int64)[active]] = True
        beside = present[self._players] if self.coupled and self.infos else np.zeros(len(self.infos), dtype=np.bool_)
        self._mode[:] = np.where(active, Mode.ACTIVE, np.where(beside, Mode.ZERO_GRADIENT, Mode.ABSENT))
        self._present[:] = present
        if self._graph is not None:
            found = self._graph.edges(present)
            self._set_edges(found)
            if self._manifest["stencil"]:
                self._set_neighbours(neighbours(self._graph, found, self._players, self._roles))
        self._active = active.copy()

    def calls(self) -> int:
        """Calls into compiled code made by the last run."""
        return self._calls

    # -- what a device's tables do with it --------------------------------------------------------------------------

    @abstractmethod
    def _set_edges(self, edges: Edges) -> None:
        """Puts the edges of the layers that are present where kernels find them."""

    @abstractmethod
    def _set_neighbours(self, found: Neighbours) -> None:
        """The same for the neighbours of tensors."""

    @abstractmethod
    def _put_layout(self, tensor: int, slot: int | None, found: NDArray[np.int64] | None) -> None:
        """The same for how a slot lies, or for row-major order (None); no layout where elements are walked in order."""

    # -- what they are made of --------------------------------------------------------------------------------------

    def _slots_of(self, tensor: int) -> Sequence[Slot]:
        return self.modules[int(self.module_of[tensor])].manifest["slots"]

    def _metadata(self) -> NDArray[np.float64]:
        """A row per tensor, as `META` names its columns."""
        rows = [
            (n, len(info.shape), r, c, m, info.depth)
            for n, info, (m, r, c) in zip(self._numel, self.infos, self._views, strict=True)
        ]
        return np.array(rows, dtype=np.float64).reshape(-1, len(META))

    def _layer_members(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The layer of each tensor, the tensors layer by layer, and where each layer's begin."""
        layer_of = np.array(self._players, dtype=np.int64)
        starts = np.zeros(self._layer_count + 1, dtype=np.int64)
        starts[1:] = np.cumsum(np.bincount(layer_of, minlength=self._layer_count)) if self._layer_count else 0
        return layer_of, np.argsort(layer_of, kind="stable").astype(np.int64), starts

    def _variant_names(self, chosen: Sequence[int]) -> list[str]:
        """Names of variants by their numbers, one per tensor."""
        variants = [module.manifest["variants"] for module in self.modules]
        return [variants[m][v]["name"] for m, v in zip(self.module_of, chosen, strict=True)]

    # -- where elements lie -----------------------------------------------------------------------------------------

    def _turned(self, tensor: int) -> bool:
        """Whether the rows of the matrix view run along memory's columns."""
        if not self._manifest["tiled"] or self._manifest["matrix"] != "wide":
            return False
        shape = self.infos[tensor].shape
        return len(shape) > 1 and shape[0] > self._views[tensor][1]

    def _place(self) -> None:
        """Works out again how the slots of tensors lie that moved.

        Elements are walked through as they lie in memory, unless they are summed: then in logical order, because the
        order of a sum decides its bits, and how a tensor lies in memory must not.
        """
        for tensor in self._moved:
            shape = self.infos[tensor].shape
            leader = min(self._group_of.get(tensor, [tensor]))
            by_index = self._graph is not None and self._graph.by_index
            if not self._manifest["tiled"] and not self._manifest["totals"] and not by_index:
                order = walking_order(shape, self._strides.get((leader, 0)))
            elif self._turned(tensor):
                order = (*range(1, len(shape)), 0)
            else:
                order = tuple(range(len(shape)))
            self._put_layout(tensor, None, slot_layout(shape, None, order))
            for slot, about in enumerate(self._slots_of(tensor)):
                if about["extent"] == "elem":
                    self._put_layout(tensor, slot, slot_layout(shape, self._strides.get((tensor, slot)), order))
        self._moved.clear()
