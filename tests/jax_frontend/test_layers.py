"""Layers of a pytree: their order, stacks of them in one array, hypers of their own, models of equinox."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optgen
import optgen.jax
from optgen.errors import HyperError, UsageError
from optgen.runtime.jax_call import TARGET
from optgen.runtime.jax_transform import LayerOrderWarning, State, Transformation

LAYERS = 3
ORDER = ["stem", "blocks", "head"]
STEM = {"stem": {"w": (5, 4)}, "head": {"w": (4, 2), "b": (2,)}}
BLOCK = {"attn": {"w": (4, 4)}, "mlp": {"w": (4, 3), "b": (3,)}}
#: Rules to which it matters what a layer is, by what they look at.
TOLD_APART = {"layers": "neat", "depth": "nested", "tensor": "lamb", "rows and columns": "adafactor"}


def filled(shapes: Mapping[str, object], rng: np.random.Generator, lead: tuple[int, ...] = ()) -> dict[str, object]:
    return {
        name: filled(shape, rng, lead) if isinstance(shape, dict) else jnp.asarray(rng.normal(size=lead + shape), "f4")
        for name, shape in shapes.items()
    }


def stacked(seed: int) -> dict[str, object]:
    rng = np.random.default_rng(seed)
    return {**filled(STEM, rng), "blocks": filled(BLOCK, rng, (LAYERS,))}


def apart(tree: Mapping[str, object]) -> dict[str, object]:
    """Every layer by itself."""
    return {**tree, "blocks": {str(i): jax.tree.map(lambda x, i=i: x[i], tree["blocks"]) for i in range(LAYERS)}}


def made(name: str, *args: object, **given: object) -> Transformation:
    return getattr(optgen.jax, name)(*args, **given)


@pytest.mark.parametrize("what", TOLD_APART)
def test_a_stack_is_its_layers(what: str) -> None:
    """State and parameters, in place and by plain functions; where nothing is summed, to the bit."""
    name = TOLD_APART[what]
    given = {"order": ORDER} if what in ("layers", "depth") else {}
    together, alone = made(name, 0.01, stacked=["blocks"], **given), made(name, 0.01, **given)
    params = stacked(0)
    for how in ("apply", "plain") if given else ("apply",):
        one, other = (params, together.init(params)), (apart(params), alone.init(apart(params)))
        step, single = jax.jit(getattr(together, how)), jax.jit(getattr(alone, how))
        assert (TARGET in step.lower(stacked(1), one[1], one[0]).as_text()) == (how == "apply")
        for number in range(7):
            grads = stacked(number + 1)
            one = step(grads, one[1], one[0])
            other = single(apart(grads), other[1], other[0])
        for mine, theirs in ((one[0], other[0]), *((one[1].slots[s], other[1].slots[s]) for s in one[1].slots)):
            check_equal(apart(mine), theirs, exact=how == "apply")
        assert step._cache_size() == 1


def check_equal(mine: object, theirs: object, *, exact: bool) -> None:
    """Compiled differently: contraction and the order of sums may differ by roundings, over seven steps."""
    room = 0 if exact else 64 * float(np.finfo(np.float32).eps)
    found = dict(jax.tree_util.tree_flatten_with_path(mine)[0])
    for path, wanted in jax.tree_util.tree_flatten_with_path(theirs)[0]:
        np.testing.assert_allclose(found[path], wanted, rtol=room, atol=room, err_msg=str(path))


def test_a_stack_that_is_none() -> None:
    for given, words in (
        ({"stacked": ["block"]}, 'stacked= names "block", and no parameter lies there. did you mean "blocks"'),
        ({"stacked": ["stem", "head"]}, '"head/w" stacks 4 layers and "head/b", in the same stack, 2'),
        ({"stacked": "blocks"}, "stacked must be a list of names"),
    ):
        with pytest.raises(UsageError, match=words.replace("(", "\\(")):
            made("lamb", **given).init(stacked(0))
    with pytest.raises(UsageError, match='"c" is said to be stacked, but has no axis'):
        made("lamb", stacked=["c"]).init({"c": jnp.zeros(())})


def test_intervals_of_parameters() -> None:
    """One per parameter, or by patterns; the same as one number where all are equal."""
    params = stacked(0)
    same = [made("nested", 0.1, order=ORDER, **given) for given in ({"intervals": {"*": 2}}, {"intervals": [2] * 6})]
    wanted = made("nested", 0.1, order=ORDER, interval=2)
    for tx in same:
        a, b = (params, tx.init(params)), (params, wanted.init(params))
        for number in range(3):
            a, b = (jax.jit(t.apply)(stacked(number), s, p) for t, (p, s) in ((tx, a), (wanted, b)))
        jax.tree.map(np.testing.assert_array_equal, a[0], b[0])
    mixed = made("nested", 0.1, order=ORDER, stacked=["blocks"], intervals={"stem/*": 1, "blocks/0/*": 2, "*": 5})
    for how in ("apply", "plain"):
        new, state = jax.jit(getattr(mixed, how))(stacked(1), mixed.init(params), params)
        moved = {name: not np.array_equal(x, y) for name, x, y in named(new, params)}
        assert moved == {name: name.startswith("stem") for name in moved}
        new, _ = jax.jit(getattr(mixed, how))(stacked(2), state, new)
        assert not np.array_equal(new["blocks"]["attn"]["w"][0], params["blocks"]["attn"]["w"][0])
        np.testing.assert_array_equal(new["blocks"]["attn"]["w"][1:], params["blocks"]["attn"]["w"][1:])
    for given, error, words in (
        ({"intervals": {"stam/*": 1}}, UsageError, 'intervals names "stam/\\*", which no parameter matches'),
        ({"intervals": [1, 2]}, UsageError, "intervals has 2 entries for 6 parameters"),
        ({"intervals": {"*": -1}}, HyperError, 'intervals of "blocks/attn/w" must be int >= 0, got -1'),
        ({"intervals": {"*": 1.5}}, HyperError, "must be int >= 0, got 1.5"),
    ):
        with pytest.raises(error, match=words):
            made("nested", order=ORDER, **given).init(params)


def named(a: object, b: object) -> list[tuple[str, jax.Array, jax.Array]]:
    paths = jax.tree_util.tree_flatten_with_path(a)[0]
    return [
        (jax.tree_util.keystr(path, simple=True, separator="/"), x, y)
        for (path, x), y in zip(paths, jax.tree.leaves(b), strict=True)
    ]


def test_the_order_of_a_forward_pass() -> None:
    def forward(params: Mapping[str, object], x: jax.Array) -> jax.Array:
        low = jax.tree.map(lambda p: p.astype(jnp.bfloat16), params)  # in the tree's order, and no use of them yet

        def block(x: jax.Array, p: Mapping[str, jax.Array]) -> tuple[jax.Array, None]:
            return jnp.tanh(x @ p["mlp"]["w"] + p["mlp"]["b"]) @ p["mlp"]["w"].T + x @ p["attn"]["w"], None

        x = jax.jit(lambda x, w: x @ w)(x, low["stem"]["w"])
        x, _ = jax.lax.scan(jax.checkpoint(block), x, low["blocks"])
        return jax.lax.cond(x.sum() > 0, lambda h: x @ h["w"] + h["b"], lambda h: x @ h["w"], low["head"])

    params = stacked(0)
    found = optgen.jax.forward_order(forward, params, jax.ShapeDtypeStruct((2, 5), jnp.bfloat16))
    assert found == ["stem/w", "blocks/mlp/w", "blocks/mlp/b", "blocks/attn/w", "head/w", "head/b"]
    with warnings.catch_warnings():
        warnings.simplefilter("error", LayerOrderWarning)
        said = made("neat", order=found, stacked=["blocks"]).describe(params)
    first = next(each for each in said if each.parameter == "blocks/0/attn/w")
    assert (first.layer, first.neighbours) == ("blocks/0", ("stem", "blocks/1"))
    depths = {each.parameter: each.depth for each in made("nested", order=found, stacked=["blocks"]).describe(params)}
    assert depths["stem/w"] == 0
    assert depths["head/w"] == 1
    assert depths["blocks/0/mlp/w"] < depths["blocks/0/attn/w"] < depths["blocks/1/mlp/w"]
    with pytest.warns(LayerOrderWarning, match="forward_order"):
        made("neat").init(params)
    with pytest.raises(UsageError, match="the tree has none"):
        optgen.jax.forward_order(lambda p: p, {})


def test_lists_are_in_the_order_of_the_tree() -> None:
    """Though layers are sorted by what their names say."""
    params = {f"layer_{i}": {"w": jnp.ones(2)} for i in (0, 2, 10)}  # a tree has 10 before 2
    with pytest.warns(LayerOrderWarning):
        said = made("nested", depths=[0, 2, 1]).describe(params)
    assert [(each.parameter, each.depth) for each in said] == [("layer_0/w", 0), ("layer_10/w", 1), ("layer_2/w", 0.5)]


def test_a_model_of_equinox() -> None:
    eqx = pytest.importorskip("equinox", reason="equinox is not installed")
    model = eqx.nn.MLP(3, 2, 4, 2, key=jax.random.key(0))
    params, rest = eqx.partition(model, eqx.is_inexact_array)
    x = jnp.ones((5, 3))

    def forward(params: object, x: jax.Array) -> jax.Array:
        return jax.vmap(eqx.combine(params, rest))(x)

    order = optgen.jax.forward_order(forward, params, x)
    tx = made("neat", 0.05, order=order)
    assert [each.layer for each in tx.describe(params)][::2] == ["layers/0", "layers/1", "layers/2"]
    state = tx.init(params)

    @eqx.filter_jit
    def step(params: object, state: State) -> tuple[object, State, jax.Array]:
        loss, grads = eqx.filter_value_and_grad(lambda p: jnp.mean((forward(p, x) - 1) ** 2))(params)
        updates, after = tx.update(grads, state, params)
        return eqx.apply_updates(params, updates), after, loss

    losses = []
    for _ in range(20):
        params, state, loss = step(params, state)
        losses.append(float(loss))
    assert losses[-1] < losses[0] / 2


def test_weights_to_evaluate_with() -> None:
    """The example in the text of the transform; other rules evaluate with what they train."""
    rule = optgen.compile("sgd+schedule_free", framework="jax")
    tx = rule(1.0, schedule_free_beta=0.5)
    params = {"w": jnp.array([1.0])}
    state = tx.init(params)
    for g in (1.0, 1.0, -1.0):
        params, state = tx.apply({"w": jnp.array([g])}, state, params)
    got = jax.jit(tx.evaluation_params)(state, params)["w"]
    np.testing.assert_allclose(got, [-1 / 3], rtol=4 * float(np.finfo(np.float32).eps))
    plain = made("adamw")
    assert plain.evaluation_params(plain.init(params), params) is params
