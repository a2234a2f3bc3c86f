"""State of an optimizer: a parameter's slots, how they start, and how saved state is judged and taken over."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor

from optgen.errors import StateError, suggest
from optgen.runtime import torch_checks, torch_storage
from optgen.runtime.kernel_module import Module
from optgen.runtime.rule_info import StartValue, StateInfo
from optgen.runtime.storage import MASTER
from optgen.runtime.torch_plan import Member, Plan

#: State of one parameter by the names of the rule, and `step`.
Slots: TypeAlias = dict[str, Any]

STEP = "step"
COARSE = ("layer", "model")


@dataclass(frozen=True)
class Slot:
    """One state tensor of one parameter. `starts` has an entry per entry of a short vector, which is the first axis."""

    info: StateInfo
    extent: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    starts: tuple[StartValue, ...]

    def make(self, param: Tensor) -> Tensor:
        """The tensor as it starts; element-wise state lies in memory as the parameter does."""
        with torch.no_grad():
            if self.extent == "elem" and not self.info.vector:
                value = torch.zeros_like(param, dtype=self.dtype, requires_grad=False)
                if self.starts[0] == "copy":
                    value.copy_(param)
                elif self.starts[0] != "zeros":
                    value.fill_(self.starts[0])
                return value.detach()
            value = torch.zeros(self.shape, dtype=self.dtype, device=param.device)
            entries = list(value) if self.info.vector else [value]
            for entry, start in zip(entries, self.starts, strict=True):
                if start == "copy":
                    entry.copy_(param)
                elif start != "zeros":
                    entry.fill_(start)
            return value

    def fits(self, value: object) -> bool:
        """Whether a tensor can be this slot."""
        return isinstance(value, Tensor) and value.dtype == self.dtype and tuple(value.shape) == self.shape


Schema: TypeAlias = dict[str, Slot]


def schema(plan: Plan, index: int) -> Schema:
    """Slots that a parameter has, by name, without `step`."""
    _, module = plan.module_of(index)
    return _schema(plan, plan.members[index], module)


def schemas(plan: Plan) -> list[Schema]:
    """The schema of every parameter."""
    result: list[Schema] = [{} for _ in plan.members]
    for part in plan.parts:
        for i, module in zip(part.members, part.module_of, strict=True):
            result[i] = _schema(plan, plan.members[i], part.modules[module])
    return result


def _schema(plan: Plan, member: Member, module: Module) -> Schema:
    rule, meta = plan.rule, member.meta
    needed = rule.needs(member.hypers, meta) if rule.needs is not None else None
    if needed is not None:  # kernels of tensors that are tied together have one variant, which touches all it lists
        needed = needed | touched_always(module) | {MASTER}
    shapes = {
        "elem": tuple(member.param.shape),
        "row": (meta.matrices, meta.rows),
        "col": (meta.matrices, meta.cols),
        "matrix": (meta.matrices,),
    }
    found: Schema = {}
    for slot in module.manifest["slots"]:
        name = str(slot["name"]).partition("[")[0]
        if slot["role"] != "state" or name in found or (needed is not None and name not in needed):
            continue
        info = torch_storage.MASTER_STATE if name == MASTER else rule.state(name)
        shape = shapes.get(slot["extent"], ())
        shape = (len(info.starts), *shape) if info.vector else shape
        starts: tuple[StartValue, ...] = tuple(start(member.hypers, meta) for start in info.starts)
        found[name] = Slot(info, slot["extent"], torch_storage.TORCH_DTYPES[slot["dtype"]], shape, starts)
    return found


def touched_always(module: Module) -> frozenset[str]:
    """States that every variant of a module lists."""
    lists = [frozenset(slot.partition("[")[0] for slot in v["slots"]) for v in module.manifest.get("variants", ())]
    common = lists[0] if lists else frozenset[str]()
    for other in lists[1:]:
        common &= other
    return common


def materialise(state: MutableMapping[Tensor, Slots], plan: Plan) -> list[Schema]:
    """Gives every parameter the slots it lacks; slots that fit stay.

    StateError for one that cannot stay or be made. Nothing is given before everything is made.
    """
    wanted = schemas(plan)
    for member, slots in zip(plan.members, wanted, strict=True):
        _check_kept(state.get(member.param, {}), slots, member)
    draft: dict[Tensor, Slots] = {member.param: dict(state.get(member.param, {})) for member in plan.members}
    for i, (member, slots) in enumerate(zip(plan.members, wanted, strict=True)):
        own = draft[member.param]
        new = STEP not in own
        if not isinstance(own.get(STEP), Tensor) or own[STEP].dtype != torch.float32:
            done = float(own.get(STEP, 0.0))
            own[STEP] = torch.full((), done, dtype=torch.float32, device=member.param.device)
        for name, slot in slots.items():
            if slot.fits(own.get(name)):
                continue
            fresh = new or not steps_done(own)  # which may wait for a device
            source = _peer(draft, plan, i, name, slot) if fresh else None
            own[name] = source.clone() if source is not None else slot.make(member.param)
    for param, made in draft.items():
        own = state[param]
        for name, value in made.items():
            if own.get(name) is not value:
                own[name] = value
    return wanted


def steps_done(slots: Mapping[str, Any]) -> float:
    """Updates a parameter has had, read without issuing a tensor operation."""
    step = slots.get(STEP, 0.0)
    return float(cast(float, torch_checks.scalar(step, STEP)))


def _check_kept(own: Mapping[str, Any], wanted: Schema, member: Member) -> None:
    for name, slot in wanted.items():
        if name in own and not slot.fits(own[name]) and steps_done(own) > 0:
            raise StateError(
                f"{member.name} was changed after its first step: its state {name} is {_shown(own[name])} and would "
                f"have to be {_shown_slot(slot)}; make a new optimizer after such a change"
            )


def _peer(state: Mapping[Tensor, Slots], plan: Plan, index: int, name: str, slot: Slot) -> Tensor | None:
    """The same state of a tensor that shares it, where coarse state exists already."""
    if slot.extent not in COARSE:
        return None
    own = plan.members[index]
    for i, member in enumerate(plan.members):
        shares = slot.extent == "model" or member.player == own.player
        value = state.get(member.param, {}).get(name) if i != index and shares else None
        if slot.fits(value):
            return cast(Tensor, value)
    return None


def _shown(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{value.dtype} of shape {tuple(value.shape)}"
    return f"a {type(value).__name__}"


def _shown_slot(slot: Slot) -> str:
    return f"{slot.dtype} of shape {slot.shape}"


def with_new_slots(saved: Sequence[Mapping[str, Any] | None], plan: Plan) -> list[Mapping[str, Any] | None]:
    """Saved state with the slots that the rule's text has got since, as they start; a warning names them."""
    result: list[Mapping[str, Any] | None] = []
    added: set[str] = set()
    for member, slots, own in zip(plan.members, schemas(plan), saved, strict=True):
        lacking = {} if own is None else {name: slot for name, slot in slots.items() if name not in own}
        result.append(own if own is None else {**own, **{n: s.make(member.param) for n, s in lacking.items()}})
        added |= set(lacking)
    if added:
        warnings.warn(
            f"the state dict was saved by another text of {plan.rule.name}, which had no {', '.join(sorted(added))}: "
            "they start anew",
            stacklevel=4,
        )
    return result


def check_saved(saved: Sequence[Mapping[str, Any] | None], plan: Plan) -> None:
    """Refuses saved state that is missing, foreign, or of another shape or dtype than this optimizer's."""
    wanted = schemas(plan)
    known = {info.name for info in plan.rule.states} | {STEP, MASTER}
    for member, slots, own in zip(plan.members, wanted, saved, strict=True):
        if own is None:
            raise StateError(f"the state dict has no state for {member.name}: it is truncated or of another model")
        for name in own:
            if name not in known:
                hint = suggest(str(name), known)
                raise StateError(
                    f'the state dict holds "{name}" for {member.name}, which {plan.rule.class_name} does not have: it '
                    f"was saved by another optimizer. {hint}".rstrip()
                )
        for name, slot in slots.items():
            if name not in own:
                raise StateError(
                    f"the state dict lacks {name} of {member.name}: it is truncated or from other settings"
                )
            if not slot.fits(own[name]):
                raise StateError(
                    f"{name} of {member.name} is {_shown(own[name])} in the state dict and {_shown_slot(slot)} here"
                )
        _check_step(own.get(STEP), member)
    _check_equal(saved, wanted, plan)


def _check_step(step: object, member: Member) -> None:
    number = isinstance(step, int | float) and not isinstance(step, bool)
    if not number and not (isinstance(step, Tensor) and step.numel() == 1 and not step.is_complex()):
        raise StateError(f"step of {member.name} is {_shown(step)} in the state dict; it must be one number")
    value = float(cast(float, step))
    if not (value >= 0 and value == int(value)):
        raise StateError(f"step of {member.name} is {value} in the state dict; it must be a count")


def _check_equal(saved: Sequence[Mapping[str, Any] | None], wanted: Sequence[Schema], plan: Plan) -> None:
    """State that several tensors share must be the same with each."""
    first: dict[tuple[str, str], tuple[Tensor, str]] = {}
    for member, slots, own in zip(plan.members, wanted, saved, strict=True):
        for name, slot in slots.items():
            if slot.extent not in COARSE or own is None:
                continue
            unit = member.player if slot.extent == "layer" else ""
            value, holder = first.setdefault((name, unit), (own[name], member.name))
            if not torch.equal(value, own[name]):
                raise StateError(
                    f"{name} is one value per {slot.extent}, but the state dict has different ones for {holder} and "
                    f"{member.name}"
                )


def copied(own: Mapping[str, Any], param: Tensor, slots: Schema) -> Slots:
    """A copy of saved state that shares no memory with it, each slot in its own dtype."""
    result: Slots = {}
    for name, value in own.items():
        if name == STEP:
            done = float(value)
            result[STEP] = torch.full((), done, dtype=torch.float32, device=param.device)
        elif isinstance(value, Tensor):
            elementwise = name in slots and slots[name].extent == "elem" and not slots[name].info.vector
            target = (
                torch.empty_like(param, dtype=value.dtype, requires_grad=False)
                if elementwise
                else torch.empty(tuple(value.shape), dtype=value.dtype, device=param.device)
            )
            with torch.no_grad():
                result[name] = target.detach().copy_(value)
        else:
            result[name] = value
    return result
