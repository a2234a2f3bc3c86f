"""The reference backend: a step in float64 by the interpreter that is a rule's meaning, on the same tables as kernels.

Slow, for checking and for teaching: it copies every tensor to float64 and rounds once when it writes back.
"""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from optgen.errors import BackendError
from optgen.runtime import abi
from optgen.runtime.kernel_module import Manifest, Module, Slot
from optgen.runtime.rule_info import COUPLING, MAXIMIZE, Hypers, HyperValue, RuleInfo, Settled, meta_of
from optgen.runtime.storage import NARROW, DtypeSet
from optgen.runtime.tables import TensorInfo

if TYPE_CHECKING:
    from optgen.runtime.torch_plan import Part, Plan

Array = NDArray[np.float64]

_ELEMENT = {
    "float32": ctypes.c_float,
    "float64": ctypes.c_double,
    "int64": ctypes.c_int64,
    "bfloat16": ctypes.c_uint16,
    "float16": ctypes.c_uint16,
}


@dataclass
class ReferenceTensor:
    """One parameter as the interpreter sees it. A step replaces `values` (the parameter and its state, by slot name,
    in float64) and advances `t`; `gradient` is None where there is none."""

    info: TensorInfo
    hypers: Mapping[str, HyperValue]
    values: dict[str, Array]
    gradient: Array | None
    t: int


class Interpreter(Protocol):
    """What `optgen.verify.reference` offers this backend."""

    def torch_slots(self, origin: str, hypers: Mapping[str, HyperValue], dtype: str) -> list[Slot]:
        """The memory that kernels of the rule found at `origin` would have for what these values settle."""
        ...

    def torch_words(self, x: Array, dtype: str) -> NDArray[np.uint16]:
        """Numbers rounded once to bfloat16 or float16, as words of memory."""
        ...

    def torch_step(
        self,
        origin: str,
        tensors: Sequence[ReferenceTensor],
        *,
        step: int,
        inputs: Mapping[str, float],
        maximize: bool,
        edges: Sequence[tuple[int, int, float]] | None,
        laplacian: str,
        coupling: str,
    ) -> None:
        """One step of the rule found at `origin`, in place; `step` counts from 1."""
        ...


def interpreter(rule: RuleInfo) -> Interpreter:
    """The interpreter; a BackendError says why there is none."""
    if not rule.origin:
        raise BackendError(
            f'backend "reference" interprets the text of {rule.name}, which this class was built without; '
            f"compile it with optgen.compile, or use another backend"
        )
    try:
        return cast(Interpreter, importlib.import_module("optgen.verify.reference"))
    except ImportError as error:
        raise BackendError(
            f'backend "reference" needs the compiler, which is not complete here ({error}); backend "numba" would serve'
        ) from error


#: Slots by rule text, settled choices and dtype.
_slots: dict[tuple[str, str, str], list[Slot]] = {}


def module(rule: RuleInfo, settled: Settled, dtype: str, hypers: Hypers) -> Module:
    """What stands in for a kernel module: the slots that kernels would have, and no kernels."""
    if DtypeSet.parse(dtype).stochastic:
        raise BackendError('backend "reference" rounds to the nearest; leave stochastic_rounding to backend="numba"')
    if DtypeSet.parse(dtype).scaled:
        raise BackendError('backend "reference" takes gradients as they are; divide them by the scale before')
    key = (rule.digest, repr(sorted(settled.items())), dtype)
    if key not in _slots:
        values = dict(hypers) | {name: settled[name] for name in (MAXIMIZE, COUPLING) if name in settled}
        _slots[key] = interpreter(rule).torch_slots(_origin(rule), values, dtype)
    manifest = {
        "abi": abi.VERSION,
        "rule": rule.name,
        "class": rule.class_name,
        "digest": rule.digest,
        "backend": "reference",
        "settled": settled,
        "slots": _slots[key],
        "barriers": ["model"] if rule.layers else [],
        "hypers": [hyper.name for hyper in rule.hypers if hyper.kind not in ("choice", "list")],
        "inputs": [given.name for given in rule.inputs],
    }
    return Module(cast(Manifest, manifest), {}, "optgen.verify.reference", "", None)


def _origin(rule: RuleInfo) -> str:
    return rule.name if rule.origin == "shipped" else rule.origin


class ReferenceTables:
    """Stands in for the kernels' tables."""

    coupled = True

    def __init__(self, plan: Plan, part: Part, laplacian: str, coupling: str) -> None:
        self._plan, self._part = plan, part
        self._infos = plan.infos(part)
        self._laplacian, self._coupling = laplacian, coupling
        self._interpreter = interpreter(plan.rule)
        manifest = part.modules[0].manifest
        self._hypers = list(manifest["hypers"])
        self._slots: list[list[Slot]] = [part.modules[i].manifest["slots"] for i in part.module_of]
        self._names = list(manifest["inputs"])
        count = len(part.members)
        self.hyper: Array = np.zeros((count, len(self._hypers)))
        self.address: NDArray[np.int64] = np.zeros((count, len(manifest["slots"])), dtype=np.int64)
        self.inputs: Array = np.zeros(len(self._names))
        self._layout: dict[tuple[int, int], tuple[int, ...] | None] = {}
        self._active: NDArray[np.bool_] = np.ones(count, dtype=np.bool_)
        self._number, self._ended = 0, -1
        self._stepped: list[ReferenceTensor] = []

    def set_layout(self, tensor: int, slot: int, strides: tuple[int, ...] | None) -> None:
        """Element strides of a slot's tensor; None where it is contiguous."""
        self._layout[tensor, slot] = strides

    def set_active(self, active: NDArray[np.bool_]) -> None:
        """Which tensors have a gradient."""
        self._active = active.copy()

    def calls(self) -> int:
        """Calls into compiled code: none."""
        return 0

    def variant_names(self) -> list[str]:
        """The interpreter has no variants."""
        return ["reference"] * len(self._infos)

    def prepare(self, step: int, *, threads: int) -> None:
        """Begins a step; `threads` does not matter here."""
        del threads
        self._number, self._ended, self._stepped = step, -1, []

    def read(self) -> None:
        """Works out the step without storing anything."""
        tensors = [self._tensor(i) for i in range(len(self._infos))]
        self._interpreter.torch_step(
            _origin(self._plan.rule),
            tensors,
            step=self._number,
            inputs=dict(zip(self._names, map(float, self.inputs), strict=True)),
            maximize=bool(self._part.settled[MAXIMIZE]),
            edges=self._plan.edges,
            laplacian=self._laplacian,
            coupling=self._coupling,
        )
        self._stepped = tensors
        self._ended = 0

    def store(self, threads: int | None = None) -> None:
        """Works out the step, if that was not done, and stores it; again where an exception came in between."""
        del threads
        if self._ended < 0:
            self.read()
        self._ended = 1
        for i, tensor in enumerate(self._stepped):
            for j, slot in enumerate(self._slots[i]):
                if slot["role"] == "counter":
                    self._view(i, j)[...] = tensor.t
                elif slot["role"] != "gradient" and self.address[i, j]:
                    x, dtype = tensor.values[slot["name"]], slot["dtype"]
                    self._view(i, j)[...] = self._interpreter.torch_words(x, dtype) if dtype in NARROW else x

    def begun(self) -> bool:
        """Whether anything of the step may be stored."""
        return self._ended > 0

    def _tensor(self, i: int) -> ReferenceTensor:
        values = {
            slot["name"]: self._numbers(i, j)
            for j, slot in enumerate(self._slots[i])
            if slot["role"] in ("param", "state") and (self.address[i, j] or 0 in self._shape(i, slot))
        }
        gradients = [j for j, slot in enumerate(self._slots[i]) if slot["role"] == "gradient"]
        gradient = np.stack([self._numbers(i, j) for j in gradients]) if self._active[i] else None
        if gradient is not None and not self._plan.rule.gradients:
            gradient = gradient[0]
        counter = next(j for j, slot in enumerate(self._slots[i]) if slot["role"] == "counter")
        return ReferenceTensor(self._infos[i], self._hypers_of(i), values, gradient, int(self._view(i, counter)[()]))

    def _hypers_of(self, i: int) -> Hypers:
        """The live numbers, and the choices, which are settled."""
        live: dict[str, HyperValue] = dict(self._plan.members[self._part.members[i]].hypers)
        for name, number in zip(self._hypers, self.hyper[i], strict=True):
            kind = self._plan.rule.hyper(name).kind
            live[name] = bool(number) if kind == "bool" else int(number) if kind == "int" else float(number)
        return live

    def _shape(self, i: int, slot: Slot) -> tuple[int, ...]:
        info = self._infos[i]
        meta = meta_of(info.shape, self._plan.rule.matrix, info.depth, info.role)
        shapes = {
            "elem": info.shape,
            "row": (meta.matrices, meta.rows),
            "col": (meta.matrices, meta.cols),
            "matrix": (meta.matrices,),
        }
        return shapes.get(slot["extent"], ())

    def _numbers(self, i: int, j: int) -> Array:
        """What a slot holds."""
        held = self._view(i, j)
        match self._slots[i][j]["dtype"]:
            case "float16":
                return held.astype(np.uint16).view(np.float16).astype(np.float64)
            case "bfloat16":
                return (held.astype(np.uint32) << np.uint32(16)).view(np.float32).astype(np.float64)
            case _:
                return held.astype(np.float64)

    def _view(self, i: int, j: int) -> NDArray[np.float64]:
        """A slot's memory as an array."""
        slot = self._slots[i][j]
        shape = self._shape(i, slot)
        strides = self._layout.get((i, j))
        element = _ELEMENT[slot["dtype"]]
        if 0 in shape:
            return np.zeros(shape)
        if strides is None:
            strides = tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape)))
        reach = sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True)) + 1
        flat = np.ctypeslib.as_array((element * reach).from_address(int(self.address[i, j])))
        steps = [stride * ctypes.sizeof(element) for stride in strides]
        return np.lib.stride_tricks.as_strided(flat, shape, steps)
