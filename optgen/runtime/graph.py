"""Which parameters form a player (layer), which players are neighbours, and the coefficients of the graph Laplacian."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from optgen.errors import UsageError, suggest

LAPLACIANS = ("combinatorial", "random_walk", "symmetric")
#: What joins neighbours. `transport`: matched ones (equal shapes, role by role) element by element, others by the norms
#: of their gradients; `match`: matched ones only; `equal`: all must be matched. The others couple elements of equal
#: flat index, role after role, so that a tensor's layout in memory matters: `overlap` those that both have, `pad` all,
#: as if the shorter one ended in zeros, `flat` all, of players of equal size.
COUPLINGS = ("transport", "match", "equal", "overlap", "pad", "flat")
#: Those that couple elements by flat index.
FLAT = ("overlap", "pad", "flat")
#: Graphs that have a name: neighbours in forward order, and every pair.
GRAPHS = ("path", "complete")
#: End of a window that holds a whole tensor.
WHOLE = 1 << 62

#: What makes players match: role -> (shape, dtype).
Roles = dict[str, tuple[tuple[int, ...], str]]
#: Elements first to end of a role, and where the other's role (None: zeros) has its counterpart of element 0.
Piece = tuple[str, str | None, int, int, int]
#: An edge as callers write it, a pair of player names or a triple with a weight; and all edges, or a graph's name.
Edge = tuple[str, str] | tuple[str, str, float]
NamedEdges = str | Sequence[Edge]


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
        self.coupling = _known("coupling", coupling, COUPLINGS)
        self.roles = list(roles)
        if edges is None:
            edges = [(i, i + 1, 1.0) for i in range(self.players - 1)]
        for i, j, weight in edges:
            if i == j or not (0 <= i < self.players and 0 <= j < self.players) or not 0 <= weight < math.inf:
                raise UsageError(f"the edge {(i, j, weight)} must join two players with a weight of at least 0")
        self._refuse_unequal(edges)
        kept = [(i, j, w) for i, j, w in edges if w > 0 and (coupling != "match" or roles[i] == roles[j])]
        both = kept + [(j, i, w) for i, j, w in kept]
        both.sort(key=lambda edge: edge[:2])
        self.source = np.array([i for i, _, _ in both], dtype=np.int64)
        self.target = np.array([j for _, j, _ in both], dtype=np.int64)
        self.weight = np.array([w for _, _, w in both], dtype=np.float64)
        by_index = coupling in FLAT
        self.matched = np.array([int(by_index or roles[i] == roles[j]) for i, j, _ in both], dtype=np.int64)

    @property
    def by_index(self) -> bool:
        """Whether elements are coupled by flat index, so that every tensor is walked through in row-major order."""
        return self.coupling in FLAT

    @property
    def degree(self) -> float:
        """The largest sum of a player's weights; at most 1 where the Laplacian divides by it, 0 without edges."""
        degrees = np.bincount(self.source, weights=self.weight, minlength=1)
        return float(degrees.max()) if self.laplacian == "combinatorial" else float(degrees.max() > 0)

    def pieces(self, i: int, j: int) -> list[Piece]:
        """What the elements of player i read at player j along an edge."""
        if not self.by_index:
            return [(role, role, 0, WHOLE, 0) for role in self.roles[i]] if self.roles[i] == self.roles[j] else []
        found: list[Piece] = []
        others, end = _laid_out(self.roles[j])
        own, _ = _laid_out(self.roles[i])
        for role, begin, stop in own:
            for other, there, past in others:
                low, high = max(begin, there), min(stop, past)
                if low < high:
                    found.append((role, other, low - begin, high - begin, begin - there))
            if self.coupling == "pad" and stop > max(begin, end):
                found.append((role, None, max(begin, end) - begin, stop - begin, 0))
        return found

    def _refuse_unequal(self, edges: Sequence[tuple[int, int, float]]) -> None:
        """UsageError for neighbours that the coupling does not allow."""
        for i, j, _ in edges:
            ours, theirs = self.roles[i], self.roles[j]
            if self.coupling == "equal" and ours != theirs:
                raise UsageError(
                    f'coupling "equal" needs neighbours of equal shapes; players {i} and {j} have {ours} and {theirs}. '
                    'Use "transport" or "match"'
                )
            if self.coupling == "flat" and _laid_out(ours)[1] != _laid_out(theirs)[1]:
                raise UsageError(
                    f'coupling "flat" needs neighbours of equally many elements; players {i} and {j} have '
                    f'{_laid_out(ours)[1]} and {_laid_out(theirs)[1]}. Use "overlap", "pad" or "transport"'
                )
            dtypes = {dtype for _, dtype in (*ours.values(), *theirs.values())}
            if self.by_index and len(dtypes) > 1:
                raise UsageError(
                    f'coupling "{self.coupling}" reads elements of one player as those of another, so they must have '
                    f"one dtype; players {i} and {j} have {', '.join(sorted(dtypes))}"
                )

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


def _laid_out(roles: Roles) -> tuple[list[tuple[str, int, int]], int]:
    """Role, first and past-the-last flat index of a player's tensors, one after the other; and how many in all."""
    found: list[tuple[str, int, int]] = []
    end = 0
    for role, (shape, _) in roles.items():
        found.append((role, end, end + math.prod(shape)))
        end += math.prod(shape)
    return found, end


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
    """Neighbour tensors: those of tensor t from start[t] to start[t + 1], with coefficients as in Edges.

    Tensor -1 is one of zeros. Two zeros follow the coefficients, which kernels read in pairs. `window` i64[entries, 3]:
    only elements first to end of t, in row-major order, have this neighbour, and element k reads its k + shift.
    """

    start: NDArray[np.int64]
    tensor: NDArray[np.int64]
    own: NDArray[np.float64]
    other: NDArray[np.float64]
    window: NDArray[np.int64]


def neighbours(graph: Graph, edges: Edges, players: Sequence[int], roles: Sequence[str]) -> Neighbours:
    """Neighbour tensors, role by role, along those of the graph's edges that there are."""
    where = {(player, role): t for t, (player, role) in enumerate(zip(players, roles, strict=True))}
    start, found, windows = [0], list[tuple[int, float, float]](), list[tuple[int, int, int]]()
    pieces: dict[tuple[int, int], list[Piece]] = {}
    for player, role in zip(players, roles, strict=True):
        for e in range(int(edges.start[player]), int(edges.start[player + 1])):
            other = int(edges.to[e])
            if (player, other) not in pieces:
                pieces[player, other] = graph.pieces(player, other)
            for own, theirs, first, end, shift in pieces[player, other]:
                if own == role:
                    tensor = -1 if theirs is None else where[other, theirs]
                    found.append((tensor, float(edges.own[e]), float(edges.other[e])))
                    windows.append((first, end, shift))
        start.append(len(found))
    return Neighbours(
        np.array(start, dtype=np.int64),
        np.array([t for t, _, _ in found], dtype=np.int64),
        np.array([a for _, a, _ in found] + [0.0, 0.0], dtype=np.float64),
        np.array([b for _, _, b in found] + [0.0, 0.0], dtype=np.float64),
        np.array(windows, dtype=np.int64).reshape(-1, 3),
    )


def matched_groups(graph: Graph, players: Sequence[int], roles: Sequence[str]) -> list[list[int]]:
    """Tensors that may read one another element by element, directly or through others: equal role, connected players.

    There are none where elements are coupled by flat index: such tensors share no way of being walked through.
    """
    if graph.by_index:
        return []
    component = list(range(graph.players))
    for i, j, matched in zip(graph.source, graph.target, graph.matched, strict=True):
        if matched:
            old, new = component[int(j)], component[int(i)]
            component = [new if c == old else c for c in component]
    groups: dict[tuple[int, str], list[int]] = {}
    for tensor, (player, role) in enumerate(zip(players, roles, strict=True)):
        groups.setdefault((component[player], role), []).append(tensor)
    return list(groups.values())


def numbered(edges: NamedEdges, players: Sequence[str]) -> list[tuple[int, int, float]]:
    """Edges between player numbers, of a graph by its name or of edges between player names.

    UsageError for unknown graphs and players, for loops, and for weights that are no numbers of at least 0.
    """
    if isinstance(edges, str):
        count = len(players)
        if _known("edges", edges, GRAPHS) == "path":
            return [(i, i + 1, 1.0) for i in range(count - 1)]
        return [(i, j, 1.0) for i, j in itertools.combinations(range(count), 2)]
    number = {player: i for i, player in enumerate(players)}
    return [_numbered(edge, number) for edge in edges]


def _numbered(edge: object, number: Mapping[str, int]) -> tuple[int, int, float]:
    entries = list(cast("Sequence[object]", edge)) if isinstance(edge, tuple | list) else []
    if len(entries) not in (2, 3):
        raise UsageError(f"an edge is a pair of players, or a triple with a weight; got {edge!r}")
    ends = [str(player) for player in entries[:2]]
    for player in ends:
        if player not in number:
            raise UsageError(
                f"edges name the player {player!r}, which there is not. {suggest(str(player), number)} "
                f"The players are {_shown(list(number))}"
            )
    weight = entries[2] if len(entries) == 3 else 1.0
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
        raise UsageError(f"the edge {edge!r} must join two players with a weight of at least 0")
    if ends[0] == ends[1]:
        raise UsageError(f"the edge {edge!r} must join two players with a weight of at least 0, not one to itself")
    return number[ends[0]], number[ends[1]], float(weight)


def unconnected(edges: Sequence[tuple[int, int, float]] | None, players: Sequence[str]) -> list[str]:
    """Players that the caller's edges leave out; one that is in an edge of weight 0 was not forgotten."""
    if edges is None or len(players) < 2:
        return []
    seen = {i for edge in edges for i in edge[:2]}
    return [player for i, player in enumerate(players) if i not in seen]


def refuse_unconnected(rule: str, edges: Sequence[tuple[int, int, float]] | None, players: Sequence[str]) -> None:
    """UsageError if the caller's edges leave players out: they would step alone, and nothing would say so."""
    if left := unconnected(edges, players):
        raise UsageError(
            f"{rule}: edges leave out {_shown(left)}, which would step alone: join each to a player. An edge of weight "
            f'0, as ("{left[0]}", "{next(player for player in players if player != left[0])}", 0), says that this is '
            "meant"
        )


def spanning(edges: Sequence[tuple[str, str]], players: Sequence[str]) -> tuple[Edge, ...]:
    """The edges, and one of weight 0 for every player that they leave out, which says that this is no mistake."""
    seen = {player for edge in edges for player in edge}
    alone = [player for player in players if player not in seen]
    other = {player: next((p for p in players if p != player), None) for player in alone}
    return (*edges, *((player, beside, 0.0) for player, beside in other.items() if beside is not None))


def _shown(players: Sequence[str]) -> str:
    return ", ".join(players[:8]) + (f" and {len(players) - 8} more" if len(players) > 8 else "")
