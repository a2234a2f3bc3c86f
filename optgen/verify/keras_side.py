"""Optimizers of Keras, as the tester drives them: `apply` on variables, compiled where the backend is JAX.

Keras settles its backend when it is first imported: `KERAS_BACKEND` names it, and JAX is taken where nothing does.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optgen.api import compile as compile_rule
from optgen.frontends.declared import extent_of
from optgen.frontends.keras_class import argument_of
from optgen.runtime.arrangement import Arrangement
from optgen.runtime.array_modules import BACKEND as ARRAYS
from optgen.runtime.storage import DtypeSet
from optgen.spec.model import Setting, Spec
from optgen.verify.code import COUNTER
from optgen.verify.side import units_first, units_last, whole

os.environ.setdefault("KERAS_BACKEND", "jax")
keras: Final[Any] = importlib.import_module("keras")

Array = NDArray[np.float64]
Variable: TypeAlias = Any

COMPLETE = False


class KerasSide:
    """An optimizer and variables; float64 needs switches of Keras and of JAX."""

    def __init__(
        self, spec: Spec, values: Mapping[str, Setting], arrays: Mapping[str, Array], dtype: DtypeSet, more: Any
    ):
        self.wide = dtype.param == "float64"
        arrays_only = more["backend"] == ARRAYS
        # Kernels are given state of tensors in double precision, and Keras keeps it in float32 between steps.
        self.single = arrays_only or any(extent_of(spec, state) != "elem" for state in spec.states.values())
        self.inverts = arrays_only and keras.backend.backend() == "jax"
        self.gradient = dtype.grad
        self.spec = spec
        with _precision(self.wide):
            self.variables = [self._variable(name, units_last(spec, x), dtype.param) for name, x in arrays.items()]
            cls = compile_rule(spec, framework="keras")
            named = {argument_of(h) if (h := spec.hypers.get(n)) else n: value for n, value in values.items()}
            self.optimizer: Any = cls(**named, **more)
            self.optimizer.build(self.variables)
            self.apply = self._compiled() if keras.backend.backend() == "jax" else self.optimizer.apply
        self.counts = [0] * len(self.variables)  # for rules that read none, and whose optimizers keep none

    def _variable(self, name: str, value: Array, dtype: str) -> Variable:
        *outer, last = name.replace(".", "/").split("/")
        with ExitStack() as scopes:
            for scope in outer or ("w",):
                scopes.enter_context(keras.name_scope(scope))
            return keras.Variable(value, dtype=dtype, name=last)

    def _compiled(self) -> Any:
        """A step as Keras compiles it: without side effects, its results put back."""
        jax: Any = importlib.import_module("jax")
        optimizer = self.optimizer
        step = jax.jit(optimizer.stateless_apply)

        def apply(grads: Sequence[Any], **inputs: float) -> None:
            if inputs:
                optimizer.apply(grads, **inputs)
                return
            held, params = [v.value for v in optimizer.variables], [v.value for v in self.variables]
            params, held = step(held, grads, params)
            for variable, value in zip((*self.variables, *optimizer.variables), (*params, *held), strict=True):
                variable.assign(value)

        return apply

    def step(self, gradients: Sequence[Array | None], inputs: Mapping[str, float]) -> None:
        """One step; one without gradients counts, as Keras refuses it."""
        with _precision(self.wide):
            grads = [None if g is None else self._gradient(g) for g in gradients]
            if all(gradient is None for gradient in grads):
                self.optimizer.iterations.assign_add(1)
            else:
                self.apply(grads, **inputs)
        self.counts = [count + (g is not None) for count, g in zip(self.counts, gradients, strict=True)]

    def scale_rate(self, factor: float) -> None:
        """The learning rate, which is a variable."""
        with _precision(self.wide):
            rate = self.optimizer.learning_rate
            rate.assign(rate * factor)

    def values(self, tensor: int) -> Mapping[str, Array]:
        """The variable, its count and its state."""
        variable = self.variables[tensor]
        updates = self.optimizer.layout().updates
        count: Any = self.counts[tensor] if updates is None else keras.ops.convert_to_tensor(updates)[tensor]
        found = {"param": variable, COUNTER: count, **self.optimizer.state_of(variable)}
        with _precision(self.wide):
            return {key: units_first(self.spec, key, self._numbers(x)) for key, x in found.items()}

    def _gradient(self, g: Array) -> Any:
        return keras.ops.convert_to_tensor(units_last(self.spec, g).copy(), dtype=self.gradient)

    def _numbers(self, x: Any) -> Array:
        return np.asarray(
            keras.ops.convert_to_numpy(keras.ops.cast(x, "float64" if self.wide else "float32")), np.float64
        )


def make(
    spec: Spec,
    backend: str,
    arrays: Mapping[str, Array],
    dtypes: Sequence[DtypeSet],
    given: Mapping[str, Mapping[str, Setting]],
    arranged: Arrangement,
    device: str,  # noqa: ARG001  # Keras's default
) -> KerasSide:
    """An optimizer on variables. UsageError for what the front end does not offer."""
    found = whole("Keras", spec, dtypes, given, arranged)
    return KerasSide(spec, found.hypers, arrays, found.dtype, {**found.options, "backend": backend})


@contextmanager
def _precision(wide: bool) -> Generator[None]:
    """float64 numbers, where they are wanted, the learning rate among them."""
    if not wide:
        yield
        return
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    try:
        if keras.backend.backend() == "jax":
            jax: Any = importlib.import_module("jax")
            with jax.enable_x64(True):
                yield
        else:
            yield
    finally:
        keras.config.set_floatx(before)
