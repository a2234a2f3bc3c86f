"""Generated kernel modules: what their manifests say, and how their files are loaded."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NotRequired, Protocol, TypeAlias, TypedDict, cast

import numpy as np
from numpy.typing import NDArray

from optgen.errors import BackendError
from optgen.runtime import abi, home


class Slot(TypedDict):
    """Per-tensor memory: the parameter, its gradient, a state, scratch. Slot 0 is the parameter, 1 the gradient."""

    name: str
    extent: str
    dtype: str
    role: str


class Total(TypedDict):
    """A reduction over a tensor or more: a column of the table of totals."""

    name: str
    op: str


class Sweep(TypedDict):
    """What one variant does in one sweep: its segment function, where the streams lie, which totals it takes.

    `alone` is the same for tensors without neighbours, where the kernels tell them apart; None: nothing to do.
    """

    function: str
    streams: Sequence[Sequence[str | int]]
    totals: Sequence[int]
    alone: NotRequired[Sweep | None]


class Call(TypedDict):
    """A library call on the matrices of a slot, into another; its numbers are columns of tensor values."""

    function: str
    operand: int
    target: int
    numbers: Sequence[int]


class Launch(TypedDict):
    """A kernel between sweeps: one program that runs phases of these extents, or a program per block of units."""

    function: str
    grid: str
    phases: Sequence[str]


class Known(TypedDict):
    """What the host reads to choose variants and the numbers of calls: hypers, and `step`, `updates` or both."""

    hypers: Sequence[str]
    counters: Sequence[str]


Rows: TypeAlias = NDArray[np.float64]


class OnHost(TypedDict):
    """The functions of kernels that stop for library calls on a graphics processor.

    All take the rows of hypers and metadata, 1 + the updates of each tensor and 1 + the optimizer's steps. `select`
    gives variants (None: there is one), `numbers`, by variant, columns of tensor values that its calls read.
    """

    select: Callable[[Rows, Rows, Rows, np.float64], Rows] | None
    numbers: Mapping[int, Callable[[Rows, Rows, Rows, np.float64], Mapping[int, Rows | float]]]


class Variant(TypedDict):
    """The program of some tensors. `stored`: the coarse slots that its stages store, per boundary between sweeps.

    `calls`: the library calls after the stages there, per boundary; left out where there are none.
    """

    name: str
    when: str
    slots: Sequence[str]
    sweeps: Sequence[Sweep | None]
    stored: NotRequired[Sequence[Sequence[str]]]
    calls: NotRequired[Sequence[Sequence[Call]]]


Manifest = TypedDict(
    "Manifest",
    {
        "abi": int,
        "rule": str,
        "class": str,
        "digest": str,
        "backend": str,
        "settled": dict[str, object],
        "dtype": dict[str, str],
        "hypers": list[str],
        "inputs": list[str],
        "slots": list[Slot],
        "values": dict[str, list[str]],
        "totals": list[Total],
        "matrix": str,
        "tiled": bool,
        "graph": bool,
        "stencil": bool,
        "sweeps": int,
        "barriers": list[str],
        "select": str | None,
        "inexact": NotRequired[list[str]],
        "stages": list[list[tuple[str, str]]],
        "variants": list[Variant],
        "launches": NotRequired[list[list[Launch]]],
        "warps": NotRequired[int],
        "host": NotRequired[Known],
    },
)


@dataclass(frozen=True)
class Module:
    """A loaded module: its manifest, the C addresses of its functions or its kernels, and what keeps those alive."""

    manifest: Manifest
    functions: Mapping[str, int]
    path: str
    source: str
    keep: object
    kernels: Mapping[str, object] = field(default_factory=dict[str, object])
    host: OnHost | None = None


class _Function(Protocol):
    address: int


class _File(Protocol):
    MANIFEST: Manifest
    FUNCTIONS: Mapping[str, _Function]
    HOST: OnHost


def load_module(path: str) -> Module:
    """Imports a generated file under a name of its own. BackendError if it is missing or not made for this runtime."""
    # numba's cache names the module that it compiled: one file, one name, however the path is spelled
    name = home.kernel_name(hashlib.sha256(os.path.realpath(path).encode()).hexdigest()[:16])
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise BackendError(f"{path} is not a Python file: name a kernel module that `optgen build` wrote")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded
    try:
        spec.loader.exec_module(loaded)
        with open(path, encoding="utf-8") as file:
            source = file.read()
    except OSError as error:
        raise BackendError(f"cannot read the kernel module {path}: {error}. Build it again") from error
    file_ = cast(_File, loaded)
    if not hasattr(loaded, "MANIFEST") or not hasattr(loaded, "FUNCTIONS"):
        raise BackendError(f"{path} holds no kernels: name a kernel module that `optgen build` wrote")
    if file_.MANIFEST["abi"] != abi.VERSION:
        raise BackendError(
            f"{path} was built for interface {file_.MANIFEST['abi']} and this is {abi.VERSION}: build it again"
        )
    if "launches" in file_.MANIFEST:
        host = file_.HOST if "host" in file_.MANIFEST else None
        return Module(file_.MANIFEST, {}, path, source, loaded, file_.FUNCTIONS, host)
    addresses = {name: function.address for name, function in file_.FUNCTIONS.items()}
    return Module(file_.MANIFEST, addresses, path, source, loaded)
