"""One optimizer of two rules: matrices get one, all else the other; part of the checks, run under each backend."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
import pytest
from keras import ops

from optgen.errors import HyperError, UsageError
from optgen.keras import AdamW, Muon
from optgen.runtime.keras_optimizer import Optimizer

SHAPES: Mapping[str, tuple[int, ...]] = {"embedding": (6, 3), "kernel": (3, 4), "bias": (4,)}


def trained(optimizer: Optimizer, names: list[str]) -> dict[str, np.ndarray]:
    """Variables after three steps on gradients that depend on them alone."""
    rng = np.random.default_rng(0)
    start = {name: rng.normal(size=shape).astype("float32") for name, shape in SHAPES.items()}
    variables = [keras.Variable(start[name], name=name) for name in names]
    for _ in range(3):
        optimizer.apply([ops.cos(v) for v in variables], variables)
    return {name: np.asarray(ops.convert_to_numpy(v)) for name, v in zip(names, variables, strict=True)}


def check_rules_of_variables() -> None:
    """Tensors below two axes get the other rule by themselves, embeddings because `rules` says so."""
    aux = {"adamw_lr": 0.02, "adamw_weight_decay": 0.3}
    one = Muon(0.05, rules={"embed*": "adamw"}, **aux)
    found = trained(one, list(SHAPES))
    other = trained(AdamW(0.02, weight_decay=0.3, epsilon=1e-8), ["embedding", "bias"])
    for name, wanted in other.items():
        assert np.array_equal(found[name], wanted), name
    plain = trained(Muon(0.05, **aux), list(SHAPES))
    assert np.array_equal(found["kernel"], plain["kernel"])
    assert not np.allclose(found["embedding"], plain["embedding"])
    assert [set(slots) for slots in one.layout().slots] == [{"adamw_m", "adamw_v"}, {"m"}, {"adamw_m", "adamw_v"}]
    again = Muon.from_config(one.get_config())
    assert np.array_equal(trained(again, list(SHAPES))["embedding"], found["embedding"])
    with pytest.raises(HyperError, match="rule must be one of"):
        trained(Muon(0.05, rules={"embed*": "adam"}), list(SHAPES))
    with pytest.raises(UsageError, match='rules: no variable has a path like "head"'):
        trained(Muon(0.05, rules={"head": "adamw"}), list(SHAPES))
