"""Dense stacks of Keras: `Sequential` of `Input` and `Dense`."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

import numpy as np

from optgen.compaction.dense import Array, Dense


class _Layer(Protocol):
    name: str
    kernel: object
    bias: object | None
    activation: Callable[..., object]

    def get_config(self) -> dict[str, object]: ...


class _Sequential(Protocol):
    name: str
    built: bool
    input_shape: tuple[int | None, ...]
    layers: Sequence[_Layer]

    def add(self, layer: _Layer, /) -> None: ...

    def set_weights(self, weights: Sequence[Array], /) -> None: ...


#: Keras has no types; what is used of it has those above.
_keras: Any = importlib.import_module("keras")


def layers_of(model: _Sequential) -> list[Dense]:
    """The layers; TypeError naming the first layer that is no Dense, ValueError for a model without weights yet."""
    if not model.built:
        raise ValueError("the model has no weights yet: give it an Input, or call model.build(shape)")
    for layer in model.layers:
        if type(layer) is not _keras.layers.Dense:
            raise TypeError(f'"{layer.name}" is {type(layer).__name__}: a dense stack has Input and Dense layers only')
    if not model.layers:
        raise TypeError("a dense stack has at least one Dense layer")
    return [
        Dense(
            _numbers(layer.kernel),
            None if layer.bias is None else _numbers(layer.bias),
            layer.activation in (_keras.activations.linear, _keras.activations.relu),
        )
        for layer in model.layers
    ]


def rebuilt(model: _Sequential, layers: Sequence[Dense]) -> _Sequential:
    """A new model with these weights and the same names and settings; it is not compiled."""
    made: _Sequential = _keras.Sequential([_keras.Input(model.input_shape[1:])], name=model.name)
    for layer, numbers in zip(model.layers, layers, strict=True):
        made.add(_keras.layers.Dense.from_config({**layer.get_config(), "units": numbers.kernel.shape[1]}))
    made.set_weights([x for layer in layers for x in (layer.kernel, layer.bias) if x is not None])
    return made


def _numbers(weight: object) -> Array:
    return cast(Array, np.asarray(_keras.ops.convert_to_numpy(weight)))
