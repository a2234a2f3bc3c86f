"""Library calls between the sweeps of kernels on the CPU: scratch memory of tensors, and matrices stacked by shape."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from optgen.runtime.abi import Mode
from optgen.runtime.kernel_module import Call, Manifest, Module, Slot
from optgen.runtime.library_calls import FUNCTIONS, Matrices
from optgen.runtime.rule_info import view

_TYPES: Mapping[str, type[np.generic]] = {
    "float32": np.float32,
    "float64": np.float64,
    "float16": np.float16,
    "bfloat16": np.uint16,
}
#: (matrices, rows, columns) of a tensor as it lies in C-contiguous memory.
Shape3 = tuple[int, int, int]


class Library(Protocol):
    """Who multiplies and decomposes: the framework, or NumPy."""

    def call(self, function: str, x: Matrices, numbers: Sequence[float], out: Matrices) -> None:
        """A library function of matrices (n, rows, cols); x is left as it is."""
        ...

    def copy(self, x: NDArray[np.generic], out: Matrices) -> None:
        """x to where the result lies, converted to its dtype."""
        ...


class NumpyLibrary:
    """For kernels that are run without a framework."""

    def call(self, function: str, x: Matrices, numbers: Sequence[float], out: Matrices) -> None:
        """A library function of matrices (n, rows, cols)."""
        out[...] = FUNCTIONS[function](x, numbers)

    def copy(self, x: NDArray[np.generic], out: Matrices) -> None:
        """x to where the result lies."""
        out[...] = x


@dataclass(frozen=True)
class Memory:
    """What the tables of kernels know: per tensor, with rows of `address` per tensor and columns per slot.

    `strides` gives those of a slot, in elements; None stands for C-contiguous.
    """

    modules: Sequence[Module]
    module_of: NDArray[np.int64]
    shapes: Sequence[tuple[int, ...]]
    mode: NDArray[np.int64]
    variant: NDArray[np.int64]
    address: NDArray[np.int64]
    values: NDArray[np.float64]
    strides: Callable[[int, int], tuple[int, ...] | None]


class LibraryCalls:
    """The calls of one optimizer's kernels, and the scratch memory that their variants need.

    Scratch is given when a tensor first takes a variant with calls, before the first sweep of that step. Tensors of one
    shape have it side by side, so that one call serves them all without a copy. `boundaries` are the sweeps after which
    there is something to do, 0 among them; `done` is the last that was done in this step.
    """

    def __init__(self, memory: Memory, library: Library) -> None:
        self._memory = memory
        self._library = library
        found = {b for m in memory.modules for v in m.manifest["variants"] for b, c in enumerate(calls_of(v)) if c}
        self.boundaries = sorted({0, *found})
        self.done = -1
        self._blocks: dict[tuple[int, int, Shape3], NDArray[np.generic]] = {}
        self._places: dict[tuple[int, int], NDArray[np.generic]] = {}
        self._seen = [in_memory(shape, memory.modules[0].manifest["matrix"]) for shape in memory.shapes]

    def run(self, boundary: int) -> None:
        """What comes after so many sweeps. Run again after an interruption it does the same again."""
        if boundary == 0:
            self._give_scratch()
        for call, tensors, numbers in self._due(boundary):
            self._call(call, tensors, numbers)
        self.done = boundary

    # Scratch

    def _give_scratch(self) -> None:
        """Memory for the scratch slots of all variants that are taken in this step."""
        memory, lacking = self._memory, dict[tuple[int, int, Shape3], list[int]]()
        for t in np.flatnonzero(memory.mode != Mode.ABSENT).tolist():
            m, shape = int(memory.module_of[t]), self._seen[t]
            if 0 in shape:
                continue
            for slot in self._scratch_of(m, int(memory.variant[t])):
                if (t, slot) not in self._places:
                    lacking.setdefault((m, slot, shape), []).append(t)
        for (m, slot, shape), tensors in lacking.items():
            held = [t for t in np.flatnonzero(memory.module_of == m).tolist() if self._seen[t] == shape]
            self._allocate(m, slot, shape, [t for t in held if (t, slot) in self._places or t in tensors])

    def _allocate(self, module: int, slot: int, shape: Shape3, tensors: Sequence[int]) -> None:
        kind = _TYPES[self._slots(module)[slot]["dtype"]]
        block = np.empty((len(tensors) * shape[0], *shape[1:]), dtype=kind)
        self._blocks[module, slot, shape] = block
        for i, t in enumerate(tensors):
            place = block[i * shape[0] : (i + 1) * shape[0]]
            self._places[t, slot] = place
            self._memory.address[t, slot] = place.ctypes.data

    def _scratch_of(self, module: int, variant: int) -> list[int]:
        return scratch_of(self._memory.modules[module].manifest, variant)

    def _slots(self, module: int) -> Sequence[Slot]:
        return self._memory.modules[module].manifest["slots"]

    # Calls

    def _due(self, boundary: int) -> Iterable[tuple[Call, list[int], tuple[float, ...]]]:
        """The calls after so many sweeps, each with the tensors of one shape whose numbers are equal."""
        memory = self._memory
        found: dict[tuple[int, int, int, Shape3, tuple[float, ...]], tuple[Call, list[int]]] = {}
        for t in np.flatnonzero(memory.mode == Mode.ACTIVE).tolist():
            m, v = int(memory.module_of[t]), int(memory.variant[t])
            if 0 in self._seen[t]:
                continue
            calls = calls_of(memory.modules[m].manifest["variants"][v])
            for number, call in enumerate(calls[boundary] if calls else ()):
                numbers = tuple(memory.values[t, call["numbers"]].tolist())
                found.setdefault((m, v, number, self._seen[t], numbers), (call, []))[1].append(t)
        ordered = sorted(found.items(), key=lambda item: item[0][:3])
        return [(call, tensors, key[4]) for key, (call, tensors) in ordered]

    def _call(self, call: Call, tensors: list[int], numbers: tuple[float, ...]) -> None:
        m, shape = int(self._memory.module_of[tensors[0]]), self._seen[tensors[0]]
        target = self._stacked(call["target"], tensors)
        x = self._stacked(call["operand"], tensors)
        if x is None:
            kind = _TYPES[self._slots(m)[call["target"]]["dtype"]]
            x = np.empty((len(tensors) * shape[0], *shape[1:]), dtype=kind)
            for i, t in enumerate(tensors):
                self._library.copy(self._held(t, call["operand"]), _float(x[i * shape[0] : (i + 1) * shape[0]]))
        out = np.empty_like(x) if target is None else target
        self._library.call(call["function"], _float(x), numbers, _float(out))
        if target is None:
            for i, t in enumerate(tensors):
                part = out[i * shape[0] : (i + 1) * shape[0]]
                self._library.copy(part, _float(self._places[t, call["target"]]))

    def _stacked(self, slot: int, tensors: Sequence[int]) -> NDArray[np.generic] | None:
        """The matrices of all these tensors as one stack, if they lie side by side."""
        m, shape = int(self._memory.module_of[tensors[0]]), self._seen[tensors[0]]
        block = self._blocks.get((m, slot, shape))
        if block is None:
            return None
        starts = [int(self._memory.address[t, slot]) - block.ctypes.data for t in tensors]
        size = block.itemsize * int(np.prod(shape))
        if starts != [starts[0] + i * size for i in range(len(starts))]:
            return None
        first = starts[0] // size * shape[0]
        return block[first : first + len(tensors) * shape[0]]

    def _held(self, t: int, slot: int) -> NDArray[np.generic]:
        """A tensor's slot as matrices, in float32 or wider."""
        if (t, slot) in self._places:
            return self._places[t, slot]
        about = self._slots(int(self._memory.module_of[t]))[slot]
        x = _at(
            int(self._memory.address[t, slot]), about["dtype"], self._memory.shapes[t], self._memory.strides(t, slot)
        )
        if about["dtype"] == "bfloat16":
            x = (x.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return x.reshape(self._seen[t])


def has_calls(module: Module) -> bool:
    """Whether any variant of a module makes library calls."""
    return any(after for variant in module.manifest["variants"] for after in calls_of(variant))


def calls_of(variant: Mapping[str, object]) -> Sequence[Sequence[Call]]:
    """The library calls of a variant after so many sweeps, 0 first; empty where it makes none."""
    return cast("Sequence[Sequence[Call]]", variant.get("calls", ()))


def scratch_of(manifest: Manifest, variant: int) -> list[int]:
    """The scratch slots that the calls of a variant read and write."""
    calls = [call for after in calls_of(manifest["variants"][variant]) for call in after]
    slots = {slot for call in calls for slot in (call["operand"], call["target"])}
    return sorted(slot for slot in slots if manifest["slots"][slot]["role"] == "scratch")


def in_memory(shape: tuple[int, ...], matrix: str) -> Shape3:
    """A tensor's matrices as they lie in C-contiguous memory: what is turned to be wide is not turned there."""
    matrices, rows, cols = view(shape, matrix)
    if matrix == "wide" and len(shape) > 1 and shape[0] > rows:
        rows, cols = cols, rows
    return matrices, rows, cols


def _at(address: int, dtype: str, shape: tuple[int, ...], strides: tuple[int, ...] | None) -> NDArray[np.generic]:
    """Elements that lie at an address."""
    kind = np.dtype(_TYPES[dtype])
    if strides is None:
        strides = tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape)))
    span = 1 + sum((size - 1) * step for size, step in zip(shape, strides, strict=True))
    held = memoryview((ctypes.c_byte * (span * kind.itemsize)).from_address(address))
    words: NDArray[np.generic] = np.frombuffer(held, dtype=kind)
    return np.lib.stride_tricks.as_strided(words, shape, [step * kind.itemsize for step in strides])


def _float(x: NDArray[np.generic]) -> Matrices:
    return cast(Matrices, x)
