"""What optimizers of rules with `quirks:` repeat of published code; part of the checks, run under each backend."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from optgen.errors import HyperError
from optgen.keras import Nested

#: The code is of a package for Keras, and does all this without being asked.
PUBLISHED: dict[str, Any] = {"compat": "reference"}


def network() -> keras.Sequential:
    """Three layers, the second in a model of its own."""
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, name="deep")], name="inner")
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, name="first"), inner, keras.layers.Dense(2)])


def depths(optimizer: Nested) -> list[float]:
    """Relative depth of every variable."""
    return list(optimizer.layout().layers.depth)


def first_moves(optimizer: Nested, variables: list[Any], steps: int) -> list[int]:
    """The first step at which each variable moves; where steps are compiled operation by operation, none is taken."""
    if keras.backend.backend() != "torch":
        optimizer.build(variables)
        return []
    found = [0] * len(variables)
    for step in range(1, steps + 1):
        before = [np.array(ops.convert_to_numpy(v)) for v in variables]
        optimizer.apply([ops.ones(v.shape) for v in variables], variables)
        for k, v in enumerate(variables):
            moved = not np.array_equal(before[k], ops.convert_to_numpy(v))
            found[k] = found[k] or (step if moved else 0)
    return found


def check_quirk_04_the_root_owns_every_weight() -> None:
    """So all intervals are 1, or with the order turned max_interval + 1; a model's layers are numbered by default."""
    model = network()
    for given, depth, first in (({}, None, [1, 1, 2, 2, 2, 2]), (PUBLISHED, 0.0, [1] * 6)):
        optimizer = Nested(0.1, max_interval=2, **given)
        assert set(optimizer.compute_depths_from_model(model).values()) == ({0, 1, 2} if depth is None else {0})
        assert first_moves(optimizer, model.trainable_variables, 2) in ([], first)
        assert depths(optimizer) == ([0, 0, 0.5, 0.5, 1, 1] if depth is None else [0] * 6)
        again = Nested.from_config(optimizer.get_config())
        again.build(model.trainable_variables)
        assert depths(again) == depths(optimizer)
    turned = Nested(0.1, max_interval=2, reverse_depth_order=False, **PUBLISHED)
    turned.compute_depths_from_model(model)
    assert first_moves(turned, model.trainable_variables, 3) in ([], [3] * 6)


def check_quirk_13_the_rate_stays_as_it_was_made() -> None:
    """While there is a schedule; without one, and by default, what is set counts."""
    for given, rate in (({}, 0.1), (PUBLISHED, 0.4)):
        optimizer = Nested(0.4, steps_per_epoch=2, intervals=[1], lr_warmup_fraction=0.0, lr_hold_fraction=1.0, **given)
        v = keras.Variable(np.zeros(3, "float32"), name="v")
        optimizer.build([v])
        optimizer.learning_rate = 0.1
        assert optimizer.current_learning_rate == pytest.approx(rate)
        assert optimizer.get_config()["learning_rate"] == pytest.approx(rate)
        optimizer.apply([ops.ones(3)], [v])
        longer = np.sqrt(2.0) if given else 1.0  # quirk 2
        assert float(ops.convert_to_numpy(v)[0]) == pytest.approx(-rate * longer, rel=1e-2)
        optimizer.set_steps_per_epoch(0)
        assert optimizer.current_learning_rate == pytest.approx(0.1)
    with pytest.raises(HyperError, match="takes its learning rate once"):
        Nested(keras.optimizers.schedules.CosineDecay(0.1, 8), steps_per_epoch=2, **PUBLISHED)


def check_quirk_16_depth_counts_variables() -> None:
    """Without a model, so that kernel and bias differ; of some that are registered, the others are the deepest."""
    variables = network().trainable_variables
    for given, wanted in (({}, [0, 0, 0.5, 0.5, 1, 1]), (PUBLISHED, [0, 0.2, 0.4, 0.6, 0.8, 1])):
        optimizer = Nested(0.1, **given)
        optimizer.build(variables)
        assert depths(optimizer) == pytest.approx(wanted)
        named = Nested(0.1, **given)
        named.register_variable_depth(variables[0], 1)
        named.register_variable_depth(variables[2], 4)
        named.build(variables)
        others = wanted if not given else [1.0] * 6
        assert depths(named) == pytest.approx([0.25, others[1], 1.0, *others[3:]])
        alone = Nested(0.1, **given)
        alone.build(variables[:1])
        assert depths(alone) == [0.5]


def check_quirk_19_no_count_before_state() -> None:
    v = keras.Variable(np.zeros(3, "float32"), name="v")
    optimizer = Nested(0.1, **PUBLISHED)
    assert optimizer.iterations is None
    assert optimizer.current_learning_rate == pytest.approx(0.1)
    optimizer.apply([ops.ones(3)], [v])
    assert int(ops.convert_to_numpy(optimizer.iterations)) == 1
    assert int(ops.convert_to_numpy(Nested(0.1).iterations)) == 0
