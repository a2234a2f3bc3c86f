"""The rule with memories and its parts as transforms: one and the same, what each sees, what a slow layer costs."""

from __future__ import annotations

import copy
import io
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch import nn

import optgen
import optgen.jax
from optgen.runtime.torch_optimizer import Optimizer
from optgen.spec.loader import load
from optgen.torch import Nested
from optgen.verify import Reference

SHAPES: dict[str, tuple[int, ...]] = {"0.w": (33, 70), "0.b": (33,), "1.w": (5, 3, 3, 3), "2.w": (), "3.w": (2500,)}
MEMORY = {"short_term_decay": 0.5, "medium_term_decay": 0.8, "long_term_decay": 0.95}


def parameters(seed: int = 0) -> list[tuple[str, nn.Parameter]]:
    made = torch.Generator().manual_seed(seed)
    return [(name, nn.Parameter(torch.randn(shape, generator=made))) for name, shape in SHAPES.items()]


def stepped(optimizer: Optimizer, named: list[tuple[str, nn.Parameter]], steps: range) -> None:
    """Steps on gradients that depend on the step's number alone."""
    for t in steps:
        made = torch.Generator().manual_seed(1000 + t)
        for _, param in named:
            param.grad = torch.randn(param.shape, generator=made)
        optimizer.step()


def same_bits(a: list[tuple[str, nn.Parameter]], b: list[tuple[str, nn.Parameter]]) -> bool:
    pairs = zip(a, b, strict=True)
    return all(torch.equal(x.detach().view(torch.int32), y.detach().view(torch.int32)) for (_, x), (_, y) in pairs)


def test_a_rule_without_momentum_on_memories_is_the_whole_bit_for_bit() -> None:
    """With every interval 1: the same equations in the same order, and so the same roundings."""
    parts, whole = parameters(), parameters()
    joined = optgen.compile("adam+continuum_memory", framework="torch", backend="numba")
    own = {f"continuum_memory_{name}": decay for name, decay in MEMORY.items()}
    one = joined(parts, lr=0.02, betas=(0.0, 0.9), eps=1e-3, **own)
    other = Nested(whole, lr=0.02, betas=(0.9, 0.9), eps=1e-3, intervals=dict.fromkeys(SHAPES, 1), **MEMORY)
    stepped(one, parts, range(6))
    stepped(other, whole, range(6))
    assert same_bits(parts, whole)
    slots = zip(one.state.values(), other.state.values(), strict=True)
    assert all(torch.equal(a[f"continuum_memory_{name}"], b[name]) for a, b in slots for name in ("s", "m", "l"))


@pytest.mark.parametrize(
    ("rule", "seen"), [("adam+continuum_memory+depth_schedule", "all"), ("adam+depth_schedule+continuum_memory", "due")]
)
def test_the_order_of_parts_decides_what_memories_see(rule: str, seen: str) -> None:
    """Memories before the schedule learn from every gradient, as published; after it, from the means of due steps."""
    hypers = {f"continuum_memory_{name}": decay for name, decay in MEMORY.items()}
    reference = Reference(load(rule), {"0.w": np.zeros(3)}, {**hypers, "depth_schedule_interval": 2, "lr": 0.1})
    rng = np.random.default_rng(0)
    gradients = [rng.normal(size=3) for _ in range(6)]
    for g in gradients:
        reference.step([g])
    due = [(a + b) / 2 for a, b in zip(gradients[::2], gradients[1::2], strict=True)]
    for name, slot in (("short_term_decay", "s"), ("medium_term_decay", "m"), ("long_term_decay", "l")):
        memory = np.zeros(3)
        for g in gradients if seen == "all" else due:
            memory = MEMORY[name] * memory + (1 - MEMORY[name]) * g
        np.testing.assert_allclose(reference.state(f"continuum_memory_{slot}")["0.w"], memory, rtol=1e-14)


def test_a_run_goes_on_from_the_middle_of_an_interval() -> None:
    """Saved where slow layers have gradients accumulated, and loaded elsewhere, every later bit is the same."""
    straight = parameters()
    whole = Nested(straight, lr=0.02, steps_per_epoch=5)
    stepped(whole, straight, range(13))
    first = parameters()
    before = Nested(first, lr=0.02, steps_per_epoch=5)
    stepped(before, first, range(8))
    assert float(before.state[first[-1][1]]["count"]) == 2
    file = io.BytesIO()
    torch.save(before.state_dict(), file)
    file.seek(0)
    second = [(name, copy.deepcopy(param)) for name, param in first]
    after = Nested(second, lr=0.02, steps_per_epoch=5)
    after.load_state_dict(torch.load(file))
    stepped(after, second, range(8, 13))
    assert same_bits(straight, second)
    for a, b in zip(whole.state.values(), after.state.values(), strict=True):
        assert a.keys() == b.keys()
        assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_run_in_jax_goes_on_from_the_middle_of_an_interval(tmp_path: Path) -> None:
    """Written to a file where the last layer holds one gradient, and read by another transformation."""
    rule = optgen.jax.nested(0.02, max_interval=3, order=["0", "1", "2"])
    params: Any = {name: {"w": jnp.full((3,), 0.5)} for name in "012"}
    first, state = rule.init(params), None
    held = {}
    for t in range(6):
        if t == 4:
            optgen.jax.save_state(tmp_path / "saved", rule, first, params)
            other = optgen.jax.nested(0.02, max_interval=3, order=["0", "1", "2"])
            state = optgen.jax.load_state(tmp_path / "saved", other, params, other.init(params))
            held = params
            assert float(state.slots["count"]["2"]["w"]) == 1
        grads = jax.tree.map(lambda x, t=t: jnp.cos(x * (t + 1)), params)
        params, first = rule.plain(grads, first, params)
        if state is not None:
            held, state = other.plain(grads, state, held)
    jax.tree.map(np.testing.assert_array_equal, (held, state), (params, first))


def test_a_slow_layer_costs_its_accumulation_alone() -> None:
    """On steps that are not due it takes the variant of one sweep, and one call runs all layers whatever they take."""
    named = parameters()
    optimizer = Nested(named, lr=0.02, intervals={"0.*": 1, "1.*": 2, "*": 3})
    taken: list[list[str]] = []
    calls: set[int] = set()
    for t in range(6):
        stepped(optimizer, named, range(t, t + 1))
        taken.append([row.variant for row in optimizer.describe()])
        calls.add(optimizer._binding.calls())  # type: ignore[union-attr]
    fast, slow, slower = ([row[k] for row in taken] for k in (0, 2, 3))
    assert len(set(fast)) == 1
    assert slow == [slow[0], slow[1]] * 3
    assert slower == [slower[0], slower[0], slower[2]] * 2
    assert {slow[0], slower[0]} == {"not_due"}
    assert len(calls) == 1
