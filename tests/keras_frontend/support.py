"""A rule in Keras beside the float64 reference and its bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import keras
import numpy as np
from keras import ops

from optgen.ir.view import Module, view
from optgen.passes.pipeline import to_kernels
from optgen.runtime.arrangement import Arrangement
from optgen.runtime.keras_optimizer import Optimizer
from optgen.spec.loader import load
from optgen.verify.bounds import Bounds, difference, literal_kernels, start_costs
from optgen.verify.reference import Reference
from optgen.verify.settings import with_off_neutral

BACKEND = keras.backend.backend()
#: Short sums, so that none is carried in slices.
SHAPES: Mapping[str, tuple[int, ...]] = {
    "a/w": (7, 9),
    "b_0/w": (4, 3, 2, 2),
    "b_1/w": (4, 3, 2, 2),
    "c/w": (),
    "d/w": (50,),
}


def tensors(arrays: Sequence[np.ndarray]) -> list[object]:
    """Gradients as the backend has them."""
    return [ops.convert_to_tensor(np.asarray(x, dtype="float32")) for x in arrays]


def numbers(variables: Sequence[object]) -> list[np.ndarray]:
    """Values in float64."""
    return [np.asarray(ops.convert_to_numpy(ops.cast(v, "float32")), dtype=np.float64) for v in variables]


def variable(path: str, value: np.ndarray) -> keras.Variable:
    """A variable under a path."""
    *outer, name = path.split("/")
    with keras.name_scope("/".join(outer)):
        return keras.Variable(value, name=name)


def single(module: Module) -> Module:
    """The same kernels with everything computed in float32, scalars included."""
    for variant in module.variants:
        for part in (*variant.stages, *variant.sweeps):
            for op in part.ops:
                if op.result is not None and op.result.type == "f64":
                    op.result.type = "f32"
    return replace(module, compute="float32")


class Run:
    """A rule's class, the reference, and bounds for both, in float32."""

    def __init__(self, cls: type[Optimizer]) -> None:
        self.spec = spec = load(cls.RULE.name)
        self.rng = np.random.default_rng(0)
        values = {**with_off_neutral(spec, {})}
        values["lr"] = float(np.float32(values.get("lr", spec.hypers["lr"].default)))  # as Keras keeps it
        start = {name: self.rng.normal(size=s).astype("float32") for name, s in SHAPES.items()}
        exact = {name: self.units_first(x.astype(float)) for name, x in start.items()}
        self.reference = Reference.arranged(spec, exact, values, Arrangement())
        costs, count = start_costs(spec), len(SHAPES)
        self.kernels = Bounds([single(view(to_kernels(spec, values, "float32")))] * count, self.reference.world, costs)
        self.literal = Bounds([literal_kernels(spec, values)] * count, self.reference.world, costs)
        self.variables = [variable(name, x) for name, x in start.items()]
        self.optimizer = cls(**{cls.ARGUMENTS[name]: value for name, value in values.items()})

    def step(self) -> None:
        """One step of everything on the same gradients."""
        grads = [self.rng.normal(size=s).astype("float32") for s in SHAPES.values()]
        inputs = {name: float(self.rng.uniform(0.5, 1.5)) for name in self.spec.inputs}
        self.optimizer.apply(tensors(grads), self.variables, **inputs)
        exact = [self.units_first(g.astype(float)) for g in grads]
        for side in (self.reference, self.kernels, self.literal):
            side.step(exact, inputs)

    def units_first(self, x: np.ndarray) -> np.ndarray:
        """An array as the reference has it, whose matrices of output units look for them along the first axis."""
        return np.moveaxis(x, -1, 0) if x.ndim > 1 and self.spec.matrix in ("units", "wide") else x

    def check(self) -> None:
        """Every parameter and every element of state is inside its bound."""
        slack = 2.0  # sums over tensors are float32 here, in kernels float64
        for i, (name, tensor) in enumerate(zip(SHAPES, self.reference.world.tensors, strict=True)):
            held = {"param": self.variables[i], **self.optimizer.state_of(self.variables[i])}
            for slot in self.kernels.slots[i]:
                if slot not in held:
                    continue
                expected = tensor.param if slot == "param" else tensor.state[slot]
                allowed = slack * difference(self.kernels, self.literal, i, slot)
                found = numbers([held[slot]])[0]
                if slot == "param" or self.reference.world.extents[slot] == "elem":
                    found = self.units_first(found)
                got, wanted = (self.kernels.seen(slot, x, tensor.param.shape) for x in (found, expected))
                assert got.shape == wanted.shape, (self.spec.name, slot, got.shape, wanted.shape)
                off = np.abs(got - wanted) - np.broadcast_to(allowed, got.shape)
                assert not (off > 0).any(), (
                    f"{self.spec.name}: {slot} of {name} is off by {np.nanmax(off):.3g} too much"
                )
