"""C5: what is compiled depends on the rule alone, once per machine, and grows with its text and no faster."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from torch.nn import Parameter, init

from optgen import compiler
from optgen.errors import SpecError
from optgen.runtime.torch_optimizer import Optimizer
from optgen.spec.loader import loads
from tests.guarantees import shelf, spread
from tests.processes import python

#: A rule with kernels that no folder holds: this process writes its class, a second one finds all of it in the cache.
OWN = """
optgen: 1
name: strange
title: A rule of one's own
hyper: {lr: {default: 0.1, domain: ">= 0"}, decay: {default: 0.5, domain: "[0, 1)"}}
state: {m: zeros_like(param)}
direction: |
  m = decay*m + g*norm(g, over="tensor")
  d = m
example: {lr: 0.5, param: [1.0], g: [1.0], expect: {param: [0.5]}}
"""

USING = """
import json, sys
import torch, optgen
from tests.guarantees import counting
with counting.compiles() as compiled:
    Cls = optgen.compile(optgen.load(sys.argv[1]), framework="torch")
    param = torch.nn.Parameter(torch.ones(4))
    param.grad = torch.ones(4)
    Cls([param]).step()
print(json.dumps([len(compiled), param.tolist()]))
"""


def test_a_second_process_compiles_nothing(tmp_path: Path) -> None:
    path = tmp_path / "strange.yaml"
    path.write_text(OWN, encoding="utf-8")
    caches = {"NUMBA_CACHE_DIR": "", "OPTGEN_CACHE_DIR": str(tmp_path / "cache")}
    environment = {**os.environ, **caches, "PYTHONPATH": os.pathsep.join(sys.path)}
    found: list[tuple[int, list[float]]] = []
    for _ in range(2):
        done = python(["-c", USING, path], tmp_path, environment)
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout))
    (first, values), (second, again) = found
    assert first > 0
    assert second == 0
    assert values == again


@pytest.mark.parametrize("cls", spread.SPREAD, ids=shelf.name_of)
def test_kernels_do_not_depend_on_the_number_of_parameters(cls: type[Optimizer]) -> None:
    def kernels(count: int) -> list[list[str]]:
        named = [(f"h.{i}.weight", Parameter(init.ones_(Parameter(init.torch.empty(3, 2))))) for i in range(count)]
        optimizer = shelf.make(cls, named)
        assert optimizer._binding is not None
        return [sorted(module.functions) for part in optimizer._binding.plan.parts for module in part.modules]

    few, many = kernels(2), kernels(1000)
    assert few == many
    assert len(few) == 1


def explosive(lines: int) -> str:
    """A rule whose statements double the terms of the one before: written out it would have 2**lines of them."""
    body = ["x = g", *("x = x*x + x*beta" for _ in range(lines)), "d = x"]
    return f"""
optgen: 1
name: explosive
title: Expressions that double
hyper: {{lr: {{default: 0.1, domain: ">= 0"}}, beta: {{default: 0.5, domain: "[0, 1)"}}}}
direction: |
  {chr(10).join("  " + line for line in body).strip()}
example: {{lr: 0.5, beta: 0.0, param: [1.0], g: [1.0], expect: {{param: [0.5]}}}}
"""


def test_texts_grow_with_the_rule_and_no_faster() -> None:
    """Values are named where they are made, on the host too: nothing is written out twice."""

    def length(lines: int, body: str = "") -> int:
        spec = loads(explosive(lines).replace("x = g\n", body or "x = g\n"))
        return len(compiler.kernel_module(spec, {}, "float32", "numba")[1])

    for body in ("", "x = beta + 0.25\n"):
        small, twice, four = length(20, body), length(40, body), length(80, body)
        assert four - twice <= 2.2 * (twice - small)


def test_an_expression_too_large_is_refused_and_not_computed() -> None:
    for value in ("(" * 400 + "g" + ")" * 400, "-" * 3000 + "g", "+".join(["g"] * 20_000)):
        text = explosive(1).replace("d = x", f"d = {value}")
        with pytest.raises(SpecError):
            loads(text)
