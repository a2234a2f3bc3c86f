"""A rule's text with its positions, and the collector of complaints about it."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path

from optgen.errors import Diagnostic, Location, SpecError, UsageError

MAX_FILE_BYTES = 1 << 18
MAX_DIAGNOSTICS = 50
TOO_LARGE = "larger than 256 KiB", "a rule is a page of text; is it the right file?"

FORBIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff\ufff9-\uffff]"
)
"""Characters that are invisible, reorder the text around them, or end a line for some readers only."""


class Source:
    """The lines of one text. Raises SpecError for characters that may not occur in it."""

    def __init__(self, text: str, path: str) -> None:
        self.path = path
        self.text = text.removeprefix("\ufeff").replace("\r\n", "\n")
        self.lines = self.text.split("\n")
        self.report = Report(self.line_at)
        if len(self.text) > MAX_FILE_BYTES:
            self.report.error(self.at(1, 1), *TOO_LARGE)
            self.report.check()
        self._refuse_characters()

    @classmethod
    def read(cls, path: Path) -> Source:
        """Read a UTF-8 file; UsageError when it cannot be opened, SpecError when it is not such a text."""
        try:
            with path.open("rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            reason = error.strerror or "it cannot be read"
            raise UsageError(f"cannot read the rule file {path}: {reason}. Give the path of a .yaml file.") from error
        if len(data) > MAX_FILE_BYTES:
            raise _whole_file(path, 1, 1, *TOO_LARGE)
        try:
            return cls(data.decode("utf-8"), str(path))
        except UnicodeDecodeError as error:
            before = data[: error.start].decode("utf-8")
            line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
            raise _whole_file(path, line, column, "the file is not UTF-8 text", "save it as UTF-8") from error

    def at(self, line: int, col: int) -> Location:
        """The place of a 1-based line and column."""
        return Location(self.path, line, col)

    def line(self, number: int) -> str:
        """The text of a 1-based line, empty past the end."""
        return self.lines[number - 1] if 0 < number <= len(self.lines) else ""

    def line_at(self, where: Location) -> str:
        """The line of a place in this text, empty for a place elsewhere."""
        return self.line(where.line) if where.path == self.path else ""

    def _refuse_characters(self) -> None:
        for number, line in enumerate(self.lines, 1):
            if found := FORBIDDEN.search(line):
                self.report.error(self.at(number, found.start() + 1), *describe_forbidden(found.group()))
            elif "\t" in line:
                where = self.at(number, line.index("\t") + 1)
                self.report.error(where, "a tab character", "indent and align with spaces")
            elif line.startswith("%"):
                self.report.error(self.at(number, 1), "YAML directives are not allowed", "remove the line")
        self.report.check()


class Report:
    """Collects diagnostics; `check()` raises them all as one SpecError."""

    def __init__(self, line: Callable[[Location], str]) -> None:
        self._line = line
        self._found: dict[tuple[Location, str], Diagnostic] = {}

    def __len__(self) -> int:
        return len(self._found)

    def error(self, location: Location, message: str, hint: str = "") -> None:
        """Note one complaint; the same complaint about the same place is noted once."""
        diagnostic = Diagnostic(location, message, hint, self._line(location))
        self._found.setdefault((location, message), diagnostic)

    def check(self) -> None:
        """Raise what was collected, in the order of the text, if anything was."""
        if self._found:
            raise SpecError(in_order(self._found.values()))


def in_order(found: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Complaints in the order of the text, no more than a reader wants."""
    return sorted(found, key=lambda each: (each.location.line, each.location.col))[:MAX_DIAGNOSTICS]


def digest(text: str) -> str:
    """sha256 of a rule text; line ends and trailing spaces do not count."""
    lines = [line.rstrip() for line in text.splitlines()]
    return hashlib.sha256(("\n".join(lines).strip() + "\n").encode("utf-8", "surrogatepass")).hexdigest()


def describe_forbidden(char: str) -> tuple[str, str]:
    """Message and hint for a character of `FORBIDDEN`."""
    code = f"U+{ord(char):04X}"
    name = unicodedata.name(char, "a control character").lower()
    return f"the character {code} ({name}) is not allowed", "remove it; it is invisible or changes how text is read"


def _whole_file(path: Path, line: int, column: int, message: str, hint: str) -> SpecError:
    return SpecError([Diagnostic(Location(str(path), line, column), message, hint)])
