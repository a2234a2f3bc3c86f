"""Worked examples and claims: a text that does not come out is told where, what was expected and what came."""

from __future__ import annotations

import pytest

from optgen.errors import Diagnostic
from optgen.spec.loader import cases, load, loads
from optgen.verify.examples import check

RULE = """\
optgen: 1
name: roller
title: Momentum
hyper:
  lr: {default: 0.5, domain: ">= 0"}
  beta: {default: 0.0, domain: "[0, 1)"}
  heavy: {default: false}
state: {m: zeros_like(param), n: 0.0}
direction: |
  m = beta*m + g
  n = n + 1
  d = where(heavy, 2*m, m) + 0*n
"""


def diagnostics(rest: str, rule: str = RULE) -> list[Diagnostic]:
    return check(loads(rule + rest, "roller.yaml"))


@pytest.mark.parametrize("name", cases())
def test_everything_that_ships_comes_out(name: str) -> None:
    assert check(load(name)) == []


def test_a_miss_says_where_and_what() -> None:
    found = diagnostics(
        "example:\n"
        "  - {param: [1.0], g: [1.0], expect: {param: [0.5]}}\n"
        "  - {beta: 0.5, param: [1.0, 2.0], g: [[1.0, 0.0], [1.0, 0.0]], expect: {param: [-0.25, 2.01]}}\n"
    )
    assert len(found) == 1
    assert (found[0].location.line, found[0].location.col) == (15, 5)
    assert "expects param = [-0.250, 2.010]" in found[0].message
    assert "gives [-0.250, 2.000]" in found[0].message
    assert "after 2 steps" in found[0].hint
    assert found[0].source.strip().startswith("- {beta")


def test_the_digits_written_are_the_tolerance() -> None:
    assert diagnostics("example: {lr: 0.3, param: [1.0], g: [0.11], expect: {param: [0.967]}}\n") == []
    assert diagnostics("example: {lr: 0.3, param: [1.0], g: [0.11], expect: {param: [0.97]}}\n") == []
    assert len(diagnostics("example: {lr: 0.3, param: [1.0], g: [0.11], expect: {param: [0.968]}}\n")) == 1


def test_states_of_the_model_and_of_tensors() -> None:
    good = "example: {param: {a: [1.0], b: [2.0]}, g: {a: [1.0], b: null}, expect: {m: {a: [1.0], b: [0.0]}, n: 1.0}}\n"
    assert diagnostics(good) == []
    bad = diagnostics(good.replace("n: 1.0", "n: 2.0"))
    assert len(bad) == 1
    assert "expects n" in bad[0].message


def test_gradients_may_be_expressions_in_the_weights() -> None:
    """Evaluated anew at every step: 1 -> 0.5 -> 0.25."""
    assert diagnostics('example: {param: [1.0], g: ["param", "1*param"], expect: {param: [0.25]}}\n') == []
    assert diagnostics('example: {param: [4.0], g: "sqrt(param) + 2*sin(pi)", expect: {param: [3.0]}}\n') == []
    found = diagnostics('example: {param: [1.0], g: "sum(param)", expect: {param: [0.5]}}\n')
    assert "functions of elements" in found[0].message


def test_a_shape_that_does_not_fit() -> None:
    found = diagnostics("example: {param: [1.0, 2.0], g: [1.0, 1.0], expect: {m: [1.0, 1.0, 1.0]}}\n")
    assert "expects m of shape [3], but it has [2]" in found[0].message


def test_a_claim_that_holds_and_one_that_does_not() -> None:
    example = "example: {param: [1.0], g: [1.0], expect: {param: [0.5]}}\n"
    assert diagnostics(example + "claims: [{reduces_to: {rule: sgd, when: {beta: 0}}}]\n") == []
    found = diagnostics(example + "claims:\n  - reduces_to: {rule: sgd, when: {beta: 0, heavy: true}}\n")
    assert len(found) == 1
    assert found[0].location.line == 15
    assert "roller with beta = 0, heavy = True does not step as sgd does" in found[0].message
    assert "step 1" in found[0].message


def test_a_claim_is_tried_away_from_neutral_values() -> None:
    """At the default weight decay, 0, this would pass for what it is not."""
    rule = RULE.replace("  heavy:", "  weight_decay: {default: 0.0, domain: '>= 0'}\n  heavy:")
    rule = rule.replace("+ 0*n", "+ 0*n + weight_decay*param/2")
    example = "example: {param: [1.0], g: [1.0], expect: {param: [0.5]}}\n"
    assert diagnostics(example, rule) == []
    assert len(diagnostics(example + "claims: [{reduces_to: {rule: sgd, when: {beta: 0}}}]\n", rule)) == 1


def test_settings_of_layers() -> None:
    graph = (
        RULE.replace("m = beta*m + g", "m = laplacian(g)")
        + "example: {param: {a.w: [1.0], b.w: [1.0], c.w: [1.0]}, g: {a.w: [1.0], b.w: [0.0], c.w: [0.0]}, "
        + "expect: {m: {a.w: [1.0], b.w: [-1.0], c.w: [0.0]}}"
    )
    assert check(loads(graph + "}\n")) == []
    joined = graph + ", edges: [[a, c]]}\n"
    found = check(loads(joined))
    assert [d.message.split(" = ")[0] for d in found] == [
        "the example expects m of b.w",
        "the example expects m of c.w",
    ]


def test_the_same_complaint_every_time() -> None:
    text = (
        "example: {param: [1.0], g: [1.0], expect: {param: [0.75]}}\nclaims: [{reduces_to: {rule: lion, when: {}}}]\n"
    )
    assert diagnostics(text) == diagnostics(text)
    assert len(diagnostics(text)) == 2
