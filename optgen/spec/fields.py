"""Reading YAML nodes as typed values, with a complaint at the right place where they are something else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from optgen.errors import Location, suggest
from optgen.spec.document import Listing, Node, Table, Word
from optgen.spec.equations import parse_body, parse_expression
from optgen.spec.model import Setting
from optgen.spec.source import Report, Source
from optgen.spec.syntax import Expr, Stmt
from optgen.spec.tokens import Passage

MAX_TITLE = 200
_INT = re.compile(r"[-+]?\d+")
_FLOAT = re.compile(r"[-+]?(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?")
_SPECIAL = re.compile(r"(?P<sign>[-+]?)\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})


def resolve(word: Word) -> int | float | bool | str | None:
    """The value of a scalar by YAML 1.2's core rules: quoted ones and `off` are words."""
    text = word.value
    if word.style:
        return text
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INT.fullmatch(text) and len(text) <= 40:
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if special := _SPECIAL.fullmatch(text):
        return float("nan") if "n" in text.lower()[:2] else float(special["sign"] + "inf")
    return text


@dataclass(frozen=True)
class Fields:
    """A mapping whose keys are known beforehand. Unknown keys are reported by `check_keys`."""

    source: Source
    table: Table
    what: str

    @property
    def report(self) -> Report:
        """Where complaints go."""
        return self.source.report

    def check_keys(self, allowed: Sequence[str]) -> None:
        """Complain about every key that is not one of `allowed`."""
        for key, where in self.table.keys.items():
            if key not in allowed:
                hint = suggest(key, allowed) or "the keys are " + ", ".join(allowed)
                if key not in allowed and set(key) & set('(),="'):
                    hint = "quote an expression that holds a comma when it stands inside braces"
                self.report.error(where, f'unknown key "{key}" in {self.what}', hint)

    def at(self, key: str) -> Location:
        """Where a key stands, or the mapping itself."""
        return self.table.keys.get(key, self.table.loc)

    def get(self, key: str) -> Node | None:
        """The node under a key, if it is there."""
        return self.table.items.get(key)

    def word(self, key: str) -> str:
        """A text of one line; empty where the key is absent or wrong."""
        node = self.get(key)
        return "" if node is None else read_line(self.report, node, f'"{key}"')

    def text(self, key: str) -> str:
        """A text, several lines allowed."""
        node = self.get(key)
        return "" if node is None else read_text(self.report, node, f'"{key}"').strip()

    def tables(self, key: str) -> Sequence[tuple[str, Location, Node]]:
        """The entries of a mapping of names: name, where it stands, and its node."""
        node = self.get(key)
        if node is None or (isinstance(node, Word) and resolve(node) is None):
            return ()
        if not isinstance(node, Table):
            self.report.error(node.loc, f'"{key}" must be a mapping of names', f"write `{key}: {{name: ...}}`")
            return ()
        return [(name, node.keys[name], entry) for name, entry in node.items.items()]

    def expression(self, key: str) -> Expr | None:
        """One expression under a key."""
        node = self.get(key)
        return None if node is None else read_expression(self.source, node)


def read_text(report: Report, node: Node, what: str) -> str:
    """A scalar as it is written."""
    if isinstance(node, Word):
        return node.value
    report.error(node.loc, f"{what} must be a text", "quote it if it holds `:`, `,`, `[` or `{`")
    return ""


def read_line(report: Report, node: Node, what: str) -> str:
    """A non-empty scalar of one line."""
    text = read_text(report, node, what)
    if isinstance(node, Word) and not text.strip():
        report.error(node.loc, f"{what} is empty", "write a text, or remove the key")
    if "\n" in text.strip() or "\t" in text:
        report.error(node.loc, f"{what} must be one line of text", 'longer text goes under "doc"')
        return ""
    if len(text) > MAX_TITLE:
        report.error(node.loc, f"{what} is longer than {MAX_TITLE} characters", 'longer text goes under "doc"')
        return ""
    return text.strip()


def read_setting(report: Report, node: Node, what: str) -> Setting:
    """A scalar or list (of lists) of scalars."""
    if isinstance(node, Word):
        return resolve(node)
    if isinstance(node, Listing):
        return tuple(read_setting(report, item, what) for item in node.items)
    report.error(node.loc, f"{what} must be a value or a list of values", "write `1.0`, `true`, `word` or `[1.0, 2.0]`")
    return None


def read_expression(source: Source, node: Node) -> Expr | None:
    """An expression written as a scalar."""
    if not isinstance(node, Word):
        source.report.error(node.loc, "an expression is written as text", 'quote it: "..."')
        return None
    passage = Passage.of(source, node)
    return None if passage is None else parse_expression(passage, source.report)


def read_body(source: Source, node: Node) -> tuple[Stmt, ...] | None:
    """The statements of a stage."""
    if isinstance(node, Listing):
        source.report.error(node.loc, "several probes are not built yet", "write one text of statements")
        return None
    if not isinstance(node, Word):
        source.report.error(node.loc, "a stage is a text of statements", "write them under a `|`, one per line")
        return None
    passage = Passage.of(source, node)
    return None if passage is None else parse_body(passage, source.report)
