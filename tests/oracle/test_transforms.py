"""Transforms joined to a rule against torch's optimizers, schedulers and helpers, and against wrappers around them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from optgen.spec.loader import load, transforms
from optgen.verify import Reference
from tests.oracle import memories
from tests.oracle.streams import SHAPES, Array, gradients, start, worst

TOLERANCE = 1e-12
STEPS = 30
ADAM: dict[str, Any] = {"lr": 0.03, "betas": (0.8, 0.9), "eps": 1e-3}
OURS: dict[str, Any] = {"lr": 0.03, "beta1": 0.8, "beta2": 0.9, "eps": 1e-3}

Params = list[torch.Tensor]
Step = Callable[[int], None]


@dataclass(frozen=True)
class Case:
    """What is joined, its settings, and what steps torch's parameters likewise."""

    rule: str
    hypers: Mapping[str, Any]
    peer: Callable[[Params], Step]


def adam(params: Params, **more: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam([{"params": [p]} for p in params], **{**ADAM, **more})


def adamw(params: Params) -> torch.optim.Optimizer:
    return torch.optim.AdamW([{"params": [p]} for p in params], weight_decay=0.1, **ADAM)


def plain(make: Callable[[Params], torch.optim.Optimizer]) -> Callable[[Params], Step]:
    def peer(params: Params) -> Step:
        optimizer = make(params)
        return lambda _: optimizer.step()

    return peer


def changed(change: Callable[[Params], None]) -> Callable[[Params], Step]:
    """AdamW after a change of the gradients."""

    def peer(params: Params) -> Step:
        optimizer = adamw(params)

        def step(_: int) -> None:
            change([p for p in params if p.grad is not None])
            optimizer.step()

        return step

    return peer


def scheduled(make: Callable[[torch.optim.Optimizer], lr_scheduler.LRScheduler]) -> Callable[[Params], Step]:
    def peer(params: Params) -> Step:
        optimizer = adamw(params)
        schedule = make(optimizer)

        def step(_: int) -> None:
            optimizer.step()
            schedule.step()

        return step

    return peer


def factors(factor: Callable[[int], float]) -> Callable[[Params], Step]:
    return scheduled(lambda optimizer: lr_scheduler.LambdaLR(optimizer, factor))


def looking_ahead(params: Params) -> Step:
    optimizer, slow, count = adamw(params), [p.clone() for p in params], [0] * len(params)

    def step(_: int) -> None:
        optimizer.step()
        for i, p in enumerate(params):
            count[i] += p.grad is not None
            if p.grad is not None and count[i] % 3 == 0:
                slow[i] += 0.25 * (p - slow[i])
                p.copy_(slow[i])

    return step


def moved(count: bool, mask: bool = True) -> Callable[[Params], Step]:
    """SGD without momentum in the direction of its gradient's sign and magnitude, masked by an older gradient."""

    def peer(params: Params) -> Step:
        buffers: list[torch.Tensor | None] = [None] * len(params)

        def step(_: int) -> None:
            for i, p in enumerate(params):
                if (g := p.grad) is None:
                    continue
                before = buffers[i]
                buffers[i] = d = g.clone() if before is None else 0.9 * before + g
                agree = (d * g > 0).double()
                share = (agree.sum() + 1) / agree.numel() if count else agree.mean().clamp(min=1e-3)
                p -= 0.03 * (d * agree / share if mask else d)

        return step

    return peer


def shrinking(params: Params) -> Step:
    def step(_: int) -> None:
        for p in params:
            if p.grad is not None:
                p -= 0.03 * p.grad + 0.03 * 0.2 * torch.where(p.grad * p >= 0, p, 0.0)

    return step


def amplified() -> Callable[[Params], None]:
    slow: dict[int, torch.Tensor] = {}

    def change(params: Params) -> None:
        for p in params:
            assert p.grad is not None
            before = slow.get(id(p))
            slow[id(p)] = p.grad.clone() if before is None else 0.7 * before + 0.3 * p.grad
            p.grad += 1.5 * slow[id(p)]

    return change


def centred(params: Params) -> None:
    for p in params:
        if p.ndim > 1 and p.grad is not None:
            p.grad -= p.grad.mean(dim=tuple(range(1, p.ndim)), keepdim=True)


def clipped(params: Params, of: Callable[[Params], list[Params]]) -> None:
    for group in of(params):
        torch.nn.utils.clip_grad_norm_(group, 2.0)


def seldom(params: Params) -> Step:
    """Accumulates, and steps every third time."""
    optimizer = adamw(params)
    seen: list[list[torch.Tensor]] = [[] for _ in params]

    def step(number: int) -> None:
        for i, p in enumerate(params):
            if p.grad is not None:
                seen[i].append(p.grad.clone())
        if number % 3 == 0:
            for i, p in enumerate(params):
                if p.grad is not None:
                    p.grad = torch.stack(seen[i]).mean(0)
                    seen[i] = []
            optimizer.step()

    return step


def cycle(step: int) -> float:
    return memories.rate_of(memories.Settings(lr=1.0, steps_per_epoch=7, lr_warmup_fraction=0.4), step + 1)


def wsd(step: int) -> float:
    rise, x = min((step + 1) / 5, 1), min(max(step - 12, 0) / 8, 1)
    return rise * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * x)))


DECAY = {**OURS, "weight_decay": 0.1}
CASES: dict[str, Case] = {
    "decoupled_decay": Case(
        "adam+decoupled_decay",
        {**OURS, "decoupled_decay_rate": 0.1},
        plain(adamw),
    ),
    "decoupled_decay, before": Case("decoupled_decay+adam", {**OURS, "decoupled_decay_rate": 0.1}, plain(adamw)),
    "coupled_decay": Case(
        "coupled_decay+adam", {**OURS, "coupled_decay_rate": 0.1}, plain(lambda params: adam(params, weight_decay=0.1))
    ),
    "cautious_decay": Case("sgd+cautious_decay", {"lr": 0.03, "cautious_decay_rate": 0.2}, shrinking),
    "cautious, mean": Case("sgd+cautious", {"lr": 0.03, "momentum": 0.9}, moved(count=False)),
    "cautious, count": Case(
        "sgd+cautious", {"lr": 0.03, "momentum": 0.9, "cautious_scale": "count"}, moved(count=True)
    ),
    "lookahead": Case("adamw+lookahead", {**DECAY, "lookahead_k": 3, "lookahead_alpha": 0.25}, looking_ahead),
    "grokfast": Case(
        "grokfast+adamw",
        {**DECAY, "grokfast_alpha": 0.7, "grokfast_lamb": 1.5},
        lambda params: changed(amplified())(params),
    ),
    "clip_value": Case(
        "clip_value+adamw",
        {**DECAY, "clip_value_limit": 0.5},
        changed(lambda params: torch.nn.utils.clip_grad_value_(params, 0.5)),
    ),
    "clip_norm, model": Case(
        "clip_norm+adamw", {**DECAY, "clip_norm_limit": 2.0}, changed(lambda params: clipped(params, lambda p: [p]))
    ),
    "clip_norm, tensor": Case(
        "clip_norm+adamw",
        {**DECAY, "clip_norm_limit": 2.0, "clip_norm_over": "tensor"},
        changed(lambda params: clipped(params, lambda p: [[each] for each in p])),
    ),
    "centralise": Case("centralise+adamw", DECAY, changed(centred)),
    "warmup": Case(
        "adamw+warmup",
        {**DECAY, "warmup_steps": 9, "warmup_start": 0.25},
        scheduled(lambda optimizer: lr_scheduler.LinearLR(optimizer, 0.25, 1.0, 9)),
    ),
    "linear": Case(
        "adamw+linear",
        {**DECAY, "linear_steps": 20, "linear_end": 0.1},
        scheduled(lambda optimizer: lr_scheduler.LinearLR(optimizer, 1.0, 0.1, 20)),
    ),
    "cosine": Case(
        "cosine+adamw",
        {**DECAY, "cosine_steps": STEPS, "cosine_end": 0.1},
        scheduled(lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, STEPS, 0.003)),
    ),
    "warm_hold_decay": Case(
        "adamw+warm_hold_decay", {**DECAY, "warm_hold_decay_steps": 7, "warm_hold_decay_warmup": 0.4}, factors(cycle)
    ),
    "wsd": Case(
        "adamw+wsd",
        {**DECAY, "wsd_steps": 20, "wsd_warmup": 5, "wsd_decay": 8, "wsd_end": 0.1, "wsd_shape": "cosine"},
        factors(wsd),
    ),
    "depth_schedule": Case("adamw+depth_schedule", {**DECAY, "depth_schedule_interval": 3}, seldom),
}


def run(
    rule: str, hypers: Mapping[str, Any], peer: Callable[[Params], Step], rng: np.random.Generator
) -> tuple[Reference, Sequence[torch.Tensor]]:
    """Both on the same gradients, compared after every step."""
    first = start(rng)
    ours = Reference(load(rule), first, hypers)
    params = [torch.from_numpy(x.copy()) for x in first.values()]
    step = peer(params)
    for number, grads in enumerate(gradients(rng, list(SHAPES.values()), STEPS), 1):
        ours.step(grads)
        for p, g in zip(params, grads, strict=True):
            p.grad = None if g is None else torch.from_numpy(g.copy())
        step(number)
        for name, p in zip(SHAPES, params, strict=True):
            assert worst(ours.params[name], p.numpy()) < TOLERANCE, (name, number)
    return ours, params


@pytest.mark.parametrize("name", CASES)
def test_as_its_peer(name: str, rng: np.random.Generator) -> None:
    run(CASES[name].rule, CASES[name].hypers, CASES[name].peer, rng)


def test_the_average_of_the_weights(rng: np.random.Generator) -> None:
    averages: list[AveragedModel] = []

    def peer(params: Params) -> Step:
        optimizer, model = adamw(params), torch.nn.ParameterList([torch.nn.Parameter(p) for p in params])
        averages.append(AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.8)))
        averages[0].update_parameters(model)  # which copies: the average starts from where training starts

        def step(_: int) -> None:
            optimizer.step()
            stepped = [p.grad is not None for p in params]
            kept = [p.clone() for p in averages[0].parameters()]
            averages[0].update_parameters(torch.nn.ParameterList([torch.nn.Parameter(p) for p in params]))
            for mine, before, moved_ in zip(averages[0].parameters(), kept, stepped, strict=True):
                if not moved_:  # a parameter that does not step is not averaged either
                    mine.data.copy_(before)

        return step

    ours, _ = run("adamw+ema", {**DECAY, "ema_decay": 0.8}, peer, rng)
    for got, wanted in zip(ours.state("ema_average").values(), averages[0].parameters(), strict=True):
        assert worst(got, wanted.detach().numpy()) < TOLERANCE


MEMORY = {"short_term_decay": 0.5, "medium_term_decay": 0.8, "long_term_decay": 0.95}


@pytest.mark.parametrize("mode", ["attention", "fixed", "adaptive", "cosine"])
def test_memories_joined_to_a_rule_without_momentum_are_the_shipped_rule_of_them(
    mode: str, rng: np.random.Generator
) -> None:
    """Every interval 1, and momentum 0: to the last bits, for both compute the same terms."""
    blend = "attention" if mode == "cosine" else mode
    score = "cosine" if mode == "cosine" else "dot"
    own = {"lr": 0.02, "beta2": 0.9, "eps": 1e-3}
    first: dict[str, Array] = start(rng)
    whole = Reference(
        load("nested"),
        first,
        {**own, **MEMORY, "memory_blend_mode": blend, "attention_score": score, "interval": 1},
    )
    given = {f"continuum_memory_{k}": v for k, v in MEMORY.items()}
    modes = {"continuum_memory_blend_mode": blend, "continuum_memory_attention_score": score}
    parts = Reference(load("adam+continuum_memory"), first, {**own, "beta1": 0.0, **given, **modes})
    for grads in gradients(rng, list(SHAPES.values()), STEPS):
        whole.step(grads)
        parts.step(grads)
        for name in SHAPES:
            assert worst(parts.params[name], whole.params[name]) < 1e-15, name


def test_every_transform_has_a_peer() -> None:
    joined = {part for case in CASES.values() for part in case.rule.split("+")}
    assert set(transforms()) <= joined | {"ema", "continuum_memory", "schedule_free"}  # these have tests of their own
