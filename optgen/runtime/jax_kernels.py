"""The CPU kernels of a JAX step: the tables that other front ends use, over the buffers of one call from XLA."""

from __future__ import annotations

import ctypes
import hashlib
import os
import threading
import weakref
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optgen.errors import BackendError, UsageError
from optgen.runtime import jax_call, modules
from optgen.runtime.array_step import Leaf, slot_dtype
from optgen.runtime.chunks import contiguous
from optgen.runtime.jax_call import Words
from optgen.runtime.jax_checks import refuse
from optgen.runtime.jax_layers import Laid
from optgen.runtime.kernel_module import Manifest, Module
from optgen.runtime.library import has_calls
from optgen.runtime.rule_info import UNITS, Hypers, Settled
from optgen.runtime.storage import BYTES, DtypeSet, plain_set
from optgen.runtime.tables import Tables, TensorInfo

BACKEND, DEVICE = "numba", "cpu"
PARAM = 0
_COUNTER = np.float32


@dataclass(frozen=True)
class Layout:
    """What the buffers of a call are, per array of the tree: parameters, slots, and updates if they are counted, all in
    place; then gradients, the steps completed, known hypers as float64 bits, and `real` hypers that were traced and
    inputs."""

    laid: Laid
    gradients: tuple[str, ...]
    traced: tuple[str, ...]
    real: str
    counted: bool

    @property
    def slots(self) -> list[tuple[int, str, str]]:
        """Array, name and dtype of each slot, in order."""
        plan, found = self.laid.plan, list[tuple[int, str, str]]()
        for i, param in enumerate(self.laid.params):
            if param.leaves:
                leaf = plan.leaves[param.first]
                found += [(i, slot.name, slot_dtype(plan.arrays, slot, leaf)) for slot in leaf.slots]
        return found

    @property
    def in_place(self) -> int:
        """Number of buffers that are changed in place."""
        count = len(self.laid.params)
        return count + len(self.slots) + (count if self.counted else 0)

    def number(self, settled: Settled) -> int:
        """A number for everything that decides which kernels run and on what, the same in every process."""
        plan = self.laid.plan
        leaves = [(x.shape, x.dtype, x.layer, x.role, x.meta.depth, sorted(x.own.items())) for x in plan.leaves]
        stacks = [param.layers for param in self.laid.params]
        given = [plan.rule.name, plan.rule.digest, sorted(settled.items()), leaves, stacks, self.slots, plan.edges]
        text = repr([*given, plan.laplacian, plan.coupling, self.counted, self.gradients, self.traced, self.real])
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


@dataclass
class _Cast:
    """A slot that kernels keep in another dtype than JAX: its buffer, and a copy that kernels work on."""

    buffer: int
    dtype: str
    copy: NDArray[Any]

    def read(self, address: int) -> None:
        self.copy[...] = _array(address, self.dtype, self.copy.shape)

    def write(self, address: int) -> None:
        _array(address, self.dtype, self.copy.shape)[...] = self.copy.astype(self.dtype)


@dataclass
class _Bench:
    """Tables and what belongs to them: one step at a time."""

    tables: Tables
    counters: NDArray[np.float32]
    casts: list[_Cast]
    place: Words
    source: Words
    offset: Words
    address: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.address = self.tables.address.reshape(-1)
        assert np.shares_memory(self.address, self.tables.address)


class Kernels:
    """The kernels of one layout. Several threads may run it at once: each takes tables of its own."""

    def __init__(self, layout: Layout, settled: Settled, hypers: Hypers) -> None:
        modules.choose_backend(BACKEND, DEVICE)
        plan = layout.laid.plan
        self.layout, self.rule = layout, plan.rule
        found: dict[str, Module] = {}
        self.sets: list[DtypeSet] = []
        for param, gradient in zip(layout.laid.params, layout.gradients, strict=True):
            self.sets += [plain_set(param.dtype, gradient)] * len(param.leaves)
        for each in self.sets:
            if str(each) not in found:
                found[str(each)] = modules.find(plan.rule, settled, str(each), BACKEND, hypers)
        names = list(found)
        self.modules = list(found.values())
        self.module_of = [names.index(str(each)) for each in self.sets]
        manifest = self.modules[0].manifest
        self.inputs: list[str] = list(manifest["inputs"])
        self.hypers: list[str] = list(manifest["hypers"])
        self._domains = [self.rule.hyper(name) for name in layout.traced]
        self._columns = [self.hypers.index(name) if name in self.hypers else -1 for name in layout.traced]
        # rows of the tables go from layer to layer: those that read one another lie near one another
        self._order = sorted(range(len(plan.leaves)), key=lambda i: (plan.leaves[i].layer, i))
        self._row = np.argsort(self._order).astype(np.int64)
        self._own = [
            (int(self._row[i]), self.hypers.index(name), float(value))
            for i, leaf in enumerate(plan.leaves)
            for name, value in leaf.own.items()
            if name in self.hypers
        ]
        self._check_slots()
        self._idle: deque[_Bench] = deque()
        self.runs = 0

    def _check_slots(self) -> None:
        """Refuses slots that a cast for every step would cost memory for, or that the kernels do not know."""
        for i, name, dtype in self.layout.slots:
            leaf = self.layout.laid.params[i].first
            slot = next((s for s in self._manifest_of(leaf)["slots"] if s["name"] == name), None)
            if slot is None or (slot["extent"] == "elem" and slot["dtype"] != dtype):
                kept = "none" if slot is None else slot["dtype"]
                raise BackendError(f'the state "{name}" is {dtype} here and {kept} in the {BACKEND} kernels')

    def _manifest_of(self, leaf: int) -> Manifest:
        return self.modules[self.module_of[leaf]].manifest

    def run(self, arguments: Words, results: Words) -> None:
        """One step. HyperError, with nothing changed, for a traced value outside its domain."""
        inside = self.layout.in_place
        count, known, traced, inputs = (int(address) for address in arguments[-4:])
        row = _array(known, "float64", (len(self.hypers),)).copy()
        self._take(row, traced)
        if not np.array_equal(arguments[:inside], results):
            self._check_in_place(arguments[:inside], results)
        try:
            bench = self._idle.pop()
        except IndexError:
            bench = self._bench()
        tables = bench.tables
        tables.hyper[:] = row
        for row_of_leaf, column, value in self._own:
            tables.hyper[row_of_leaf, column] = value
        tables.inputs[:] = _array(inputs, self.layout.real, (len(self.inputs),))
        done = int(ctypes.c_int32.from_address(count).value)
        bench.address[bench.place] = arguments[bench.source] + bench.offset
        bench.counters[:] = done
        for cast in bench.casts:
            cast.read(int(arguments[cast.buffer]))
        tables.prepare(done + 1, threads=_threads())
        try:
            tables.store()
        except KeyboardInterrupt:  # between two sweeps: what is begun is finished
            tables.store(threads=1)
            raise
        finally:
            for cast in bench.casts:
                cast.write(int(arguments[cast.buffer]))
        self.runs += 1
        self._idle.append(bench)

    def _take(self, row: NDArray[np.float64], address: int) -> None:
        """Writes the traced hypers of this step into the row of all."""
        values = [float(x) for x in _array(address, self.layout.real, (len(self._domains),))]
        refuse(self._domains, values)
        for column, value in zip(self._columns, values, strict=True):
            if column >= 0:
                row[column] = value

    def _check_in_place(self, before: Words, after: Words) -> None:
        """Empty buffers may lie anywhere; all others must be where they were."""
        params = self.layout.laid.params
        arrays = [*range(len(params)), *(i for i, _, _ in self.layout.slots)]
        empty = [0 in params[i].shape for i in arrays]
        empty += [False] * (len(before) - len(empty))
        if not np.array_equal(np.where(empty, 0, before), np.where(empty, 0, after)):
            raise RuntimeError("XLA did not give the outputs the memory of the inputs that they are aliased to")

    def _units_first(self, leaf: Leaf) -> tuple[int, ...]:
        """A shape as kernels have it: they look for output units along the first axis, where these have the last."""
        looks = self.modules[0].manifest["matrix"] in UNITS
        return (*leaf.shape[-1:], *leaf.shape[:-1]) if looks else leaf.shape

    def _turn(self, tables: Tables) -> None:
        """Has kernels that see rows find them: the steps of such shapes in memory."""
        for t, leaf in enumerate(self.layout.laid.plan.leaves):
            module = self.modules[self.module_of[t]]
            if (
                len(leaf.shape) > 1
                and module.manifest["matrix"] in UNITS
                and (module.manifest["tiled"] or has_calls(module))
            ):
                *rest, last = contiguous(leaf.shape)
                for column, slot in enumerate(module.manifest["slots"]):
                    if slot["extent"] == "elem" and slot["role"] != "scratch":
                        tables.set_layout(int(self._row[t]), column, (last, *rest))

    def _bench(self) -> _Bench:
        """Tables for one step at a time, and where each buffer's address goes in them."""
        layout, plan, params = self.layout, self.layout.laid.plan, self.layout.laid.params
        infos = [
            TensorInfo(self._units_first(leaf), leaf.layer, leaf.role, leaf.meta.depth, str(self.sets[i]))
            for i, leaf in ((i, plan.leaves[i]) for i in self._order)
        ]
        tables = Tables(
            self.modules,
            infos,
            [self.module_of[i] for i in self._order],
            numbers=self._order,
            edges=plan.edges,
            laplacian=plan.laplacian,
            coupling=plan.coupling,
        )
        self._turn(tables)
        width = tables.address.shape[1]
        counters = np.zeros(len(plan.leaves), dtype=_COUNTER)
        places: list[tuple[int, int, int]] = []
        casts: list[_Cast] = []

        def place(array: int, buffer: int, column: int, step: int, first: int = 0) -> None:
            rows = self._row[params[array].leaves]
            places.extend((int(row) * width + column, buffer, (first + i) * step) for i, row in enumerate(rows))

        slots = self.modules[0].manifest["slots"]
        columns = [column for column, slot in enumerate(slots) if slot["role"] == "gradient"]

        for i, (param, gradient) in enumerate(zip(params, layout.gradients, strict=True)):
            numel = plan.leaves[param.first].meta.numel if param.leaves else 0
            place(i, i, PARAM, numel * BYTES[param.dtype])
            for entry, column in enumerate(columns):
                place(i, layout.in_place + i, column, numel * BYTES[gradient], entry * len(param.leaves))
        for at, (i, name, dtype) in enumerate(layout.slots, len(params)):
            first, count = params[i].first, len(params[i].leaves)
            column, slot = next((c, s) for c, s in enumerate(self._manifest_of(first)["slots"]) if s["name"] == name)
            entries, item = _entries(plan.leaves[first], slot["extent"]), BYTES[slot["dtype"]]
            if slot["dtype"] == dtype:
                place(i, at, column, entries * item)
                continue
            copy = np.zeros(count * entries, dtype=slot["dtype"])
            casts.append(_Cast(at, dtype, copy))
            tables.address[self._row[params[i].leaves], column] = copy.ctypes.data + entries * item * np.arange(count)
        for i, param in enumerate(params):
            slots = self._manifest_of(param.first)["slots"] if param.leaves else []
            column = next((c for c, slot in enumerate(slots) if slot["role"] == "counter"), None)
            if column is None:
                continue
            own = counters[param.first : param.leaves.stop]
            tables.address[self._row[param.leaves], column] = own.ctypes.data + own.itemsize * np.arange(len(own))
            if layout.counted:
                casts.append(_Cast(len(params) + len(layout.slots) + i, "int32", own))
        where, source, offset = np.array(places, dtype=np.int64).reshape(-1, 3).T
        return _Bench(tables, counters, casts, where, source, offset)


def _entries(leaf: Leaf, extent: str) -> int:
    meta = leaf.meta
    per = {
        "elem": meta.numel,
        "row": meta.matrices * meta.rows,
        "col": meta.matrices * meta.cols,
        "matrix": meta.matrices,
    }
    return per.get(extent, 1)


def _array(address: int, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """An array at an address, without a copy."""
    count = int(np.prod(shape))
    if count == 0:
        return np.zeros(shape, dtype=dtype)
    memory = (ctypes.c_uint8 * (count * np.dtype(dtype).itemsize)).from_address(address)
    return np.ctypeslib.as_array(memory).view(dtype).reshape(shape)


def _threads() -> int:
    """Cores that this process may use, as XLA does."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_kernels: weakref.WeakValueDictionary[int, Kernels] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def find(layout: Layout, settled: Settled, hypers: Hypers) -> tuple[int, Kernels]:
    """The kernels of a layout and their number in calls; the same ones for as long as anybody keeps them.

    BackendError where they cannot be had: no numba, no folder that holds them and no compiler, a state they cannot
    take.
    """
    number = layout.number(settled)
    with _lock:
        found = _kernels.get(number)
        if found is None:
            found = _kernels[number] = Kernels(layout, settled, hypers)
    jax_call.register(number, found)
    return number, found


def served(param: str, gradient: str) -> bool:
    """Whether kernels take gradients of this dtype as they are."""
    if gradient not in BYTES or param not in BYTES:
        return False
    try:
        plain_set(param, gradient)
    except UsageError:
        return False
    return True
