"""A rule's mapping as YAML text that reads back to the same mapping."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optgen.spec.document import Listing, Node, Table, Word
from optgen.spec.vocabulary import TOP_KEYS

WIDTH = 110
#: Words that stand without quotes, also inside braces.
_PLAIN = re.compile(r"[A-Za-z0-9_.+-][A-Za-z0-9_.+/()-]*(?: [A-Za-z0-9_.+/()-]+)*")


def yaml_text(rule: Table) -> str:
    """The mapping, in the order of the language's keys; entries of mappings stand on lines of their own."""
    known = [key for key in TOP_KEYS if key in rule.items]
    unknown = [key for key in rule.items if key not in TOP_KEYS]
    return "\n".join(line for key in (*known, *unknown) for line in _entry(key, rule.items[key], 0)) + "\n"


def _entry(key: str, value: Node, depth: int) -> Iterator[str]:
    indent = "  " * depth
    if isinstance(value, Word) and (value.style == "|" or "\n" in value.value):
        yield f"{indent}{_key(key)}: |"
        yield from (f"{indent}  {line}" if line.strip() else "" for line in value.value.rstrip().split("\n"))
        return
    line = f"{indent}{_key(key)}: {_flow(value)}"
    if isinstance(value, Word) or (len(line) <= WIDTH and (depth > 0 or not isinstance(value, Table))):
        yield line
    elif isinstance(value, Table):
        yield f"{indent}{_key(key)}:"
        for name, entry in value.items.items():
            yield from _entry(name, entry, depth + 1)
    else:
        yield f"{indent}{_key(key)}:"
        yield from (f"{indent}  - {_flow(entry)}" for entry in value.items)


def _flow(value: Node) -> str:
    """A value on one line."""
    match value:
        case Word():
            return _word(value)
        case Listing(items=items):
            return "[" + ", ".join(map(_flow, items)) + "]"
        case Table(items=entries):
            return "{" + ", ".join(f"{_key(key)}: {_flow(entry)}" for key, entry in entries.items()) + "}"


def _key(key: str) -> str:
    return key if _PLAIN.fullmatch(key) else _quoted(key)


def _word(word: Word) -> str:
    text = word.value
    if not word.style:
        return text
    reads_as_itself = _PLAIN.fullmatch(text) and text[:1].isalpha() and text.lower() not in _MEANING
    return text if reads_as_itself else _quoted(text)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


#: Words that a reader would take for something else.
_MEANING = frozenset({"true", "false", "null", "yes", "no", "on", "off"})
