"""Diagnostics read as a compiler's: place, message, the line, a caret under the column, what to do."""

from __future__ import annotations

import pickle

from optgen.errors import Diagnostic, Location, SpecError, suggest


def test_format() -> None:
    found = Diagnostic(Location("a.yaml", 3, 5), "wrong", "write it right", "  a b")
    assert found.format() == "a.yaml:3:5: error: wrong\n    a b\n      ^\n  hint: write it right"
    assert str(found.location) == "a.yaml:3:5"


def test_a_line_that_cannot_be_printed_keeps_its_columns() -> None:
    found = Diagnostic(Location("a.yaml", 1, 3), "wrong", source="a\x00b\tc")
    assert found.format().split("\n")[1:] == ["  a\ufffdb c", "    ^"]


def test_all_of_them_in_one_error() -> None:
    parts = [Diagnostic(Location("a.yaml", line, 1), "wrong") for line in (1, 2)]
    error = SpecError(parts)
    assert str(error) == "a.yaml:1:1: error: wrong\na.yaml:2:1: error: wrong"
    assert pickle.loads(pickle.dumps(error)).diagnostics == tuple(parts)


def test_suggestions() -> None:
    assert suggest("nrom", ["norm", "mean"]) == 'did you mean "norm"?'
    assert suggest("NORM", ["norm"]) == 'did you mean "norm"?'
    assert suggest("zebra", ["norm"]) == ""
