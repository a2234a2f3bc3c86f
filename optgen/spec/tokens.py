"""Equations as text with known positions, and the bounds that text must keep before Python's parser sees it."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass

from optgen.errors import Location
from optgen.spec.document import Word
from optgen.spec.source import Report, Source

MAX_TEXT = 64 * 1024
MAX_BRACKETS = 40
MAX_TOKENS = 1000
MAX_ARMS = 100
MAX_DIGITS = 40

_TOKEN = re.compile(
    r"""(?P<space>[ ]+)|(?P<newline>\n)|(?P<comment>\#[^\n]*)
    |(?P<badstring>'''|\"{3})
    |(?P<string>"[^"\n\\]*"|'[^'\n\\]*')
    |(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<op>\*\*=|//=|>>=|<<=|\*\*|//|==|!=|<=|>=|->|:=|<<|>>|[-+*/%@&|^]=|[-+*/%@&|^~<>=()\[\]{},:.;])""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Token:
    """A lexeme and where it starts in the text (0-based offset)."""

    kind: str
    text: str
    start: int


class Passage:
    """A stretch of equations and, for each of its lines, where it stands in the file."""

    def __init__(self, source: Source, text: str, starts: list[Location], columns: list[int] | None = None) -> None:
        self.source = source
        self.text = text
        self._starts = starts
        self._columns = columns
        self._offsets = [0] + [match.end() for match in re.finditer("\n", text)]

    @classmethod
    def of(cls, source: Source, word: Word) -> Passage | None:
        """The equations in a YAML scalar; None, with a complaint, where positions could not be kept."""
        if not word.value.strip():
            source.report.error(word.loc, "there is nothing here", "write an expression, or remove the key")
            return None
        if word.style == "|":
            return cls._block(source, word)
        if word.style == ">" or word.loc.line != word.end.line:
            mark = "`>` folds lines" if word.style == ">" else "this text goes on over several lines"
            source.report.error(word.loc, f"{mark}, which equations cannot", "write them under a `|`, one per line")
            return None
        return cls(source, word.value, [word.loc], _inline_columns(source, word))

    @classmethod
    def _block(cls, source: Source, word: Word) -> Passage:
        starts: list[Location] = []
        for index, line in enumerate(word.value.split("\n")):
            number = word.loc.line + 1 + index
            indent = max(0, len(source.line(number)) - len(line)) if line else 0
            starts.append(source.at(number, indent + 1))
        return cls(source, word.value, starts)

    def at(self, line: int, column: int) -> Location:
        """The place in the file of a 1-based line and 0-based column of the text."""
        start = self._starts[min(line, len(self._starts)) - 1]
        if self._columns is not None:
            return self.source.at(start.line, self._columns[min(column, len(self._columns) - 1)])
        return self.source.at(start.line, start.col + column)

    def at_offset(self, offset: int) -> Location:
        """The place in the file of a 0-based offset into the text."""
        line = bisect_right(self._offsets, offset)
        return self.at(line, offset - self._offsets[line - 1])

    def offset(self, line: int, column: int) -> int:
        """The offset of a 1-based line and 0-based column."""
        return self._offsets[line - 1] + column

    def flat(self, start: int, end: int) -> str:
        """The text between two offsets as one line without comments."""
        tokens = [token for token in scan(self.text[start:end]) if token.kind != "comment"]
        return " ".join("".join(" " if token.kind in ("newline", "space") else token.text for token in tokens).split())


def _inline_columns(source: Source, word: Word) -> list[int]:
    """The 1-based file column of each character of a scalar on one line, quotes and escapes counted."""
    column = word.loc.col + (1 if word.style in ("'", '"') else 0)
    raw = source.line(word.loc.line)
    columns: list[int] = []
    for char in word.value:
        columns.append(column)
        doubled = (word.style == "'" and char == "'") or (word.style == '"' and raw[column - 1 : column] == "\\")
        column += 2 if doubled else 1
    return [*columns, column]


def scan(text: str) -> list[Token]:
    """Split a text into tokens; a character that starts none of them is a token of kind `bad`."""
    tokens: list[Token] = []
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None or match.lastgroup is None:
            tokens.append(Token("bad", text[place], place))
            place += 1
        else:
            tokens.append(Token(match.lastgroup, match.group(), place))
            place = match.end()
    return tokens


def check_bounds(passage: Passage, report: Report) -> bool:
    """Whether Python's parser may see the text: plain ASCII tokens, bounded in size and nesting."""
    if len(passage.text) > MAX_TEXT:
        report.error(passage.at(1, 0), "these equations are longer than 64 KiB", "a rule is a page of text")
        return False
    before = len(report)
    depth = count = arms = 0
    previous: Token | None = None
    for token in scan(passage.text):
        where = passage.at_offset(token.start)
        if token.kind in ("bad", "badstring"):
            _refuse_character(report, where, token.text)
            return False
        _check_token(report, where, token, previous)
        if token.kind == "op":
            depth += (token.text in "([{") - (token.text in ")]}")
        count = (
            0 if (token.kind == "newline" and depth <= 0) or token.text == ";" else count + (token.kind not in _QUIET)
        )
        arms += token.kind == "name" and token.text == "elif"
        if depth > MAX_BRACKETS:
            report.error(where, f"brackets more than {MAX_BRACKETS} deep", "name parts of it on lines before")
            return False
        if count > MAX_TOKENS:
            report.error(where, f"a statement of more than {MAX_TOKENS} parts", "name parts of it on lines before")
            return False
        if arms > MAX_ARMS:
            report.error(where, f"more than {MAX_ARMS} `elif`", "a rule is a page of text")
            return False
        previous = token
    return len(report) == before


_QUIET = frozenset({"space", "newline", "comment"})


def _refuse_character(report: Report, where: Location, char: str) -> None:
    if char in ('"""', "'''"):
        report.error(where, "triple quotes are not part of the language", 'write words as "word"')
    elif char in "'\"":
        report.error(where, "a quoted word without its end, or with a backslash in it", 'write words as "word"')
    elif char == "\\":
        report.error(where, "a backslash is not part of the language", "go on over lines inside brackets")
    elif not char.isascii():
        report.error(where, f"the character {char!r} is not part of the language", "equations are written in ASCII")
    else:
        report.error(where, f"the character {char!r} is not part of the language", "remove it")


def _check_token(report: Report, where: Location, token: Token, previous: Token | None) -> None:
    if token.kind == "number" and len(token.text) > MAX_DIGITS:
        report.error(where, "a number of more than 40 digits", "float64 holds 17")
    if token.kind == "string" and not token.text.isascii():
        report.error(where, "a word with characters outside ASCII", "choices are ASCII words")
    if token.kind == "name" and previous is not None and previous.kind == "number":
        wrong = previous.text + token.text
        report.error(where, f'"{wrong}" is not a number', "numbers are decimal: 10, 0.5, 1.0e-3; products need a `*`")
    if (
        token.kind == "string"
        and previous is not None
        and previous.kind == "name"
        and previous.text.lower() in _PREFIXES
    ):
        kind = "format strings" if "f" in previous.text.lower() else "prefixed strings"
        report.error(where, f"{kind} are not part of the language", 'write words as "word"')


_PREFIXES = frozenset({"f", "fr", "rf", "b", "br", "rb", "r", "u"})
