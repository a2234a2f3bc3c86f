"""The differential tester itself: it tells wrong kernels from rounding, and says where and by how much."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import optgen
from optgen.errors import HyperError, UsageError
from optgen.spec.loader import load, loads
from optgen.spec.model import Spec
from optgen.verify import compare, torch_side
from optgen.verify import compare as compare_function
from optgen.verify.report import Line, Report, Worst

tester: Any = sys.modules["optgen.verify.compare"]
SHAPES = {"a.w": (6, 7), "b.w": (6, 7), "c.w": (40,)}

#: Rules whose kernels are built from a text that was changed a little; the reference keeps the original.
BREAKS = {
    "epsilon under the root": ("adamw", "(sqrt(v/(1 - beta2**t)) + eps)", "sqrt(v/(1 - beta2**t) + eps)"),
    "a part in 100000": ("adamw", "m = beta1*m + (1 - beta1)*g", "m = beta1*m + 1.00001*(1 - beta1)*g"),
    "one count late": ("adamw", "1 - beta1**t", "1 - beta1**(t + 1)"),
    "decay of the new weights": ("lion", "(d + weight_decay*param)", "(d + weight_decay*(param - lr*d))"),
    "the wrong memory": ("lion", "d = sign(beta1*m + (1 - beta1)*g)", "d = sign(beta2*m + (1 - beta2)*g)"),
    "a mean for a sum": ("lamb", 'length = norm(u, over="tensor")', 'length = 1.00001*norm(u, over="tensor")'),
    "rows for columns": ("adafactor", "s = r*c/maximum(mean(r", "s = r*c/maximum(1.001*mean(r"),
    "a neighbour too much": ("neat", "g = g - mu*LG", "g = g - 1.0001*mu*LG"),
    "less conflict": ("neat", "share = 1/(1 + kappa*c)", "share = 1/(1 + 0.9999*kappa*c)"),
    "another blend": ("nested", "c = 0.5*g + 0.5*(w[0]*s", "c = 0.5*g + 0.5*(1.0001*w[0]*s"),
    "no mean": ("nested", "(acc + g)/(count + 1)", "(acc + g)/(count + 1.0001)"),
    "no dampening": ("sgd", "where(t == 1, 1, 1 - dampening)*g", "(1 - dampening)*g"),
}


@pytest.mark.parametrize("what", BREAKS, ids=lambda text: text.replace(" ", "-"))
def test_a_wrong_kernel_is_found(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    name, right, wrong = BREAKS[what]
    spec = load(name)
    assert right in spec.text
    broken = loads(spec.text.replace(right, wrong), f"{name}.yaml")
    compile_rule = torch_side.compile_rule
    monkeypatch.setattr(torch_side, "compile_rule", lambda _, **options: compile_rule(broken, **options))
    for dtype in ("float32", "float64"):
        report = compare(spec, backend="reference", dtype=dtype, shapes=SHAPES, steps=8)
        assert not report.ok, f"{dtype}\n{report}"
        assert report.share > 1
        assert any(line.misses for line in report.lines)
        assert "DIFFERS" in str(report)
        assert "outside their bounds" in str(report)


@pytest.mark.parametrize("name", ["adamw", "neat", "nested"])
def test_the_reference_backend_is_the_reference(name: str) -> None:
    """Not a bit apart in float64, where no state is kept in less."""
    report = compare(name, backend="reference", dtype="float64", shapes=SHAPES, steps=6)
    assert report.ok
    declared_less = name == "nested"
    assert declared_less or report.share == 0.0, str(report)


def test_the_same_seed_gives_the_same_report() -> None:
    first, again, other = (
        compare("adamw", backend="reference", shapes=SHAPES, steps=3, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_gradients_are_missing_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[bool]] = []
    make = tester._gradients

    def watched(*arguments: Any) -> list[np.ndarray | None]:
        grads = make(*arguments)
        seen.append([g is None for g in grads])
        return grads

    monkeypatch.setattr(tester, "_gradients", watched)
    compare("lion", backend="reference", shapes=SHAPES, steps=12)
    assert any(any(row) for row in seen)
    assert any(not any(row) for row in seen)


def test_what_cannot_be_compared() -> None:
    with pytest.raises(UsageError, match='did you mean "float32"'):
        compare("lion", dtype="float33")
    with pytest.raises(UsageError, match='no hyper-parameter "rl"'):
        compare("lion", hypers={"rl": 0.1})
    with pytest.raises(HyperError, match="lr must be"):
        compare("lion", hypers={"lr": -1.0})
    with pytest.raises(UsageError, match=r'did you mean "a\.w"'):
        compare("lion", shapes=SHAPES, overrides={"a.x": {"lr": 0.1}})


def test_inputs_reach_both_sides() -> None:
    report = compare(loads(WITH_INPUT), backend="reference", shapes=SHAPES, steps=3)
    assert report.ok, str(report)


WITH_INPUT = """
optgen: 1
name: lossy
title: A step as long as the loss
hyper: {lr: {default: 0.1, domain: ">= 0"}}
inputs: {loss: model}
state: {m: zeros_like(param)}
update: |
  m = m + loss*g
  param = param - lr*m
example: {lr: 0.5, loss: 2.0, param: [1.0], g: [1.0], expect: {param: [0.0]}}
"""


# Reports


def line(**changes: Any) -> Line:
    made = Line("m", 10, 0, 1.5, 0.25, 0, Worst("a.w", (3, 1), 2, 1.0, 1.5))
    return replace(made, **changes)


def report(*lines: Line) -> Report:
    return Report("some", "numba", "float32", 3, {}, lines)


def test_a_table_says_what_was_found() -> None:
    good = str(report(line()))
    assert "some on numba, float32: agrees" in good
    assert "a.w[3, 1], step 2" in good
    bad = str(report(line(share=3.0, misses=4)))
    assert "m: 4 of 10 values are outside their bounds" in bad
    assert "1.5 where 1.0 is expected" in bad


def test_nothing_checked_is_not_agreement() -> None:
    vacuous = report(line(unbounded=10, worst=None))
    assert not vacuous.ok
    assert "nothing was checked" in str(vacuous)
    assert report(line(unbounded=9)).ok
    assert report(line(elements=0, worst=None)).ok


def test_a_report_can_be_shown(capsys: pytest.CaptureFixture[str]) -> None:
    report(line()).show()
    assert "agrees" in capsys.readouterr().out


def test_differences_that_are_not_numbers() -> None:
    def share(expected: float, got: float, allowed: float) -> float:
        one = tester._Difference(*(np.array([x]) for x in (expected, got, allowed)), "float32")
        return float(one.share[0])

    assert share(np.nan, np.nan, 0.1) == 0.0
    assert share(np.inf, np.inf, np.inf) == 0.0
    assert share(1.0, np.nan, np.inf) == np.inf
    assert share(np.inf, -np.inf, 0.1) == np.inf
    assert share(1.0, 5.0, np.inf) == 0.0
    assert share(1.0, 1.0, 0.0) == 0.0
    assert share(1.0, 1.0 + 1e-12, 0.0) == np.inf


def test_names_are_there_when_asked_for() -> None:
    assert optgen.verify.compare is compare_function
    assert optgen.verify.Report is Report
    with pytest.raises(AttributeError):
        _ = optgen.verify.nothing
    code = "import sys, optgen.verify; print(*sorted({'sympy', 'xdsl', 'torch', 'numba'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_spec_object_and_a_name_are_the_same(tmp_path: Any) -> None:
    spec: Spec = load("lion")
    path = tmp_path / "lion.yaml"
    path.write_text(spec.text, encoding="utf-8")
    shares = [compare(rule, backend="reference", shapes=SHAPES, steps=2).share for rule in (spec, "lion", path)]
    assert len(set(shares)) == 1
