"""A12: no two of a state dict, an optimizer, its groups and its schedulers share a tensor that one of them writes."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import lr_scheduler
from torch.optim.swa_utils import SWALR

from optgen.runtime.torch_optimizer import Optimizer
from tests.guarantees import shelf


def tensors(value: object) -> Iterator[Tensor]:
    """Every tensor in nested dicts, lists and tuples."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for entry in value.values():
            yield from tensors(entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from tensors(entry)


def addresses(value: object) -> set[int]:
    return {tensor.untyped_storage().data_ptr() for tensor in tensors(value)} - {0}


@pytest.mark.parametrize("cls", shelf.CLASSES, ids=shelf.name_of)
def test_a_loaded_optimizer_shares_nothing_with_what_it_was_loaded_from(cls: type[Optimizer]) -> None:
    named, optimizer = shelf.trained(cls, 2)
    optimizer.param_groups[0]["lr"] = torch.tensor(0.05)
    saved = optimizer.state_dict()
    other = cls(shelf.parameters(seed=1))
    other.load_state_dict(saved)
    assert not addresses(saved) & addresses(other.state_dict())
    before = shelf.everything(named, optimizer)
    shelf.train(other, [(n, p) for (n, _), p in zip(named, other.param_groups[0]["params"], strict=True)], range(2))
    other.param_groups[0]["lr"].mul_(0)
    assert shelf.difference(before, shelf.everything(named, optimizer)) == []
    assert float(optimizer.param_groups[0]["lr"]) == pytest.approx(0.05)


@pytest.mark.parametrize("cls", shelf.CLASSES, ids=shelf.name_of)
def test_no_two_slots_or_groups_share_memory(cls: type[Optimizer]) -> None:
    named = shelf.parameters()
    rate = torch.tensor(0.05)
    groups = [{"params": named[:3]}, {"params": named[3:]}]
    optimizer = shelf.make(cls, groups, lr=rate)  # type: ignore[arg-type]
    held = [t.untyped_storage().data_ptr() for _, p in named for t in (p, *optimizer.state[p].values()) if t.numel()]
    assert len(held) == len(set(held))
    first, second = (group["lr"] for group in optimizer.param_groups)
    first.fill_(0.5)
    assert float(second) == pytest.approx(0.05)


#: How to make each of torch's schedulers; a scheduler that torch adds makes the test fail until it is listed.
SCHEDULERS: dict[str, Callable[[Any], Any]] = {
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda step: 1 / (1 + step)),
    "MultiplicativeLR": lambda o: lr_scheduler.MultiplicativeLR(o, lambda step: 0.75),
    "StepLR": lambda o: lr_scheduler.StepLR(o, 2, 0.5),
    "MultiStepLR": lambda o: lr_scheduler.MultiStepLR(o, [1, 4], 0.5),
    "ConstantLR": lambda o: lr_scheduler.ConstantLR(o, 0.5, 3),
    "LinearLR": lambda o: lr_scheduler.LinearLR(o, 0.25, 1.0, 4),
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, 0.5),
    "PolynomialLR": lambda o: lr_scheduler.PolynomialLR(o, 5, 2.0),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 4, 0.001),
    "CosineAnnealingWarmRestarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 3, 2),
    "CyclicLR": lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.1, 2, cycle_momentum=False),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, 0.1, 12, cycle_momentum=False),
    "SequentialLR": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o, 0.5, 1.0, 3), lr_scheduler.ExponentialLR(o, 0.5)], [3]
    ),
    "ChainedScheduler": lambda o: lr_scheduler.ChainedScheduler(
        [lr_scheduler.LinearLR(o, 0.5, 1.0, 3), lr_scheduler.ExponentialLR(o, 0.5)]
    ),
    "ReduceLROnPlateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=0.5, patience=1),
    "SWALR": lambda o: SWALR(o, 0.01, anneal_epochs=4),
}

#: The rule that has no reductions and the fewest numbers: schedulers know groups, not rules.
PLAIN = min(
    (cls for cls in shelf.CLASSES if cls.RULE.reach == "elem"), key=lambda cls: (len(cls.RULE.hypers), cls.__name__)
)


def test_every_scheduler_of_torch_is_listed() -> None:
    ours = {*SCHEDULERS, "LRScheduler", "_LRScheduler"}
    theirs = {
        n for n, c in vars(lr_scheduler).items() if inspect.isclass(c) and issubclass(c, lr_scheduler.LRScheduler)
    }
    assert theirs <= ours


def run(make: Callable[[Any], Any], rate: float | Tensor) -> tuple[list[float], dict[str, Tensor]]:
    """Rates of ten steps, and what they led to."""
    named = shelf.parameters()
    groups = [{"params": named[:3]}, {"params": named[3:], "lr": 0.08}]
    optimizer = shelf.make(PLAIN, groups, lr=rate)  # type: ignore[arg-type]
    scheduler = make(optimizer)
    rates: list[float] = []
    for step in range(10):
        shelf.train(optimizer, named, [step])
        rates += [float(group["lr"]) for group in optimizer.param_groups]
        scheduler.step(1.0) if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau) else scheduler.step()
    return rates, shelf.everything(named, optimizer)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_rate_in_a_tensor_is_scheduled_as_a_number_is(name: str) -> None:
    """A float64 tensor holds the number itself, so what follows is the same bit for bit."""
    numbers, ends = run(SCHEDULERS[name], 0.05)
    held, same = run(SCHEDULERS[name], torch.tensor(0.05, dtype=torch.float64))
    assert len(set(numbers)) > 1
    assert all(math.isclose(a, b, rel_tol=1e-12) for a, b in zip(numbers, held, strict=True))
    if numbers == held:
        assert shelf.difference(ends, same) == []


def momentum_keys() -> list[Any]:
    """Optimizers whose momentum the cycling schedulers move: they look for `betas`, else for `momentum`."""
    found = []
    for cls in shelf.CLASSES:
        keys = {hyper.key for hyper in cls.RULE.hypers}
        if keys & {"betas", "momentum"}:
            found.append(pytest.param(cls, "betas" if "betas" in keys else "momentum", id=cls.__name__))
    return found


@pytest.mark.parametrize(("cls", "key"), momentum_keys())
def test_schedulers_that_move_the_momentum_are_followed(cls: type[Optimizer], key: str) -> None:
    """A step after the scheduler wrote is the step of an optimizer made with these numbers."""
    for make in (
        lambda o: lr_scheduler.OneCycleLR(o, 0.1, 12, base_momentum=0.6, max_momentum=0.8),
        lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.1, 3, base_momentum=0.6, max_momentum=0.8),
    ):
        named = shelf.parameters()
        optimizer = shelf.make(cls, named)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            scheduler = make(optimizer)
        written = optimizer.param_groups[0][key]
        assert (written[0] if key == "betas" else written) == pytest.approx(0.8)
        shelf.train(optimizer, named, [0])
        scheduler.step()
        again = shelf.parameters()
        group = {k: v for k, v in optimizer.param_groups[0].items() if k in shelf.lively(cls.RULE)}
        assert group[key] != written
        other = cls(again, **{**group, key: written, "lr": 0.01 if "CyclicLR" in type(scheduler).__name__ else 0.004})
        shelf.train(other, again, [0])
        other.param_groups[0].update(group)
        for each, model in ((optimizer, named), (other, again)):
            shelf.train(each, model, [1])
        assert shelf.difference(shelf.everything(named, optimizer), shelf.everything(again, other)) == []


def test_averaged_weights_are_their_own(rng: Any) -> None:
    del rng
    net = torch.nn.Linear(4, 3)
    average = torch.optim.swa_utils.AveragedModel(net)
    optimizer = shelf.make(PLAIN, list(net.named_parameters()))
    scheduler = SWALR(optimizer, 0.01)
    seen: list[Tensor] = []
    for step in range(3):
        shelf.train(optimizer, list(net.named_parameters()), [step])
        average.update_parameters(net)
        scheduler.step()
        seen.append(net.weight.detach().clone())
    assert torch.allclose(average.module.weight, torch.stack(seen).mean(0), atol=1e-6)
    assert torch.equal(net.weight, seen[-1])
