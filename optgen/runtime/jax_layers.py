"""A pytree laid out for a rule: which layer each parameter belongs to, and stacked parameters as their layers."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, TypeAlias, cast

from optgen.errors import HyperError, UsageError, suggest
from optgen.runtime import array_step
from optgen.runtime.arrangement import Arrangement, layers_of
from optgen.runtime.array_program import Each, Program
from optgen.runtime.array_step import Leaf, Plan
from optgen.runtime.jax_program import ARRAYS, SELECTING
from optgen.runtime.rule_info import Hypers, RuleInfo, meta_of

#: A value for each parameter of the tree, or by patterns of their names.
PerParameter: TypeAlias = Sequence[int | float] | Mapping[str, int | float] | None
_METADATA = frozenset({"numel", "ndim", "rows", "cols", "matrices", "depth"})


class LayerOrderWarning(UserWarning):
    """The order of layers was guessed from names."""


@dataclass(frozen=True)
class Asked:
    """What the caller says of layers: their order from input to output, how tensors form them, which parameters hold
    several along their first axis, and hypers that parameters have for themselves, by hyper."""

    order: Sequence[str] | None = None
    arrangement: Arrangement = field(default_factory=Arrangement)
    stacked: Sequence[str] = ()
    own: Mapping[str, PerParameter] = field(default_factory=dict[str, PerParameter])


@dataclass(frozen=True)
class Param:
    """An array of the tree. `layers` is the length of its first axis where that counts layers, else None; its leaves in
    the plan begin with number `first`."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    layers: int | None
    first: int

    @property
    def leaves(self) -> range:
        """Numbers of its leaves in the plan."""
        return range(self.first, self.first + (1 if self.layers is None else self.layers))


@dataclass(frozen=True)
class Laid:
    """A plan, the arrays that its leaves are, or are layers of, and numbers of the leaves from input to output."""

    plan: Plan
    params: Sequence[Param]
    order: Sequence[int]


@dataclass(frozen=True)
class _Place:
    """A leaf: the number of its array and that one's name, its own name, its stack and index therein."""

    array: int
    path: str
    name: str
    stack: str
    index: int
    shape: tuple[int, ...]


def lay_out(
    rule: RuleInfo,
    program: Program,
    static: Hypers,
    asked: Asked,
    arrays: Sequence[tuple[str, tuple[int, ...], str]],
    *,
    one_by_one: bool = False,
) -> Laid:
    """The plan for arrays given by name, shape and dtype; `one_by_one` has the layers of stacks apart even where that
    changes no step. UsageError names what does not fit."""
    stacks = _stacks(asked, [(name, shape) for name, shape, _ in arrays])
    if not (one_by_one or _told_apart(program, rule, asked)):
        stacks = [""] * len(arrays)
    places, params = _places(arrays, stacks)
    ordered = _ordered(rule, asked, places)
    names = [places[i].name for i in ordered]
    how = asked.arrangement
    listed = {key: _listed(getattr(how, key), key, len(arrays), places, ordered) for key in ("players", "depths")}
    apart = rule.has_quirk("tensor_depth", static)
    layers = layers_of(names, len(places), replace(how, **listed), tensor_depth=apart)
    own = _own_values(rule, asked, places, len(arrays))
    at_of = {i: at for at, i in enumerate(ordered)}
    found: list[Leaf] = []
    for i, place in enumerate(places):
        at = at_of[i]
        meta = meta_of(place.shape, rule.matrix, layers.depth[at], layers.role[at], units_last=True)
        need = None if rule.needs is None else rule.needs({**static, **own[i]}, meta)
        slots = tuple(s for s in program.slots if need is None or s.name.partition("[")[0] in need)
        dtype = arrays[place.array][2]
        found.append(Leaf(place.name, place.shape, dtype, layers.player[at], layers.role[at], meta, slots, own[i]))
    for param in params:  # a stack has a slot as soon as one of its layers needs it
        wanted = {slot.name for i in param.leaves for slot in found[i].slots}
        for i in param.leaves:
            found[i] = replace(found[i], slots=tuple(s for s in program.slots if s.name in wanted))
    graph = array_step.graph_of(rule, layers, [found[i] for i in ordered], how.laplacian, how.coupling)
    words = SELECTING if rule.reach == "elem" else ARRAYS
    plan = Plan(words, rule, program, found, graph, layers.edges, how.laplacian, how.coupling)
    return Laid(plan, params, ordered)


# -- stacks --------------------------------------------------------------------------------------------------------


def _stacks(asked: Asked, arrays: Sequence[tuple[str, tuple[int, ...]]]) -> list[str]:
    """The name of the stack that each array belongs to, or nothing."""
    found = [_stack_of(name, asked.stacked) for name, _ in arrays]
    for pattern in asked.stacked:
        if not any(_stack_of(name, [pattern]) for name, _ in arrays):
            names = {name[:i] for name, _ in arrays for i, sign in enumerate(f"{name}/") if sign == "/"}
            raise UsageError(
                f'stacked= names "{pattern}", and no parameter lies there. {suggest(pattern, sorted(names))}'.rstrip()
            )
    lengths: dict[str, tuple[str, int]] = {}
    for (name, shape), stack in zip(arrays, found, strict=True):
        if not stack:
            continue
        if not shape:
            raise UsageError(f'"{name}" is said to be stacked, but has no axis that could count layers')
        other, length = lengths.setdefault(stack, (name, shape[0]))
        if length != shape[0]:
            raise UsageError(f'"{name}" stacks {shape[0]} layers and "{other}", in the same stack, {length}')
    return found


def _told_apart(program: Program, rule: RuleInfo, asked: Asked) -> bool:
    """Whether a step differs if layers are one by one."""
    takes = {name for v in program.variants for step in v.steps if isinstance(step, Each) for name in step.takes}
    takes |= {name for v in program.variants for name in v.takes}
    apart = rule.needs is not None or rule.arm is not None or bool(asked.own)
    return apart or rule.reach != "elem" or bool(takes & _METADATA)


def _stack_of(name: str, patterns: Sequence[str]) -> str:
    parts = name.split("/")
    for pattern in patterns:
        wanted = pattern.strip("/").split("/")
        head = parts[: len(wanted)]
        if len(head) == len(wanted) and all(map(fnmatchcase, head, wanted)):
            return "/".join(head)
    return ""


def _places(
    arrays: Sequence[tuple[str, tuple[int, ...], str]], stacks: Sequence[str]
) -> tuple[list[_Place], list[Param]]:
    places: list[_Place] = []
    params: list[Param] = []
    for array, ((name, shape, dtype), stack) in enumerate(zip(arrays, stacks, strict=True)):
        params.append(Param(name, shape, dtype, shape[0] if stack else None, len(places)))
        if not stack:
            places.append(_Place(array, name, name, name, 0, shape))
        else:
            rest = name[len(stack) :]
            places += [_Place(array, name, f"{stack}/{i}{rest}", stack, i, shape[1:]) for i in range(shape[0])]
    return places, params


# -- order and values ----------------------------------------------------------------------------------------------


def _ordered(rule: RuleInfo, asked: Asked, places: Sequence[_Place]) -> list[int]:
    """Positions of the leaves from input to output."""
    count = len(places)
    if not (rule.layers or rule.graph or rule.depth):
        return list(range(count))
    if asked.order is None:
        if count > 1 and asked.arrangement.edges is None and not isinstance(asked.arrangement.players, list):
            warnings.warn(
                f"{rule.name} looks at the order of layers, and trees have none: names were sorted, numbers by value. "
                "Say which comes first: order=[...] names the layers from input to output, and forward_order(f, "
                "params, ...) finds them",
                LayerOrderWarning,
                stacklevel=6,
            )
        return sorted(range(count), key=lambda i: _natural(places[i].name))
    ranks = [_rank(place, asked.order) for place in places]
    first: dict[str, int] = {}  # of a stack: its layers follow one another, each with all its parameters
    for place, rank in zip(places, ranks, strict=True):
        first[place.stack] = min(rank, first.get(place.stack, rank))
    return sorted(range(count), key=lambda i: (first[places[i].stack], places[i].index, ranks[i], i))


def _rank(place: _Place, order: Sequence[str]) -> int:
    for rank, layer in enumerate(order):
        if any(name == layer or name.startswith(f"{layer}/") for name in (place.name, place.path)):
            return rank
    raise UsageError(f'order= does not name the layer of "{place.path}". {suggest(place.path, order)}'.rstrip())


def _natural(name: str) -> list[tuple[int, int, str]]:
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in re.split(r"(\d+)", name)]


def _listed(given: Any, argument: str, count: int, places: Sequence[_Place], ordered: Sequence[int]) -> Any:
    """A list with an entry per array as one with an entry per leaf, in order; anything else as it is."""
    if given is None or isinstance(given, str | Mapping):
        return cast(object, given)
    entries = list(cast("Sequence[object]", given))
    if len(entries) != count:
        raise UsageError(f"{argument} has {len(entries)} entries for {count} parameters")
    return [entries[places[i].array] for i in ordered]


def _own_values(rule: RuleInfo, asked: Asked, places: Sequence[_Place], count: int) -> list[dict[str, Any]]:
    """Hypers that each leaf has for itself. HyperError for a value that cannot be."""
    found: list[dict[str, Any]] = [{} for _ in places]
    for name, given in asked.own.items():
        hyper = rule.hyper(name)
        if isinstance(given, Mapping):
            for pattern in given:
                if not any(fnmatchcase(place.name, pattern) for place in places):
                    raise UsageError(f'{hyper.per_parameter} names "{pattern}", which no parameter matches')
            values = [next((v for p, v in given.items() if fnmatchcase(x.name, p)), None) for x in places]
        else:
            values: Sequence[object] = _listed(given, hyper.per_parameter, count, places, range(len(places)))
        for place, own, value in zip(places, found, values, strict=True):
            if value is None:
                continue
            number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
            whole = hyper.kind != "int" or (math.isfinite(number) and float(number).is_integer())
            if not whole or math.isnan(number) or (hyper.domain is not None and not hyper.domain.contains(number)):
                wanted = hyper.domain.text if hyper.domain is not None else "a number"
                raise HyperError(f'{hyper.per_parameter} of "{place.name}" must be {wanted}, got {value!r}')
            own[name] = int(number) if hyper.kind == "int" else number
    return found
