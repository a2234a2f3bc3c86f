"""One optimizer's tensors tied to its kernels' tables: addresses, layouts and hyper-parameters, kept up to date.

A step of 500 tensors spends most of its time in Python, so what runs on every step is a few comprehensions whose
results are compared with those of the step before; tables are written only where something changed.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from functools import partial
from itertools import chain, compress
from operator import attrgetter, is_, itemgetter
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from optgen.errors import PartialStepError, UsageError
from optgen.runtime import torch_checks, torch_storage
from optgen.runtime.gpu_count import StepCount
from optgen.runtime.gpu_library import check_capturable
from optgen.runtime.gpu_tables import GpuTables
from optgen.runtime.progress import through_interrupts
from optgen.runtime.rule_info import MAXIMIZE, HyperValue, Settled
from optgen.runtime.storage import GRAD_SCALE, MASTER
from optgen.runtime.torch_cut import CUT, cut_message
from optgen.runtime.torch_groups import Group, Options, check_shared, entry, flat, hypers_of, settle, where
from optgen.runtime.torch_plan import Part, Plan, hyper_row
from optgen.runtime.torch_resident import Residents, on_device, residents, rows_but
from optgen.runtime.torch_slots import Counters, Flag, signature, watched
from optgen.runtime.torch_state import STEP, Schema, Slots, materialise
from optgen.runtime.torch_tables import tables_of

PARAM = 0

Rows: TypeAlias = NDArray[np.int64]
Numbers: TypeAlias = NDArray[np.float64]
#: One number per device, 0 where a step is to be skipped; None: it is not.
Finite: TypeAlias = Mapping[torch.device, Tensor] | None

# Called through `map`, which is what keeps a step of many small tensors short.
_ADDRESS = Tensor.data_ptr
_STRIDE = Tensor.stride
_VERSION = attrgetter("_version")


class GroupValues:
    """The hyper-parameters of one group as last seen; `gpu`: kernels may read them where they are."""

    def __init__(self, plan: Plan, group: Group, index: int, coupling: str, *, gpu: bool) -> None:
        keys = dict.fromkeys(hyper.key for hyper in plan.rule.hypers)
        self.read = itemgetter(MAXIMIZE, MAXIMIZE, *keys)  # of one key it would be the value, not a tuple
        self.rule, self.known = plan.rule, plan.known_here
        self.group = group
        self.index = index
        self.values: Mapping[str, HyperValue] = plan.values[index]
        self.coupling = coupling
        self.gpu = gpu
        self.settled: Settled = self.settle(self.values)
        self.keep()

    def keep(self) -> None:
        """Remembers the group's values by identity; those that can change in place are read again every step."""
        raw: tuple[object, ...] = self.read(self.group)
        entries = {hyper.name: entry(hyper, self.group, self.index) for hyper in self.rule.hypers}
        self.residents: Residents = {}
        if self.gpu:
            capturable = bool(self.group.get("capturable"))
            here = where(self.index)
            self.residents = residents(self.rule, entries, self.values, self.settled, here, capturable, self.known)
        tensors = any(isinstance(value, Tensor) and name not in self.residents for name, value in entries.items())
        self.mutable = tensors or any(isinstance(value, list | np.ndarray) for value in raw)
        self.raw = raw

    def fresh(self) -> Mapping[str, HyperValue]:
        """The values now; those that stay on a device are not looked at again."""
        return hypers_of(self.rule, self.group, self.index, self.residents)

    def settle(self, values: Mapping[str, HyperValue]) -> Settled:
        """What kernels would be built for, for these values."""
        return settle(self.rule, values, self.group[MAXIMIZE], self.index, self.coupling)

    def changed(self) -> bool:
        """Whether any value may be another than last time."""
        return self.mutable or not all(map(is_, self.read(self.group), self.raw))


class Bound:
    """The tables of one part of a plan."""

    def __init__(self, plan: Plan, part: Part, options: Options, count: StepCount | None) -> None:
        self.part = part
        self.indices = np.array(part.members, dtype=np.int64)
        self.whole = len(part.members) == len(plan.members)
        self.tables = tables_of(plan, part, options, count)
        self.hypers: list[str] = list(part.modules[0].manifest["hypers"])
        self.inputs: list[str] = list(part.modules[0].manifest["inputs"])
        self.columns = [
            [(j, str(s["name"])) for j, s in enumerate(module.manifest["slots"]) if s["role"] in ("state", "counter")]
            for module in part.modules
        ]
        slots = part.modules[0].manifest["slots"]
        self.gradients = [j for j, slot in enumerate(slots) if slot["role"] == "gradient"]
        groups = [plan.members[i].group for i in part.members]
        self.rows_of_group = {
            group: np.array([row for row, g in enumerate(groups) if g == group]) for group in dict.fromkeys(groups)
        }
        for row, i in enumerate(part.members):
            self.tables.hyper[row] = hyper_row(self.hypers, plan.members[i].hypers)
        self.own_values = self._own_values(plan)

    def _own_values(self, plan: Plan) -> dict[int, list[tuple[Rows, int, Numbers]]]:
        """Per group: rows, column and values of the hypers that some of its parameters have for themselves."""
        found: dict[int, list[tuple[Rows, int, Numbers]]] = {}
        for name in {hyper.name for hyper in plan.rule.hypers if hyper.per_parameter} & set(self.hypers):
            column = self.hypers.index(name)
            for group, rows in self.rows_of_group.items():
                own = [int(row) for row in rows if name in plan.members[self.part.members[int(row)]].own]
                if own:
                    chosen = np.array(own, dtype=np.int64)
                    found.setdefault(group, []).append((chosen, column, self.tables.hyper[chosen, column].copy()))
        return found

    def take_residents(self, values: Sequence[GroupValues]) -> None:
        """Has every step copy the hypers that stay on a device from there."""
        if not isinstance(self.tables, GpuTables):
            return
        found: list[tuple[int, int, int, Tensor]] = []
        for group, rows in self.rows_of_group.items():
            for name, (tensor, _) in values[group].residents.items():
                if name in self.hypers:
                    column = self.hypers.index(name)
                    own = [row for spared, at, _ in self.own_values.get(group, ()) if at == column for row in spared]
                    found += [(first, end, column, tensor) for first, end in rows_but(rows.tolist(), own)]
        self.tables.take_hypers(found)

    def place(
        self, plan: Plan, state: Mapping[Tensor, Slots], schemas: Sequence[Schema], instead: Mapping[int, Tensor]
    ) -> None:
        """Writes the addresses and strides of parameters and state, or of what stands for them, by their ids."""
        for row, i in enumerate(self.part.members):
            own = plan.members[i].param
            param = instead.get(id(own), own)
            self.tables.address[row, PARAM] = param.data_ptr()
            self.tables.set_layout(row, PARAM, _strides(param.stride(), param.shape))
            for column, name in self.columns[self.part.module_of[row]]:
                base, _, entry = name.partition("[")
                value = state[own].get(base) if base == STEP or base in schemas[i] else None
                if not isinstance(value, Tensor):
                    self.tables.address[row, column] = 0
                    continue
                value = instead.get(id(value), value)
                place = value.data_ptr()
                strides, shape = value.stride(), value.shape
                if entry:
                    place += int(entry[:-1]) * strides[0] * value.element_size()
                    strides, shape = strides[1:], shape[1:]
                self.tables.address[row, column] = place
                self.tables.set_layout(row, column, _strides(strides, shape))


def _places(grads: Sequence[Tensor | None], number: int) -> list[int]:
    """Addresses of one gradient of each stack."""
    return [0 if g is None else g.data_ptr() + number * g.stride(0) * g.element_size() for g in grads]


def _strides(strides: tuple[int, ...], shape: Sequence[int]) -> tuple[int, ...] | None:
    """Strides in elements, or None where the tensor is C-contiguous; axes of one element do not count."""
    expected = 1
    for stride, size in zip(reversed(strides), reversed(shape), strict=True):
        if size > 1 and stride != expected:
            return tuple(strides)
        expected *= size
    return None


class Binding:
    """Everything a step needs. Made from a plan; `stale` says that it has to be made anew.

    With a `count`, steps are counted on the devices.
    """

    def __init__(
        self,
        plan: Plan,
        groups: Sequence[Group],
        options: Options,
        state: MutableMapping[Tensor, Slots],
        count: StepCount | None = None,
    ) -> None:
        self.plan = plan
        self.groups = groups
        self.state = state
        self.count = count
        if any(group.get("capturable") for group in groups):
            check_capturable([module for part in plan.parts for module in part.modules], plan.rule.class_name)
        bound = [Bound(plan, part, options, count) for part in plan.parts]
        self.schemas = materialise(state, plan)
        self.bound = bound
        self.gpus = [each.tables for each in bound if isinstance(each.tables, GpuTables)]
        self.devices = list(dict.fromkeys(tables.device for tables in self.gpus))
        gpu = bool(self.gpus)
        self.values = [GroupValues(plan, group, i, options.coupling, gpu=gpu) for i, group in enumerate(groups)]
        for each in bound:
            each.take_residents(self.values)
        self.params = [member.param for member in plan.members]
        self.names = [member.name for member in plan.members]
        self.signature = signature(self.params)
        self.numels = [param.numel() for param in self.params]
        self.gradient_dtypes = [member.gradient for member in plan.members]
        self.masters = [param for param, slots in zip(self.params, self.schemas, strict=True) if MASTER in slots]
        self.versions: list[int] = []
        self.flag = Flag()
        self.slot_lists = [watched(state, param, self.flag) for param in self.params]
        self.holders = list(state.values())
        self.all_active = [True] * len(self.params)
        self.active: list[bool] = []
        self.stepped = self.params
        self.stack = 0
        self.pointers: list[int] = []
        self.strides: list[tuple[int, ...]] = []
        self.done = self.counted = 0
        self.cut = ""
        self.place()

    def place(self) -> None:
        """Writes the addresses of everything that lives longer than a step."""
        self._place({})
        self.counters = Counters([slots[STEP] for slots in self.slot_lists] if self.plan.counts_here else [])
        self.flag.up = False
        values = chain.from_iterable(slots.values() for slots in self.slot_lists)
        self.fixed = [*self.params, *(value for value in values if isinstance(value, Tensor))]
        self.fixed_pointers = list(map(_ADDRESS, self.fixed))

    def place_on(self, tensors: Sequence[Tensor]) -> None:
        """Has the next step work on other tensors in the place of `fixed`; the step after finds its own again."""
        pointers = list(map(_ADDRESS, tensors))
        if pointers != self.fixed_pointers:
            self._place({id(own): given for own, given in zip(self.fixed, tensors, strict=True)})
            self.fixed_pointers = pointers

    def _place(self, instead: Mapping[int, Tensor]) -> None:
        self.instead = instead
        for bound in self.bound:
            bound.place(self.plan, self.state, self.schemas, instead)

    def stale(self, groups: Sequence[Group], state: Mapping[Tensor, Slots]) -> bool:
        """Whether parameters or state were replaced; memory that only moved is followed here."""
        if state is not self.state or groups is not self.groups or len(groups) != len(self.values):
            return True
        params = flat(groups)
        if len(params) != len(self.params) or not all(map(is_, params, self.params)):
            return True
        if len(state) != len(self.holders) or not all(map(is_, state.values(), self.holders)):
            return True
        if self.flag.up or list(map(_ADDRESS, self.fixed)) != self.fixed_pointers:
            if signature(params) != self.signature or not self._fitting():
                return True
            torch_checks.check_parameters(params, self.names, self.plan.rule)
            self.place()
        return False

    def _fitting(self) -> bool:
        """Whether every slot still holds a tensor of its shape and dtype."""
        return all(
            slot.fits(slots.get(name))
            for slots, wanted in zip(self.slot_lists, self.schemas, strict=True)
            for name, slot in wanted.items()
        ) and all(isinstance(slots.get(STEP), Tensor) for slots in self.slot_lists)

    def refresh(self) -> bool:
        """Takes over hyper-parameters that changed. True if other kernels are needed, and then nothing was taken."""
        changed = [values for values in self.values if values.changed()]
        if not changed:
            return False
        fresh = {values.index: values.fresh() for values in changed}
        rule = self.plan.rule
        check_shared(rule, [fresh.get(values.index, values.values) for values in self.values])
        for values in changed:
            after = fresh[values.index]
            if values.settle(after) != values.settled:
                return True
            if rule.fits and after != values.values:
                return True
            if any(after[name] != values.values[name] for name in rule.structural):
                return True
        for values in changed:
            before, resident = values.values, values.residents
            values.values = fresh[values.index]
            values.keep()
            if before != values.values or resident.keys() != values.residents.keys():
                self._write(values)
        for bound in self.bound:
            bound.take_residents(self.values)
        return False

    def _write(self, values: GroupValues) -> None:
        for bound in self.bound:
            rows = bound.rows_of_group.get(values.index)
            if rows is None:
                continue
            bound.tables.hyper[rows] = hyper_row(bound.hypers, values.values)
            for own, column, numbers in bound.own_values.get(values.index, ()):
                bound.tables.hyper[own, column] = numbers

    def gradients(self, given: Sequence[Tensor | None] | None = None, stack: int = 0) -> bool:
        """Takes over the gradients' addresses and strides. GradientError, with nothing taken, if one cannot be used.

        True if they are of other dtypes than the kernels', and then nothing was taken. `given` stand for the
        parameters' own; each is a `stack` of so many along its first axis, if there is one.
        """
        if stack != self.stack:
            self.stack, self.pointers, self.strides = stack, [], []
        grads: list[Any] = [param.grad for param in self.params] if given is None else list(given)
        active = self.all_active
        try:
            pointers = list(map(_ADDRESS, grads))
            strides = list(map(_STRIDE, grads))
        except (TypeError, RuntimeError):  # none, or not dense
            active = [grad is not None for grad in grads]
            dense = [grad for grad in grads if grad is not None]
            if any(grad.layout != torch.strided for grad in dense):
                torch_checks.check_gradients(self.params, grads, self.names, self.stack)
            pointers = [0 if grad is None else grad.data_ptr() for grad in grads]
            strides = [() if grad is None else grad.stride() for grad in grads]
        if pointers != self.pointers or strides != self.strides:
            if not self._check(grads, active, strides == self.strides):
                return True
            self._take(grads, pointers, strides)
        if active is not self.active and active != self.active:
            mask: NDArray[np.bool_] = np.array(active, dtype=np.bool_)
            for bound in self.bound:
                bound.tables.set_active(mask[bound.indices])
            self.stepped = [param for param, has in zip(self.params, active, strict=True) if has]
        self.active = active
        return False

    def _check(self, grads: list[Any], active: list[bool], same_strides: bool) -> bool:
        """Whether every gradient has its parameter's shape and device, and the dtype that is expected of it.

        Raises a GradientError for one that no kernels could take. Equal strides and as many elements stand for an equal
        shape: these strides were seen with that shape before.
        """
        every = grads
        axis, times = ((self.stack,), self.stack) if self.stack else ((), 1)
        wanted = [torch.Size((*axis, *shape)) for shape in self.signature[0]] if axis else self.signature[0]
        numels = [times * numel for numel in self.numels] if axis else self.numels
        expected = (wanted, self.signature[2], self.gradient_dtypes, numels)
        if active is not self.all_active:
            expected = tuple(list(compress(column, active)) for column in expected)
            grads = list(compress(grads, active))
        shapes, devices, dtypes, numels = expected
        fits = [g.numel() for g in grads] == numels if same_strides else [g.shape for g in grads] == shapes
        if not fits or [g.dtype for g in grads] != dtypes or [g.device for g in grads] != devices:
            torch_checks.check_gradients(self.params, every, self.names, self.stack)
            return False
        return True

    def _take(self, grads: Sequence[Tensor | None], pointers: list[int], strides: list[tuple[int, ...]]) -> None:
        for number in range(self.stack or 1):
            places = _places(grads, number) if number else pointers
            for bound in self.bound:
                chosen = places if bound.whole else np.array(places, dtype=np.int64)[bound.indices]
                bound.tables.address[:, bound.gradients[number]] = chosen
        if strides != self.strides:
            before = self.strides or [None] * len(strides)
            for bound in self.bound:
                for row, i in enumerate(bound.part.members):
                    grad = grads[i]
                    if strides[i] != before[i] and grad is not None:
                        own, shape = (strides[i][1:], grad.shape[1:]) if self.stack else (strides[i], grad.shape)
                        for column in bound.gradients:
                            bound.tables.set_layout(row, column, _strides(own, shape))
        self.pointers, self.strides = pointers, strides

    def set_inputs(self, inputs: Mapping[str, object], grad_scale: object = None) -> None:
        """Takes over the values passed to this step. UsageError for missing, unknown or non-numeric ones.

        Those in tensors on a device are not looked at: the kernels read them there.
        """
        wanted = [given.name for given in self.plan.rule.inputs]
        for name in inputs:
            if name not in wanted:
                raise UsageError(f"step() got an unexpected argument {name!r}; this rule takes {wanted or 'none'}")
        numbers: dict[str, float] = {}
        tensors: dict[str, Tensor] = {}
        given = {**inputs, GRAD_SCALE: 1.0 if grad_scale is None else grad_scale}
        for name in [*wanted, GRAD_SCALE]:
            value = given.get(name)
            if value is None:
                raise UsageError(f"step() needs {name}=, which the rule {self.plan.rule.name} reads")
            if self.gpus and isinstance(value, Tensor) and on_device(value) and value.numel() == 1:
                tensors[name] = value.detach()
                continue
            number = torch_checks.scalar(value, name)
            if isinstance(number, bool) or not isinstance(number, int | float):
                raise UsageError(f"{name} must be a number or a tensor of one element, got {number!r}")
            numbers[name] = float(number)
        for bound in self.bound:
            if bound.inputs:
                bound.tables.inputs[:] = [numbers.get(name, 0.0) for name in bound.inputs]
            if isinstance(bound.tables, GpuTables):
                bound.tables.take_inputs({i: tensors[name] for i, name in enumerate(bound.inputs) if name in tensors})

    def run(self, step: int, finite: Finite = None) -> None:
        """Runs the kernels and tells autograd which parameters changed; nothing happens where `finite` is 0.

        Everything that allocates comes first, then the sweeps that only read, of all parts, then those that store. An
        exception finds all old or all new (`done` is then this step), or `cut` says what was left behind.
        """
        threads = torch.get_num_threads()
        self._follow_writes()
        tables = [bound.tables for bound in self.bound]
        if self.counters.changed():
            for each in self.gpus:
                each.recount()
        for each in tables:
            if isinstance(each, GpuTables):
                each.prepare(step, finite=None if finite is None else finite[each.device])
            else:
                each.prepare(step, threads=threads)
        try:
            if len(tables) > 1:
                for each in tables:
                    each.read()
            self.cut = CUT
            for each in tables:
                each.store()
            self._count_step(step, finite)
            self._wrote()
            self.done, self.cut = step, ""
        except BaseException as error:
            through_interrupts(partial(self._complete, step, finite, error))
            raise

    def _complete(self, step: int, finite: Finite, error: BaseException) -> None:
        """Stores what is left, if storing had begun. PartialStepError where even that fails."""
        tables = [bound.tables for bound in self.bound]
        if not any(each.begun() for each in tables):
            self.cut = ""
            return
        try:
            for each in tables:
                each.store(threads=1)
            self._count_step(step, finite)
        except Exception as failure:
            self.cut = cut_message(step, self.plan, tables)
            if isinstance(error, Exception):
                raise PartialStepError(self.cut) from failure
            error.add_note(self.cut)  # an interrupt stays one
            return
        finally:
            self._wrote()
        self.done, self.cut = step, ""

    def _count_step(self, step: int, finite: Finite) -> None:
        """Counts the step on the devices, once."""
        if self.count is not None and self.counted != step:
            self.counted = step
            self.count.advance(finite)

    def _wrote(self) -> None:
        """Tells autograd which parameters changed, and keeps in mind that it was this step that changed them."""
        torch.autograd.graph.increment_version(self.stepped)
        self.versions = list(map(_VERSION, self.masters))

    def _follow_writes(self) -> None:
        """Takes what was written to parameters from outside, as by loading a model's state, into their masters."""
        if self.masters and list(map(_VERSION, self.masters)) != self.versions:
            for param in self.masters:
                held = self.state[param][MASTER]
                master, param = self.instead.get(id(held), held), self.instead.get(id(param), param)
                master.copy_(torch_storage.reconciled(master, param))

    def calls(self) -> int:
        """Calls into compiled code made by the last step."""
        return sum(bound.tables.calls() for bound in self.bound)
