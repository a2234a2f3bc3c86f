"""Layers that JAX keeps in one array are layers one by one in a file: they go on in torch, and come back."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optgen.jax
import optgen.torch
from optgen.errors import StateError, UsageError
from optgen.frontends.declared import reach_of
from optgen.runtime.neutral_state import NeutralState
from optgen.runtime.rule_info import RuleInfo
from optgen.spec.loader import load, shipped
from optgen.verify.settings import off_neutral
from tests.jax_frontend.support import factory, precision
from tests.state.support import Numbers, Torch, bits, close, start

pytestmark = pytest.mark.filterwarnings("ignore:.*order of layers.*")

LAYERS = 3
SHAPES = {
    **{f"blocks.{i}.{name}": shape for i in range(LAYERS) for name, shape in {"w": (4, 3), "b": (3,)}.items()},
    "head.w": (5, 3),
}


def rule_of(name: str) -> RuleInfo:
    return getattr(optgen.torch, load(name).class_name).RULE


ELEMENTWISE = [n for n in shipped() if reach_of(load(n)) == "elem"]
#: Rules of elements alone, with and without a state for a whole tensor or the model; of rows; of a graph.
SPREAD = sorted(
    {
        ELEMENTWISE[0],
        next(n for n in ELEMENTWISE if any(s.extent != "elem" for s in rule_of(n).states)),
        next(n for n in shipped() if 'over="row"' in load(n).text),
        next(n for n in shipped() if "laplacian(" in load(n).text),
    }
)


class Stacked:
    """A rule in JAX, on a tree whose blocks are one array of each kind."""

    def __init__(self, rule: str, begin: Numbers) -> None:
        self.params = self.tree(begin)
        spec, self.stacked = load(rule), ["blocks"]
        more: dict[str, Any] = {}
        if reach_of(spec) != "elem":
            self.stacked, more = [], {"stacked": ["blocks"]}
        if "laplacian(" in spec.text:
            more["order"] = ["blocks", "head"]
        self.transformation = factory(rule, off_neutral(spec), **more)
        self.state = self.transformation.init(self.params)
        self.inputs = dict.fromkeys(spec.inputs, 0.5)

    @staticmethod
    def tree(flat: Numbers) -> dict[str, Any]:
        blocks = {n: jnp.stack([jnp.asarray(flat[f"blocks.{i}.{n}"]) for i in range(LAYERS)]) for n in ("w", "b")}
        return {"blocks": blocks, "head": {"w": jnp.asarray(flat["head.w"])}}

    def step(self, grads: Numbers) -> None:
        step = jax.jit(self.transformation.plain)
        self.params, self.state = step(self.tree(grads), self.state, self.params, **self.inputs)

    def values(self) -> Numbers:
        blocks = self.params["blocks"]
        found = {f"blocks.{i}.{n}": np.asarray(blocks[n][i]) for i in range(LAYERS) for n in ("w", "b")}
        return {**found, "head.w": np.asarray(self.params["head"]["w"])}

    def load(self, saved: NeutralState) -> None:
        held = optgen.jax.load_state(saved, self.transformation, self.params, stacked=self.stacked)
        assert jax.tree.structure(held) == jax.tree.structure(self.state._replace(updates=held.updates))
        self.state = held

    def saved(self) -> NeutralState:
        return optgen.jax.state_of(self.transformation, self.state, self.params, stacked=self.stacked)


@pytest.mark.parametrize("name", SPREAD)
def test_training_goes_on_one_by_one_and_stacked(name: str, rng: np.random.Generator) -> None:
    with precision("float64"):
        begin, grads = start(rng, SHAPES), [start(rng, SHAPES) for _ in range(4)]
        whole, first = Torch(name, begin), Torch(name, begin)
        for g in grads:
            whole.step(g)
        first.step(grads[0])
        middle = Stacked(name, first.values())
        middle.load(first.saved())
        assert bits(middle.saved()) == bits(first.saved())
        for g in grads[1:3]:
            middle.step(g)
        last = Torch(name, middle.values())
        optgen.torch.load_state(middle.saved(), last.optimizer)
        assert bits(last.saved()) == bits(middle.saved())
        last.step(grads[3])
        close(last.values(), whole.values())


def test_layers_that_differ_in_what_a_stack_has_once(rng: np.random.Generator) -> None:
    rule = next(n for n in ELEMENTWISE if "**t" in load(n).text)
    with precision("float64"):
        made = Torch(rule, start(rng, SHAPES))
        made.step({**start(rng, SHAPES), "blocks.1.w": None})
        with pytest.raises(StateError, match='layers of "blocks/w" have one number of updates here'):
            Stacked(rule, made.values()).load(made.saved())


def test_stacks_that_steps_depend_on_are_the_transformation_s(rng: np.random.Generator) -> None:
    rule = next(n for n in SPREAD if n not in ELEMENTWISE)
    params = Stacked.tree(start(rng, SHAPES))
    transformation = factory(rule, {})
    state = transformation.init(params)
    with pytest.raises(UsageError, match=r"depend on which layers are stacked: give stacked=\['blocks'\]"):
        optgen.jax.state_of(transformation, state, params, stacked=["blocks"])
    assert optgen.jax.state_of(transformation, state, params).parameter("blocks/b").shape == (LAYERS, 3)
