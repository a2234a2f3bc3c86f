"""Declarations become data: hypers, state, examples, defaults; and nothing but a SpecError ever comes out of a text."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optgen.errors import Diagnostic, HyperError, Location, SpecError
from optgen.spec.document import Word
from optgen.spec.fields import resolve
from optgen.spec.functions import FUNCTIONS
from optgen.spec.loader import digest, load, loads, shipped
from optgen.spec.model import SINGLE, STAGES, Domain
from optgen.spec.syntax import Assign, Call, Name, Number, Vector, walk
from tests.bad_input.marked import HEAD, stage


def test_defaults_of_stages() -> None:
    spec = loads(HEAD)
    assert tuple(spec.stages) == STAGES
    (direction,), (update,) = spec.stages["direction"], spec.stages["update"]
    assert isinstance(direction, Assign)
    assert isinstance(update, Assign)
    assert (direction.text, update.text) == ("d = g", "param = param - lr*d")
    assert loads(stage("param = param - lr*g")).stages["direction"] == ()
    assert loads(stage("d = 2*g\nparam = param - lr*d")).stages["direction"] == ()
    assert loads(stage("if lr > 0:\n    d = 2*g\nparam = param - lr*d")).stages["direction"] == (direction,)
    assert loads(HEAD.replace("name: mine", "name: mine\nkind: transform")).stages == dict.fromkeys(STAGES, ())


def test_names_of_classes() -> None:
    assert loads(HEAD.replace("mine", "my_own_rule")).class_name == "MyOwnRule"
    assert loads(HEAD.replace("mine", "mine\nclass: MINE")).class_name == "MINE"


HYPERS = """  a: {default: 1, domain: ">= 0"}
  n: {default: 3, domain: "int >= 1", over: model, doc: "how many", symbol: N, torch: count}
  flag: {default: false}
  word: {default: off, choices: [on, off]}
  list: {default: [1, -0.5]}
  far: {default: .inf, domain: "> 1"}
"""


def test_kinds_of_hypers() -> None:
    hypers = loads(HEAD + HYPERS).hypers
    assert {name: (hyper.kind, hyper.default) for name, hyper in hypers.items()} == {
        "lr": ("float", 0.1),
        "a": ("float", 1.0),
        "n": ("int", 3),
        "flag": ("bool", False),
        "word": ("choice", "off"),
        "list": ("list", (1.0, -0.5)),
        "far": ("float", math.inf),
    }
    assert isinstance(hypers["a"].default, float)
    assert (hypers["n"].over, hypers["n"].doc, hypers["n"].symbol) == ("model", "how many", "N")
    assert dict(hypers["n"].names) == {"torch": "count"}


def test_values_a_hyper_takes() -> None:
    hypers = loads(HEAD + HYPERS).hypers
    assert hypers["a"].accept(2) == 2.0
    assert isinstance(hypers["n"].accept(2.0), int)
    for name, value, message in [
        ("a", -1.0, "a must be >= 0, got -1.0"),
        ("a", math.nan, "got NaN"),
        ("lr", math.nan, "got NaN"),
        ("a", True, "must be a number, got True"),
        ("a", "x", "must be a number, got 'x'"),
        ("n", 0, "n must be an int >= 1, got 0"),
        ("n", 1.5, "an int"),
        ("flag", 1, "flag must be true or false, got 1"),
        ("word", "of", 'one of "on", "off", got \'of\'; did you mean "off"?'),
        ("list", (1.0,), "a list of 2 numbers"),
        ("far", 1, "far must be > 1"),
        ("lr", 10**400, "float64"),
    ]:
        with pytest.raises(HyperError) as caught:
            hypers[name].accept(value)
        assert message in str(caught.value)


def test_state_and_the_rest() -> None:
    spec = loads(
        HEAD
        + """
inputs: {loss: model, hz: {extent: elem, doc: curvature}}
matrix: blocks(n)
when: ndim(param) == 2 and role(param) != "embedding"
else: adamw
require: [lr < 1]
presets: {fast: {lr: 0.9}}
state:
  m: {start: zeros_like(param), dtype: float32, torch: exp_avg, optax: mu}
  w: [0.1, lr]
  p: 'full(0.0, shape=(rows(param), 2))'
metrics:
  size: norm(m, over="tensor")
update: |
  m = m + g*hz*loss
  param = param - lr*(m + w[0] + sum(p, over="tensor"))
""".replace("inputs:", "  n: {default: 8, domain: 'int >= 1'}\ninputs:", 1).lstrip("\n")
    )
    assert {name: declared.extent for name, declared in spec.inputs.items()} == {"loss": "model", "hz": "elem"}
    assert spec.matrix == ("blocks", Name("n"))
    assert spec.otherwise == "adamw"
    assert spec.require[0][1] == "lr < 1"
    assert spec.presets["fast"]["lr"] == 0.9
    assert dict(spec.states["m"].names) == {"torch": "exp_avg", "optax": "mu"}
    assert spec.states["m"].dtype == "float32"
    assert spec.states["w"].start == (Number(0.1), Name("lr"))
    start = spec.states["p"].start
    assert isinstance(start, Call)
    assert start.keyword("shape") == Vector((Call("rows", (Name("param"),)), Number(2)))
    assert [metric.name for metric in spec.metrics] == ["size"]


def test_a_transform() -> None:
    spec = loads(
        "optgen: 1\nname: slow\nkind: transform\ntitle: Slow start\nhyper:\n  lr: base\n  steps: {default: 9.0}\n"
        "state: {v: base}\ngradient: lr = lr*minimum(step/steps, 1)\n"
        "example: {rule: sgd, slow_steps: 2, param: [3.0], g: '2*param', expect: {param: [1.0]}}\n"
    )
    assert spec.hypers["lr"].kind == "base"
    assert spec.states["v"].base
    (example,) = spec.examples
    assert (example.rule, example.settings["slow_steps"]) == ("sgd", 2)
    (value,) = example.feeds["g"][SINGLE]
    assert value is not None
    assert not isinstance(value, float | tuple)
    assert Name("param") in walk(value)


def test_examples() -> None:
    spec = loads(
        HEAD
        + "update: param = param - lr*g\nexample:\n"
        + "  - {lr: 0.5, param: [1.0, 2], g: [1.0, -2.5e-1], expect: {param: [0.50, 2.1e+0]}}\n"
        + "  - {param: {a: 1.0, b: [[1.0]]}, g: {a: [1.0, null], b: [[[1.0]], [[2.0]]]},\n"
        + "     expect: {param: {b: [[0.7]]}}}\n"
    )
    first, second = spec.examples
    assert dict(first.settings) == {"lr": 0.5}
    assert first.param == {SINGLE: (1.0, 2.0)}
    assert first.feeds["g"][SINGLE] == ((1.0, -0.25),)
    assert first.tolerance["param"][SINGLE] == pytest.approx((0.005, 0.05))
    assert first.steps == 1
    assert second.feeds["g"]["a"] == (1.0, None)
    assert second.feeds["g"]["b"] == (((1.0,),), ((2.0,),))
    assert second.steps == 2


@pytest.mark.parametrize(
    "text", [">= 0", "> 0", "<= 0", "< 1e-3", "[0, 1)", "(0, 1]", "[0,1]", "int >= 1", "int", "int [0, 3]"]
)
def test_domains(text: str) -> None:
    domain = Domain.parse(text)
    assert domain.text == text
    assert not domain.contains(math.nan)
    assert domain.contains(math.inf) == (domain.high == math.inf and domain.kind == "float")
    assert domain.contains(0) == (text in ("[0, 1)", "[0,1]", ">= 0", "<= 0", "< 1e-3", "int", "int [0, 3]"))
    assert domain.contains(0.5) == (text in (">= 0", "> 0", "[0, 1)", "(0, 1]", "[0,1]"))
    assert domain.contains(1) == (text not in ("<= 0", "< 1e-3", "[0, 1)"))


@pytest.mark.parametrize(
    ("text", "value"),
    {
        "1": 1,
        "-1": -1,
        "1e-3": 0.001,
        "1.": 1.0,
        ".5": 0.5,
        "off": "off",
        "yes": "yes",
        "true": True,
        "~": None,
        "-.inf": -math.inf,
        "0x10": "0x10",
        "1_000": "1_000",
        "0o7": "0o7",
    }.items(),
)
def test_plain_words_are_read_as_yaml_1_2(text: str, value: object) -> None:
    here = Location("x", 1, 1)
    assert resolve(Word(text, "", here, here)) == value
    assert resolve(Word(text, "'", here, here)) == text


def test_not_built_functions_are_known() -> None:
    names = {name for name, function in FUNCTIONS.items() if not function.built}
    assert {"svd", "normal", "top", "eigh", "sort"} <= names
    assert not {"newton_schulz", "low_rank"} & names
    assert loads(stage("param = param - lr*low_rank(g, 2)"))


def test_the_digest_ignores_how_lines_end() -> None:
    assert digest("a: 1\nb: 2\n") == digest("a: 1  \r\nb: 2")
    assert digest("a: 1") != digest("a: 2")


def test_loading_needs_neither_sympy_nor_xdsl() -> None:
    heavy = "print(*({'sympy', 'xdsl', 'numpy'} & sys.modules.keys()))"
    code = f"import sys, optgen.spec.loader as l; l.load('adamw'); {heavy}"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""


@given(st.text())
def test_any_text_is_a_spec_or_a_spec_error(text: str) -> None:
    _only_spec_errors(text)


@given(st.text(alphabet="-[]{}:,&*!|>'\"%@`#?<= \n\tab1.\\", max_size=60))
def test_any_punctuation_is_a_spec_or_a_spec_error(text: str) -> None:
    _only_spec_errors(text)
    _only_spec_errors(HEAD + "update: " + text)


@given(st.text(alphabet="()[]{}:,=<>!+-*/%@^&|~.;'\"\\ \nifelsnotadgrpm019xw", max_size=80))
def test_any_equation_is_read_or_a_spec_error(text: str) -> None:
    _only_spec_errors(stage(text))


PIECES = st.sampled_from(
    ["(", ")", ":", "\n", " ", "  ", "[", "}", "*", '"', "'", "#", "&", "if ", "skip", "0", "é", "|", "\x00", "-"]
)


@given(st.data())
def test_a_damaged_rule_is_a_spec_or_a_spec_error(data: st.DataObject) -> None:
    text = Path(load(data.draw(st.sampled_from(shipped()))).path).read_text(encoding="utf-8")
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        text = text[:at] + data.draw(PIECES) + text[at + data.draw(st.integers(0, 30)) :]
    _only_spec_errors(text)


def _only_spec_errors(text: str) -> None:
    """Whatever is wrong is said at a place inside the text, with something to do."""
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    for found in _complaints(text):
        assert found.location.path == "any.yaml"
        assert 1 <= found.location.line <= len(lines), found
        assert 1 <= found.location.col <= len(lines[found.location.line - 1]) + 1, found
        assert found.message
        assert found.hint, found


def _complaints(text: str) -> tuple[Diagnostic, ...]:
    try:
        loads(text, "any.yaml")
    except SpecError as error:
        return error.diagnostics
    return ()
