"""What the sweep planner is given and what it answers. Sweeps count from 1; all figures are bytes per element."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from optgen.errors import OptgenError

Kind = Literal["leaf", "op", "stencil", "reduction", "coarse", "call"]


@dataclass(frozen=True)
class Value:
    """One value of a straight-line program.

    A leaf lies in memory. An op works element by element; a stencil also reads its operands at the element's graph
    neighbours. A reduction folds its one element operand into a coarse value. A call runs between sweeps: its one
    element operand lies in memory then, and its result in a scratch array from there on. Coarse operands that the host
    knows before the first sweep are not listed.
    """

    name: str
    kind: Kind
    elems: tuple[str, ...] = ()
    coarse: tuple[str, ...] = ()


@dataclass(frozen=True)
class Slot:
    """A leaf that is overwritten: `final` (an element value, possibly another slot's final or leaf) takes its place.

    `lossy` says that storing rounds, so that the stored value must not stand in for the computed one.
    """

    name: str
    final: str
    bytes: int
    lossy: bool = False


@dataclass(frozen=True)
class Problem:
    """What to plan: the values in topological order, the bytes of every leaf, and the slots that are stored.

    `fixed` imposes the sweep of a reduction (a barrier shared with other programs). `keep` names reductions and coarse
    values that are wanted though no final depends on them; other such reductions are not planned. `scratch_bytes` is
    the width of one scratch element: scratch holds arithmetic values unrounded.
    """

    values: tuple[Value, ...]
    leaf_bytes: Mapping[str, int]
    slots: tuple[Slot, ...]
    fixed: Mapping[str, int] = field(default_factory=dict[str, int])
    keep: frozenset[str] = frozenset()
    scratch_bytes: int = 4


@dataclass(frozen=True)
class Call:
    """A library call: the name of its result, and the buffer that holds its operand."""

    result: str
    operand: str


@dataclass(frozen=True)
class Sweep:
    """One pass over the elements.

    `loads` names old values (leaves) and values that an earlier sweep stored; `sources` says, load by load, which
    buffer holds it: a leaf or slot, or a scratch array, which bears its value's name. `neighbours` are the loads that
    are also read at graph neighbours. `computed` are the ops and stencils evaluated, in program order. `stores` names
    slots, `scratch` the values stored to scratch, `calls` what is called after it. `bytes` counts loads and stores.
    """

    loads: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    neighbours: tuple[str, ...] = ()
    computed: tuple[str, ...] = ()
    reductions: tuple[str, ...] = ()
    stores: tuple[str, ...] = ()
    scratch: tuple[str, ...] = ()
    calls: tuple[Call, ...] = ()
    bytes: int = 0


@dataclass(frozen=True)
class Plan:
    """The sweeps in order, the bytes they load and store, and the bytes of the scratch arrays they need.

    `calls` are those before the first sweep. What calls themselves read and write is not among the bytes.
    """

    sweeps: tuple[Sweep, ...]
    bytes: int
    scratch_bytes: int
    calls: tuple[Call, ...] = ()


class Infeasible(OptgenError):  # noqa: N818 (a verdict, and read as one)
    """No plan keeps every value alive until it was last read; the message says what blocks it."""


def check_problem(problem: Problem) -> dict[str, Value]:
    """The values by name; raises OptgenError where the problem contradicts itself."""
    by_name: dict[str, Value] = {}
    for value in problem.values:
        for fault in _faults_of_value(value, by_name, problem.leaf_bytes):
            raise OptgenError(f"sweep planner: the {value.kind} '{value.name}' {fault}")
        by_name[value.name] = value
    for fault in _faults_of_problem(problem, by_name):
        raise OptgenError(f"sweep planner: {fault}")
    return by_name


def _faults_of_value(value: Value, earlier: Mapping[str, Value], leaf_bytes: Mapping[str, int]) -> Iterator[str]:
    if value.name in earlier:
        yield "is defined twice; give every value its own name"
    if value.kind == "leaf" and leaf_bytes.get(value.name, -1) < 0:
        yield "has no bytes per element; list it in leaf_bytes"
    for name in value.elems + value.coarse:
        if name not in earlier:
            yield f"reads '{name}' before it is defined; list values in topological order"
    if any(is_coarse(earlier[name]) for name in value.elems):
        yield f"takes one of {', '.join(value.elems)} as an element operand, but it is coarse"
    if not all(is_coarse(earlier[name]) for name in value.coarse):
        yield f"takes one of {', '.join(value.coarse)} as a coarse operand, but it has a value per element"
    if value.kind in ("leaf", "coarse") and value.elems:
        yield "cannot have element operands"
    if value.kind in ("leaf", "reduction") and value.coarse:
        yield "cannot have coarse operands; feed it an op that has them"
    if value.kind == "call" and value.coarse:
        yield "cannot have coarse operands; the host knows the numbers of a call"
    if value.kind in ("reduction", "call") and len(value.elems) != 1:
        yield f"has {len(value.elems)} element operands; feed it one op"


def _faults_of_problem(problem: Problem, by_name: Mapping[str, Value]) -> Iterator[str]:
    names = [slot.name for slot in problem.slots]
    for slot in problem.slots:
        if names.count(slot.name) > 1:
            yield f"the slot '{slot.name}' is listed twice"
        if slot.name not in by_name or by_name[slot.name].kind != "leaf":
            yield f"the slot '{slot.name}' is no leaf; its old value must be one"
        if slot.final not in by_name or is_coarse(by_name[slot.final]):
            yield f"the final '{slot.final}' of the slot '{slot.name}' is no element value"
        if slot.bytes < 0:
            yield f"the slot '{slot.name}' has {slot.bytes} bytes"
    for name in sorted(problem.keep):
        if name not in by_name or not is_coarse(by_name[name]):
            yield f"'{name}' is to be kept but is neither a reduction nor a coarse value"
    for name in sorted(problem.fixed):
        if name not in by_name or by_name[name].kind != "reduction":
            yield f"'{name}' is fixed to a sweep but is no reduction"


def is_coarse(value: Value) -> bool:
    """Whether the value is one number per tensor, layer, row or the like, and not one per element."""
    return value.kind in ("reduction", "coarse")
