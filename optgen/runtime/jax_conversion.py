"""Between optax's own optimizers and ours: the state of a running one taken over, and given back.

A rule says how optax names its state where the two mean the same; nothing else is known of either.
"""

# JAX and optax carry partial types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias, cast

import jax
import jax.numpy as jnp
import numpy as np

from optgen.errors import StateError
from optgen.runtime.jax_neutral import ours
from optgen.runtime.jax_transform import State, Transformation
from optgen.runtime.rule_info import RuleInfo

Tree: TypeAlias = Any


def from_optax(transformation: Transformation, state: Tree, params: Tree) -> State:
    """Our state that goes on where one of optax's is, such as that of `optax.chain(...)`.

    Hypers are those of `transformation`: give it optax's. StateError if optax keeps what the rule does not or the other
    way round, if shapes differ, or if optax does not count steps and the rule does.
    """
    rule, fresh = transformation.engine.rule, cast(State, transformation.init(params))
    wanted = _wanted(rule, fresh)
    found: dict[str, Tree] = {}
    counts: set[int] = set()
    for field, value in _fields(state):
        name = wanted.get(field)
        if name is None and not _is_count(value):
            raise StateError(f"optax keeps {field}, and {rule.name} has nothing of that meaning")
        if name is None:
            counts.add(int(value))
        elif name in found:
            raise StateError(f"optax's state has {field} twice: it is of several optimizers")
        else:
            found[name] = _like(value, fresh.slots[name], f"{field} of optax's state")
    for field, name in wanted.items():
        if name not in found:
            raise StateError(f"{rule.name} keeps {name}, and optax's state has no {field}")
    if len(counts) > 1 or (not counts and rule.counts):
        what = f"different counts {sorted(counts)}" if counts else "no count of steps, which the rule reads"
        raise StateError(f"optax's state has {what}: it cannot be continued")
    count = jnp.asarray(counts.pop() if counts else 1, jnp.int32)  # without one any will do but none
    updates = None if fresh.updates is None else jax.tree.map(count.__add__, fresh.updates)  # which is 0
    return State(count, found, updates)


def to_optax(transformation: Transformation, state: Tree, like: Tree) -> Tree:
    """Optax's state that goes on where ours is, or where that is which a wrapper's state holds.

    `like` is what optax's optimizer with the same settings starts from, its `init(params)`: it is filled. StateError if
    optax keeps what the rule does not, or the other way round, or if parameters differ in their updates.
    """
    rule, own = transformation.engine.rule, ours(state)
    if own.updates is not None and any(int(x) != int(own.count) for x in jax.tree.leaves(own.updates)):
        raise StateError("parameters have had different numbers of updates, and optax has one count for all")
    wanted = _wanted(rule, own)
    given = [field for field, _ in _fields(like)]
    for field, name in wanted.items():
        if field not in given:
            raise StateError(f"{rule.name} keeps {name}, and optax's state has no {field}")

    def fill(node: Tree) -> Tree:
        if isinstance(node, tuple) and hasattr(node, "_fields"):
            parts = cast("Any", node)
            return parts._replace(**{field: filled(field, value) for field, value in parts._asdict().items()})
        if isinstance(node, tuple | list):
            return type(node)(fill(part) for part in node)
        return {key: fill(part) for key, part in node.items()} if isinstance(node, dict) else node

    def filled(field: str, value: Tree) -> Tree:
        if _holds_states(value):
            return fill(value)
        if field in wanted:
            return _like(own.slots[wanted[field]], value, f"{wanted[field]} of {rule.name}")
        if not jax.tree.leaves(value):
            return value
        if _is_count(value):
            return jnp.asarray(own.count, jnp.asarray(value).dtype)
        raise StateError(f"optax keeps {field}, and {rule.name} has nothing of that meaning")

    return fill(like)


def _like(value: Tree, other: Tree, what: str) -> Tree:
    """A copy in the dtypes of another tree. StateError if the shapes differ, or if a value would be rounded."""
    if jax.tree.structure(value) != jax.tree.structure(other):
        raise StateError(f"{what} is another tree than the parameters: {jax.tree.structure(value)}")

    def one(x: jax.Array, y: jax.Array) -> jax.Array:
        if jnp.shape(x) != jnp.shape(y):
            raise StateError(f"{what} is of shape {jnp.shape(x)} where {jnp.shape(y)} is needed")
        made = jnp.array(x, y.dtype, copy=True)
        if not bool(jnp.array_equal(made.astype(jnp.asarray(x).dtype), x, equal_nan=True)):
            raise StateError(f"{what} is {jnp.asarray(x).dtype}, and {y.dtype} does not hold every value")
        return made

    return jax.tree.map(one, value, other)


def _wanted(rule: RuleInfo, own: State) -> dict[str, str]:
    """Our states by optax's names, of those that are kept with these settings. StateError for a short vector."""
    for info in rule.states:
        if info.vector and f"{info.name}[0]" in own.slots:
            raise StateError(f"{rule.name} keeps the vector {info.name}, which no optimizer of optax's has")
    return {(info.optax_name or info.name): info.name for info in rule.states if info.name in own.slots}


def _fields(state: Tree) -> Iterator[tuple[str, Any]]:
    """Named parts of a state of optax's that hold anything; tuples of states are looked into."""
    if isinstance(state, tuple) and hasattr(state, "_fields"):
        for field, value in cast("Mapping[str, Any]", state._asdict()).items():  # pyright: ignore[reportAttributeAccessIssue]
            if _holds_states(value):
                yield from _fields(value)
            elif jax.tree.leaves(value):
                yield field, value
    elif isinstance(state, tuple | list | dict):
        for part in state.values() if isinstance(state, dict) else state:
            yield from _fields(part)


def _holds_states(value: Tree) -> bool:
    return isinstance(value, tuple) and (hasattr(value, "_fields") or any(map(_holds_states, value)))


def _is_count(value: object) -> bool:
    return np.shape(cast(Any, value)) == () and np.issubdtype(np.asarray(value).dtype, np.integer)
