"""`optgen build --emit` and `--print-after`: a stage of the compiler as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from optgen.errors import UsageError, suggest

if TYPE_CHECKING:
    from optgen.generate import Request
    from optgen.ir.text import ModuleOp

SOURCE = "source"
HLO = "stablehlo"
ASSEMBLED = ("ttir", "ptx")
EMITTED = (SOURCE, "rule-ir", "kernel-ir", HLO, *ASSEMBLED)


def stage_of(emit: str | None, print_after: str | None) -> str:
    """The stage that is wanted: `source`, the name of a pass, or empty for none. A usage error for a wrong name."""
    from optgen.passes.pipeline import PASSES

    if emit and print_after:
        raise click.UsageError("--emit and --print-after both say what to print; give one")
    if print_after and print_after not in PASSES:
        hint = suggest(print_after, PASSES)
        message = f'there is no pass "{print_after}"; there are {", ".join(PASSES)}. {hint}'
        raise click.BadParameter(message.rstrip(), param_hint="--print-after")
    own = {name: name for name in (SOURCE, HLO, *ASSEMBLED)}
    stages = {**own, "rule-ir": PASSES[0], "kernel-ir": PASSES[-1]}
    return stages[emit] if emit else print_after or ""


def emit_stage(requests: Iterable[Request], dtypes: Sequence[str], stage: str, out: Path | None) -> None:
    """Prints a stage of every rule and dtype, or writes each to a file below `out`."""
    from optgen.generate import write_text

    for request in requests:
        for dtype in dtypes:
            for name, text in _texts(request, dtype, stage).items():
                if out is None:
                    click.echo(text, nl=False)
                else:
                    click.echo(str(write_text(out / request.spec.name / name, text)))


def _texts(request: Request, dtype: str, stage: str) -> dict[str, str]:
    """Texts by the name of the file that would hold them."""
    from optgen import compiler
    from optgen.generate import kernel_sources, takes_arrays
    from optgen.ir.text import to_text
    from optgen.passes.pipeline import PASSES, STORAGE_PASSES, to_kernels
    from optgen.runtime.storage import DtypeSet

    if any(takes_arrays(name) for name in request.backends) and stage not in ("build", SOURCE, HLO):
        return _arrays(request, stage)
    if stage == HLO:
        from optgen.stablehlo import stablehlo

        if not all(takes_arrays(name) for name in request.backends):
            raise UsageError(f"{', '.join(request.backends)} makes no StableHLO: --backend xla does")
        return {f"stablehlo_{dtype}.mlir": stablehlo(request.spec, request.given, dtype)}
    if stage == SOURCE:
        sources = kernel_sources(request, [dtype])
        if not sources:
            raise UsageError(f"{', '.join(request.backends)} has no source: it interprets the rule")
        return sources
    if stage in ASSEMBLED:
        return _assembled(request, dtype, stage)
    found: dict[str, str] = {}

    def watch(name: str, module: ModuleOp) -> None:
        if name == stage or (stage == PASSES[-1] and name == STORAGE_PASSES[-1]):
            found[f"{stage}_{DtypeSet.parse(dtype).file_stem}.mlir"] = to_text(module)

    to_kernels(request.spec, compiler.settings(request.spec, request.given), dtype, watch)
    return found


def _arrays(request: Request, stage: str) -> dict[str, str]:
    """The text of a pass on the way to whole arrays."""
    from optgen import compiler
    from optgen.ir.text import to_text
    from optgen.passes.pipeline import to_arrays

    found: dict[str, str] = {}

    def watch(name: str, module: ModuleOp) -> None:
        if name == stage:
            found[f"{stage}.mlir"] = to_text(module)

    to_arrays(request.spec, compiler.settings(request.spec, request.given), watch)
    if not found:
        raise UsageError(f'{", ".join(request.backends)} takes whole arrays: there is no stage "{stage}" on its way')
    return found


def _assembled(request: Request, dtype: str, stage: str) -> dict[str, str]:
    """What the backends' own compilers make of the kernels."""
    from optgen.backend.protocol import Assembler
    from optgen.backend.registry import REFERENCE, backend
    from optgen.generate import kernel_sources

    found: dict[str, str] = {}
    for name in request.backends:
        target = backend(name) if name != REFERENCE else None
        if not isinstance(target, Assembler) or stage not in target.stages:
            raise UsageError(f'kernels of the backend "{name}" have no {stage}; those of triton have: --backend triton')
        for file, source in kernel_sources(replace(request, backends=[name]), [dtype]).items():
            for kernel, text in target.assemble(source, stage).items():
                found[f"{file.removesuffix('.py')}_{kernel}.{stage}"] = f"// {kernel}\n{text}"
    return found
