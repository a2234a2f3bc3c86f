"""Strict steps: every operation rounds once, as in NumPy, whatever XLA and LLVM would make of several.

XLA folds constants into one another and divides by what is the same for all elements through its inverse; LLVM then
fuses a product into the sum it goes to. Both see values, not bits: every product, sum, quotient and root is therefore
taken apart into bits, to which a zero is added by `or` that is known only at run time, and put together again.

Values coarser than elements are float64 within a strict step, and rounded once, where they meet elements: that is what
kernels do. XLA's CPU threads take subnormal numbers for zeros, which no function of arrays can change.
"""

# JAX carries partial types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import ShapedArray
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, Primitive, Var
from jax.interpreters import mlir

from optgen.errors import BackendError, UsageError

Arrays: TypeAlias = Sequence[Any]
Step: TypeAlias = Callable[..., Sequence[Any]]

#: Operations that are fused into others, or have others folded into them.
_ROUNDED = frozenset({"add", "sub", "mul", "div", "sqrt", "integer_pow", "square"})
#: Operations that call a function once, by the parameter that holds it.
_CALLS: Final[Mapping[str, str]] = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
}
_BITS: Final[Mapping[int, str]] = {16: "int16", 32: "int32", 64: "int64"}


def asked(given: object) -> bool:
    """The argument `strict`. UsageError unless it is on or off."""
    if not isinstance(given, bool):
        raise UsageError(f"strict must be True or False, got {given!r}")
    return given


def check(rule: str, inexact: Sequence[str] | None) -> None:
    """UsageError for functions that cannot be strict: they call on elements what backends round differently."""
    if inexact is None:
        raise UsageError(f"strict=True, but the functions of {rule} were built by an earlier version: build them again")
    if inexact:
        raise UsageError(
            f"strict=True, but {rule} uses {', '.join(inexact)} on elements, which backends round differently; "
            "leave it out"
        )


def strictly(step: Step, operands: Arrays) -> list[Any]:
    """What a step gives, strictly.

    Derivatives are those of the step itself. BackendError on other platforms than CPUs, when JAX lowers.
    """

    @jax.custom_jvp
    def run(*operands: Any) -> tuple[Any, ...]:
        with jax.enable_x64(True):
            traced = jax.make_jaxpr(step)(*operands)
            return tuple(_run(traced, operands, _Guard(_ZERO.bind())))

    def derived(primals: Arrays, tangents: Arrays) -> Any:
        _, found = jax.jvp(lambda *xs: tuple(step(*xs)), tuple(primals), tuple(tangents))  # pyright: ignore[reportUnknownLambdaType]
        return run(*primals), found

    run.defjvp(derived)
    return list(run(*operands))


class _Guard:
    """Keeps values from being seen through."""

    def __init__(self, zero: Any) -> None:
        self._zeros = {width: lax.convert_element_type(zero, dtype) for width, dtype in _BITS.items()}

    def result(self, x: jax.Array) -> jax.Array:
        """x, of which nothing is known but its bits."""
        if not jnp.issubdtype(x.dtype, jnp.floating):
            return x
        bits, width = _bits(x)
        return lax.bitcast_convert_type(bits | self._zeros[width], x.dtype)

    def divisor(self, x: jax.Array, dividend: jax.Array) -> jax.Array:
        """x, of which nothing says that it is the same for all elements of the dividend."""
        if not jnp.issubdtype(x.dtype, jnp.floating):
            return x
        (bits, width), (others, _) = _bits(x), _bits(dividend)
        return lax.bitcast_convert_type(bits | others & self._zeros[width], x.dtype)


def _bits(x: jax.Array) -> tuple[jax.Array, int]:
    width = int(jnp.finfo(x.dtype).bits)
    return lax.bitcast_convert_type(x, _BITS[width]), width


def _run(function: ClosedJaxpr, operands: Arrays, guard: _Guard) -> list[Any]:
    """What a traced function gives, every rounding guarded."""
    return _steps(function.jaxpr, function.consts, operands, guard)


def _steps(jaxpr: Jaxpr, consts: Arrays, operands: Arrays, guard: _Guard) -> list[Any]:
    values: dict[Var, Any] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *operands], strict=True))

    def read(atom: Var | Literal) -> Any:
        return atom.val if isinstance(atom, Literal) else values[atom]

    for equation in jaxpr.eqns:
        found = _equation(equation, [read(atom) for atom in equation.invars], guard)
        values.update(zip(equation.outvars, found, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _equation(equation: Any, given: list[Any], guard: _Guard) -> list[Any]:
    name, params = equation.primitive.name, equation.params
    if name in _CALLS:
        called = params[_CALLS[name]]
        return _run(called, given, guard)
    if name == "cond":
        branches = [_branch(branch, guard) for branch in params["branches"]]
        return list(lax.switch(given[0], branches, *given[1:]))
    if any(isinstance(param, ClosedJaxpr | Jaxpr) for param in params.values()):
        raise BackendError(f"strict=True is not built for steps that hold {name}: leave it out")
    if name == "div":
        dividend, divisor = (jnp.asarray(x, atom.aval.dtype) for x, atom in zip(given, equation.invars, strict=True))
        given = [dividend, guard.divisor(divisor, dividend)]
    found = equation.primitive.bind(*given, **params)
    results = list(found) if equation.primitive.multiple_results else [found]
    return [guard.result(x) for x in results] if name in _ROUNDED else results


def _branch(branch: ClosedJaxpr, guard: _Guard) -> Callable[..., list[Any]]:
    return lambda *operands: _run(branch, operands, guard)


# -- the zero --------------------------------------------------------------------------------------------------------

_ZERO = Primitive("optgen_run_time_zero")


@_ZERO.def_impl
def _zero() -> Any:
    return jax.jit(_ZERO.bind)()


@_ZERO.def_abstract_eval
def _type() -> Any:
    return ShapedArray((), np.dtype(np.int32))


def _pivot() -> Any:
    """The pivot of a matrix of one number, which LAPACK finds at run time: no compiler looks into that."""
    _, pivots, _ = lax.linalg.lu(np.ones((1, 1), np.float32))
    return pivots[0]


def _lower(ctx: Any) -> Any:
    platforms = set(ctx.module_context.platforms)
    if platforms != {"cpu"}:
        raise BackendError(
            f"strict=True is for CPUs, and this is compiled for {', '.join(sorted(platforms))}, where XLA divides "
            "approximately; leave it out"
        )
    return mlir.lower_fun(_pivot, multiple_results=False)(ctx)


mlir.register_lowering(_ZERO, _lower)
