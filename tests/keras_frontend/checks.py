"""What holds of Keras optimizers on any backend; `run` runs it under one.

Importing Keras settles its backend for good, so each backend is a process of its own, and all checks share it.
"""

from __future__ import annotations

import contextlib
import io
import re
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

import optgen
import optgen.keras
from optgen.errors import GradientError, HyperError, StateError, UsageError
from optgen.keras import NEAT as Coupled
from optgen.keras import Adagrad, Adam, AdamW, Lion, Nested, from_keras
from optgen.verify.compare import compare

BACKEND = keras.backend.backend()
#: Two layers that match, a scalar, and a vector of short sums.
SHAPES = {"a.w": (7, 9), "b.w": (7, 9), "c.w": (), "d.b": (50,)}

RNG = np.random.default_rng(0)
X = RNG.standard_normal((64, 8)).astype("float32")
Y = X[:, :1] * 2
#: With decay, so that a decay applied twice or not at all shows.
OPTIONS = {"learning_rate": 0.05, "weight_decay": 0.01}


def tensors(arrays: Sequence[np.ndarray]) -> list[object]:
    """Gradients as the backend has them."""
    return [ops.convert_to_tensor(np.asarray(x, dtype="float32")) for x in arrays]


def numbers(variables: Sequence[object]) -> list[np.ndarray]:
    """Values in float64."""
    return [np.asarray(ops.convert_to_numpy(ops.cast(v, "float32")), dtype=np.float64) for v in variables]


def model(*widths: int, dtype: str | None = None) -> keras.Sequential:
    """A small model, the same each time."""
    keras.utils.set_random_seed(0)
    hidden = [keras.layers.Dense(w, activation="tanh", dtype=dtype, name=f"hidden_{i}") for i, w in enumerate(widths)]
    return keras.Sequential([keras.Input((8,)), *hidden, keras.layers.Dense(1, dtype=dtype, name="head")])


def fitted(optimizer: keras.optimizers.Optimizer, *, epochs: int = 2, **compiled: object) -> keras.Sequential:
    """The model after training."""
    made = model(8, 8)
    made.compile(optimizer=optimizer, loss="mse", **compiled)
    made.fit(X, Y, epochs=epochs, batch_size=16, verbose=0, shuffle=False)
    return made


def untrained(optimizer: keras.optimizers.Optimizer) -> keras.Sequential:
    """The model whose optimizer has its variables and made no step, for which nothing is compiled."""
    made = model(8, 8)
    made.compile(optimizer=optimizer, loss="mse")
    made.optimizer.build(made.trainable_variables)
    return made


def weights(of: keras.Model) -> list[np.ndarray]:
    """Weights as float64."""
    return [np.asarray(w, dtype=np.float64) for w in of.get_weights()]


def same(a: list[np.ndarray], b: list[np.ndarray], within: float = 0.0) -> bool:
    """Whether weights agree."""
    return all(np.abs(x - y).max(initial=0) <= within for x, y in zip(a, b, strict=True))


def raises(kind: type[Exception], says: str, what: Callable[[], object]) -> None:
    """That a call is refused with a message."""
    with pytest.raises(kind, match=re.escape(says)):
        what()


def check_fit_goes_down_and_follows_a_schedule() -> None:
    schedule = keras.optimizers.schedules.CosineDecay(0.05, 8)
    first = fitted(Coupled(schedule, weight_decay=0.01))
    assert first.history.history["loss"][-1] < first.history.history["loss"][0]
    assert not same(weights(first), weights(fitted(Coupled(0.05, weight_decay=0.01))))
    assert abs(float(first.optimizer.learning_rate)) < 1e-6  # eight steps later


def check_callbacks_set_the_rate() -> None:
    made = model(8)
    made.compile(optimizer=AdamW(**OPTIONS), loss="mse")
    before = weights(made)
    stop = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.0)
    made.fit(X, Y, epochs=1, batch_size=16, verbose=0, callbacks=[stop])
    assert same(weights(made), before)


def check_options_of_keras_do_what_they_say() -> None:
    """Each against the plain rule on gradients that were treated by hand."""
    start, grads = [np.full((3, 2), 0.5), np.full((4,), -0.25)], [np.full((3, 2), 3.0), np.full((4,), 0.125)]

    def after(given: list[np.ndarray], steps: int = 1, **options: object) -> list[np.ndarray]:
        vs = [keras.Variable(w.astype("float32"), name=f"v_{i}") for i, w in enumerate(start)]
        optimizer = AdamW(learning_rate=0.1, epsilon=0.5, weight_decay=0.1, **options)
        for _ in range(steps):
            optimizer.apply(tensors(given), vs)
        optimizer.finalize_variable_values(vs)
        return numbers(vs)

    norms = [np.sqrt((g**2).sum()) for g in grads]
    whole = np.sqrt(sum(n**2 for n in norms))
    tight = 1e-6
    plain = after(grads)
    assert same(after([g / max(n, 1) for g, n in zip(grads, norms, strict=True)]), after(grads, clipnorm=1.0), tight)
    assert same(after([g / whole for g in grads]), after(grads, global_clipnorm=1.0), tight)
    assert same(after([np.clip(g, -1, 1) for g in grads]), after(grads, clipvalue=1.0), tight)
    assert same(plain, after([g * 64 for g in grads], loss_scale_factor=64.0), tight)
    assert same(plain, after(grads, steps=3, gradient_accumulation_steps=3), tight)
    assert same(start, after(grads, steps=2, gradient_accumulation_steps=3))
    once, twice = after(grads), after(grads, steps=2)
    mean = [0.5 * a + 0.5 * b for a, b in zip(once, twice, strict=True)]
    assert same(mean, after(grads, steps=2, use_ema=True, ema_momentum=0.5), tight)
    raises(ValueError, "clip", lambda: AdamW(clipnorm=1.0, clipvalue=1.0))


def check_options_train_together() -> None:
    made = fitted(
        Coupled(0.05, use_ema=True, ema_overwrite_frequency=3, global_clipnorm=1.0, gradient_accumulation_steps=2)
    )
    assert made.history.history["loss"][-1] < made.history.history["loss"][0]
    scaled = keras.optimizers.LossScaleOptimizer(AdamW(**OPTIONS), initial_scale=64.0)
    assert same(weights(fitted(scaled)), weights(fitted(AdamW(**OPTIONS))), 1e-3)


def check_decay_is_the_rules_own_and_spares_what_is_excluded() -> None:
    for exclude in ({"var_names": ["bias"]}, {"var_list": 1}):
        vs = [keras.Variable(np.ones(3, "float32"), name=name) for name in ("kernel", "bias")]
        optimizer = AdamW(learning_rate=0.5, weight_decay=0.5)
        optimizer.exclude_from_weight_decay(**{k: [vs[1]] if k == "var_list" else v for k, v in exclude.items()})
        optimizer.apply(tensors([np.zeros(3), np.zeros(3)]), vs)
        assert same(numbers(vs), [np.full(3, 0.75), np.ones(3)])
    v = keras.Variable(np.ones(3, "float32"), name="kernel")
    Lion(0.5, weight_decay=0.0).apply(tensors([np.zeros(3)]), [v])
    assert same(numbers([v]), [np.ones(3)])


def classes() -> list[type[optgen.keras.AdamW]]:
    """Every class that ships."""
    skipped = {"from_keras", "EvaluationWeightsCallback", "MetricsCallback"}
    skipped |= {"load_state", "save_state", "state_of", "trace_layers"}
    return [getattr(optgen.keras, name) for name in dir(optgen.keras) if name not in skipped]


def check_variables_without_gradients_stay() -> None:
    def two() -> list[keras.Variable]:
        return [keras.Variable(np.ones(s, "float32"), name=n) for s, n in (((2,), "a"), ((3,), "b"))]

    for cls in (AdamW, Coupled):
        vs = two()
        optimizer = cls(0.1, players="tensor") if cls is Coupled else cls(0.1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            optimizer.apply([*tensors([np.ones(2)]), None], vs)
        assert not same(numbers(vs)[:1], [np.ones(2)])
        assert same(numbers(vs)[1:], [np.ones(3)])
        optimizer.apply(tensors([np.zeros(2), np.ones(3)]), vs)
        fresh = [keras.Variable(np.ones(3, "float32"), name="b")]
        if cls is AdamW:  # its first update, though the optimizer's second
            AdamW(0.1).apply(tensors([np.ones(3)]), fresh)
            assert same(numbers(vs)[1:], numbers(fresh))
    raises(ValueError, "No gradients", lambda: AdamW().apply([None, None], two()))


def check_saved_models_go_on_bit_for_bit() -> None:
    for make in (
        lambda: Coupled(0.05, edges=[("hidden_0", "head", 0.5), ("hidden_1", "head")]),
        lambda: Nested(0.05, max_interval=3),
    ):
        made = fitted(make())
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "model.keras")
            made.save(path)
            loaded = keras.saving.load_model(path)
        assert type(loaded.optimizer) is type(made.optimizer)
        assert loaded.optimizer.get_config() == made.optimizer.get_config()
        assert same(numbers(loaded.optimizer.variables), numbers(made.optimizer.variables))
        for one in (made, loaded):
            one.fit(X, Y, epochs=1, batch_size=16, verbose=0, shuffle=False)
        assert same(weights(made), weights(loaded)), type(made.optimizer).__name__


def check_configs_make_the_same_optimizer() -> None:
    for cls in classes():
        made = cls(learning_rate=0.25, clipnorm=0.5, name="mine", maximize=True)
        config = made.get_config()
        again = keras.optimizers.deserialize(keras.optimizers.serialize(made))
        assert type(again) is cls
        assert again.get_config() == config
        assert config["learning_rate"] == 0.25
        assert config["maximize"] is True


def check_mixed_precision() -> None:
    made = model(8, dtype="mixed_bfloat16")
    made.compile(optimizer=AdamW(**OPTIONS), loss="mse")
    made.fit(X, Y, epochs=1, verbose=0)
    v = keras.Variable(np.ones(5), dtype="bfloat16", name="narrow")
    optimizer = AdamW(**OPTIONS)
    for _ in range(2):
        optimizer.apply([ops.cast(ops.ones(5), "bfloat16")], [v])
    kinds = {name: keras.backend.standardize_dtype(s.dtype) for name, s in optimizer.state_of(v).items()}
    assert set(kinds.values()) == {"float32"}, kinds
    assert keras.backend.standardize_dtype(v.dtype) == "bfloat16"
    assert same(numbers([v]), [np.full(5, 1 - 2 * 0.05)], 0.01)


def check_errors_name_the_variable_and_change_nothing() -> None:
    whole = keras.Variable(np.ones(2), dtype="int32", name="steps_so_far", trainable=False)
    good = keras.Variable(np.ones(2, "float32"), name="good")
    optimizer = AdamW(0.1)
    raises(UsageError, "steps_so_far", lambda: optimizer.build([good, whole]))
    assert not optimizer.built
    assert len(optimizer.variables) == 2
    raises(UsageError, "is not built", lambda: optimizer.apply(tensors([np.ones(2)])))
    optimizer.build([good])
    raises(GradientError, '"good"', lambda: optimizer.apply(tensors([np.ones(3)]), [good]))
    assert same(numbers([good]), [np.ones(2)])
    assert int(numbers([optimizer.iterations])[0]) == 0
    raises(HyperError, "beta1", lambda: AdamW(beta_1=1.5))
    raises(HyperError, "lr", lambda: AdamW(-1.0))
    raises(HyperError, "nsa", lambda: Coupled(nsa="sometimes"))
    raises(TypeError, "betas", lambda: AdamW(betas=(0.9, 0.99)))
    raises(UsageError, "hiden", lambda: fitted(Coupled(players={"hiden_0/*": "x"})))
    raises(UsageError, "hidden_9", lambda: fitted(Coupled(edges=[("hidden_0", "hidden_9")])))
    raises(UsageError, "edges leave out head", lambda: fitted(Coupled(edges=[("hidden_0", "hidden_1")])))
    matrix = keras.Variable(np.ones((2, 9)), dtype="float32", name="matrix")
    ranked = Nested(use_gradient_compression=True, compression_rank=3)
    raises(HyperError, "matrix breaks the condition", lambda: ranked.build([matrix]))
    raises(UsageError, "trainable variables", lambda: Nested().compute_depths_from_model(keras.Sequential()))


def check_checkpoints_of_others_are_refused() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model.weights.h5")
        fitted(AdamW(**OPTIONS)).save_weights(path)
        for optimizer, kind, says in (
            (Adam(0.1), ValueError, "of the rule 'adamw'"),
            (AdamW(0.1, amsgrad=True), ValueError, "hidden_0/kernel"),
        ):
            made = untrained(optimizer)
            before = numbers(made.optimizer.variables)
            raises(kind, says, lambda m=made: m.load_weights(path))  # Keras says it again as a ValueError
            assert same(numbers(made.optimizer.variables), before)
        untrained(keras.optimizers.AdamW(0.1)).save_weights(path)
        made = untrained(AdamW(0.1))
        raises(ValueError, "from_keras", lambda: made.load_weights(path))


def check_keras_state_is_taken_over_and_given_back() -> None:
    theirs, ours = fitted(keras.optimizers.AdamW(0.05, weight_decay=0.02)), model(8, 8)
    optimizer = from_keras(theirs.optimizer)
    assert (optimizer.weight_decay, optimizer.epsilon) == (0.02, 1e-7)
    back = optimizer.to_keras()
    assert same(numbers(back.variables), numbers(theirs.optimizer.variables))
    assert {**back.get_config(), "name": ""} == {**theirs.optimizer.get_config(), "name": ""}
    ours.set_weights(theirs.get_weights())
    grads = [0.1 * RNG.standard_normal(v.shape) for v in theirs.trainable_variables]
    start = weights(theirs)
    optimizer.apply(tensors(grads))
    by_ours = weights(theirs)
    theirs.set_weights([w.astype("float32") for w in start])
    back.apply(tensors(grads))
    assert same(by_ours, weights(theirs), 2e-5)
    raises(StateError, "no rule here", lambda: from_keras(keras.optimizers.Ftrl()))
    raises(StateError, "not built", lambda: from_keras(keras.optimizers.AdamW()))
    raises(StateError, "decoupled", lambda: from_keras(untrained(keras.optimizers.Adagrad(weight_decay=0.1)).optimizer))
    kept = from_keras(untrained(keras.optimizers.Adagrad(0.1)).optimizer)
    assert isinstance(kept, Adagrad)


def check_layers_come_from_the_model() -> None:
    x = keras.Input((8,))
    a = keras.layers.Dense(8, name="dense")(x)
    inner = keras.Sequential([keras.layers.Dense(8, name="deep"), keras.layers.Dense(8, name="deeper")], name="inner")
    out = keras.layers.Dense(1, name="dense_1")(keras.layers.Activation("relu")(inner(a)))
    whole = keras.Model(x, out, name="functional_7")
    optimizer = Coupled(0.1)
    optimizer.build(whole.trainable_variables)
    layers = optimizer.layout().layers
    assert layers.player == [0, 0, 1, 1, 2, 2, 3, 3]
    assert layers.role[:2] == ["kernel", "bias"]
    assert "layer 3" in optimizer.describe()

    skip = keras.layers.Add()([a, whole.get_layer("inner")(a)])
    out = keras.layers.Dense(1, name="last")(skip)
    skipping = keras.Model(x, [out, keras.layers.Dense(1, name="apart")(x)])
    traced = optgen.keras.trace_layers(skipping)
    assert set(traced.players) == {"dense", "inner/deep", "inner/deeper", "last", "apart"}
    fed = {("dense", "inner/deep"), ("inner/deep", "inner/deeper"), ("dense", "last"), ("inner/deeper", "last")}
    assert set(traced.edges) == {*fed, ("apart", traced.players[traced.players[0] == "apart"], 0.0)}
    joined = Coupled(0.1, edges=traced.edges)
    joined.build(skipping.trainable_variables)
    assert set(optgen.keras.trace_layers(model(8)).edges) == {("hidden_0", "head")}
    raises(UsageError, "has no graph", lambda: optgen.keras.trace_layers(keras.Sequential([keras.layers.Dense(2)])))

    depth = Nested(0.1)
    assert set(depth.compute_depths_from_model(whole).values()) == {0, 1, 2, 3}
    depth.build(whole.trainable_variables)
    assert depth.layout().layers.depth == [0, 0, 1 / 3, 1 / 3, 2 / 3, 2 / 3, 1, 1]
    raises(UsageError, "before the optimizer is built", lambda: depth.compute_depths_from_model(whole))
    assert depth.get_config()["depths"]["dense_1/kernel"] == 3

    named = Nested(0.1, intervals={"dense*": 2})
    named.register_layer_depth(whole.get_layer("dense"), 1)
    named.register_variable_depth(whole.get_layer("dense_1").kernel, 0)
    named.build(whole.trainable_variables)
    assert named.layout().layers.depth[0] == 1.0
    assert named.layout().layers.depth[6] == 0.0
    assert [part.leaf.own.get("interval") for part in named.layout().parts] == [2, 2, None, None, None, None, 2, 2]


def check_presets() -> None:
    for cls in classes():
        for name, arguments in cls.RULE.presets.items():
            made, by_hand = cls.preset(name, learning_rate=0.25), cls(0.25, **arguments)
            assert {**made.get_config(), "name": ""} == {**by_hand.get_config(), "name": ""}
            assert made.get_config() != cls(0.25).get_config() | {"name": made.name}
    raises(UsageError, 'no preset "slow"', lambda: Coupled.preset("slow"))


def check_nested_methods() -> None:
    optimizer = Nested(0.1, max_interval=2)
    assert int(numbers([optimizer.iterations])[0]) == 0
    optimizer.set_steps_per_epoch(8)
    assert optimizer.get_config()["steps_per_epoch"] == 8
    assert abs(optimizer.current_learning_rate - 0.001) < 1e-7
    optimizer.learning_rate = 0.2
    assert abs(optimizer.current_learning_rate - 0.002) < 1e-7
    made = model(8, 8)
    optimizer.compute_depths_from_model(made)
    made.compile(optimizer=optimizer, loss="mse")
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        made.fit(X, Y, epochs=1, batch_size=16, verbose=0)
    assert text.getvalue() == ""
    with contextlib.redirect_stdout(text):
        optimizer.print_memory_stats()
    assert "state in all" in text.getvalue()
    assert optimizer.memory_stats()["s"] == optimizer.memory_stats()["param"]
    assert abs(optimizer.current_learning_rate - 0.2) < 1e-6
    assert not hasattr(AdamW(), "print_memory_stats")


def check_no_step_where_none_is_due() -> None:
    v = keras.Variable(np.ones(4, "float32"), name="v")
    optimizer = Nested(0.1, intervals=[2])
    optimizer.apply(tensors([np.ones(4)]), [v])
    assert same(numbers([v]), [np.ones(4)])
    optimizer.apply(tensors([np.ones(4)]), [v])
    assert not same(numbers([v]), [np.ones(4)])


def check_constraints_and_overwritten_variables() -> None:
    v, w = (keras.Variable(np.full(2, 0.5, "float32"), name=n) for n in "vw")
    v.constraint = keras.constraints.NonNeg()
    w.overwrite_with_gradient = True
    AdamW(1.0).apply(tensors([np.ones(2), np.full(2, 7.0)]), [v, w])
    assert same(numbers([v, w]), [np.zeros(2), np.full(2, 7.0)])


def check_other_choices_are_compiled_and_changes_followed() -> None:
    v = keras.Variable(np.ones(2, "float32"), name="v")
    optimizer = AdamW(0.5, weight_decay=0.0, epsilon=1e-7)
    optimizer.apply(tensors([np.ones(2)]), [v])
    optimizer.weight_decay = 0.5
    optimizer.apply(tensors([np.zeros(2)]), [v])
    assert numbers([v])[0][0] < 0.5
    optimizer.amsgrad = True
    raises(UsageError, "v_max", lambda: optimizer.apply(tensors([np.ones(2)]), [v]))
    up = keras.Variable(np.ones(2, "float32"), name="v")
    Lion(0.5, weight_decay=0.0, maximize=True).apply(tensors([np.ones(2)]), [up])
    assert same(numbers([up]), [np.full(2, 1.5)])


def check_nothing_is_shared_between_optimizers() -> None:
    vs = [keras.Variable(np.ones(2, "float32"), name="v") for _ in range(2)]
    one, two = AdamW(0.1), AdamW(0.1)
    one.apply(tensors([np.ones(2)]), vs[:1])
    two.apply(tensors([np.ones(2)]), vs[1:])
    one.apply(tensors([np.ones(2)]), vs[:1])
    assert int(numbers([two.iterations])[0]) == 1
    assert not same(numbers(vs[:1]), numbers(vs[1:]))
    assert not {id(v) for v in one.variables} & {id(v) for v in two.variables}


def check_jit() -> None:
    if BACKEND == "torch":  # whose compiler takes ten seconds
        return
    compiled = weights(fitted(Coupled(0.05), jit_compile=True))
    for how in ({"jit_compile": False}, {"run_eagerly": True}):
        assert same(compiled, weights(fitted(Coupled(0.05), **how)), 1e-5), how


def check_stateless_steps() -> None:
    if BACKEND != "jax":
        return
    import jax

    vs = [keras.Variable(np.ones(3, "float32"), name="v")]
    optimizer = Nested(0.1, intervals=[2])
    optimizer.build(vs)
    step = jax.jit(optimizer.stateless_apply, donate_argnums=(0, 2))
    held, params = [v.value * 1 for v in optimizer.variables], [v.value * 1 for v in vs]
    for _ in range(3):
        params, held = step(held, [jax.numpy.ones(3)], params)
    assert step._cache_size() == 1
    for _ in range(3):
        optimizer.apply([jax.numpy.ones(3)], vs)
    assert same(numbers(params), numbers(vs), 1e-6)
    assert same(numbers(held), numbers(optimizer.variables), 1e-6)


def check_a_compiled_rule() -> None:
    text = (
        "optgen: 1\nname: mine\ntitle: mine\nhyper:\n  lr: {default: 0.1}\n  drag: {default: 0.5}\n"
        "update: param = param - lr*g - drag*param\n"
    )
    cls = optgen.compile(optgen.loads(text).spec, framework="keras")
    v = keras.Variable(np.ones(2, "float32"), name="v")
    cls(0.25).apply(tensors([np.ones(2)]), [v])
    assert same(numbers([v]), [np.full(2, 0.25)])
    assert keras.saving.get_registered_name(cls) == "optgen>Mine"
    decayed = cls(0.25, drag=0.0, weight_decay=0.5)  # a rule without decay has Keras's
    assert decayed.get_config()["weight_decay"] == 0.5
    decayed.apply(tensors([np.zeros(2)]), [v])
    assert same(numbers([v]), [np.full(2, 0.21875)], 1e-6)


def check_rules_are_inside_their_bounds() -> None:
    """All on torch, whose steps need no compiling; elsewhere a spread of what rules look at."""
    spread = {
        cls.RULE.name: (cls.RULE.graph, cls.RULE.depth, any(s.extent == "row" for s in cls.RULE.states))
        for cls in classes()
    }
    chosen = list({facts: name for name, facts in spread.items()}.values())
    for name in spread if BACKEND == "torch" else chosen:
        for dtype in ("float32", "float64") if name in chosen and BACKEND == "torch" else ("float32",):
            report = compare(name, "xla", dtype, framework="keras", steps=4, shapes=SHAPES)
            assert report.ok, report


def check_metrics() -> None:
    named = {cls.RULE.name: cls for cls in classes()}
    rules = [rule for rule, cls in named.items() if cls.RULE.metrics]
    assert rules
    for rule in rules:
        callback = optgen.keras.MetricsCallback()
        made = model(8, 8)
        made.compile(named[rule](metrics_interval=2), loss="mse")
        made.fit(X, Y, batch_size=8, epochs=2, verbose=0, callbacks=[callback])
        assert all(len(row) == 2 and np.all(np.isfinite(row)) for row in callback.history.values())
        assert list(callback.history) == list(named[rule].RULE.metrics)
        assert made.optimizer.metrics() == {}
        raises(UsageError, "metrics_interval=10", untrained(named[rule]()).optimizer.metrics)
    raises(UsageError, "AdamW has no metrics", untrained(AdamW()).optimizer.metrics)
