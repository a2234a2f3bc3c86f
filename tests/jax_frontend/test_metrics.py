"""Metrics of a rule in JAX: read off the state, inside compiled functions too."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from optgen import jax as factories
from optgen.errors import UsageError
from optgen.runtime.metrics import means, sums_of
from optgen.spec.loader import load, shipped
from optgen.verify import Reference

RULES = [name for name in shipped() if load(name).metrics]


@pytest.mark.parametrize("name", RULES)
def test_means_are_those_of_the_reference(name: str, rng: np.random.Generator) -> None:
    spec = load(name)
    start = {"a/w": rng.normal(size=(3, 4)), "b/w": rng.normal(size=(5,))}
    params = {key: jnp.asarray(x, jnp.float32) for key, x in start.items()}
    tx = optax.chain(optax.identity(), getattr(factories, name)(metrics_interval=2))
    state, reference = tx.init(params), Reference(spec, start, {"metrics_interval": 2})
    read = jax.jit(factories.metrics)
    assert all(jnp.isnan(x) for x in read(state).values())
    step = jax.jit(lambda grads, state, params: tx.update(grads, state, params))
    for _ in range(5):
        grads = {key: np.float32(rng.normal(size=x.shape)) for key, x in start.items()}
        updates, state = step(grads, state, params)
        params = optax.apply_updates(params, updates)
        reference.step({key: np.float64(g) for key, g in grads.items()})
    metrics = [metric.name for metric in spec.metrics]
    sums = {each: reference.state(each) for each in sums_of(metrics)}
    wanted = means(metrics, [{each: float(sums[each][key]) for each in sums} for key in start])
    found = {key: float(x) for key, x in read(state).items()}
    assert found.keys() == wanted.keys()
    np.testing.assert_allclose([found[key] for key in wanted], list(wanted.values()), rtol=2e-5, atol=2e-6)
    assert all(jnp.isnan(x) for x in read(jax.jit(factories.reset_metrics)(state)).values())


def test_a_state_without_samples_says_so() -> None:
    with pytest.raises(UsageError, match="metrics_interval is 0"):
        factories.metrics(getattr(factories, RULES[0])().init({"w": jnp.ones(3)}))
