"""Where kernel modules come from: a build folder, the user's cache, or the compiler.

Only the last imports the compiler. A module serves one rule, one set of settled choices, one dtype and one backend;
no change of a number needs another one, unless it crosses a condition that the rule settles.
"""

from __future__ import annotations

import atexit
import hashlib
import importlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Protocol, cast

from optgen.errors import BackendError, suggest
from optgen.paths import cache_dir
from optgen.runtime import abi, home, warm_up
from optgen.runtime.kernel_module import Manifest, Module, load_module
from optgen.runtime.rule_info import COUPLING, MAXIMIZE, Hypers, RuleInfo, Settled

#: Backends whose modules this runtime can launch, with the device type each serves and the package it needs.
LAUNCHED: Mapping[str, tuple[str, str]] = {"numba": ("cpu", "numba")}
#: The float64 interpreter: no module, no cache, any rule.
REFERENCE = "reference"


class Compiler(Protocol):
    """What this module asks of `optgen.compiler`."""

    def load(self, origin: str) -> object:
        """The rule of a name or path."""
        ...

    def kernel_module(self, spec: object, hypers: Hypers, dtype: str, backend: str) -> tuple[Manifest, str]:
        """Manifest and text of the module for these values' settled choices."""
        ...


def choose_backend(backend: str | None, device: str) -> str:
    """The backend to use on a device type: the one named, or the device's default. BackendError if it cannot serve."""
    serving = [name for name, (where, _) in LAUNCHED.items() if where == device]
    if backend is None:
        if not serving:
            raise BackendError(f'no backend here serves the device "{device}"; move the model to the CPU')
        backend = serving[0]
    if backend == REFERENCE:
        return backend
    would = " or ".join(f'"{name}"' for name in [*serving, REFERENCE])
    if backend not in LAUNCHED:
        hint = suggest(backend, [*LAUNCHED, REFERENCE])
        raise BackendError(f'backend "{backend}" is not installed; here {would} would serve. {hint}'.rstrip())
    where, package = LAUNCHED[backend]
    if where != device:
        raise BackendError(f'backend "{backend}" serves the device "{where}", not "{device}"; {would} would')
    if importlib.util.find_spec(package) is None:
        raise BackendError(f'backend "{backend}" needs the package {package}: pip install {package}')
    return backend


def file_name(rule: RuleInfo, settled: Settled, dtype: str, backend: str) -> str:
    """Name of a module's file in a build folder: `numba_float32.py`, and a digest of other choices than the default."""
    default = rule.settled(rule.defaults())
    return f"{backend}_{dtype}{'' if settled == default else '_' + _digest(settled)[:8]}.py"


def find(rule: RuleInfo, settled: Settled, dtype: str, backend: str, hypers: Hypers) -> Module:
    """The kernel module for these choices; compiled if no folder holds it. BackendError if it cannot be had."""
    if rule.folder:
        built = Path(rule.folder) / file_name(rule, settled, dtype, backend)
        if built.is_file() and (module := _loaded(str(built))).manifest["digest"] == rule.digest:
            return _checked(module, rule, settled)
    if not rule.origin:
        raise BackendError(_not_built(rule, settled, dtype, backend, hypers))
    for folder in _cache_folders():
        cached = folder / _key(rule, settled, dtype, backend) / f"{backend}_{dtype}.py"
        if cached.is_file():
            return _checked(_loaded(str(cached)), rule, settled)
    return _checked(_compiled(rule, settled, dtype, backend, hypers), rule, settled)


def _cache_folders() -> list[Path]:
    return [cache_dir() / "modules", *_temporary]


#: This process's own folder, once it turned out that the user's cache cannot be written.
_temporary: list[Path] = []


def _fallback() -> Path:
    if not _temporary:
        folder = tempfile.mkdtemp(prefix="optgen-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        _temporary.append(Path(folder))
    return _temporary[0]


_loaded_modules: dict[str, Module] = {}


def _loaded(path: str) -> Module:
    """The module in a file, imported once per process."""
    if path not in _loaded_modules:
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


def _compiled(rule: RuleInfo, settled: Settled, dtype: str, backend: str, hypers: Hypers) -> Module:
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
    name = f"{backend}_{dtype}.py"
    key = _key(rule, settled, dtype, backend)
    try:
        path = _write(cache_dir() / "modules" / key / name, source)
    except OSError:
        path = _write(_fallback() / key / name, source)
    return _loaded(str(path))


def _write(path: Path, text: str) -> Path:
    """Writes a file so that other processes see all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def _digest(settled: Settled) -> str:
    return hashlib.sha256(json.dumps(settled, sort_keys=True).encode()).hexdigest()


def _key(rule: RuleInfo, settled: Settled, dtype: str, backend: str) -> str:
    package = LAUNCHED[backend][1]
    parts = [rule.digest, _digest(settled), dtype, backend, abi.VERSION, _version("optgen"), _version(package)]
    parts += [_compiler_digest(), _backend_digest(backend), sys.implementation.cache_tag]
    return f"{rule.name}-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:20]}"


@cache
def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


@cache
def _compiler_digest() -> str:
    """Sizes and times of the compiler's own files: an edited checkout does not find what it made before the edit."""
    return _files_digest(Path(__file__).resolve().parents[1])


@cache
def _backend_digest(backend: str) -> str:
    """The same of the package that emits a backend's kernels, found without importing it."""
    for entry in metadata.entry_points(group="optgen.backends", name=backend):
        found = importlib.util.find_spec(entry.module.partition(".")[0])
        if found is not None and found.origin:
            return _files_digest(Path(found.origin).parent)
    return ""


def _files_digest(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)
    seen = [(str(p.relative_to(folder)), (s := p.stat()).st_size, s.st_mtime_ns) for p in files]
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()


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
    text = Path(rule.folder) / f"{rule.name}.yaml"
    return str(text) if rule.folder and text.is_file() else rule.name


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


def clear_cache() -> int:
    """Removes every cached module; the number of modules that were there."""
    folder = cache_dir() / "modules"
    found = len(list(folder.glob("*/*.py")))
    shutil.rmtree(folder, ignore_errors=True)
    _loaded_modules.clear()
    return found
