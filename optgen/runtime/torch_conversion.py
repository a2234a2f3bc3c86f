"""Between torch's own optimizers and ours: a running one's state and settings taken over, and given back.

A rule says how torch names its state, and its class is called as torch's is; nothing else is known of either. What one
side has and the other has not must be at its default, so that no option is lost on the way.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from functools import cache
from typing import Any, Final, TypeAlias, cast

import torch
from torch import Tensor
from torch.nn import Parameter

from optgen.errors import StateError, UsageError
from optgen.runtime import torch_checks
from optgen.runtime.rule_info import MAXIMIZE, RuleInfo
from optgen.runtime.storage import MASTER
from optgen.runtime.torch_groups import NAMES, Group, label
from optgen.runtime.torch_plan import Plan
from optgen.runtime.torch_saved import GLOBAL_STEP, OPTGEN, identity
from optgen.runtime.torch_state import STEP, Schema, Slot, schemas

TorchOptimizer: TypeAlias = torch.optim.Optimizer
Slots: TypeAlias = Mapping[str, Any]

#: Options that say how torch goes about a step, not what it computes.
_WAYS: Final = frozenset({"foreach", "fused", "capturable", "differentiable"})


def is_torchs(state_dict: Mapping[str, Any], rule: RuleInfo) -> bool:
    """Whether a state dict has an optimizer's form, was not saved by one of ours, and torch has this rule."""
    groups, states = state_dict.get("param_groups"), state_dict.get("state")
    if not isinstance(groups, list | tuple) or not isinstance(states, Mapping) or _torchs(rule) is None:
        return False
    parts = [*cast(Sequence[object], groups), *cast(Mapping[object, object], states).values()]
    return all(isinstance(part, Mapping) and OPTGEN not in part for part in parts)


def counterpart(rule: RuleInfo) -> type[TorchOptimizer]:
    """Torch's class of this rule. StateError where torch has none."""
    found = _torchs(rule)
    if found is None:
        raise StateError(f"torch.optim has no {rule.class_name}: there is nothing to convert from or to")
    return found


def _torchs(rule: RuleInfo) -> type[TorchOptimizer] | None:
    found: object = getattr(torch.optim, rule.class_name, None)
    return found if isinstance(found, type) and issubclass(found, TorchOptimizer) else None


def groups_of(optimizer: TorchOptimizer, rule: RuleInfo, given: Iterable[str]) -> list[Group]:
    """Groups to make this rule's optimizer from: the same parameters, settings and keys of the caller's own.

    StateError if it is not torch's optimizer of this rule; UsageError for arguments that its groups hold.
    """
    wanted = counterpart(rule)
    own = next((cls for cls in type(optimizer).__mro__ if cls in vars(torch.optim).values()), None)
    if own is not wanted:  # a subclass of the user's counts as what it extends
        raise StateError(
            f"{rule.class_name} continues a torch.optim.{rule.class_name}, not a {type(optimizer).__name__}"
        )
    for name in given:
        if any(hyper.key == name for hyper in rule.hypers):
            raise UsageError(f"{name} comes with the groups of the optimizer; change it there, before or after")
    narrow = all(p.dtype == torch.float32 for group in optimizer.param_groups for p in group["params"])
    groups: list[Group] = []
    for index, group in enumerate(optimizer.param_groups):
        made = deepcopy({key: value for key, value in group.items() if key != "params"})
        made = _settings(rule, {**made, "params": group["params"]}, _defaults(wanted), index, narrow)
        names = made.pop(NAMES, None)
        groups.append({**made, "params": _named(group["params"], names)})
    return groups


def ours(state_dict: Mapping[str, Any], rule: RuleInfo, dtypes: Iterable[torch.dtype]) -> dict[str, Any]:
    """A state dict of torch's optimizer, for parameters of these dtypes, in our form; unstepped ones have no state yet.

    StateError if it is of another optimizer, or holds options or counts that this rule does not have.
    """
    defaults, narrow = _defaults(counterpart(rule)), set(dtypes) <= {torch.float32}
    states = {key: _renamed(rule, slots) for key, slots in cast(Mapping[object, Slots], state_dict["state"]).items()}
    steps = [float(slots[STEP]) for slots in states.values() if STEP in slots]
    groups = [
        {
            **_settings(rule, group, defaults, index, narrow),
            OPTGEN: {**identity(rule), GLOBAL_STEP: int(max(steps, default=0.0))},
        }
        for index, group in enumerate(state_dict["param_groups"])
    ]
    return {"state": {key: slots for key, slots in states.items() if slots}, "param_groups": groups}


def _renamed(rule: RuleInfo, slots: Slots) -> dict[str, Any]:
    """State of one parameter by the rule's names; empty before its first step."""
    names = {info.torch_name: info.name for info in rule.states if info.torch_name}
    found = {names.get(name, name): value for name, value in slots.items() if value is not None}
    if found and STEP not in found:
        if rule.counts:
            raise StateError(
                f"torch's {rule.class_name} keeps no count of steps, which this {rule.class_name} reads; it cannot be "
                "continued"
            )
        found[STEP] = 1.0  # any count but none: the rule only asks whether a step is the first
    return found


def _settings(rule: RuleInfo, group: Mapping[str, Any], defaults: Slots, index: int, narrow: bool) -> dict[str, Any]:
    keys = {hyper.key for hyper in rule.hypers}
    result = dict(group)
    where = f"parameter group {index} of the state dict"
    for key in keys & set(defaults) - set(group):
        raise StateError(f"{where} has no {key}: it was saved neither by {rule.class_name} nor by torch's")
    for key, value in group.items():
        if key == "params" or key in keys | _WAYS or key == MAXIMIZE:
            continue
        if key in defaults:
            if value != defaults[key]:
                raise StateError(f"{where} has {key}={value!r}; this {rule.class_name} has no such option")
            del result[key]
        elif key in _options_of_torch():
            raise StateError(f"{where} has {key}, which torch's {rule.class_name} has not: it is another optimizer's")
    for key in keys & set(result):
        result[key] = _without_none(rule, key, result[key], where, narrow)
    return result


def _without_none(rule: RuleInfo, key: str, value: object, where: str, narrow: bool) -> object:
    """The value, with the rule's default where torch leaves an entry to the dtype: they agree in float32."""
    several = isinstance(value, tuple | list)
    entries = list(cast(Sequence[object], value)) if several else [value]
    if None not in entries:
        return value
    if not several or not narrow:
        raise StateError(f"{key} of {where} is {value!r}, which torch takes from the dtype; set numbers first")
    default = {hyper.index: hyper.default for hyper in rule.hypers if hyper.key == key}
    return tuple([default[i] if entry is None else entry for i, entry in enumerate(entries)])


def completed(states: Sequence[Slots | None], plan: Plan) -> list[Slots]:
    """State of every parameter as this optimizer keeps it: new where there is none, else in its shape and dtype.

    A dtype only ever widens here; what does not fit is left as it is, to be refused with all else.
    """
    result: list[Slots] = []
    for member, wanted, own in zip(plan.members, schemas(plan), states, strict=True):
        if own is None:
            result.append({STEP: 0.0, **{name: slot.make(member.param) for name, slot in wanted.items()}})
        else:
            master = {MASTER: wanted[MASTER].make(member.param)} if MASTER in wanted else {}
            result.append({**master, **{name: _fitted(value, wanted.get(name)) for name, value in own.items()}})
    return result


def _fitted(value: object, slot: Slot | None) -> object:
    if slot is None or not isinstance(value, Tensor):
        return value
    if value.dtype != slot.dtype and torch.promote_types(value.dtype, slot.dtype) == slot.dtype:
        value = value.to(slot.dtype)
    if slot.extent != "elem" and value.numel() == math.prod(slot.shape) and not slot.info.vector:
        value = value.reshape(slot.shape)
    return value


# --- and back


def to_torch(rule: RuleInfo, groups: Sequence[Group], state: Mapping[Tensor, Slots], plan: Plan) -> TorchOptimizer:
    """Torch's optimizer of this rule on the same parameters, with copies of their state.

    StateError where it lacks an option or a state that is in use here.
    """
    cls = counterpart(rule)
    defaults = _defaults(cls)
    made = _make(cls, [_torch_group(rule, group, defaults, index) for index, group in enumerate(groups)])
    members = dict(zip((member.param for member in plan.members), schemas(plan), strict=True))
    for index, group in enumerate(made.param_groups):
        kept: dict[tuple[int, torch.dtype], Mapping[str, torch.dtype]] = {}
        for position, param in enumerate(group["params"]):
            if float(torch_checks.scalar(state[param][STEP], STEP)) == 0:  # pyright: ignore[reportArgumentType]
                continue
            like = (param.ndim, param.dtype)
            if like not in kept:
                kept[like] = _kept_by(cls, group, param)
            whose = label(group, index, position)
            made.state[param] = _torch_state(rule, kept[like], members[param], state[param], param, whose)
    return made


def _torch_group(rule: RuleInfo, group: Group, defaults: Slots, index: int) -> Group:
    result: Group = {}
    for key, value in group.items():
        hypers = [hyper for hyper in rule.hypers if hyper.key == key]
        if key == OPTGEN or (key in _WAYS and key not in defaults):
            continue
        if key in defaults or not hypers:
            result[key] = value.clone() if isinstance(value, Tensor) else value
        elif any(hyper.default != (value if hyper.index is None else value[hyper.index]) for hyper in hypers):
            raise StateError(f"parameter group {index} has {key}={value!r}; torch's {rule.class_name} has no {key}")
    names = result.pop(NAMES, None)
    params: list[Tensor] = group["params"]
    return {**result, "params": _named(params, names)}


def _named(params: Sequence[Tensor], names: Sequence[str] | None) -> list[Any]:
    return list(params) if names is None else list(zip(names, params, strict=True))


def _torch_state(
    rule: RuleInfo, kept: Mapping[str, torch.dtype], wanted: Schema, own: Slots, param: Tensor, whose: str
) -> dict[str, Any]:
    given = {(rule.state(name).torch_name or name): name for name in wanted} | {STEP: STEP}
    for name in [*(set(kept) - set(given)), *(set(given) - set(kept) - {STEP})]:
        has, lacks = ("torch's", "this") if name in kept else ("this", "torch's")
        raise StateError(f"{has} {rule.class_name} keeps {name} of {whose}, {lacks} {rule.class_name} does not")
    found = {name: _torch_shape(own[given[name]], wanted.get(given[name]), param) for name in kept}
    return {name: value.to(kept[name], copy=True) for name, value in found.items()}


def _torch_shape(value: Tensor, slot: Slot | None, param: Tensor) -> Tensor:
    """Row and column values as torch keeps them: with an axis of one element for the one they were reduced over."""
    if slot is None or slot.extent not in ("row", "col"):
        return value
    *leading, rows, cols = param.shape if param.ndim > 1 else (1, param.numel())
    return value.reshape(*leading, *((rows, 1) if slot.extent == "row" else (1, cols)))


def _kept_by(cls: type[TorchOptimizer], group: Group, like: Tensor) -> Mapping[str, torch.dtype]:
    """Names and dtypes of the state that torch keeps with these settings, found by letting it step its own tensor."""
    probe = Parameter(torch.zeros((1,) * like.ndim, dtype=like.dtype, device=like.device))
    probe.grad = torch.ones_like(probe)
    settings = {key: value for key, value in group.items() if key not in ("params", NAMES)}
    optimizer = _make(cls, [{**settings, "params": [probe]}])
    optimizer.step()
    return {name: value.dtype for name, value in optimizer.state[probe].items() if value is not None}


def _defaults(cls: type[TorchOptimizer]) -> Slots:
    return _make(cls, [{"params": [Parameter(torch.zeros(1))]}]).defaults


def _make(cls: type[TorchOptimizer], groups: list[Group]) -> TorchOptimizer:
    return cast(Callable[[list[Group]], TorchOptimizer], cls)(groups)


@cache
def _options_of_torch() -> frozenset[str]:
    """Every argument of any of torch's own optimizers."""
    classes = [cls for cls in vars(torch.optim).values() if isinstance(cls, type) and issubclass(cls, TorchOptimizer)]
    return frozenset(name for cls in classes for name in inspect.signature(cls).parameters) - {"params"}
