"""Dense stacks of torch: `nn.Sequential` of `nn.Linear` and activations that work element by element."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import cast

import torch
from optgen.compaction.dense import Array, Dense
from torch import nn

#: Activations after which silence is passed on.
_QUIET = (nn.Identity, nn.ReLU, nn.ReLU6, nn.LeakyReLU)
_OTHERS = (nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.ELU, nn.SELU, nn.Softplus, nn.Hardtanh, nn.Softsign, nn.Mish)
#: After the last layer, where no unit goes, anything without weights may stand.
_LAST = (*_QUIET, *_OTHERS, nn.Softmax, nn.LogSoftmax)


def layers_of(model: nn.Sequential) -> list[Dense]:
    """The layers; TypeError naming the first module that is none of a dense stack."""
    modules = list(model.named_children())
    linear = [number for number, (_, module) in enumerate(modules) if type(module) is nn.Linear]
    if not linear or linear[0] != 0:
        raise TypeError("a dense stack is an nn.Sequential that begins with an nn.Linear")
    found: list[Dense] = []
    for number, stop in zip(linear, [*linear[1:], len(modules)], strict=True):
        last = stop == len(modules)
        for name, module in modules[number + 1 : stop]:
            if type(module) not in (_LAST if last else (*_QUIET, *_OTHERS)):
                raise TypeError(
                    f'"{name}" is {type(module).__name__}: a dense stack has nn.Linear and activations such as nn.ReLU'
                )
        layer = modules[number][1]
        assert isinstance(layer, nn.Linear)
        quiet = all(type(module) in _QUIET for _, module in modules[number + 1 : stop])
        weights = {key: _numbers(weight) for key, weight in layer.named_parameters()}
        found.append(Dense(weights["weight"].T, weights.get("bias"), quiet))
    return found


def rebuilt(model: nn.Sequential, layers: Sequence[Dense]) -> nn.Sequential:
    """A new stack with these weights, of the model's dtypes, devices, names and mode."""
    made = nn.Sequential()
    numbers = iter(layers)
    for name, module in model.named_children():
        if type(module) is not nn.Linear:
            made.add_module(name, deepcopy(module))
            continue
        layer = next(numbers)
        inputs, outputs = layer.kernel.shape
        like = {"device": module.weight.device, "dtype": module.weight.dtype}
        linear = nn.Linear(inputs, outputs, bias=layer.bias is not None, **like)
        with torch.no_grad():
            linear.weight.copy_(torch.tensor(layer.kernel.T))
            if layer.bias is not None:
                linear.bias.copy_(torch.tensor(layer.bias))
        for parameter, source in zip(linear.parameters(), module.parameters(), strict=True):
            parameter.requires_grad_(source.requires_grad)
        made.add_module(name, linear)
    return made.train(model.training)


def _numbers(weight: torch.Tensor) -> Array:
    held = weight.detach().cpu()
    return cast(Array, (held if held.dtype in (torch.float32, torch.float64) else held.float()).numpy())
