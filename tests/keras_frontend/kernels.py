"""Checks of kernels under Keras on torch, of which other backends have none; `run` runs them."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from optgen.errors import BackendError, GradientError, HyperError
from optgen.keras import NEAT as Coupled
from optgen.keras import Adafactor, AdamW, Muon, NAdam
from optgen.verify.compare import compare
from tests.keras_frontend.checks import BACKEND, OPTIONS, SHAPES, numbers, raises, same, tensors

#: A graph, rows and columns, calls of a library on matrices of output units and elements alone beside them, state
#: of whole tensors.
SPREAD = (Coupled, Adafactor, Muon, NAdam)


def check_kernels_are_inside_the_bounds_of_torch() -> None:
    """What is derived for kernels: scalars in double precision, sums over tensors as well; state of tensors is kept in
    float32."""
    if BACKEND != "torch":
        raises(BackendError, "KERAS_BACKEND=torch", lambda: AdamW(backend="numba"))
        assert AdamW(backend="xla").get_config()["backend"] == "xla"
        return
    for cls in SPREAD:
        report = compare(cls.RULE.name, "numba", framework="keras", steps=4, shapes=SHAPES)
        assert report.ok, report


def check_what_steps_is_chosen_and_said() -> None:
    v = keras.Variable(np.ones(2, "float32"), name="v")
    optimizer = AdamW(**OPTIONS)
    optimizer.build([v])
    first = optimizer.describe().splitlines()[0]
    assert ("by numba kernels on cpu" in first) == (BACKEND == "torch"), first
    if BACKEND != "torch":
        return
    plain = AdamW(**OPTIONS, backend="xla")
    plain.build([v])
    assert "by keras.ops" in plain.describe().splitlines()[0]
    given = AdamW(**OPTIONS, backend="triton")
    given.build([v])
    raises(BackendError, 'serves the device "cuda"', lambda: given.apply(tensors([np.ones(2)]), [v]))
    assert same(numbers([v]), [np.ones(2)])
    here, there = (keras.Variable(np.ones(2, "float32"), name=name) for name in "ab")
    there._value = there._value.to("meta")
    apart = AdamW(**OPTIONS)
    apart.build([here, there])
    assert "by keras.ops (kernels step variables on one device, and these are on cpu, meta)" in apart.describe()


def check_kernels_leave_what_has_no_gradient_and_follow_memory() -> None:
    """Against the same rule by keras.ops: gradients of another layout, one that is missing, weights that moved."""
    found: list[list[np.ndarray]] = []
    for backend in (None, "xla"):
        vs = [keras.Variable(np.ones((3, 4), "float32"), name=name) for name in ("kernel", "bias")]
        vs.append(keras.Variable(np.arange(6, dtype="float32").reshape(2, 3).T, name="turned"))
        optimizer = AdamW(**OPTIONS, amsgrad=True, backend=backend)
        optimizer.build(vs)
        for step in range(4):
            rng = np.random.default_rng(step)
            grads = tensors([rng.standard_normal((4, 3)).T, *(rng.standard_normal(s) for s in ((3, 4), (3, 2)))])
            if step == 2 and BACKEND == "torch":
                vs[0]._value.data = vs[0]._value.data.clone()
            with pytest.warns(UserWarning, match="Gradients do not exist") if step == 1 else keras.name_scope("x"):
                optimizer.apply([grads[0], None if step == 1 else grads[1], grads[2]], vs)
        found.append(numbers([*vs, *optimizer.variables]))
    assert same(found[0], found[1], 1e-6)
    assert not same(found[0][:1], [np.ones((3, 4))])


def check_a_rate_that_cannot_be_changes_nothing() -> None:
    if BACKEND != "torch":  # elsewhere it is part of the compiled step
        return
    v = keras.Variable(np.ones(2, "float32"), name="v")
    optimizer = AdamW(**OPTIONS)
    optimizer.apply(tensors([np.ones(2)]), [v])
    before = numbers([v, *optimizer.variables[2:]])
    optimizer.learning_rate = float("nan")
    raises(HyperError, "lr", lambda: optimizer.apply(tensors([np.ones(2)]), [v]))
    optimizer.learning_rate = 0.05
    raises(GradientError, '"v"', lambda: optimizer.apply(tensors([np.ones(3)]), [v]))
    assert same(numbers([v, *optimizer.variables[2:]]), before)


def check_the_compiler_of_torch_leaves_the_step() -> None:
    """As `jit_compile=True` compiles what calls it; with no compiler behind, which would take ten seconds."""
    if BACKEND != "torch":
        return
    import torch

    found: list[list[np.ndarray]] = []
    for wrap in (lambda f: f, lambda f: torch.compile(f, backend="eager")):
        v = keras.Variable(np.ones(2, "float32"), name="v")
        optimizer = AdamW(**OPTIONS)
        optimizer.build([v])

        @wrap
        def train(x: torch.Tensor, v: keras.Variable = v, step: object = optimizer.apply) -> torch.Tensor:
            with torch.no_grad():
                step([x * 2], [v])
            return x + 1

        for _ in range(2):
            train(torch.ones(2))
        found.append(numbers([v, *optimizer.variables]))
    assert same(*found)
