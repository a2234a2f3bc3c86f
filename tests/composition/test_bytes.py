"""Bytes that a transform adds to a rule: no sweep that the equations do not need."""

from __future__ import annotations

import pytest

from optgen.explain import explain
from optgen.spec.loader import load, transforms
from optgen.spec.model import Value

#: Joined rule, settings, and per variant its bytes per parameter and its sweeps. The rule alone moves 28 in one sweep
#: (reads param, g, m, v; writes param, m, v), the other 20, the one of layers 32 in two.
FIGURES: list[tuple[str, dict[str, Value], list[tuple[int, int]]]] = [
    # one more slot read and written
    ("grokfast+adamw", {}, [(36, 1)]),
    ("adamw+ema", {}, [(36, 1)]),
    ("adamw+ema#eval", {}, [(8, 1)]),
    ("adam+schedule_free", {}, [(36, 1)]),
    ("adam+schedule_free#eval", {}, [(12, 1)]),
    # slow weights are read and written when due, and not touched otherwise
    ("adamw+lookahead", {}, [(36, 1), (28, 1)]),
    # of what is there already
    ("clip_value+adamw", {}, [(28, 1)]),
    ("coupled_decay+adamw", {}, [(28, 1)]),
    ("adamw+decoupled_decay", {}, [(28, 1)]),
    ("adamw+cautious_decay", {}, [(28, 1)]),
    ("adamw+cautious", {"cautious_scale": "none"}, [(28, 1)]),
    # scalars of the host
    ("adamw+warmup", {}, [(28, 1)]),
    ("adamw+warmup+cosine", {}, [(28, 1)]),
    ("adamw+linear", {}, [(28, 1)]),
    ("adamw+wsd", {}, [(28, 1)]),
    ("adamw+warm_hold_decay", {}, [(28, 1)]),
    # the gradient is read once more before
    ("clip_norm+adamw", {}, [(32, 2)]),
    ("clip_norm+adamw", {"clip_norm_over": "layer"}, [(32, 2)]),
    ("clip_norm+adamw", {"clip_norm_over": "tensor"}, [(32, 2)]),
    ("centralise+adamw", {}, [(32, 2), (28, 1)]),
    # the direction is needed before its share is known: g, m and v are read once more
    ("adamw+cautious", {}, [(40, 2)]),
    ("adamw+cautious", {"cautious_scale": "count"}, [(40, 2)]),
    ("lion+cautious", {}, [(28, 2)]),
    # g, s, m, l before; then 28 and three memories read and written
    ("continuum_memory+adamw", {}, [(68, 2)]),
    ("continuum_memory+adamw", {"continuum_memory_blend_mode": "fixed"}, [(52, 1)]),
    ("lion+continuum_memory", {}, [(60, 2)]),
    # not due: g, acc in, acc out; due: 28 and acc; an interval of 1 has no acc
    ("adamw+depth_schedule", {}, [(12, 1), (36, 1), (28, 1)]),
    # tied by layers, every tensor takes the one variant: 32 and acc
    ("neat+depth_schedule", {}, [(40, 2)]),
    # together
    ("grokfast+adamw+lookahead+warmup", {}, [(44, 1), (36, 1)]),
    ("clip_norm+adamw+cautious", {}, [(44, 3)]),
]


@pytest.mark.parametrize(
    ("rule", "given", "figures"), FIGURES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_bytes_and_sweeps(rule: str, given: dict[str, Value], figures: list[tuple[int, int]]) -> None:
    variants = explain(load(rule), given)["variants"]
    assert [(each["bytes_per_param"], len(each["sweeps"])) for each in variants] == figures


def test_every_transform_has_its_figures() -> None:
    assert set(transforms()) <= {part for rule, _, _ in FIGURES for part in rule.split("+")}
