"""What a rule measures of itself, read off an optimizer's state in JAX."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Any, TypeVar

import jax

from optgen.errors import UsageError
from optgen.runtime.jax_transform import State
from optgen.runtime.metrics import INTERVAL, SAMPLES, name_of, sums_of

_T = TypeVar("_T")


def metrics(state: object) -> dict[str, jax.Array]:
    """Mean of each metric over tensors and sampled steps since `reset_metrics`, by name; NaN before the first sample.

    `state` is an optimizer's, or a tree that holds it, such as that of `optax.chain`. Works under `jax.jit`; nothing
    waits for the device. UsageError where no samples are taken: give the factory `metrics_interval=10`, say.
    """
    found = _sampled(state)
    samples = _total(found, SAMPLES)
    names = dict.fromkeys(name for held in found for name in held.slots if name_of(name))
    return {name_of(name): _total(found, name) / samples for name in names}


def reset_metrics(state: _T) -> _T:
    """The same state with the means begun anew."""
    _sampled(state)

    def begun(held: object) -> Any:
        if not _is_sampled(held):
            return held
        assert isinstance(held, State)
        sums = set(sums_of([name_of(name) for name in held.slots if name_of(name)]))
        slots = {name: jax.tree.map(_nothing, x) if name in sums else x for name, x in held.slots.items()}
        return held._replace(slots=slots)

    return jax.tree.map(begun, state, is_leaf=_is_sampled)


def _is_sampled(held: object) -> bool:
    return isinstance(held, State) and SAMPLES in held.slots


def _sampled(state: object) -> Sequence[State]:
    found = [held for held in jax.tree.leaves(state, is_leaf=_is_sampled) if _is_sampled(held)]
    if not found:
        raise UsageError(f"this state holds no samples: its rule has no metrics, or {INTERVAL} is 0")
    return found


def _total(states: Sequence[State], slot: str) -> jax.Array:
    found: list[jax.Array] = [x for held in states for x in jax.tree.leaves(held.slots[slot])]
    return reduce(add, found)


def _nothing(x: jax.Array) -> jax.Array:
    return jax.lax.full_like(x, 0)
