"""What is compared with the reference: an optimizer of some front end, as the tester drives it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from optgen.errors import UsageError
from optgen.frontends.declared import works_on
from optgen.ir.view import Module
from optgen.runtime.arrangement import Arrangement
from optgen.runtime.storage import DtypeSet
from optgen.spec.model import Setting, Spec

Array = NDArray[np.float64]


class Side(Protocol):
    """An optimizer under test. Tensors are known by their places."""

    @property
    def slack(self) -> float:
        """How many times the bound of kernels its arithmetic may err by."""
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
    """A front end: a module `optgen.verify.FRAMEWORK_side`. `SINGLE` says that scalars, too, are computed in float32;
    `COMPLETE` that every parameter needs a gradient."""

    SINGLE: bool
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
