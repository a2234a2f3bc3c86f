"""What the tests of the JAX front end share: rules on small trees beside the float64 reference and its bounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np

import optgen.jax
from optgen.ir.view import view
from optgen.passes.pipeline import to_kernels
from optgen.runtime.arrangement import Arrangement
from optgen.runtime.jax_transform import State, Transformation
from optgen.spec.loader import load
from optgen.spec.model import Setting, Spec
from optgen.verify.bounds import Bounds, difference, literal_kernels, start_costs
from optgen.verify.reference import Reference
from optgen.verify.settings import with_off_neutral
from optgen.verify.side import single
from tests.quick_xla import QUICK

#: In natural order, so that the tree's order and the reference's are one. Short sums: none is carried in slices.
SHAPES: Mapping[str, tuple[int, ...]] = {
    "a/w": (7, 9),
    "b/0/w": (4, 3, 2, 2),
    "b/1/w": (4, 3, 2, 2),
    "c/w": (),
    "d/w": (0, 3),
    "e/w": (50,),
}


@contextmanager
def precision(dtype: str) -> Iterator[None]:
    """float64 needs JAX's switch."""
    with jax.enable_x64(dtype == "float64"):
        yield


def factory(rule: str, given: Mapping[str, Setting], **more: object) -> Transformation:
    """A rule's transformation for values by the rule's own names."""
    from optgen.frontends.jax_factory import argument_of

    spec = load(rule)
    named = {argument_of(spec.hypers[name]) if name in spec.hypers else name: v for name, v in given.items()}
    return getattr(optgen.jax, rule)(**named, **more)


def tree(flat: Mapping[str, np.ndarray]) -> dict[str, object]:
    """A nested dict of JAX arrays from names joined by /."""
    found: dict[str, object] = {}
    for name, x in flat.items():
        *outer, last = name.split("/")
        place = found
        for part in outer:
            place = place.setdefault(part, {})
        place[last] = jnp.asarray(x)
    return found


def flat(nested: object) -> dict[str, np.ndarray]:
    """The inverse, in float64."""
    paths, _ = jax.tree_util.tree_flatten_with_path(nested)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf, dtype=np.float64)
        for path, leaf in paths
    }


@dataclass
class Run:
    """A rule in JAX, the reference, and bounds for both."""

    spec: Spec
    dtype: str
    given: Mapping[str, Setting]
    both: bool = False  # the step in place beside plain functions
    quick: bool = False  # compiled in less time than for users
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=lambda: SHAPES)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.values = with_off_neutral(self.spec, self.given)
        start = {name: self.rng.normal(size=s).astype(self.dtype) for name, s in self.shapes.items()}
        self.reference = Reference.arranged(
            self.spec, {k: self.units_first(x.astype(float)) for k, x in start.items()}, self.values, Arrangement()
        )
        settled = dict(self.values)
        kernels = view(to_kernels(self.spec, settled, self.dtype))
        if self.dtype == "float32":
            kernels = single(kernels)
        count = len(self.shapes)
        costs = start_costs(self.spec)
        self.kernels = Bounds([kernels] * count, self.reference.world, costs, inverts=True)
        self.literal = Bounds([literal_kernels(self.spec, settled)] * count, self.reference.world, costs)
        self.transformation = factory(self.spec.name, self.values)
        self.params = tree(start)
        self.state = self.transformation.init(self.params)
        self.plain = jax.jit(self.transformation.plain, compiler_options=QUICK if self.quick else None)
        self.in_place = jax.jit(self.transformation.apply) if self.both else None
        self.kept = (self.params, self.state)

    def step(self) -> None:
        """One step of everything on the same gradients."""
        axis = (self.reference.gradients,) if self.reference.gradients else ()
        grads = {name: self.rng.normal(size=(*axis, *s)).astype(self.dtype) for name, s in self.shapes.items()}
        inputs = {name: float(self.rng.uniform(0.5, 1.5)) for name in self.spec.inputs}
        self.params, self.state = self.plain(tree(grads), self.state, self.params, **inputs)
        if self.in_place is not None:
            params, state = self.kept
            self.kept = self.in_place(tree(grads), state, params, **inputs)
        exact = [self.units_first(g.astype(float)) for g in grads.values()]
        self.reference.step(exact, inputs)
        self.kernels.step(exact, inputs)
        self.literal.step(exact, inputs)

    def units_first(self, x: np.ndarray) -> np.ndarray:
        """An array as the reference has it, whose matrices of output units look for them along the first axis."""
        return np.moveaxis(x, -1, 0) if x.ndim > 1 and self.spec.matrix in ("units", "wide") else x

    def check(self) -> None:
        """Every parameter and every element of state is inside its bound."""
        self._check(self.params, self.state)
        if self.in_place is not None:
            self._check(*self.kept)

    def _check(self, params: object, state: State) -> None:
        found = {"param": flat(params), **{name: flat(held) for name, held in state.slots.items()}}
        for i, (name, tensor) in enumerate(zip(self.shapes, self.reference.world.tensors, strict=True)):
            for slot in self.kernels.slots[i]:
                if slot not in found or name not in found[slot]:
                    continue
                expected = tensor.param if slot == "param" else tensor.state[slot]
                allowed = difference(self.kernels, self.literal, i, slot)
                elem = slot == "param" or self.reference.world.extents[slot] == "elem"
                mine = self.units_first(found[slot][name]) if elem else found[slot][name]
                got, wanted = (self.kernels.seen(slot, x, tensor.param.shape) for x in (mine, expected))
                assert got.shape == wanted.shape
                off = np.abs(got - wanted) - np.broadcast_to(allowed, got.shape)
                assert not (off > 0).any(), (
                    f"{self.spec.name}: {slot} of {name} is off by {np.nanmax(off):.3g} too much"
                )
