"""Checks of several devices under one strategy of TensorFlow; `run` runs them, and other backends have none."""

from __future__ import annotations

import contextlib

import keras
import numpy as np

from optgen.keras import NEAT as Coupled
from optgen.keras import AdamW, Nested
from tests.keras_frontend.checks import BACKEND, RNG

DEVICES = 2
if BACKEND == "tensorflow":  # before anything runs
    import tensorflow as tf

    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * DEVICES
    )


def check_mirrored_variables_stay_in_step() -> None:
    """Two logical processors with half of each batch: what one alone does with all of it, and the same on both."""
    if BACKEND != "tensorflow":
        return
    x = RNG.standard_normal((32, 8)).astype("float32")
    for make in (lambda: AdamW(0.05, weight_decay=0.01), lambda: Coupled(0.05), lambda: Nested(0.05, max_interval=3)):
        alone = _trained(make, x, None)
        strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(DEVICES)])
        both = _trained(make, x, strategy)
        assert len(both) == len(alone)
        for one, many in zip(alone, both, strict=True):
            assert all(np.array_equal(many[0], other) for other in many[1:])
            assert np.abs(many[0] - one[0]).max(initial=0) < 2e-5


def _trained(make, x: np.ndarray, strategy) -> list[list[np.ndarray]]:
    """Every variable of the model and the optimizer after training, as each device has it."""
    with strategy.scope() if strategy is not None else contextlib.nullcontext():
        keras.utils.set_random_seed(0)
        hidden = keras.layers.Dense(8, activation="tanh", name="hidden")
        model = keras.Sequential([keras.Input((8,)), hidden, keras.layers.Dense(1, name="head")])
        model.compile(optimizer=make(), loss="mse", jit_compile=False)
    model.fit(x, x[:, :1], epochs=2, batch_size=16, shuffle=False, verbose=0)
    variables = [v.value for v in (*model.trainable_variables, *model.optimizer.variables)]
    return [[np.asarray(own) for own in getattr(v, "values", (v,))] for v in variables]
