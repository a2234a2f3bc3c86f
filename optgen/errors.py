"""Every error the compiler raises, and the source positions they carry."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Location:
    """A place in a text file; line and column count from 1."""

    path: str
    line: int
    col: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.col}"


@dataclass(frozen=True)
class Diagnostic:
    """One complaint about a text: where, what is wrong, what to do. `source` is the text line itself."""

    location: Location
    message: str
    hint: str = ""
    source: str = ""

    def format(self) -> str:
        """`path:line:col: error: message`, the source line, a caret under the column, and the hint."""
        lines = [f"{self.location}: error: {self.message}"]
        if self.source.strip():
            line, column = _window(_printable(self.source), self.location.col - 1)
            lines += ["  " + line, "  " + " " * column + "^"]
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)


class OptgenError(Exception):
    """Base of every error optgen raises on purpose."""


class SpecError(OptgenError):
    """A rule text is at fault; holds every diagnostic found in it."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        self.diagnostics: tuple[Diagnostic, ...] = tuple(diagnostics)
        super().__init__("\n".join(diagnostic.format() for diagnostic in self.diagnostics))

    def __reduce__(self) -> tuple[type[SpecError], tuple[tuple[Diagnostic, ...]]]:
        return type(self), (self.diagnostics,)


class UsageError(OptgenError):
    """optgen was asked for something it does not offer (an unknown rule, option or file)."""


class BackendError(OptgenError):
    """A backend is missing or cannot serve what was asked of it."""


class HyperError(OptgenError, ValueError):
    """A hyper-parameter is unknown or outside its domain."""


class StateError(OptgenError, ValueError):
    """A state dict does not fit this optimizer."""


class PartialStepError(OptgenError, RuntimeError):
    """A step was cut after it had begun to store: parameters and state are of two different steps."""


class GradientError(OptgenError, ValueError):
    """A gradient (or parameter) cannot be stepped with."""


def suggest(word: str, choices: Iterable[str]) -> str:
    """`did you mean "x"?` for the nearest of `choices`, or the empty string."""
    known = list(choices)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if not near:
        near = [choice for choice in known if choice.lower() == word.lower()][:1]
    return f'did you mean "{near[0]}"?' if near else ""


WIDTH = 160


def _printable(text: str) -> str:
    """The text with one visible column per character, so that a caret below it lines up."""
    return "".join(char if char.isprintable() else (" " if char == "\t" else "\ufffd") for char in text)


def _window(line: str, column: int) -> tuple[str, int]:
    """A stretch of a long line around the column, and the column within it."""
    column = max(column, 0)
    if len(line) <= WIDTH:
        return line.rstrip(), column
    start = max(0, min(column - WIDTH // 2, len(line) - WIDTH))
    return line[start : start + WIDTH].rstrip(), column - start
