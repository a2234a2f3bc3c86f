"""Parameter groups as a rule sees them: names, players, depths, and hyper-parameter values by the rule's own names."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, TypeAlias, cast

from torch import Tensor

from optgen.errors import HyperError, UsageError, suggest
from optgen.runtime import torch_checks
from optgen.runtime.graph import players_from_names
from optgen.runtime.rule_info import HyperInfo, HyperValue, RuleInfo, Settled
from optgen.runtime.torch_resident import Residents
from optgen.runtime.torch_storage import StorageOptions

#: A group as torch keeps it: the caller may put anything into it.
Group: TypeAlias = dict[str, Any]

#: One edge between players: a pair, or a triple with a weight.
Edge: TypeAlias = tuple[str, str] | tuple[str, str, float]
#: Edges, or the word for a graph that has one.
Edges: TypeAlias = str | tuple[Edge, ...] | None
Players: TypeAlias = str | Sequence[str] | Mapping[str, str] | None
Depths: TypeAlias = Sequence[float] | Mapping[str, float] | None
PerParameter: TypeAlias = Sequence[int | float | str] | Mapping[str, int | float | str] | None

PLAYERS = "players"
DEPTHS = "depths"
NAMES = "param_names"


@dataclass(frozen=True)
class Options:
    """What the caller chose for a whole optimizer, apart from its groups."""

    backend: str | None = None
    players: Players = None
    edges: Edges = None
    laplacian: str = "combinatorial"
    coupling: str = "transport"
    depths: Depths = None
    per_parameter: Mapping[str, PerParameter] = field(default_factory=dict[str, PerParameter])
    strict: bool = False
    storage: StorageOptions = field(default_factory=StorageOptions)

    def with_seed(self, seed: int | None) -> Options:
        """The same with another seed of random bits; None keeps this one."""
        return self if seed is None else replace(self, storage=replace(self.storage, seed=seed))

    def with_scaled(self, scaled: bool) -> Options:
        """The same for kernels that divide gradients by a scale, or not."""
        return replace(self, storage=replace(self.storage, scaled=scaled))


def where(index: int) -> str:
    """How messages call a group."""
    return f"parameter group {index}"


def label(group: Group, index: int, position: int) -> str:
    """How messages call a parameter: its name if it has one."""
    names = group.get(NAMES)
    return str(names[position]) if names else f"parameter {position} of group {index}"


def hypers_of(rule: RuleInfo, group: Group, index: int, known: Residents | None = None) -> dict[str, HyperValue]:
    """Values of a group's hyper-parameters by the rule's own names, checked against their domains.

    `known` are tensors on a device whose numbers were looked at before, and are not again.
    """
    values: dict[str, HyperValue] = {}
    for hyper in rule.hypers:
        given = entry(hyper, group, index)
        tensor, value = (known or {}).get(hyper.name, (None, 0.0))
        seen = tensor is not None and given is tensor
        values[hyper.name] = value if seen else torch_checks.accept(hyper, given, where(index))
    torch_checks.require(rule, values, where(index))
    return values


def entry(hyper: HyperInfo, group: Group, index: int) -> object:
    """What a group holds for a hyper-parameter."""
    if hyper.key not in group:
        raise HyperError(f"{where(index)} has no {hyper.key}")
    value: object = group[hyper.key]
    if hyper.index is None:
        return value
    if not isinstance(value, list | tuple) or len(cast(Sequence[object], value)) <= hyper.index:
        raise HyperError(f"{hyper.key} of {where(index)} must be a tuple with an entry {hyper.index}, got {value!r}")
    return cast(Sequence[object], value)[hyper.index]


def settle(rule: RuleInfo, hypers: Mapping[str, HyperValue], maximize: object, index: int, coupling: str) -> Settled:
    """What kernels are built for, for a group's values."""
    if not isinstance(maximize, bool):
        raise HyperError(f"maximize of {where(index)} must be True or False, got {maximize!r}")
    return rule.settled(hypers, maximize, coupling)


def check_shared(rule: RuleInfo, values: Sequence[Mapping[str, HyperValue]]) -> None:
    """Refuses different values, between groups, of a hyper-parameter that the optimizer has one of."""
    for hyper in rule.hypers:
        if hyper.over != "model":
            continue
        for index, group in enumerate(values):
            if group[hyper.name] != values[0][hyper.name]:
                raise HyperError(
                    f"{hyper.argument} is one number for the whole optimizer, but is {values[0][hyper.name]!r} in "
                    f"{where(0)} and {group[hyper.name]!r} in {where(index)}"
                )


def spread(given: object, group: Group, argument: str, matched: set[str] | None = None) -> list[Any] | None:
    """One value per parameter of a group, None where a pattern map says nothing; None for no values at all.

    `given` has one entry per parameter of the group, or maps name patterns (`*`, `?`) to values, first match first.
    """
    if given is None:
        return None
    count = len(group["params"])
    if isinstance(given, Mapping):
        names = group.get(NAMES)
        if not names:
            raise UsageError(
                f"{argument} is given by name, but the parameters have none: pass model.named_parameters()"
            )
        return [_match(cast(Mapping[str, object], given), str(name), matched) for name in names]
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise UsageError(f"{argument} must be a list with one entry per parameter, or a map from name patterns")
    entries = list(cast(Sequence[object], given))
    if len(entries) != count:
        raise UsageError(f"{argument} has {len(entries)} entries for {count} parameters")
    return entries


def _match(patterns: Mapping[str, object], name: str, matched: set[str] | None) -> object:
    for pattern, value in patterns.items():
        if fnmatchcase(name, pattern):
            if matched is not None:
                matched.add(pattern)
            return value
    return None


def check_matched(given: object, matched: set[str], groups: Sequence[Group], argument: str) -> None:
    """Refuses a name pattern that no parameter matched: what was asked for would silently not happen."""
    if not isinstance(given, Mapping):
        return
    names = [str(name) for group in groups for name in group.get(NAMES, ())]
    patterns = cast(Mapping[str, object], given)
    for pattern in patterns:
        if pattern not in matched and not any(fnmatchcase(name, pattern) for name in names):
            raise UsageError(f'{argument} names "{pattern}", which no parameter matches. {suggest(pattern, names)}')


def split(given: object, groups: Sequence[Group], argument: str) -> list[object]:
    """An argument for all parameters, cut into one per group; maps and words hold for each."""
    if given is None or isinstance(given, str | Mapping):
        return [given] * len(groups)
    if not isinstance(given, Sequence):
        raise UsageError(f"{argument} must be a list with one entry per parameter, or a map from name patterns")
    entries = list(cast(Sequence[object], given))
    counts = [len(group["params"]) for group in groups]
    if len(entries) != sum(counts):
        raise UsageError(f"{argument} has {len(entries)} entries for {sum(counts)} parameters")
    starts = [sum(counts[:i]) for i in range(len(counts))]
    return [entries[start : start + count] for start, count in zip(starts, counts, strict=True)]


def name_players(given: object, group: Group, index: int) -> tuple[list[str], list[str]]:
    """(players, roles) of a group's parameters: as given, else from their names, else each its own player."""
    names = [label(group, index, i) for i in range(len(group["params"]))]
    if given == "tensor" or (given is None and not group.get(NAMES)):
        return names, [""] * len(names)
    if given is None:
        pairs = players_from_names(names)
        return [player for player, _ in pairs], [role for _, role in pairs]
    if isinstance(given, str):
        raise UsageError(f'players must be "tensor", a list with one name per parameter or a map, got "{given}"')
    chosen = spread(given, group, PLAYERS) or []
    derived = players_from_names(names) if group.get(NAMES) else [(name, "") for name in names]
    players = [str(c) if c is not None else d[0] for c, d in zip(chosen, derived, strict=True)]
    return players, [_role(player, name, bool(group.get(NAMES))) for player, name in zip(players, names, strict=True)]


def _role(player: str, name: str, named: bool) -> str:
    """What a parameter is within its player: the rest of its name."""
    if not named:
        return ""
    if name == player or name.startswith((f"{player}.", f"{player}/")):
        return name[len(player) + 1 :]
    return name.rpartition(".")[2]


def unique_roles(players: Sequence[str], roles: Sequence[str]) -> list[str]:
    """Roles that tell a player's parameters apart: repeated ones are numbered."""
    seen: dict[tuple[str, str], int] = {}
    result: list[str] = []
    for player, role in zip(players, roles, strict=True):
        count = seen.get((player, role), 0)
        seen[player, role] = count + 1
        result.append(f"{role}#{count}" if count else role)
    return result


def _shown(players: Sequence[str]) -> str:
    return ", ".join(players[:8]) + (f" and {len(players) - 8} more" if len(players) > 8 else "")


def derive_depths(groups: Sequence[Group], *, apart: bool = False) -> list[list[float]]:
    """Relative depth of every parameter, group by group: its owner's place in the order of first appearance.

    The owner is the name without its last part; a parameter without a name is its own, and with `apart` every one is.
    """
    owners: dict[str, int] = {}
    found: list[list[int]] = []
    for index, group in enumerate(groups):
        labels = [label(group, index, i) for i in range(len(group["params"]))]
        names = [name.rpartition(".")[0] if group.get(NAMES) and not apart else name for name in labels]
        found.append([owners.setdefault(name, len(owners)) for name in names])
    last = len(owners) - 1
    return [[place / last if last > 0 else 0.5 for place in places] for places in found]


def relative_depths(given: Sequence[object]) -> list[float | None]:
    """Depths between 0 (input) and 1 (output): whole numbers count layers from 0, others are relative already."""
    for value in given:
        fits = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")
        if value is not None and not fits:
            raise UsageError(f"depths must be numbers of at least 0, got {value!r}")
    numbers = [value for value in given if isinstance(value, int | float)]
    if all(isinstance(value, int) for value in numbers):
        last = max(numbers, default=0)
        return [None if v is None else (float(cast(int, v)) / last if last else 0.5) for v in given]
    if any(value > 1 for value in numbers):
        raise UsageError("depths are whole numbers that count layers, or relative ones between 0.0 and 1.0; not both")
    return [None if v is None else float(cast(float, v)) for v in given]


def warn_unnamed(rule: RuleInfo, players: Sequence[str]) -> None:
    """Says once, when an optimizer is made, which layers a rule that uses layers found without names."""
    warnings.warn(
        f"{rule.class_name} works on layers, but the parameters have no names: each of the {len(players)} tensors is "
        f"a layer of its own ({_shown(players)}), in the order given. Pass model.named_parameters(), or say "
        'players="tensor" if this is meant',
        stacklevel=5,
    )


def warn_unconnected(rule: RuleInfo, players: Sequence[str]) -> None:
    """Says which layers, added after the edges were given, these leave out."""
    if players:
        warnings.warn(f"{rule.class_name}: edges leave out {_shown(players)}, which therefore step alone", stacklevel=4)


def flat(groups: Sequence[Group]) -> list[Tensor]:
    """All parameters in order."""
    return [param for group in groups for param in group["params"]]
