"""The step behind `apply`: one call of the CPU kernels for all tensors, or the plain functions.

Which of the two is decided when JAX lowers, because only then the platform and the devices are known: kernels on the
CPU, for a program of one device; else the plain functions. What transforms a step (vmap, grad, shard_map, a mesh, an
export) gets the plain functions, too. Both have the same operands and results, so that nothing else notices.
"""

# JAX carries partial types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir

from optgen.errors import BackendError
from optgen.runtime import array_step, jax_call, jax_checks, jax_kernels, jax_strict
from optgen.runtime.array_step import Row
from optgen.runtime.jax_checks import spread_out
from optgen.runtime.jax_kernels import Kernels, Layout
from optgen.runtime.jax_layers import Laid, Param
from optgen.runtime.jax_scalars import wide
from optgen.runtime.rule_info import Hypers, Settled

Arrays: TypeAlias = Sequence[Any]

KERNELS = "numba kernels, in place: one call for all tensors"
PLAIN = "plain JAX functions"


@dataclass(eq=False)
class Site:
    """A step of one tree: hypers that are known numbers, names of those that are operands, names of the inputs,
    whether parameters count their updates one by one, and whether every operation is to round once (kernels do so).

    Operands: parameters, slots, counts of updates if there are any, gradients, count, traced hypers, inputs. Results:
    the new ones of the first three.
    """

    laid: Laid
    settled: Settled
    static: Hypers
    known: Mapping[str, Any]
    traced: tuple[str, ...]
    inputs: tuple[str, ...]
    counted: bool
    strict: bool = False
    lowered: list[str] = field(default_factory=list[str])

    def __call__(self, operands: Arrays) -> list[Any]:
        """The step in place where it can be."""
        if not self.laid.plan.leaves or any(spread_out(x) for x in operands):
            return self.plain(*operands)
        return list(self._call(*operands))

    @cached_property
    def _call(self) -> Any:
        def bound(*operands: Any) -> tuple[Any, ...]:
            return tuple(_STEP.bind(*operands, site=self))

        def derived(primals: Arrays, tangents: Arrays) -> Any:
            return jax.jvp(lambda *xs: tuple(self.plain(*xs)), tuple(primals), tuple(tangents))  # pyright: ignore[reportUnknownLambdaType]

        call: Any = jax.custom_jvp(bound)
        call.defjvp(derived)
        return call

    @cached_property
    def compiled(self) -> Any:
        """The step outside of any other compiled function."""
        return jax.jit(partial(_STEP.bind, site=self))

    @cached_property
    def slots(self) -> list[list[str]]:
        """Names of the slots of each array."""
        plan = self.laid.plan
        return [[s.name for s in plan.leaves[p.first].slots] if p.leaves else [] for p in self.laid.params]

    @property
    def counts(self) -> tuple[int, int, int]:
        """Numbers of arrays, slots, counts of updates."""
        arrays = len(self.laid.params)
        return arrays, sum(map(len, self.slots)), arrays if self.counted else 0

    def plain(self, *operands: Any) -> list[Any]:
        """The step as plain functions."""
        if not self.strict:
            return self._plain(*operands)
        return jax_strict.strictly(self._plain, operands)

    def _plain(self, *operands: Any) -> list[Any]:
        rows, rest = self.rows(operands)
        count, *given = rest
        split = len(self.traced)
        values = jax_checks.checked([self.laid.plan.rule.hyper(name) for name in self.traced], given[:split])
        named = zip((*self.traced, *self.inputs), (*values, *given[split:]), strict=True)
        coarse = {name: wide(x) if jnp.ndim(x) == 0 else x for name, x in named}
        shared = {**self.known, **coarse, "step": count + 1}
        apart = [leaf for row, param in zip(rows, self.laid.params, strict=True) for leaf in taken_apart(param, row)]
        new = array_step.step(self.laid.plan, apart, shared)
        whole = [put_together(param, row, new) for row, param in zip(rows, self.laid.params, strict=True)]
        return self.results(whole)

    def rows(self, operands: Arrays) -> tuple[list[Row], Arrays]:
        """A row of values per array of the tree, and what remains of the operands."""
        arrays, slots, updates = self.counts
        left = iter(operands)
        rows: list[Row] = [{"param": next(left)} for _ in range(arrays)]
        for row, names in zip(rows, self.slots, strict=True):
            row.update((name, next(left)) for name in names)
        for row in rows[:updates]:
            row["updates"] = next(left)
        for row in rows:
            row["g"] = next(left)
        return rows, operands[2 * arrays + slots + updates :]

    def results(self, rows: Sequence[Row]) -> list[Any]:
        """The results from rows of new values."""
        found = [row["param"] for row in rows]
        found += [row[name] for row, names in zip(rows, self.slots, strict=True) for name in names]
        return found + [row["updates"] for row in rows if self.counted]

    # -- in place --------------------------------------------------------------------------------------------------

    def kernels(self, operands: Arrays) -> tuple[int, Kernels]:
        """The kernels for operands of these dtypes, and their number. BackendError where they cannot be had."""
        arrays = len(self.laid.params)
        return self.kernels_for([str(g.dtype) for g in operands[sum(self.counts) :][:arrays]])

    def kernels_for(self, gradients: Sequence[str]) -> tuple[int, Kernels]:
        """The kernels for gradients of these dtypes, and their number. BackendError where they cannot be had."""
        dtypes = tuple(_taken(p.dtype, g) for p, g in zip(self.laid.params, gradients, strict=True))
        real = str(jnp.result_type(float))
        return jax_kernels.find(Layout(self.laid, dtypes, self.traced, real, self.counted), self.settled, self.static)

    def fused(self, number: int, kernels: Kernels, *operands: Any) -> list[Any]:
        """The step as one call of kernels."""
        layout = kernels.layout
        inside, arrays = layout.in_place, len(self.laid.params)
        held, grads = operands[:inside], operands[inside : inside + arrays]
        count, *given = operands[inside + arrays :]
        grads = [g.astype(dtype) for g, dtype in zip(grads, layout.gradients, strict=True)]
        numbers = np.array([_number(self.known.get(name)) for name in kernels.hypers], dtype=np.float64)
        values = [jnp.asarray(x).astype(layout.real).reshape(()) for x in given]
        split = len(self.traced)
        by_name = dict(zip(self.inputs, values[split:], strict=True))
        packed = [_packed(values[:split], layout.real), _packed([by_name[n] for n in kernels.inputs], layout.real)]
        call = jax.ffi.ffi_call(
            jax_call.TARGET,
            [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in held],
            input_output_aliases={i: i for i in range(inside)},
        )
        known = jnp.asarray(numbers.view(np.uint32))
        return list(call(*held, *grads, count, known, *packed, **{jax_call.NUMBER: np.int64(number)}))


def taken_apart(param: Param, row: Row) -> list[Row]:
    """A row per leaf of an array."""
    if param.layers is None:
        return [row]
    behind = row["g"].ndim - row["param"].ndim  # several gradients have an axis before that of layers
    apart = {"g": jnp.moveaxis(row["g"], behind, 0), **{name: x for name, x in row.items() if name != "g"}}
    return [{name: value[i] for name, value in apart.items()} for i in range(param.layers)]


def put_together(param: Param, before: Row, new: Sequence[Row]) -> Row:
    """The row of an array from those of all leaves; as before where it has none."""
    if param.layers is None:
        return new[param.first]
    if param.layers == 0:
        return before
    rows = new[param.first : param.leaves.stop]
    return {name: jnp.stack([row[name] for row in rows]) for name in rows[0]}


def _taken(param: str, gradient: str) -> str:
    """The dtype in which kernels take a gradient."""
    if jax_kernels.served(param, gradient):
        return gradient
    return "float64" if param == "float64" else "float32"


def _number(value: object) -> float:
    return float(value) if isinstance(value, bool | int | float) else float("nan")


def _packed(values: Sequence[jax.Array], dtype: str) -> jax.Array:
    return jnp.stack(values) if values else jnp.zeros((0,), dtype)


_STEP = Primitive("optgen_step")
_STEP.multiple_results = True


@_STEP.def_impl
def _run(*operands: Any, site: Site) -> list[Any]:
    return list(site.compiled(*operands))


@_STEP.def_abstract_eval
def _types(*operands: Any, site: Site) -> list[Any]:
    return [x.update(weak_type=False) for x in operands[: sum(site.counts)]]


def _batched(operands: Arrays, axes: Sequence[Any], *, site: Site) -> tuple[list[Any], list[int]]:
    found = jax.vmap(site.plain, in_axes=tuple(axes))(*operands)
    return found, [0] * len(found)


def _lower_plain(ctx: Any, *operands: Any, site: Site) -> Any:
    site.lowered.append(PLAIN)
    return mlir.lower_fun(site.plain, multiple_results=True)(ctx, *operands)


def _lower_on_cpu(ctx: Any, *operands: Any, site: Site) -> Any:
    module = ctx.module_context
    alone = getattr(module.axis_context, "num_devices", 0) == 1
    if not alone or module.lowering_parameters.for_export:
        return _lower_plain(ctx, *operands, site=site)
    try:
        number, kernels = site.kernels(ctx.avals_in)
    except BackendError as error:
        site.lowered.append(f"{PLAIN}: {error}")
        return mlir.lower_fun(site.plain, multiple_results=True)(ctx, *operands)
    module.add_keepalive(kernels)
    site.lowered.append(KERNELS)

    def fused(*xs: Any) -> list[Any]:
        return site.fused(number, kernels, *xs)

    return mlir.lower_fun(fused, multiple_results=True)(ctx, *operands)


batching.primitive_batchers[_STEP] = _batched
mlir.register_lowering(_STEP, _lower_plain)
mlir.register_lowering(_STEP, _lower_on_cpu, platform="cpu")
