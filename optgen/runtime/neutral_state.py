"""Optimizer state that belongs to no framework: what a front end writes and any other reads.

A `NeutralState` holds NumPy arrays under the rule's own names for parameters, hypers and state. `neutral_file` keeps
one in a safetensors file, which docs/state.md describes. Front ends turn theirs into one and back; nothing here imports
a framework. Shapes: element-wise state is shaped like its parameter, row state (matrices, rows), column state
(matrices, columns), matrix state (matrices,), everything coarser is 0-d; a short vector has its entries along a first
axis.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import translate
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optgen.errors import StateError, UsageError, suggest
from optgen.runtime.rule_info import UNITS, HyperValue, RuleInfo
from optgen.runtime.storage import MASTER

#: bfloat16 is the type of that name in ml_dtypes, as JAX has it.
Array: TypeAlias = NDArray[Any]
#: New names by old: a map whose keys may hold `*`, which the new name takes over in turn, or a function.
Names: TypeAlias = Mapping[str, str] | Callable[[str], str]
#: Orders of a parameter's axes by its name, in which `*` may stand for anything; True exchanges the last two.
Axes: TypeAlias = Mapping[str, Sequence[int] | bool]


@dataclass(frozen=True)
class SlotInfo:
    """What a state is: its extent, and whether it is a short vector."""

    extent: str
    vector: bool = False


@dataclass(frozen=True)
class Parameter:
    """A parameter and the state kept for it.

    `shape` is None where no state tells it. `updates` are those it has completed. `hypers` are values of its own,
    `layer` and `depth` what a rule that looks at layers knows of it.
    """

    name: str
    shape: tuple[int, ...] | None
    dtype: str
    updates: int
    state: Mapping[str, Array]
    group: int = 0
    layer: str = ""
    depth: float | None = None
    hypers: Mapping[str, HyperValue] = field(default_factory=dict[str, HyperValue])


@dataclass(frozen=True)
class Group:
    """Settings of some parameters: hypers by the rule's own names. `extra` is what a caller keeps beside them."""

    hypers: Mapping[str, HyperValue]
    maximize: bool = False
    extra: Mapping[str, object] = field(default_factory=dict[str, object])


@dataclass(frozen=True)
class GraphInfo:
    """How layers are joined: edges between layers by name (None: a path in their order), and two words."""

    edges: tuple[tuple[str, str, float], ...] | None
    laplacian: str
    coupling: str


@dataclass(frozen=True)
class NeutralState:
    """The state of one optimizer after `global_step` steps. `digest` is that of the rule's text, `seed` that of its
    random bits, if it draws any; `named` says whether parameters have names or only places."""

    rule: str
    digest: str
    global_step: int
    groups: tuple[Group, ...]
    parameters: tuple[Parameter, ...]
    slots: Mapping[str, SlotInfo]
    matrix: str = "trailing"
    graph: GraphInfo | None = None
    seed: int | None = None
    named: bool = True
    framework: str = ""

    @property
    def hypers(self) -> Mapping[str, HyperValue]:
        """Hypers of the first group."""
        return self.groups[0].hypers if self.groups else {}

    def parameter(self, name: str) -> Parameter:
        """The parameter of a name. UsageError if there is none."""
        found = next((parameter for parameter in self.parameters if parameter.name == name), None)
        if found is None:
            names = [parameter.name for parameter in self.parameters]
            raise UsageError(f'the state has no parameter "{name}". {suggest(name, names)}'.rstrip())
        return found

    def check_rule(self, rule: RuleInfo) -> None:
        """StateError for the state of another rule, or of a text whose states are other ones."""
        if self.rule != rule.name:
            raise StateError(f"this is the state of {self.rule}, and the optimizer's rule is {rule.name}")
        known = {info.name: SlotInfo(info.extent, info.vector) for info in rule.states}
        for name, info in self.slots.items():
            if name != MASTER and known.get(name) != info:
                raise StateError(
                    f'the state was written by another text of {rule.name}: its state "{name}" is '
                    f"{_kind(info)}, here {'there is none' if name not in known else _kind(known[name])}"
                )

    # --- other names, other layouts

    def renamed(self, names: Names) -> NeutralState:
        """The same with parameters called otherwise; those that the map says nothing of keep their names.

        UsageError for a key that no parameter has and for two parameters of one name.
        """
        old = [parameter.name for parameter in self.parameters]
        new = [names(name) for name in old] if callable(names) else _mapped(names, old)
        if len(set(new)) != len(new):
            twice = next(name for name in new if new.count(name) > 1)
            raise UsageError(f'two parameters would be called "{twice}"')
        made = tuple(replace(p, name=name) for p, name in zip(self.parameters, new, strict=True))
        return replace(self, parameters=made, named=True)

    def transposed(self, axes: Axes) -> NeutralState:
        """The same for parameters that lie with their axes in another order, such as (out, in) and (in, out).

        State goes with its parameter; rows that become columns carry the state of columns. UsageError for a name that
        no parameter has, an order that is none, and state that cannot follow.
        """
        made = list(self.parameters)
        for pattern, order in axes.items():
            regex = re.compile(translate(_loose(pattern)))
            found = [i for i, p in enumerate(made) if regex.fullmatch(_loose(p.name))]
            if not found:
                near = suggest(pattern, [p.name for p in made])
                raise UsageError(f'transpose names "{pattern}", which no parameter has. {near}'.rstrip())
            for i in found:
                made[i] = self._turned(made[i], order)
        return replace(self, parameters=tuple(made))

    def _turned(self, parameter: Parameter, order: Sequence[int] | bool) -> Parameter:
        shape = parameter.shape
        if order is False or (shape is None and not parameter.state):
            return parameter
        if shape is None:
            raise UsageError(f'no state tells the shape of "{parameter.name}", so it cannot be transposed')
        count = len(shape)
        taken = [*range(count - 2), count - 1, count - 2] if order is True else list(order)
        if count < 2 or sorted(taken) != list(range(count)):
            raise UsageError(f'"{parameter.name}" has {count} axes, of which {order!r} is no order')
        kept = {name: self._moved(name, x, shape, taken) for name, x in parameter.state.items()}
        if self.matrix not in UNITS and taken[-2:] == [count - 1, count - 2]:
            kept = self._exchanged(kept, parameter.name)
        return replace(parameter, shape=tuple(shape[i] for i in taken), state=kept)

    def _moved(self, name: str, x: Array, shape: tuple[int, ...], order: Sequence[int]) -> Array:
        """A state with the axes of its parameter in their new order."""
        info = self.slots[name]
        if info.extent == "elem":
            first = [0] if info.vector else []
            return np.ascontiguousarray(np.transpose(x, [*first, *(i + len(first) for i in order)]))
        if info.extent not in ("row", "col", "matrix"):
            return x
        if self.matrix in UNITS:
            return self._moved_by_units(name, x, shape, order)
        outer = len(shape) - 2
        if self.matrix != "trailing" or info.vector or any(i >= outer for i in order[:outer]):
            raise UsageError(f'state "{name}" is by rows and columns, and does not follow the axes {list(order)}')
        seen = x.reshape(*shape[:outer], *x.shape[1:])
        turned = np.transpose(seen, [*order[:outer], *range(outer, seen.ndim)])
        return np.ascontiguousarray(turned).reshape(x.shape)

    def _moved_by_units(self, name: str, x: Array, shape: tuple[int, ...], order: Sequence[int]) -> Array:
        """State by output units or by all else, which stays so wherever the axis of units goes."""
        units = 0 if self.framework == "torch" else len(shape) - 1
        rest = [axis for axis in range(len(shape)) if axis != units]
        sizes = [shape[axis] for axis in rest]
        turned = self.matrix == "wide" and shape[units] > math.prod(sizes)
        by_units = (self.slots[name].extent == "row") != turned
        if self.slots[name].extent == "matrix":
            return x
        if x.shape[-1] != (shape[units] if by_units else math.prod(sizes)) or order.index(units) not in (
            0,
            len(shape) - 1,
        ):
            raise UsageError(f'state "{name}" is by output units, and does not follow the axes {list(order)}')
        if by_units:
            return x
        outer = x.ndim - 1
        seen = x.reshape(*x.shape[:-1], *sizes)
        follows = [outer + rest.index(axis) for axis in order if axis != units]
        return np.ascontiguousarray(np.transpose(seen, [*range(outer), *follows])).reshape(x.shape)

    def _exchanged(self, state: Mapping[str, Array], parameter: str) -> dict[str, Array]:
        """State of rows under the name of that of columns, and the other way round."""
        rows = [name for name in state if self.slots[name].extent == "row"]
        cols = [name for name in state if self.slots[name].extent == "col"]
        if len(rows) != len(cols) or len(rows) > 1:
            raise UsageError(
                f'"{parameter}" has the row states {rows} and the column states {cols}: which becomes which is open'
            )
        other = dict(zip(rows + cols, cols + rows, strict=True))
        return {name: state[other.get(name, name)] for name in state}


def _loose(name: str) -> str:
    """A name with its parts joined by dots, as torch joins them; JAX and Keras take slashes."""
    return name.replace("/", ".")


def _kind(info: SlotInfo) -> str:
    return f"one {'vector' if info.vector else 'value'} per {info.extent}"


def _mapped(names: Mapping[str, str], old: Sequence[str]) -> list[str]:
    """Names by a map; `*` in a key matches any text, which the same `*` of the new name stands for."""
    patterns = [(re.compile(_regex(key)), key, value) for key, value in names.items()]
    used: set[str] = set()
    new: list[str] = []
    for name in old:
        for pattern, key, value in patterns:
            if found := pattern.fullmatch(name):
                used.add(key)
                texts = iter(found.groups())
                new.append(re.sub(r"\*", lambda _, texts=texts: next(texts, "*"), value))
                break
        else:
            new.append(name)
    for key in names:
        if key not in used:
            raise UsageError(f'names has "{key}", which no parameter is called. {suggest(key, old)}'.rstrip())
    return new


def _regex(key: str) -> str:
    return "(.*)".join(re.escape(part) for part in key.split("*"))


# --- reading into a front end


@dataclass(frozen=True)
class Wanted:
    """A parameter as a front end has it: its name, shape, and the shape and dtype (by word) of each state it keeps."""

    name: str
    shape: tuple[int, ...]
    state: Mapping[str, tuple[tuple[int, ...], str]]


def matched(state: NeutralState, names: Sequence[str]) -> list[Parameter]:
    """The saved parameters in the order of a front end's own, by name; `.` and `/` are one; by place without names.

    StateError names what one side has and the other has not.
    """
    saved = list(state.parameters)
    if not state.named:
        if len(saved) != len(names):
            raise StateError(f"the state is of {len(saved)} parameters without names, and here are {len(names)}")
        return saved
    exact = {p.name: p for p in saved}
    loose: dict[str, list[Parameter]] = {}
    for p in saved:
        loose.setdefault(_loose(p.name), []).append(p)
    found: list[Parameter] = []
    for name in names:
        near = loose.get(_loose(name), [])
        if name not in exact and len(near) != 1:
            raise StateError(
                f'the state has no parameter "{name}". {suggest(name, exact)} Names that differ are given as a map: '
                f"names={{saved: here}}".replace("  ", " ")
            )
        found.append(exact[name] if name in exact else near[0])
    spare = [p.name for p in saved if not any(p is other for other in found)]
    if spare:
        raise StateError(f'the state is of another model: it has "{spare[0]}", which is not here')
    return found


def fitted(parameter: Parameter, wanted: Wanted, *, cast: bool = False) -> dict[str, Array]:
    """A parameter's state in the shapes and dtypes in which a front end keeps it.

    A dtype changes if no value does. StateError for a state too many or too few, another shape, and a value that the
    dtype here does not hold, unless `cast` lets it be rounded, once.
    """
    if parameter.shape is not None and parameter.shape != wanted.shape:
        turned = " or say how it lies: transpose={...}" if sorted(parameter.shape) == sorted(wanted.shape) else ""
        raise StateError(
            f'the state of "{parameter.name}" is for the shape {parameter.shape}, and "{wanted.name}" here is '
            f"{wanted.shape}: it is of another model,{turned}".rstrip(",")
        )
    for name in sorted(wanted.state.keys() ^ parameter.state.keys()):
        has, lacks = ("file", "optimizer") if name in parameter.state else ("optimizer", "file")
        raise StateError(
            f'the {has} has {name} of "{wanted.name}", and the {lacks} has not: they have different settings'
        )
    made: dict[str, Array] = {}
    for name, (shape, dtype) in wanted.state.items():
        x = parameter.state[name]
        if x.shape != shape:
            raise StateError(f'{name} of "{wanted.name}" is of shape {x.shape} in the file and {shape} here')
        made[name] = _as(x, dtype, f'{name} of "{wanted.name}"', cast)
    return made


def _as(x: Array, dtype: str, what: str, cast: bool) -> Array:
    if str(x.dtype) == dtype:
        return x
    target = numpy_dtype(dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        made = x.astype(target)
        same = bool(np.array_equal(made.astype(np.float64), x.astype(np.float64), equal_nan=True))
    if not same and not cast:
        raise StateError(
            f"{what} is {x.dtype} in the file and {dtype} here, which does not hold every value: keep such state in "
            f"{x.dtype} here, or pass cast=True to round it"
        )
    return made


def numpy_dtype(word: str) -> np.dtype[Any]:
    """The NumPy type of a storage dtype; bfloat16 is that of ml_dtypes."""
    if word == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(word)


def check_layers(
    state: NeutralState,
    found: Sequence[Parameter],
    here: Sequence[str],
    order: Sequence[str],
    graph: GraphInfo | None,
) -> None:
    """StateError unless the layers are the same here: the same parameters together, and joined alike.

    `found` are the saved parameters, `here` the layer that each of them has here, `order` all layers in order.
    """
    pairs = dict.fromkeys(zip((p.layer for p in found), here, strict=True))
    theirs, ours = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    for names, other in ((theirs, ours), (ours, theirs)):
        for name in names:
            if names.count(name) > 1:
                whose = [other[i] for i, each in enumerate(names) if each == name]
                raise StateError(f'the layer "{name}" on one side is {" and ".join(whose)} on the other')
    if graph is None or state.graph is None:
        return
    name_here = dict(zip(theirs, ours, strict=True))
    for word in ("laplacian", "coupling"):
        saved, own = getattr(state.graph, word), getattr(graph, word)
        if saved != own:
            raise StateError(f'the state was written with {word}="{saved}", and here it is "{own}"')
    saved_order = list(dict.fromkeys(p.layer for p in state.parameters))
    theirs_joined = _joined(state.graph.edges, saved_order, name_here)
    if theirs_joined != _joined(graph.edges, order, {name: name for name in order}):
        raise StateError("the layers are joined otherwise here: give the same edges= and the same order of layers")


def _joined(
    edges: tuple[tuple[str, str, float], ...] | None, order: Sequence[str], names: Mapping[str, str]
) -> dict[frozenset[str], float]:
    path = [(a, b, 1.0) for a, b in pairwise(order)]
    found: dict[frozenset[str], float] = {}
    for a, b, weight in path if edges is None else edges:
        pair = frozenset((names[a], names[b]))
        found[pair] = found.get(pair, 0.0) + weight
    return found
