"""Claims of a rule: with some settings it makes the same steps as another rule. Proven where that can be, else run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from optgen.ir.world import elements_of
from optgen.memo import Recent
from optgen.passes.pipeline import COUPLING
from optgen.runtime.arrangement import ARRANGEMENT, Arrangement
from optgen.spec.loader import load
from optgen.spec.model import Claim, Setting, Spec
from optgen.verify.bounds import Bounds, literal_kernels, start_costs
from optgen.verify.reference import Reference
from optgen.verify.settings import off_neutral

Array = NDArray[np.float64]

#: Layers of a claim's run: equal ones, unequal ones, a scalar and one with two tensors.
SHAPES: Mapping[str, tuple[int, ...]] = {
    "a.0.weight": (3, 4),
    "a.0.bias": (3,),
    "a.1.weight": (3, 4),
    "a.1.bias": (3,),
    "b.weight": (5,),
    "c.weight": (),
    "d.weight": (2, 2, 3),
}
STEPS = 8
_PROVEN: Recent[Spec, bool] = Recent(64)


def shown_by(claim: Claim, spec: Spec) -> Literal["proven", "numeric"]:
    """How `check` shows a claim: from the equations, for all values; or by running both rules at some."""
    return "proven" if _PROVEN.get(spec, claim.loc, lambda: _proven(spec, claim)) else "numeric"


def _proven(spec: Spec, claim: Claim) -> bool:
    from optgen.algebra.proof import proven

    return proven(spec, claim)


def broken(spec: Spec, claim: Claim) -> str | None:
    """Where the two rules part, in words, or None.

    Both run on the same random gradients, with hypers that both have moved off their neutral values. They may differ
    by what rounding in float64 does to either.
    """
    other = load(claim.rule)
    shared: dict[str, Setting] = {name: value for name, value in off_neutral(other).items() if name in spec.hypers}
    given = {**shared, **claim.when}
    hypers = {name: value for name, value in given.items() if name not in ARRANGEMENT}
    rng = np.random.default_rng(0)
    start = {name: rng.normal(size=shape) for name, shape in SHAPES.items()}
    ours = _Run(spec, start, hypers, Arrangement.of(given))
    theirs = _Run(other, start, {name: value for name, value in hypers.items() if name in other.hypers}, Arrangement())
    inputs = sorted({*spec.inputs, *other.inputs})
    for step in range(1, STEPS + 1):
        fed = {name: float(rng.uniform(0.5, 1.5)) for name in inputs}
        grads = [None if rng.random() < 0.2 else rng.normal(size=shape) for shape in SHAPES.values()]
        for run in (ours, theirs):
            run.step(grads, {name: fed[name] for name in run.spec.inputs})
        for i, name in enumerate(SHAPES):
            a, b = ours.reference.params[name], theirs.reference.params[name]
            if np.array_equal(a, b, equal_nan=True):
                continue
            with np.errstate(invalid="ignore"):
                apart = np.abs(a - b)
            if not bool(np.all((apart <= ours.radius(i) + theirs.radius(i)) | (np.isnan(a) & np.isnan(b)))):
                return _words(spec, claim, f"step {step} takes {name} {list(SHAPES[name])}", a, b)
    return None


def _words(spec: Spec, claim: Claim, what: str, ours: Array, theirs: Array) -> str:
    place = np.unravel_index(int(np.argmax(np.nan_to_num(np.abs(ours - theirs), nan=np.inf))), ours.shape)
    when = ", ".join(f"{key} = {value!r}" for key, value in claim.when.items()) or "its defaults"
    return (
        f"{spec.name} with {when} does not step as {claim.rule} does: {what} to {float(ours[place])!r} where "
        f"{claim.rule} takes it to {float(theirs[place])!r}"
    )


class _Run:
    """A rule's reference with the bounds of its own rounding, which are worked out when they are first asked for."""

    def __init__(
        self, spec: Spec, start: Mapping[str, Array], hypers: Mapping[str, Setting], arranged: Arrangement
    ) -> None:
        self.spec = spec
        self.reference = Reference.arranged(spec, start, hypers, arranged)
        self._begin = lambda: Reference.arranged(spec, start, hypers, arranged).world
        self._coupling = arranged.coupling
        self._taken: list[tuple[Sequence[Array | None], Mapping[str, float]]] = []
        self._bounds: Bounds | None = None

    def step(self, grads: Sequence[Array | None], inputs: Mapping[str, float]) -> None:
        """One step of both."""
        self.reference.step(grads, inputs)
        self._taken.append((grads, inputs))

    def radius(self, tensor: int) -> Array:
        """How far rounding may have taken a parameter."""
        bounds = self._followed()
        param = bounds.slots[tensor]["param"].broadcast(bounds.views[tensor])
        world = self.reference.world
        return elements_of(param.r, world.tensors[tensor].param.shape, world.matrix)

    def _followed(self) -> Bounds:
        """The bounds after all steps taken."""
        if self._bounds is None:
            begin = self._begin()
            kernels = literal_kernels(self.spec, {**begin.tensors[0].hypers, COUPLING: self._coupling})
            self._bounds = Bounds([kernels] * len(begin.tensors), begin, start_costs(self.spec))
        for grads, inputs in self._taken[self._bounds.steps :]:
            self._bounds.step(grads, inputs)
        return self._bounds
