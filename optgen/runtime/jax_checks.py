"""Hyper-parameters whose values only the running step knows: an error where they are outside their domains.

The check is an operation beside the step, on numbers alone. On one CPU it is a call of XLA's, which fails the step; in
a program of several devices, on other platforms and in exports it is nothing, because only the host could raise; under
`jax.experimental.checkify` it is an error of that on every platform. Values that are known are checked at once.
"""

# JAX carries partial types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import ShapedArray, Tracer
from jax.experimental import checkify
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir

from optgen.errors import HyperError
from optgen.runtime import jax_call
from optgen.runtime.jax_call import Words
from optgen.runtime.rule_info import Domain, HyperInfo


def refuse(hypers: Sequence[HyperInfo], values: Sequence[float]) -> None:
    """HyperError for the first value that is not a number of its domain."""
    for hyper, value in zip(hypers, values, strict=True):
        if np.isnan(value) or (hyper.domain is not None and not hyper.domain.contains(value)):
            wanted = hyper.domain.text if hyper.domain is not None else "a number"
            raise HyperError(f"{hyper.name} must be {wanted}, got {value}; nothing was changed")


def watch(hypers: Sequence[HyperInfo], values: Sequence[jax.Array]) -> None:
    """Checks of traced values for `checkify`, and nothing without it."""
    for hyper, x in zip(hypers, values, strict=True):
        if isinstance(x, Tracer):
            wanted = hyper.domain.text if hyper.domain is not None else "a number"
            checkify.debug_check(_inside(hyper.domain, x), f"{hyper.name} must be {wanted}, got {{value}}", value=x)


def _inside(domain: Domain | None, x: jax.Array) -> jax.Array:
    found = x == x
    if domain is None:
        return found
    above = x > domain.low if domain.low_open else x >= domain.low
    below = x < domain.high if domain.high_open else x <= domain.high
    return jnp.logical_and(jnp.logical_and(above, below), found)


def checked(hypers: Sequence[HyperInfo], values: Sequence[Any]) -> list[Any]:
    """The same values, which are computed only where all of them are in their domains."""
    if not hypers or any(map(spread_out, values)):
        return list(values)
    holds = _CHECK.bind(*(jax.lax.stop_gradient(jnp.asarray(x)) for x in values), hypers=tuple(hypers))
    return [jnp.where(holds, x, jnp.zeros_like(x)) for x in values]


def spread_out(x: Any) -> bool:
    """Whether the type of an array says that it lies on several devices."""
    aval = jax.typeof(x)
    mesh = getattr(getattr(aval, "sharding", None), "mesh", None)
    return bool(getattr(aval, "vma", None)) or (mesh is not None and not mesh.empty and mesh.size > 1)


class _Check:
    """The work of a call: values of the dtype `real` are looked at, and all of them hold or it raises."""

    def __init__(self, hypers: tuple[HyperInfo, ...], real: str) -> None:
        self.hypers, self.real = hypers, real
        text = repr([real, *((hyper.name, hyper.domain) for hyper in hypers)])
        self.number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1

    def run(self, arguments: Words, results: Words) -> None:
        number = ctypes.c_double if self.real == "float64" else ctypes.c_float
        refuse(self.hypers, list((number * len(self.hypers)).from_address(int(arguments[0]))))
        ctypes.c_bool.from_address(int(results[0])).value = True


@lru_cache
def _check_of(hypers: tuple[HyperInfo, ...], real: str) -> _Check:
    return _Check(hypers, real)


_CHECK = Primitive("optgen_check")


@_CHECK.def_impl
def _now(*values: Any, hypers: tuple[HyperInfo, ...]) -> Any:
    refuse(hypers, [float(x) for x in values])
    return jnp.asarray(True)


@_CHECK.def_abstract_eval
def _type(*_: Any, hypers: tuple[HyperInfo, ...]) -> Any:  # noqa: ARG001
    return ShapedArray((), np.dtype(np.bool_))


def _nothing(*_: Any, hypers: tuple[HyperInfo, ...]) -> Any:  # noqa: ARG001
    return jnp.asarray(True)


def _batched(operands: Sequence[Any], _: Sequence[Any], *, hypers: tuple[HyperInfo, ...]) -> tuple[Any, Any]:
    return _nothing(*operands, hypers=hypers), None


def _lower_on_cpu(ctx: Any, *operands: Any, hypers: tuple[HyperInfo, ...]) -> Any:
    module = ctx.module_context
    if getattr(module.axis_context, "num_devices", 0) != 1 or module.lowering_parameters.for_export:
        return _lower_nothing(ctx, *operands, hypers=hypers)
    work = _check_of(hypers, str(jnp.result_type(float)))
    jax_call.register(work.number, work)

    def call(*values: Any) -> Any:
        packed = jnp.stack([x.astype(work.real).reshape(()) for x in values])
        holds = jax.ffi.ffi_call(jax_call.TARGET, jax.ShapeDtypeStruct((), np.bool_))
        return holds(packed, **{jax_call.NUMBER: np.int64(work.number)})

    return mlir.lower_fun(call, multiple_results=False)(ctx, *operands)


_lower_nothing: Any = mlir.lower_fun(_nothing, multiple_results=False)
batching.primitive_batchers[_CHECK] = _batched
mlir.register_lowering(_CHECK, _lower_nothing)
mlir.register_lowering(_CHECK, _lower_on_cpu, platform="cpu")
