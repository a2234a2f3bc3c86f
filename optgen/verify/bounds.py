"""How far a kernel may be from the meaning of its rule: a bound for every element of every slot, after every step.

Kernel IR is run once more, on balls (see `ball`): every slot has a float64 centre and a radius, each operation adds
the rounding of its own type, each store that of the slot's. Nothing is tuned: a bound follows from the operations in
the kernel, their dtypes and the numbers that went through them.

* One operation: |computed - exact| <= propagated + u*|result|, u = 2**-24 or 2**-53.
* A quotient by a constant or by what several elements share: one rounding more where the compiler of the kernels may
  multiply by the reciprocal (`inverts`), as XLA's does.
* A sum of n terms in any order, such as that of shards: + n*u/(1 - n*u) * sum|x|, in the elements' type for runs of up
  to `SLICE` terms and in float64 from there on, as kernel IR says of sums; in float32 where array code sums.
* Cancellation: a difference keeps the radii of what was subtracted. What the reduction algebra expands, such as
  norm(x + b*y) into three sums, is bounded as it is computed, root included.
* A condition whose sides may differ by their radii is not sure; what it selects has a radius that covers both.
* Library calls: see `library_balls`.
* Steps: radii of state carry over, so errors accumulate along with the state.

Two implementations of one rule differ at most by the sum of their bounds. The reference, too, rounds: its share is the
bound of kernels that do what the rule's text says, in float64, without any rewriting (`literal_kernels`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from optgen.errors import OptgenError
from optgen.ir import view, world
from optgen.ir.build import build, counted
from optgen.ir.extents import Extent
from optgen.memo import RecentBySettings
from optgen.passes.expand_graph import expand_graph
from optgen.passes.lower import Header, lower
from optgen.passes.pipeline import (
    COUPLING,
    DEFAULT_COUPLING,
    element_states,
    over_defaults,
    program_of,
    states_of,
)
from optgen.passes.problem import Storage, plan_all
from optgen.passes.specialise import Setting, specialise
from optgen.passes.split_reductions import split_reductions
from optgen.runtime.gradients import entry_of, is_gradient, stacked
from optgen.runtime.storage import MASTER
from optgen.spec.model import Spec
from optgen.spec.syntax import walk
from optgen.verify import ball, library_balls
from optgen.verify.ball import PRECISIONS, Ball
from optgen.verify.code import COUNTER, Code, Step

Array = NDArray[np.float64]

_PARAM = "param"
#: Storage dtypes as precisions; int64 is exact.
_STORED = {precision.dtype: precision for precision in PRECISIONS.values()}
_LITERAL: RecentBySettings[Spec, Setting, view.Module] = RecentBySettings(32)


def literal_kernels(spec: Spec, settings: Mapping[str, Setting]) -> view.Module:
    """Kernels in float64 that do what a rule's text says, without the passes that rewrite its arithmetic.

    They are not to be changed: the latest are kept.
    """
    given = over_defaults(spec, settings)
    return _LITERAL.get(spec, None, given, lambda read: _literal(spec, read))


def _literal(spec: Spec, given: Mapping[str, Setting]) -> view.Module:
    spec = counted(spec, given)
    program = program_of(build(spec))
    storage = Storage.plain("float64")  # the reference rounds no state to a dtype of its own
    settled = specialise(program, given)
    module = split_reductions(expand_graph(settled.module, str(given.get(COUPLING, DEFAULT_COUPLING))))
    variants = type(settled)(module, settled.settled).variants
    header = Header(
        name=spec.name,
        class_name=spec.class_name,
        matrix=str(spec.matrix),
        digest=spec.digest,
        settled=settled.settled,
        gradients=spec.gradient_count,
        hypers=[name for name, hyper in spec.hypers.items() if hyper.kind != "choice"],
        inputs=list(spec.inputs),
    )
    return view.view(lower(header, states_of(program), plan_all(variants, storage, element_states(program)), storage))


def start_costs(spec: Spec) -> dict[str, float]:
    """Relative error of each state's starting value: one float64 rounding per node of the expression that gives it."""
    costs: dict[str, float] = {}
    for name, state in spec.states.items():
        starts = state.start if isinstance(state.start, tuple) else (state.start,)
        for i, start in enumerate(starts):
            slot = f"{name}[{i}]" if isinstance(state.start, tuple) else name
            costs[slot] = (sum(1 for _ in walk(start)) - 1) * ball.LIBRARY_ROUNDOFFS * ball.DOUBLE_UNIT
    return costs


@dataclass
class Bounds:
    """Bounds of kernels that start where a world starts. `modules` has the kernels of each tensor, by position.

    `inverts`: their compiler may divide by a value that elements share by way of its reciprocal. The world must be as
    `interpret.start` left it; it is read, not changed.
    """

    modules: Sequence[view.Module]
    world: world.World
    starts: Mapping[str, float]
    inverts: bool = False
    steps: int = 0
    slots: list[dict[str, Ball]] = field(default_factory=list[dict[str, Ball]])

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Start where the world is now: exactly there, but for what storing a start value rounds."""
        self.slots.clear()
        for tensor, module in zip(self.world.tensors, self.modules, strict=True):
            own = {_PARAM: Ball.exact(world.matrices_of(tensor.param, self.world.matrix).copy())}
            for slot in module.slots:
                if slot.name == MASTER:
                    own[MASTER] = own[_PARAM]
                    own[_PARAM] = own[_PARAM].rounded(_STORED[module.slots[0].dtype])
                elif slot.role == "state":
                    x = self.seen(slot.name, tensor.state[slot.name], tensor.param.shape)
                    own[slot.name] = self._started(x, self.starts.get(slot.name, 0.0), slot.dtype)
            own[COUNTER] = Ball.exact(np.full((1, 1, 1), float(tensor.t)))
            self.slots.append(own)

    @staticmethod
    def _started(x: Array, cost: float, dtype: str) -> Ball:
        precision = _STORED.get(dtype)
        started = Ball(x, np.where(precision.holds(x), 0.0, cost * np.abs(x)) if precision else np.zeros(x.shape))
        return started if precision is None else started.rounded(precision)

    @cached_property
    def views(self) -> list[tuple[int, int, int]]:
        """Every tensor as (matrices, rows, columns)."""
        return [world.matrices_of(tensor.param, self.world.matrix).shape for tensor in self.world.tensors]

    def seen(self, slot: str, x: Array, shape: tuple[int, ...]) -> Array:
        """A slot's content as it is kept here: by (matrices, rows, columns)."""
        extent = Extent.ELEM if slot in (_PARAM, MASTER) else self.world.extents.get(slot, Extent.TENSOR)
        whole = world.matrices_of(np.empty(shape), self.world.matrix).shape
        if extent is Extent.ELEM:
            return world.matrices_of(x, self.world.matrix)
        return x.reshape(world.value_shape(extent, whole))

    def step(self, gradients: Sequence[Array | None], inputs: Mapping[str, float] | None = None) -> None:
        """One optimizer step of the kernels on balls. Gradients are taken to be exact."""
        active = [g is not None for g in gradients]
        present = self.world.present(active)
        taking_part = [i for i, tensor in enumerate(self.world.tensors) if present[tensor.layer]]
        make = self.world.graph
        self.steps += 1
        step = Step(
            modules=self.modules,
            tensors=self.world.tensors,
            views=self.views,
            members=taking_part,
            graph=world.Graph.empty(self.world.layers, len(active)) if make is None else make(present),
            step=self.steps,
            inputs=inputs or {},
            slots=[dict(own) for own in self.slots],
            inverts=self.inverts,
        )
        for i in taking_part:
            step.slots[i] |= {slot: Ball.exact(x) for slot, x in self._gradients(i, gradients[i]).items()}
        with np.errstate(all="ignore"):
            _run(step)
        for i in taking_part:
            if active[i]:
                self.slots[i] = {name: x for name, x in step.slots[i].items() if not is_gradient(name)}
        self._share(step)

    def _gradients(self, i: int, given: Array | None) -> dict[str, Array]:
        """The gradients of a tensor by their slots, 0 where it has none; several lie along a first axis."""
        slots = [slot.name for slot in self.modules[i].slots if slot.role == "gradient"]
        if given is None:
            return dict.fromkeys(slots, np.zeros(self.views[i]))
        entries = stacked(given, self.world.tensors[i].param.shape)
        return {slot: world.matrices_of(entries[entry_of(slot)], self.world.matrix) for slot in slots}

    def _share(self, step: Step) -> None:
        """State of a layer or of the model is kept with every tensor it covers, with or without a gradient."""
        for name, extent in self.world.extents.items():
            if extent in (Extent.LAYER, Extent.MODEL):
                units = [tensor.layer if extent is Extent.LAYER else 0 for tensor in self.world.tensors]
                held = {units[i]: step.slots[i][name] for i in step.members if name in step.slots[i]}
                for unit, own in zip(units, self.slots, strict=True):
                    if name in own and unit in held:
                        own[name] = held[unit]


def _run(step: Step) -> None:
    """Choose variants, then stages and sweeps in turn."""
    step.choose_variants()
    _stages(step, 0)
    _calls(step, 0)
    for index in range(1, 1 + max((module.sweeps for module in step.modules), default=0)):
        for i in step.members:
            for sweep in step.taken[i].sweeps:
                if sweep.index == index:
                    Code(step, (i,), Extent.ELEM).run(sweep.ops)
        _stages(step, index)
        _calls(step, index)


def _stages(step: Step, boundary: int) -> None:
    """The stages behind a sweep: those of one position together, in the order of the fine before the coarse."""
    of = {i: [stage for stage in step.taken[i].stages if stage.boundary == boundary] for i in step.members}
    for position in range(max((len(stages) for stages in of.values()), default=0)):
        for extent in _FINE_TO_COARSE:
            for unit in step.units(extent):
                stages = of[unit[0]]
                if position < len(stages) and stages[position].extent == extent.value:
                    Code(step, unit, extent).run(stages[position].ops)


def _calls(step: Step, boundary: int) -> None:
    """The library calls behind a sweep."""
    for i in step.members:
        own, values = step.slots[i], step.values[i]
        precision = next(p for p in PRECISIONS.values() if p.dtype == step.modules[i].compute)
        for call in step.taken[i].calls:
            if call.boundary == boundary:
                numbers = [values[name].c.item() for name in call.numbers]
                own[call.target] = library_balls.call(
                    call.function, own[call.operand].broadcast(step.views[i]), numbers, precision
                )


_FINE_TO_COARSE = (Extent.ROW, Extent.COL, Extent.MATRIX, Extent.TENSOR, Extent.LAYER, Extent.MODEL)


def difference(kernel: Bounds, literal: Bounds, tensor: int, slot: str) -> Array:
    """Largest difference allowed between a kernel's slot and the reference's, as (matrices, rows, columns)."""
    if slot not in kernel.slots[tensor]:
        raise OptgenError(f"the kernels of tensor {tensor} have no slot {slot}")
    own = kernel.slots[tensor][slot]
    other = literal.slots[tensor].get(slot)
    shape = own.c.shape
    return np.broadcast_to(own.r, shape) + (0.0 if other is None else np.broadcast_to(other.r, shape))
