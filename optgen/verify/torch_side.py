"""Generated optimizers of torch, as the tester drives them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

import torch
from optgen.api import compile as compile_rule
from optgen.errors import UsageError
from optgen.ir.build import MAXIMIZE
from optgen.runtime.arrangement import Arrangement
from optgen.runtime.storage import DtypeSet
from optgen.runtime.torch_optimizer import Optimizer
from optgen.spec.model import Setting, Spec
from optgen.verify.side import arrangement_of

Array = NDArray[np.float64]

COMPLETE = False


class TorchSide:
    """An optimizer and its parameters."""

    single: bool = False
    inverts: bool = False

    def __init__(self, optimizer: Optimizer, tensors: list[torch.Tensor], dtypes: Sequence[DtypeSet]) -> None:
        self.optimizer, self.tensors, self.dtypes = optimizer, tensors, dtypes

    def step(self, gradients: Sequence[Array | None], inputs: Mapping[str, float]) -> None:
        """One step."""
        found = [
            None if g is None else tensor_of(g, dtypes.grad).to(tensor.device)
            for tensor, g, dtypes in zip(self.tensors, gradients, self.dtypes, strict=True)
        ]
        if self.optimizer.RULE.gradients:
            self.optimizer.step(None, gradients=found, **inputs)
            return
        for tensor, g in zip(self.tensors, found, strict=True):
            tensor.grad = g
        self.optimizer.step(None, **inputs)

    def scale_rate(self, factor: float) -> None:
        """Every group's learning rate times a factor."""
        hyper = self.optimizer.RULE.hyper("lr")
        for group in self.optimizer.param_groups:
            group[hyper.key] = group[hyper.key] * factor

    def values(self, tensor: int) -> Mapping[str, Array]:
        """The parameter and its state; entries of a short vector one by one."""
        param = self.tensors[tensor]
        found = {"param": _numbers(param)}
        vectors = {info.name for info in self.optimizer.RULE.states if info.vector}
        for name, x in cast("Mapping[str, torch.Tensor]", self.optimizer.state[param]).items():
            numbers = _numbers(x)
            found |= {f"{name}[{i}]": entry for i, entry in enumerate(numbers)} if name in vectors else {name: numbers}
        return found


def make(
    spec: Spec,
    backend: str,
    arrays: Mapping[str, Array],
    dtypes: Sequence[DtypeSet],
    given: Mapping[str, Mapping[str, Setting]],
    arranged: Arrangement,
    device: str,
) -> TorchSide:
    """An optimizer on a device."""
    return TorchSide(*_optimizer(spec, backend, arrays, dtypes, given, arranged, device), dtypes)


def tensor_of(x: Array, dtype: str) -> torch.Tensor:
    import torch

    make = cast("Callable[[Array], torch.Tensor]", torch.from_numpy)  # pyright: ignore[reportUnknownMemberType]
    return make(x.copy()).to(cast(torch.dtype, getattr(torch, dtype.removeprefix("torch."))))


def _numbers(tensor: torch.Tensor) -> Array:
    return cast(Array, tensor.detach().double().cpu().numpy().copy())


def _optimizer(
    spec: Spec,
    backend: str,
    arrays: Mapping[str, Array],
    dtypes: Sequence[DtypeSet],
    given: Mapping[str, Mapping[str, Setting]],
    arranged: Arrangement,
    device: str,
) -> tuple[Optimizer, list[torch.Tensor]]:
    """The generated optimizer, with a group per run of tensors that share their hypers."""
    import torch

    cls = compile_rule(spec, framework="torch", backend=backend)
    tensors = {
        name: torch.nn.Parameter(tensor_of(x, own.param).to(device))
        for (name, x), own in zip(arrays.items(), dtypes, strict=True)
    }
    for tensor, own in zip(tensors.values(), dtypes, strict=True):
        if own.grad != own.param:
            tensor.grad_dtype = getattr(torch, own.grad)
    groups: list[dict[str, Any]] = []
    for own, run in groupby(tensors, key=lambda name: name if name in given else ""):
        groups.append({"params": [(name, tensors[name]) for name in run], **arguments(cls, given[own])})
    extra = arrangement_of(spec, arranged) | _storage(dtypes)
    with warnings.catch_warnings():  # how much rounding costs is what is looked at here
        warnings.filterwarnings("ignore", message=".*without a float32 copy")
        return cls(groups, **arguments(cls, given[""]), **extra), list(tensors.values())  # type: ignore[call-arg]


def _storage(dtypes: Sequence[DtypeSet]) -> dict[str, Any]:
    """The arguments that make an optimizer store as the sets say: they must agree on how state is stored."""
    chosen = {(own.state, own.states) for own in dtypes if own.compute == "float32"}
    if len(chosen) > 1:
        raise UsageError("an optimizer has one state_dtype: the dtype sets of a comparison must agree on it")
    state, states = chosen.pop() if chosen else ("", ())
    if state and states:
        raise UsageError("give state a dtype for all of it (*=DTYPE) or by name, not both")
    return {
        "state_dtype": dict(states) or state or None,
        "master_weights": any(own.master for own in dtypes),
        "stochastic_rounding": any(own.stochastic for own in dtypes),
    }


def arguments(cls: type[Optimizer], values: Mapping[str, Setting]) -> dict[str, Any]:
    """Values by the names that torch arguments have; entries of a tuple together."""
    arguments: dict[str, Any] = {}
    for hyper in cls.RULE.hypers:
        value = values.get(hyper.name, hyper.default)
        if hyper.index is None:
            arguments[hyper.key] = value
        else:
            entries: dict[int, Any] = arguments.setdefault(hyper.key, {})
            entries[hyper.index] = value
    for key, value in arguments.items():
        if isinstance(value, dict):
            arguments[key] = tuple(cast("dict[int, Any]", value)[i] for i in range(len(cast("dict[int, Any]", value))))
    if MAXIMIZE in values:
        arguments[MAXIMIZE] = values[MAXIMIZE]
    return arguments
