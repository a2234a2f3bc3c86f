"""Library calls between the sweeps of kernels on a graphics processor, queued on torch's current stream.

The host has to know which tensors a call is for, without waiting for the device. So it chooses the variants of these
kernels itself, by functions of their module: from hypers, metadata and counts of steps, which it keeps a copy of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from optgen.errors import UsageError
from optgen.runtime import gpu_device, torch_library
from optgen.runtime.abi import Mode
from optgen.runtime.chunks import contiguous
from optgen.runtime.kernel_module import Call, Known, Manifest, Module, Variant
from optgen.runtime.library import Shape3, calls_of, in_memory, scratch_of
from optgen.runtime.torch_storage import TORCH_DTYPES

#: Module and shape: tensors that may share a call.
_Kind: TypeAlias = tuple[int, Shape3]


@dataclass(frozen=True)
class Tensors:
    """What tables on the host know, as in :class:`optgen.runtime.library.Memory`; `meta` has a row per tensor."""

    modules: Sequence[Module]
    module_of: NDArray[np.int64]
    shapes: Sequence[tuple[int, ...]]
    meta: NDArray[np.float64]
    hyper: NDArray[np.float64]
    mode: NDArray[np.int64]
    variant: NDArray[np.int64]
    address: NDArray[np.int64]
    strides: Callable[[int, int], tuple[int, ...] | None]
    device: torch.device


@dataclass(frozen=True)
class _Batch:
    """Tensors of one kind, variant and numbers, which lie from first to end in scratch."""

    kind: _Kind
    variant: int
    tensors: Sequence[int]
    first: int
    end: int


class GpuLibrary:
    """The calls of one optimizer's kernels, the variants of its tensors, and the scratch memory these need.

    `prepare` comes before a step's tables go to the device, `run` after each sweep, `count` at the step's end.
    """

    def __init__(self, tensors: Tensors) -> None:
        self._tensors = tensors
        manifest = tensors.modules[0].manifest
        self._shapes = [in_memory(shape, manifest["matrix"]) for shape in tensors.shapes]
        self._values = np.zeros((len(tensors.shapes), len(manifest["values"]["tensor"])))
        self._members = [np.flatnonzero(tensors.module_of == m) for m in range(len(tensors.modules))]
        self._reads_updates = any("updates" in known(module)["counters"] for module in tensors.modules)
        self._updates = np.ones(len(tensors.shapes))
        self._counters: NDArray[np.int64] | None = None
        self._batches: list[_Batch] = []
        self._arranged: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]] | None = None
        self._blocks: dict[tuple[int, int, Shape3], torch.Tensor] = {}
        self._held: dict[tuple[int, int], tuple[tuple[int, tuple[int, ...] | None], torch.Tensor]] = {}
        self._done = -1
        self._counted = True

    def prepare(self, step: int) -> None:
        """Chooses the variants of a step, and gives those with calls their scratch. step: 1 + steps completed."""
        self._done, self._counted = -1, False
        if self._reads_updates:
            self._follow_counters()
        self._choose(np.float64(step))
        mode, variant = self._tensors.mode, self._tensors.variant
        now = mode, variant, self._values
        if self._arranged is None or not all(map(np.array_equal, now, self._arranged)):
            self._arranged = None
            self._arrange()
            self._arranged = mode.copy(), variant.copy(), self._values.copy()

    def run(self, boundary: int) -> None:
        """Makes the calls after so many sweeps, once."""
        if boundary <= self._done:
            return
        with torch.no_grad():
            for batch in self._batches:
                calls = calls_of(self._tensors.modules[batch.kind[0]].manifest["variants"][batch.variant])
                for call in calls[boundary] if calls else ():
                    self._call(batch, call)
        self._done = boundary

    def count(self) -> None:
        """Counts the updates of a step, once: of tensors with a gradient whose variant does not skip."""
        if self._counted:
            return
        tensors = self._tensors
        for module, rows in zip(tensors.modules, self._members, strict=True):
            counting = np.array([_counts(module.manifest, variant) for variant in module.manifest["variants"]])
            self._updates[rows] += (tensors.mode[rows] == Mode.ACTIVE) & counting[tensors.variant[rows]]
        self._counted = True

    def recount(self) -> None:
        """The next step reads the counts of updates from the device."""
        self._counters = None

    def blocks(self) -> list[torch.Tensor]:
        """All scratch memory."""
        return list(self._blocks.values())

    # -- choosing ---------------------------------------------------------------------------------------------------

    def _follow_counters(self) -> None:
        """Reads the counts from the device where they are others than those that were counted here."""
        tensors = self._tensors
        slots = [[s["role"] for s in module.manifest["slots"]].index("counter") for module in tensors.modules]
        places = tensors.address[np.arange(len(tensors.shapes)), np.array(slots)[tensors.module_of]]
        if self._counters is None or not np.array_equal(places, self._counters):
            there = places != 0
            self._updates[there] = 1.0 + np.array(gpu_device.counts(places[there].tolist(), tensors.device))
            self._counters = places

    def _choose(self, step: np.float64) -> None:
        """The variant of every tensor, and the numbers of its calls."""
        tensors = self._tensors
        with np.errstate(all="ignore"):
            for module, rows in zip(tensors.modules, self._members, strict=True):
                assert module.host is not None, "kernels with calls come with what the host does"
                given = tensors.hyper[rows], tensors.meta[rows], self._updates[rows], step
                select = module.host["select"]
                tensors.variant[rows] = 0 if select is None else select(*given)
                for variant, numbers in module.host["numbers"].items():
                    mine = tensors.variant[rows] == variant
                    for column, found in numbers(*given).items():
                        self._values[rows[mine], column] = np.broadcast_to(found, mine.shape)[mine]

    # -- scratch ----------------------------------------------------------------------------------------------------

    def _arrange(self) -> None:
        """Puts the tensors of each call side by side in scratch."""
        tensors = self._tensors
        kinds: dict[_Kind, list[int]] = {}
        for t in np.flatnonzero(tensors.mode != Mode.ABSENT).tolist():
            m, shape = int(tensors.module_of[t]), self._shapes[t]
            if 0 not in shape and self._calls(t):
                kinds.setdefault((m, shape), []).append(t)
        self._batches = []
        for kind, found in kinds.items():
            ordered = sorted(found, key=self._order)
            self._place(kind, ordered)
            self._batch(kind, ordered)

    def _calls(self, t: int) -> Sequence[Sequence[Call]]:
        tensors = self._tensors
        return calls_of(tensors.modules[int(tensors.module_of[t])].manifest["variants"][int(tensors.variant[t])])

    def _order(self, t: int) -> tuple[object, ...]:
        """What tensors of one kind are sorted by: equal calls are neighbours, those without a gradient apart."""
        return int(self._tensors.variant[t]), *self._numbers(t), bool(self._tensors.mode[t] != Mode.ACTIVE), t

    def _numbers(self, t: int) -> tuple[float, ...]:
        """The numbers of all calls of a tensor."""
        columns = [column for after in self._calls(t) for call in after for column in call["numbers"]]
        return tuple(self._values[t, columns].tolist())

    def _place(self, kind: _Kind, ordered: Sequence[int]) -> None:
        tensors, (m, shape) = self._tensors, kind
        manifest = tensors.modules[m].manifest
        for slot in sorted({s for t in ordered for s in scratch_of(manifest, int(tensors.variant[t]))}):
            block = self._blocks.get((m, slot, shape))
            if block is None or len(block) < len(ordered) * shape[0]:
                self._blocks.pop((m, slot, shape), None)
                dtype = TORCH_DTYPES[manifest["slots"][slot]["dtype"]]
                block = torch.empty((len(ordered) * shape[0], *shape[1:]), dtype=dtype, device=tensors.device)
                self._blocks[m, slot, shape] = block
            size = shape[0] * shape[1] * shape[2] * block.element_size()
            tensors.address[np.array(ordered), slot] = block.data_ptr() + size * np.arange(len(ordered))

    def _batch(self, kind: _Kind, ordered: Sequence[int]) -> None:
        """Those with a gradient in runs of equal calls."""
        keys = [self._order(t)[:-1] for t in ordered]
        ends = [i for i in range(1, len(keys)) if keys[i] != keys[i - 1]]
        for first, end in zip([0, *ends], [*ends, len(keys)], strict=True):
            t = ordered[first]
            if self._tensors.mode[t] == Mode.ACTIVE:
                self._batches.append(_Batch(kind, int(self._tensors.variant[t]), ordered[first:end], first, end))

    # -- calls ------------------------------------------------------------------------------------------------------

    def _call(self, batch: _Batch, call: Call) -> None:
        numbers = tuple(self._values[batch.tensors[0], call["numbers"]].tolist())
        out = self._stack(batch, call["target"])
        torch_library.FUNCTIONS[call["function"]](self._stack(batch, call["operand"]), numbers, out)

    def _stack(self, batch: _Batch, slot: int) -> torch.Tensor:
        """The matrices of a batch one after the other: scratch as it is, a copy of what lies elsewhere."""
        m, shape = batch.kind
        block = self._blocks.get((m, slot, shape))
        if block is not None:
            return block.narrow(0, batch.first * shape[0], (batch.end - batch.first) * shape[0])
        held = [self._matrices(t, slot) for t in batch.tensors]
        manifest = self._tensors.modules[m].manifest
        return (torch.cat(held) if len(held) > 1 else held[0]).to(TORCH_DTYPES[manifest["dtype"]["compute"]])

    def _matrices(self, t: int, slot: int) -> torch.Tensor:
        """A tensor's slot as (matrices, rows, columns), over its own memory where that lies in order."""
        tensors = self._tensors
        shape, strides = tensors.shapes[t], tensors.strides(t, slot)
        key = int(tensors.address[t, slot]), strides
        known_ = self._held.get((t, slot))
        if known_ is None or known_[0] != key:
            dtype = TORCH_DTYPES[tensors.modules[int(tensors.module_of[t])].manifest["slots"][slot]["dtype"]]
            steps = strides if strides is not None else contiguous(shape)
            known_ = key, gpu_device.memory(key[0], dtype, shape, steps, tensors.device)
            self._held[t, slot] = known_
        return known_[1].reshape(self._shapes[t])


def known(module: Module) -> Known:
    """What the host reads to make a module's calls: nothing where there are none."""
    return module.manifest.get("host", {"hypers": (), "counters": ()})


def check_capturable(modules: Sequence[Module], class_name: str) -> None:
    """UsageError for kernels whose step no CUDA graph can hold."""
    for module in modules:
        functions = {
            call["function"] for v in module.manifest.get("variants", ()) for after in calls_of(v) for call in after
        }
        why = ""
        if known(module)["counters"]:
            why = (
                "decides by its counts of steps which matrices a library is called for, and a graph repeats one choice"
            )
        elif functions & torch_library.WAITING:
            why = f"calls torch's {', '.join(sorted(functions & torch_library.WAITING))}, which waits for the device"
        if why:
            raise UsageError(f"capturable=True cannot be served: {class_name} {why}. Leave it out")


def _counts(manifest: Manifest, variant: Variant) -> bool:
    """Whether a variant counts an update."""
    counter = next(slot["name"] for slot in manifest["slots"] if slot["role"] == "counter")
    return any(counter in names for names in variant.get("stored", ()))
