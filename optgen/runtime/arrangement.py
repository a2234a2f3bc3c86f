"""Layers, edges and depths of an optimizer's tensors, from their names or as the caller gives them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, TypeVar, cast

from optgen.errors import UsageError, suggest
from optgen.runtime.graph import Edge as Edge
from optgen.runtime.graph import NamedEdges, numbered, players_from_names

Players = str | Sequence[str] | Mapping[str, str] | None
Depths = Sequence[float] | Mapping[str, float] | None
T = TypeVar("T")
#: Settings that say how tensors form layers; claims and examples may give them beside hypers.
ARRANGEMENT = ("players", "edges", "laplacian", "coupling", "depths")


@dataclass(frozen=True)
class Arrangement:
    """How tensors form layers and a graph, as the arguments of an optimizer."""

    players: Players = None
    edges: NamedEdges | None = None
    laplacian: str = "combinatorial"
    coupling: str = "transport"
    depths: Depths = None

    @classmethod
    def of(cls, settings: Mapping[str, object]) -> Arrangement:
        """The settings among these that are of layers; tuples, as a rule's text has them, are lists."""
        return cls(**{name: cast(Any, _listed(settings[name])) for name in ARRANGEMENT if name in settings})


def _listed(setting: object) -> object:
    return [_listed(entry) for entry in cast("tuple[object, ...]", setting)] if isinstance(setting, tuple) else setting


@dataclass(frozen=True)
class Layers:
    """Per tensor: number of its layer, role within it, relative depth. `edges` join layer numbers; None is a path.

    `names` are those of the layers, by number.
    """

    player: list[int]
    role: list[str]
    depth: list[float]
    edges: list[tuple[int, int, float]] | None
    names: tuple[str, ...] = ()


def layers_of(names: Sequence[str] | None, count: int, arranged: Arrangement, *, tensor_depth: bool = False) -> Layers:
    """Layers of `count` tensors; without names each is its own unless players are given.

    With `tensor_depth` depths that are not given are those of tensors, one after the other, and where some are given,
    the deepest.
    """
    pairs = _players(names, count, arranged.players)
    edges = arranged.edges
    words = list(dict.fromkeys(player for player, _ in pairs))
    number = {player: i for i, player in enumerate(words)}
    return Layers(
        [number[player] for player, _ in pairs],
        _apart(pairs),
        _depths(names, count, arranged.depths, tensor_depth),
        None if edges is None else numbered(edges, words),
        tuple(words),
    )


def _players(names: Sequence[str] | None, count: int, given: Players) -> list[tuple[str, str]]:
    alone = [(name, "") for name in names or map(str, range(count))]
    if given == "tensor" or (given is None and names is None):
        return alone
    derived = alone if names is None else players_from_names(names)
    if given is None:
        return derived
    if isinstance(given, str):
        raise UsageError(f'players must be "tensor", a list with one name per parameter or a map, got "{given}"')
    chosen = _spread(given, names, count, "players")
    return [
        derived[i] if player is None else (str(player), "" if names is None else _role(str(player), names[i]))
        for i, player in enumerate(chosen)
    ]


def _role(player: str, name: str) -> str:
    if name == player or name.startswith((f"{player}.", f"{player}/")):
        return name[len(player) + 1 :]
    return re.split(r"[./]", name)[-1]


def _apart(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Roles, numbered where a layer has one twice."""
    seen: dict[tuple[str, str], int] = {}
    roles: list[str] = []
    for pair in pairs:
        seen[pair] = seen.get(pair, 0) + 1
        roles.append(pair[1] if seen[pair] == 1 else f"{pair[1]}#{seen[pair] - 1}")
    return roles


def _depths(names: Sequence[str] | None, count: int, given: Depths, tensor_depth: bool) -> list[float]:
    """Place of the owner (a name without its last part) among all owners, from 0 to 1; 0.5 for a single one."""
    owners: dict[str, int] = {}
    owner = [str(i) for i in range(count)]
    if names is not None and not tensor_depth:
        owner = [re.sub(r"[./]?[^./]*$", "", name) for name in names]
    places = [owners.setdefault(name, len(owners)) for name in owner]
    last = len(owners) - 1
    derived = [place / last if last > 0 else 0.5 for place in places]
    if given is None:
        return derived
    chosen = _spread(given, names, count, "depths")
    numbers = [value for value in chosen if value is not None]
    if all(isinstance(value, int) for value in numbers):
        deepest = max(numbers, default=0)
        chosen = [None if value is None else (value / deepest if deepest else 0.5) for value in chosen]
    if tensor_depth:
        derived = [1.0] * count
    return [d if value is None else float(value) for value, d in zip(chosen, derived, strict=True)]


def _spread(
    given: Sequence[T] | Mapping[str, T], names: Sequence[str] | None, count: int, argument: str
) -> list[T | None]:
    """One entry per tensor from a list, or from a map of name patterns."""
    if isinstance(given, Mapping):
        if names is None:
            raise UsageError(f"{argument} is given by name, but the parameters have none")
        for pattern in given:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise UsageError(f'{argument} names "{pattern}", which no parameter matches. {suggest(pattern, names)}')
        return [next((value for key, value in given.items() if fnmatchcase(name, key)), None) for name in names]
    if len(given) != count:
        raise UsageError(f"{argument} has {len(given)} entries for {count} parameters")
    return list(given)
