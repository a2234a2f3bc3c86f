"""YAML text to positioned nodes: mappings, lists and words, and nothing else of YAML.

Built from the parser's events, so that anchors, aliases, tags, duplicate keys, several documents and deep nesting are
refused where they are written and before anything is constructed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, cast

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

from optgen.errors import Location
from optgen.spec.source import FORBIDDEN, Report, Source, describe_forbidden

MAX_DEPTH = 20
#: Of words, lists and mappings: a page has a few hundred, and reading so many takes half a second.
MAX_VALUES = 10_000


@dataclass(frozen=True)
class Word:
    """A scalar. `style` is "" for a plain one, else the quote or block mark; `end` is just past it."""

    value: str
    style: str
    loc: Location
    end: Location


@dataclass(frozen=True)
class Listing:
    """A sequence."""

    items: tuple[Node, ...]
    loc: Location


@dataclass(frozen=True)
class Table:
    """A mapping with word keys; `keys` holds where each key stands."""

    items: Mapping[str, Node]
    keys: Mapping[str, Location]
    loc: Location


Node = Word | Listing | Table


class _Mark(Protocol):
    line: int
    column: int


class _Event(Protocol):
    start_mark: _Mark
    end_mark: _Mark


class _Marked(Protocol):
    problem: str | None
    context: str | None
    problem_mark: _Mark | None
    context_mark: _Mark | None


class _NodeEvent(_Event, Protocol):
    anchor: object
    ctag: object
    value: str
    style: str | None


@dataclass
class _Open:
    """A mapping or sequence being read."""

    loc: Location
    mapping: bool
    items: list[Node] = field(default_factory=list["Node"])
    entries: dict[str, Node] = field(default_factory=dict[str, "Node"])
    keys: dict[str, Location] = field(default_factory=dict[str, Location])
    key: str | None = None
    waiting: bool = False

    def closed(self) -> Table | Listing:
        return Table(self.entries, self.keys, self.loc) if self.mapping else Listing(tuple(self.items), self.loc)


def compose(source: Source) -> Table:
    """The one mapping a rule text is. Raises SpecError with everything refused."""
    report = source.report
    root = _Reader(source).read()
    report.check()
    if not isinstance(root, Table):
        where = source.at(1, 1) if root is None else root.loc
        report.error(where, "a rule is a mapping of keys", 'start with "optgen: 1" and "name: my_rule"')
        report.check()
    return cast(Table, root)


class _Reader:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.report: Report = source.report
        self.stack: list[_Open] = []
        self.root: Node | None = None
        self.documents = 0
        self.values = 0
        self.place = source.at(1, 1)

    def read(self) -> Node | None:
        for kind, event in self._events():
            self.values += kind in ("ScalarEvent", "MappingStartEvent", "SequenceStartEvent")
            if self.values > MAX_VALUES:
                message = f"more than {MAX_VALUES} words, lists and mappings"
                self.report.error(self._start(event), message, "a rule is a page of text; is it the right file?")
                break
            match kind:
                case "DocumentStartEvent":
                    self.documents += 1
                    if self.documents > 1:
                        self.report.error(self._start(event), "a second document", "one rule per file; drop the `---`")
                        break
                case "AliasEvent":
                    self.report.error(self._start(event), "aliases are not allowed", "write the value out again")
                    self._place(Word("", "", self._start(event), self._end(event)))
                case "ScalarEvent":
                    self._scalar(cast(_NodeEvent, event))
                case "MappingStartEvent" | "SequenceStartEvent":
                    self._refuse_properties(cast(_NodeEvent, event))
                    if len(self.stack) >= MAX_DEPTH:
                        message = f"more than {MAX_DEPTH} levels deep"
                        self.report.error(self._start(event), message, "write it flatter")
                        break
                    self.stack.append(_Open(self._start(event), kind == "MappingStartEvent"))
                case "MappingEndEvent" | "SequenceEndEvent":
                    self._place(self.stack.pop().closed())
                case _:
                    continue
        return self.root

    def _events(self) -> Iterator[tuple[str, _Event]]:
        """Events of the text by the name of their type; a syntax error is reported and ends them."""
        stream = cast(Iterator[_Event], YAML(typ="safe", pure=True).parse(self.source.text))  # pyright: ignore[reportUnknownMemberType]
        while True:
            try:
                event = next(stream)
            except StopIteration:
                return
            except MarkedYAMLError as error:
                marked = cast(_Marked, error)
                mark = marked.problem_mark or marked.context_mark
                if "end of stream" in (marked.problem or ""):
                    mark = marked.context_mark or mark  # where the quote or bracket was opened
                where = self.place if mark is None else self.source.at(mark.line + 1, mark.column + 1)
                self._not_yaml(where, marked.problem or marked.context or "the text cannot be read")
                return
            except (YAMLError, ReaderError, ValueError, OverflowError, AssertionError, IndexError, TypeError) as error:
                # The parser answers some escapes with plain Python errors.
                self._not_yaml(self.place, str(error).split("\n", 1)[0])
                return
            yield type(event).__name__, event
            self.place = self._end(event)

    def _not_yaml(self, where: Location, problem: str) -> None:
        hint = "check the indentation, the colons and the quotes of this line"
        if "mapping values are not allowed" in problem:
            hint = 'quote a text that contains ": "'
        self.report.error(where, f"this is not YAML: {problem}", hint)

    def _start(self, event: _Event) -> Location:
        return self.source.at(event.start_mark.line + 1, event.start_mark.column + 1)

    def _end(self, event: _Event) -> Location:
        return self.source.at(event.end_mark.line + 1, event.end_mark.column + 1)

    def _refuse_properties(self, event: _NodeEvent) -> None:
        if event.anchor is not None:
            self.report.error(self._start(event), "anchors are not allowed", "write the value out where it is needed")
        if event.ctag is not None:
            self.report.error(self._start(event), "tags are not allowed", "remove the `!...`; the key decides the type")

    def _scalar(self, event: _NodeEvent) -> None:
        self._refuse_properties(event)
        word = Word(event.value, event.style or "", self._start(event), self._end(event))
        if not event.value and not event.style:
            word = Word("", "", self.place, self.place)  # the parser places a missing value where the next one starts
        if found := FORBIDDEN.search(word.value):
            self.report.error(word.loc, *describe_forbidden(found.group()))
        self._place(word)

    def _place(self, node: Node) -> None:
        """Put a finished node where it belongs: key, value, list item or the whole text."""
        if not self.stack:
            self.root = self.root or node
            return
        top = self.stack[-1]
        if not top.mapping:
            top.items.append(node)
        elif not top.waiting:
            self._key(top, node)
        else:
            top.waiting = False
            if top.key is not None:
                top.entries[top.key] = node

    def _key(self, top: _Open, node: Node) -> None:
        top.waiting, top.key = True, None
        if not isinstance(node, Word):
            self.report.error(node.loc, "a key must be a word", "quote it, or check the braces and commas")
        elif node.value in top.keys:
            first = top.keys[node.value].line
            self.report.error(node.loc, f'the key "{node.value}" occurs twice', f"it is also on line {first}; keep one")
        else:
            top.key = node.value
            top.keys[node.value] = node.loc
