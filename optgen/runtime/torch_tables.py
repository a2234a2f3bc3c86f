"""The tables that serve one part of a plan: those of CPU kernels, of graphics processors' or of the interpreter."""

from __future__ import annotations

from optgen.runtime.gpu_count import StepCount
from optgen.runtime.gpu_tables import GpuTables
from optgen.runtime.modules import REFERENCE
from optgen.runtime.tables import Tables
from optgen.runtime.torch_groups import Options
from optgen.runtime.torch_library import TorchLibrary
from optgen.runtime.torch_plan import Part, Plan
from optgen.runtime.torch_reference import ReferenceTables


def tables_of(
    plan: Plan, part: Part, options: Options, count: StepCount | None
) -> Tables | GpuTables | ReferenceTables:
    """Tables for the members of a part, in their order."""
    if plan.backend == REFERENCE:
        return ReferenceTables(plan, part, options.laplacian, options.coupling)
    if part.modules[0].kernels:
        device = plan.members[part.members[0]].param.device
        return GpuTables(
            part.modules,
            plan.infos(part),
            part.module_of,
            device,
            edges=plan.edges,
            laplacian=options.laplacian,
            coupling=options.coupling,
            numbers=part.members,
            seed=options.storage.seed,
            strict=options.strict,
            counter=None if count is None else count.on(device),
        )
    return Tables(
        part.modules,
        plan.infos(part),
        part.module_of,
        edges=plan.edges,
        laplacian=options.laplacian,
        coupling=options.coupling,
        numbers=part.members,
        seed=options.storage.seed,
        library=TorchLibrary(),
    )
