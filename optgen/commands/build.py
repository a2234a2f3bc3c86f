"""`optgen build`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from optgen.commands import completing
from optgen.commands.arguments import (
    DTYPES,
    backend_names,
    check_backend,
    dtype_option,
    given_values,
    preset_option,
    set_option,
)
from optgen.commands.emit import EMITTED, emit_stage, stage_of
from optgen.commands.output import say, tracked
from optgen.errors import UsageError

if TYPE_CHECKING:
    from optgen.generate import Request

OUT = Path("optgen_out")


@click.command("build")
@click.argument("rules", metavar="RULE...", nargs=-1, required=True, shell_complete=completing.rules)
@click.option(
    "--backend",
    metavar=backend_names("all"),
    default=None,
    help="What to write kernels for; if none is named numba, and for jax and keras what serves them.",
    shell_complete=completing.backends,
)
@click.option(
    "--framework",
    type=click.Choice(["torch", "jax", "keras", "all"]),
    default="all",
    help="Front end to write a class for; all that are built if none is named.",
)
@set_option
@preset_option
@dtype_option
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Folder to write to: DIR/RULE/.")
@click.option(
    "--standalone", is_flag=True, help="Copy the runtime beside the kernels: the folder then needs no optgen."
)
@click.option("--emit", type=click.Choice(EMITTED), help="Print this instead of writing a folder.")
@click.option(
    "--print-after",
    metavar="PASS",
    help="Print the program as this pass leaves it, instead of writing.",
    shell_complete=completing.passes,
)
def command(
    rules: tuple[str, ...],
    backend: str | None,
    framework: str,
    assignments: tuple[tuple[str, str], ...],
    preset: str | None,
    dtypes: tuple[str, ...],
    out: Path | None,
    standalone: bool,
    emit: str | None,
    print_after: str | None,
) -> None:
    """Write a rule's kernels and optimizer classes to a folder that imports without the compiler.

    The folder holds what was asked for: kernels for the default choices, or for those given by --preset and --set,
    and its class says what to build when it is asked for others. Building again adds to it.
    """
    from optgen.backend.registry import REFERENCE
    from optgen.generate import Request, origin_of
    from optgen.spec.loader import load

    stage = stage_of(emit, print_after)
    if stage and standalone:
        raise click.UsageError("--standalone writes a folder, and --emit and --print-after print instead; give one")
    backends = _backends(check_backend(backend or _default_backend(framework), "all"), standalone)
    frameworks = _frameworks(framework, backends)
    requests: dict[str, Request] = {}
    for rule in dict.fromkeys(rules):
        spec = load(rule)
        if spec.name in requests:
            raise UsageError(f'{rule} and {requests[spec.name].spec.path} are both called "{spec.name}"; rename one')
        given = given_values(spec, preset, assignments)
        origin = origin_of(spec) if REFERENCE in backends else ""
        requests[spec.name] = Request(spec, backends, dtypes or DTYPES, frameworks, given, origin, standalone)
    if stage:
        emit_stage(requests.values(), dtypes or DTYPES[:1], stage, out)
        return
    for request in tracked(list(requests.values()), lambda request: request.spec.name):
        _build(request, (out or OUT) / request.spec.name)


def _default_backend(framework: str) -> str:
    """The first backend that serves a framework, numba before all others."""
    from optgen.backend.registry import installed
    from optgen.generate import frameworks_of

    first = "numba"
    others = (name for name in installed() if framework in frameworks_of([name]))
    return first if framework in ("torch", "all") else next(others, first)


def _backends(backend: str, standalone: bool) -> list[str]:
    """The backends asked for; a BackendError says what is not installed. A standalone folder has no reference, which
    is the compiler itself."""
    from optgen.backend.registry import REFERENCE, installed
    from optgen.backend.registry import backend as find

    if backend == "all":
        return [*installed(), *([] if standalone else [REFERENCE])]
    if backend != REFERENCE:
        find(backend)
    return [backend]


def _frameworks(framework: str, backends: list[str]) -> list[str]:
    """The front ends asked for; a UsageError where no backend that is built serves the one named."""
    from optgen.generate import FRAMEWORKS, frameworks_of

    served = frameworks_of(backends)
    if framework == "all":
        return served
    if framework not in FRAMEWORKS:
        raise UsageError(f'there is no front end for "{framework}" yet; there is one for {", ".join(FRAMEWORKS)}')
    if framework not in served:
        hint = "--backend numba" if framework == "torch" else "--backend xla"
        raise UsageError(f"the backend {', '.join(backends)} does not serve {framework}: add {hint}")
    return [framework]


def _build(request: Request, folder: Path) -> None:
    from optgen.generate import files, write

    begun = time.perf_counter()
    written = write(folder, files(request))
    here = [path.name for path in written if path.parent == folder]
    names = ", ".join(name for name in here if name not in ("__init__.py", "py.typed"))
    say(f"{request.spec.name}: {folder} ({names}), {time.perf_counter() - begun:.2f} s")
    if note := unsettled(request):
        say(f"  {note}")


def unsettled(request: Request) -> str:
    """A note on values that settle nothing: kernels read those at run time, so they need no building."""
    from optgen.generate import kernel_file

    def file(*left_out: str) -> str:
        given = {name: value for name, value in request.given.items() if name not in left_out}
        return kernel_file(request.spec, given, "float32", "numba")

    default = request.spec.hypers
    idle = [n for n, v in request.given.items() if n in default and v != default[n].default and file(n) == file()]
    if not idle:
        return ""
    return f"{', '.join(idle)}: read at every step from the optimizer's arguments, so nothing was settled by --set"
