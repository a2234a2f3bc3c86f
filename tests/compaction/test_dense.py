"""Dense stacks without silent units: by hand, against the model they came from, and in both frameworks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from optgen.compaction import (
    benchmark_inference_latency,
    compact_dense_model,
    count_nonzero_model_params,
    measure_keras_file_size,
    search_compact_dense_model,
)
from optgen.compaction.dense import Dense, kept_units
from optgen.errors import UsageError


def dense(kernel: object, bias: object = None, *, quiet: bool = True) -> Dense:
    return Dense(np.array(kernel, float), None if bias is None else np.array(bias, float), quiet)


def kept(layers: list[Dense], threshold: float) -> list[list[int]]:
    return [units.tolist() for units in kept_units(layers, threshold)]


def test_by_hand() -> None:
    # unit 1 sends nothing, unit 2 receives nothing and has no bias, unit 3 has a bias only
    first = dense([[1, 2, 0, 0], [3, 4, 0, 0]], [0, 0, 0, 0.5])
    last = dense([[1], [0], [1], [1]])
    assert kept([first, last], 0.0) == [[0, 3]]
    assert kept([first, last], 0.6) == [[0]]
    # a unit of tanh that receives nothing still sends tanh(0 + bias): only what it sends counts
    assert kept([dense(first.kernel, first.bias, quiet=False), last], 0.0) == [[0, 2, 3]]


def test_what_goes_takes_along_what_only_it_heard() -> None:
    first, second = dense(np.ones((2, 3)), [0, 0, 0]), dense([[1, 0], [0, 1], [0, 0]], [0, 0])
    last = dense([[1], [0]])  # unit 1 of the second layer is not heard, hence unit 1 of the first neither
    assert kept([first, second, last], 0.0) == [[0], [0]]


def test_no_layer_is_emptied() -> None:
    layers = [dense(np.zeros((2, 3)), [0, 0, 0]), dense([[0.1], [0.3], [0.2]])]
    assert kept(layers, 0.0) == [[1]]
    assert kept(layers, 1.0) == [[1]]
    assert kept([dense([[0, 5.0]]), dense([[0.3], [0.2]])], 1.0) == [[0]]


def torch_model(dtype: torch.dtype = torch.float32, *, pruned: float = 0.0) -> nn.Sequential:
    torch.manual_seed(3)
    model = nn.Sequential(
        nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, 7, bias=False), nn.Tanh(), nn.Linear(7, 2), nn.Softmax(-1)
    ).to(dtype)
    with torch.no_grad():
        for weight in model.parameters():
            weight[weight.abs() < pruned] = 0.0
    return model


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_torch(dtype: torch.dtype) -> None:
    model = torch_model(dtype)
    with torch.no_grad():
        model[0].weight[[1, 4]] = 0.0
        model[0].bias[[1, 4]] = 0.0
        model[4].weight[:, [0, 6]] = 0.0
    before = {name: x.clone() for name, x in model.state_dict().items()}
    small, report = compact_dense_model(model)
    assert (report.units_before, report.units_after) == ((9, 7), (7, 5))
    assert report.parameters_after == sum(x.numel() for x in small.parameters()) < report.parameters_before
    assert all(x.dtype is dtype for x in small.parameters())
    x = torch.randn(5, 4, dtype=dtype)
    bound = 8 * torch.finfo(dtype).eps  # sums of at most nine products in another order
    assert torch.allclose(small(x), model(x), rtol=bound, atol=bound)
    assert all(torch.equal(x, before[name]) for name, x in model.state_dict().items())


def test_a_search_keeps_the_smallest_that_is_good_enough() -> None:
    model = torch_model(pruned=0.2)
    scores = {0.0: 1.0, 0.25: 0.95, 0.3: 0.9, 5.0: 0.2}
    units = {compact_dense_model(model, t)[1].units_after: score for t, score in scores.items()}
    assert len(units) == 4

    def score(candidate: nn.Sequential) -> float:
        return units.get((candidate[0].out_features, candidate[2].out_features), 1.0)

    found = search_compact_dense_model(model, score, scores, min_score=0.9)
    assert (found.threshold, found.score) == (0.3, 0.9)
    assert found.tried == tuple(scores.items())
    none = search_compact_dense_model(model, score, [5.0])
    assert none.model is model
    assert none.threshold is None


def test_keras(tmp_path: Path) -> None:
    keras: Any = pytest.importorskip("keras")
    keras.utils.set_random_seed(4)
    shape = [
        keras.Input((4,)),
        keras.layers.Dense(9, activation="relu"),
        keras.layers.Dense(7, activation="tanh", use_bias=False),
        keras.layers.Dense(2, activation="softmax"),
    ]
    model = keras.Sequential(shape)
    weights = [np.array(w) for w in model.get_weights()]
    weights[0][:, [1, 4]] = 0.0
    weights[3][[0, 6]] = 0.0
    model.set_weights(weights)
    small, report = compact_dense_model(model)
    assert report.units_after == (7, 5)
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    np.testing.assert_allclose(np.asarray(small(x)), np.asarray(model(x)), rtol=1e-6, atol=1e-6)
    assert [layer.name for layer in small.layers] == [layer.name for layer in model.layers]
    assert count_nonzero_model_params(small) == report.nonzero_after == count_nonzero_model_params(model) - 28
    assert 0 < measure_keras_file_size(small) < measure_keras_file_size(model)
    with pytest.raises(TypeError, match='"flat" is Flatten'):
        compact_dense_model(keras.Sequential([keras.Input((4,)), keras.layers.Flatten(name="flat")]))
    with pytest.raises(ValueError, match="no weights yet"):
        compact_dense_model(keras.Sequential([keras.layers.Dense(2)]))


@pytest.mark.parametrize("model", [nn.Sequential(nn.Linear(2, 2), nn.Dropout()), nn.Sequential(nn.ReLU()), object()])
def test_what_is_no_dense_stack(model: object) -> None:
    if isinstance(model, nn.Sequential) and len(model) == 2:
        model.append(nn.Linear(2, 1))
    with pytest.raises(TypeError, match=r"dense stack"):
        compact_dense_model(model)


@pytest.mark.parametrize("threshold", [-1.0, float("nan")])
def test_thresholds(threshold: float) -> None:
    with pytest.raises(UsageError, match="0 or more"):
        compact_dense_model(torch_model(), threshold)


def test_latency_counts_its_runs() -> None:
    calls: list[int] = []
    assert benchmark_inference_latency(lambda: calls.append(1)) >= 0
    assert len(calls) == 30
    with pytest.raises(UsageError, match="at least one run"):
        benchmark_inference_latency(lambda: None, runs=0)
