"""What is compared with the reference: an optimizer of some front end, as the tester drives it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from optgen.errors import UsageError
from optgen.frontends.declared import extent_of, works_on
from optgen.ir.view import Module
from optgen.runtime.arrangement import Arrangement
from optgen.runtime.rule_info import UNITS
from optgen.runtime.storage import DtypeSet
from optgen.spec.model import Setting, Spec

Array = NDArray[np.float64]


class Side(Protocol):
    """An optimizer under test. Tensors are known by their places."""

    @property
    def single(self) -> bool:
        """Whether scalars and sums of sums, too, are computed in float32."""
        ...

    @property
    def inverts(self) -> bool:
        """Whether its compiler may divide by a value that elements share by way of its reciprocal."""
        ...

    def step(self, gradients: Sequence[Array | None], inputs: Mapping[str, float]) -> None:
        """One step; gradients are numbers of their dtypes."""
        ...

    def scale_rate(self, factor: float) -> None:
        """Every learning rate times a factor."""
        ...

    def values(self, tensor: int) -> Mapping[str, Array]:
        """The parameter, its count of updates, and its state by the names of kernels' slots."""
        ...


class Sides(Protocol):
    """A front end: a module `optgen.verify.FRAMEWORK_side`. `COMPLETE` says that every parameter needs a gradient."""

    COMPLETE: bool

    def make(
        self,
        spec: Spec,
        backend: str,
        arrays: Mapping[str, Array],
        dtypes: Sequence[DtypeSet],
        given: Mapping[str, Mapping[str, Setting]],
        arranged: Arrangement,
        device: str,
    ) -> Side:
        """An optimizer of a rule on parameters by name. `given` has hypers by tensor; under "" those of all others."""
        ...


def has_side(framework: str) -> bool:
    """Whether optimizers of a front end can be compared."""
    return find_spec(_module(framework)) is not None


def side_of(framework: str) -> Sides:
    """The front end of a name. UsageError if it cannot be compared."""
    if not has_side(framework):
        raise UsageError(f'optimizers of "{framework}" cannot be compared with the reference')
    return cast("Sides", importlib.import_module(_module(framework)))


def arrangement_of(spec: Spec, arranged: Arrangement) -> dict[str, Any]:
    """What an optimizer is told of layers, as its arguments: what was given, and how a graph is read if it has one."""
    options = {"players": arranged.players, "edges": arranged.edges, "depths": arranged.depths}
    found: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if works_on(spec, "graph"):
        found |= {"laplacian": arranged.laplacian, "coupling": arranged.coupling}
    return found


@dataclass(frozen=True)
class Whole:
    """What an optimizer without parameter groups is made with: one set of hypers and one dtype for all tensors.

    `options` are its other arguments, of rules that take them.
    """

    hypers: dict[str, Setting]
    dtype: DtypeSet
    options: dict[str, Any]


def whole(
    where: str,
    spec: Spec,
    dtypes: Sequence[DtypeSet],
    given: Mapping[str, Mapping[str, Setting]],
    arranged: Arrangement,
) -> Whole:
    """The same for all tensors. UsageError, that says `where`, if tensors differ or are stored as is not offered."""
    if len(given) > 1 or len(set(dtypes)) > 1:
        raise UsageError(f"in {where} one optimizer has one set of hypers, and one dtype here")
    dtype = dtypes[0]
    if dtype != DtypeSet(dtype.param):
        raise UsageError(f'in {where} state is kept as it is computed, and there is no storage like "{dtype}"')
    return Whole(dict(given[""]), dtype, arrangement_of(spec, arranged))


def units_last(spec: Spec, x: Array) -> Array:
    """A tensor of the reference as these front ends have it: output units are its last axis there, for rules that look
    for them."""
    return np.moveaxis(x, 0, -1) if spec.matrix in UNITS and x.ndim > 1 else x


def units_first(spec: Spec, slot: str, x: Array) -> Array:
    """The inverse, of the parameter or of state by its name; what is not as fine as elements stays."""
    state = spec.states.get(slot.partition("[")[0])
    fine = slot == "param" or (state is not None and extent_of(spec, state) == "elem")
    return np.moveaxis(x, -1, 0) if spec.matrix in UNITS and x.ndim > 1 and fine else x


def _module(framework: str) -> str:
    return f"optgen.verify.{framework}_side"


def single(module: Module) -> Module:
    """The same kernels with everything computed in float32, scalars and sums of sums included."""
    for variant in module.variants:
        for part in (*variant.stages, *variant.sweeps):
            for op in part.ops:
                if op.result is not None and op.result.type == "f64":
                    op.result.type = "f32"
    return replace(module, compute="float32", sums="f32")
