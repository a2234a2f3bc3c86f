"""`optgen.rule`: functions read as rules, with positions in their file or cell."""

from __future__ import annotations

import linecache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import optgen
from optgen.errors import OptgenError, SpecError, UsageError
from optgen.spec.loader import load
from optgen.verify.examples import check
from optgen.verify.reference import Reference

HERE = Path(__file__)
MARK = "§"

# The names of the language exist in rules only: these functions are read and never run.
# ruff: noqa: F821, B008


@optgen.rule(
    reference="a test",
    example={"lr": 0.1, "beta1": 0.5, "param": [1.0], "g": [2.0], "expect": {"param": [0.9]}},
)
def two_averages(
    param: Any,
    g: Any,
    t: Any,
    *,
    lr: Any = optgen.hyper(1e-3, domain=">= 0", doc="learning rate"),
    beta1: Any = optgen.hyper(0.9, domain="[0, 1)", torch="betas[0]"),
    beta2: Any = optgen.hyper(0.999, domain="[0, 1)", torch="betas[1]"),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    flip: bool = False,
    style: Any = optgen.hyper("plain", choices=["plain", "signed"]),
    m: Any = optgen.state("zeros_like(param)", doc="average"),
    v: Any = optgen.state("zeros_like(param)", dtype="float32"),
) -> None:
    """Two averages: of the gradient, and of its square.

    With a second paragraph, "quotes" and a colon: here.
    """
    # The averages
    m = beta1 * m + (1 - beta1) * g
    v = (beta2 * v
  + (1 - beta2) * g**2)  # less indented, as brackets allow  # fmt: skip
    d = (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + eps)
    if style == "signed":
        d = sign(d)
    elif flip:
        d = where(flip, -d, d)

    # And the step
    param = param - lr * (d + weight_decay * param)


def test_what_is_declared() -> None:
    assert two_averages.name == "two_averages"
    assert two_averages.class_name == "TwoAverages"
    assert two_averages.title == "Two averages: of the gradient, and of its square"
    assert two_averages.doc == 'With a second paragraph, "quotes" and a colon: here.'
    assert list(two_averages.hypers) == ["lr", "beta1", "beta2", "eps", "weight_decay", "flip", "style"]
    assert [two_averages.hypers[name].kind for name in ("lr", "flip", "style")] == ["float", "bool", "choice"]
    assert two_averages.hypers["beta1"].names == {"torch": "betas[0]"}
    assert two_averages.states["v"].dtype == "float32"
    assert [stage for stage, body in two_averages.stages.items() if body] == ["direction", "update"]
    assert check(two_averages) == []


def test_its_yaml_reads_back_to_an_equal_rule() -> None:
    again = optgen.loads(two_averages.to_yaml())
    assert again == two_averages
    assert again.digest == two_averages.digest
    assert "# The averages" in two_averages.to_yaml()
    assert "# And the step" not in two_averages.to_yaml().partition("update:")[0].rpartition("elif")[0]


def test_it_steps_as_the_rule_written_as_text(rng: np.random.Generator) -> None:
    hypers = {"lr": 0.1, "beta1": 0.7, "beta2": 0.8, "eps": 1e-3, "weight_decay": 0.1}
    start = {"a": rng.normal(size=(3, 4))}
    runs = [Reference(rule, start, hypers) for rule in (two_averages, load("adamw"))]
    for _ in range(5):
        for run in runs:
            run.step([start["a"]], {})
    assert np.array_equal(runs[0].params["a"], runs[1].params["a"])


@pytest.mark.slow
def test_it_compiles() -> None:
    import torch

    one = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    one.grad = torch.tensor([0.5, 0.25])
    optgen.compile(two_averages, backend="numba")([one], lr=0.5, style="signed").step()
    assert one.tolist() == [0.5, -2.5]


def test_it_joins_transforms() -> None:
    joined = optgen.compose(two_averages, "clip_norm")
    assert isinstance(joined, optgen.Rule)
    assert any(name.startswith("clip_norm_") for name in joined.hypers)
    assert [part.name for part in joined.parts] == ["two_averages", "clip_norm"]
    assert joined.explain()["bytes_per_param"] >= two_averages.explain()["bytes_per_param"]
    with pytest.raises(UsageError, match="joined of several texts"):
        joined.to_yaml()


def cell(text: str, name: str = "<ipython-input-7-1234>") -> dict[str, Any]:
    """What a notebook does with a cell: the source goes to linecache under a name of its own."""
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    scope: dict[str, Any] = {"optgen": optgen}
    exec(compile(text, name, "exec"), scope)  # noqa: S102
    return scope


def test_a_notebook_cell() -> None:
    made = cell("x = 1\n\n@optgen.rule\ndef plain(param, g, *, lr=0.1): param = param - lr*g; skipped = 1\n")
    rule = made["plain"]
    assert [str(s.loc) for s in rule.stages["update"]] == ["<ipython-input-7-1234>:4:33", "<ipython-input-7-1234>:4:55"]
    assert optgen.loads(rule.to_yaml()) == rule


def test_words_that_yaml_reads_as_something_else() -> None:
    text = (
        "@optgen.rule(title='null', reference='1.5')\ndef f(param, g, lr=0.1,"
        " mode=optgen.hyper('true', choices=['true', 'null', 'off', '1', 'a-b'])):\n"
        "    param = param - where(mode == 'off', 0, lr)*g\n"
    )
    rule = cell(text)["f"]
    assert rule.hypers["mode"].choices == ("true", "null", "off", "1", "a-b")
    assert (rule.title, rule.reference) == ("null", "1.5")
    assert optgen.loads(rule.to_yaml()) == rule


def test_inside_a_function_and_with_d_last() -> None:
    made = cell(
        "def outer():\n    @optgen.rule\n    def inner(param, g, *, lr=0.1, k=2):\n        d = g\n"
        "        if k > 1:\n            d = 2*d\n    return inner\n"
    )
    rule = made["outer"]()
    assert [s.loc.line for s in rule.stages["direction"]] == [4, 5]
    assert rule.stages["update"][0].text == "param = param - lr*d"
    assert optgen.loads(rule.to_yaml()) == rule


#: Cells with marks where their complaints stand.
WRONG = {
    "a name": ("@optgen.rule\ndef f(param, g, *, lr=0.1):\n    param = param - lr*§gg\n", 'unknown name "gg"'),
    "a statement": ("@optgen.rule\ndef f(param, g, *, lr=0.1):\n    param = g\n    §return param\n", "return"),
    "in place": ("@optgen.rule\ndef f(param, g, *, lr=0.1):\n    §param -= lr*g\n", "in place"),
    "an attribute": ("@optgen.rule\ndef f(param, g):\n    '''A rule.'''\n    param = §param.grad\n", "attributes"),
    "no default": ("@optgen.rule\ndef f(param, g, §lr):\n    param = param - lr*g\n", "has no default"),
    "a word": ("@optgen.rule\ndef f(param, g, lr=§'big'):\n    param = param - lr*g\n", "declares nothing"),
    "an object": ("@optgen.rule\ndef f(param, g, lr=§object()):\n    param = param - lr*g\n", "declares nothing"),
    "stars": ("@optgen.rule\ndef f(param, g, **§more):\n    param = param - g\n", "no * arguments"),
    "a start": (
        "@optgen.rule\ndef f(param, g, m=optgen.state('zeros_like(§parm)')):\n    param = param - g - m\n",
        'unknown name "parm"',
    ),
    "a domain": (
        "@optgen.rule\ndef f(param, g, lr=optgen.hyper(1.0, domain=§'positive')):\n    param = param - lr*g\n",
        "is not a domain",
    ),
    "a default outside": (
        "@optgen.rule\ndef f(param, g, lr=optgen.hyper(§-1.0, domain='> 0')):\n    param = param - lr*g\n",
        "the default: ",
    ),
    "nothing": ("@optgen.rule\n§def f(param, g):\n    'A rule.'\n", "no equations"),
    "the name": ("@optgen.rule\n§def Fast(param, g):\n    param = param - g\n", "cannot name a rule"),
    "the type of a value": (
        "@optgen.rule\ndef f(param, g, *, lr=0.1):\n    # a comment\n    d = softmax(§g)\n    param = param - lr*d\n",
        "short vector",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_complaints_stand_where_the_function_does(case: str) -> None:
    text, message = WRONG[case]
    text = "\n" * 3 + text
    line = next(i for i, each in enumerate(text.split("\n"), 1) if MARK in each)
    column = text.split("\n")[line - 1].index(MARK) + 1
    with pytest.raises(SpecError) as caught:
        cell(text.replace(MARK, ""), f"<cell {case}>")["f"].explain()
    (found,) = caught.value.diagnostics
    assert (found.location.path, found.location.line, found.location.col) == (f"<cell {case}>", line, column)
    assert message in found.message
    assert found.source == text.replace(MARK, "").split("\n")[line - 1]


def test_a_function_whose_source_is_nowhere() -> None:
    scope: dict[str, Any] = {"optgen": optgen}
    with pytest.raises(UsageError, match="the source of f cannot be read") as caught:
        exec("@optgen.rule\ndef f(param, g):\n    param = g\n", scope)  # noqa: S102
    assert "notebook cell" in str(caught.value)


@pytest.mark.parametrize("value", [lambda param, g: 0, print, 3, int])
def test_what_is_no_function(value: Any) -> None:
    with pytest.raises(OptgenError, match="made by `def`"):
        optgen.rule(value)


def test_a_coroutine_is_no_rule() -> None:
    with pytest.raises(UsageError, match="plain function"):
        cell("@optgen.rule\nasync def f(param, g):\n    param = g\n")


def test_it_is_never_run() -> None:
    made = cell("@optgen.rule\ndef f(param, g, lr=0.1):\n    param = param - lr*g\n")
    assert not callable(made["f"])
