"""What is written to join texts: `A+B+C`, and a text of its own with `compose: [A, B, C]`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from optgen.errors import Location, UsageError
from optgen.spec.bundle import bundled
from optgen.spec.checks import optional_arguments
from optgen.spec.declarations import Checker, read_claims, read_presets, read_settings, setting_checker
from optgen.spec.document import Listing, Table, Word
from optgen.spec.examples import Context, read_examples
from optgen.spec.fields import Fields
from optgen.spec.join import Piece, join
from optgen.spec.model import Hyper, Part, Spec
from optgen.spec.source import Source, digest
from optgen.spec.vocabulary import COMPOSITION_KEYS

Find = Callable[[str, Location], Piece]
"""Reads the part of a name or path asked for at a place; UsageError where there is none."""


def is_path(text: str) -> bool:
    """Whether a part is given by the path of its file."""
    return text.endswith((".yaml", ".yml")) or "/" in text or "\\" in text


def split(text: str) -> list[tuple[str, int]]:
    """The parts of `A+B+C` and the columns, from 1, at which they begin; a `+` within a path stays."""
    found: list[tuple[str, int]] = []
    begin = 0
    for end in [i for i, char in enumerate(text) if char == "+"] + [len(text)]:
        part = text[begin:end]
        if not is_path(part) or part.endswith((".yaml", ".yml")) or end == len(text):
            found.append((part.strip(), begin + 1 + len(part) - len(part.lstrip())))
            begin = end + 1
    return found


def join_named(text: str, find: Find) -> Spec:
    """The rule of `A+B+C`. SpecError, with positions in that text, for what is wrong with it."""
    source = Source(text, text)
    pieces = [_piece(source, find, name, source.at(1, column)) for name, column in split(text)]
    source.report.check()
    return join([piece for piece in pieces if piece is not None], source.line_at)


def _piece(source: Source, find: Find, name: str, where: Location) -> Piece | None:
    if not name:
        source.report.error(where, "a part is missing here", "write a name or a path between the `+`")
        return None
    try:
        return find(name, where)
    except UsageError as error:
        message, _, hint = str(error).partition("; ")
        source.report.error(where, message, hint)
        return None


@dataclass(frozen=True)
class Heading:
    """What a composition's text says of itself, besides its parts. `check_rule` complains about an unknown rule."""

    name: str
    class_name: str
    find: Find
    check_rule: Callable[[str, Location], None]


def read_composition(top: Fields, heading: Heading) -> Spec:
    """The rule of a text with `compose:`; it may have its own title, defaults, presets, claims and examples."""
    report = top.report
    top.check_keys(COMPOSITION_KEYS)
    node = top.get("compose")
    words = [item for item in node.items if isinstance(item, Word)] if isinstance(node, Listing) else []
    if not isinstance(node, Listing) or len(words) < max(2, len(node.items)):
        report.error(top.at("compose"), "compose is a list of two names or more", "write `compose: [RULE, TRANSFORM]`")
    asked = [_piece(top.source, heading.find, word.value, word.loc) for word in words]
    report.check()
    joined = join([piece for piece in asked if piece is not None], top.source.line_at)
    hypers = _with_defaults(top, joined.hypers)
    arguments = optional_arguments(joined.stages)

    def checker(what: str) -> Checker:
        return setting_checker(report, hypers, arguments, what)

    own = Part(heading.name, top.source.path, digest(top.source.text), top.source.text)
    text = bundled(own.text, joined.parts)
    spec = replace(
        joined,
        name=heading.name,
        title=top.word("title"),
        reference=top.word("reference") or joined.reference,
        class_name=heading.class_name,
        doc=top.text("doc") or joined.doc,
        hypers=hypers,
        presets=read_presets(top, checker("the preset")) or joined.presets,
        claims=read_claims(top, checker("the claim"), heading.check_rule),
        examples=read_examples(
            top, Context(joined.inputs, tuple(joined.states), False, checker("the example"), heading.check_rule)
        ),
        path=top.source.path,
        text=text,
        digest=digest(text),
        parts=(own, *joined.parts),
    )
    report.check()
    return spec


def _with_defaults(top: Fields, hypers: Mapping[str, Hyper]) -> Mapping[str, Hyper]:
    """The hypers with the defaults that the text gives instead of the parts'."""
    node = top.get("defaults")
    if node is None:
        return hypers
    if not isinstance(node, Table):
        top.report.error(node.loc, "defaults are a mapping of hypers", "write `defaults: {lr: 3.0e-4}`")
        return hypers
    given = read_settings(top.report, node, setting_checker(top.report, hypers, (), "defaults"))
    top.report.check()
    return MappingProxyType(
        {name: replace(h, default=h.accept(given[name])) if name in given else h for name, h in hypers.items()}
    )
