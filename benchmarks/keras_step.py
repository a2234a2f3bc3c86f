"""CPU time of `optimizer.apply` in Keras on its torch backend: kernels, the same rule by keras.ops, Keras's own.

    python benchmarks/keras_step.py [--quick] [--only TEXT] [--out benchmarks/results/keras_step.json]

Every case runs all its sides in turn, in one process, and reports medians and their ratios: the machine is noisy and
the peer is noisy with it. Variables and gradients are float32; gradients stay the same from step to step.
"""

from __future__ import annotations

import os
from collections.abc import Callable

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
from keras import ops
from pairs import main

from optgen import keras as rules
from optgen.bench import shapes as lists

#: Side, and against which other side.
PAIRS = (
    ("AdamW kernels", "keras.optimizers.AdamW", None),
    ("AdamW kernels", "AdamW keras.ops", None),
    ("AdamW keras.ops", "keras.optimizers.AdamW", None),
    ("NEAT kernels", "NEAT keras.ops", None),
    ("NEAT kernels", "AdamW kernels", None),
)


def side(optimizer: keras.optimizers.Optimizer, shapes: lists.Shapes, grads: list[object]) -> Callable[[], None]:
    """A step on variables of its own."""
    rng = np.random.default_rng(0)
    variables: list[keras.Variable] = []
    for name, shape in shapes:
        *outer, last = name.replace(".", "/").split("/")
        with keras.name_scope("_".join(outer) or "w"):
            variables.append(keras.Variable(0.02 * rng.standard_normal(shape, np.float32), name=last))
    optimizer.build(variables)
    return lambda: optimizer.apply(grads, variables)


def sides(shapes: lists.Shapes) -> dict[str, Callable[[], None]]:
    """All sides on one list of layers."""
    rng = np.random.default_rng(1)
    grads = [ops.convert_to_tensor(rng.standard_normal(shape, np.float32)) for _, shape in shapes]
    given = {"learning_rate": 1e-3, "weight_decay": 0.01}
    made = {
        "keras.optimizers.AdamW": keras.optimizers.AdamW(**given),
        "AdamW keras.ops": rules.AdamW(**given, backend="xla"),
        "AdamW kernels": rules.AdamW(**given),
        "NEAT keras.ops": rules.NEAT(**given, backend="xla"),
        "NEAT kernels": rules.NEAT(**given),
    }
    found = {key: side(optimizer, shapes, grads) for key, optimizer in made.items()}
    for key, optimizer in made.items():
        if key.endswith("kernels") and "numba kernels" not in optimizer.describe().splitlines()[0]:
            raise SystemExit(optimizer.describe().splitlines()[0])
    return found


if __name__ == "__main__":
    main("keras_step.py", __doc__, sides, PAIRS, {"keras": keras.__version__})
