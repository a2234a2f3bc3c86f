"""A rule written as a Python function, which is read and never run: `optgen.rule`."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeGuard, cast

from optgen.authoring.declarations import Declaration, Plain, node
from optgen.authoring.yaml_text import yaml_text
from optgen.errors import Location, UsageError
from optgen.spec.document import Node, Table, Word
from optgen.spec.loader import assemble
from optgen.spec.model import Spec
from optgen.spec.source import Source
from optgen.spec.vocabulary import GIVENS, VERSION


class Function(Protocol):
    """What `def` makes."""

    __name__: str
    __kwdefaults__: dict[str, object] | None
    __defaults__: tuple[object, ...] | None


def spec_of(function: object, about: Mapping[str, Plain]) -> Spec:
    """The rule that a function writes down; `about` are further keys of the rule text.

    Raises UsageError where the function's source cannot be had or its signature is no rule's, SpecError, with positions
    in the file or notebook cell, for what its body gets wrong.
    """
    if not _is_function(function):
        raise UsageError(f"optgen.rule takes a function made by `def`, not {function!r}")
    written = _Written.of(function)
    entries: dict[str, tuple[Location, Node]] = {}
    where = written.at(written.tree.lineno, written.tree.col_offset)
    title, doc = written.documentation()
    basics: dict[str, Plain] = {"optgen": VERSION, "name": written.tree.name, "title": title}
    for key, value in {**basics, **({"doc": doc} if doc else {}), **about}.items():
        entries[key] = (where, node(value, where))
    for kind, names in written.declared(function).items():
        places = {name: place for name, (place, _) in names.items()}
        entries[kind] = (where, Table({name: made for name, (_, made) in names.items()}, places, where))
    for stage, body in written.stages().items():
        entries[stage] = (where, body)
    table = Table({key: made for key, (_, made) in entries.items()}, {k: at for k, (at, _) in entries.items()}, where)
    return assemble(written.source, table, yaml_text(table))


def _is_function(value: object) -> TypeGuard[Function]:
    return inspect.isfunction(value) and value.__name__ != "<lambda>"


@dataclass(frozen=True)
class _Written:
    """A function's definition, with lines counted as in its file."""

    source: Source
    tree: ast.FunctionDef
    indent: int

    @classmethod
    def of(cls, function: Function) -> _Written:
        assert inspect.isfunction(function)
        try:
            lines, first = inspect.getsourcelines(function)
        except (OSError, TypeError, IndentationError, SyntaxError) as error:
            raise UsageError(
                f"the source of {function.__name__} cannot be read ({error}), and a rule is read from its source. "
                "Write the function in a file or a notebook cell, or the rule as YAML: optgen.loads(text)"
            ) from None
        path = inspect.getsourcefile(function) or function.__code__.co_filename
        indent = len(lines[0]) - len(lines[0].lstrip())
        source = Source("\n" * (first - 1) + "".join(lines), path)
        parsed = ast.parse("".join(_without_indent(line, indent) for line in lines))
        ast.increment_lineno(parsed, first - 1)
        (tree,) = parsed.body
        if not isinstance(tree, ast.FunctionDef):
            raise UsageError(f"{path}:{first}: optgen.rule takes a plain function, made by `def`")
        return cls(source, tree, indent)

    def at(self, line: int, column: int) -> Location:
        """The place of a 1-based line and 0-based column of the definition."""
        return self.source.at(line, self.indent + column + 1)

    def refuse(self, where: ast.expr | ast.arg, message: str, hint: str) -> None:
        """Note a complaint about the signature."""
        self.source.report.error(self.at(where.lineno, where.col_offset), message, hint)

    # The docstring: title and documentation

    def documentation(self) -> tuple[str, str]:
        """Its first line, which is the title, and the rest; a function without one is titled by its name."""
        first, _, rest = (ast.get_docstring(self.tree) or "").expandtabs().partition("\n")
        title = first.strip().removesuffix(".") or self.tree.name.replace("_", " ").capitalize()
        return title, rest.strip()

    # The signature: what is declared

    def declared(self, function: Function) -> dict[str, dict[str, tuple[Location, Node]]]:
        """Hypers, states and inputs by their key in a rule text: where each stands, and what it is."""
        found: dict[str, dict[str, tuple[Location, Node]]] = {}
        for argument, default, value in self._arguments(function):
            if default is None:
                self._check_given(argument)
                continue
            declaration = self._declaration(argument, default, value)
            if declaration is not None:
                place = self.at(argument.lineno, argument.col_offset)
                fields = self._fields(default, declaration)
                found.setdefault(declaration.kind, {})[argument.arg] = (place, fields)
        self.source.report.check()
        return found

    def _arguments(self, function: Function) -> Sequence[tuple[ast.arg, ast.expr | None, object]]:
        """Every argument with the text and the value of its default."""
        given = self.tree.args
        for star in (given.vararg, given.kwarg):
            if star is not None:
                self.refuse(star, "a rule has no * arguments", "name its hypers, states and inputs")
        plain = [*given.posonlyargs, *given.args]
        values = function.__defaults__ or ()
        missing: list[None] = [None] * (len(plain) - len(values))
        named = function.__kwdefaults__ or {}
        return [
            *zip(plain, [*missing, *given.defaults], [*missing, *values], strict=True),
            *(
                (argument, default, named.get(argument.arg))
                for argument, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)
            ),
        ]

    def _check_given(self, argument: ast.arg) -> None:
        if argument.arg not in GIVENS:
            hint = f"write `{argument.arg}=0.9` for a hyper, or `=optgen.hyper(...)`, `=optgen.state(...)`"
            what = ", ".join(GIVENS)
            self.refuse(argument, f'"{argument.arg}" has no default and is none of what is given: {what}', hint)

    def _declaration(self, argument: ast.arg, default: ast.expr, value: object) -> Declaration | None:
        match value:
            case Declaration():
                return value
            case bool() | int() | float():
                return Declaration("hyper", {"default": value})
            case list() | tuple():
                entries = cast("Sequence[object]", value)
                numbers = [each for each in entries if isinstance(each, int | float) and not isinstance(each, bool)]
                if len(numbers) == len(entries):
                    return Declaration("hyper", {"default": numbers})
            case _:
                pass
        hint = "a number, true or false, optgen.hyper(...), optgen.state(...) or optgen.input(...)"
        if isinstance(value, str):
            hint = f'a word needs its choices: `{argument.arg}=optgen.hyper("{value}", choices=[...])`'
        self.refuse(default, f'the default of "{argument.arg}" declares nothing', hint)
        return None

    def _fields(self, default: ast.expr, declaration: Declaration) -> Table:
        """A declaration's fields, each where it is written: a state's start is an expression with a place."""
        places: dict[str, ast.expr] = {}
        if isinstance(default, ast.Call):
            places = dict(zip(declaration.fields, default.args, strict=False))
            places |= {each.arg: each.value for each in default.keywords if each.arg is not None}
        at = {key: places.get(key, default) for key in declaration.fields}
        spots = {key: self.at(place.lineno, place.col_offset) for key, place in at.items()}
        items = {key: node(value, spots[key]) for key, value in declaration.fields.items()}
        return Table(items, spots, self.at(default.lineno, default.col_offset))

    # The body: the stages

    def stages(self) -> dict[str, Word]:
        """The body as `direction`, up to where `d` is assigned last, and `update`; without such a `d`, as `update`."""
        body = self.tree.body[1:] if ast.get_docstring(self.tree) is not None else self.tree.body
        if not body:
            where = self.at(self.tree.lineno, self.tree.col_offset)
            self.source.report.error(where, "this rule has no equations", "end with `param = ...`")
            self.source.report.check()
        if self._before(body[0]).strip():
            return {"update": self._inline(body)}
        cut = max((i for i, statement in enumerate(body, 1) if _assigns_direction(statement)), default=0)
        if cut < len(body) and self._before(body[cut]).strip():
            cut = 0  # two statements on one line stay together
        parts = {"direction": body[:cut], "update": body[cut:]}
        return {stage: self._block(part) for stage, part in parts.items() if part}

    def _before(self, statement: ast.stmt) -> str:
        """What stands on a statement's line before it."""
        return self.source.line(statement.lineno)[: self.indent + statement.col_offset]

    def _inline(self, body: Sequence[ast.stmt]) -> Word:
        """A body on the line of its `def`."""
        start, end = body[0], body[-1]
        text = self.source.line(start.lineno)[: self.indent + (end.end_col_offset or 0)]
        place = self.at(start.lineno, start.col_offset)
        return Word(text[self.indent + start.col_offset :], "", place, place)

    def _block(self, body: Sequence[ast.stmt]) -> Word:
        """Statements on lines of their own, with the comments above them."""
        first, last = body[0].lineno, body[-1].end_lineno or body[-1].lineno
        while _is_comment(self.source.line(first - 1)):
            first -= 1
        indent = self.indent + body[0].col_offset
        lines = [_without_indent(self.source.line(number), indent) for number in range(first, last + 1)]
        place = self.source.at(first - 1, 1)
        return Word("\n".join(lines), "|", place, place)


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith("#")


def _without_indent(line: str, indent: int) -> str:
    """A line without so many spaces; a line that has fewer (inside brackets, a comment) starts at the margin."""
    return line[indent:] if not line[:indent].strip() else line.lstrip(" ")


def _assigns_direction(statement: ast.stmt) -> bool:
    return any(
        isinstance(each, ast.Name) and each.id == "d" and isinstance(each.ctx, ast.Store)
        for each in ast.walk(statement)
    )
