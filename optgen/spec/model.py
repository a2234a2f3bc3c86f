"""What a rule text declares, as frozen data: `Spec` and its parts."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from types import MappingProxyType
from typing import Literal

from optgen.errors import HyperError, Location, suggest
from optgen.spec.syntax import NOWHERE, Expr, Stmt

STAGES = ("probe", "gradient", "direction", "update")
"""The stages of a rule, in the order they run."""

EXTENTS = ("model", "layer", "tensor", "matrix", "row", "col", "elem")
"""Coarse to fine; row and col meet in elem."""

HyperKind = Literal["float", "int", "bool", "choice", "list", "base"]
Scalar = float | int | bool | str
Value = Scalar | tuple[float | int, ...]
Setting = Scalar | None | tuple["Setting", ...]
"""A value as written in a preset, claim or example: a scalar or list (of lists)."""

Array = float | tuple["Array", ...]
"""Numbers of a worked example, one tuple per axis of the tensor."""

Matrix = Literal["trailing", "units", "wide", "square"] | tuple[Literal["blocks"], Expr]


@dataclass(frozen=True)
class Domain:
    """A set of numbers: an interval, of reals or of ints. NaN is in none of them."""

    text: str
    kind: Literal["float", "int"] = "float"
    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    def contains(self, value: float) -> bool:
        """Whether a number lies in the set; infinities only where the interval has no bound on that side."""
        if math.isnan(value) or (self.kind == "int" and (math.isinf(value) or value != int(value))):
            return False
        above = value > self.low if self.low_open else value >= self.low
        below = value < self.high if self.high_open else value <= self.high
        return above and below

    @property
    def words(self) -> str:
        """The set in words that continue "must be ..."."""
        body = self.text.strip().removeprefix("int").strip()
        if body[:1] in ("[", "("):
            body = "in " + body
        return " ".join(word for word in ("an int" if self.kind == "int" else "", body) if word)

    @classmethod
    def parse(cls, text: str) -> Domain:
        """Read `>= 0`, `[0, 1)`, `int >= 1`, ...; a ValueError says what is wrong."""
        words = text.strip()
        kind: Literal["float", "int"] = "float"
        if re.match(r"int\b", words):
            kind, words = "int", words[3:].strip()
            if not words:
                return cls(text, "int")
        if ray := _RAY.fullmatch(words):
            bound, strict = float(ray["bound"]), len(ray["op"]) == 1
            if ray["op"][0] == ">":
                return cls(text, kind, low=bound, low_open=strict)
            return cls(text, kind, high=bound, high_open=strict)
        if interval := _INTERVAL.fullmatch(words):
            low, high = float(interval["low"]), float(interval["high"])
            if not low < high and not (low == high and interval["left"] + interval["right"] == "[]"):
                raise ValueError(f"the interval {words} is empty")
            return cls(text, kind, low, high, interval["left"] == "(", interval["right"] == ")")
        raise ValueError(f'"{text}" is not a domain')


_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_RAY = re.compile(rf"(?P<op>>=|<=|>|<)\s*(?P<bound>{_NUMBER})")
_INTERVAL = re.compile(rf"(?P<left>[\[(])\s*(?P<low>{_NUMBER})\s*,\s*(?P<high>{_NUMBER})\s*(?P<right>[\])])")


def _shown(value: Setting) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _empty() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True)
class Hyper:
    """A hyper-parameter. `names` spells it per framework (`torch: d`, `torch: eps[0]`).

    A hyper of kind `base` belongs to the rule a transform joins; its `default` is the empty string.
    """

    name: str
    default: Value
    kind: HyperKind = "float"
    domain: Domain | None = None
    choices: tuple[str, ...] = ()
    over: Literal["tensor", "model"] = "tensor"
    doc: str = ""
    symbol: str = ""
    names: Mapping[str, str] = field(default_factory=_empty)
    loc: Location = field(default=NOWHERE, compare=False, repr=False)

    def accept(self, value: Setting) -> Value:
        """The value as this hyper stores it (1 becomes 1.0 for a float). HyperError says why it cannot be taken."""
        if self.kind == "choice":
            if isinstance(value, str) and value in self.choices:
                return value
            hint = suggest(value, self.choices) if isinstance(value, str) else ""
            offered = ", ".join(f'"{choice}"' for choice in self.choices)
            raise HyperError(
                f"{self.name} must be one of {offered}, got {_shown(value)}" + (f"; {hint}" if hint else "")
            )
        if self.kind == "bool":
            if isinstance(value, bool):
                return value
            raise HyperError(f"{self.name} must be true or false, got {_shown(value)}")
        if self.kind == "list":
            default = self.default if isinstance(self.default, tuple) else ()
            if not isinstance(value, tuple) or len(value) != len(default):
                raise HyperError(f"{self.name} must be a list of {len(default)} numbers, got {_shown(value)}")
            return tuple(self._number(entry) for entry in value)
        return self._number(value)

    def _number(self, value: Setting) -> float | int:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise HyperError(f"{self.name} must be a number, got {_shown(value)}")
        try:
            number = float(value)
        except OverflowError:
            raise HyperError(f"{self.name} must be a number that float64 holds, got {_shown(value)}") from None
        if math.isnan(number):
            raise HyperError(f"{self.name} must be a number, got NaN")
        if self.domain is not None and not self.domain.contains(number):
            raise HyperError(f"{self.name} must be {self.domain.words}, got {_shown(value)}")
        return int(value) if self.kind == "int" else number


@dataclass(frozen=True)
class State:
    """A slot kept between steps. `start` is a tuple for a short vector; `base` marks the joined rule's own slot."""

    name: str
    start: Expr | tuple[Expr, ...]
    dtype: str | None = None
    base: bool = False
    doc: str = ""
    symbol: str = ""
    names: Mapping[str, str] = field(default_factory=_empty)
    loc: Location = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True)
class Input:
    """A value passed to the step by the caller, of a declared extent."""

    name: str
    extent: str
    doc: str = ""
    loc: Location = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True)
class Metric:
    """A named value computed when asked for."""

    name: str
    value: Expr
    loc: Location = field(default=NOWHERE, compare=False, repr=False)
    text: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True)
class Caution:
    """What to say when an optimizer is made with values for which a condition holds; `text` is the condition."""

    when: Expr
    text: str
    say: str


@dataclass(frozen=True)
class Claim:
    """`reduces_to`: with the settings in `when`, this rule makes the same steps as `rule`."""

    kind: Literal["reduces_to"]
    rule: str
    when: Mapping[str, Setting]
    loc: Location = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True)
class Example:
    """A worked example. A rule written for a single unnamed tensor calls it `SINGLE`.

    `feeds[input][tensor]` has one entry per step: numbers, None for no gradient, or an expression in `param`. Values
    that belong to no tensor (a model-wide input or state) are under the tensor name `""`.
    `tolerance` has the shape of `expect`: half a unit of the last digit written.
    """

    settings: Mapping[str, Setting]
    param: Mapping[str, Array]
    feeds: Mapping[str, Mapping[str, tuple[Array | Expr | None, ...]]]
    expect: Mapping[str, Mapping[str, Array]]
    tolerance: Mapping[str, Mapping[str, Array]]
    steps: int
    rule: str | None = None
    loc: Location = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True)
class Part:
    """One text that a joined rule was made of. `asked` is the name or path that asked for it."""

    asked: str
    path: str
    digest: str
    text: str = field(repr=False)
    source: str = field(default="", compare=False, repr=False)

    @property
    def name(self) -> str:
        """A short name: what asked for it, or the name of the file."""
        return self.asked if self.asked.isidentifier() else PurePath(self.path).stem

    def line(self, number: int) -> str:
        """The text of a 1-based line, empty past the end."""
        lines = (self.source or self.text).split("\n")
        return lines[number - 1] if 0 < number <= len(lines) else ""


SINGLE = "w"
"""Name of the tensor of an example that gives a plain list."""


@dataclass(frozen=True)
class Spec:
    """One rule (or transform) as written, checked by itself; extents are not known yet.

    A rule joined of several texts lists them in `parts`; its `text` holds them all and can be read by itself, and its
    `path` is what `load` takes to join them again. Positions lie in `source`, where that is not `text`: in a rule
    written as Python, whose `text` is its YAML. One that `evaluates` sets weights to evaluate with, and steps nothing.
    `gradients` names the hyper that counts the gradients of every tensor, along a first axis; empty for one without.
    """

    name: str
    kind: Literal["rule", "transform"]
    title: str
    reference: str
    class_name: str
    doc: str
    matrix: Matrix
    when: Expr | None
    otherwise: str | None
    hypers: Mapping[str, Hyper]
    require: tuple[tuple[Expr, str], ...]
    cautions: tuple[Caution, ...]
    presets: Mapping[str, Mapping[str, Setting]]
    inputs: Mapping[str, Input]
    states: Mapping[str, State]
    stages: Mapping[str, tuple[Stmt, ...]]
    evaluate: Expr | None
    claims: tuple[Claim, ...]
    examples: tuple[Example, ...]
    metrics: tuple[Metric, ...]
    shows: tuple[Metric, ...]
    path: str
    text: str = field(repr=False)
    digest: str
    parts: tuple[Part, ...] = ()
    source: str = field(default="", compare=False, repr=False)
    evaluates: bool = False
    quirks: Mapping[str, Expr] = field(default_factory=lambda: MappingProxyType[str, Expr]({}))
    gradients: str = ""

    @property
    def gradient_count(self) -> int:
        """How many gradients a tensor has by default; 0 where it has one, and no axis for it."""
        return int(float(str(self.hypers[self.gradients].default))) if self.gradients else 0

    @property
    def own_part(self) -> Part:
        """The text of a rule that was made of one."""
        return Part(self.name, self.path, self.digest, self.text, self.source)

    def line(self, where: Location) -> str:
        """The line of text at a place in this rule's texts, empty where there is none."""
        parts = self.parts or (self.own_part,)
        return next((part.line(where.line) for part in parts if part.path == where.path), "")

    @property
    def made_of(self) -> str:
        """The texts a joined rule was made of, each with the start of its digest; empty for a rule of one text."""
        return " + ".join(f"{part.name} {part.digest[:16]}" for part in self.parts)
