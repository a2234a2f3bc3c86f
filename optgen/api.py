"""The compiler from Python: a rule in, an optimizer class out."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from functools import partialmethod
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal, cast, overload

from optgen.errors import BackendError, UsageError, suggest
from optgen.extras import missing

if TYPE_CHECKING:
    from optgen.rule import Rule
    from optgen.runtime.jax_transform import Transformation
    from optgen.runtime.keras_optimizer import Optimizer as KerasOptimizer
    from optgen.runtime.torch_optimizer import Optimizer
    from optgen.spec.model import Spec

#: Attribute of a class that says which backend its instances run on.
_BACKEND = "_optgen_backend"


def load(origin: str | os.PathLike[str]) -> Rule:
    """The rule of a shipped name, of the path of a YAML file, or of several joined by `+`.

    Raises SpecError where the text is at fault, and UsageError where there is no such rule.
    """
    from optgen.rule import Rule
    from optgen.spec import loader

    return Rule.of(loader.load(origin))


def loads(text: str) -> Rule:
    """The rule in a YAML text. Raises SpecError where it is at fault."""
    from optgen.rule import Rule
    from optgen.spec import loader

    return Rule.of(loader.loads(text))


def compose(*parts: Spec | str | os.PathLike[str]) -> Rule:
    """One rule of a rule and the transforms that join it, left to right; each a rule, a shipped name or a path.

    `compose("RULE", "TRANSFORM")` is `load("RULE+TRANSFORM")`. Raises SpecError where the parts do not go together.
    """
    from optgen.rule import Rule
    from optgen.spec import loader

    return Rule.of(loader.combine([part.spec if isinstance(part, Rule) else part for part in parts]))


@overload
def compile(  # noqa: A001
    rule: Spec | str | os.PathLike[str], framework: Literal["torch"] = "torch", backend: str | None = None
) -> type[Optimizer]: ...
@overload
def compile(  # noqa: A001
    rule: Spec | str | os.PathLike[str], framework: Literal["jax"], backend: str | None = None
) -> Callable[..., Transformation]: ...
@overload
def compile(  # noqa: A001
    rule: Spec | str | os.PathLike[str], framework: Literal["keras"], backend: str | None = None
) -> type[KerasOptimizer]: ...
def compile(  # noqa: A001
    rule: Spec | str | os.PathLike[str], framework: str = "torch", backend: str | None = None
) -> type[Optimizer] | type[KerasOptimizer] | Callable[..., object]:
    """The optimizer class of a rule, generated and imported; for JAX the factory of its optax transformation.

    The class and the kernels of its default choices go to the user's cache folder; other choices are compiled when an
    optimizer asks for them. `backend` is what instances run on unless they name another; None picks by device.
    Raises SpecError for what the text gets wrong, and BackendError or UsageError for what cannot be served.
    """
    from optgen.backend.registry import installed
    from optgen.generate import FRAMEWORKS, Request, files, frameworks_of, front_end, write
    from optgen.runtime import cache
    from optgen.spec import loader

    spec = loader.load(rule) if isinstance(rule, str | os.PathLike) else rule
    if framework not in FRAMEWORKS:
        hint = suggest(framework, FRAMEWORKS)
        built = ", ".join(FRAMEWORKS)
        raise UsageError(f'there is no front end for "{framework}"; there is one for {built}. {hint}'.rstrip())
    about = _about(spec, framework, backend)
    key = cache.key(spec.name, about)
    serving = [name for name in installed() if framework in frameworks_of([name])]
    backends = serving[:1] if backend is None else [backend]
    if backend is not None and framework not in frameworks_of(backends):
        raise BackendError(f'the backend "{backend}" does not serve {framework}; {" or ".join(serving)} would')
    text, module = f"{spec.name}.yaml", f"optgen_compiled_{key.replace('-', '_')}"
    while True:
        folder = cache.writable(cache.CLASSES) / key
        made = files(Request(spec, backends, ("float32",), (framework,), origin=str(folder / text)))
        # a copy of the rule goes along: an edit of the original does not reach this class
        write(folder, {**made, text: spec.text, cache.ABOUT: cache.described(about)})
        try:
            made_module = _module(folder / f"{framework}.py", f"{module}_{framework}")
            if framework == "torch":
                return _class(made_module, spec.class_name, backend)
            return cast("Callable[..., object]", getattr(made_module, front_end(spec, framework)))
        except FileNotFoundError:  # another process cleared the cache meanwhile
            continue


def _about(spec: Spec, framework: str, backend: str | None) -> dict[str, object]:
    """What a class is made from, and by what: its name in the cache follows from this."""
    from optgen import __version__

    made_from = {"rule": spec.name, "text": spec.digest, "framework": framework, "for": backend or ""}
    return {**made_from, "made_by": {"optgen": __version__}}


def _module(path: Path, name: str) -> ModuleType:
    """The module in a file, imported once per process under a name by which its classes can be found again."""
    if name not in sys.modules:
        found = importlib.util.spec_from_file_location(name, path)
        assert found is not None, path
        assert found.loader is not None, path
        module = importlib.util.module_from_spec(found)
        sys.modules[name] = module
        try:
            found.loader.exec_module(module)
        except FileNotFoundError:
            del sys.modules[name]
            raise
        except ImportError as error:
            del sys.modules[name]
            reason = missing(error) or str(error)
            raise BackendError(f"the optimizer class cannot be imported: {reason}") from error
    return sys.modules[name]


def _class(module: ModuleType, name: str, backend: str | None) -> type[Optimizer]:
    """The class in a module; with a backend of its own, a subclass that takes its place there."""
    cls = cast("type[Optimizer]", getattr(module, name))
    if backend is None or cls.__dict__.get(_BACKEND) == backend:
        return cls
    body = {
        "__init__": partialmethod(cls.__init__, backend=backend),
        "__doc__": cls.__doc__,
        "__module__": module.__name__,
        _BACKEND: backend,
    }
    made = cast("type[Optimizer]", type(name, (cls,), body))
    setattr(module, name, made)
    return made
