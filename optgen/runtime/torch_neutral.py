"""Between optimizers of torch, or their state dicts, and state that belongs to no framework."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from optgen.errors import StateError, UsageError
from optgen.runtime import neutral_file, torch_checks, torch_flags, torch_storage
from optgen.runtime.atomic_file import replacing
from optgen.runtime.neutral_state import (
    Array,
    Axes,
    GraphInfo,
    Group,
    Names,
    NeutralState,
    Parameter,
    SlotInfo,
    Wanted,
    check_layers,
    fitted,
    matched,
)
from optgen.runtime.rule_info import MAXIMIZE, HyperValue, RuleInfo
from optgen.runtime.storage import MASTER
from optgen.runtime.torch_groups import DEPTHS, NAMES, PLAYERS, hypers_of
from optgen.runtime.torch_groups import Group as TorchGroup
from optgen.runtime.torch_optimizer import Optimizer
from optgen.runtime.torch_plan import Plan, plan
from optgen.runtime.torch_saved import GLOBAL_STEP, OPTGEN, SEED, identity
from optgen.runtime.torch_state import STEP, schemas

FRAMEWORK = "torch"
_PLAIN = (bool, int, float, str, type(None))


def save_state(path: neutral_file.PathLike, optimizer: Optimizer) -> None:
    """Writes an optimizer's state to a file that every front end reads; the old file stays until the new one is whole.

    PartialStepError for an optimizer that is of two steps; UsageError if a group holds what a file of data cannot.
    """
    neutral_file.write(path, state_of(optimizer))


def load_state(
    source: neutral_file.PathLike | NeutralState,
    optimizer: Optimizer,
    *,
    names: Names | None = None,
    transpose: Axes | None = None,
    cast: bool = False,
) -> None:
    """Takes over the state in a neutral file, or one in memory, with hypers, counts and all.

    `names` calls the file's parameters as they are called here, `transpose` (by names here) says which lie with their
    axes in another order, `cast` lets state be rounded to a narrower dtype. StateError, with nothing changed, if the
    state is of another rule or model or does not fit.
    """
    state = source if isinstance(source, NeutralState) else neutral_file.read(source)
    state = state if names is None else state.renamed(names)
    state = state if transpose is None else state.transposed(transpose)
    optimizer.load_state_dict(_state_dict_for(optimizer, state, cast))


def state_of(optimizer: Optimizer) -> NeutralState:
    """The state of an optimizer, in memory of its own."""
    saved = optimizer.state_dict()
    current = optimizer._current().plan  # pyright: ignore[reportPrivateUsage]
    return of_state_dict(saved, optimizer.RULE, current)


def of_state_dict(saved: Mapping[str, Any], rule: RuleInfo, live: Plan | None = None) -> NeutralState:
    """The state in a state dict of ours. Without the plan of its optimizer, shapes are those that the state tells.

    StateError if it is of another rule or is no state dict.
    """
    groups = cast(Sequence[Mapping[str, Any]], saved["param_groups"])
    named = all(group.get(NAMES) for group in groups)
    parameters: list[Parameter] = []
    for index, group in enumerate(groups):
        whose = _about(group).get("rule")
        if whose != rule.name:
            raise StateError(f"group {index} is of the rule {whose!r}, not of {rule.name!r}")
        for position, key in enumerate(group["params"]):
            place = len(parameters)
            name = str(group[NAMES][position]) if named else str(place)
            slots = cast(Mapping[str, Any], saved["state"].get(key, {}))
            parameters.append(_parameter(rule, group, index, position, name, slots, live, place))
    first = _about(groups[0] if groups else {})
    return NeutralState(
        rule=rule.name,
        digest=str(first.get("digest", "")),
        global_step=int(first.get(GLOBAL_STEP, 0)),
        groups=tuple(_group(rule, group, index) for index, group in enumerate(groups)),
        parameters=tuple(parameters),
        slots={info.name: SlotInfo(info.extent, info.vector) for info in (*rule.states, torch_storage.MASTER_STATE)},
        matrix=rule.matrix,
        graph=_saved_graph(first) if rule.graph else None,
        seed=first.get(SEED),
        named=named,
        framework=FRAMEWORK,
    )


def _about(group: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a group says of the rule it is of."""
    return cast("Mapping[str, Any]", group.get(OPTGEN) or {})


def _saved_graph(about: Mapping[str, Any]) -> GraphInfo:
    given = cast("Sequence[Sequence[Any]] | None", about["edges"])
    edges = None if given is None else tuple((str(e[0]), str(e[1]), float([*e, 1.0][2])) for e in given)
    return GraphInfo(edges, str(about["laplacian"]), str(about["coupling"]))


def _group(rule: RuleInfo, group: TorchGroup | Mapping[str, Any], index: int) -> Group:
    own = {"params", OPTGEN, NAMES, PLAYERS, DEPTHS, *torch_flags.FLAGS, *(h.per_parameter for h in rule.hypers)}
    own |= {hyper.key for hyper in rule.hypers}
    extra = {key: torch_checks.scalar(value, key) for key, value in group.items() if key not in own}
    for key, value in extra.items():
        if not isinstance(value, _PLAIN):
            raise UsageError(f"group {index} has {key}={value!r}, which a file of numbers and words cannot hold")
    return Group(hypers_of(rule, cast(TorchGroup, group), index), bool(group.get(MAXIMIZE)), extra)


def _parameter(
    rule: RuleInfo,
    group: Mapping[str, Any],
    index: int,
    position: int,
    name: str,
    slots: Mapping[str, Any],
    live: Plan | None,
    place: int,
) -> Parameter:
    state = {key: _array(value) for key, value in slots.items() if key != STEP}
    own: dict[str, HyperValue] = {}
    for hyper in rule.hypers:
        given = group.get(hyper.per_parameter) if hyper.per_parameter else None
        if given is not None and given[position] is not None:
            own[hyper.name] = given[position]
    whole = [x for key, x in state.items() if key == MASTER or _elementwise(rule, key)]
    shape = tuple(live.members[place].param.shape) if live is not None else whole[0].shape if whole else None
    return Parameter(
        name=name,
        shape=shape,
        dtype="" if live is None else str(live.members[place].param.dtype).removeprefix("torch."),
        updates=int(cast(float, torch_checks.scalar(slots.get(STEP, 0.0), STEP))),
        state=state,
        group=index,
        layer=str(group[PLAYERS][position]) if PLAYERS in group else "",
        depth=float(group[DEPTHS][position]) if DEPTHS in group else None,
        hypers=own,
    )


def _elementwise(rule: RuleInfo, name: str) -> bool:
    return any(info.name == name and info.extent == "elem" and not info.vector for info in rule.states)


def _array(value: Tensor) -> Array:
    """A copy in NumPy's memory; words of bfloat16 go over as they are."""
    flat = value.detach().cpu().contiguous()
    if flat.dtype == torch.bfloat16:
        import ml_dtypes

        words: Array = flat.view(torch.uint16).numpy()
        return words.view(ml_dtypes.bfloat16).copy()
    return flat.numpy().copy()


def _tensor(x: Array) -> Tensor:
    if str(x.dtype) == "bfloat16":
        return torch.from_numpy(x.view(np.uint16).copy()).view(torch.bfloat16)  # pyright: ignore[reportUnknownMemberType]
    return torch.from_numpy(x.copy())  # pyright: ignore[reportUnknownMemberType]


# --- and back


def to_state_dict(state: NeutralState, rule: RuleInfo) -> dict[str, Any]:
    """A state dict that an optimizer with the same groups loads."""
    state.check_rule(rule)
    groups: list[TorchGroup] = []
    for index, group in enumerate(state.groups):
        members = [i for i, p in enumerate(state.parameters) if p.group == index]
        own = [state.parameters[i] for i in members]
        made: TorchGroup = {**dict(torch_flags.FLAGS), **group.extra, **_settings(rule, group), "params": members}
        if state.named:
            made[NAMES] = [p.name for p in own]
        if rule.layers:
            made[PLAYERS] = [p.layer for p in own]
        groups.append(_completed(made, rule, state, own))
    return {"state": {i: _slots(p, p.state) for i, p in enumerate(state.parameters)}, "param_groups": groups}


def _state_dict_for(optimizer: Optimizer, state: NeutralState, cast_: bool) -> dict[str, Any]:
    """The state as a state dict of this very optimizer."""
    rule = optimizer.RULE
    state.check_rule(rule)
    saved = optimizer.state_dict()
    current = optimizer._current().plan  # pyright: ignore[reportPrivateUsage]
    labels = [member.name for member in current.members]
    found = matched(state, labels if state.named else [str(i) for i in range(len(labels))])
    if rule.layers:
        here = [member.player for member in current.members]
        check_layers(state, found, here, current.players, _graph(optimizer, current))
    place = 0
    groups: list[TorchGroup] = []
    for live, group in zip(optimizer.param_groups, saved["param_groups"], strict=True):
        own = found[place : place + len(group["params"])]
        place += len(own)
        numbers = {p.group for p in own}
        if any(state.groups[n] != state.groups[min(numbers)] for n in numbers):
            raise StateError("parameters of one group here are of groups with different settings in the file")
        settings = state.groups[min(numbers, default=0)]
        made = {**group, **settings.extra, **_settings(rule, settings)}
        groups.append({**_completed(made, rule, state, own), "params": live["params"]})
    options = optimizer._options.with_seed(state.seed)  # pyright: ignore[reportPrivateUsage]
    wanted = schemas(plan(rule, groups, options))
    states: dict[int, dict[str, Any]] = {}
    for i, (p, member, slots) in enumerate(zip(found, current.members, wanted, strict=True)):
        shapes = {name: (slot.shape, str(slot.dtype).removeprefix("torch.")) for name, slot in slots.items()}
        shape = tuple(member.param.shape)
        states[i] = _slots(p, fitted(p, Wanted(member.name, shape, shapes), cast=cast_))
    ids = [group["params"] for group in saved["param_groups"]]
    return {"state": states, "param_groups": [{**g, "params": own} for g, own in zip(groups, ids, strict=True)]}


def _completed(made: TorchGroup, rule: RuleInfo, state: NeutralState, own: Sequence[Parameter]) -> TorchGroup:
    """A group with what belongs to its parameters, and with what says whose it is."""
    for hyper in rule.hypers:
        if hyper.per_parameter:
            values = [p.hypers.get(hyper.name) for p in own]
            made.pop(hyper.per_parameter, None)
            if any(value is not None for value in values):
                made[hyper.per_parameter] = values
    if rule.depth and all(p.depth is not None for p in own):
        made[DEPTHS] = [p.depth for p in own]
    about: dict[str, Any] = {**(made.get(OPTGEN) or {}), **identity(rule), "digest": state.digest}
    about[GLOBAL_STEP] = state.global_step
    if rule.graph and "edges" not in about and state.graph is not None:
        edges = state.graph.edges
        about["edges"] = None if edges is None else [[a, b] if w == 1 else [a, b, w] for a, b, w in edges]
        about |= {"laplacian": state.graph.laplacian, "coupling": state.graph.coupling}
    if state.seed is not None:
        about[SEED] = state.seed
    return {**made, OPTGEN: about}


def _settings(rule: RuleInfo, group: Group) -> TorchGroup:
    """Hypers by torch's arguments; entries of a tuple together."""
    for name in {hyper.name for hyper in rule.hypers} - set(group.hypers):
        raise StateError(f"the state says nothing of {name}: it was written by another text of {rule.name}")
    made: TorchGroup = {MAXIMIZE: group.maximize}
    for key in dict.fromkeys(hyper.key for hyper in rule.hypers):
        own = [hyper for hyper in rule.hypers if hyper.key == key]
        ordered = sorted((hyper for hyper in own if hyper.index is not None), key=lambda hyper: cast(int, hyper.index))
        values = [deepcopy(group.hypers[hyper.name]) for hyper in ordered or own]
        made[key] = tuple(values) if ordered else values[0]
    return made


def _slots(p: Parameter, state: Mapping[str, Array]) -> dict[str, Any]:
    return {STEP: torch.tensor(float(p.updates)), **{name: _tensor(x) for name, x in state.items()}}


def _graph(optimizer: Optimizer, current: Plan) -> GraphInfo | None:
    if not optimizer.RULE.graph:
        return None
    options = optimizer._options  # pyright: ignore[reportPrivateUsage]
    names = current.players
    edges = None if current.edges is None else tuple((names[a], names[b], w) for a, b, w in current.edges)
    return GraphInfo(edges, options.laplacian, options.coupling)


# --- files of torch


def read_file(path: neutral_file.PathLike, rule_of: neutral_file.RuleOf, key: str = "") -> NeutralState:
    """The state in what `torch.save` or `save_checkpoint` wrote: a state dict, or several things by name.

    `key` names the one to take; without, there must be one optimizer of ours. Nothing in the file is run.
    """
    content = _loaded(path)
    found = {name: value for name, value in _candidates(content) if not key or name == key}
    if len(found) != 1:
        what = f'nothing called "{key}"' if key else "no optimizer of ours" if not found else "several optimizers"
        offered = ", ".join(name for name, _ in _candidates(content) if name)
        raise StateError(f"{path} holds {what}" + (f"; there is {offered}" if offered else ""))
    saved = next(iter(found.values()))
    groups = cast("Sequence[Mapping[str, Any]]", saved["param_groups"])
    name = _about(groups[0]).get("rule") if groups else None
    if not isinstance(name, str):
        raise StateError(f"{path} holds an optimizer that does not say which rule it is of: it is none of ours")
    return of_state_dict(saved, rule_of(name))


def write_file(path: neutral_file.PathLike, state: NeutralState, rule_of: neutral_file.RuleOf) -> None:
    """Writes a state dict that `torch.load(path, weights_only=True)` reads."""
    content = to_state_dict(state, rule_of(state.rule))
    with replacing(Path(os.path.realpath(path))) as file:
        torch.save(content, file)


def _loaded(path: neutral_file.PathLike) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise StateError(f"there is no file {path}") from error
    except Exception as error:  # torch raises whatever its readers do
        raise StateError(f"{path} is not a file of torch's, or not a whole one ({error})") from error


def _candidates(content: object) -> Iterable[tuple[str, Mapping[str, Any]]]:
    if not isinstance(content, Mapping):
        return
    parts = cast(Mapping[Any, object], content)
    if "param_groups" in parts and "state" in parts:
        yield "", cast(Mapping[str, Any], parts)
    for name, value in parts.items():
        if isinstance(value, Mapping) and "param_groups" in value and "state" in value:
            yield str(name), cast(Mapping[str, Any], value)
