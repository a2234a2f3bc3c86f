"""Several gradients per parameter, made of examples by `jax.vmap`."""

# JAX carries partial types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import jax

Tree: TypeAlias = Any


def player_gradients(loss: Callable[..., Any], params: Tree, *batch: Tree) -> Tree:
    """The gradient of every player's own `loss(params, *batch)`: a tree like `params` of (players, *shape) arrays.

    The players, examples or tasks, lie along the first axis of every array of `batch`; `loss` sees one of them, without
    that axis. All are computed at once (`jax.vmap` of `jax.grad`), also under `jax.jit`.
    """
    return jax.vmap(jax.grad(loss), in_axes=(None, *(0 for _ in batch)))(params, *batch)
