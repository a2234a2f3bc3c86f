"""Players from names, coefficients, matching."""

from __future__ import annotations

import numpy as np
import pytest

from optgen.errors import UsageError
from optgen.runtime.graph import Graph, matched_groups, neighbours, players_from_names, roles_of


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
    for coupling, words in [("equal", "equal shapes"), ("pad", "not built yet"), ("padd", "not known")]:
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
    found = neighbours(graph.edges(np.ones(3, bool)), players, roles)
    assert found.start.tolist() == [0, 1, 2, 3, 4, 4]
    assert found.tensor.tolist() == [3, 2, 1, 0]
    assert found.own.tolist() == [1, 1, 1, 1, 0, 0]
    assert sorted(matched_groups(graph, players, roles)) == [[0, 3], [1, 2], [4]]
