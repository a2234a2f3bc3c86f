"""`torch.compile(optimizer.step)`: a step as one operator over lists of tensors, so that a graph holds it unbroken.

The operator is told which tensors a step reads and changes, and may be given others in their place (a functional graph
works on copies): kernels run on what they are given. Hyper-parameters are no part of the graph; they are read from the
groups when it runs, so that changing one compiles nothing again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Protocol, cast
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from optgen.errors import UsageError

#: Of the operator; a copy of this runtime in another package has another.
NAMESPACE = __name__.replace(".", "_")
SCHEMA = "step(int number, Tensor(a!)[] params, Tensor?[] grads, Tensor(b!)[] state, Tensor[] inputs) -> ()"


@dataclass(frozen=True)
class Given:
    """What stands for an optimizer's tensors in one step: parameters, their gradients, state, and the step's inputs."""

    params: Sequence[Tensor]
    grads: Sequence[Tensor | None]
    state: Sequence[Tensor]
    inputs: Sequence[Tensor]


class Steppable(Protocol):
    """What the operator asks of an optimizer."""

    def step_on(self, given: Given) -> None:
        """One step on these tensors."""
        ...


_numbers = count()
_optimizers: WeakValueDictionary[int, Steppable] = WeakValueDictionary()


def register(optimizer: Steppable) -> int:
    """The number by which the operator finds an optimizer, for as long as that lives."""
    number = next(_numbers)
    _optimizers[number] = optimizer
    return number


def _step(
    number: int, params: list[Tensor], grads: list[Tensor | None], state: list[Tensor], inputs: list[Tensor]
) -> None:
    optimizer = _optimizers.get(number)
    if optimizer is None:
        raise UsageError("a compiled step outlived its optimizer: compile the step of one that is still there")
    optimizer.step_on(Given(params, grads, state, inputs))


def _fake(number: int, params: object, grads: object, state: object, inputs: object) -> None:
    """A step returns nothing, whatever it is given."""


class _Library(Protocol):
    """What is used of torch's, whose types are unknown."""

    def define(self, schema: str) -> str: ...

    def impl(self, op_name: str, fn: object, dispatch_key: str) -> None: ...


def _define() -> _Library:
    """The operator, for as long as the library lives."""
    made = cast(_Library, torch.library.Library(NAMESPACE, "DEF"))
    made.define(SCHEMA)
    for device in ("CPU", "CUDA"):
        made.impl("step", _step, device)
    register_fake = cast("Callable[..., object]", torch.library.register_fake)  # pyright: ignore[reportUnknownMemberType]
    register_fake(f"{NAMESPACE}::step", _fake, lib=made)
    return made


_library = _define()


class Traced:
    """What a graph of an optimizer's step is made of; lists that torch's compiler reads as they are."""

    def __init__(self, optimizer: Steppable, inputs: list[str]) -> None:
        self.number = register(optimizer)
        self.inputs = inputs
        self.fixed: list[Tensor] = []
        self.params: list[Tensor] = []
        self.state: list[Tensor] = []

    def follow(self, fixed: list[Tensor], params: int) -> None:
        """Takes over the tensors of a binding, of which so many are parameters, if they are others than before."""
        if fixed is not self.fixed:
            self.fixed, self.params, self.state = fixed, fixed[:params], fixed[params:]


def queue(traced: Traced | None, closure: Callable[[], float] | None, inputs: Mapping[str, object]) -> float | None:
    """The step as torch's compiler sees it."""
    if traced is None:  # tied to kernels when it is made, but not when it is copied
        raise UsageError("a copied or unpickled optimizer takes its first step outside torch.compile")
    loss: float | None = None
    given = dict(inputs)
    if closure is not None:
        with torch.enable_grad():
            loss = closure()
        if "loss" in traced.inputs and "loss" not in given:
            given["loss"] = loss
    for name in traced.inputs:
        if given.get(name) is None:
            raise UsageError(f"step() needs {name}=, which the rule reads")
    for name in given:
        if name not in traced.inputs:
            raise UsageError(f"step() got an unexpected argument {name!r}; this rule takes {traced.inputs or 'none'}")
    with torch.no_grad():
        numbers = [torch.as_tensor(cast(float, given[name]), dtype=torch.float64) for name in traced.inputs]
        grads = [param.grad for param in traced.params]
        getattr(torch.ops, NAMESPACE).step(traced.number, traced.params, grads, traced.state, numbers)
    return loss
