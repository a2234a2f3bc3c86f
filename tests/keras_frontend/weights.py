"""Checks of weights to evaluate with, on any backend; `run` runs them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import keras
import numpy as np

import optgen
from optgen.errors import UsageError
from optgen.keras import AdamW, EvaluationWeightsCallback
from tests.keras_frontend.checks import X, Y, fitted, model, numbers, raises, same, tensors, untrained, weights

#: An average of the weights, and a rule that reads a count of updates and the weights beside its state.
Averaged = optgen.compile("adamw+ema", framework="keras")
Free = optgen.compile("sgd+schedule_free", framework="keras")
GIVEN = {"learning_rate": 0.05, "weight_decay": 0.01, "ema_decay": 0.5}


def check_an_average_is_what_is_evaluated() -> None:
    """By hand: two steps with gradients 1 of a rule whose steps are all of one size."""
    v = keras.Variable(np.ones(2, "float32"), name="v")
    optimizer = optgen.compile("signum+ema", framework="keras")(0.25, ema_decay=0.5)
    raises(UsageError, "not built", optimizer.eval)
    optimizer.build([v])
    with optimizer.evaluation_weights():  # before the first step
        assert same(numbers([v]), [np.ones(2)])
    for _ in range(2):
        optimizer.apply(tensors([np.ones(2)]), [v])
    assert same(numbers([v]), [np.full(2, 0.5)])
    with optimizer.evaluation_weights(), optimizer.evaluation_weights():
        assert optimizer.evaluating
        assert same(numbers([v]), [np.full(2, 0.25 * 1 + 0.25 * 0.75 + 0.5 * 0.5)])
    assert not optimizer.evaluating
    assert same(numbers([v]), [np.full(2, 0.5)])


def check_training_weights_come_back_to_the_bit() -> None:
    for made in (fitted(Averaged(**GIVEN)), fitted(Free(0.05, momentum=0.0))):
        optimizer, before = made.optimizer, weights(made)
        held = numbers(optimizer.variables)
        shown = made.predict(X, verbose=0)
        optimizer.eval()
        assert not same(weights(made), before)
        assert np.abs(made.predict(X, verbose=0) - shown).max() > 1e-6
        made.evaluate(X, Y, verbose=0)
        optimizer.train()
        optimizer.train()
        assert same(weights(made), before)
        assert same(numbers(optimizer.variables), held)


def check_nothing_trains_or_loads_the_other_weights() -> None:
    made = fitted(Averaged(**GIVEN))
    optimizer, before = made.optimizer, weights(made)
    grads = tensors([np.ones(v.shape) for v in made.trainable_variables])
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model.weights.h5")
        made.save_weights(path)
        optimizer.eval()
        raises(UsageError, "call train()", lambda: optimizer.apply(grads, made.trainable_variables))
        raises(ValueError, "call train()", lambda: made.load_weights(path))
        made.load_weights(path, skip_mismatch=True)
    raises(ValueError, "train(discard=True)", optimizer.train)
    assert optimizer.evaluating
    optimizer.train(discard=True)
    assert same(weights(made), before)
    raises(UsageError, "no `eval:`", untrained(AdamW(0.05)).optimizer.eval)


def check_a_file_saved_with_them_holds_both() -> None:
    made = fitted(Averaged(**GIVEN))
    before = weights(made)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model.keras")
        with made.optimizer.evaluation_weights():
            shown = weights(made)
            made.save(path)
        loaded = keras.saving.load_model(path, custom_objects={"AdamWEma": Averaged})
    assert loaded.optimizer.evaluating
    assert same(weights(loaded), shown)
    loaded.optimizer.train()
    assert same(weights(loaded), before)
    for one in (made, loaded):
        one.fit(X, Y, epochs=1, batch_size=16, verbose=0, shuffle=False)
    assert same(weights(made), weights(loaded))


def check_a_callback_evaluates_and_saves_with_them() -> None:
    plain, made = (model(8, 8) for _ in range(2))
    for one in (plain, made):
        one.compile(optimizer=Averaged(**GIVEN), loss="mse")
    run = {"epochs": 2, "batch_size": 16, "verbose": 0, "shuffle": False, "validation_data": (X, Y)}
    before = plain.fit(X, Y, **run).history
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "best.weights.h5")
        saved = keras.callbacks.ModelCheckpoint(path, save_weights_only=True)
        after = made.fit(X, Y, **run, callbacks=[EvaluationWeightsCallback(swap_on_epoch=True), saved]).history
        assert same(weights(plain), weights(made))
        with plain.optimizer.evaluation_weights():
            shown, score = weights(plain), plain.evaluate(X, Y, verbose=0)
        made.load_weights(path)
        assert made.optimizer.evaluating
        assert same(weights(made), shown)
    assert before["loss"] == after["loss"]
    assert abs(after["val_loss"][-1] - score) < 1e-6
    assert abs(before["val_loss"][-1] - score) > 1e-6
    other = model(8)
    other.compile(optimizer=AdamW(0.05), loss="mse")
    callback = EvaluationWeightsCallback()
    raises(UsageError, "no weights of its own", lambda: other.fit(X, Y, verbose=0, callbacks=[callback]))
