"""Rules of SymPy expressions: the same numbers as the text, YAML that reads back, and errors that name the argument."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sympy
from sympy.core.symbol import Str

import optgen
from optgen import sym
from optgen.authoring.symbolic import expression
from optgen.errors import SpecError, UsageError
from optgen.frontends.python_text import canonical
from optgen.spec.loader import load
from optgen.verify.reference import Reference

lr, beta1, beta2, eps, weight_decay, m, v = sympy.symbols("lr beta1 beta2 eps weight_decay m v", real=True)
param, g, d, t = sym.param, sym.g, sym.d, sym.t

UNIT = optgen.hyper(0.9, domain="[0, 1)")


def averaged(**changes: Any) -> optgen.Rule:
    """A rule with two averages, decoupled decay and corrections, as the shipped ones write them."""
    return optgen.Rule(
        **{
            "name": "two_averages",
            "title": "Averages of the gradient: and of its square",
            "hyper": {lr: optgen.hyper(1e-3, domain=">= 0"), beta1: UNIT, beta2: UNIT, eps: 1e-8, weight_decay: 0.01},
            "state": {m: "zeros_like(param)", v: optgen.state("zeros_like(param)", doc="it's squared: g**2")},
            "direction": [
                (m, beta1 * m + (1 - beta1) * g),
                (v, beta2 * v + (1 - beta2) * g**2),
                (d, (m / (1 - beta1**t)) / (sympy.sqrt(v / (1 - beta2**t)) + eps)),
            ],
            "update": [(param, param - lr * (d + weight_decay * param))],
            **changes,
        }
    )


def test_it_steps_as_the_rule_written_as_text(rng: np.random.Generator) -> None:
    hypers = {"lr": 0.1, "beta1": 0.7, "beta2": 0.8, "eps": 1e-3, "weight_decay": 0.1}
    start = {"a": rng.normal(size=(3, 4)), "b": rng.normal(size=5)}
    runs = [Reference(rule, start, hypers) for rule in (averaged(), load("adamw"))]
    for _ in range(20):
        grads = [None if rng.random() < 0.2 else rng.normal(size=x.shape) for x in start.values()]
        for run in runs:
            run.step(grads, {})
    for name in start:
        assert np.allclose(runs[0].params[name], runs[1].params[name], rtol=1e-13, atol=1e-13)


def test_its_yaml_reads_back_to_an_equal_rule() -> None:
    rule = averaged(
        reference="nowhere",
        doc="Lines: two.\n\nAnd 'quotes'.",
        require=[sympy.And(lr > 0, sympy.Not(sympy.Eq(beta1, beta2)))],
        inputs={"loss": "model"},
        claims=[{"reduces_to": {"rule": "adamw", "when": {"eps": 1e-6}}}],
        example=[
            {"lr": 0.5, "loss": 1.0, "param": [1.0], "g": [0.0], "expect": {"param": [0.995]}},
            {
                "loss": [1.0, 2.0],
                "param": {"a.w": [[1.0]]},
                "g": {"a.w": [None, [[0.0]]]},
                "expect": {"param": {"a.w": [[1.0]]}},
            },
        ],
    )
    again = optgen.loads(rule.to_yaml())
    assert again == rule
    assert again.digest == rule.digest
    assert again.to_yaml() == rule.to_yaml()
    assert rule.claims
    assert rule.examples
    assert rule != averaged()


@pytest.mark.slow
def test_it_compiles() -> None:
    import torch

    made = optgen.compile(averaged(), backend="numba")
    one, two = (torch.nn.Parameter(torch.tensor([1.0, -2.0])) for _ in range(2))
    one.grad = two.grad = torch.tensor([0.5, 0.25])
    made([one], lr=0.1, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01).step()
    torch.optim.AdamW([two], lr=0.1).step()
    assert torch.allclose(one, two, rtol=1e-6)


x, y, z = sympy.symbols("x y z", real=True)

#: SymPy expressions, and the language's text for each.
WRITTEN: list[tuple[Any, str]] = [
    (x + y, "x + y"),
    (y - x, "-x + y"),
    (1 - x, "1 - x"),
    (-x * y, "-x*y"),
    (-2 * x / 3, "-2*x/3"),
    (x / 3, "x/3"),
    (x / (y * z), "x/(y*z)"),
    (1 / x, "1/x"),
    (x**-2, "1/x**2"),
    (x**y, "x**y"),
    (x ** (y * z), "x**(y*z)"),
    ((x**y) ** z, "(x**y)**z"),
    ((x + y) ** 2, "(x + y)**2"),
    (sympy.sqrt(x) / y, "sqrt(x)/y"),
    (1 / sympy.sqrt(x), "1/sqrt(x)"),
    (x ** sympy.Rational(3, 4), "x**(3/4)"),
    (sympy.exp(-x), "exp(-x)"),
    (sympy.log(x + 1), "log(x + 1)"),
    (sympy.Abs(x) * sympy.sign(y), "abs(x)*sign(y)"),
    (sympy.Max(x, y, 0), "maximum(maximum(0, x), y)"),
    (sympy.Min(x, y), "minimum(x, y)"),
    (sympy.floor(x) + sympy.ceiling(y), "ceil(y) + floor(x)"),
    (sympy.tanh(x) + sympy.cos(x) + sympy.sin(x), "sin(x) + cos(x) + tanh(x)"),
    (sympy.Mod(t, 3), "t % 3"),
    (sympy.pi * x, "pi*x"),
    (sympy.E, "exp(1)"),
    (sympy.Float(0.1) * x, "0.1*x"),
    (sympy.Integer(-3), "-3"),
    (sympy.Rational(1, 3), "1/3"),
    (sympy.Piecewise((x, x > 0), (y, x < -1), (0, True)), "where(x > 0, x, where(x < -1, y, 0))"),
    (sympy.And(x > 0, sympy.Or(y >= 1, z <= 2)), "(y >= 1 or z <= 2) and x > 0"),
    (sympy.Not(sympy.And(x > 0, y > 0)), "not (x > 0 and y > 0)"),
    (sympy.Ne(x, y), "x != y"),
    (sympy.true, "True"),
    (sym.norm(x, over="tensor") ** 2, 'norm(x, over="tensor")**2'),
    (sym.dot(x, y, over="layer"), 'dot(x, y, over="layer")'),
    (sym.total(x * y, over="row") / sym.mean(x, over="col"), 'sum(x*y, over="row")/mean(x, over="col")'),
    (sym.max_abs(x, over="model"), 'max_abs(x, over="model")'),
    (sym.smallest(x, over="tensor") + sym.largest(y, over="tensor"), None),
    (sym.laplacian(g) + sym.neighbors(g), None),
    (sym.clip(x, -1, 1), "clip(x, -1, 1)"),
    (sym.numel() * sym.ndim() * sym.rows() * sym.cols() * sym.depth(), None),
    (sympy.Piecewise((x, sym.is_choice(y, "l2")), (z, True)), 'where(y == "l2", x, z)'),
]


@pytest.mark.parametrize(("value", "text"), WRITTEN, ids=[str(value) for value, _ in WRITTEN])
def test_expressions(value: sympy.Basic, text: str | None) -> None:
    written = canonical(expression(value))
    if text is not None:
        assert written == text


#: Names, and numbers for them, under which both sides of a translation are evaluated.
NUMBERS = {"x": 1.7, "y": -0.6, "z": 2.0}
ARITHMETIC = [
    value for value, _ in WRITTEN if not value.has(sym.LanguageCall, sym.Choice) and isinstance(value, sympy.Expr)
]


@pytest.mark.parametrize("value", ARITHMETIC, ids=str)
def test_what_is_written_has_the_same_value(value: sympy.Expr) -> None:
    rule = optgen.Rule("value_of", hyper=NUMBERS, update=[(param, value + 0 * g)])
    reference = Reference(rule, {"w": np.zeros(1)}, {})
    reference.step([np.zeros(1)], {})
    expected = value.subs({x: 1.7, y: -0.6, z: 2.0, t: 1})
    assert reference.params["w"][0] == pytest.approx(float(expected), rel=1e-15)


def refused(build: Callable[[], object], error: type[Exception], *words: str) -> None:
    with pytest.raises(error) as caught:
        build()
    for word in words:
        assert word in str(caught.value), str(caught.value)


def test_what_the_language_cannot_say_is_named() -> None:
    def update(value: Any) -> Callable[[], object]:
        return lambda: averaged(update=[(param, value)])

    refused(update(param - lr * sympy.gamma(g)), UsageError, "update[0] (param)", "gamma(g)")
    refused(update(param - sympy.I * g), UsageError, "update[0] (param)", "I")
    refused(update(param / sympy.Integer(0)), UsageError, "update[0] (param)", "zoo")
    refused(update(sympy.oo), UsageError, "oo")
    refused(update(sympy.Piecewise((g, g > 0))), UsageError, "(expression, True)")
    refused(update(sympy.Derivative(sympy.Function("f")(g), g)), UsageError, "Derivative")
    refused(update("param - g"), UsageError, "update[0] (param)", "text is never evaluated")
    refused(update(None), UsageError, "update[0] (param)")
    refused(lambda: averaged(update=[param]), UsageError, "update[0]", "pair")
    refused(lambda: averaged(update=[(2 * param, g)]), UsageError, "names nothing")
    refused(lambda: averaged(require=["lr > 0"]), UsageError, "require[0]", "text is never evaluated")
    refused(lambda: averaged(hyper={lr: optgen.state("param")}), UsageError, 'hyper "lr"', "optgen.hyper(...)")


def test_what_is_wrong_with_the_rule_is_placed_in_its_argument() -> None:
    unknown = sympy.Symbol("unknown")
    refused(lambda: averaged(update=[(d, g), (param, param - unknown * d)]), SpecError, 'update[1]: unknown name "unk')
    refused(lambda: averaged(hyper={lr: 1e-3, eps: -1.0, "beta1": optgen.hyper(2, domain="< 1")}), SpecError, "beta1")
    refused(lambda: averaged(state={m: "zeros_like(parm)", v: "param"}), SpecError, 'state["m"]', '"param"?')
    refused(lambda: averaged(name="Two"), SpecError, 'name: "Two" cannot name a rule')
    refused(lambda: averaged(references="x"), SpecError, 'references: unknown key "references"', '"reference"?')


def test_a_word_that_no_function_has() -> None:
    call = sym.LanguageCall(Str("nrom"), g, Str("tensor"))
    refused(lambda: averaged(update=[(param, param - call)]), SpecError, "update[0]", 'did you mean "norm"?')
