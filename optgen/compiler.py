"""The compiler's own entry points: a rule in, the text of its kernels out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from optgen.backend.registry import backend as find_backend
from optgen.errors import BackendError, HyperError, suggest
from optgen.ir.view import view
from optgen.passes.pipeline import COUPLING, Watch, to_arrays, to_kernels
from optgen.passes.specialise import Setting
from optgen.runtime.storage import DtypeSet
from optgen.spec import loader
from optgen.spec.model import Setting as Given
from optgen.spec.model import Spec

if TYPE_CHECKING:
    from optgen.runtime.tables import Manifest

DTYPES = ("float32", "float64")
#: Settings that every rule has besides its hypers.
COMMON = ("maximize", COUPLING)


def load(origin: str | os.PathLike[str]) -> Spec:
    """A rule: a shipped name (`optgen list` lists them) or the path of a YAML file."""
    return loader.load(origin)


def kernel_module(
    spec: Spec, hypers: Mapping[str, object], dtype: str, backend: str, watch: Watch | None = None
) -> tuple[Manifest, str]:
    """Manifest and source of a rule's kernels for the choices that `hypers` settle; defaults for those not given.

    `dtype` is the parameters' and gradients', or the text of a dtype set (`optgen.runtime.storage`). Raises SpecError,
    BackendError or HyperError.
    """
    target = find_backend(backend)
    for stored in DtypeSet.parse(dtype).dtypes:
        if stored not in target.dtypes:
            raise BackendError(f'the backend "{backend}" has no {stored} kernels; it has {", ".join(target.dtypes)}')
    if target.level != "kernel":
        raise BackendError(f'the backend "{backend}" takes whole arrays: it has functions, no kernels')
    emitted = target.emit(view(to_kernels(spec, settings(spec, hypers), dtype, watch)))
    return cast("Manifest", emitted.manifest), emitted.source


def program_source(
    spec: Spec, hypers: Mapping[str, object], backend: str, framework: str = "jax", watch: Watch | None = None
) -> str:
    """Source of a rule's whole-array functions for the choices that `hypers` settle; defaults for those not given.

    `framework` is that in whose words they are written.

    Raises SpecError, BackendError or HyperError.
    """
    target = find_backend(backend)
    if target.level != "rule":
        raise BackendError(f'the backend "{backend}" has kernels for one dtype each, no whole-array functions')
    return target.emit(to_arrays(spec, settings(spec, hypers), watch), framework).source


def settings(spec: Spec, given: Mapping[str, object]) -> dict[str, Setting]:
    """Given values of hypers, checked; a HyperError names what is unknown or out of its domain."""
    checked: dict[str, Setting] = {}
    for name, value in given.items():
        if name in COMMON and name not in spec.hypers:
            if not isinstance(value, bool | str):
                raise HyperError(f"{name} is a word or a switch, not {value!r}")
            checked[name] = value
        elif name in spec.hypers:
            accepted = spec.hypers[name].accept(cast("Given", value))
            if not isinstance(accepted, tuple):
                checked[name] = accepted
        else:
            hint = suggest(name, [*spec.hypers, *COMMON])
            raise HyperError(f'{spec.name} has no hyper-parameter "{name}". {hint}'.rstrip())
    return checked
