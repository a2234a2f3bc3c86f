"""What a rule's step takes in JAX beside the step itself: arrays to start from, and trees that are checked."""

# JAX and optax carry partial types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from optgen.errors import UsageError
from optgen.runtime import array_step
from optgen.runtime.array_program import Program, Slot, Value
from optgen.runtime.array_step import Leaf, Plan, Row, metadata, slot_dtype, slot_shape
from optgen.runtime.gradients import fits
from optgen.runtime.jax_inplace import Site, taken_apart
from optgen.runtime.jax_layers import Laid, Param
from optgen.runtime.jax_program import ARRAYS
from optgen.runtime.rule_info import RuleInfo


def start(laid: Laid, param: Param, array: jax.Array, hypers: Mapping[str, Value]) -> Row:
    """The state of one parameter before its first step; a stack's slots have its layers along their first axis."""
    leaves = [laid.plan.leaves[i] for i in param.leaves]
    found: Row = {}
    for slot in leaves[0].slots if leaves else ():
        whole = param.layers is None
        values = [_start(slot, leaf, array if whole else array[i], hypers) for i, leaf in enumerate(leaves)]
        dtype, shape = slot_dtype(ARRAYS, slot, leaves[0]), slot_shape(slot, leaves[0])
        shape = shape if whole else (len(leaves), *shape)
        like = jnp.zeros_like(array, dtype=dtype) if slot.extent == "elem" else jnp.zeros(shape, dtype)
        if all(isinstance(value, int | float) and value == 0 for value in values):
            found[slot.name] = like
        elif whole:
            found[slot.name] = ARRAYS.stored(values[0], like)
        else:
            found[slot.name] = jnp.stack([ARRAYS.stored(v, x) for v, x in zip(values, like, strict=True)])
    return found


def _start(slot: Slot, leaf: Leaf, array: jax.Array, hypers: Mapping[str, Value]) -> Value:
    given = {**hypers, **leaf.own, **metadata(leaf.meta), "param": array}
    (value,) = slot.start(*(given[name] for name in slot.takes))
    return value


def held(slots: Mapping[str, Any], updates: Any, treedef: Any, laid: Laid, program: Program) -> list[Any]:
    """The slots of every parameter in turn, then the counts of updates if there are any. UsageError names what is not
    as this rule has it."""
    trees: dict[str, list[Any]] = {}
    for slot in program.slots:
        if slot.name not in slots:
            raise UsageError(f'the state has no "{slot.name}": it was made by another rule or other options')
        trees[slot.name] = _flat(treedef, slots[slot.name], f'the state "{slot.name}"')
    found: list[Any] = []
    for i, param in enumerate(laid.params):
        for slot in laid.plan.leaves[param.first].slots if param.leaves else ():
            value, leaf = trees[slot.name][i], laid.plan.leaves[param.first]
            shape = slot_shape(slot, leaf) if param.layers is None else (param.layers, *slot_shape(slot, leaf))
            if value is None or jnp.shape(value) != shape:
                got = "missing" if value is None else f"{jnp.shape(value)}"
                raise UsageError(f'the state "{slot.name}" of "{param.name}" is {got}, and must be {shape}')
            found.append(value)
    return [*found, *(() if updates is None else _flat(treedef, updates, "the counts of updates"))]


def _flat(treedef: Any, tree: Any, what: str) -> list[Any]:
    try:
        return treedef.flatten_up_to(tree)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{what} and the parameters are different trees: {error}") from None


def gradients(grads: Any, treedef: Any, laid: Laid, count: int = 0) -> list[Any]:
    """The gradients in the order of the parameters, of rules that take several so many along a first axis.
    UsageError names one that cannot be."""
    found = _flat(treedef, grads, "the gradients")
    for param, gradient in zip(laid.params, found, strict=True):
        if gradient is None:
            raise UsageError(f'"{param.name}" has no gradient; mask such parameters out (optax.masked)')
        if count and not fits(jnp.shape(gradient), param.shape, count):
            raise UsageError(
                f'the gradients of "{param.name}" are {jnp.shape(gradient)}; with {laid.plan.rule.gradients}={count} '
                f"they must be {(count, *param.shape)}"
            )
        if not count and jnp.shape(gradient) != param.shape:
            raise UsageError(f'the gradient of "{param.name}" is {jnp.shape(gradient)}, the parameter {param.shape}')
        if not jnp.issubdtype(jnp.result_type(gradient), jnp.floating):
            raise UsageError(
                f'the gradient of "{param.name}" is {jnp.result_type(gradient)}; it must be floating-point'
            )
    arrays = [jnp.asarray(gradient) for gradient in found]
    if count:
        return [g.reshape(count, *param.shape) for g, param in zip(arrays, laid.params, strict=True)]
    return arrays


def checked_leaf(name: str, leaf: object) -> jax.Array:
    """A leaf as an array of real numbers. UsageError names a leaf that is none."""
    if isinstance(leaf, bool | int | float):
        raise UsageError(f'the parameter "{name}" is the Python number {leaf!r}, of no dtype: make it an array')
    try:
        array = jnp.asarray(leaf)  # pyright: ignore[reportArgumentType]
    except TypeError:
        raise UsageError(
            f'the parameter "{name}" is {type(leaf).__name__}, no array: leave it out of the tree'
        ) from None
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise UsageError(
            f'the parameter "{name}" is {array.dtype}; optimizers step floating-point arrays: '
            "mask it out (optax.masked) or leave it out of the tree"
        )
    return array


def evaluated(
    laid: Laid,
    rule: RuleInfo,
    program: Program,
    held: Sequence[Any],
    counted: bool,
    count: Any,
    hypers: Mapping[str, Value],
) -> list[Any]:
    """The weights of a rule that sets those to evaluate with, from parameters and slots in the order of a step."""
    plan = laid.plan
    site = Site(laid, {}, {}, {}, (), (), counted)
    rows, _ = site.rows([*held, *held[: len(laid.params)]])  # no gradient is read
    found: list[Any] = []
    for param, row in zip(laid.params, rows, strict=True):
        if counted:  # they are those of the last step
            row["updates"] = row["updates"] - 1
        leaves = [plan.leaves[i] for i in param.leaves]
        new = array_step.step(
            Plan(ARRAYS, rule, program, leaves, None), taken_apart(param, row), {**hypers, "step": count}
        )
        found.append(new[0]["param"] if param.layers is None else jnp.stack([r["param"] for r in new]))
    return found
