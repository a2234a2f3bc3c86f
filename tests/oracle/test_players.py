"""The graph rule against its description: explicit players, and the eight properties that follow from it."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optgen.errors import OptgenError
from optgen.spec.loader import load
from optgen.verify import Reference
from tests.oracle.players import Players, Settings
from tests.oracle.streams import Array, gradients, worst

SPEC = load("neat")
TOLERANCE = 1e-12
LAPLACIANS = ("combinatorial", "random_walk", "symmetric")

FEW = settings(max_examples=40)

#: Kinds of players: roles and their shapes.
KINDS: dict[str, dict[str, tuple[int, ...]]] = {
    "square": {"w": (2, 3), "b": (2,)},
    "long": {"w": (5,)},
    "scalar": {"w": ()},
    "filter": {"w": (2, 2, 1, 2), "b": (2,)},
}


@dataclass
class Net:
    """A row of players with names `p.<i>.<role>`, their edges by number, and random numbers to fill them with."""

    kinds: list[str]
    edges: list[tuple[int, int, float]] | None
    rng: np.random.Generator

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {f"p.{i}.{r}": shape for i, kind in enumerate(self.kinds) for r, shape in KINDS[kind].items()}

    @property
    def roles(self) -> list[dict[str, str]]:
        return [{r: f"p.{i}.{r}" for r in KINDS[kind]} for i, kind in enumerate(self.kinds)]

    @property
    def path(self) -> list[tuple[int, int, float]]:
        return [(i, i + 1, 1.0) for i in range(len(self.kinds) - 1)] if self.edges is None else self.edges

    def fill(self, scale: float = 1.0) -> dict[str, Array]:
        return {name: np.asarray(self.rng.normal(scale=scale, size=shape)) for name, shape in self.shapes.items()}

    def reference(self, params: dict[str, Array], laplacian: str, coupling: str, **hypers: Any) -> Reference:
        edges = None if self.edges is None else [(f"p.{i}", f"p.{j}", w) for i, j, w in self.edges]
        return Reference(SPEC, params, hypers, edges=edges, laplacian=laplacian, coupling=coupling)

    def smoothed(
        self, g: dict[str, Array], mu: float, laplacian: str = "combinatorial", **more: Any
    ) -> dict[str, Array]:
        """g - mu*L(g): without memory, the first moment is just that."""
        reference = self.reference(self.fill(), laplacian, "transport", mu=mu, beta1=0.0, **more)
        reference.step(g)
        return reference.state("m")


def shares(net: Net, g: dict[str, Array], laplacian: str = "combinatorial", **hypers: Any) -> list[float]:
    """Every player's share of the step, from a step of Adam's first direction, which is a sign, times that share."""
    params = {name: np.zeros(shape) for name, shape in net.shapes.items()}
    flat = {"lr": 1.0, "mu": 0.0, "eps": 1e-300, "beta1": 0.0, "beta2": 0.0, "bias_correction": True}
    reference = net.reference(params, laplacian, "transport", **{**flat, **hypers})
    reference.step(g)
    moved = [np.concatenate([np.abs(reference.params[name]).ravel() for name in roles.values()]) for roles in net.roles]
    assert all(np.ptp(x) < 1e-12 for x in moved)
    return [float(x[0]) for x in moved]


def pairs_of(numbers: int) -> st.SearchStrategy[list[tuple[int, int, float]]]:
    pairs = list(itertools.combinations(range(numbers), 2))
    weights = st.sampled_from([0.25, 0.5, 1.0, 1.5, 2.0])
    chosen = st.lists(st.sampled_from(pairs), unique=True) if pairs else st.just([])
    return chosen.flatmap(
        lambda found: st.tuples(*(weights for _ in found)).map(
            lambda ws: [(i, j, w) for (i, j), w in zip(found, ws, strict=True)]
        )
    )


@st.composite
def nets(draw: st.DrawFn, kinds: tuple[str, ...] = tuple(KINDS), path: bool = False) -> Net:
    """Rows of one to six players, often with equal neighbours; a path, or any weighted edges."""
    row = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=6))
    edges = None if path or draw(st.booleans()) else draw(pairs_of(len(row)))
    return Net(row, edges, np.random.default_rng(draw(st.integers(0, 2**32 - 1))))


def dot(a: dict[str, Array], b: dict[str, Array]) -> float:
    return float(sum((a[name] * b[name]).sum() for name in a))


def norms(net: Net, g: dict[str, Array]) -> list[float]:
    return [float(np.sqrt(sum((g[name] ** 2).sum() for name in roles.values()))) for roles in net.roles]


# The description itself


@settings(max_examples=50)
@given(
    net=nets(),
    laplacian=st.sampled_from(LAPLACIANS),
    coupling=st.sampled_from(["transport", "match", "overlap", "pad"]),
    nsa=st.sampled_from(["l2", "relative", "off"]),
    mean=st.booleans(),
    correction=st.booleans(),
    decoupled=st.booleans(),
    maximize=st.booleans(),
)
def test_the_description(
    net: Net, laplacian: str, coupling: str, nsa: str, mean: bool, correction: bool, decoupled: bool, maximize: bool
) -> None:
    """Several steps, gradients missing now and then, every option away from its default in some run."""
    chosen = Settings(
        lr=0.03,
        beta1=0.8,
        beta2=0.95,
        eps=1e-3,
        mu=0.15,
        kappa=0.7,
        nsa=nsa,
        nsa_mean_preserving=mean,
        bias_correction=correction,
        weight_decay=0.1,
        decoupled_weight_decay=decoupled,
        maximize=maximize,
        laplacian=laplacian,
        coupling=coupling,
    )
    params = net.fill()
    plain = Players(chosen, dict(params), net.roles, net.path)
    hypers = {key: value for key, value in asdict(chosen).items() if key not in ("laplacian", "coupling")}
    reference = net.reference(params, laplacian, coupling, **hypers)
    for grads in gradients(net.rng, list(net.shapes.values()), 6, missing=0.3):
        named = dict(zip(net.shapes, grads, strict=True))
        plain.step(named)
        reference.step(named)
        for name in net.shapes:
            assert worst(reference.params[name], plain.params[name]) < TOLERANCE
            assert worst(reference.state("m")[name], plain.m[name]) < TOLERANCE
            assert worst(reference.state("v")[name], plain.v[name]) < TOLERANCE


HALVES: list[tuple[str, dict[str, Any]]] = [
    ("ng_adam", {"mu": 0.15}),
    ("nsa", {"kappa": 0.7}),
    ("nsa", {"kappa": 0.7, "nsa": "relative"}),
]


@settings(max_examples=25)
@given(
    net=nets(),
    laplacian=st.sampled_from(LAPLACIANS),
    half=st.sampled_from(
        [("ng_adam", {"mu": 0.15}), ("nsa", {"kappa": 0.7}), ("nsa", {"kappa": 0.7, "nsa": "relative"})]
    ),
    correction=st.booleans(),
    decoupled=st.booleans(),
    mean=st.booleans(),
)
def test_both_halves_of_the_description(
    net: Net, laplacian: str, half: tuple[str, dict[str, Any]], correction: bool, decoupled: bool, mean: bool
) -> None:
    """Smoothing without step allocation, and step allocation without smoothing."""
    name, own = half
    shared = {
        "lr": 0.03,
        "beta1": 0.8,
        "beta2": 0.95,
        "eps": 1e-3,
        "weight_decay": 0.1,
        "bias_correction": correction,
        "decoupled_weight_decay": decoupled,
        **({"nsa_mean_preserving": mean} if name == "nsa" else {}),
        **own,
    }
    params = net.fill()
    edges = None if net.edges is None else [(f"p.{i}", f"p.{j}", w) for i, j, w in net.edges]
    reference = Reference(load(name), params, shared, edges=edges, laplacian=laplacian)
    chosen = Settings(**{"mu": 0.0, "nsa": "off" if name == "ng_adam" else "l2", **shared}, laplacian=laplacian)
    players = Players(chosen, dict(params), net.roles, net.path)
    for grads in gradients(net.rng, list(net.shapes.values()), 3):
        reference.step(grads)
        players.step(dict(zip(net.shapes, grads, strict=True)))
        for key in net.shapes:
            assert worst(reference.params[key], players.params[key]) < TOLERANCE


@pytest.mark.filterwarnings("ignore:.*direction of descent")
@pytest.mark.parametrize("maximize", [False, True])
def test_the_preset_of_torchs_pull_request(rng: np.random.Generator, maximize: bool) -> None:
    """Tensors of one size as rows of a matrix, (I - mu*L) of a path, then the sign, then decay, then Adam."""
    mu, lr, beta1, beta2, eps, decay = 0.5, 0.02, 0.9, 0.999, 1e-8, 0.1
    shapes = {"a.weight": (2, 3), "b.weight": (3, 2), "b.bias": (6,)}
    params = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    preset = dict(SPEC.presets["neat_pr"])
    arranged = {key: preset.pop(key) for key in ("players", "coupling")}
    hypers = {**preset, "lr": lr, "weight_decay": decay, "maximize": maximize}
    reference = Reference(SPEC, params, hypers, **arranged)  # type: ignore[arg-type]
    path = np.array([[1.0, -1.0, 0.0], [-1.0, 2.0, -1.0], [0.0, -1.0, 1.0]])
    w, m, v = np.stack([x.ravel() for x in params.values()]), np.zeros((3, 6)), np.zeros((3, 6))
    for t in range(1, 6):
        g = {name: rng.normal(size=shape) for name, shape in shapes.items()}
        reference.step(g)
        mixed = (np.eye(3) - mu * path) @ np.stack([x.ravel() for x in g.values()])
        mixed = (-mixed if maximize else mixed) + decay * w
        m, v = beta1 * m + (1 - beta1) * mixed, beta2 * v + (1 - beta2) * mixed**2
        w = w - lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)
        for row, name in zip(w, shapes, strict=True):
            assert worst(reference.params[name].ravel(), row) < 1e-13
    with pytest.raises(OptgenError, match="equally many elements"):
        Reference(SPEC, {**params, "c.bias": np.zeros(5)}, hypers, **arranged)  # type: ignore[arg-type]


# Edge cases


def test_a_layer_without_gradients_is_absent(rng: np.random.Generator) -> None:
    """Its edges do not exist in that step; with it gone, the others step as if it had never been."""
    net, rest = Net(["long"] * 3, None, rng), Net(["long"] * 2, [], rng)
    params, g = net.fill(), net.fill()
    g["p.1.w"] = None  # type: ignore[assignment]
    whole = net.reference(params, "combinatorial", "transport", lr=0.1)
    whole.step(g)
    apart = rest.reference({"p.0.w": params["p.0.w"], "p.1.w": params["p.2.w"]}, "combinatorial", "transport", lr=0.1)
    apart.step({"p.0.w": g["p.0.w"], "p.1.w": g["p.2.w"]})
    assert worst(whole.params["p.0.w"], apart.params["p.0.w"]) == 0.0
    assert worst(whole.params["p.2.w"], apart.params["p.1.w"]) == 0.0
    assert worst(whole.params["p.1.w"], params["p.1.w"]) == 0.0


def test_a_zero_gradient_is_not_pulled_by_a_player_of_another_shape(rng: np.random.Generator) -> None:
    net = Net(["long", "scalar"], None, rng)
    g = {"p.0.w": np.zeros(5), "p.1.w": np.asarray(2.0)}
    assert worst(net.smoothed(g, 0.2)["p.0.w"], np.zeros(5)) == 0.0


def test_one_player_has_no_one_to_conflict_with(rng: np.random.Generator) -> None:
    net = Net(["square"], None, rng)
    g = net.fill()
    assert all(worst(net.smoothed(g, 0.4)[name], g[name]) == 0.0 for name in g)


def test_equal_coupling_refuses_neighbours_of_other_shapes(rng: np.random.Generator) -> None:
    net = Net(["square", "long"], None, rng)
    with pytest.raises(OptgenError, match="equal shapes"):
        net.reference(net.fill(), "combinatorial", "equal")


def test_players_come_from_names() -> None:
    names = ["model.layers.7.self_attn.q_proj.weight", "layer1.0.conv1.weight", "dense_1/kernel", "0.bias", "head"]
    params = {name: np.zeros(2) for name in names}
    layers = Reference(SPEC, params).layers
    assert layers.player == [0, 1, 2, 3, 4]
    assert layers.role == ["self_attn.q_proj.weight", "conv1.weight", "kernel", "bias", "head"]
    assert Reference(SPEC, {"a.w": np.zeros(1), "a.b": np.zeros(1), "b.w": np.zeros(1)}).layers.player == [0, 0, 1]
    assert Reference(SPEC, {"a.w": np.zeros(1), "a.b": np.zeros(1)}, players="tensor").layers.player == [0, 1]
