"""Equations become the nodes they mean, at the places where they are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optgen.spec.loader import loads
from optgen.spec.measure import unmeasured
from optgen.spec.model import Spec
from optgen.spec.syntax import (
    Assign,
    Binary,
    Boolean,
    Call,
    Compare,
    Expr,
    If,
    Index,
    Logic,
    Name,
    Number,
    Skip,
    Text,
    Unary,
    Vector,
    names_in,
    statements,
    walk,
)
from tests.bad_input.marked import HEAD, stage

X, Y, Z = Name("g"), Name("param"), Name("t")


def expression(text: str) -> Expr:
    """The value of `x = text` in a rule."""
    first = loads(stage(f"x = {text}\nparam = param - lr*x")).stages["update"][0]
    assert isinstance(first, Assign)
    return first.value


@pytest.mark.parametrize(
    ("text", "meaning"),
    {
        "2": Number(2),
        "2.0": Number(2.0),
        "1e-3": Number(0.001),
        "True": Boolean(True),
        "false": Boolean(False),
        "g - param - t": Binary("-", Binary("-", X, Y), Z),
        "g**param**t": Binary("**", X, Binary("**", Y, Z)),
        "-g**2": Unary("-", Binary("**", X, Number(2))),
        "g*-param": Binary("*", X, Unary("-", Y)),
        "g + param*t": Binary("+", X, Binary("*", Y, Z)),
        "g//2 % 3": Binary("%", Binary("//", X, Number(2)), Number(3)),
        "g < param < t": Logic("and", (Compare("<", X, Y), Compare("<", Y, Z))),
        "not g == param": Unary("not", Compare("==", X, Y)),
        "g or param and t": Logic("or", (X, Logic("and", (Y, Z)))),
        "(g or param) or t": Logic("or", (Logic("or", (X, Y)), Z)),
        "[g, param][0]": Index(Vector((X, Y)), Number(0)),
        'norm(g, over="tensor")': Call("norm", (X,), (("over", Text("tensor")),)),
    }.items(),
)
def test_precedence_is_pythons(text: str, meaning: Expr) -> None:
    assert expression(text) == meaning


def test_ints_and_floats_stay_apart() -> None:
    whole, real = expression("2"), expression("2.0")
    assert isinstance(whole, Number)
    assert isinstance(real, Number)
    assert (type(whole.value), type(real.value)) == (int, float)


BRANCHES = """optgen: 1
name: mine
title: Branches
hyper:
  lr: {default: 0.1}
  nsa: {default: l2, choices: [l2, relative, "off"]}
gradient: |

  # a remark
  c = 0
  if nsa == "l2":
      c = 1
  elif nsa == "relative":
      c = (2 +  # of both
           3)
  else:
      skip
  g = c*g ; h = 2*g
direction:    d = h
update: "param = param - lr*d"
"""


def test_statements_and_their_text() -> None:
    spec = loads(BRANCHES)
    _, branch, first, second = spec.stages["gradient"]
    assert isinstance(branch, If)
    assert branch.text == 'if nsa == "l2":'
    (inner,) = branch.orelse
    assert isinstance(inner, If)
    assert inner.condition == Compare("==", Name("nsa"), Text("relative"))
    (assign,) = inner.then
    assert isinstance(assign, Assign)
    assert assign.text == "c = (2 + 3)"
    assert inner.orelse == (Skip(),)
    assert isinstance(first, Assign)
    assert isinstance(second, Assign)
    assert (first.text, second.text) == ("g = c*g", "h = 2*g")
    assert [type(each).__name__ for each in statements(spec.stages["gradient"])] == [
        "Assign",
        "If",
        "Assign",
        "If",
        "Assign",
        "Skip",
        "Assign",
        "Assign",
    ]


def located(spec: Spec, text: str) -> list[tuple[str, str]]:
    """Every name of every stage with what the text has at its place, and every statement likewise."""
    lines = text.split("\n")
    pairs: list[tuple[str, str]] = []
    for body in unmeasured(spec).stages.values():  # what metrics add, no text wrote
        for statement in statements(body):
            written = lines[statement.loc.line - 1][statement.loc.col - 1 :]
            if isinstance(statement, Assign):
                pairs.append((statement.targets[0], written[: len(statement.targets[0])]))
            for expr in [statement.value] if isinstance(statement, Assign) else []:
                for node in walk(expr):
                    if isinstance(node, Name):
                        written = lines[node.loc.line - 1][node.loc.col - 1 :]
                        pairs.append((node.id, written[: len(node.id)]))
    return pairs


def test_every_node_knows_its_place() -> None:
    pairs = located(loads(BRANCHES), BRANCHES)
    assert len(pairs) > 10
    assert [found for found, _ in pairs] == [written for _, written in pairs]


@pytest.mark.parametrize(
    "body",
    [
        "update: |\n  param = param - lr*g\n",
        "update: |-\n\n\n      param = param - lr*g",
        "update: |2\n    param = param - lr*g\n".replace("    ", "  "),
        "update:   param = param - lr*g   # remark\n",
        "update: 'param = param - lr*g'\n",
        'update: "param = param - lr*g"\n',
        "update:\n  param = param - lr*g\n",
        'metrics: {a: "lr*g"}\nupdate: param = param - lr*g\n',
        "update: |\n  x = where(g > 0,  # é ü\n            lr,\n            g)\n  param = x*lr\n",
    ],
)
def test_places_in_every_kind_of_scalar(body: str) -> None:
    text = HEAD + body
    pairs = located(loads(text), text)
    assert pairs
    assert [found for found, _ in pairs] == [written for _, written in pairs]


def test_places_behind_doubled_quotes() -> None:
    text = HEAD + "  a: {default: x, choices: [x, y]}\nupdate: 'param = where(a == ''x'', g, lr)'\n"
    assert ("lr", "lr") in located(loads(text), text)
    text = HEAD + '  a: {default: x, choices: [x, y]}\nupdate: "param = where(a == \\"x\\", g, lr)"\n'
    assert ("lr", "lr") in located(loads(text), text)


def test_windows_line_ends_and_a_byte_order_mark() -> None:
    text = stage("x = 2*g\nparam = param - lr*x")
    spec = loads("\ufeff" + text.replace("\n", "\r\n"))
    assert spec == loads(text)
    assert spec.digest == loads(text).digest


names = st.sampled_from(["g", "param", "t", "lr"])
expressions = st.recursive(
    names | st.integers(0, 99).map(str) | st.floats(0, 1e6).map(repr),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "**", "<", "==", " and "]), inner).map(
            "({0[0]}{0[1]}{0[2]})".format
        ),
        inner.map("(-{})".format),
        inner.map("sqrt({})".format),
        st.tuples(inner, inner, inner).map("where({0[0]}, {0[1]}, {0[2]})".format),
    ),
    max_leaves=12,
)


@given(expressions)
def test_what_is_read_is_what_is_written(text: str) -> None:
    written = {word for word in ("g", "param", "t", "lr") if word in text.replace("sqrt", "").replace("where", "")}
    assert names_in(expression(text)) >= written - {"t", "g"}
    assert names_in(expression(text)) <= {"g", "param", "t", "lr"}
