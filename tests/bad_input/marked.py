"""Rule texts with `§` where the complaint must point."""

from __future__ import annotations

import pytest

from optgen.errors import Diagnostic, SpecError
from optgen.spec.loader import loads

MARK = "§"
HEAD = "optgen: 1\nname: mine\ntitle: A rule of my own\nhyper:\n  lr: {default: 0.1}\n"


def stage(body: str) -> str:
    """A rule whose update is `body`."""
    lines = "".join(f"  {line}\n" for line in body.split("\n"))
    return HEAD + "update: |\n" + lines


def complaints(text: str) -> tuple[Diagnostic, ...]:
    """What is found wrong with a text."""
    with pytest.raises(SpecError) as caught:
        loads(text.replace(MARK, ""), "mine.yaml")
    return caught.value.diagnostics


def check(text: str, message: str, hint: str) -> None:
    """The text is refused at its mark, with this message and hint, a caret, and nothing else before."""
    before = text[: text.index(MARK)]
    line, col = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
    found = complaints(text)
    at_mark = [each for each in found if (each.location.line, each.location.col) == (line, col)]
    shown = "\n".join(each.format() for each in found)
    assert at_mark, f"nothing at {line}:{col}:\n{shown}"
    assert any(message in each.message and hint in each.hint for each in at_mark), shown
    assert all(each.hint for each in at_mark), shown
    formatted = at_mark[0].format().split("\n")
    assert formatted[0].startswith(f"mine.yaml:{line}:{col}: error: ")
    carets = [row for row in formatted if row.strip() == "^"]
    assert len(carets) == 1 or not at_mark[0].source.strip(), shown
