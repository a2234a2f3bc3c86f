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
from optgen.spec.loader import load

SPECS = {"a/w": PartitionSpec("d"), "a/b": PartitionSpec(), "b/w": PartitionSpec(None, "d"), "c/w": PartitionSpec("d")}
SHAPES = {"a/w": (16, 6), "a/b": (6,), "b/w": (5, 8), "c/w": (64,)}
STEPS = 3


def arrays(seed: int) -> dict[str, jax.Array]:
    rng = np.random.default_rng(seed)
    return {name: jnp.asarray(rng.normal(size=shape), jnp.float32) for name, shape in SHAPES.items()}


def check(name: str, mesh: Mesh) -> None:
    shardings = {path: NamedSharding(mesh, spec) for path, spec in SPECS.items()}
    tx = getattr(optgen.jax, name)(0.01)
    params = arrays(0)
    spread = jax.device_put(params, shardings)
    plain, step = jax.jit(tx.plain), jax.jit(tx.apply, donate_argnums=(1, 2))
    one, many = (tx.init(params), params), (tx.init(spread), spread)
    elementwise = [slot.name for slot in tx.engine.program.slots if slot.extent == "elem"]

    def follows(state: object, held: object) -> None:
        for path, sharding in shardings.items():
            for x in (held[path], *(state.slots[slot][path] for slot in elementwise)):
                assert x is None or x.sharding.is_equivalent_to(sharding, x.ndim), (name, path, x.sharding)

    follows(*many)
    text = step.lower(jax.device_put(arrays(1), shardings), *many).compile().as_text()
    assert TARGET not in text, name
    local = reach_of(load(name)) == "elem"
    assert not local or "all-" not in text, name
    for number in range(STEPS):
        grads = arrays(number + 1)
        one = plain(grads, *one)[::-1]
        many = step(jax.device_put(grads, shardings), *many)[::-1]
    follows(*many)
    # sums over shards are taken in another order: one rounding each per entry and step, through at most 1/eps' root
    room = 0.0 if local else STEPS * sum(x.size for x in params.values()) * float(np.finfo(np.float32).eps)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=room, atol=room), one, many)
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
