"""A text with several type errors: all of them are told at once, in order, each once and none as an echo of another."""

from __future__ import annotations

from pathlib import Path

import pytest

from optgen.errors import SpecError
from optgen.ir.build import build
from optgen.spec.loader import loads
from optgen.spec.source import MAX_DIAGNOSTICS
from tests.cli.support import optgen

MARK = "§"
HEAD = """\
optgen: 1
name: faulty
title: Several things do not type
hyper: {lr: {default: 0.1}, word: {default: a, choices: [a, b]}}
"""

TEXTS = {
    "one after the other": """\
gradient: |
  x = §norm(norm(g, over="tensor"), over="tensor")
  y = softmax(§g)
  g = g - y
update: param = param - [lr, lr]*softmax(§param)
""",
    "what follows from an error is no error": """\
direction: |
  a = softmax(§g)
  b = a + 1
  if b > 0:
      b = 2*a
  d = b
""",
    "a name that is assigned again is good again": """\
direction: |
  a = softmax(§g)
  a = g
  d = a + softmax(§a)
""",
    "inside both arms and after": """\
direction: |
  if word == "a":
      a = softmax(§g)
  else:
      a = sum(§g)
  d = a
update: param = param - lr*§laplacian(mean(g, over="row")) + d
""",
    "a condition and its arms": """\
direction: |
  d = g
  if §g > 0:
      d = softmax(§g)
update: param = param - lr*d
""",
    "states, each by itself": """\
state:
  m: norm(param, over="tensor") + §zeros_like(param)
  v: zeros_like(param)
  n: §full(0, over="row")
direction: |
  v = v + sum(§g)
  n = n + 1
  m = m + g
  d = m + v + n
""",
    "what is not built, and types": """\
inputs: {§signal: elem}
matrix: blocks(§8)
direction: d = softmax(§g)
""",
}


def marked(text: str) -> tuple[str, list[tuple[int, int]]]:
    """The text without its marks, and where they were: line and column from 1."""
    places = [(row, line.index(MARK) + 1) for row, line in enumerate((HEAD + text).split("\n"), 1) if MARK in line]
    return (HEAD + text).replace(MARK, ""), places


@pytest.mark.parametrize("case", TEXTS)
def test_every_error_is_told_once_and_in_order(case: str) -> None:
    text, places = marked(TEXTS[case])
    spec = loads(text, f"{case}.yaml")
    with pytest.raises(SpecError) as caught:
        build(spec)
    found = caught.value.diagnostics
    assert [(each.location.line, each.location.col) for each in found] == places, str(caught.value)
    assert all(each.message and each.hint and each.source for each in found)


def test_the_command_line_shows_them_all(tmp_path: Path) -> None:
    text, places = marked(TEXTS["inside both arms and after"])
    path = tmp_path / "faulty.yaml"
    path.write_text(text, encoding="utf-8")
    result = optgen("check", path)
    assert result.exit_code == 1
    assert result.stderr.count("error: ") == len(places)
    for line, column in places:
        assert f"{path}:{line}:{column}: error: " in result.stderr


def test_no_more_than_a_reader_wants() -> None:
    lines = "".join(f"  x{i} = softmax(g)\n" for i in range(2 * MAX_DIAGNOSTICS))
    with pytest.raises(SpecError) as caught:
        build(loads(f"{HEAD}direction: |\n{lines}  d = g\n"))
    assert len(caught.value.diagnostics) == MAX_DIAGNOSTICS
