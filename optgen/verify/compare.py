"""The differential tester: a rule's generated optimizer and its float64 reference on the same gradients."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from optgen.errors import UsageError, suggest
from optgen.ir.kernel_arith import stored
from optgen.ir.view import Module, view
from optgen.passes.pipeline import COUPLING, to_kernels
from optgen.passes.specialise import Setting as Settled
from optgen.runtime.arrangement import Arrangement, Depths, Players
from optgen.runtime.graph import NamedEdges
from optgen.runtime.storage import FLOATS, MASTER, NARROW, DtypeSet
from optgen.spec.loader import load
from optgen.spec.model import Setting, Spec
from optgen.verify.bounds import Bounds, difference, literal_kernels, start_costs
from optgen.verify.code import COUNTER
from optgen.verify.reference import Reference, checked
from optgen.verify.report import Line, Report, Worst
from optgen.verify.settings import with_off_neutral
from optgen.verify.side import side_of, single

Array = NDArray[np.float64]
Shapes = Mapping[str, tuple[int, ...]] | Sequence[tuple[int, ...]]

#: What every comparison runs on unless told otherwise: a scalar, nothing, more than a vector register and more than a
#: slice, matrices, four axes, and a run of layers with equal shapes.
SHAPES: Mapping[str, tuple[int, ...]] = {
    "embed.weight": (33, 65),
    "blocks.0.weight": (4, 3, 3, 3),
    "blocks.0.bias": (4,),
    "blocks.1.weight": (4, 3, 3, 3),
    "blocks.1.bias": (4,),
    "blocks.2.weight": (4, 3, 3, 3),
    "blocks.2.bias": (4,),
    "norm.scale": (),
    "gate.weight": (1,),
    "none.weight": (0,),
    "head.weight": (4097,),
}
#: Dtypes by one word: each of a whole run, and two that layers take turns in.
DTYPES = (*FLOATS, "mixed")
_MIXED = ("float32", "float64")
#: Chances that a tensor and a whole layer have no gradient in a step, and that an element of one is 0.
_NO_GRADIENT, _NO_LAYER, _ZERO = 0.15, 0.1, 0.05
#: Gradients per tensor, of rules that take several.
_GRADIENTS = 3


def compare(
    rule: Spec | str | os.PathLike[str],
    backend: str = "numba",
    dtype: str | Sequence[str] = "float32",
    *,
    steps: int = 12,
    shapes: Shapes = SHAPES,
    hypers: Mapping[str, Setting] | None = None,
    overrides: Mapping[str, Mapping[str, Setting]] | None = None,
    players: Players = None,
    edges: NamedEdges | None = None,
    laplacian: str = "combinatorial",
    coupling: str = "transport",
    depths: Depths = None,
    seed: int = 0,
    device: str = "cpu",
    framework: str = "torch",
    complete: bool | None = None,
) -> Report:
    """Run a rule's optimizer on a backend and the float64 reference on the same random gradients, and compare.

    Parameters and every state slot are compared after every step with a bound that follows from the kernels' dtypes
    and operations (`optgen.verify.bounds`). `dtype` is the text of a dtype set (`optgen.runtime.storage`), "mixed", or
    several texts, which layers take turns in; where one of them stores less than is computed, the reference begins each
    step where the optimizer is, as rounding is part of the run. Hypers that are not given are moved off the values at
    which terms of the rule vanish; `overrides` gives single tensors values of their own, by name. Gradients are missing
    now and then; the learning rate is halved on the way. A seed gives the same run every time. `device` is where torch
    keeps the optimizer's tensors. `framework` is the front end ("torch", "jax"). With `complete` no gradient is ever
    missing; None means so where the front end wants it. Raises what compiling or constructing the optimizer raises.
    """
    spec = rule if isinstance(rule, Spec) else load(rule)
    sets = dtype_sets(dtype)
    named = dict(shapes) if isinstance(shapes, Mapping) else {f"layer_{i}.w": x for i, x in enumerate(shapes)}
    for name in overrides or {}:
        if name not in named:
            raise UsageError(f'overrides name "{name}", which no tensor has. {suggest(name, named)}'.rstrip())
    values = with_off_neutral(spec, {**_several(spec), **(hypers or {})})
    rng = np.random.default_rng(seed)
    given = _given(spec, overrides or {}, values)
    pair = _Pair(
        spec,
        backend,
        _dtypes(list(named), sets),
        {name: rng.normal(size=shape) for name, shape in named.items()},
        given,
        Arrangement(players, edges, laplacian, coupling, depths),
        device,
        framework,
    )
    pair.complete = side_of(framework).COMPLETE if complete is None else complete
    records = {slot: _Record(slot) for slot in pair.slots}
    pair.record(records, 0)
    for number in range(1, steps + 1):
        pair.step(_gradients(pair, rng), {name: float(rng.uniform(0.5, 1.5)) for name in spec.inputs})
        pair.record(records, number)
        if number == steps // 2 and "lr" in spec.hypers:
            pair.scale_rate(0.5)
    words = dtype if isinstance(dtype, str) else "; ".join(dtype)
    return Report(spec.name, backend, words, steps, values, [record.line() for record in records.values()])


def _several(spec: Spec) -> dict[str, Setting]:
    """Several gradients per tensor, for rules that take them: one alone meets no other."""
    return {spec.gradients: _GRADIENTS} if spec.gradient_count == 1 else {}


def _given(
    spec: Spec, overrides: Mapping[str, Mapping[str, Setting]], values: Mapping[str, Setting]
) -> dict[str, dict[str, Setting]]:
    """Values by tensor; under "" those that hold for all."""
    checked(spec, values)
    return {"": dict(values), **{name: {**values, **own} for name, own in overrides.items()}}


def dtype_sets(dtype: str | Sequence[str]) -> list[DtypeSet]:
    """The dtype sets that a word, the text of a set, or several of them ask for. UsageError for what is no dtype."""
    texts = _MIXED if dtype == "mixed" else (dtype,) if isinstance(dtype, str) else dtype
    found = [DtypeSet.parse(text) for text in texts]
    if any(each.scaled for each in found):
        raise UsageError("scaled gradients are a step's affair: compare dtypes without `scaled`")
    return found


def _dtypes(names: Sequence[str], sets: Sequence[DtypeSet]) -> list[DtypeSet]:
    """The set of each tensor; those of one layer have one, and layers take turns."""
    owners = [name.rpartition(".")[0].partition(".")[0] for name in names]
    order = list(dict.fromkeys(owners))
    return [sets[order.index(owner) % len(sets)] for owner in owners]


class _Pair:
    """The optimizer under test, the reference, and both of their bounds."""

    def __init__(
        self,
        spec: Spec,
        backend: str,
        dtypes: list[DtypeSet],
        params: dict[str, Array],
        given: dict[str, dict[str, Setting]],
        arranged: Arrangement,
        device: str,
        framework: str,
    ) -> None:
        self.spec = spec
        self.names = list(params)
        self.dtypes = dtypes
        arrays = {name: _held(x, d.param) for (name, x), d in zip(params.items(), dtypes, strict=True)}
        self.complete = False
        self.rounds = any(set(d.dtypes) & set(NARROW) for d in dtypes)
        self.reference = Reference.arranged(
            spec,
            arrays,
            given[""],
            arranged,
            overrides={name: own for name, own in given.items() if name},
            dtypes=list(map(str, dtypes)),
        )
        self.side = side_of(framework).make(spec, backend, arrays, dtypes, given, arranged, device)
        self.single = self.side.single
        settled = [_settings(spec, given.get(name, given[""]), arranged.coupling) for name in self.names]
        self.kernels = self._bounds(settled, literal=False)
        self.literal = self._bounds(settled, literal=True)
        self.slots = list(dict.fromkeys(slot for own in self.kernels.slots for slot in own))

    def _bounds(self, settled: Sequence[Mapping[str, Settled]], *, literal: bool) -> Bounds:
        made: dict[tuple[object, ...], Module] = {}
        modules: list[Module] = []
        for own, dtype in zip(settled, self.dtypes, strict=True):
            key = (tuple(sorted(own.items())), "" if literal else str(dtype))
            if key not in made:
                made[key] = literal_kernels(self.spec, own) if literal else self._kernels(own, dtype)
            modules.append(made[key])
        return Bounds(modules, self.reference.world, start_costs(self.spec), self.side.inverts and not literal)

    def _kernels(self, own: Mapping[str, Settled], dtype: DtypeSet) -> Module:
        found = view(to_kernels(self.spec, own, str(dtype)))
        return single(found) if self.single and dtype.compute == "float32" else found

    def step(self, gradients: Sequence[Array | None], inputs: Mapping[str, float]) -> None:
        """One step of everything."""
        if self.rounds:
            self._catch_up()
        self.side.step(gradients, inputs)
        self.reference.step(gradients, inputs)
        for bounds in (self.kernels, self.literal):
            bounds.step(gradients, inputs)

    def _catch_up(self) -> None:
        """Take the reference to where the optimizer is, and the bounds with it."""
        for i, slot, expected, got in list(self._pairs()):
            own = self.reference.world.tensors[i]
            if slot in (MASTER, "param") and not (slot == "param" and self.dtypes[i].master):
                own.param = got.reshape(expected.shape)
            elif slot in own.state:
                own.state[slot] = got.reshape(expected.shape)
        for bounds in (self.kernels, self.literal):
            bounds.restart()

    def scale_rate(self, factor: float) -> None:
        """Every tensor's learning rate times a factor."""
        self.side.scale_rate(factor)
        for tensor in self.reference.world.tensors:
            tensor.hypers = {**tensor.hypers, "lr": cast(float, tensor.hypers["lr"]) * factor}

    def record(self, records: Mapping[str, _Record], step: int) -> None:
        """Compare every slot of every tensor."""
        for i, slot, expected, got in self._pairs():
            seen = [self.kernels.seen(slot, x, self.reference.world.tensors[i].param.shape) for x in (expected, got)]
            stored = next(s for s in self.kernels.modules[i].slots if s.name == slot).dtype
            allowed = difference(self.kernels, self.literal, i, slot)
            found = _Difference(seen[0], seen[1], np.broadcast_to(allowed, seen[0].shape), stored)
            records[slot].add(found, self.names[i], step)

    def _pairs(self) -> Iterator[tuple[int, str, Array, Array]]:
        """Every slot of every tensor: what the reference has, and what the optimizer has."""
        for i, own in enumerate(self.reference.world.tensors):
            held = self.side.values(i)
            for slot in self.kernels.slots[i]:
                if slot in ("param", MASTER):
                    yield i, slot, own.param, held[slot]
                elif slot == COUNTER:
                    yield i, slot, np.array(float(own.t)), held[slot]
                elif slot in held:
                    yield i, slot, own.state[slot], held[slot]


def _held(x: Array, dtype: str) -> Array:
    """What a dtype holds of some numbers."""
    return np.asarray(stored(x, dtype)).astype(np.float64)


def _settings(spec: Spec, values: Mapping[str, Setting], coupling: str) -> dict[str, Settled]:
    return {**checked(spec, values), COUPLING: coupling}


def _gradients(pair: _Pair, rng: np.random.Generator) -> list[Array | None]:
    """Random gradients of scales over three decades, numbers of their tensor's dtype."""
    tensors = pair.reference.world.tensors
    axis = (pair.reference.gradients,) if pair.reference.gradients else ()
    absent = rng.random(pair.reference.world.layers) < _NO_LAYER
    gradients: list[Array | None] = []
    for tensor, dtype in zip(tensors, pair.dtypes, strict=True):
        scale = 10.0 ** rng.uniform(-2.0, 1.0)
        shape = (*axis, *tensor.param.shape)
        g = rng.normal(scale=scale, size=shape) * (rng.random(shape) >= _ZERO)
        missing = (rng.random() < _NO_GRADIENT or absent[tensor.layer]) and not pair.complete
        gradients.append(None if missing else _held(np.asarray(g), dtype.grad))
    return gradients


# Collecting differences


@dataclass(frozen=True)
class _Difference:
    """One slot of one tensor after one step, all of one shape; `stored` is the slot's dtype."""

    expected: Array
    got: Array
    allowed: Array
    stored: str

    @property
    def error(self) -> Array:
        """Absolute errors; infinite where one side is not a number or both are infinite with different signs."""
        same = (self.expected == self.got) | (np.isnan(self.expected) & np.isnan(self.got))
        with np.errstate(invalid="ignore"):
            error = np.abs(self.got - self.expected)
        return np.where(same, 0.0, np.where(np.isnan(error), np.inf, error))

    @property
    def ulps(self) -> Array:
        """Errors in units in the last place."""
        if self.stored not in FLOATS:
            return self.error
        near = np.asarray(stored(np.abs(self.expected), self.stored))
        unit = np.spacing(near).astype(np.float64) * (2.0**16 if self.stored == "bfloat16" else 1.0)
        return self.error / np.where(np.isfinite(near), unit, 1.0)

    @property
    def share(self) -> Array:
        """Errors as a fraction of what is allowed."""
        error = self.error
        with np.errstate(divide="ignore", invalid="ignore"):
            share = error / self.allowed
        share = np.where(error == 0, 0.0, share)
        return np.where(np.isinf(error), np.inf, np.where(np.isinf(self.allowed), 0.0, share))


@dataclass
class _Record:
    """Differences of one slot so far."""

    slot: str
    elements: int = 0
    unbounded: int = 0
    ulps: float = 0.0
    share: float = -1.0
    misses: int = 0
    worst: Worst | None = None

    def add(self, found: _Difference, tensor: str, step: int) -> None:
        """Take in one tensor's differences."""
        if not found.expected.size:
            return
        share = found.share
        self.elements += share.size
        self.unbounded += int(np.isinf(found.allowed).sum())
        self.ulps = max(self.ulps, float(np.max(np.where(np.isinf(found.allowed), 0.0, found.ulps))))
        self.misses += int((share > 1.0).sum())
        place = np.unravel_index(int(np.argmax(share)), share.shape)
        if share[place] > self.share:
            self.share = float(share[place])
            index = tuple(int(k) for k, length in zip(place, share.shape, strict=True) if length > 1)
            self.worst = Worst(tensor, index, step, float(found.expected[place]), float(found.got[place]))

    def line(self) -> Line:
        """The differences of all steps."""
        worst = self.worst if self.share > 0 else None
        return Line(self.slot, self.elements, self.unbounded, self.ulps, max(self.share, 0.0), self.misses, worst)
