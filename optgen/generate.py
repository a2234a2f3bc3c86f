"""Build folders: which files a rule's kernels and classes make, and writing them so that readers see whole files."""

from __future__ import annotations

import os
import re
import shlex
import tempfile
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from optgen import compiler
from optgen.backend.registry import REFERENCE
from optgen.backend.registry import backend as find_backend
from optgen.errors import HyperError, UsageError, suggest
from optgen.frontends.evaluate import check_requirements, has_graph, rule_info
from optgen.frontends.jax_factory import jax_factory
from optgen.frontends.keras_class import keras_class
from optgen.frontends.torch_class import torch_class
from optgen.passes.pipeline import COUPLING, DEFAULT_COUPLING
from optgen.paths import is_shipped
from optgen.runtime import modules
from optgen.runtime.array_modules import FILES
from optgen.runtime.graph import COUPLINGS
from optgen.runtime.rule_info import MAXIMIZE, RuleInfo, Settled
from optgen.spec.evaluation import evaluation
from optgen.spec.model import Spec, Value
from optgen.standalone import PRIVATE, readme, standalone

#: Front ends that are built, and the writer of each class: (rule, origin) to text.
FRAMEWORKS: Mapping[str, Callable[[Spec, str], str]] = {
    "torch": torch_class,
    "jax": jax_factory,
    "keras": keras_class,
}
SHIPPED = "shipped"

_MARK = re.compile(r"[Gg]enerated (by optgen )?from ")
_SPEC_LINE = re.compile(r"^spec ([0-9a-f]{64})$", re.MULTILINE)


@dataclass(frozen=True)
class Request:
    """What to build of a rule. `given` are values of hypers, for the choices they settle.

    `origin` is where classes find the rule's text when other choices are wanted: `"shipped"`, a path, or nowhere.
    A `standalone` folder holds a copy of the runtime and needs no optgen; it has no origin.
    """

    spec: Spec
    backends: Sequence[str]
    dtypes: Sequence[str] = compiler.DTYPES
    frameworks: Sequence[str] = ("torch",)
    given: Mapping[str, Value] = field(default_factory=dict[str, Value])
    origin: str = ""
    standalone: bool = False


def files(request: Request) -> dict[str, str]:
    """Texts of a build folder by file name. Raises SpecError, HyperError, BackendError or UsageError."""
    spec = request.spec
    made = kernel_sources(request, request.dtypes)
    for framework in request.frameworks:
        made[f"{framework}.py"] = FRAMEWORKS[framework](spec, request.origin)
    made["__init__.py"] = _package(spec, request.frameworks)
    made["py.typed"] = ""
    if origin_of(spec) != SHIPPED:  # what the folder's classes name when they are asked for other choices
        made[f"{spec.name}.yaml"] = spec.text
    return _standalone(request, made) if request.standalone else made


def _standalone(request: Request, made: Mapping[str, str]) -> dict[str, str]:
    """A build folder with all that it needs, the rule's text and instructions among it."""
    spec = request.spec
    if REFERENCE in request.backends:
        raise UsageError(f'"{REFERENCE}" is the compiler itself, which a standalone folder cannot hold')
    needs = ["numpy", *request.frameworks, *(p for name in request.backends for p in find_backend(name).requires)]
    page = readme(spec, request.frameworks, needs, build_command(request))
    return {**standalone(made), f"{spec.name}.yaml": spec.text, "README.md": page}


def build_command(request: Request) -> str:
    """The command that makes a standalone folder, to be run where its rule is found."""
    spec = request.spec
    words = ["optgen", "build", spec.name if origin_of(spec) == SHIPPED else f"{spec.name}/{spec.name}.yaml"]
    words += ["--backend", request.backends[0] if len(request.backends) == 1 else "all"]
    words += ["--framework", request.frameworks[0] if len(request.frameworks) == 1 else "all"]
    words += [word for dtype in request.dtypes for word in ("--dtype", dtype)]
    for name, value in request.given.items():
        words += ["--set", f"{name}={str(value).lower() if isinstance(value, bool) else value}"]
    return shlex.join([*words, "--standalone", "--out", "."])


def kernel_sources(request: Request, dtypes: Sequence[str]) -> dict[str, str]:
    """Texts of the kernels by file name; none for the reference, which interprets the rule."""
    given = accept(request.spec, request.given)
    made: dict[str, str] = {}
    for spec in filter(None, (request.spec, evaluation(request.spec))):
        own = {name: value for name, value in given.items() if name in spec.hypers or spec is request.spec}
        for backend in (name for name in request.backends if name != REFERENCE and not takes_arrays(name)):
            for dtype in dtypes:
                made[kernel_file(spec, own, dtype, backend)] = compiler.kernel_module(spec, own, dtype, backend)[1]
        for backend in filter(takes_arrays, request.backends):
            for framework in (name for name in frameworks_of([backend]) if name in request.frameworks):
                text = compiler.program_source(spec, own, backend, framework)
                made[array_file(spec, own, framework)] = text
    return made


def takes_arrays(backend: str) -> bool:
    """Whether a backend takes whole arrays of any dtype, as JAX has them; others launch kernels on torch tensors."""
    return backend != REFERENCE and find_backend(backend).level == "rule"


def serves_here(backend: str) -> bool:
    """Whether a backend has kernels for torch tensors of a device that this machine has."""
    if takes_arrays(backend):
        return False
    devices = find_backend(backend).devices
    if "cpu" in devices:
        return True
    import torch

    return "cuda" in devices and torch.cuda.is_available()


def frameworks_of(backends: Sequence[str]) -> list[str]:
    """Front ends that some of these backends serve."""
    served: set[str] = set()
    for name in backends:
        target = None if name == REFERENCE else find_backend(name)
        served |= set(target.frameworks) if target is not None and target.level == "rule" else {"torch"}
    return [framework for framework in FRAMEWORKS if framework in served]


def front_end(spec: Spec, framework: str) -> str:
    """What users import: a class, or in JAX a factory, which has the rule's own name."""
    return spec.name if framework == "jax" else spec.class_name


def origin_of(spec: Spec) -> str:
    """Where a class finds the rule's text again, which the reference backend interprets."""
    if "+" in spec.path and spec.parts:
        return spec.path
    return SHIPPED if is_shipped(spec.path) else str(Path(spec.path).absolute())


def accept(spec: Spec, given: Mapping[str, Value]) -> dict[str, Value]:
    """Values of a rule's hypers and of the choices that all rules have, checked; HyperError says what is wrong."""
    checked: dict[str, Value] = dict(compiler.settings(spec, given))
    for name, value in given.items():
        if name == MAXIMIZE and not isinstance(value, bool):
            raise HyperError(f"{MAXIMIZE} must be true or false, got {value!r}")
        if name == COUPLING and name not in spec.hypers:
            if not has_graph(spec):
                raise HyperError(f"{spec.name} reads no graph of layers, so it has no {COUPLING}")
            if value not in COUPLINGS:
                offered = ", ".join(f'"{word}"' for word in COUPLINGS)
                hint = suggest(str(value), COUPLINGS)
                raise HyperError(f"{COUPLING} must be one of {offered}, got {value!r}. {hint}".rstrip())
    defaults = {name: hyper.default for name, hyper in spec.hypers.items()}
    check_requirements(spec, {**defaults, **checked})
    return checked


def kernel_file(spec: Spec, given: Mapping[str, Value], dtype: str, backend: str) -> str:
    """Name of the file that holds the kernels for these choices; as `optgen.runtime.modules` looks for it."""
    return modules.file_name(*_settled(spec, given), dtype, backend)


def array_file(spec: Spec, given: Mapping[str, Value], framework: str) -> str:
    """Name of the file that holds a framework's whole-array functions for these choices."""
    return modules.array_file_name(*_settled(spec, given), FILES[framework])


def _settled(spec: Spec, given: Mapping[str, Value]) -> tuple[RuleInfo, Settled]:
    rule = rule_info(spec)
    coupling = str(given.get(COUPLING, DEFAULT_COUPLING))
    return rule, rule.settled({**rule.defaults(), **given}, bool(given.get(MAXIMIZE, False)), coupling)


def _package(spec: Spec, frameworks: Sequence[str]) -> str:
    made = f"Generated by optgen from {spec.name}.yaml"
    lines = [f'"""The rule {spec.name}. {made}; import the class of your framework:', ""]
    lines += [f"    from {spec.name}.{framework} import {front_end(spec, framework)}" for framework in frameworks]
    return "\n".join([*lines, '"""', ""])


def write(folder: Path, texts: Mapping[str, str]) -> list[Path]:
    """Writes a build folder, each file at once, and removes kernels of an earlier text of the rule.

    Files for other choices stay. UsageError where the folder cannot be written, or holds files that are not optgen's.
    """
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name in texts:
            _refuse_foreign(folder / name)
        _refuse_mixture(folder, texts)
        written = [_replace(folder / name, text) for name, text in texts.items()]
        _remove_stale(folder, texts)
    return written


def write_text(path: Path, text: str) -> Path:
    """Writes one file, at once. UsageError where that cannot be done."""
    with _writing(path):
        return _replace(path, text)


@contextmanager
def _writing(place: Path) -> Generator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        at = (error.filename if isinstance(error, OSError) else None) or place
        raise UsageError(f"cannot write {at}: {reason}. Name another folder: --out DIR") from error


def _refuse_foreign(path: Path) -> None:
    if path.suffix not in (".py", ".md") or not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        if (start := file.read(2000)).strip() and not _MARK.search(start):
            raise UsageError(f"{path} is there already and was not written by optgen; name another folder: --out DIR")


def _refuse_mixture(folder: Path, texts: Mapping[str, str]) -> None:
    """Kernels import either optgen or the copy beside them: a folder holds one kind."""
    wanted = any(name.startswith(f"{PRIVATE}/") for name in texts)
    others = [path for path in sorted(folder.glob("*.py")) if path.name not in texts]
    ours = [(path, text) for path in others if _MARK.search((text := path.read_text(encoding="utf-8"))[:2000])]
    for path, text in ours:
        if (f"from .{PRIVATE}." in text) is not wanted:
            kind = "needs optgen" if wanted else "is standalone"
            raise UsageError(f"{path} is there already and {kind}; remove the folder, or name another: --out DIR")


def _replace(path: Path, text: str) -> Path:
    """Writes a file so that other processes see all of it or nothing; leaves one that holds the text alone."""
    data = text.encode("utf-8")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file() and path.read_bytes() == data:
        return path
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".optgen-", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def _remove_stale(folder: Path, texts: Mapping[str, str]) -> None:
    """Removes kernel files made from another text of the rule: classes would pass them by in silence."""
    current = {digest for text in texts.values() for digest in _SPEC_LINE.findall(text[:2000])}
    for path in folder.glob("*_*float*.py"):
        with path.open(encoding="utf-8", errors="replace") as file:
            start = file.read(2000)
        found = _SPEC_LINE.findall(start)
        if current and _MARK.search(start) and found and found[0] not in current:
            path.unlink()
    for path in (folder / PRIVATE).rglob("*.py"):
        if path.relative_to(folder).as_posix() not in texts:
            path.unlink()
