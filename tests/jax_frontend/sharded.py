"""Run in a process of its own, with eight devices: steps on sharded parameters beside the same on one device."""

from __future__ import annotations

import os
import sys
import warnings

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import optgen.jax
from optgen.frontends.declared import reach_of
from optgen.runtime.jax_call import TARGET
from optgen.runtime.jax_transform import State
from optgen.spec.loader import load
from tests.jax_frontend.support import Run
from tests.quick_xla import QUICK

SPECS = {"a/w": PartitionSpec("d"), "a/b": PartitionSpec(), "b/w": PartitionSpec(None, "d"), "c/w": PartitionSpec("d")}
SHAPES = {"a/w": (16, 6), "a/b": (6,), "b/w": (5, 8), "c/w": (64,)}
STEPS = 3


def arrays(seed: int) -> dict[str, jax.Array]:
    rng = np.random.default_rng(seed)
    return {name: jnp.asarray(rng.normal(size=shape), jnp.float32) for name, shape in SHAPES.items()}


def check(name: str, mesh: Mesh) -> None:
    """Sharded steps, and the same on one device, are within the bounds of float32 arithmetic with sums in any order,
    that of partial sums of shards included; where nothing is summed they are equal."""
    run = Run(load(name), "float32", {}, shapes=SHAPES, quick=True)
    tx = run.transformation
    paths, treedef = jax.tree_util.tree_flatten_with_path(run.params)
    placed = [NamedSharding(mesh, SPECS[jax.tree_util.keystr(p, simple=True, separator="/")]) for p, _ in paths]
    shardings = treedef.unflatten(placed)
    spread = jax.device_put(run.params, shardings)
    step = run.in_place = jax.jit(tx.apply, donate_argnums=(1, 2), compiler_options=QUICK)
    run.kept = (spread, tx.init(spread))
    elementwise = [slot.name for slot in tx.engine.program.slots if slot.extent == "elem"]

    def follows(params: object, state: State) -> None:
        for held in (params, *(state.slots[slot] for slot in elementwise)):
            for x, sharding in zip(treedef.flatten_up_to(held), placed, strict=True):
                assert x is None or x.sharding.is_equivalent_to(sharding, x.ndim), (name, x.sharding)

    follows(*run.kept)
    inputs = dict.fromkeys(run.spec.inputs, 1.0)
    text = step.lower(jax.device_put(run.params, shardings), *run.kept[::-1], **inputs).compile().as_text()
    assert TARGET not in text, name
    local = reach_of(run.spec) == "elem"
    assert not local or "all-" not in text, name
    for _ in range(STEPS):
        run.step()
        run.check()
    follows(*run.kept)
    if local:
        jax.tree.map(np.testing.assert_array_equal, run.kept, (run.params, run.state))
    assert f"{len(jax.devices())} devices" in tx.describe(spread).apply


def by_hand(mesh: Mesh) -> None:
    """`shard_map`: each device steps what it has."""
    tx, params = optgen.jax.adamw(0.01), arrays(0)
    spec = {"params": SPECS, "state": optgen.jax.adamw(0.01).init(params)}
    state = spec["state"]
    specs = state._replace(count=PartitionSpec(), slots=dict.fromkeys(state.slots, SPECS))
    for checked in (True, False):
        mapped = jax.jit(
            jax.shard_map(
                tx.apply, mesh=mesh, in_specs=(SPECS, specs, SPECS), out_specs=(SPECS, specs), check_vma=checked
            )
        )
        assert TARGET not in mapped.lower(arrays(1), state, params).as_text()
        jax.tree.map(
            np.testing.assert_array_equal, mapped(arrays(1), state, params), jax.jit(tx.plain)(arrays(1), state, params)
        )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    devices = Mesh(np.array(jax.devices()), ("d",))
    assert devices.size == 8
    for rule in sys.argv[1:]:
        check(rule, devices)
    by_hand(devices)
    print("equal")
