"""All memory that the kernels of one optimizer share with their driver, and the step that runs them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from optgen.runtime import layout as at
from optgen.runtime.abi import META, SEGMENT, Mode, Word
from optgen.runtime.chunks import (
    CHUNK_ELEMENTS,
    COUPLED_ELEMENTS,
    Claims,
    Shape,
    claims,
    cut,
    elements_of,
    grid,
    shuffled,
)
from optgen.runtime.graph import Edges, Neighbours
from optgen.runtime.kernel_module import Manifest, Module, load_module
from optgen.runtime.library import Library, LibraryCalls, Memory, NumpyLibrary, has_calls
from optgen.runtime.pool import Job, Scratch, run_step
from optgen.runtime.programs import chainable, programs, slot_bytes
from optgen.runtime.progress import reading_sweeps
from optgen.runtime.tensor_tables import TensorInfo, TensorTables

__all__ = ["Manifest", "Module", "Tables", "TensorInfo", "load_module"]

#: Below so many bytes (all slots of all tensors) other threads would come too late to help.
THREADED_BYTES = 4 << 20
#: Tensors of at most so many bytes go through all their sweeps in one thread's cache.
CACHE_BYTES = 1 << 20

T = TypeVar("T", bound=np.generic)


class Tables(TensorTables):
    """Tables in the CPU's memory. ``numbers`` (their places by default) and ``seed`` choose tensors' random bits;
    ``library`` makes the calls between sweeps (NumPy by default)."""

    def __init__(
        self,
        modules: Sequence[Module],
        infos: Sequence[TensorInfo],
        module_of: Sequence[int],
        *,
        edges: Sequence[tuple[int, int, float]] | None = None,
        laplacian: str = "combinatorial",
        coupling: str = "transport",
        numbers: Sequence[int] | None = None,
        seed: int = 0,
        library: Library | None = None,
    ) -> None:
        super().__init__(modules, infos, module_of, edges, laplacian, coupling)
        self._programs = programs(modules)
        self._reading = self._reading_sweeps = reading_sweeps([module.manifest for module in modules])
        self._keep: dict[str, NDArray[np.generic]] = {}
        self._contexts = np.zeros((len(modules), Word.COUNT), dtype=np.int64)
        self._plan = np.zeros(at.PLAN_WORDS, dtype=np.int64)
        self._allocate_values()
        self._allocate_layers()
        self._chunks()
        self._plan_programs()
        self._layouts: dict[tuple[int, int | None], NDArray[np.int64]] = {}
        self._plan[at.SEED] = seed
        self._table(at.PARAMETER, (len(infos),), np.int64)[:] = range(len(infos)) if numbers is None else numbers
        self._library = self._calls_of(library or NumpyLibrary()) if any(map(has_calls, modules)) else None
        self._scratch = Scratch(self._programs.max_streams)
        self._job = self._new_job()
        self._arrangement: tuple[bool, int | None] | None = None
        self.set_active(np.ones(len(infos), dtype=np.bool_))

    def set_active(self, active: NDArray[np.bool_]) -> None:
        """Which tensors have a gradient in the next step. Nothing happens if these are the same as last time."""
        super().set_active(active)
        self._bytes = int(self._numel[self._mode != Mode.ABSENT].sum()) * slot_bytes(self._manifest)

    # -- the step ---------------------------------------------------------------------------------------------------

    def run(self, step: int, *, threads: int, order_seed: int | None = None) -> None:
        """Runs one step. step: 1 + optimizer steps completed; order_seed: for tests, the work in random order."""
        self.prepare(step, threads=threads, order_seed=order_seed)
        self.store()

    def prepare(self, step: int, *, threads: int, order_seed: int | None = None) -> None:
        """Makes a step ready, its memory included, so that nothing but kernels is left of it."""
        self._calls = 0
        self._step[0] = step
        if self._moved:
            self._place()
        threads = threads if self._bytes >= THREADED_BYTES or order_seed is not None else 1
        self._arrange(threads > 1, order_seed)
        if self._job.broken or self._plan[at.CLAIM] > at.LOW:  # or this is a child, forked in the middle of a sweep
            self._job = self._new_job()
        self._threads = min(threads, self._claims)
        self._plan[at.ENDED] = -1 if self._mode.any() else self._manifest["sweeps"]
        if self._library is not None:
            self._library.done = -1

    def read(self) -> None:
        """Runs the sweeps of a prepared step that only read."""
        if self._reading > 0:
            self._run_to(self._reading, self._threads)

    def store(self, threads: int | None = None) -> None:
        """Runs all that is left of a prepared step, also of one that an exception left."""
        self._run_to(self._manifest["sweeps"], threads or self._threads)

    def _run_to(self, sweep: int, threads: int) -> None:
        calls = self._library
        for boundary in calls.boundaries if calls is not None else ():
            if calls is not None and calls.done < boundary < sweep:
                self._drive_to(boundary, threads)
                calls.run(boundary)
        self._drive_to(sweep, threads)

    def _drive_to(self, sweep: int, threads: int) -> None:
        if self._plan[at.ENDED] < sweep:
            self._calls += run_step(self._job, sweep, self._scratch, threads)

    def ended(self) -> int:
        """How many sweeps of the step are complete, with the stages after them; -1 before it began."""
        return int(self._plan[at.ENDED])

    def begun(self) -> bool:
        """Whether anything of the step may be stored."""
        opened = self._plan[at.CLAIM] > at.LOW
        return bool(self._plan[at.ENDED] + opened > self._reading)

    def variant_names(self) -> list[str]:
        """The variant of each tensor in the last run."""
        return self._variant_names(self._variant.tolist())

    def _calls_of(self, library: Library) -> LibraryCalls:
        def strides(tensor: int, slot: int) -> tuple[int, ...] | None:
            return self._strides.get((tensor, slot))

        values = cast("NDArray[np.float64]", self._keep[Word.TENSOR_VALUE.name])
        shapes = [info.shape for info in self.infos]
        known = Memory(self.modules, self.module_of, shapes, self._mode, self._variant, self.address, values, strides)
        return LibraryCalls(known, library)

    # -- tables -----------------------------------------------------------------------------------------------------

    def _table(self, key: Word | int, shape: tuple[int, ...], dtype: type[T]) -> NDArray[T]:
        """A table of zeros whose address is a word of every ctx (a Word) or of the plan (a number)."""
        table = np.zeros(tuple(max(1, length) for length in shape), dtype=dtype)
        self._put(key, table)
        return table[tuple(slice(length) for length in shape)]

    def _put(self, key: Word | int, table: NDArray[np.generic]) -> None:
        table = np.ascontiguousarray(table)
        if isinstance(key, Word):
            self._keep[key.name] = table
            self._contexts[:, key] = table.ctypes.data
        else:
            self._keep[str(key)] = table
            self._plan[key] = table.ctypes.data

    def _new_job(self) -> Job:
        """A job with a plan of its own: threads may still be busy with the one before."""
        self._plan = self._plan.copy()
        self._plan[[at.CLAIM, at.DONE]] = at.CLOSED, 0
        return Job(self._plan.ctypes.data, (self._plan, self._keep, self._contexts, self._layouts, self.modules))

    def _allocate_values(self) -> None:
        manifest, count = self._manifest, len(self.infos)
        values = manifest["values"]
        self._mode = self._table(Word.MODE, (count,), np.int64)
        self._variant = self._table(Word.VARIANT, (count,), np.int64)
        self._step = self._table(Word.STEP, (1,), np.float64)
        self.hyper = self._table(Word.HYPER, (count, len(manifest["hypers"])), np.float64)
        self.inputs = self._table(Word.INPUT, (len(manifest["inputs"]),), np.float64)
        self.address = self._table(Word.ADDRESS, (count, self._slots), np.int64)
        self._layout = self._table(at.LAYOUT, (count, self._slots), np.int64)
        self._row_major_at = self._table(at.ROW_MAJOR, (count,), np.int64)
        self._table(Word.TENSOR_VALUE, (count, len(values["tensor"])), np.float64)
        self._table(Word.MODEL_VALUE, (len(values["model"]),), np.float64)
        self._table(Word.TENSOR_TOTAL, (count, len(manifest["totals"])), np.float64)
        self._table(Word.META, (count, len(META)), np.float64)[:] = self._metadata()
        sizes = np.array([(m, m * r, m * c) for m, r, c in self._views], dtype=np.int64).reshape(-1, 3)
        for i, extent in enumerate(("matrix", "row", "col")):
            offsets = np.concatenate(([0], np.cumsum(sizes[:, i])))
            name = extent.upper()
            self._table(Word[f"{name}_OFFSET"], (count,), np.int64)[:] = offsets[:-1]
            self._contexts[:, Word[f"{name}_WIDTH"]] = offsets[-1]
            columns = len(values[extent])
            self._table(Word[f"{name}_VALUE"], (columns, int(offsets[-1]) if columns else 0), np.float64)
        for m in range(len(self.modules)):
            members = np.flatnonzero(self.module_of == m).astype(np.int64)
            self._keep[f"members {m}"] = members
            self._contexts[m, Word.MEMBERS] = members.ctypes.data
            self._contexts[m, Word.MEMBER_COUNT] = len(members)
        self._contexts[:, Word.TENSORS] = count
        self._contexts[:, Word.SLOTS] = self._slots

    def _allocate_layers(self) -> None:
        count = self._layer_count
        layer_of, members, starts = self._layer_members()
        self._contexts[:, Word.LAYERS] = count
        self._table(Word.LAYER_VALUE, (count, len(self._manifest["values"]["layer"])), np.float64)
        self._table(Word.LAYER_OF, (len(self.infos),), np.int64)[:] = layer_of
        self._table(Word.LAYER_MEMBER, (len(self.infos),), np.int64)[:] = members
        self._table(Word.LAYER_START, (count + 1,), np.int64)[:] = starts
        self._present = self._table(Word.LAYER_PRESENT, (count,), np.int64)
        nothing = np.zeros(0, dtype=np.int64)
        self._set_edges(
            Edges(np.zeros(count + 1, dtype=np.int64), nothing, nothing.astype(float), nothing.astype(float), nothing)
        )

    def _set_edges(self, edges: Edges) -> None:
        self._put(Word.EDGE_START, edges.start)
        self._put(Word.EDGE_TO, edges.to)
        self._put(Word.EDGE_OWN, edges.own)
        self._put(Word.EDGE_OTHER, edges.other)
        self._put(Word.EDGE_MATCHED, edges.matched)

    def _set_neighbours(self, found: Neighbours) -> None:
        self._tensor[:, at.T_NEIGHBOUR] = found.start[:-1]
        self._tensor[:, at.T_NEIGHBOURS] = np.diff(found.start)
        self._put(at.NEIGHBOUR, found.tensor)
        self._put(at.NEIGHBOUR_OWN, found.own)
        self._put(at.NEIGHBOUR_OTHER, found.other)
        self._put(at.WINDOW, found.window)

    def _chunks(self) -> None:
        """Cuts every tensor and makes room for partial totals."""
        tiled, count = self._manifest["tiled"], len(self.infos)
        coupled = set(self._group_of) if self._manifest["stencil"] else set[int]()
        sizes = [COUPLED_ELEMENTS if t in coupled else CHUNK_ELEMENTS for t in range(count)]
        shapes = [Shape(*v) if tiled else Shape(1, 1, v[0] * v[1] * v[2]) for v in self._views]
        pieces = [cut(t, shape, size) for t, (shape, size) in enumerate(zip(shapes, sizes, strict=True))]
        table = np.concatenate([np.zeros((0, at.CHUNK_FIELDS), dtype=np.int64), *pieces])
        self._counts = np.array([len(piece) for piece in pieces], dtype=np.int64)
        self._elements = elements_of(table)
        self._tensor = self._table(at.TENSOR, (count, at.TENSOR_FIELDS), np.int64)
        self._tensor[:, at.T_MODULE] = self.module_of
        for m in range(len(self.modules)):
            mine = self.module_of == m
            self._tensor[mine, at.T_MEMBER] = np.arange(int(mine.sum()))
        self._tensor[:, at.T_CHUNKS] = self._counts
        self._tensor[:, at.T_CHUNK] = np.concatenate(([0], np.cumsum(self._counts)))[:-1]
        rows_at = cols_at = 0
        for t, shape in enumerate(shapes):
            row_blocks, col_blocks = grid(shape, sizes[t]).blocks(shape)
            self._tensor[t, [at.T_MATRICES, at.T_ROWS, at.T_COLS]] = [shape.matrices, shape.rows, shape.cols]
            self._tensor[t, [at.T_ROW_BLOCKS, at.T_COL_BLOCKS]] = [row_blocks, col_blocks]
            self._tensor[t, at.T_ROW_AT] = rows_at if tiled and col_blocks > 1 else -1
            self._tensor[t, at.T_COL_AT] = cols_at if tiled and row_blocks > 1 else -1
            rows_at += col_blocks * shape.matrices * shape.rows if tiled and col_blocks > 1 else 0
            cols_at += row_blocks * shape.matrices * shape.cols if tiled and row_blocks > 1 else 0
        made = self._programs
        self._put(at.CHUNK, table)
        self._table(at.PARTIAL, (len(table), made.max_totals), np.float64)
        self._table(at.ROW_PARTIAL, (made.row_totals, rows_at), np.float64)
        self._table(at.COL_PARTIAL, (made.col_totals, cols_at), np.float64)
        self._plan[at.PARTIAL_WIDTH] = made.max_totals
        self._plan[[at.ROW_PARTIAL_WIDTH, at.COL_PARTIAL_WIDTH]] = rows_at, cols_at

    def _plan_programs(self) -> None:
        made, manifest = self._programs, self._manifest
        self._put(at.CONTEXTS, self._contexts.ctypes.data + self._contexts.strides[0] * np.arange(len(self.modules)))
        self._put(at.SELECT, made.select)
        self._put(at.STAGE_START, made.stage_start)
        self._put(at.STAGE, made.stage)
        self._put(at.PROGRAM, made.program)
        self._put(at.STREAM, made.stream)
        self._put(at.TOTAL, made.total)
        self._put(at.TOTAL_OP, made.total_op)
        self._table(at.ZEROS, (SEGMENT + 2,), np.float64)[SEGMENT] = 1.0
        self._plan[at.MODULES] = len(self.modules)
        self._plan[at.SWEEPS] = manifest["sweeps"]
        self._plan[at.VARIANTS] = made.variants
        self._plan[at.MAX_STREAMS] = made.max_streams
        self._plan[at.TOTALS] = len(manifest["totals"])
        self._plan[at.TENSOR_COLUMNS] = len(manifest["values"]["tensor"])
        self._plan[at.SLOTS] = self._slots

    def _arrange(self, threaded: bool, order_seed: int | None) -> None:
        """Puts the work in order, unless it is."""
        if self._arrangement == (threaded, order_seed) and order_seed is None:
            return
        self._arrangement = None
        chained = np.full(len(self.infos), chainable(self._manifest))
        if threaded:
            chained &= self._numel * slot_bytes(self._manifest) <= CACHE_BYTES
        work = claims(self._counts, self._elements, self._groups, chained, CHUNK_ELEMENTS)
        if order_seed is not None:
            work = shuffled(work, np.random.default_rng(order_seed))
        self._use(work)
        self._arrangement = threaded, order_seed

    def _use(self, work: Claims) -> None:
        self._claims = max(1, len(work.units))
        counts = [0, len(work.units)] + [work.sweep_units] * (self._manifest["sweeps"] - 1)
        self._put(at.ORDER, work.order)
        self._put(at.UNIT, work.units)
        self._put(at.UNIT_COUNT, np.array(counts, dtype=np.int64))
        self._put(at.CHAIN, work.chain)
        self._put(at.LOOSE, work.loose)
        self._plan[at.SWEEP_UNITS] = work.sweep_units
        self._plan[at.LOOSE_COUNT] = len(work.loose) if len(work.chain) else -1
        self._reading = min(self._reading_sweeps, 0) if len(work.chain) else self._reading_sweeps

    def _put_layout(self, tensor: int, slot: int | None, found: NDArray[np.int64] | None) -> None:
        self._layouts.pop((tensor, slot), None)
        if found is not None:
            self._layouts[tensor, slot] = found
        address = 0 if found is None else found.ctypes.data
        if slot is None:
            self._row_major_at[tensor] = address
        else:
            self._layout[tensor, slot] = address
