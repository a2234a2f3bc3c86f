"""Which parameters form a player (layer), which players are neighbours, and the coefficients of the graph Laplacian."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optgen.errors import UsageError, suggest

LAPLACIANS = ("combinatorial", "random_walk", "symmetric")
COUPLINGS = ("transport", "match", "equal")
NOT_BUILT = ("pad", "overlap")

#: What makes players match: role -> (shape, dtype).
Roles = dict[str, tuple[tuple[int, ...], str]]


def players_from_names(names: Sequence[str]) -> list[tuple[str, str]]:
    """(player, role) of each parameter name, whose components are joined by "." or "/".

    The player is the name up to and including its first all-digit component, else up to and including the first one
    that ends in ``_<digits>``, else all but the last component; the rest is the role.
    """
    return [_player(name) for name in names]


def _player(name: str) -> tuple[str, str]:
    parts = re.split(r"([./])", name)
    components = parts[::2]
    end = next((i for i, part in enumerate(components) if part.isdecimal()), None)
    if end is None:
        end = next((i for i, part in enumerate(components) if re.search(r"_\d+$", part)), len(components) - 2)
    return "".join(parts[: 2 * end + 1] if end >= 0 else []), "".join(parts[2 * end + 2 :] if end >= 0 else parts)


@dataclass(frozen=True)
class Edges:
    """Edges of the players present in a step, in both directions, those of player l from start[l] to start[l + 1].

    The Laplacian of x at l is the sum over them of own * x[l] - other * x[to].
    """

    start: NDArray[np.int64]
    to: NDArray[np.int64]
    own: NDArray[np.float64]
    other: NDArray[np.float64]
    matched: NDArray[np.int64]


class Graph:
    """All edges between players. UsageError for unknown words and for edges that the coupling does not allow."""

    def __init__(
        self,
        roles: Sequence[Roles],
        edges: Sequence[tuple[int, int, float]] | None,
        laplacian: str = "combinatorial",
        coupling: str = "transport",
    ) -> None:
        self.players = len(roles)
        self.laplacian = _known("laplacian", laplacian, LAPLACIANS)
        if coupling in NOT_BUILT:
            raise UsageError(f'coupling "{coupling}" is not built yet; use one of {", ".join(COUPLINGS)}')
        _known("coupling", coupling, COUPLINGS)
        if edges is None:
            edges = [(i, i + 1, 1.0) for i in range(self.players - 1)]
        for i, j, weight in edges:
            if i == j or not (0 <= i < self.players and 0 <= j < self.players) or not 0 <= weight < math.inf:
                raise UsageError(f"the edge {(i, j, weight)} must join two players with a weight of at least 0")
        apart = [(i, j) for i, j, _ in edges if roles[i] != roles[j]]
        if apart and coupling == "equal":
            raise UsageError(
                f'coupling "equal" needs neighbours of equal shapes; players {apart[0][0]} and {apart[0][1]} have '
                f'{roles[apart[0][0]]} and {roles[apart[0][1]]}. Use "transport" or "match"'
            )
        kept = [(i, j, w) for i, j, w in edges if w > 0 and (coupling != "match" or roles[i] == roles[j])]
        both = kept + [(j, i, w) for i, j, w in kept]
        both.sort(key=lambda edge: edge[:2])
        self.source = np.array([i for i, _, _ in both], dtype=np.int64)
        self.target = np.array([j for _, j, _ in both], dtype=np.int64)
        self.weight = np.array([w for _, _, w in both], dtype=np.float64)
        self.matched = np.array([int(roles[i] == roles[j]) for i, j, _ in both], dtype=np.int64)

    def edges(self, present: NDArray[np.bool_]) -> Edges:
        """The edges that exist while these players are present, with coefficients by their own degrees."""
        there = present[self.source] & present[self.target]
        source, target, weight = self.source[there], self.target[there], self.weight[there]
        degree = np.bincount(source, weights=weight, minlength=self.players)
        own = other = weight
        if self.laplacian == "random_walk":
            own = other = weight / degree[source]
        elif self.laplacian == "symmetric":
            own, other = weight / degree[source], weight / np.sqrt(degree[source] * degree[target])
        counts = np.bincount(source, minlength=self.players)
        start = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        return Edges(start, target, own.astype(np.float64), other.astype(np.float64), self.matched[there])


def _known(what: str, word: str, words: Sequence[str]) -> str:
    if word not in words:
        raise UsageError(
            f'{what} "{word}" is not known; use one of {", ".join(words)}. {suggest(word, words)}'.rstrip()
        )
    return word


def roles_of(
    players: Sequence[int], roles: Sequence[str], shapes: Sequence[tuple[int, ...]], dtypes: Sequence[str]
) -> list[Roles]:
    """Role -> (shape, dtype) of each player, from parallel lists of tensors. UsageError if a player repeats a role."""
    result: list[Roles] = [{} for _ in range(max(players, default=-1) + 1)]
    for player, role, shape, dtype in zip(players, roles, shapes, dtypes, strict=True):
        if role in result[player]:
            raise UsageError(f'player {player} has two tensors of the role "{role}"; give them roles that differ')
        result[player][role] = (shape, dtype)
    return result


@dataclass(frozen=True)
class Neighbours:
    """Matched neighbour tensors: those of tensor t from start[t] to start[t + 1], with coefficients as in Edges.

    Two zeros follow the coefficients, which kernels read in pairs.
    """

    start: NDArray[np.int64]
    tensor: NDArray[np.int64]
    own: NDArray[np.float64]
    other: NDArray[np.float64]


def neighbours(edges: Edges, players: Sequence[int], roles: Sequence[str]) -> Neighbours:
    """Neighbour tensors, role by role, along matched edges."""
    where = {(player, role): t for t, (player, role) in enumerate(zip(players, roles, strict=True))}
    start, found = [0], list[tuple[int, float, float]]()
    for player, role in zip(players, roles, strict=True):
        for e in range(int(edges.start[player]), int(edges.start[player + 1])):
            if edges.matched[e]:
                found.append((where[int(edges.to[e]), role], float(edges.own[e]), float(edges.other[e])))
        start.append(len(found))
    return Neighbours(
        np.array(start, dtype=np.int64),
        np.array([t for t, _, _ in found], dtype=np.int64),
        np.array([a for _, a, _ in found] + [0.0, 0.0], dtype=np.float64),
        np.array([b for _, _, b in found] + [0.0, 0.0], dtype=np.float64),
    )


def matched_groups(graph: Graph, players: Sequence[int], roles: Sequence[str]) -> list[list[int]]:
    """Tensors that may read one another, directly or through others: per connected matched players and role."""
    component = list(range(graph.players))
    for i, j, matched in zip(graph.source, graph.target, graph.matched, strict=True):
        if matched:
            old, new = component[int(j)], component[int(i)]
            component = [new if c == old else c for c in component]
    groups: dict[tuple[int, str], list[int]] = {}
    for tensor, (player, role) in enumerate(zip(players, roles, strict=True)):
        groups.setdefault((component[player], role), []).append(tensor)
    return list(groups.values())
