"""CPU time of a step in JAX against `optax.adamw`, both under `jax.jit` with parameters and state donated.

    python benchmarks/jax_step.py [--quick] [--only TEXT] [--out benchmarks/results/jax_step.json]

Every case runs all its sides in turn, in one process, and reports medians and their ratios: the machine is noisy and
the peer is noisy with it. Parameters and gradients are float32; gradients stay the same from step to step.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np
import optax
from pairs import main

from optgen import jax as rules
from optgen.bench import shapes as lists

Tree = Mapping[str, jax.Array]
PAIRS = (
    ("adamw apply", "optax.adamw", 0.75),
    ("adamw update", "optax.adamw", 1.05),
    ("neat apply", "adamw apply", 1.5),
    ("adamw strict", "adamw plain", None),
)


def arrays(shapes: lists.Shapes, scale: float) -> dict[str, jax.Array]:
    """Random arrays by name."""
    rng = np.random.default_rng(0)
    return {name: jnp.asarray(scale * rng.standard_normal(shape, np.float32)) for name, shape in shapes}


def side(
    transformation: optax.GradientTransformation, shapes: lists.Shapes, grads: Tree, *, way: str = "update"
) -> Callable[[], None]:
    """A step that keeps its own parameters and state."""

    # parameters first, as they come out: JAX gives outputs the memory of donated inputs in this order
    def step(params: Tree, state: object, grads: Tree) -> tuple[object, object]:
        if way != "update":
            return getattr(transformation, way)(grads, state, params)
        updates, state = transformation.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    compiled = jax.jit(step, donate_argnums=(0, 1))
    params = arrays(shapes, 0.02)
    held = [params, transformation.init(params)]

    def run() -> None:
        held[0], held[1] = compiled(held[0], held[1], grads)
        jax.block_until_ready(held)

    return run


def sides(shapes: lists.Shapes) -> dict[str, Callable[[], None]]:
    """All sides on one list of layers."""
    grads = arrays(shapes, 1.0)
    given = {"learning_rate": 1e-3, "weight_decay": 0.01}
    return {
        "optax.adamw": side(optax.adamw(**given), shapes, grads),
        "adamw update": side(rules.adamw(**given), shapes, grads),
        "adamw apply": side(rules.adamw(**given), shapes, grads, way="apply"),
        "neat apply": side(rules.neat(**given), shapes, grads, way="apply"),
        "adamw plain": side(rules.adamw(**given), shapes, grads, way="plain"),
        "adamw strict": side(rules.adamw(**given, strict=True), shapes, grads, way="plain"),
    }


if __name__ == "__main__":
    main("jax_step.py", __doc__, sides, PAIRS, {"jax": jax.__version__, "optax": optax.__version__})
