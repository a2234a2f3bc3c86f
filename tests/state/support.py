"""Optimizers of both front ends on the same small parameters and gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch.nn import Parameter

import optgen.jax
import optgen.torch
from optgen.runtime.neutral_state import NeutralState
from optgen.spec.loader import load, shipped
from optgen.spec.model import Spec
from optgen.verify.settings import off_neutral
from tests.jax_frontend.support import factory

Numbers = dict[str, np.ndarray]
#: In natural order, so that the tree's order and torch's are one.
SHAPES: Mapping[str, tuple[int, ...]] = {
    "a.w": (7, 5),
    "b.0.w": (4, 3, 2, 2),
    "b.1.w": (4, 3, 2, 2),
    "c.w": (),
}
#: What tells rules apart here, and a rule that has it is tried.
FACTS: Mapping[str, Callable[[Spec], bool]] = {
    "rows and columns": lambda spec: 'over="row"' in spec.text,
    "a graph": lambda spec: "laplacian(" in spec.text,
    "a vector": lambda spec: any(isinstance(s.start, tuple) for s in spec.states.values()),
    "its own count": lambda spec: "skip" in spec.text,
    "a state per tensor": lambda spec: 'over="tensor")\'' in spec.text,
    "settled moments": lambda spec: "momentum != 0" in spec.text,
    "moments": lambda spec: len(spec.states) == 3,
}
SPREAD = sorted({next(n for n in shipped() if fact(load(n))) for fact in FACTS.values()})


class Torch:
    """An optimizer of torch."""

    def __init__(self, rule: str, start: Numbers, dtype: torch.dtype = torch.float64, **more: Any) -> None:
        spec = load(rule)
        self.params = {name: Parameter(torch.tensor(x, dtype=dtype)) for name, x in start.items()}
        cls = getattr(optgen.torch, spec.class_name)
        given = {**arguments(cls, off_neutral(spec)), "backend": "reference", **more}
        self.optimizer = cls(list(self.params.items()), **given)
        self.inputs = dict.fromkeys(spec.inputs, 0.5)

    def step(self, grads: Mapping[str, np.ndarray | None]) -> None:
        for name, p in self.params.items():
            g = grads[name]
            p.grad = None if g is None else torch.tensor(g, dtype=p.dtype)
        self.optimizer.step(None, **self.inputs)

    def values(self) -> Numbers:
        return {name: p.detach().double().numpy().copy() for name, p in self.params.items()}

    def saved(self) -> NeutralState:
        return optgen.torch.state_of(self.optimizer)


class Jax:
    """A transformation of JAX and its state."""

    def __init__(self, rule: str, start: Numbers, dtype: str = "float64", **more: Any) -> None:
        spec = load(rule)
        self.params = {name.replace(".", "/"): jnp.asarray(x, dtype) for name, x in start.items()}
        self.transformation = factory(rule, {**off_neutral(spec), **more})
        self.state = self.transformation.init(self.params)
        self.apply = jax.jit(self.transformation.apply)
        self.inputs = dict.fromkeys(spec.inputs, 0.5)

    def step(self, grads: Numbers) -> None:
        given = {name: jnp.asarray(grads[name.replace("/", ".")], x.dtype) for name, x in self.params.items()}
        self.params, self.state = self.apply(given, self.state, self.params, **self.inputs)

    def load(self, source: Any, **how: Any) -> None:
        self.state = optgen.jax.load_state(source, self.transformation, self.params, **how)

    def values(self) -> Numbers:
        return {name.replace("/", "."): np.asarray(x, float) for name, x in self.params.items()}

    def saved(self) -> NeutralState:
        return optgen.jax.state_of(self.transformation, self.state, self.params)


def arguments(cls: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by torch's arguments."""
    found: dict[str, Any] = {}
    for hyper in cls.RULE.hypers:
        value = values.get(hyper.name, hyper.default)
        if hyper.index is None:
            found[hyper.key] = value
        else:
            found[hyper.key] = (*found.get(hyper.key, ()), value)
    return found


def start(rng: np.random.Generator, shapes: Mapping[str, tuple[int, ...]] = SHAPES) -> Numbers:
    return {name: np.asarray(rng.normal(size=shape)) for name, shape in shapes.items()}


def bits(state: NeutralState) -> dict[str, Any]:
    """Everything that a round trip keeps."""
    found: dict[str, Any] = {"": (state.rule, state.digest, state.global_step, dict(state.groups[0].hypers))}
    for p in state.parameters:
        kept = {name: (str(x.dtype), x.shape, x.tobytes()) for name, x in p.state.items()}
        found[p.name.replace("/", ".")] = (p.shape, p.updates, kept)
    return found


def close(found: Numbers, wanted: Numbers) -> None:
    """Equal but for the roundings of a few steps in float64."""
    for name, x in wanted.items():
        np.testing.assert_allclose(found[name], x, rtol=1e-9, atol=1e-11, err_msg=name)
