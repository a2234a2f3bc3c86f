"""The transformations among optax's own: what wraps, chains, injects and masks them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import optgen.jax
from optgen.errors import HyperError, UsageError
from optgen.frontends.declared import reach_of
from optgen.runtime.jax_transform import LayerOrderWarning, Transformation
from optgen.spec.loader import load, shipped

#: One rule of each reach: what holds for one holds for the others.
SPREAD = list({reach_of(load(name)): name for name in shipped()}.values())
PARAMS = {"a": {"w": jnp.arange(6.0).reshape(2, 3) - 2.5}, "b": {"w": jnp.ones((2, 3)), "bias": jnp.array([0.5, -0.5])}}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LayerOrderWarning)
        yield


def made(name: str, *args: object, **given: object) -> Transformation:
    return getattr(optgen.jax, name)(*args, **given)


def gradients(params: object, step: int) -> object:
    return jax.tree.map(lambda x: jnp.cos(x + step).astype(x.dtype), params)


def trained(transformation: optax.GradientTransformation, params: object, steps: int = 3) -> tuple[object, object]:
    state = transformation.init(params)
    for step in range(steps):
        updates, state = transformation.update(gradients(params, step), state, params)
        params = optax.apply_updates(params, updates)
    return params, state


def assert_equal(a: object, b: object) -> None:
    jax.tree.map(np.testing.assert_array_equal, a, b)


def assert_close(a: object, b: object) -> None:
    """Up to what contraction in compiled code changes."""
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6), a, b)


def shape_of(tree: object) -> object:
    return jax.tree.map(lambda x: (x.shape, x.dtype, x.weak_type), tree)


@pytest.mark.parametrize("name", shipped())
def test_state_and_updates_keep_their_types(name: str) -> None:
    """What comes out fits where it went in: `lax.cond`, `lax.scan` and MultiSteps ask for no more."""
    for dtype in (jnp.float32, jnp.bfloat16):
        params = jax.tree.map(lambda x, d=dtype: x.astype(d), PARAMS)
        tx = made(name)
        state = jax.eval_shape(tx.init, params)
        assert all(leaf.dtype != jnp.bfloat16 for leaf in jax.tree.leaves(state))  # moments are not rounded
        grads = jax.eval_shape(lambda p: gradients(p, 0), params)
        updates, after = jax.eval_shape(tx.update, grads, state, params)
        assert shape_of(updates) == shape_of(grads)
        assert shape_of(after) == shape_of(jax.eval_shape(lambda s: jax.tree.map(jnp.asarray, s), state))
        assert jax.tree.structure(after) == jax.tree.structure(state)


@pytest.mark.parametrize("name", SPREAD)
def test_a_scan_is_a_loop(name: str) -> None:
    tx = made(name)

    def body(carry: tuple[object, object], step: jax.Array) -> tuple[tuple[object, object], None]:
        params, state = carry
        updates, state = tx.update(gradients(params, step), state, params)
        return (optax.apply_updates(params, updates), state), None

    (scanned, _), _ = jax.lax.scan(body, (PARAMS, tx.init(PARAMS)), jnp.arange(3))
    looped, _ = trained(tx, PARAMS)
    assert_close(scanned, looped)


@pytest.mark.parametrize("name", SPREAD)
def test_wrappers(name: str) -> None:
    alone, _ = trained(made(name), PARAMS)
    assert_equal(trained(optax.chain(optax.identity(), made(name)), PARAMS)[0], alone)
    for wrapped in (optax.apply_if_finite(made(name), 3), optax.MultiSteps(made(name), 1)):  # compiled by them
        assert_close(trained(wrapped, PARAMS)[0], alone)


def test_masked_and_multi_transform() -> None:
    mask = {"a": {"w": True}, "b": {"w": False, "bias": True}}
    masked, _ = trained(optax.masked(made("adamw"), mask), PARAMS)
    alone, _ = trained(made("adamw"), PARAMS)
    assert_equal(masked["a"], alone["a"])
    labels = {"a": {"w": "x"}, "b": {"w": "y", "bias": "x"}}
    mixed, _ = trained(optax.multi_transform({"x": made("adamw"), "y": made("sgd", 0.1)}, labels), PARAMS)
    assert_equal(mixed["a"], alone["a"])
    assert_equal(mixed["b"]["w"], trained(made("sgd", 0.1), PARAMS)[0]["b"]["w"])


def test_a_rule_for_matrices_leaves_the_rest_to_another() -> None:
    """Tensors below two axes get the other rule by themselves; others, as embeddings, where labels say so."""
    aux = {"adamw_lr": 0.02, "adamw_weight_decay": 0.3}
    one, _ = trained(made("muon", 0.05, **aux), PARAMS)
    other, _ = trained(made("adamw", 0.02, weight_decay=0.3), PARAMS)
    labels = {"a": {"w": "adamw"}, "b": {"w": "muon", "bias": "muon"}}
    rules = {"muon": made("muon", 0.05, **aux), "adamw": made("adamw", 0.02, weight_decay=0.3)}
    both, _ = trained(optax.multi_transform(rules, labels), PARAMS)
    assert_equal(both, {"a": other["a"], "b": {"w": one["b"]["w"], "bias": other["b"]["bias"]}})
    assert not np.allclose(one["a"]["w"], other["a"]["w"])


PRESETS = [(name, preset) for name in shipped() for preset in load(name).presets]


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_presets_are_their_arguments(name: str, preset: str) -> None:
    alike = {"x": {"w": PARAMS["a"]["w"]}, "y": {"w": PARAMS["b"]["w"]}}  # some ask for players of equal size
    arguments = dict(load(name).presets[preset])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that a preset is known for
        chosen, _ = trained(optgen.jax.preset(getattr(optgen.jax, name), preset, learning_rate=0.05), alike)
        by_hand, _ = trained(made(name, 0.05, **arguments), alike)
    assert_equal(chosen, by_hand)
    assert not np.array_equal(chosen["x"]["w"], trained(made(name, 0.05), alike)[0]["x"]["w"])


def test_presets_that_there_are_not() -> None:
    with pytest.raises(UsageError, match='NEAT has no preset "neat_pull"; did you mean'):
        optgen.jax.preset(optgen.jax.neat, "neat_pull")
    with pytest.raises(UsageError, match=r"a preset is of a factory of optgen\.jax"):
        optgen.jax.preset(optax.adamw, "neat_pr")


def test_not_finite_changes_nothing() -> None:
    tx = optax.apply_if_finite(made("adamw"), 3)
    state = tx.init(PARAMS)
    broken = jax.tree.map(lambda x: x * jnp.nan, PARAMS)
    updates, after = tx.update(broken, state, PARAMS)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(updates))
    assert_equal(after.inner_state, state.inner_state)


def test_schedules_and_injected_values_are_the_numbers_they_give() -> None:
    schedule = optax.linear_schedule(0.1, 0.01, 3)
    scheduled, _ = trained(made("adamw", schedule, weight_decay=0.1), PARAMS)
    injected, _ = trained(optax.inject_hyperparams(optgen.jax.adamw)(schedule, weight_decay=0.1), PARAMS)
    by_hand, state = PARAMS, made("adamw").init(PARAMS)
    for step in range(3):
        tx = made("adamw", float(schedule(step)), weight_decay=0.1)
        updates, state = tx.update(gradients(by_hand, step), state, by_hand)
        by_hand = optax.apply_updates(by_hand, updates)
    for other in (scheduled, injected):
        assert_close(other, by_hand)


def test_traced_values_compile_once() -> None:
    compiled = jax.jit(lambda lr, decay, g, s, p: made("adamw", lr, weight_decay=decay).update(g, s, p))
    state = made("adamw").init(PARAMS)
    texts = {
        compiled.lower(jnp.float32(lr), jnp.float32(decay), PARAMS, state, PARAMS).as_text()
        for lr, decay in ((0.1, 0.0), (0.0, 0.3))
    }
    assert len(texts) == 1


@pytest.mark.parametrize("name", SPREAD)
def test_the_step_in_place_reuses_every_buffer(name: str) -> None:
    tx = made(name)
    state = tx.init(PARAMS)
    step = jax.jit(tx.apply, donate_argnums=(1, 2))
    compiled = step.lower(PARAMS, state, PARAMS).compile()
    donated = jax.tree.leaves((state, PARAMS))
    text = compiled.as_text()
    assert text.count("may-alias") + text.count("must-alias") >= len(donated)


def stepped(params: object, grads: object, size: int = 3) -> object:
    """A step with the state of a parameter of some size."""
    return made("adamw").apply(grads, made("adamw").init({"w": jnp.ones(size)}), params)


PEERS = {
    "adamw": (optax.adamw(0.1, weight_decay=0.1), {"weight_decay": 0.1}),
    "lion": (optax.lion(0.1, weight_decay=0.1), {"weight_decay": 0.1}),
    "sgd": (optax.sgd(0.1), {}),
    "adabelief": (optax.adabelief(0.1, eps=1e-16, eps_root=1e-16), {"eps": 1e-16}),
}


@pytest.mark.parametrize("name", PEERS)
def test_peers_make_the_same_steps(name: str) -> None:
    peer, given = PEERS[name]
    with jax.enable_x64(True):
        params = jax.tree.map(lambda x: np.asarray(x, np.float64), PARAMS)
        params = jax.tree.map(jnp.asarray, params)
        ours, _ = trained(made(name, 0.1, **given), params, 20)
        theirs, _ = trained(peer, params, 20)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12), ours, theirs)


def test_the_order_of_layers() -> None:
    params = {f"layer_{i}": {"w": jnp.full((2, 2), 1.0 + i)} for i in (0, 2, 10)}
    grads = {f"layer_{i}": {"w": jnp.full((2, 2), 1.0 + i)} for i in (0, 2, 10)}
    with pytest.warns(LayerOrderWarning):
        guessed, _ = made("neat").apply(grads, made("neat").init(params), params)
    said = made("neat", order=["layer_0", "layer_2", "layer_10"])
    turned = made("neat", order=["layer_0", "layer_10", "layer_2"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_equal(said.apply(grads, said.init(params), params)[0], guessed)
        other, _ = turned.apply(grads, turned.init(params), params)
    assert not np.array_equal(other["layer_10"]["w"], guessed["layer_10"]["w"])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: made("adamw", -1.0), HyperError, "lr must be >= 0"),
        (lambda: made("adamw", None), HyperError, "lr must be a number"),
        (lambda: made("neat", nsa="l3"), HyperError, "nsa must be one of l2, relative, off"),
        (lambda: made("sgd", momentum=jnp.float32(0.9)), HyperError, "momentum selects code"),
        (lambda: made("adamw").update(PARAMS, made("adamw").init(PARAMS)), UsageError, "needs the parameters"),
        (lambda: made("adamw").init({"n": jnp.arange(3)}), UsageError, 'the parameter "n" is int32'),
        (lambda: made("adamw").update({"a": 1.0}, made("adamw").init(PARAMS), PARAMS), UsageError, "different trees"),
        (lambda: made("adamw").update(PARAMS, made("lion").init(PARAMS), PARAMS), UsageError, 'the state has no "v"'),
        (lambda: made("adamw").init({"n": 1.0}), UsageError, 'the parameter "n" is the Python number 1.0'),
        (lambda: made("adamw").init({"n": "text"}), UsageError, 'the parameter "n" is str, no array'),
        (lambda: made("adamw", jnp.float32(jnp.nan)), HyperError, "lr must be >= 0, got nan"),
        (lambda: made("adamw", jnp.ones(2)), HyperError, r"lr must be a single number, got an array of shape \(2,\)"),
        (lambda: stepped({"w": jnp.ones(3)}, {"w": jnp.ones(2)}), UsageError, r'gradient of "w" is \(2,\), the param'),
        (lambda: stepped({"w": jnp.ones(3)}, {"w": jnp.arange(3)}), UsageError, 'gradient of "w" is int32'),
        (lambda: stepped({"w": jnp.ones(3)}, {"w": None}), UsageError, '"w" has no gradient; mask'),
        (
            lambda: stepped({"w": jnp.ones(3)}, {"w": jnp.ones(3)}, 2),
            UsageError,
            r'state "m" of "w" is \(2,\), and must',
        ),
        (lambda: made("neat", order=["a"]).init(PARAMS), UsageError, 'does not name the layer of "b/'),
        (lambda: optgen.jax.adamvv, AttributeError, "did you mean"),
    ],
)
def test_what_is_refused(call: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()
