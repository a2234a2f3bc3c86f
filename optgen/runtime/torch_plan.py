"""Everything an optimizer needs for its groups, worked out and checked before anything of it is put in place."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from optgen.errors import HyperError
from optgen.runtime import modules, torch_checks, torch_reference, torch_storage
from optgen.runtime.gpu_library import known
from optgen.runtime.graph import Graph, numbered, roles_of
from optgen.runtime.kernel_module import Module
from optgen.runtime.rule_info import Hypers, HyperValue, Meta, RuleInfo, Settled, meta_of
from optgen.runtime.storage import DtypeSet
from optgen.runtime.tables import TensorInfo
from optgen.runtime.torch_groups import (
    DEPTHS,
    PLAYERS,
    Group,
    Options,
    check_shared,
    hypers_of,
    label,
    name_players,
    settle,
    unique_roles,
)
from optgen.runtime.torch_storage import StorageOptions


@dataclass(frozen=True)
class Member:
    """One parameter, and what its kernels are told about it. `own` names the hypers it has for itself.

    `gradient` is the dtype of gradients that `dtypes` was chosen for.
    """

    param: Tensor
    name: str
    group: int
    player: str
    role: str
    hypers: Mapping[str, HyperValue]
    meta: Meta
    own: frozenset[str] = frozenset()
    dtypes: DtypeSet = field(default_factory=DtypeSet)
    gradient: torch.dtype = torch.float32


@dataclass(frozen=True)
class Part:
    """The parameters served by one set of tables: those with the same settled choices.

    `modules` has one entry per dtype set, `module_of` one per member.
    """

    settled: Settled
    members: tuple[int, ...]
    modules: tuple[Module, ...]
    module_of: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """What serves which parameter. `players` are the layers in order, `edges` between their numbers."""

    rule: RuleInfo
    backend: str
    members: tuple[Member, ...]
    parts: tuple[Part, ...]
    players: tuple[str, ...]
    edges: tuple[tuple[int, int, float], ...] | None
    values: tuple[Mapping[str, HyperValue], ...]

    def module_of(self, index: int) -> tuple[Part, Module]:
        """The part and the module that serve a parameter."""
        for part in self.parts:
            if index in part.members:
                return part, part.modules[part.module_of[part.members.index(index)]]
        raise IndexError(f"no parameter {index}")

    @property
    def known_here(self) -> frozenset[str]:
        """Hypers that the host has to know for the library calls of kernels on a device."""
        entries = [name for part in self.parts for module in part.modules for name in known(module)["hypers"]]
        return frozenset(name.partition("[")[0] for name in entries)

    @property
    def counts_here(self) -> bool:
        """Whether the host has to know which steps are completed, to decide by them on the library calls of kernels."""
        return any(known(module)["counters"] for part in self.parts for module in part.modules)

    @property
    def uses_layers(self) -> bool:
        """Whether the kernels in use work on layers; of the interpreter, which has none, the rule's text is asked."""
        manifests = [module.manifest for part in self.parts for module in part.modules]
        if any("stages" not in manifest for manifest in manifests):
            return self.rule.layers
        extents = {extent for m in manifests for stages in m["stages"] for _, extent in stages}
        slots = {slot["extent"] for m in manifests for slot in m["slots"]}
        return "layer" in extents | slots or any(manifest["graph"] for manifest in manifests)

    def max_degree(self, options: Options) -> float:
        """The largest weighted degree of the graph of layers, 0 for a rule that has none."""
        if not self.rule.graph:
            return 0.0
        number = {player: i for i, player in enumerate(self.players)}
        kinds = roles_of(
            [number[member.player] for member in self.members],
            [member.role for member in self.members],
            [tuple(member.param.shape) for member in self.members],
            [str(member.dtypes) for member in self.members],
        )
        return Graph(kinds, self.edges, options.laplacian, options.coupling).degree

    def infos(self, part: Part) -> list[TensorInfo]:
        """What the tables of a part are told about their tensors."""
        number = {player: i for i, player in enumerate(self.players)}
        return [
            TensorInfo(
                shape=tuple(member.param.shape),
                player=number[member.player],
                role=member.role,
                depth=member.meta.depth,
                dtype=str(member.dtypes),
            )
            for member in (self.members[i] for i in part.members)
        ]


def plan(rule: RuleInfo, groups: Sequence[Group], options: Options) -> Plan:
    """Checks parameters and hyper-parameters, and finds (or builds) the kernels. Changes nothing; raises instead."""
    members, values = _members(rule, groups)
    params = [member.param for member in members]
    torch_checks.check_parameters(params, [member.name for member in members], rule)
    _warn_of_unused(rule, members)
    members = _stored(rule, members, options.storage)
    backend = modules.choose_backend(options.backend, torch_checks.device_type(params, [m.name for m in members]))
    players = tuple(dict.fromkeys(member.player for member in members))
    edges = numbered(options.edges, players) if rule.graph and options.edges is not None else None
    parts = _parts(rule, groups, members, backend, options.coupling)
    if options.strict:
        torch_storage.check_strict(rule, [module for part in parts for module in part.modules])
    if len(parts) > 1 and (rule.layers or any(_model_wide(part) for part in parts)):
        _check_together(rule, members, parts)
    return Plan(rule, backend, members, parts, players, None if edges is None else tuple(edges), values)


def _check_together(rule: RuleInfo, members: Sequence[Member], parts: Sequence[Part]) -> None:
    """Refuses what is served apart but affects one another: tensors on several devices, or of other choices."""
    if rule.reach == "layer":
        for player in dict.fromkeys(member.player for member in members):
            layer = [member for member in members if member.player == player]
            what = f"the tensors of a layer ({player})"
            torch_checks.check_one_device([m.param for m in layer], [m.name for m in layer], rule, what)
    else:
        names = [member.name for member in members]
        torch_checks.check_one_device([member.param for member in members], names, rule, "its parameters")
    differing = sorted(k for k in parts[0].settled if len({part.settled[k] for part in parts}) > 1)
    if differing:
        raise HyperError(
            f"{rule.class_name} couples its parameters, so these must be the same in all groups: {', '.join(differing)}"
        )


def _warn_of_unused(rule: RuleInfo, members: Sequence[Member]) -> None:
    """Says which of the rules that `else` joins no parameter gets."""
    if rule.arm is None or not members:
        return
    used = {rule.arm(member.hypers, member.meta) for member in members}
    for name in rule.arms:
        if name not in used:
            warnings.warn(
                f'{rule.class_name}: no parameter gets the rule "{name}"; a group may ask for a rule by rule="NAME"',
                UserWarning,
                stacklevel=2,
            )


def _members(
    rule: RuleInfo, groups: Sequence[Group]
) -> tuple[tuple[Member, ...], tuple[Mapping[str, HyperValue], ...]]:
    values = tuple(hypers_of(rule, group, index) for index, group in enumerate(groups))
    check_shared(rule, values)
    members: list[Member] = []
    for index, (group, hypers) in enumerate(zip(groups, values, strict=True)):
        players, roles = name_players(group.get(PLAYERS), group, index)
        depths = group.get(DEPTHS) or [0.5] * len(players)
        for position, param in enumerate(group["params"]):
            meta = meta_of(tuple(param.shape), rule.matrix, depths[position], roles[position])
            own = _own_values(rule, group, index, position)
            values_here = {**hypers, **own} if own else hypers
            name = label(group, index, position)
            rule.check_fit(name, values_here, meta)
            player, role = players[position], roles[position]
            members.append(Member(param, name, index, player, role, values_here, meta, frozenset(own)))
    roles = unique_roles([member.player for member in members], [member.role for member in members])
    return tuple(replace(member, role=role) for member, role in zip(members, roles, strict=True)), values


def _stored(rule: RuleInfo, members: Sequence[Member], options: StorageOptions) -> tuple[Member, ...]:
    """The members with their dtype sets. UsageError for options that serve none of them."""
    known: dict[tuple[torch.dtype, torch.dtype], DtypeSet] = {}
    made: list[Member] = []
    for member in members:
        gradient = torch_storage.gradient_dtype(member.param)
        key = (member.param.dtype, gradient)
        if key not in known:
            known[key] = torch_storage.dtype_set(rule, options, *key)
        made.append(replace(member, dtypes=known[key], gradient=gradient))
    torch_storage.check_served(options, [member.dtypes for member in made], [member.name for member in made])
    return tuple(made)


def _own_values(rule: RuleInfo, group: Group, index: int, position: int) -> Mapping[str, HyperValue]:
    """Values that a parameter has for itself."""
    own: dict[str, HyperValue] = {}
    for hyper in rule.hypers:
        entries = group.get(hyper.per_parameter) if hyper.per_parameter else None
        if entries is not None and entries[position] is not None:
            where = f"parameter {label(group, index, position)} ({hyper.per_parameter})"
            own[hyper.name] = torch_checks.accept(hyper, entries[position], where)
    return own


def _parts(
    rule: RuleInfo, groups: Sequence[Group], members: Sequence[Member], backend: str, coupling: str
) -> tuple[Part, ...]:
    found: dict[tuple[object, ...], tuple[Settled, list[int]]] = {}
    known: dict[int, Settled] = {}
    for i, member in enumerate(members):
        if id(member.hypers) not in known:
            known[id(member.hypers)] = settle(
                rule, member.hypers, groups[member.group].get("maximize", False), member.group, coupling
            )
        settled = known[id(member.hypers)]
        key = (member.param.device, *sorted(settled.items()))
        found.setdefault(key, (settled, []))[1].append(i)
    return tuple(_part(rule, settled, indices, members, backend) for settled, indices in found.values())


def _part(rule: RuleInfo, settled: Settled, indices: Sequence[int], members: Sequence[Member], backend: str) -> Part:
    dtypes: dict[str, Module] = {}
    for i in indices:
        dtype = str(members[i].dtypes)
        if dtype not in dtypes:
            if backend == modules.REFERENCE:
                dtypes[dtype] = torch_reference.module(rule, settled, dtype, members[i].hypers)
            else:
                dtypes[dtype] = modules.find(rule, settled, dtype, backend, members[i].hypers)
    order = list(dtypes)
    module_of = tuple(order.index(str(members[i].dtypes)) for i in indices)
    return Part(settled, tuple(indices), tuple(dtypes.values()), module_of)


def _model_wide(part: Part) -> bool:
    """Whether any sweep of a part reduces over more than a tensor."""
    return any(extent in ("layer", "model") for module in part.modules for extent in module.manifest["barriers"])


def hyper_row(names: Sequence[str], hypers: Hypers) -> list[float]:
    """Values in the order of a kernel's hyper columns; entries of a list are called `name[0]`."""
    row: list[float] = []
    for name in names:
        base, _, entry = name.partition("[")
        value = hypers[base]
        row.append(float(value[int(entry[:-1])] if entry else value))
    return row
