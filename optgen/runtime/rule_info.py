"""What a front end knows about a rule: the part of a rule's text that generated classes carry, as frozen data."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, cast

from optgen.errors import HyperError, UsageError, suggest

HyperKind = Literal["float", "int", "bool", "choice", "list"]
Number: TypeAlias = bool | int | float
HyperValue: TypeAlias = Number | str | tuple[float | int, ...]

#: Values of a group's hyper-parameters by the rule's own names. Which type a value has is its kind's affair, so that
#: the conditions of a rule read as they are written.
Hypers: TypeAlias = Mapping[str, Any]
Settled: TypeAlias = dict[str, bool | int | str]

#: What the step of one element depends on, from itself alone to every tensor of the model.
Reach: TypeAlias = Literal["elem", "tensor", "layer", "model"]
REACHES: tuple[Reach, ...] = ("elem", "tensor", "layer", "model")

#: Key of `Settled` that every rule has: whether the gradient's sign is flipped before anything reads it.
MAXIMIZE = "maximize"
#: Key of `Settled` that rules with a graph have: whether edges between layers of different shapes count.
COUPLING = "coupling"
TRANSPORT, MATCH = "transport", "match"


@dataclass(frozen=True)
class Domain:
    """An interval of numbers. NaN is in none; an infinity only where the interval has no bound on that side."""

    text: str
    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    def contains(self, value: float) -> bool:
        """Whether a number lies in the interval."""
        above = value > self.low if self.low_open else value >= self.low
        below = value < self.high if self.high_open else value <= self.high
        return above and below


@dataclass(frozen=True)
class HyperInfo:
    """A hyper-parameter.

    `argument` is where a parameter group keeps it: `lr`, or `betas[0]` for one entry of a pair. `per_parameter` names
    the argument that gives it one value per parameter, if there is one.
    """

    name: str
    kind: HyperKind
    default: HyperValue
    argument: str
    domain: Domain | None = None
    choices: tuple[str, ...] = ()
    over: Literal["tensor", "model"] = "tensor"
    per_parameter: str = ""
    doc: str = ""

    @property
    def key(self) -> str:
        """Key of a parameter group under which the value is found."""
        return self.argument.partition("[")[0]

    @property
    def index(self) -> int | None:
        """Entry of the value under `key`, or None where the value is the hyper itself."""
        entry = self.argument.partition("[")[2]
        return int(entry.removesuffix("]")) if entry else None


@dataclass(frozen=True)
class Meta:
    """What is known of a tensor without looking at its values, under the rule's matrix view."""

    numel: int
    ndim: int
    rows: int
    cols: int
    matrices: int
    depth: float
    role: str


StartValue: TypeAlias = float | int | Literal["zeros", "copy"]

#: Starting value of a state slot from the group's hypers and the tensor's metadata: a number, `"zeros"` for zeros
#: like the parameter, or `"copy"` for a copy of it.
Start: TypeAlias = Callable[[Hypers, Meta], StartValue]


def zeros(_hyper: Hypers, _meta: Meta) -> StartValue:
    """Starts as zeros like the parameter."""
    return "zeros"


def copy(_hyper: Hypers, _meta: Meta) -> StartValue:
    """Starts as a copy of the parameter."""
    return "copy"


@dataclass(frozen=True)
class StateInfo:
    """A state slot. `starts` has one entry, or one per entry of a short vector. An empty dtype means the default:
    the parameter's for an element-wise slot, float32 or wider for coarser ones."""

    name: str
    extent: str
    starts: tuple[Start, ...]
    vector: bool = False
    dtype: str = ""
    torch_name: str = ""
    optax_name: str = ""
    doc: str = ""

    def slots(self) -> tuple[str, ...]:
        """Names of the kernel's slots: the state's own, or one per entry of a short vector."""
        if not self.vector:
            return (self.name,)
        return tuple(f"{self.name}[{entry}]" for entry in range(len(self.starts)))


@dataclass(frozen=True)
class InputInfo:
    """A value passed to every step by the caller."""

    name: str
    extent: str
    doc: str = ""


@dataclass(frozen=True)
class Requirement:
    """A condition between hyper-parameters, as written and as a function of them."""

    text: str
    holds: Callable[[Hypers], bool]


@dataclass(frozen=True)
class Fit:
    """A condition between hyper-parameters and a tensor's metadata, as written and as a function of them."""

    text: str
    holds: Callable[[Hypers, Meta], bool]


#: Beside the hypers, what conditions of cautions read.
MAX_DEGREE = "max_degree"


@dataclass(frozen=True)
class Caution:
    """What to say when an optimizer is made and a condition holds of its hypers and the graph's largest degree."""

    text: str
    holds: Callable[[Hypers], bool]
    say: str


Needs: TypeAlias = Callable[[Hypers, Meta], frozenset[str]]
#: Which of the rules that `else` joins a tensor gets.
Arm: TypeAlias = Callable[[Hypers, Meta], str]


def _no_presets() -> Mapping[str, Mapping[str, object]]:
    return MappingProxyType({})


def _no_quirks() -> Mapping[str, Callable[[Hypers], bool]]:
    return MappingProxyType({})


def _nothing_shown() -> Mapping[str, Callable[[Hypers, int], float]]:
    return MappingProxyType({})


@dataclass(frozen=True)
class RuleInfo:
    """A rule as its generated optimizer knows it.

    `settle` gives the choices and the truth of every condition on hyper-parameters alone: kernels are built for these.
    `needs` gives the states that a tensor can ever need (None: all of them); `structural` names the hypers it reads.
    `shows` gives numbers that an optimizer shows of itself, from a group's hypers and the number of its latest step.
    `presets` are sets of arguments by name, as the front end spells them.
    `arm` says which of several rules, `arms`, a tensor gets (None: there is but one).
    `origin` says where the rule's text is, for building kernels that no folder holds: `"shipped"`, a path, or empty
    where only `folder` may serve. `reach` is what the step of one element depends on; `counts` says whether the number
    of a parameter's updates matters beyond the first. `evaluation` is the rule that sets the weights to evaluate with;
    names of its files in `folder` begin with its `prefix`. `metrics` are the names of what it measures of itself.
    `quirks` are what a front end does as published code does, each while a condition on hypers holds.
    `gradients` names the hyper that counts the gradients of every tensor, where there are several.
    """

    name: str
    title: str
    class_name: str
    digest: str
    hypers: tuple[HyperInfo, ...]
    states: tuple[StateInfo, ...]
    settle: Callable[[Hypers], Settled]
    reference: str = ""
    needs: Needs | None = None
    arm: Arm | None = None
    arms: tuple[str, ...] = ()
    structural: tuple[str, ...] = ()
    inputs: tuple[InputInfo, ...] = ()
    require: tuple[Requirement, ...] = ()
    fits: tuple[Fit, ...] = ()
    cautions: tuple[Caution, ...] = ()
    shows: Mapping[str, Callable[[Hypers, int], float]] = field(default_factory=_nothing_shown)
    presets: Mapping[str, Mapping[str, object]] = field(default_factory=_no_presets)
    matrix: str = "trailing"
    layers: bool = False
    graph: bool = False
    depth: bool = False
    reach: Reach = "model"
    counts: bool = True
    folder: str = ""
    origin: str = ""
    prefix: str = ""
    evaluation: RuleInfo | None = None
    metrics: tuple[str, ...] = ()
    quirks: Mapping[str, Callable[[Hypers], bool]] = field(default_factory=_no_quirks)
    gradients: str = ""

    def gradient_count(self, hypers: Hypers) -> int:
        """How many gradients a tensor has, along a first axis; 0 where it has one, and no axis for it."""
        return int(cast(int, hypers[self.gradients])) if self.gradients else 0

    def hyper(self, name: str) -> HyperInfo:
        """The hyper-parameter of that name."""
        return next(hyper for hyper in self.hypers if hyper.name == name)

    def state(self, name: str) -> StateInfo:
        """The state of that name."""
        return next(state for state in self.states if state.name == name)

    def settled(self, hypers: Hypers, maximize: bool = False, coupling: str = TRANSPORT) -> Settled:
        """All that kernels are built for: the rule's own choices and those that every rule has."""
        graph = {COUPLING: TRANSPORT if coupling == TRANSPORT else MATCH} if self.graph else {}
        return self.settle(hypers) | {MAXIMIZE: maximize} | graph

    def has_quirk(self, name: str, hypers: Hypers) -> bool:
        """Whether a front end is to do what this quirk says; hypers that are not given have their defaults."""
        holds = self.quirks.get(name)
        return holds is not None and holds({**self.defaults(), **hypers})

    def preset(self, name: str) -> dict[str, Any]:
        """The arguments of a preset. UsageError for a name that is none."""
        if name not in self.presets:
            hint = suggest(name, self.presets) or f"there are: {', '.join(self.presets) or 'none'}"
            raise UsageError(f'{self.class_name} has no preset "{name}"; {hint}')
        return deepcopy(dict(self.presets[name]))

    def read_by(self, text: str) -> list[HyperInfo]:
        """The hyper-parameters that a condition as written reads."""
        return [hyper for hyper in self.hypers if mentions(text, hyper.name)]

    def check_fit(self, name: str, hypers: Hypers, meta: Meta) -> None:
        """HyperError that names a tensor and the condition that it breaks; those on hypers not given are left out."""
        for fit in self.fits:
            read = self.read_by(fit.text)
            if all(hyper.name in hypers for hyper in read) and not fit.holds(hypers, meta):
                known: dict[str, object] = {hyper.argument: hypers[hyper.name] for hyper in read}
                known |= {f"{k}(param)": v for k, v in vars(meta).items() if f"{k}(param)" in fit.text}
                values = ", ".join(f"{k} = {v!r}" for k, v in known.items())
                raise HyperError(f"{self.class_name}: {name} breaks the condition {fit.text} ({values})")

    def warnings(self, hypers: Hypers, max_degree: float = 0.0) -> list[str]:
        """What to say of these values, and of a graph of layers with this largest weighted degree."""
        given = {**hypers, MAX_DEGREE: max_degree}
        return [
            f"{self.class_name}: {caution.say} ({caution.text}, "
            + ", ".join(
                f"{name} = {given[name]:g}" if isinstance(given[name], float) else f"{name} = {given[name]}"
                for name in given
                if mentions(caution.text, name)
            )
            + ")"
            for caution in self.cautions
            if caution.holds(given)
        ]

    def defaults(self) -> dict[str, HyperValue]:
        """Default of every hyper-parameter, by the rule's own names."""
        return {hyper.name: hyper.default for hyper in self.hypers}


def mentions(text: str, name: str) -> bool:
    """Whether a condition as written reads a name."""
    return re.search(rf"\b{re.escape(name)}\b", text) is not None


#: Matrix views that look for the axis of output units.
UNITS = ("units", "wide")


def view(shape: tuple[int, ...], matrix: str) -> tuple[int, int, int]:
    """(matrices, rows, cols) of a tensor under a matrix view; below two axes there is one row."""
    numel = math.prod(shape)
    if len(shape) < 2:
        return 1, 1, numel
    if matrix == "square":
        rows = next((r for r in range(math.isqrt(numel), 0, -1) if numel % r == 0), 1)
        return 1, rows, numel // rows
    if matrix == "trailing":
        return math.prod(shape[:-2]), shape[-2], shape[-1]
    rows, cols = shape[0], math.prod(shape[1:])
    if matrix == "wide" and rows > cols:
        rows, cols = cols, rows
    return 1, rows, cols


def meta_of(shape: tuple[int, ...], matrix: str, depth: float, role: str, *, units_last: bool = False) -> Meta:
    """Metadata of a tensor of some shape; the axis of output units is the first one, or as in JAX the last."""
    first = (*shape[-1:], *shape[:-1]) if units_last and matrix in UNITS else shape
    matrices, rows, cols = view(first, matrix)
    return Meta(math.prod(shape), len(shape), rows, cols, matrices, depth, role)
