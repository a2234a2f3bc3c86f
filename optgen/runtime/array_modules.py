"""Where generated array functions come from: a build folder, the user's cache, or the compiler, in this order."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, cast

from optgen.errors import BackendError
from optgen.runtime import cache, home, modules
from optgen.runtime.array_program import Program
from optgen.runtime.rule_info import Hypers, RuleInfo, Settled

BACKEND = "xla"
#: What each framework's module is called in a build folder.
FILES: Mapping[str, str] = {"jax": "xla", "keras": "keras_ops"}


class Compiler(Protocol):
    """What this module asks of `optgen.compiler`."""

    def load(self, origin: str) -> object:
        """The rule of a name or path."""
        ...

    def program_source(self, spec: object, hypers: Hypers, backend: str, framework: str) -> str:
        """Text of the module for these values' settled choices."""
        ...


_programs: dict[str, Program] = {}


def find(rule: RuleInfo, settled: Settled, hypers: Hypers, framework: str) -> Program:
    """The program for these choices, in the words of a framework. BackendError if it cannot be had."""
    if rule.folder:
        built = Path(rule.folder) / modules.array_file_name(rule, settled, FILES[framework])
        if built.is_file() and (program := _loaded(built)).digest == rule.digest:
            return program
    if not rule.origin:
        raise BackendError(
            f"{rule.folder or 'this rule'} holds no array functions of {rule.name} for {settled}; build them with "
            f"`optgen build {rule.name} --backend {BACKEND} --framework {framework}` and the options wanted"
        )
    made_from = {"rule": rule.name, "text": rule.digest, "settled": settled, "for": BACKEND}
    about = {**made_from, "made_by": cache.made_by(BACKEND, framework)}
    entry, name = cache.key(rule.name, about), f"{FILES[framework]}.py"
    for folder in cache.folders(cache.KERNELS):
        if (cached := folder / entry / name).is_file():
            return _loaded(cached)
    return _loaded(cache.store(cache.KERNELS, entry, name, _source(rule, settled, hypers, framework), about))


def _source(rule: RuleInfo, settled: Settled, hypers: Hypers, framework: str) -> str:
    try:
        compiler = cast(Compiler, importlib.import_module("optgen.compiler"))
    except ImportError as error:
        raise BackendError(f"other choices of {rule.name} need the compiler, which is missing: {error}") from error
    spec = compiler.load(rule.name if rule.origin == "shipped" else rule.origin)
    if getattr(spec, "digest", rule.digest) != rule.digest:
        raise BackendError(f"the text of {rule.name} ({rule.origin}) has changed: generate its front end again")
    common = {key: settled[key] for key in ("maximize", "coupling") if key in settled}
    return compiler.program_source(spec, dict(hypers) | common, BACKEND, framework)


def _loaded(path: Path) -> Program:
    """The program in a file, imported once per process."""
    key = str(path)
    if key not in _programs:
        name = home.kernel_name(hashlib.sha256(key.encode()).hexdigest()[:16])
        found = importlib.util.spec_from_file_location(name, path)
        assert found is not None, path
        assert found.loader is not None, path
        module = importlib.util.module_from_spec(found)
        sys.modules[name] = module
        found.loader.exec_module(module)
        _programs[key] = cast(Program, module.PROGRAM)
    return _programs[key]
