"""Optimizers of JAX, as the tester drives them: `plain`, what XLA compiles, under `jit` on a tree of parameters."""

# JAX carries partial types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

import jax
from optgen.api import compile as compile_rule
from optgen.errors import UsageError
from optgen.frontends.jax_factory import argument_of
from optgen.runtime.arrangement import Arrangement
from optgen.runtime.jax_transform import State, Transformation
from optgen.runtime.storage import DtypeSet
from optgen.spec.model import Setting, Spec
from optgen.verify.code import COUNTER
from optgen.verify.side import units_first, units_last, whole

Array = NDArray[np.float64]
Tree: TypeAlias = Any

COMPLETE = True


class JaxSide:
    """A transformation, its state and parameters, under the switch that float64 needs in JAX."""

    single: bool = True
    inverts: bool = True

    def __init__(self, spec: Spec, values: dict[str, Setting], arrays: Mapping[str, Array], dtype: DtypeSet, more: Any):
        self.spec, self.settings, self.more = spec, values, more
        self.wide = dtype.param == "float64"
        self.gradient = dtype.grad
        self.names = [name.replace(".", "/") for name in arrays]
        with jax.enable_x64(self.wide):
            self.params = self._tree(list(arrays.values()), dtype.param)
            self.transformation = self._made()
            self.state = cast(State, self.transformation.init(self.params))
            self.apply = jax.jit(self.transformation.plain)

    def _made(self) -> Transformation:
        factory = compile_rule(self.spec, framework="jax")
        spelled = {argument_of(h) if (h := self.spec.hypers.get(n)) else n: v for n, v in self.settings.items()}
        known = inspect.signature(factory).parameters
        order = {"order": self.names} if "order" in known else {}
        return factory(**spelled, **order, **self.more)

    def _tree(self, values: Sequence[Array], dtype: str) -> Tree:
        return {name: jnp.asarray(units_last(self.spec, x), dtype) for name, x in zip(self.names, values, strict=True)}

    def step(self, gradients: Sequence[Array | None], inputs: Mapping[str, float]) -> None:
        """One step. UsageError for a gradient that is missing."""
        given = [g for g in gradients if g is not None]
        if len(given) != len(gradients):
            raise UsageError("in JAX every parameter has a gradient: compare with complete=True")
        with jax.enable_x64(self.wide):
            grads = self._tree(given, self.gradient)
            self.params, self.state = self.apply(grads, self.state, self.params, **inputs)

    def scale_rate(self, factor: float) -> None:
        """A transformation with another learning rate goes on with the state."""
        rate = self.settings.get("lr", self.spec.hypers["lr"].default)
        if isinstance(rate, int | float):
            self.settings["lr"] = rate * factor
        with jax.enable_x64(self.wide):
            self.transformation = self._made()
            self.apply = jax.jit(self.transformation.plain)

    def values(self, tensor: int) -> Mapping[str, Array]:
        """The parameter, its count and its state."""
        name = self.names[tensor]
        count = self.state.count if self.state.updates is None else self.state.updates[name]
        held = {slot: tree[name] for slot, tree in self.state.slots.items() if tree[name] is not None}
        found = {"param": self.params[name], COUNTER: count, **held}
        return {key: units_first(self.spec, key, np.asarray(x).astype(np.float64)) for key, x in found.items()}


def make(
    spec: Spec,
    backend: str,  # noqa: ARG001  # there is one for JAX
    arrays: Mapping[str, Array],
    dtypes: Sequence[DtypeSet],
    given: Mapping[str, Mapping[str, Setting]],
    arranged: Arrangement,
    device: str,  # noqa: ARG001  # JAX's default
) -> JaxSide:
    """A transformation on a flat dict of parameters. UsageError for what the front end does not offer."""
    found = whole("JAX", spec, dtypes, given, arranged)
    return JaxSide(spec, found.hypers, arrays, found.dtype, found.options)
