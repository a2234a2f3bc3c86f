"""What to say of a step that was cut after it had begun to store."""

from __future__ import annotations

from collections.abc import Sequence

from optgen.runtime.gpu_tables import GpuTables
from optgen.runtime.kernel_module import Manifest
from optgen.runtime.progress import stores
from optgen.runtime.tables import Tables
from optgen.runtime.torch_plan import Part, Plan
from optgen.runtime.torch_reference import ReferenceTables

#: What holds of every such step.
CUT = (
    "a step was cut while it stored: parameters and state are of two different steps. Load a checkpoint into the model "
    "and into this optimizer (load_state_dict) before going on"
)
_SHOWN = 3


def cut_message(step: int, plan: Plan, tables: Sequence[Tables | GpuTables | ReferenceTables]) -> str:
    """Which sweep was cut, what it and those before it had stored, and what to do."""
    parts = [line for part, each in zip(plan.parts, tables, strict=True) for line in _part(plan, part, each)]
    return f"{CUT}. It was step {step}: {'; '.join(parts)}"


def _part(plan: Plan, part: Part, tables: Tables | GpuTables | ReferenceTables) -> list[str]:
    """A line per variant in use."""
    members: dict[tuple[str, int], list[str]] = {}
    for i, module, variant in zip(part.members, part.module_of, tables.variant_names(), strict=True):
        members.setdefault((variant, module), []).append(plan.members[i].name)
    return [
        f"of {_listed(names, _SHOWN)}, {_reached(part.modules[module].manifest, variant, tables)}"
        for (variant, module), names in members.items()
    ]


def _reached(manifest: Manifest, variant: str, tables: Tables | GpuTables | ReferenceTables) -> str:
    if isinstance(tables, ReferenceTables):
        return "an unknown part is stored" if tables.begun() else "nothing is stored"
    ended, sweeps = tables.ended(), manifest["sweeps"]
    if ended == sweeps:
        return "everything is stored"
    if not tables.begun():
        return "nothing is stored"
    phases = stores(manifest, next(v for v in manifest["variants"] if v["name"] == variant))
    stored = list(dict.fromkeys(name for names in phases[: ended + 1] for name in names))
    done = f"{_listed(stored)} {'are' if len(stored) > 1 else 'is'} stored"
    return f"sweep {ended + 1} of {sweeps} was cut, {done}, of {_listed(phases[ended + 1])} any part may be"


def _listed(names: Sequence[str], most: int = 99) -> str:
    more = [f"{len(names) - most} more"] if len(names) > most else []
    return ", ".join([*names[:most], *more]) or "nothing"
