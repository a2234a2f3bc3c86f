"""Where kernel modules come from: a build folder, the user's cache, or the compiler.

Only the last imports the compiler. A module serves one rule, one set of settled choices, one dtype and one backend;
no change of a number needs another one, unless it crosses a condition that the rule settles.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, cast

from optgen.errors import BackendError, suggest
from optgen.runtime import abi, cache, home, warm_up
from optgen.runtime.kernel_module import Manifest, Module, load_module
from optgen.runtime.rule_info import COUPLING, MAXIMIZE, Hypers, RuleInfo, Settled
from optgen.runtime.storage import DtypeSet

#: Backends whose modules this runtime can launch, with the device type each serves and the package it needs.
LAUNCHED: Mapping[str, tuple[str, str]] = {
    "numba": ("cpu", "numba"),
    "triton": ("cuda", "triton"),
    "numba-cuda": ("cuda", "numba-cuda"),
}
#: Interpreters of kernels for graphics processors: the variable of the environment that asks for one, by backend.
INTERPRETERS: Mapping[str, str] = {"triton": "TRITON_INTERPRET", "numba-cuda": "NUMBA_ENABLE_CUDASIM"}
#: The float64 interpreter: no module, no cache, any rule.
REFERENCE = "reference"
#: How names end of rules that set weights to evaluate with; they are built with the rule they belong to.
EVALUATES = "_eval"


class Compiler(Protocol):
    """What this module asks of `optgen.compiler`."""

    def load(self, origin: str) -> object:
        """The rule of a name or path."""
        ...

    def kernel_module(self, spec: object, hypers: Hypers, dtype: str, backend: str) -> tuple[Manifest, str]:
        """Manifest and text of the module for these values' settled choices."""
        ...


def choose_backend(backend: str | None, device: str) -> str:
    """The backend to use on a device type: the one named, or the device's first that is installed.

    BackendError if none can serve: what is missing, and what would work.
    """
    serving = [name for name, (where, _) in LAUNCHED.items() if where == device]
    if backend is None:
        if not serving:
            raise BackendError(f'no backend here serves the device "{device}"; move the model to the CPU')
        backend = next((name for name in serving if _has_package(name)), serving[0])
    would = " or ".join(f'"{name}"' for name in [*serving, *([REFERENCE] if device == "cpu" else [])])
    if backend == REFERENCE:
        if device != "cpu":
            raise BackendError(
                f'backend "{backend}" interprets on the CPU and cannot read memory of the device "{device}"; {would} '
                "would serve, or move the model to the CPU"
            )
        return backend
    if backend not in LAUNCHED:
        hint = suggest(backend, [*LAUNCHED, REFERENCE])
        raise BackendError(f'backend "{backend}" is not installed; here {would} would serve. {hint}'.rstrip())
    where, package = LAUNCHED[backend]
    if where != device and not _interpreted(backend, device):
        raise BackendError(
            f'backend "{backend}" serves the device "{where}", not "{device}"; {would} would. {_to_serve(where)}'
        )
    if not _has_package(backend):
        others = " or ".join(f'"{name}"' for name in serving if name != backend and _has_package(name))
        instead = f", or use {others}" if others else "" if device == "cpu" else ", or move the model to the CPU"
        raise BackendError(f'backend "{backend}" needs the package {package}: pip install {package}{instead}')
    return backend


def _has_package(backend: str) -> bool:
    """Whether the library of a backend's kernels is installed."""
    return importlib.util.find_spec(LAUNCHED[backend][1].replace("-", "_")) is not None


def _to_serve(device: str) -> str:
    """What has to happen for a model to be on a device of this type."""
    if device == "cpu":
        return "Or move the model to the CPU"
    from optgen.runtime.gpu_device import why_none

    lacking = why_none()
    return f"There is no GPU to move the model to: {lacking}" if lacking else "Or move the model to the GPU"


def _interpreted(backend: str, device: str) -> bool:
    """Whether kernels for a graphics processor run in an interpreter on the CPU, as the environment asks."""
    return device == "cpu" and backend in INTERPRETERS and os.environ.get(INTERPRETERS[backend]) == "1"


def file_name(rule: RuleInfo, settled: Settled, dtype: str, backend: str) -> str:
    """Name of a module's file in a build folder: `numba_float32.py`, and a digest of other choices than the default."""
    default = rule.settled(rule.defaults())
    stem = f"{rule.prefix}{_stem(dtype, backend)}"
    return f"{stem}{'' if settled == default else '_' + _digest(settled)[:8]}.py"


def _stem(dtype: str, backend: str) -> str:
    """Name of a module by what it stores and what runs it."""
    return f"{backend.replace('-', '_')}_{DtypeSet.parse(dtype).file_stem}"


def array_file_name(rule: RuleInfo, settled: Settled, kind: str) -> str:
    """Name of a file of functions of whole arrays of any dtype: its kind, such as `xla`, and a digest as above."""
    default = rule.settled(rule.defaults())
    return f"{rule.prefix}{kind}{'' if settled == default else '_' + _digest(settled)[:8]}.py"


def find(rule: RuleInfo, settled: Settled, dtype: str, backend: str, hypers: Hypers) -> Module:
    """The kernel module for these choices; compiled if no folder holds it. BackendError if it cannot be had."""
    shipped = _shipped(rule, settled, dtype, backend)
    if rule.folder:
        built = Path(rule.folder) / file_name(rule, settled, dtype, backend)
        if (module := _stored(built, shipped)) and module.manifest["digest"] == rule.digest:
            return _checked(module, rule, settled)
    if not rule.origin:
        raise BackendError(_not_built(rule, settled, dtype, backend, hypers))
    about = _about(rule, settled, dtype, backend)
    for folder in cache.folders(cache.KERNELS):
        if module := _cached(folder / cache.key(rule.name, about) / f"{_stem(dtype, backend)}.py", shipped):
            return _checked(module, rule, settled)
    return _checked(_compiled(rule, settled, dtype, backend, hypers, about, shipped), rule, settled)


def _shipped(rule: RuleInfo, settled: Settled, dtype: str, backend: str) -> Path | None:
    """Where the generated package would hold a module; None outside of optgen and without that package."""
    folder = home.generated()
    return folder and folder / rule.name / file_name(rule, settled, dtype, backend)


def _stored(path: Path, same: Path | None) -> Module | None:
    """The module in a file; None where there is none.

    From another file, if that holds the same to the byte: machine code is kept beside a file, and is made once.
    """
    if not path.is_file():
        return None
    twin = same is not None and same != path and same.is_file() and same.read_bytes() == path.read_bytes()
    return _loaded(str(same if twin else path))


def _cached(path: Path, same: Path | None) -> Module | None:
    """As `_stored`; None also where the file is there no more: another process may clear the cache."""
    try:
        return _stored(path, same)
    except (BackendError, FileNotFoundError):
        if path.is_file():
            raise
        return None


_loaded_modules: dict[str, Module] = {}


def _loaded(path: str) -> Module:
    """The module in a file, imported once per process."""
    if path not in _loaded_modules:
        if re.search(r"numba_(?!cuda)", Path(path).name):
            warm_up.begin()
        _loaded_modules[path] = load_module(path)
    return _loaded_modules[path]


def _checked(module: Module, rule: RuleInfo, settled: Settled) -> Module:
    """The module, if it was made for these choices by a compiler of this interface."""
    manifest = module.manifest
    if manifest["abi"] != abi.VERSION:
        raise BackendError(
            f"{module.path} was built for interface {manifest['abi']}, this is {abi.VERSION}: build it again"
        )
    differing = {k: v for k, v in manifest["settled"].items() if k in settled and settled[k] != v}
    if manifest["rule"] != rule.name or differing:
        raise BackendError(
            f"{module.path} holds {manifest['rule']} with {manifest['settled']}, and {rule.name} with {settled} was "
            "wanted: build the folder again, or clear the cache with `optgen cache --clear`"
        )
    return module


def _compiled(
    rule: RuleInfo,
    settled: Settled,
    dtype: str,
    backend: str,
    hypers: Hypers,
    about: Mapping[str, object],
    shipped: Path | None,
) -> Module:
    try:
        compiler = cast(Compiler, importlib.import_module("optgen.compiler"))
    except ImportError as error:
        raise BackendError(
            f"{_not_built(rule, settled, dtype, backend, hypers)} (the compiler is missing: {error})"
        ) from error
    spec = compiler.load(rule.name if rule.origin == "shipped" else rule.origin)
    digest = getattr(spec, "digest", rule.digest)
    if digest != rule.digest:
        raise BackendError(
            f"the text of {rule.name} ({rule.origin}) has changed since its optimizer class was generated: "
            "generate the class again"
        )
    settings = dict(hypers) | {key: settled[key] for key in (MAXIMIZE, COUPLING) if key in settled}
    _, source = compiler.kernel_module(spec, settings, dtype, backend)
    entry = cache.key(rule.name, about)
    name = f"{_stem(dtype, backend)}.py"
    for _ in range(cache.ATTEMPTS):
        stored = cache.store(cache.KERNELS, entry, name, source, about)
        if module := _cached(stored, shipped):
            return module
    raise BackendError(f"the cache {cache.folders(cache.KERNELS)[0]} is cleared faster than kernels are read from it")


def _digest(settled: Settled) -> str:
    return hashlib.sha256(json.dumps(settled, sort_keys=True).encode()).hexdigest()


def _about(rule: RuleInfo, settled: Settled, dtype: str, backend: str) -> dict[str, object]:
    """What a module is made from, and by what: its name in the cache follows from this."""
    made_from = {"rule": rule.name, "text": rule.digest, "settled": settled, "dtype": dtype, "for": backend}
    return {**made_from, "made_by": cache.made_by(backend, LAUNCHED[backend][1])}


def _not_built(rule: RuleInfo, settled: Settled, dtype: str, backend: str, hypers: Hypers) -> str:
    default = rule.settled(rule.defaults())
    differing = {key: value for key, value in settled.items() if default.get(key) != value}
    shown = ", ".join(f"{key}: {value}" for key, value in differing.items()) or "the default choices"
    command = ["optgen", "build", _argument(rule), "--backend", backend, "--framework", "torch"]
    for name, value in _given(rule, differing, hypers).items():
        command += ["--set", f"{name}={str(value).lower() if isinstance(value, bool) else value}"]
    if home.STANDALONE:
        command += ["--standalone", "--out", str(Path(rule.folder).parent)]
    return (
        f"{rule.folder or 'this class'} holds no {backend} kernels of {rule.name} in {dtype} for {shown}; build them "
        f"with `{shlex.join(command)}`"
    )


def _argument(rule: RuleInfo) -> str:
    """How a command names the rule: by the text that a build folder holds if the rule is not a shipped one."""
    name = rule.name.removesuffix(EVALUATES) if rule.prefix else rule.name
    text = Path(rule.folder) / f"{name}.yaml"
    return str(text) if rule.folder and text.is_file() else name


def _given(rule: RuleInfo, differing: Settled, hypers: Hypers) -> dict[str, object]:
    """Values that settle the choices: the choices themselves, and the hypers in the text of a condition."""
    found: dict[str, object] = {}
    for key, value in differing.items():
        if key.isidentifier():
            found[key] = value
        else:
            names = dict.fromkeys(re.findall(r"[A-Za-z_]\w*", key))
            found |= {hyper.name: hypers[hyper.name] for hyper in rule.hypers if hyper.name in names}
    return found
