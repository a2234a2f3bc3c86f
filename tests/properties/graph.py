"""The eight properties that the graph rule's description claims, of any backend that can step.

Each is a function of an engine and of drawn values; `PROPERTIES` says what to draw, and one choice for backends that
are too slow for many. Engines step float64 tensors, so that what is left is the backend's own error.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from optgen.spec.loader import load
from optgen.verify import Reference
from tests.oracle.streams import Array, worst

SPEC = load("neat")
LAPLACIANS = ("combinatorial", "random_walk", "symmetric")
#: Kinds of players: roles and their shapes.
KINDS: dict[str, dict[str, tuple[int, ...]]] = {
    "square": {"w": (2, 3), "b": (2,)},
    "long": {"w": (5,)},
    "scalar": {"w": ()},
    "filter": {"w": (2, 2, 1, 2), "b": (2,)},
}
Edge = tuple[int, int, float]


class Stepper(Protocol):
    """An optimizer on named arrays."""

    def step(self, g: Mapping[str, Array]) -> None:
        """One step with these gradients."""
        ...

    def params(self) -> dict[str, Array]:
        """The parameters now."""
        ...

    def first_moment(self) -> dict[str, Array]:
        """The average of smoothed gradients."""
        ...


@dataclass
class Net:
    """A row of players with names `p.<i>.<role>`, their edges by number, and random numbers to fill them with."""

    kinds: Sequence[str]
    edges: list[Edge] | None
    seed: int = 0

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {f"p.{i}.{r}": shape for i, kind in enumerate(self.kinds) for r, shape in KINDS[kind].items()}

    @property
    def roles(self) -> list[list[str]]:
        return [[f"p.{i}.{r}" for r in KINDS[kind]] for i, kind in enumerate(self.kinds)]

    @property
    def path(self) -> list[Edge]:
        return [(i, i + 1, 1.0) for i in range(len(self.kinds) - 1)] if self.edges is None else self.edges

    @property
    def named_edges(self) -> list[tuple[str, str, float]] | None:
        """None for a path; players that are in no edge get one of weight 0, as who means it writes."""
        if self.edges is None:
            return None
        alone = [(0, i, 0.0) for i in range(1, len(self.kinds))]
        return [(f"p.{i}", f"p.{j}", w) for i, j, w in (*self.edges, *alone)]

    def fill(self) -> dict[str, Array]:
        return {name: np.asarray(self.rng.normal(size=shape)) for name, shape in self.shapes.items()}


@dataclass(frozen=True)
class Engine:
    """A backend: what makes a stepper, how many examples it has time for, and how far it may be off.

    `tolerance` is of smoothed gradients. Conflict is a root of a sum in which squares cancel, so that where it is small
    its error is that of a root: `loose` is of shares.
    """

    make: Callable[[Net, Mapping[str, Array], str, Mapping[str, Any]], Stepper]
    examples: int
    tolerance: float
    loose: float

    def smoothed(
        self, net: Net, g: Mapping[str, Array], mu: float, laplacian: str = "combinatorial"
    ) -> dict[str, Array]:
        """g - mu*L(g): without memory, the first moment is just that."""
        stepper = self.make(net, net.fill(), laplacian, {"mu": mu, "beta1": 0.0})
        stepper.step(g)
        return stepper.first_moment()

    def shares(
        self, net: Net, g: Mapping[str, Array], laplacian: str = "combinatorial", nsa: str = "l2"
    ) -> list[float]:
        """Every player's share, from a step of Adam's first direction, which is a sign, times that share."""
        params = {name: np.zeros(shape) for name, shape in net.shapes.items()}
        flat = {"lr": 1.0, "mu": 0.0, "eps": 1e-300, "beta1": 0.0, "beta2": 0.0, "nsa": nsa}
        stepper = self.make(net, params, laplacian, flat)
        stepper.step(g)
        moved = stepper.params()
        found = [np.concatenate([np.abs(moved[name]).ravel() for name in names]) for names in net.roles]
        assert all(np.ptp(x) < self.tolerance for x in found)
        return [float(x[0]) for x in found]


def _matched(net: Net, i: int, j: int) -> bool:
    return KINDS[net.kinds[i]] == KINDS[net.kinds[j]]


def _dot(a: Mapping[str, Array], b: Mapping[str, Array]) -> float:
    return float(sum((a[name] * b[name]).sum() for name in a))


def _norms(net: Net, g: Mapping[str, Array]) -> list[float]:
    return [float(np.sqrt(sum((g[name] ** 2).sum() for name in names))) for names in net.roles]


def adam(engine: Engine, net: Net) -> None:
    """1: without pull and without conflict it is AdamW."""
    params, shared = net.fill(), {"lr": 0.02, "eps": 1e-6, "weight_decay": 0.1}
    stepper = engine.make(
        net, params, "combinatorial", {**shared, "mu": 0.0, "nsa": "off", "beta1": 0.8, "beta2": 0.95}
    )
    tensors = {name: torch.nn.Parameter(torch.tensor(x)) for name, x in params.items()}
    theirs = torch.optim.AdamW(tensors.values(), betas=(0.8, 0.95), **shared)
    for _ in range(4):
        g = net.fill()
        for name, tensor in tensors.items():
            tensor.grad = torch.tensor(g[name])
        theirs.step()
        stepper.step(g)
    found = stepper.params()
    assert max(worst(found[name], tensor.detach().numpy()) for name, tensor in tensors.items()) < 10 * engine.tolerance


def matrix(engine: Engine, count: int, edges: list[Edge], laplacian: str, mu: float, seed: int) -> None:
    """2: of equal shapes it is (I - mu*L)G, and conflict the norms of the rows of LG, with L as a matrix."""
    edges = [(i, j, w) for i, j, w in edges if j < count]
    adjacency = np.zeros((count, count))
    for i, j, w in edges:
        adjacency[i, j] = adjacency[j, i] = w
    degree = adjacency.sum(axis=1)
    safe, there = np.where(degree > 0, degree, 1.0), np.diag((degree > 0) * 1.0)
    written = {
        "combinatorial": np.diag(degree) - adjacency,
        "random_walk": there - adjacency / safe[:, None],
        "symmetric": there - adjacency / np.sqrt(np.outer(safe, safe)),
    }[laplacian]
    net = Net(["long"] * count, edges, seed)
    g = net.fill()
    rows = np.stack(list(g.values()))
    found = np.stack(list(engine.smoothed(net, g, mu, laplacian).values()))
    assert worst(found, rows - mu * written @ rows) < 10 * engine.tolerance
    conflict = np.linalg.norm(written @ rows, axis=1)
    assert worst(np.array(engine.shares(net, g, laplacian)), 1 / (1 + conflict)) < engine.loose


def energy(engine: Engine, net: Net) -> None:
    """3: <g, LG> sums squares over edges: of differences where players match, of differences of norms elsewhere."""
    g = net.fill()
    pulled = engine.smoothed(net, g, 1.0)
    found, norm, expected = _dot(g, {name: g[name] - pulled[name] for name in g}), _norms(net, g), 0.0
    for i, j, w in net.path:
        pairs = zip(net.roles[i], net.roles[j], strict=True) if _matched(net, i, j) else ()
        expected += w * sum(float(((g[a] - g[b]) ** 2).sum()) for a, b in pairs)
        expected += 0.0 if _matched(net, i, j) else w * (norm[i] - norm[j]) ** 2
    scale = (1 + _dot(g, g)) * (1 + sum(w for _, _, w in net.path))
    assert abs(found - expected) <= 100 * engine.tolerance * scale
    assert found >= -100 * engine.tolerance * scale


def descent(engine: Engine, net: Net, mu: float) -> None:
    """4: on a path, <g, g - mu*LG> is at least (1 - 4*mu)*|g|^2."""
    g = net.fill()
    assert _dot(g, engine.smoothed(net, g, mu)) >= (1 - 4 * mu) * _dot(g, g) - 100 * engine.tolerance * (1 + _dot(g, g))


def agreement(engine: Engine, kind: str, count: int, laplacian: str, seed: int) -> None:
    """5: players that agree are not pulled, and each takes the whole step."""
    net = Net([kind] * count, None, seed)
    one = {role: net.rng.normal(size=shape) for role, shape in KINDS[kind].items()}
    g = {name: np.asarray(one[name.rpartition(".")[2]]) for name in net.shapes}
    smoothed = engine.smoothed(net, g, 0.2, laplacian)
    assert max(worst(smoothed[name], g[name]) for name in g) <= engine.tolerance
    assert worst(np.array(engine.shares(net, g, laplacian)), np.ones(count)) <= engine.loose


def permutation(engine: Engine, net: Net, laplacian: str, nsa: str) -> None:
    """6: one permutation of elements for all players of a kind permutes the result: layouts of frameworks agree."""
    params, g = net.fill(), net.fill()
    orders = {(k, r): net.rng.permutation(int(np.prod(s))) for k, roles in KINDS.items() for r, s in roles.items()}

    def turned(arrays: Mapping[str, Array]) -> dict[str, Array]:
        return {
            name: arrays[name].ravel()[orders[kind, name.rpartition(".")[2]]].reshape(arrays[name].shape)
            for kind, names in zip(net.kinds, net.roles, strict=True)
            for name in names
        }

    straight = engine.make(net, params, laplacian, {"nsa": nsa, "lr": 0.1})
    permuted = engine.make(net, turned(params), laplacian, {"nsa": nsa, "lr": 0.1})
    straight.step(g)
    permuted.step(turned(g))
    expected, found = turned(straight.params()), permuted.params()
    assert all(worst(found[name], expected[name]) < engine.loose for name in expected)


def scale(engine: Engine, net: Net, laplacian: str, factor: float) -> None:
    """7: L(cG) = c*L(G), and conflict relative to the gradients does not change."""
    g = net.fill()
    scaled = {name: np.asarray(factor * x) for name, x in g.items()}
    one, many = engine.smoothed(net, g, 0.3, laplacian), engine.smoothed(net, scaled, 0.3, laplacian)
    assert all(worst(many[name] / factor, one[name]) < 10 * engine.tolerance for name in g)
    shares = [np.array(engine.shares(net, x, laplacian, nsa="relative")) for x in (scaled, g)]
    assert worst(*shares) < engine.loose


def bounded(engine: Engine, net: Net, laplacian: str) -> None:
    """8: conflict is at most the sum of w*(|g_i| + |g_j|), so that relative conflict is at most 1."""
    g = net.fill()
    assert all(share >= 0.5 - engine.loose for share in engine.shares(net, g, laplacian, nsa="relative"))
    if laplacian == "combinatorial":
        norm = _norms(net, g)
        for i, share in enumerate(engine.shares(net, g)):
            around = sum(w * (norm[a] + norm[b]) for a, b, w in net.path if i in (a, b))
            assert 1 / share - 1 <= (around + engine.loose) * (1 + engine.loose)


def pairs_of(count: int) -> st.SearchStrategy[list[Edge]]:
    """Weighted edges among so many players."""
    pairs = list(itertools.combinations(range(count), 2))
    weights = st.sampled_from([0.25, 0.5, 1.0, 1.5, 2.0])
    chosen = st.lists(st.sampled_from(pairs), unique=True) if pairs else st.just([])
    return chosen.flatmap(
        lambda found: st.tuples(*(weights for _ in found)).map(
            lambda ws: [(i, j, w) for (i, j), w in zip(found, ws, strict=True)]
        )
    )


@st.composite
def nets(draw: st.DrawFn, path: bool = False) -> Net:
    """Rows of one to six players, often with equal neighbours; a path, or any weighted edges."""
    row = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=6))
    edges = None if path or draw(st.booleans()) else draw(pairs_of(len(row)))
    return Net(row, edges, draw(st.integers(0, 2**32 - 1)))


_NET = {"net": nets()}
_LAPLACIAN = {"laplacian": st.sampled_from(LAPLACIANS)}
_SEED = {"seed": st.integers(0, 2**32 - 1)}
_CHOSEN = Net(["square", "square", "long", "scalar"], [(0, 1, 1.0), (1, 2, 0.5), (0, 2, 2.0)], 1)
#: Name: what is drawn, the property, and one choice.
PROPERTIES: dict[str, tuple[dict[str, st.SearchStrategy[Any]], Callable[..., None], dict[str, Any]]] = {
    "1 adam": (_NET, adam, {"net": _CHOSEN}),
    "2 matrix": (
        {"count": st.integers(1, 5), "edges": pairs_of(5), "mu": st.floats(0.0, 0.5), **_LAPLACIAN, **_SEED},
        matrix,
        {"count": 3, "edges": [(0, 1, 1.0), (1, 2, 0.5)], "mu": 0.2, "laplacian": "symmetric", "seed": 2},
    ),
    "3 energy": (_NET, energy, {"net": _CHOSEN}),
    "4 descent": (
        {"net": nets(path=True), "mu": st.floats(0.0, 0.6)},
        descent,
        {"net": Net(["square", "square", "long"], None, 3), "mu": 0.4},
    ),
    "5 agreement": (
        {"kind": st.sampled_from(sorted(KINDS)), "count": st.integers(1, 5), **_SEED}
        | {"laplacian": st.sampled_from(["combinatorial", "random_walk"])},
        agreement,
        {"kind": "square", "count": 3, "seed": 4, "laplacian": "random_walk"},
    ),
    "6 permutation": (
        {**_NET, **_LAPLACIAN, "nsa": st.sampled_from(["l2", "relative"])},
        permutation,
        {"net": _CHOSEN, "laplacian": "combinatorial", "nsa": "relative"},
    ),
    "7 scale": (
        {**_NET, **_LAPLACIAN, "factor": st.sampled_from([1e-3, 0.25, 3.0, 1e4])},
        scale,
        {"net": _CHOSEN, "laplacian": "combinatorial", "factor": 3.0},
    ),
    "8 bounded": ({**_NET, **_LAPLACIAN}, bounded, {"net": _CHOSEN, "laplacian": "combinatorial"}),
}

#: Those that hold where elements are coupled by flat index: energy is of other differences then, and the order of
#: elements matters.
BY_INDEX = tuple(name for name in PROPERTIES if name not in ("3 energy", "6 permutation"))


def hold(name: str, engine: Engine) -> None:
    """Fails where a property does not hold of an engine's examples, or of the one choice if it has time for no more."""
    drawn, check, chosen = PROPERTIES[name]
    if engine.examples <= 1:
        check(engine, **chosen)
        return

    @settings(max_examples=engine.examples, deadline=None, database=None)
    @given(**drawn)
    def run(**values: Any) -> None:
        check(engine, **values)

    run()


class ReferenceStepper:
    """The float64 interpreter."""

    def __init__(self, net: Net, params: Mapping[str, Array], laplacian: str, hypers: Mapping[str, Any]) -> None:
        self.inner = Reference(SPEC, dict(params), dict(hypers), edges=net.named_edges, laplacian=laplacian)

    def step(self, g: Mapping[str, Array]) -> None:
        self.inner.step(dict(g))

    def params(self) -> dict[str, Array]:
        return dict(self.inner.params)

    def first_moment(self) -> dict[str, Array]:
        return self.inner.state("m")


class TorchStepper:
    """The torch optimizer on a backend."""

    def __init__(
        self,
        backend: str,
        net: Net,
        params: Mapping[str, Array],
        laplacian: str,
        hypers: Mapping[str, Any],
        coupling: str = "transport",
    ) -> None:
        from optgen.torch import NEAT

        self.tensors = {name: torch.nn.Parameter(torch.tensor(x)) for name, x in params.items()}
        given = dict(hypers)
        betas = given.pop("beta1", 0.9), given.pop("beta2", 0.999)
        edges: Any = {"edges": net.named_edges, "laplacian": laplacian, "backend": backend, "coupling": coupling}
        self.optimizer = NEAT(list(self.tensors.items()), betas=betas, **edges, **given)

    def step(self, g: Mapping[str, Array]) -> None:
        for name, tensor in self.tensors.items():
            tensor.grad = torch.tensor(g[name])
        self.optimizer.step()

    def params(self) -> dict[str, Array]:
        return {name: tensor.detach().numpy() for name, tensor in self.tensors.items()}

    def first_moment(self) -> dict[str, Array]:
        return {name: self.optimizer.state[tensor]["m"].numpy() for name, tensor in self.tensors.items()}
