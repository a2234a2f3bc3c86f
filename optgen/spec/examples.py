"""Worked examples: numbers in, numbers out, with the tolerance that the written digits mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from optgen.errors import Location, suggest
from optgen.spec.declarations import Checker
from optgen.spec.document import Listing, Node, Table, Word
from optgen.spec.fields import Fields, read_expression, read_setting, resolve
from optgen.spec.model import SINGLE, Array, Example, Hyper, Input, Setting
from optgen.spec.source import Report
from optgen.spec.syntax import Expr, Name, walk

RESERVED = ("param", "expect", "rule")
Feed = tuple[Array | Expr | None, ...]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Context:
    """What an example is checked against. A transform's example also sets the rule it joins.

    `gradients` counts the gradients of every tensor, which have an axis then.
    """

    inputs: Mapping[str, Input]
    expected: tuple[str, ...]
    transform: bool
    check: Checker
    check_rule: Callable[[str, Location], None]
    gradients: Hyper | None = None


def read_examples(top: Fields, context: Context) -> tuple[Example, ...]:
    """The examples under `example`: one mapping, or a list of them."""
    node = top.get("example")
    if node is None:
        return ()
    found: list[Example] = []
    for item in node.items if isinstance(node, Listing) else (node,):
        if not isinstance(item, Table):
            top.report.error(item.loc, "an example is a mapping", "write `example: {param: [1.0], g: [1.0], ...}`")
        elif (example := _Reader(Fields(top.source, item, "the example"), context).read()) is not None:
            found.append(example)
    return tuple(found)


class _Reader:
    def __init__(self, fields: Fields, context: Context) -> None:
        self.fields = fields
        self.report: Report = fields.report
        self.context = context
        self.inputs = ("g", *context.inputs)
        self.single = False
        self.axis = self.first_axis()

    def first_axis(self) -> Shape:
        """The axis that gradients have before those of param."""
        hyper = self.context.gradients
        if hyper is None:
            return ()
        node = self.fields.get(hyper.name)
        count = hyper.default if node is None else read_setting(self.report, node, f'"{hyper.name}"')
        return (count,) if isinstance(count, int) else ()

    def read(self) -> Example | None:
        before = len(self.report)
        for key in ("param", "g", "expect"):
            if self.fields.get(key) is None:
                self.report.error(self.fields.table.loc, f'the example has no "{key}"', "give param, g and expect")
        if len(self.report) > before:
            return None
        rule = self.rule()
        param = self.tensors("param")
        feeds = {name: self.feed(name, param) for name in self.inputs if self.fields.get(name) is not None}
        for name in self.context.inputs:
            if name not in feeds:
                self.report.error(self.fields.table.loc, f'the example gives no "{name}"', "give every input")
        expect, tolerance = self.expect(param)
        steps = self.steps(feeds)
        if len(self.report) > before:
            return None
        frozen = MappingProxyType(param), MappingProxyType(feeds), MappingProxyType(expect), MappingProxyType(tolerance)
        return Example(self.settings(rule), *frozen, steps, rule, self.fields.table.loc)

    def rule(self) -> str | None:
        rule = self.fields.word("rule")
        where = self.fields.at("rule")
        if rule and not self.context.transform:
            self.report.error(where, "only a transform's example names a rule", "remove `rule:`")
        elif rule:
            self.context.check_rule(rule, where)
        elif self.context.transform:
            self.report.error(where, "the example of a transform joins a rule", "add `rule: NAME`")
        return rule or None

    def settings(self, rule: str | None) -> Mapping[str, Setting]:
        values: dict[str, Setting] = {}
        for name, node in self.fields.table.items.items():
            if name in RESERVED or name in self.inputs:
                continue
            values[name] = read_setting(self.report, node, f'"{name}"')
            if rule is None:
                self.context.check(name, values[name], self.fields.table.keys[name])
        return MappingProxyType(values)

    def tensors(self, key: str) -> dict[str, Array]:
        node = self.fields.get(key)
        if isinstance(node, Table):
            found = {name: self.array(entry) for name, entry in node.items.items()}
            if not found:
                self.report.error(node.loc, "the example has no tensors", "give at least one")
            return found
        self.single = True
        return {SINGLE: self.array(node)} if node is not None else {}

    def feed(self, name: str, param: Mapping[str, Array]) -> Mapping[str, Feed]:
        """One input: per tensor a tuple of steps. A model-wide input belongs to the tensor name ""."""
        node = self.fields.get(name)
        declared = self.context.inputs.get(name)
        if node is None:
            return MappingProxyType({})
        if declared is not None and declared.extent == "model":
            steps = node.items if isinstance(node, Listing) else (node,)
            return MappingProxyType({"": tuple(self.entry(step, None) for step in steps)})
        if isinstance(node, Table) is self.single:
            hint = "give param and its inputs both as lists, or both as mappings of tensors"
            self.report.error(node.loc, f'"{name}" does not match "param"', hint)
            return MappingProxyType({})
        entries = node.items if isinstance(node, Table) else {SINGLE: node}
        for missing in param.keys() - entries.keys():
            self.report.error(node.loc, f'"{name}" has no tensor "{missing}"', "write null for no gradient")
        for extra in entries.keys() - param.keys():
            hint = suggest(extra, param) or "remove it, or give it a value under param"
            self.report.error(entries[extra].loc, f'"{name}" has a tensor "{extra}" that "param" has not', hint)
        exact = declared is None or declared.extent == "elem"
        known = {tensor: entry for tensor, entry in entries.items() if tensor in param}
        axis = self.axis if name == "g" else ()
        shapes = {tensor: (*axis, *shape_of(param[tensor])) if exact else None for tensor in known}
        return MappingProxyType({tensor: self.per_step(known[tensor], shapes[tensor]) for tensor in known})

    def per_step(self, node: Node, shape: Shape | None) -> Feed:
        """One step of a shape (None: of any), or a list of steps."""
        exact = shape is not None
        if isinstance(node, Word):
            return (self.entry(node, shape),)
        if exact and isinstance(node, Listing) and _written_shape(node) == shape:
            return (self.entry(node, shape),)
        if isinstance(node, Listing) and node.items:
            return tuple(self.entry(step, shape) for step in node.items)
        self.report.error(
            node.loc, "neither numbers of param's shape nor a list of such, one per step", "write `[[1.0], [2.0]]`"
        )
        return ()

    def entry(self, node: Node, shape: Shape | None) -> Array | Expr | None:
        """The value of one step: numbers, null or an expression in param."""
        value = resolve(node) if isinstance(node, Word) else 0
        if value is None:
            return None
        if isinstance(value, str):
            return self.formula(node)
        array = self.array(node)
        if shape is not None and shape_of(array) != shape:
            message = f"numbers of shape {list(shape_of(array))}, where param has {list(shape)}"
            hint = "an input has param's shape, or is a list of such, one per step"
            if self.context.gradients is not None:
                message = f"numbers of shape {list(shape_of(array))}, where {list(shape)} is meant"
                hint = f"g has an axis of {self.context.gradients.name} before those of param"
            self.report.error(node.loc, message, hint)
        return array

    def formula(self, node: Node) -> Expr | None:
        value = read_expression(self.fields.source, node)
        for part in walk(value) if value is not None else ():
            if isinstance(part, Name) and part.id not in ("param", "pi"):
                self.report.error(part.loc, f'an input of an example cannot read "{part.id}"', 'it reads "param" only')
        return value

    def steps(self, feeds: Mapping[str, Mapping[str, Feed]]) -> int:
        counts = {len(steps) for feed in feeds.values() for steps in feed.values() if steps}
        if len(counts) > 1:
            message = "the inputs of the example have different numbers of steps"
            self.report.error(self.fields.at("g"), message, "give every tensor and input one entry per step")
        return max(counts, default=1)

    def expect(
        self, param: Mapping[str, Array]
    ) -> tuple[dict[str, Mapping[str, Array]], dict[str, Mapping[str, Array]]]:
        values: dict[str, Mapping[str, Array]] = {}
        bounds: dict[str, Mapping[str, Array]] = {}
        node = self.fields.get("expect")
        if not isinstance(node, Table) or not node.items:
            where = self.fields.at("expect") if node is None else node.loc
            self.report.error(where, '"expect" must be a mapping', "write `expect: {param: [0.9]}`")
            return values, bounds
        for name, entry in node.items.items():
            if not self.context.transform and name not in ("param", *self.context.expected):
                hint = suggest(name, ["param", *self.context.expected]) or "an example expects param and states"
                self.report.error(node.keys[name], f'"{name}" is neither param nor a state', hint)
                continue
            tensors = entry.items if isinstance(entry, Table) else {SINGLE if self.single else "": entry}
            for tensor in tensors.keys() - param.keys() - {""}:
                self.report.error(
                    tensors[tensor].loc, f'"param" has no tensor "{tensor}"', suggest(tensor, param) or "remove it"
                )
            values[name] = MappingProxyType({tensor: self.array(each) for tensor, each in tensors.items()})
            bounds[name] = MappingProxyType({tensor: tolerance_of(each) for tensor, each in tensors.items()})
            self.check_shape(name, tensors, values[name], param)
        return values, bounds

    def check_shape(
        self, name: str, nodes: Mapping[str, Node], values: Mapping[str, Array], param: Mapping[str, Array]
    ) -> None:
        if name != "param":
            return
        for tensor, array in values.items():
            shape = shape_of(param[tensor]) if tensor in param else None
            if shape != shape_of(array):
                self.report.error(
                    nodes[tensor].loc, "param is expected in another shape than it is given", "give it the same axes"
                )

    def array(self, node: Node | None) -> Array:
        """Rectangular, finite numbers."""
        if isinstance(node, Word):
            value = resolve(node)
            if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf"):
                return float(value)
            self.report.error(node.loc, f'"{node.value}" is not a finite number', "examples are made of numbers")
            return 0.0
        if isinstance(node, Listing):
            items = tuple(self.array(item) for item in node.items)
            if len({shape_of(item) for item in items}) > 1:
                self.report.error(node.loc, "the rows of these numbers differ in length", "fill them up")
                return 0.0
            return items
        self.report.error(
            self.fields.table.loc if node is None else node.loc, "numbers are expected here", "write `[1.0, 2.0]`"
        )
        return 0.0


def shape_of(array: Array) -> Shape:
    """The shape of numbers in tuples."""
    if not isinstance(array, tuple):
        return ()
    return (len(array), *shape_of(array[0])) if array else (0,)


def _written_shape(node: Node) -> Shape | None:
    """The shape of numbers as written; None where something else stands among them."""
    if isinstance(node, Word):
        value = resolve(node)
        return () if isinstance(value, int | float) and not isinstance(value, bool) else None
    if isinstance(node, Table):
        return None
    inner = {_written_shape(item) for item in node.items}
    if not inner:
        return (0,)
    first = next(iter(inner))
    return None if len(inner) > 1 or first is None else (len(node.items), *first)


def tolerance_of(node: Node) -> Array:
    """Half a unit of the last digit of each number as written, in the same nesting."""
    if isinstance(node, Listing):
        return tuple(tolerance_of(item) for item in node.items)
    if not isinstance(node, Word):
        return 0.0
    digits = re.fullmatch(r"[-+]?\d*(?:\.(?P<places>\d*))?(?:[eE](?P<power>[-+]?\d{1,3}))?", node.value)
    if digits is None:
        return 0.0
    return 0.5 * 10.0 ** (int(digits["power"] or 0) - len(digits["places"] or ""))
