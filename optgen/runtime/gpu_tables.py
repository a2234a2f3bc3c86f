"""All memory that kernels on a graphics processor share for one optimizer, and the launches of a step."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from optgen.errors import StateError
from optgen.runtime import gpu_abi, gpu_device
from optgen.runtime import layout as at
from optgen.runtime.abi import Word
from optgen.runtime.chunks import Shape, claims, elements_of
from optgen.runtime.gpu_abi import GpuWord
from optgen.runtime.gpu_chunks import blocks, chunk_elements, cut, idle, parts, runs
from optgen.runtime.gpu_launch import launcher
from optgen.runtime.gpu_library import GpuLibrary, Tensors
from optgen.runtime.gpu_memory import Mirror, scratch
from optgen.runtime.graph import Edges, Neighbours, neighbours
from optgen.runtime.kernel_module import Launch, Module
from optgen.runtime.library import has_calls
from optgen.runtime.tensor_tables import TensorInfo, TensorTables

_VECTORS = ("matrix", "row", "col")
#: Axes of memory whose sizes and steps a layout holds.
_LAYOUT_WORDS = 17


class GpuTables(TensorTables):
    """Tables in a graphics processor's memory. ``numbers`` (their places) and ``seed`` choose tensors' random bits.

    ``counter`` is one float64 on the device, 1 + optimizer steps completed, that the caller advances; without it the
    host's count is taken.
    """

    def __init__(
        self,
        modules: Sequence[Module],
        infos: Sequence[TensorInfo],
        module_of: Sequence[int],
        device: torch.device,
        *,
        edges: Sequence[tuple[int, int, float]] | None = None,
        laplacian: str = "combinatorial",
        coupling: str = "transport",
        numbers: Sequence[int] | None = None,
        seed: int = 0,
        strict: bool = False,
        counter: torch.Tensor | None = None,
    ) -> None:
        gpu_device.check(device)
        super().__init__(modules, infos, module_of, edges, laplacian, coupling)
        self.device = device
        self._numbers = list(range(len(infos))) if numbers is None else list(numbers)
        self._seed = seed
        self._launch = [launcher(module, device, strict=strict) for module in modules]
        self._step = torch.zeros(1, dtype=torch.float64, device=device) if counter is None else counter
        self._fixed, self._live = Mirror(device), Mirror(device)
        self._on_host = any(map(has_calls, modules))
        self._make_live()
        self._make_fixed()
        self._make_scratch()
        self._make_contexts()
        reads_step = any(re.search(r"\bSTEP\b|at_random", module.source) for module in modules)
        self._fills_step = reads_step and counter is None
        self._device_step = -1
        self._ended = -1
        self._library = self._calls_of() if self._on_host else None
        self._sources: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._input_sources: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._guarded: tuple[list[torch.Tensor], torch.Tensor] | None = None
        self._launched = self._contexts
        self.set_active(np.ones(len(infos), dtype=np.bool_))

    # -- what the caller sets ---------------------------------------------------------------------------------------

    def take_hypers(self, sources: Sequence[tuple[int, int, int, torch.Tensor]]) -> None:
        """Columns of rows of ``hyper`` that every step copies from tensors: (first row, end, column, one number)."""
        device = self._live.on_device("HYPER", torch.float64)
        for first, end, column, _ in sources:
            self.hyper[first:end, column] = np.nan  # the host does not know them
        self._sources = [(device.narrow(0, a, b - a).select(1, column), source) for a, b, column, source in sources]

    def take_inputs(self, sources: Mapping[int, torch.Tensor]) -> None:
        """Inputs of the next steps that are copied from tensors of one number, by their place in ``inputs``."""
        if not sources and not self._input_sources:
            return
        device = self._live.on_device("INPUT", torch.float64)
        for place in sources:
            self.inputs[place] = np.nan
        self._input_sources = [(device.select(0, place), source.view(())) for place, source in sources.items()]

    def _set_edges(self, edges: Edges) -> None:
        live, count = self._live, len(edges.to)
        live.view("EDGE_START", np.int64)[:] = edges.start
        live.view("EDGE_TO", np.int64)[:count] = edges.to
        live.view("EDGE_OWN", np.float64)[:count] = edges.own
        live.view("EDGE_OTHER", np.float64)[:count] = edges.other
        live.view("EDGE_MATCHED", np.int64)[:count] = edges.matched

    def _set_neighbours(self, found: Neighbours) -> None:
        live, count = self._live, len(found.tensor)
        live.view("NEIGHBOUR_START", np.int64)[:] = found.start
        live.view("NEIGHBOUR", np.int64)[:count] = found.tensor
        for kind in {np.float32, np.float64}:
            live.view(f"NEIGHBOUR_OWN {kind.__name__}", kind)[:count] = found.own[:-2]
            live.view(f"NEIGHBOUR_OTHER {kind.__name__}", kind)[:count] = found.other[:-2]
        live.view("WINDOW", np.int64)[:count] = found.window

    def _put_layout(self, tensor: int, slot: int | None, found: NDArray[np.int64] | None) -> None:
        row = self._slots if slot is None else slot
        address = 0
        if found is not None:
            if len(found) > _LAYOUT_WORDS:
                raise StateError(f"tensor {tensor} lies in memory along more axes than kernels follow")
            layouts = self._live.view("layouts", np.int64)
            layouts[tensor, row, : len(found)] = found
            address = self._live.address("layouts") + tensor * layouts.strides[0] + row * layouts.strides[1]
        if slot is None:
            self._row_major[tensor] = address
        else:
            self._layout[tensor, slot] = address

    # -- the step ---------------------------------------------------------------------------------------------------

    def run(self, step: int, *, threads: int = 1) -> None:
        """Queues one step on the device's current stream. step: 1 + optimizer steps completed."""
        self.prepare(step, threads=threads)
        self.store()

    def prepare(self, step: int, *, threads: int = 1, finite: torch.Tensor | None = None) -> None:  # noqa: ARG002
        """Brings the device's tables up to date, so that nothing but launches is left of a step.

        finite: one number on the device; where it is 0 no tensor takes part in the step.
        """
        self._calls, self._ended = 0, -1
        if self._moved:
            self._place()
        if self._library is not None:
            self._library.prepare(step)
        with gpu_device.guard(self.device):
            self._live.upload()
            for target, source in (*self._sources, *self._input_sources):
                gpu_device.copy(target, source)
            if self._fills_step and step != self._device_step:
                self._step.fill_(float(step))
            self._launched = self._contexts if finite is None else self._only_if(finite)
        self._device_step = step

    def _only_if(self, finite: torch.Tensor) -> list[torch.Tensor]:
        """Contexts of a step that all tensors are absent from where `finite` is 0."""
        modes = self._live.span("MODE", "LAYER_PRESENT")
        if self._guarded is None:
            taking_part = torch.zeros_like(modes)
            guarded = [context.clone() for context in self._contexts]
            moved = taking_part.data_ptr() - modes.data_ptr()
            for context in guarded:
                for word in (Word.MODE, Word.LAYER_PRESENT):
                    context.select(0, int(word)).add_(moved)
            self._guarded = guarded, taking_part
        contexts, taking_part = self._guarded
        torch.mul(modes, finite, out=taking_part)
        return contexts

    def read(self) -> None:
        """Nothing: what was queued cannot be taken back, so all of a step is queued at once."""

    def store(self, threads: int | None = None) -> None:  # noqa: ARG002 (of other devices)
        """Queues the launches of a prepared step, or what is left of them."""
        if not self._mode.any():
            self._ended = self._manifest["sweeps"]
        with gpu_device.guard(self.device):
            while self._ended < self._manifest["sweeps"]:
                if self._library is not None:
                    self._library.run(self._ended)
                boundary = self._ended + 1
                if boundary:
                    self._sweep(boundary)
                for number, launch in enumerate(self._launches(0)[boundary]):
                    self._between(boundary, number, launch)
                self._ended = boundary
            if self._fills_step and self._device_step >= 0:
                self._step.add_(1.0)
                self._device_step += 1
        if self._library is not None:
            self._library.count()

    def recount(self) -> None:
        """Somebody wrote to the counts of updates: where the host keeps a copy it is to be read again."""
        if self._library is not None:
            self._library.recount()

    def ended(self) -> int:
        """How many sweeps of the step are queued, with the stages after them; -1 before it began."""
        return self._ended

    def begun(self) -> bool:
        """Whether anything of the step was queued."""
        return self._ended >= 0

    def _sweep(self, index: int) -> None:
        for m, programs in enumerate(self._programs):
            self._call(m, f"sweep_{index}", programs, sweep=True)

    def _between(self, boundary: int, number: int, launch: Launch) -> None:
        names = [self._launches(m)[boundary][number]["function"] for m in range(len(self.modules))]
        if launch["grid"] != "one":
            for m, name in enumerate(names):
                self._call(m, name, self._blocks[launch["grid"]][m])
        elif len(names) == 1:
            self._call(0, names[0], 1, FROM=0, UPTO=len(launch["phases"]))
        else:
            for phase, extent in enumerate(launch["phases"]):
                for m, name in enumerate(names if extent == "tensor" else names[:1]):
                    self._call(m, name, 1, FROM=phase, UPTO=phase + 1)

    def _launches(self, module: int) -> list[list[Launch]]:
        return self.modules[module].manifest.get("launches", [])

    def _call(self, module: int, kernel: str, programs: int, *, sweep: bool = False, **phases: int) -> None:
        if programs:
            self._calls += 1
            self._launch[module](kernel, programs, self._launched[module], sweep=sweep, **phases)

    def variant_names(self) -> list[str]:
        """The variant of each tensor in the last run; waits for the device, unless the host has chosen it."""
        if self._on_host:
            return self._variant_names(self._live.view("VARIANT", np.int64).tolist())
        chosen = cast("list[int]", self._variant.tolist())  # pyright: ignore[reportUnknownMemberType]
        return self._variant_names(chosen[: len(self.infos)])

    def buffers(self) -> list[torch.Tensor]:
        """All device memory of these tables."""
        guarded = [] if self._guarded is None else [*self._guarded[0], self._guarded[1]]
        called = [] if self._library is None else self._library.blocks()
        return [self._fixed.block, self._live.block, *self._kept, *self._contexts, *guarded, *called]

    def _calls_of(self) -> GpuLibrary:
        def strides(tensor: int, slot: int) -> tuple[int, ...] | None:
            return self._strides.get((tensor, slot))

        shapes, variant = [info.shape for info in self.infos], self._live.view("VARIANT", np.int64)
        known = self.modules, self.module_of, shapes, self._metadata(), self.hyper, self._mode, variant, self.address
        return GpuLibrary(Tensors(*known, strides, self.device))

    # -- tables -----------------------------------------------------------------------------------------------------

    def _make_live(self) -> None:
        """What a step may find changed."""
        manifest, count, live = self._manifest, len(self.infos), self._live
        slots = self._slots
        edges = len(self._graph.source) if self._graph is not None else 0
        near = self._most_neighbours() if manifest["stencil"] else 0
        live.add("MODE", (count,), np.int64)
        live.add("LAYER_PRESENT", (self._layer_count,), np.int64)
        live.add("HYPER", (count, len(manifest["hypers"])), np.float64)
        live.add("INPUT", (len(manifest["inputs"]),), np.float64)
        live.add("ADDRESS", (count, slots), np.int64)
        live.add("LAYOUT", (count, slots), np.int64)
        live.add("ROW_MAJOR", (count,), np.int64)
        if self._on_host:
            live.add("VARIANT", (count,), np.int64)
        live.add("layouts", (count, slots + 1, _LAYOUT_WORDS), np.int64)
        live.add("EDGE_START", (self._layer_count + 1,), np.int64)
        for name, dtype in (("TO", np.int64), ("OWN", np.float64), ("OTHER", np.float64), ("MATCHED", np.int64)):
            live.add(f"EDGE_{name}", (edges,), dtype)
        live.add("NEIGHBOUR_START", (count + 1,), np.int64)
        live.add("NEIGHBOUR", (near,), np.int64)
        live.add("WINDOW", (near, 3), np.int64)
        for name in ("NEIGHBOUR_OWN", "NEIGHBOUR_OTHER"):
            for kind in (np.float32, np.float64):
                live.add(f"{name} {kind.__name__}", (near,), kind)
        live.place()
        self._mode = live.view("MODE", np.int64)
        self._present = live.view("LAYER_PRESENT", np.int64)
        self.hyper = live.view("HYPER", np.float64)
        self.inputs = live.view("INPUT", np.float64)
        self.address = live.view("ADDRESS", np.int64)
        self._layout = live.view("LAYOUT", np.int64)
        self._row_major = live.view("ROW_MAJOR", np.int64)

    def _most_neighbours(self) -> int:
        assert self._graph is not None
        found = self._graph.edges(np.ones(self._layer_count, dtype=np.bool_))
        return len(neighbours(self._graph, found, self._players, self._roles).tensor)

    def _make_fixed(self) -> None:
        """What stays for as long as the tensors do."""
        manifest, count = self._manifest, len(self.infos)
        shapes = [Shape(*sizes) for sizes in self._views]
        # matched tensors read one another's chunks while these are in the cache
        size = chunk_elements(0 if self._groups else sum(shape.numel for shape in shapes))
        pieces = [cut(t, shape, tiled=manifest["tiled"], size=size) for t, shape in enumerate(shapes)]
        chunks = np.concatenate([np.zeros((0, at.CHUNK_FIELDS), dtype=np.int64), *pieces])
        counts = np.array([len(piece) for piece in pieces], dtype=np.int64)
        first = np.cumsum(counts) - counts
        work = claims(counts, elements_of(chunks), self._groups, np.zeros(count, dtype=np.bool_), size)
        of_chunk = self.module_of[chunks[:, 0]] if count else np.zeros(0, dtype=np.int64)
        layer_of, members, starts = self._layer_members()
        tables: dict[str, NDArray[np.generic]] = {
            "META": self._metadata(),
            "VIEW": np.array([[s.matrices, s.rows, s.cols] for s in shapes], dtype=np.int64).reshape(-1, 3),
            "LAYER_OF": layer_of,
            "LAYER_MEMBER": members,
            "LAYER_START": starts,
            "CHUNK": chunks,
            "PARAMETER": np.array(self._numbers, dtype=np.int64),
        }
        self._programs: list[int] = []
        self._run_counts: list[int] = []
        self._blocks: dict[str, list[int]] = {extent: [] for extent in _VECTORS}
        self._members: list[int] = []
        units = {
            "matrix": [s.matrices for s in shapes],
            "row": [s.matrices * s.rows for s in shapes],
            "col": [s.matrices * s.cols for s in shapes],
        }
        self._widths = {extent: sum(sizes) for extent, sizes in units.items()}
        for extent, sizes in units.items():
            tables[f"{extent.upper()}_OFFSET"] = np.concatenate(([0], np.cumsum(sizes)))[:-1].astype(np.int64)
        split = np.array([parts(s) for s in shapes], dtype=np.int64).reshape(-1, 2)
        self._part_widths: dict[str, int] = {}
        for axis, extent in enumerate(("row", "col")):
            cells = split[:, axis] * np.array(units[extent], dtype=np.int64)
            tables[f"{extent.upper()}_PARTIAL_AT"] = np.cumsum(cells) - cells
            tables[f"{extent.upper()}_PARTS"] = split[:, axis].copy()
            self._part_widths[extent] = int(cells.sum())
        for m in range(len(self.modules)):
            members = np.flatnonzero(self.module_of == m).astype(np.int64)
            run_start, run = runs(first, counts, members.tolist())
            order = work.order[of_chunk[work.order] == m]
            if len(members) and not len(order):  # tensors without elements have counters too
                order = np.array([len(tables["CHUNK"])], dtype=np.int64)
                tables["CHUNK"] = np.concatenate([tables["CHUNK"], idle(int(members[0]))])
            tables |= {f"MEMBERS {m}": members, f"ORDER {m}": order, f"RUN_START {m}": run_start, f"RUN {m}": run}
            self._members.append(len(members))
            self._programs.append(len(order))
            self._run_counts.append(len(run))
            for extent in _VECTORS:
                made = blocks(units[extent], members.tolist(), gpu_abi.VECTOR_LANES[extent])
                tables[f"{extent.upper()}_BLOCK {m}"] = made
                self._blocks[extent].append(len(made))
        self._chunk_count = len(tables["CHUNK"])
        for name, table in tables.items():
            self._fixed.add(name, table.shape, table.dtype.type)
        self._fixed.place()
        for name, table in tables.items():
            self._fixed.view(name, table.dtype.type)[:] = table
        self._fixed.upload()

    def _make_scratch(self) -> None:
        manifest, count = self._manifest, len(self.infos)
        values, totals = manifest["values"], len(manifest["totals"])
        sizes = {
            "TENSOR_VALUE": count * len(values["tensor"]),
            "LAYER_VALUE": self._layer_count * len(values["layer"]),
            "MODEL_VALUE": len(values["model"]),
            "TENSOR_TOTAL": count * totals,
            **{f"{x.upper()}_VALUE": len(values[x]) * self._widths[x] for x in _VECTORS},
        }
        for m in range(len(self.modules)):
            sizes |= {
                f"TENSOR_READ {m}": sizes["TENSOR_VALUE"],
                **{f"{x.upper()}_READ {m}": sizes[f"{x.upper()}_VALUE"] for x in _VECTORS},
                f"ARRIVED {m}": 1,
                f"PARTIAL {m}": self._chunk_count * totals,
                f"RUN_TOTAL {m}": self._run_counts[m] * totals,
                f"ROW_PARTIAL {m}": self._part_widths["row"] * len(values["row"]),
                f"COL_PARTIAL {m}": self._part_widths["col"] * len(values["col"]),
            }
        kept = {name: scratch(words, self.device) for name, words in sizes.items()}
        self._scratch = {name: block.data_ptr() for name, block in kept.items()}
        self._variant = scratch(count, self.device)
        self._kept = [*kept.values(), self._variant, self._step]

    def _make_contexts(self) -> None:
        """What each module's kernels are passed."""
        self._contexts: list[torch.Tensor] = []
        for m, module in enumerate(self.modules):
            double = module.manifest["dtype"]["compute"] == "float64"
            ctx = np.zeros(GpuWord.COUNT, dtype=np.int64)
            for word in (*Word, *GpuWord):
                address = self._address_of(word.name, m, double)
                if address is not None:
                    ctx[word] = address
            numbers = {
                Word.TENSORS: len(self.infos),
                Word.LAYERS: self._layer_count,
                Word.SLOTS: self._slots,
                GpuWord.SEED: self._seed,
                Word.MEMBER_COUNT: self._members[m],
                Word.VARIANT: self._live.address("VARIANT") if self._on_host else self._variant.data_ptr(),
                Word.STEP: self._step.data_ptr(),
                GpuWord.RUNS: self._run_counts[m],
                **{Word[f"{x.upper()}_WIDTH"]: width for x, width in self._widths.items()},
                **{GpuWord[f"{x.upper()}_PARTIAL_WIDTH"]: width for x, width in self._part_widths.items()},
            }
            for word, number in numbers.items():
                ctx[word] = number
            self._contexts.append(torch.tensor(ctx.tolist(), dtype=torch.int64, device=self.device))

    def _address_of(self, name: str, module: int, double: bool) -> int | None:
        """The table of a word: its own, or that of a module or of its compute dtype."""
        if double and name.endswith("_READ"):
            name = name.replace("_READ", "_VALUE")
        kind = "float64" if double else "float32"
        for known in (name, f"{name} {module}", f"{name} {kind}"):
            if known in self._scratch:
                return self._scratch[known]
            for mirror in (self._live, self._fixed):
                if mirror.has(known):
                    return mirror.address(known)
        return None
