"""The shipped optimizers and a small model to train, for promises that hold for every one of them."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

import optgen.torch
from optgen.runtime.rule_info import RuleInfo
from optgen.runtime.torch_optimizer import Optimizer
from optgen.spec import loader
from optgen.spec.syntax import Assign, If, names_in, statements

Named = list[tuple[str, Parameter]]

#: Two equal layers, and one with a tensor of three axes and one of a single element.
SHAPES = {
    "h.0.weight": (6, 5),
    "h.0.bias": (6,),
    "h.1.weight": (6, 5),
    "h.1.bias": (6,),
    "head.weight": (3, 2, 4),
    "head.scale": (),
}


def _classes() -> Iterator[type[Optimizer]]:
    for name in dir(optgen.torch):
        found: object = getattr(optgen.torch, name)
        if isinstance(found, type) and issubclass(found, Optimizer):
            yield found


#: Every shipped optimizer: a new rule is a new case of every promise.
CLASSES = sorted(_classes(), key=lambda cls: cls.__name__)


def name_of(cls: type[Optimizer]) -> str:
    """How a case is called."""
    return cls.__name__


def lively(rule: RuleInfo) -> dict[str, Any]:
    """Arguments under which nothing is switched off: numbers that are 0 by default are 0.1 where that is allowed."""
    values = {h.name: 0.1 if _idle(h.default) and h.kind == "float" else h.default for h in rule.hypers}
    values["lr"] = 0.05
    for hyper in rule.hypers:
        if hyper.domain is not None and isinstance(value := values[hyper.name], int | float):
            values[hyper.name] = value if hyper.domain.contains(value) else hyper.default
    if not all(requirement.holds(values) for requirement in rule.require):
        raise AssertionError(f"{rule.name}: the lively values break a requirement")
    arguments: dict[str, Any] = {}
    for hyper in rule.hypers:
        if hyper.index is None:
            arguments[hyper.key] = values[hyper.name]
        else:
            arguments[hyper.key] = (*arguments.get(hyper.key, ()), values[hyper.name])
    return arguments


def _idle(value: object) -> bool:
    return not isinstance(value, bool) and value == 0


def parameters(dtype: torch.dtype = torch.float32, seed: int = 0) -> Named:
    """The parameters of the small model by name."""
    generator = torch.Generator().manual_seed(seed)
    return [(n, Parameter(torch.randn(s, generator=generator, dtype=dtype))) for n, s in SHAPES.items()]


def make(cls: type[Optimizer], named: Named, **arguments: Any) -> Optimizer:
    """The optimizer with lively arguments."""
    return cls(named, **{**lively(cls.RULE), **arguments})


def gradients(named: Named, step: int, missing: Collection[str] = ()) -> None:
    """Gives every parameter the gradient of a step, but for the missing ones."""
    for place, (name, param) in enumerate(named):
        generator = torch.Generator().manual_seed(1000 * step + place)
        param.grad = None if name in missing else torch.randn(param.shape, generator=generator, dtype=param.dtype)


def inputs(rule: RuleInfo, step: int = 0) -> dict[str, float]:
    """What the rule wants to be told at a step."""
    return {given.name: 1.0 + 0.1 * step for given in rule.inputs}


def train(optimizer: Optimizer, named: Named, steps: Collection[int], missing: Collection[str] = ()) -> None:
    """Steps with the gradients of these steps."""
    for step in steps:
        gradients(named, step, missing)
        optimizer.step(**inputs(optimizer.RULE, step))


def trained(cls: type[Optimizer], steps: int = 3, **arguments: Any) -> tuple[Named, Optimizer]:
    """A model and its optimizer after some steps."""
    named = parameters(arguments.pop("dtype", torch.float32))
    optimizer = make(cls, named, **arguments)
    train(optimizer, named, range(steps))
    return named, optimizer


def everything(named: Named, optimizer: Optimizer) -> dict[str, Tensor]:
    """Copies of parameters and state by name, and how many steps there were."""
    found = {name: param.detach().clone() for name, param in named}
    for name, param in named:
        found |= {f"{name}: {slot}": value.clone() for slot, value in optimizer.state[param].items()}
    return {**found, "steps": torch.tensor(optimizer.global_step)}


def difference(a: dict[str, Tensor], b: dict[str, Tensor]) -> list[str]:
    """What is not the same, bit for bit, in dtype and shape."""
    return [n for n in sorted({*a, *b}) if n not in a or n not in b or not same_bits(a[n], b[n])]


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are equal in dtype, shape and bits (NaN equals itself, -0 is not 0)."""
    return a.dtype == b.dtype and a.shape == b.shape and a.numpy().tobytes() == b.numpy().tobytes()


def through_a_file(saved: dict[str, Any]) -> dict[str, Any]:
    """A state dict written and read as strangers' files are."""
    buffer = io.BytesIO()
    torch.save(saved, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def reads_the_clock(rule: RuleInfo) -> bool:
    """Whether a rule's step depends on how many steps the optimizer made, beside the parameter's own."""
    spec = loader.load(rule.name)
    written = [s for stage in spec.stages.values() for s in statements(stage) if isinstance(s, Assign | If)]
    return any("step" in names_in(s.value if isinstance(s, Assign) else s.condition) for s in written)
