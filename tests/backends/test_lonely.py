"""Sweeps of tensors without neighbours: what is left of them, and that they compute what the whole sweep does."""

from __future__ import annotations

import pytest
import torch

from optgen import torch as rules
from optgen.backend.lonely import without_neighbours
from optgen.ir.view import Sweep, view
from optgen.passes.pipeline import to_kernels
from optgen.spec.loader import load, loads
from optgen_numba.emit import emit
from tests.guarantees import shelf, spread

PULLED = """
optgen: 1
name: pulled
title: Sums over neighbours as terms and factors
hyper: {lr: {default: 0.1, domain: ">= 0"}}
direction: |
  x = laplacian(g)
  y = 0.5*g - 0.5*x
  d = (x + y) + 3.0*(-x) + sqrt(x*x)
"""

GRAPHS = [cls.RULE.name for cls in shelf.CLASSES if (made := spread.manifest_of(cls)) and made["stencil"]]


def sweeps(name: str, **given: str) -> list[Sweep]:
    """Those of a shipped rule."""
    return [s for v in view(to_kernels(load(name), given)).variants for s in v.sweeps]


def stencils(sweep: Sweep) -> int:
    """How many sums over neighbours a sweep has."""
    return sum(op.name == "kernel.stencil" for op in sweep.ops)


@pytest.mark.parametrize("name", GRAPHS)
def test_nothing_is_left_of_empty_sums(name: str) -> None:
    for sweep in filter(stencils, sweeps(name)):
        rest = without_neighbours(sweep)
        assert stencils(rest) == 0
        assert len(rest.ops) < len(sweep.ops) - stencils(sweep)
        known = [op.result for op in rest.ops if op.result is not None]
        assert all(x in known for op in rest.ops for x in op.operands)
        assert [x.uses for x in known] == [sum(y is x for op in rest.ops for y in op.operands) for x in known]
        assert stencils(sweep) > 0, "the sweep itself stays"
        written = [op.word("slot") for op in sweep.ops if op.name == "kernel.store"]
        assert written == [op.word("slot") for op in rest.ops if op.name == "kernel.store"]


def test_a_sweep_that_only_summed_over_neighbours_is_not_run() -> None:
    manifest, source = emit(view(to_kernels(load("nsa"), {"coupling": "match"})))
    variants = manifest["variants"]
    assert isinstance(variants, list)
    assert variants[0]["sweeps"][0]["alone"] is None
    assert "sweep_1_alone" not in source


def test_terms_of_empty_sums() -> None:
    module = view(to_kernels(loads(PULLED, "pulled.yaml"), {"coupling": "match"}))
    rest = without_neighbours(module.variants[0].sweeps[0])
    assert [op.name for op in rest.ops if op.name.startswith(("arith", "math"))].count("arith.mulf") == 2  # 0.5*g, lr*d


def test_without_a_neighbour_steps_are_those_of_no_graph() -> None:
    """An infinite element takes no other along, as it would if it met a zero in a sum."""
    shapes = [(7,), (3, 5), (4,)]
    params = [torch.nn.Parameter(torch.linspace(-1, 1, torch.Size(s).numel()).reshape(s)) for s in shapes]
    same = [torch.nn.Parameter(p.detach().clone()) for p in params]
    ours = rules.NEAT([(f"{i}.w", p) for i, p in enumerate(params)], lr=0.1, weight_decay=0.2, coupling="match")
    plain = rules.AdamW([(f"{i}.w", p) for i, p in enumerate(same)], lr=0.1, weight_decay=0.2)
    for step in range(3):
        for p, q in zip(params, same, strict=True):
            p.grad = torch.sin(torch.arange(p.numel(), dtype=p.dtype) + step).reshape(p.shape)
            if step == 2:
                p.grad.view(-1)[0] = torch.inf
            q.grad = p.grad.clone()
        ours.step()
        plain.step()
    for p, q in zip(params, same, strict=True):
        assert torch.equal(p.view(-1)[1:], q.view(-1)[1:])
        assert p.view(-1)[0].isnan()
