"""Kernels under Keras on torch: the tables of torch's optimizers over the memory of Keras's own variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from optgen.errors import BackendError, GradientError, PartialStepError, UsageError
from optgen.runtime import array_modules, modules
from optgen.runtime.array_program import Value
from optgen.runtime.array_step import shape_of
from optgen.runtime.chunks import contiguous
from optgen.runtime.gpu_tables import GpuTables
from optgen.runtime.keras_layout import Layout, Part, Values, Variable
from optgen.runtime.kernel_module import Manifest, Module
from optgen.runtime.library import has_calls
from optgen.runtime.progress import through_interrupts
from optgen.runtime.rule_info import UNITS
from optgen.runtime.storage import DtypeSet, plain_set
from optgen.runtime.tables import Tables, TensorInfo
from optgen.runtime.torch_library import TorchLibrary
from optgen.runtime.torch_plan import hyper_row
from optgen.runtime.torch_state import touched_always
from optgen.runtime.torch_storage import DTYPES, TORCH_DTYPES, computed

PARAM, GRADIENT = 0, 1
_PARTLY = (
    "a step was cut while it stored: parameters and state are of two different steps. Load a checkpoint into the model "
    "and its optimizer before going on"
)

Gradients: TypeAlias = Mapping[int, Tensor]


class Engine:
    """Which kernels step a layout, looked for once for all steps alike; `reason` says why there are none."""

    def __init__(self, backend: str | None) -> None:
        self.backend, self.reason = backend, ""
        self._kernels: Kernels | None = None
        self._layout: Layout | None = None
        self._parts: Sequence[Part | None] = ()
        self._taken: tuple[str, ...] = ()

    def kernels(
        self, layout: Layout, values: Values, variables: Sequence[Variable], gradients: Gradients
    ) -> Kernels | None:
        """The kernels for gradients of these dtypes, or None where functions of arrays step.

        BackendError, and UsageError for what kernels do not take, if the caller has named a backend that cannot serve.
        """
        if self.backend == array_modules.BACKEND:
            self.reason = f'backend="{self.backend}"'
            return None
        taken = _taken(layout, gradients)
        known = self._layout is layout and self._parts is layout.parts and self._taken == taken
        if not known or (self._kernels is not None and not self._kernels.in_place()):
            self._kernels, self._layout, self.reason = None, None, ""
            try:
                self._kernels = Kernels(layout, values, variables, taken, self.backend)
            except (BackendError, UsageError) as error:
                if self.backend is not None:
                    raise
                self.reason = str(error)
            self._layout, self._parts, self._taken = layout, layout.parts, taken
        return self._kernels


class Kernels:
    """The kernels of one layout. BackendError, or UsageError, where they cannot be had or do not take its variables."""

    def __init__(
        self, layout: Layout, values: Values, variables: Sequence[Variable], taken: Sequence[str], backend: str | None
    ) -> None:
        if layout.rule.gradient_count(values):
            raise BackendError(f"kernels take one gradient per variable, and {layout.rule.name} has several here")
        self.layout, self.taken = layout, [TORCH_DTYPES.get(dtype) for dtype in taken]
        members = [i for i, part in enumerate(layout.parts) if part is not None]
        device = _device([variables[i] for i in members])
        self.device = device
        self.backend = modules.choose_backend(backend, device.type)
        if self.backend == modules.REFERENCE:
            raise BackendError(f'backend "{self.backend}" does not step variables of Keras; leave it out')
        self.counters = torch.zeros(len(layout.parts), dtype=torch.float32, device=device)
        together: dict[int, list[int]] = {}
        for i in members:
            together.setdefault(id(_part(layout, i).program), []).append(i)
        self.groups = [_Group(self, values, variables, indices, taken) for indices in together.values()]
        self.params = [tensor_of(variables[i]) for i in members]
        self.strides = [tensor_of(variable).stride() for variable in variables]

    def in_place(self) -> bool:
        """Whether all variables are where they were; what only moved is followed."""
        return all(group.follow() for group in self.groups)

    def run(self, values: Mapping[str, Value], step: int, gradients: Gradients) -> None:
        """One step, in place; `step` is 1 + steps completed. An exception finds all old or all new, or is a
        PartialStepError."""
        for i, gradient in gradients.items():
            if gradient.device != self.device:
                path = self.layout.paths[i]
                raise GradientError(f'the gradient of "{path}" is on {gradient.device}, the variable on {self.device}')
        given = {i: self._dense(i, gradient) for i, gradient in gradients.items()}
        for group in self.groups:
            group.take(values, given)
        updates = None if self.layout.updates is None else tensor_of(self.layout.updates)
        if updates is not None:
            self.counters.copy_(updates)
        casts = [cast for group in self.groups for cast in group.casts]
        for cast in casts:
            cast.copy.copy_(tensor_of(cast.variable))
        tables = [group.tables for group in self.groups]
        for each in tables:
            each.prepare(step, threads=torch.get_num_threads())
        try:
            self._store(tables)
        finally:
            for cast in casts:
                tensor_of(cast.variable).copy_(cast.copy)
            if updates is not None:
                updates.copy_(self.counters)
            torch.autograd.graph.increment_version(self.params)

    def _store(self, tables: Sequence[Tables | GpuTables]) -> None:
        """Runs the sweeps: those that only read, of all tables, first; what has begun to store is finished."""
        try:
            if len(tables) > 1:
                for each in tables:
                    each.read()
            for each in tables:
                each.store()
        except BaseException as error:
            if any(each.begun() for each in tables):
                try:
                    through_interrupts(lambda: _finish(tables))
                except Exception as failure:
                    raise PartialStepError(_PARTLY) from failure
                if not isinstance(error, Exception):
                    error.add_note("the step was finished before")
            raise

    def _dense(self, index: int, gradient: Tensor) -> Tensor:
        """A gradient as kernels take it: in their dtype, and in memory as its variable is."""
        wanted, dtype = self.strides[index], self.taken[index] or gradient.dtype
        if gradient.dtype == dtype and gradient.stride() == wanted:
            return gradient
        return torch.empty_strided(gradient.shape, wanted, dtype=dtype, device=self.device).copy_(gradient)


def _finish(tables: Sequence[Tables | GpuTables]) -> None:
    for each in tables:
        each.store(threads=1)


@dataclass(frozen=True)
class _Cast:
    """A state that kernels keep in another dtype than Keras, and the copy that they work on."""

    variable: Variable
    copy: Tensor


@dataclass(frozen=True)
class _Fixed:
    """A variable that kernels step where it is, its place in their tables, and how it lies in memory."""

    row: int
    column: int
    variable: Variable
    dtype: torch.dtype
    device: torch.device
    stride: tuple[int, ...]


class _Group:
    """Variables that one set of tables steps: those with the same settled choices."""

    def __init__(
        self,
        kernels: Kernels,
        values: Values,
        variables: Sequence[Variable],
        indices: Sequence[int],
        taken: Sequence[str],
    ) -> None:
        layout = kernels.layout
        self.rule, self.indices = layout.rule, list(indices)
        self.leaves = [_part(layout, i).leaf for i in indices]
        dtypes = [plain_set(leaf.dtype, taken[i]) for i, leaf in zip(indices, self.leaves, strict=True)]
        found: dict[str, Module] = {}
        for i, each in zip(indices, dtypes, strict=True):
            if str(each) not in found:
                known = {**values, **layout.own(i)}
                found[str(each)] = modules.find(layout.rule, layout.settled(known), str(each), kernels.backend, known)
        self.modules = list(found.values())
        self.module_of = [list(found).index(str(each)) for each in dtypes]
        manifest = self.modules[0].manifest
        self.hypers: list[str] = list(manifest["hypers"])
        self.inputs: list[str] = list(manifest["inputs"])
        self.own = self._own_values()
        self.tables = self._tables(layout, dtypes, kernels.device)
        held = [[variables[i], *layout.slots[i].values()] for i in indices]
        self.turned = [self._turned(row, [*map(tensor_of, own)]) for row, own in enumerate(held)]
        self.casts: list[_Cast] = []
        self.fixed: list[_Fixed] = []
        self.scratch: list[Tensor] = []
        for row, i in enumerate(indices):
            self._fix(row, PARAM, variables[i])
            self._lay(row, GRADIENT, tensor_of(variables[i]).stride())
            self._add_slots(row, layout.slots[i], kernels.counters[i])
        self.pointers: list[int] = []
        self.follow()

    def follow(self) -> bool:
        """Writes the addresses of variables where they have changed. False if one is not as it was."""
        tensors = [tensor_of(fixed.variable) for fixed in self.fixed]
        pointers = [tensor.data_ptr() for tensor in tensors]
        if pointers == self.pointers:
            return True
        for fixed, tensor in zip(self.fixed, tensors, strict=True):
            if (tensor.dtype, tensor.device, tensor.stride()) != (fixed.dtype, fixed.device, fixed.stride):
                return False
            self.tables.address[fixed.row, fixed.column] = tensor.data_ptr()
        self.pointers = pointers
        return True

    def take(self, values: Mapping[str, Value], gradients: Gradients) -> None:
        """Takes over hyper-parameters, inputs and gradients of the next step."""
        tables = self.tables
        tables.hyper[:] = hyper_row(self.hypers, values)
        for rows, column, numbers in self.own:
            tables.hyper[rows, column] = numbers
        if self.inputs:
            tables.inputs[:] = [float(values[name]) for name in self.inputs]
        tables.set_active(np.array([i in gradients for i in self.indices], dtype=np.bool_))
        tables.address[:, GRADIENT] = [gradients[i].data_ptr() if i in gradients else 0 for i in self.indices]

    def _manifest(self, row: int) -> Manifest:
        return self.modules[self.module_of[row]].manifest

    def _own_values(self) -> list[tuple[NDArray[np.int64], int, NDArray[np.float64]]]:
        """Rows, column and values of the hyper-parameters that some variables have for themselves."""
        found: list[tuple[NDArray[np.int64], int, NDArray[np.float64]]] = []
        for column, name in enumerate(self.hypers):
            rows = [row for row, leaf in enumerate(self.leaves) if name in leaf.own]
            if rows:
                numbers = np.array([float(self.leaves[row].own[name]) for row in rows])
                found.append((np.array(rows, dtype=np.int64), column, numbers))
        return found

    def _tables(self, layout: Layout, dtypes: Sequence[DtypeSet], device: torch.device) -> Tables | GpuTables:
        given, edges = layout.options.arrangement, layout.layers.edges
        looks = self.modules[0].manifest["matrix"] in UNITS
        infos = [
            TensorInfo(units_first(leaf.shape) if looks else leaf.shape, leaf.layer, leaf.role, leaf.meta.depth, str(d))
            for leaf, d in zip(self.leaves, dtypes, strict=True)
        ]
        if self.modules[0].kernels:
            return GpuTables(
                self.modules,
                infos,
                self.module_of,
                device,
                edges=edges,
                laplacian=given.laplacian,
                coupling=given.coupling,
                numbers=self.indices,
            )
        return Tables(
            self.modules,
            infos,
            self.module_of,
            edges=edges,
            laplacian=given.laplacian,
            coupling=given.coupling,
            numbers=self.indices,
            library=TorchLibrary(),
        )

    def _turned(self, row: int, held: Sequence[Tensor]) -> bool:
        """Whether kernels are told that output units, which they look for along the first axis, are the last one here;
        where each element is for itself they need not know, if all memory is in one order."""
        if len(self.leaves[row].shape) < 2 or self._manifest(row)["matrix"] not in UNITS:
            return False
        whole = self._manifest(row)["tiled"] or has_calls(self.modules[self.module_of[row]])
        return whole or not all(tensor.is_contiguous() for tensor in held)

    def _lay(self, row: int, column: int, strides: tuple[int, ...]) -> None:
        """Has kernels find the elements of a tensor that lies in memory like this."""
        shape = self.leaves[row].shape
        if self.turned[row]:
            shape, strides = units_first(shape), units_first(strides)
        self.tables.set_layout(row, column, None if strides == contiguous(shape) else strides)

    def _add_slots(self, row: int, held: Mapping[str, Variable], counter: Tensor) -> None:
        """Has kernels find the state of a variable: Keras's own, a copy in another dtype, or memory that stands in."""
        always = touched_always(self.modules[self.module_of[row]])
        for column, slot in enumerate(self._manifest(row)["slots"]):
            name, dtype = slot["name"], TORCH_DTYPES[slot["dtype"]]
            if slot["role"] == "counter":
                self._stand_in(row, column, counter)
            if slot["role"] != "state":
                continue
            variable = held.get(name)
            if variable is None:
                if name.partition("[")[0] in always:
                    shape = shape_of(slot["extent"], self.leaves[row])
                    self._stand_in(row, column, torch.zeros(shape, dtype=dtype, device=counter.device))
                continue
            own = tensor_of(variable)
            if own.dtype == dtype:
                self._fix(row, column, variable)
            elif slot["extent"] == "elem":
                raise BackendError(f'the state "{name}" is {own.dtype} here, and {dtype} in the kernels')
            else:
                self.casts.append(_Cast(variable, torch.zeros_like(own, dtype=dtype, requires_grad=False)))
                self._stand_in(row, column, self.casts[-1].copy)

    def _fix(self, row: int, column: int, variable: Variable) -> None:
        tensor = tensor_of(variable)
        self.fixed.append(_Fixed(row, column, variable, tensor.dtype, tensor.device, tensor.stride()))
        if self._manifest(row)["slots"][column]["extent"] == "elem":
            self._lay(row, column, tensor.stride())

    def _stand_in(self, row: int, column: int, memory: Tensor) -> None:
        self.scratch.append(memory)
        self.tables.address[row, column] = memory.data_ptr()


def tensor_of(variable: Variable) -> Tensor:
    """The memory of a variable, whatever Keras shows in its place."""
    found: Tensor = variable._value
    return found.detach()


def units_first(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape with its last axis first."""
    return (*shape[-1:], *shape[:-1])


def _part(layout: Layout, index: int) -> Part:
    part = layout.parts[index]
    assert part is not None
    return part


def _device(variables: Sequence[Variable]) -> torch.device:
    devices = {tensor_of(variable).device for variable in variables}
    if len(devices) != 1:
        where = ", ".join(sorted(map(str, devices))) or "none"
        raise BackendError(f"kernels step variables on one device, and these are on {where}")
    return devices.pop()


def _taken(layout: Layout, gradients: Gradients) -> tuple[str, ...]:
    """The dtype in which kernels take each variable's gradient: its own, or what is computed in."""
    found: list[str] = []
    for i, part in enumerate(layout.parts):
        own = "" if part is None else part.leaf.dtype
        gradient = gradients.get(i)
        if part is None or gradient is None or DTYPES.get(gradient.dtype) == own:
            found.append(own)
        else:
            kept = own in TORCH_DTYPES and computed(TORCH_DTYPES[own], gradient.dtype)
            found.append(DTYPES[gradient.dtype] if kept else part.leaf.compute)
    return tuple(found)
