"""`when` and `else`: one rule for some tensors and another for the rest, in one optimizer; and `rule=` per group."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import optgen
from optgen.errors import BackendError, HyperError, SpecError
from optgen.explain import explain
from optgen.spec.loader import load, loads
from optgen.spec.model import Spec
from optgen.spec.syntax import If
from optgen.verify import Reference, compare
from tests.equivalence.test_numba import SMALL, agrees

HEAVY = """
optgen: 1
name: heavy
title: Momentum for matrices
when: ndim(param) >= 2
else: adamw
hyper: {lr: {default: 0.1, domain: ">= 0"}, mu: {default: 0.5, domain: "[0, 1)"}}
state: {m: zeros_like(param)}
direction: |
  m = mu*m + g
  d = m
"""
MATRIX, VECTOR = (3, 4), (5,)


def heavy(**replaced: str) -> Spec:
    text = HEAVY
    for old, new in replaced.items():
        text = text.replace(f"{old}:", f"{old}: {new}\n#", 1)
    return loads(text, "heavy.yaml")


def branch(spec: Spec) -> If:
    (statement,) = spec.stages["update"]
    assert isinstance(statement, If)
    return statement


def test_the_other_rules_names_are_prefixed() -> None:
    spec, other = heavy(), load("adamw")
    assert [*spec.hypers] == ["lr", "mu", *(f"adamw_{name}" for name in other.hypers), "rule"]
    assert [*spec.states] == ["m", *(f"adamw_{name}" for name in other.states)]
    assert spec.hypers["adamw_lr"].default == other.hypers["lr"].default
    assert spec.hypers["adamw_lr"].loc == other.hypers["lr"].loc
    assert (spec.hypers["rule"].default, spec.hypers["rule"].choices) == ("heavy", ("heavy", "adamw"))
    assert spec.states["adamw_m"].names == {}


def test_each_tensor_has_the_state_and_the_traffic_of_its_rule() -> None:
    variants = {v["when"]: v["bytes_per_param"] for v in explain(heavy())["variants"]}
    assert variants == {"ndim(param) >= 2": 20, "not (ndim(param) >= 2)": 28}
    params = [torch.nn.Parameter(torch.ones(shape)) for shape in (MATRIX, VECTOR)]
    optimizer = optgen.compile(heavy())(params)  # type: ignore[call-arg]
    assert [set(optimizer.state[p]) for p in params] == [{"step", "m"}, {"step", "adamw_m", "adamw_v"}]


def test_kernels_agree() -> None:
    agrees(compare(heavy(), shapes=SMALL, steps=6))


def test_a_group_names_its_rule() -> None:
    """Each tensor is stepped as by an optimizer of its rule alone, to the bit."""
    shapes = [MATRIX, VECTOR, MATRIX, VECTOR]
    first = [torch.randn(shape) for shape in shapes]
    ours = [torch.nn.Parameter(x.clone()) for x in first]
    theirs = [torch.nn.Parameter(x.clone()) for x in first]
    both = optgen.compile(heavy())(
        [{"params": ours[:2]}, {"params": ours[2:], "rule": "adamw"}],
        adamw_lr=0.02,  # type: ignore[call-arg]
    )
    alone = "when: ndim(param) >= 2\nelse: adamw\n"
    momentum = optgen.compile(loads(HEAVY.replace(alone, ""), "heavy.yaml"))(theirs[:1])  # type: ignore[call-arg]
    adam = optgen.compile("adamw")(theirs[1:], lr=0.02)  # type: ignore[call-arg]
    for _ in range(4):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        for optimizer in (both, momentum, adam):
            optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert set(both.state[ours[2]]) == {"step", "adamw_m", "adamw_v"}
    with pytest.raises(HyperError, match=r'rule of parameter group 0 must be one of .*did you mean "adamw"'):
        optgen.compile(heavy())([{"params": ours, "rule": "adam"}])  # type: ignore[call-arg]


def test_a_condition_on_tensors_is_on_those_of_its_rule() -> None:
    spec = loads(HEAVY + "require: [numel(param) <= 12 or mu == 0]\n", "heavy.yaml")
    small, long = torch.nn.Parameter(torch.ones(MATRIX)), torch.nn.Parameter(torch.ones(20))
    made = optgen.compile(spec)
    made([small, long])  # type: ignore[call-arg]
    large = torch.nn.Parameter(torch.ones(4, 5))
    words = r"parameter 1 of group 0 breaks the condition .* \(mu = 0.5, numel\(param\) = 20\)"
    with pytest.raises(HyperError, match=words):
        made([small, large])  # type: ignore[call-arg]
    made([{"params": [small]}, {"params": [large], "rule": "adamw"}])  # type: ignore[call-arg]


def test_always_its_own_rule_unless_a_group_says_otherwise() -> None:
    spec = heavy(when="true")
    assert [v["bytes_per_param"] for v in explain(spec)["variants"]] == [20]
    assert [v["bytes_per_param"] for v in explain(spec, {"rule": "adamw"})["variants"]] == [28]


def test_a_transform_joins_either_rule(tmp_path: Path) -> None:
    (tmp_path / "heavy.yaml").write_text(HEAVY, encoding="utf-8")
    spec = load(f"{tmp_path}/heavy.yaml+cautious+warmup")
    for body, rate in ((branch(spec).then, "lr_now"), (branch(spec).orelse, "adamw_lr_now")):
        texts = [statement.text for statement in body]
        assert texts[0].startswith(f"{rate} = {rate.removesuffix('_now')}*(warmup_start")
        assert "cautious_agree = d*g > 0" in texts
        assert rate in texts[-1]
    assert [v["bytes_per_param"] for v in explain(spec)["variants"]] == [28, 40]


def test_a_transform_needs_what_it_takes_from_either_rule(tmp_path: Path) -> None:
    (tmp_path / "heavy.yaml").write_text(HEAVY, encoding="utf-8")
    part = "optgen: 1\nname: part\ntitle: Part\nkind: transform\nhyper: {mu: base}\ngradient: g = mu*g\n"
    (tmp_path / "part.yaml").write_text(part, encoding="utf-8")
    with pytest.raises(SpecError, match='takes the hyper "mu" of the rule, and adamw has none'):
        load(f"{tmp_path}/heavy.yaml+{tmp_path}/part.yaml")


def test_three_rules(tmp_path: Path) -> None:
    (tmp_path / "heavy.yaml").write_text(HEAVY, encoding="utf-8")
    text = HEAVY.replace("heavy", "first").replace(">= 2", ">= 3").replace("else: adamw", "else: heavy.yaml")
    (tmp_path / "first.yaml").write_text(text, encoding="utf-8")
    spec = load(tmp_path / "first.yaml")
    assert spec.hypers["rule"].choices == ("first", "heavy", "adamw")
    found = {v["when"]: [name for sweep in v["sweeps"] for name in sweep["writes"]] for v in explain(spec)["variants"]}
    assert list(found.values()) == [["param", "m"], ["param", "heavy_m"], ["param", "adamw_m", "adamw_v"]]
    assert list(explain(spec, {"rule": "heavy"})["state"]) == ["heavy_m", "adamw_m", "adamw_v"]
    assert list(explain(spec, {"rule": "adamw"})["state"]) == ["adamw_m", "adamw_v"]


CLIPPED = HEAVY.replace("direction:", 'gradient: g = g/(1 + norm(g, over="model"))\ndirection:', 1)


def test_rules_that_tie_tensors_together_count_their_own_tensors_only() -> None:
    """The norm is of the matrices, for only they reach it; the vector is stepped by the other rule."""
    rng = np.random.default_rng(0)
    first: dict[str, Any] = {
        "a.w": rng.normal(size=MATRIX),
        "b.w": rng.normal(size=MATRIX),
        "c.b": rng.normal(size=VECTOR),
    }
    spec = loads(CLIPPED, "heavy.yaml")
    both = Reference(spec, first, {"adamw_lr": 0.02})
    matrices = Reference(
        loads(CLIPPED.replace("when: ndim(param) >= 2\nelse: adamw\n", ""), "heavy.yaml"),
        {name: first[name] for name in ("a.w", "b.w")},
    )
    adam = Reference(load("adamw"), {"c.b": first["c.b"]}, {"lr": 0.02})
    for _ in range(5):
        grads = [rng.normal(size=x.shape) for x in first.values()]
        both.step(grads)
        matrices.step(grads[:2])
        adam.step(grads[2:])
    for name, wanted in {**matrices.params, **adam.params}.items():
        np.testing.assert_array_equal(both.params[name], wanted)
    agrees(compare(spec, shapes=[MATRIX, VECTOR, MATRIX], steps=4))


def test_groups_of_rules_that_tie_tensors_together_share_their_rule() -> None:
    params = [torch.nn.Parameter(torch.ones(shape)) for shape in (MATRIX, VECTOR)]
    groups = [{"params": params[:1]}, {"params": params[1:], "rule": "adamw"}]
    with pytest.raises(HyperError, match="couples its parameters, so these must be the same in all groups: rule"):
        optgen.compile(loads(CLIPPED, "heavy.yaml"))(groups)  # type: ignore[call-arg]


def test_a_graph_operator_of_some_tensors_is_refused_by_its_place() -> None:
    text = HEAVY.replace("m = mu*m + g", "m = mu*m + laplacian(g)")
    with pytest.raises(BackendError, match=r"heavy\.yaml:10:.*a graph operator in a branch taken per tensor"):
        explain(loads(text, "heavy.yaml"))
