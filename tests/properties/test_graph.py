"""The eight properties of the graph rule, on every backend that runs here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optgen.jax
from optgen.runtime.modules import INTERPRETERS
from tests.oracle.streams import Array
from tests.programs import lines_of
from tests.properties.graph import PROPERTIES, Engine, Net, ReferenceStepper, TorchStepper, hold

pytestmark = pytest.mark.filterwarnings("ignore:.*direction of descent")


class JaxStepper:
    """The optax transformation, operation by operation: compiling each net would take longer."""

    def __init__(self, net: Net, params: Mapping[str, Array], laplacian: str, hypers: Mapping[str, Any]) -> None:
        spelled = {"lr": "learning_rate", "beta1": "b1", "beta2": "b2"}
        given: Any = {spelled.get(name, name): value for name, value in hypers.items()}
        order = [f"p.{i}" for i in range(len(net.kinds))]
        players = {name: name.rpartition(".")[0] for name in params}
        rule = optgen.jax.neat(**given, order=list(params), players=players, edges=net.named_edges, laplacian=laplacian)
        assert list(dict.fromkeys(players.values())) == order
        self.rule, self.now = rule, {name: jnp.asarray(x) for name, x in params.items()}
        self.state = rule.init(self.now)
        self.update = rule.apply

    def step(self, g: Mapping[str, Array]) -> None:
        self.now, self.state = self.update({name: jnp.asarray(x) for name, x in g.items()}, self.state, self.now)

    def params(self) -> dict[str, Array]:
        return {name: np.asarray(x) for name, x in self.now.items()}

    def first_moment(self) -> dict[str, Array]:
        return {name: np.asarray(x) for name, x in self.state.slots["m"].items()}


ENGINES = {
    "reference": Engine(ReferenceStepper, 25, 1e-14, 1e-13),
    "numba": Engine(partial(TorchStepper, "numba"), 25, 1e-14, 1e-7),
    "jax": Engine(JaxStepper, 1, 1e-14, 1e-13),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", PROPERTIES)
def test_a_property(name: str, engine: str) -> None:
    with jax.enable_x64(True):
        hold(name, ENGINES[engine])


@pytest.mark.parametrize(("backend", "library"), [("triton", "triton"), ("numba-cuda", "numba_cuda")])
def test_all_properties_in_a_simulator(backend: str, library: str) -> None:
    """Which is chosen on import, and needs a process of its own."""
    pytest.importorskip(library)
    (found,) = lines_of("tests.properties.graph_simulated", [backend], {INTERPRETERS[backend]: "1"}, without="TRITON_")
    assert json.loads(found) == {}
