"""Players from names, coefficients, matching."""

from __future__ import annotations

import numpy as np
import pytest

from optgen.errors import UsageError
from optgen.runtime.graph import (
    WHOLE,
    Graph,
    matched_groups,
    neighbours,
    numbered,
    players_from_names,
    roles_of,
    unconnected,
)


@pytest.mark.parametrize(
    ("name", "player", "role"),
    [
        ("model.layers.7.self_attn.q_proj.weight", "model.layers.7", "self_attn.q_proj.weight"),
        ("layer1.0.conv1.weight", "layer1.0", "conv1.weight"),
        ("dense_1/kernel", "dense_1", "kernel"),
        ("0.bias", "0", "bias"),
        ("head.weight", "head", "weight"),
        ("weight", "", "weight"),
        ("weights.0", "weights.0", ""),
        ("a.block_12.b.weight", "a.block_12", "b.weight"),
        ("a_1.3.w", "a_1.3", "w"),
        ("a_1/b", "a_1", "b"),
    ],
)
def test_players_from_names(name: str, player: str, role: str) -> None:
    assert players_from_names([name]) == [(player, role)]


def matrix(graph: Graph, present: np.ndarray) -> np.ndarray:
    edges, n = graph.edges(present), graph.players
    L = np.zeros((n, n))
    for i in range(n):
        for e in range(edges.start[i], edges.start[i + 1]):
            L[i, i] += edges.own[e]
            L[i, edges.to[e]] -= edges.other[e]
    return L


def alike(n: int) -> list[dict[str, tuple[tuple[int, ...], str]]]:
    return [{"w": ((3,), "float32")} for _ in range(n)]


def test_laplacians_of_a_weighted_graph_and_absent_players() -> None:
    edges = [(0, 1, 2.0), (1, 2, 0.5), (2, 3, 1.0), (3, 0, 3.0), (1, 3, 0.0)]
    for present in (np.ones(4, bool), np.array([True, True, True, False]), np.zeros(4, bool)):
        A = np.zeros((4, 4))
        for i, j, w in edges:
            if present[i] and present[j]:
                A[i, j] = A[j, i] = w
        degree = A.sum(1)
        safe = np.where(degree > 0, degree, 1)
        np.testing.assert_allclose(matrix(Graph(alike(4), edges), present), np.diag(degree) - A)
        walk = matrix(Graph(alike(4), edges, "random_walk"), present)
        np.testing.assert_allclose(walk, np.diag((degree > 0) * 1.0) - A / safe[:, None])
        both = matrix(Graph(alike(4), edges, "symmetric"), present)
        np.testing.assert_allclose(both, np.diag((degree > 0) * 1.0) - A / np.sqrt(np.outer(safe, safe)))


def test_path_by_default_and_couplings() -> None:
    roles = roles_of([0, 0, 1, 1, 2], ["w", "b", "w", "b", "w"], [(3,), (1,), (3,), (1,), (3,)], ["float32"] * 5)
    assert Graph(roles, None).matched.tolist() == [1, 1, 0, 0]
    assert len(Graph(roles, None, coupling="match").source) == 2
    for coupling, words in [("equal", "equal shapes"), ("flat", "equally many"), ("padd", "not known")]:
        with pytest.raises(UsageError, match=words):
            Graph(roles, None, coupling=coupling)
    with pytest.raises(UsageError, match="random_walk"):
        Graph(roles, None, laplacian="randomwalk")


def test_bad_edges_and_roles() -> None:
    for edge in [(0, 0, 1.0), (0, 5, 1.0), (0, 1, -1.0), (0, 1, float("nan"))]:
        with pytest.raises(UsageError, match="weight of at least 0"):
            Graph(alike(2), [edge])
    with pytest.raises(UsageError, match="two tensors of the role"):
        roles_of([0, 0], ["w", "w"], [(1,), (1,)], ["float32"] * 2)


def test_neighbour_tensors_and_groups() -> None:
    players, roles = [0, 0, 1, 1, 2], ["w", "b", "b", "w", "w"]
    graph = Graph(roles_of(players, roles, [(3,), (1,), (1,), (3,), (3,)], ["float32"] * 5), None)
    found = neighbours(graph, graph.edges(np.ones(3, bool)), players, roles)
    assert found.start.tolist() == [0, 1, 2, 3, 4, 4]
    assert found.tensor.tolist() == [3, 2, 1, 0]
    assert found.own.tolist() == [1, 1, 1, 1, 0, 0]
    assert found.window[:, 1].tolist() == [WHOLE] * 4
    assert sorted(matched_groups(graph, players, roles)) == [[0, 3], [1, 2], [4]]


def windows(coupling: str) -> list[list[tuple[int, int, int, int]]]:
    """Per tensor: neighbour, first, end, shift. Player 0 has 6 elements in w and 2 in b, player 1 has 3 and 1."""
    players, roles = [0, 0, 1, 1], ["w", "b", "w", "b"]
    graph = Graph(roles_of(players, roles, [(2, 3), (2,), (3,), ()], ["float32"] * 4), None, coupling=coupling)
    found = neighbours(graph, graph.edges(np.ones(2, bool)), players, roles)
    rows = [(int(u), *map(int, window)) for u, window in zip(found.tensor, found.window, strict=True)]
    assert not matched_groups(graph, players, roles)
    return [rows[a:b] for a, b in zip(found.start, found.start[1:], strict=False)]


def test_couplings_by_flat_index() -> None:
    """Elements of equal place in the players' tensors, laid one after the other."""
    shared = [[(2, 0, 3, 0), (3, 3, 4, -3)], [], [(0, 0, 3, 0)], [(0, 0, 1, 3)]]
    assert windows("overlap") == shared
    assert windows("pad") == [[*shared[0], (-1, 4, 6, 0)], [(-1, 0, 2, 0)], *shared[2:]]
    turned = roles_of([0, 1], ["", ""], [(2, 3), (3, 2)], ["float32"] * 2)
    graph = Graph(turned, None, coupling="flat")
    assert neighbours(graph, graph.edges(np.ones(2, bool)), [0, 1], ["", ""]).window.tolist() == [[0, 6, 0]] * 2
    with pytest.raises(UsageError, match="one dtype; players 0 and 1 have float32, float64"):
        Graph(roles_of([0, 1], ["", ""], [(2,), (2,)], ["float32", "float64"]), None, coupling="pad")


def test_graphs_by_name() -> None:
    names = ["a", "b", "c"]
    assert numbered("path", names) == [(0, 1, 1.0), (1, 2, 1.0)]
    assert numbered("complete", names) == [(0, 1, 1.0), (0, 2, 1.0), (1, 2, 1.0)]
    assert numbered([("c", "a", 0.5), ["a", "b"]], names) == [(2, 0, 0.5), (0, 1, 1.0)]
    for edges, words in [
        ("ring", 'edges "ring" is not known; use one of path, complete'),
        ([("a", "z")], "edges name the player 'z'"),
        ([("a", "a")], "not one to itself"),
        ([("a", "b", -1)], "weight of at least 0"),
        ([("a", "b", float("nan"))], "weight of at least 0"),
        ([("a", "b", "c")], "weight of at least 0"),
        (["ab"], "an edge is a pair of players"),
        ([("a", "b", 1, 2)], "an edge is a pair of players"),
    ]:
        with pytest.raises(UsageError, match=words):
            numbered(edges, names)
    assert unconnected([(0, 1, 1.0)], names) == ["c"]
    assert unconnected([(0, 1, 1.0), (1, 2, 0.0)], names) == []
    assert unconnected(None, names) == []


def test_the_largest_degree() -> None:
    edges = [(0, 1, 2.0), (1, 2, 0.5)]
    assert Graph(alike(3), edges).degree == 2.5
    assert Graph(alike(3), edges, "random_walk").degree == 1.0
    assert Graph(alike(3), []).degree == 0.0
    assert Graph(alike(1), None).degree == 0.0
