"""A layer's second sum, over what a first one decided, counts tensors without gradient as if theirs were 0."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import Parameter

import optgen

HEAD = """
optgen: 1
name: twice
class: Twice
title: Two sums, one after the other
hyper:
  lr: {default: 0.1, domain: ">= 0"}
  beta1: {default: 0.5, domain: "[0, 1)"}
state: {m: zeros_like(param)}
direction: |
  m = beta1*m + (1 - beta1)*g
"""

#: What follows the moment: both sums wide, the second wide, and a second one per tensor that a wide one gathers.
SUMS = {
    "wide, wide": """
  a = norm(m, over="layer")
  b = sum(sqrt(abs(m) + a), over="layer")
""",
    "tensor, wide": """
  a = norm(m, over="tensor")
  b = sum(sqrt(abs(m) + a), over="model")
""",
    "wide, tensor, wide": """
  a = norm(m, over="model")
  c = sum(sqrt(abs(m) + a), over="tensor")
  b = sum(c, over="layer")
""",
}


def trained(cls: Any) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    shapes = {"h.0.weight": (4, 3), "h.0.bias": (4,), "h.1.weight": (4, 3)}
    named = [(n, Parameter(torch.randn(s, generator=generator, dtype=torch.float64))) for n, s in shapes.items()]
    optimizer = cls(named)
    for step in range(4):
        for place, (_, param) in enumerate(named):
            grad = torch.randn(param.shape, generator=generator, dtype=torch.float64)
            param.grad = None if place == 1 and step % 2 else grad
        optimizer.step()
    return torch.cat([param.detach().flatten() for _, param in named])


@pytest.mark.parametrize("sums", SUMS)
def test_kernels_equal_the_interpreter(sums: str, tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text(f"{HEAD.lstrip()}{SUMS[sums].lstrip(chr(10))}  d = m/(a + b)\nupdate: param = param - lr*d\n")
    kernels, meaning = (trained(optgen.compile(path, framework="torch", backend=b)) for b in ("numba", "reference"))
    assert float((kernels - meaning).abs().max()) < 1e-13
