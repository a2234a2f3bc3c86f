"""`apply` on the CPU: one call of the kernels for all tensors, in place, and nothing compiled twice."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

import optgen.jax
import optgen.torch
from optgen.errors import BackendError
from optgen.frontends.declared import reach_of
from optgen.runtime import jax_call, jax_kernels
from optgen.runtime.jax_transform import LayerOrderWarning, Transformation
from optgen.spec.loader import load, shipped

TARGET = jax_call.TARGET
#: One rule of each reach, and those whose state the kernels keep in another dtype, or by their own counts.
SPREAD = list({**{reach_of(load(name)): name for name in shipped()}, "ints": "nested", "wide": "nadam"}.values())
SHAPES = {"a/b": (3,), "a/w": (4, 3), "b/empty": (0, 3), "b/w": (2, 3, 2), "c/w": ()}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LayerOrderWarning)
        yield


def arrays(seed: int, dtype: object = jnp.float32) -> dict[str, jax.Array]:
    rng = np.random.default_rng(seed)
    return {name: jnp.asarray(rng.normal(size=shape), dtype) for name, shape in SHAPES.items()}


def made(name: str, *args: object, **given: object) -> Transformation:
    return getattr(optgen.jax, name)(*args, **given)


def donating(tx: Transformation) -> jax.stages.Wrapped:
    """Parameters first, as they are returned."""
    return jax.jit(lambda params, state, grads: tx.apply(grads, state, params), donate_argnums=(0, 1))


@pytest.mark.parametrize("name", SPREAD)
def test_one_call_and_no_copy(name: str) -> None:
    tx = made(name)
    step = donating(tx)
    params, grads = ({path: x for path, x in arrays(i).items() if x.size} for i in range(2))
    state = tx.init(params)
    compiled = step.lower(params, state, grads).compile()
    text = compiled.as_text()
    assert text.count(f'custom_call_target="{TARGET}"') == 1
    entry = text[text.index("ENTRY") :]
    big = [line for line in entry.splitlines() if " copy(" in line and "[]" not in line.split(" copy(")[0]]
    assert not big, big[0]
    donated = jax.tree.leaves((params, state))
    assert text.count("may-alias") + text.count("must-alias") >= len(donated)
    places = {x.unsafe_buffer_pointer() for x in donated}
    assert {x.unsafe_buffer_pointer() for x in jax.tree.leaves(step(params, state, grads))} == places


@pytest.mark.parametrize("name", ["adamw", "neat", "nested"])
def test_the_numbers_of_the_torch_front_end(name: str) -> None:
    """The same kernels on the same numbers: equal to the bit."""
    start, given = arrays(0), {"weight_decay": 0.1}
    theirs = {path: torch.nn.Parameter(torch.from_numpy(np.array(x))) for path, x in start.items()}
    order = [path.replace("/", ".") for path in start]
    named = zip(order, theirs.values(), strict=True)
    opt = getattr(optgen.torch, load(name).class_name)(named, lr=0.01, **given)
    tx = made(name, 0.01, order=list(start), **given) if name != "adamw" else made(name, 0.01, **given)
    step, params, state = donating(tx), start, tx.init(start)
    for number in range(5):
        grads = arrays(number + 1)
        for path, grad in grads.items():
            theirs[path].grad = torch.from_numpy(np.array(grad))
        params, state = step(params, state, grads)
        opt.step()
    for path, mine in params.items():
        np.testing.assert_array_equal(np.asarray(mine), theirs[path].detach().numpy())


def test_nothing_is_compiled_twice() -> None:
    @jax.jit
    def step(params: object, state: object, grads: object, lr: jax.Array, decay: jax.Array) -> object:
        return made("adamw", lr, weight_decay=decay).apply(grads, state, params)

    params = arrays(0)
    state = made("adamw").init(params)
    texts: set[str] = set()
    kernels = set[int]()
    for lr, decay in ((0.1, 0.0), (0.0, 0.3), (1e-4, 0.01)):
        given = jnp.float32(lr), jnp.float32(decay)
        texts.add(step.lower(params, state, arrays(1), *given).as_text())
        params, state = step(params, state, arrays(1), *given)
        kernels.add(len(jax_kernels._kernels))
    assert step._cache_size() == 1
    assert len(texts) == 1
    assert len(kernels) == 1
    assert TARGET in texts.pop()


@pytest.mark.parametrize("name", ["adamw", "lamb"])
def test_schedules_and_injected_values(name: str) -> None:
    """Values that only the step knows reach the kernels: the same numbers as by plain functions."""
    schedule = optax.linear_schedule(0.1, 0.01, 3)
    tx, params = made(name, schedule, weight_decay=0.1), arrays(0)
    both = [(params, tx.init(params))] * 2
    steps = jax.jit(tx.apply), jax.jit(tx.plain)
    assert TARGET in steps[0].lower(params, both[0][1], params).as_text()
    for number in range(4):
        grads = arrays(number + 1)
        both = [step(grads, state, held) for step, (held, state) in zip(steps, both, strict=True)]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), *both)
    assert steps[0]._cache_size() == 1


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_narrow_parameters(dtype: object) -> None:
    tx, params = made("sgd", 0.5), arrays(0, dtype)
    step, plain, state = jax.jit(tx.apply), jax.jit(tx.plain), tx.init(params)
    grads = arrays(1, dtype)
    assert TARGET in step.lower(grads, state, params).as_text()
    jax.tree.map(np.testing.assert_array_equal, step(grads, state, params)[0], plain(grads, state, params)[0])
    wide = arrays(1)
    jax.tree.map(np.testing.assert_array_equal, step(wide, state, params)[0], plain(wide, state, params)[0])


def test_a_value_outside_its_domain_is_an_error() -> None:
    tx = made("adamw", lambda count: jnp.where(count == 1, jnp.nan, 0.1))
    step = jax.jit(tx.apply)
    params = arrays(0)
    after, state = step(arrays(1), tx.init(params), params)
    before = jax.tree.map(np.array, (after, state))
    with pytest.raises((ValueError, jax.errors.JaxRuntimeError), match="lr must be >= 0, got nan; nothing was changed"):
        jax.block_until_ready(step(arrays(1), state, after))
    jax.tree.map(np.testing.assert_array_equal, (after, state), before)


def test_an_exception_in_the_kernels_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: object, arguments: object, results: object) -> None:
        raise ValueError("broken on purpose")

    monkeypatch.setattr(jax_kernels.Kernels, "run", broken)
    tx, params = made("adamw"), arrays(0)
    with pytest.raises((ValueError, jax.errors.JaxRuntimeError), match="ValueError: broken on purpose"):
        jax.block_until_ready(jax.jit(tx.apply)(params, tx.init(params), params))


def test_steps_of_several_threads() -> None:
    """Each takes tables of its own."""
    tx, params = made("neat"), arrays(0)
    step, state = jax.jit(tx.apply), tx.init(params)
    wanted = step(arrays(1), state, params)
    found: list[object] = []

    def run() -> None:
        for _ in range(20):
            found.append(jax.block_until_ready(step(arrays(1), state, params)))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 80
    for each in found:
        jax.tree.map(np.testing.assert_array_equal, each, wanted)


@pytest.mark.parametrize("name", ["adamw", "neat"])
def test_what_transforms_a_step_gets_plain_functions(name: str) -> None:
    tx, params = made(name), arrays(0)
    state, grads = tx.init(params), arrays(1)

    def loss(lr: jax.Array) -> jax.Array:
        new, _ = made(name, lr).apply(grads, state, params)
        return sum(jnp.sum(x**2) for x in jax.tree.leaves(new))

    def plain(lr: jax.Array) -> jax.Array:
        new, _ = made(name, lr).plain(grads, state, params)
        return sum(jnp.sum(x**2) for x in jax.tree.leaves(new))

    at, value = jnp.float32(0.1), jax.jit(plain)
    wanted, found = jax.jit(jax.grad(plain))(at), jax.jit(jax.grad(loss))(at)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(jax.grad(jax.checkpoint(loss)))(at), wanted, rtol=1e-6)
    slope = (value(at + 1e-2) - value(at - 1e-2)) / 2e-2
    np.testing.assert_allclose(found, slope, rtol=1e-2)
    rates = jnp.array([0.1, 0.2])
    np.testing.assert_allclose(jax.jit(jax.vmap(loss))(rates), [value(rate) for rate in rates], rtol=1e-5)

    def body(carry: tuple[object, object], _: None) -> tuple[tuple[object, object], None]:
        return tx.apply(grads, carry[1], carry[0]), None

    scanned = jax.jit(lambda c: jax.lax.scan(body, c, length=3)[0])
    assert TARGET in scanned.lower((params, state)).as_text()
    looped, step = (params, state), jax.jit(tx.apply)
    for _ in range(3):
        looped = step(grads, looped[1], looped[0])
    jax.tree.map(np.testing.assert_array_equal, scanned((params, state)), looped)


def test_which_way_a_step_takes_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    tx, params = made("neat"), arrays(0)
    said = tx.describe(params)
    assert said.apply.startswith("numba kernels, in place")
    assert said[0].neighbours == ("b",)
    assert "a/w" in str(said)
    assert "model" in str(said)

    def missing(*_: object) -> object:
        raise BackendError("there is no numba")

    monkeypatch.setattr(jax_kernels, "find", missing)
    assert tx.describe(params).apply == "plain JAX functions: there is no numba"
    assert TARGET not in jax.jit(tx.apply).lower(params, tx.init(params), params).as_text()
    assert "several" not in said.apply


def test_an_export_holds_plain_functions() -> None:
    tx, params = made("adamw"), arrays(0)
    exported = jax.export.export(jax.jit(tx.apply), platforms=["cpu"])(params, tx.init(params), params)
    assert TARGET not in exported.mlir_module()
