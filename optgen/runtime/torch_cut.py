"""What to say of a step that was cut after it had begun to store."""

from __future__ import annotations

from collections.abc import Sequence

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


def begun(tables: Tables | ReferenceTables) -> bool:
    """Whether anything of the step may be stored. Between two calls into compiled code no sweep is half done."""
    ended, reading = tables.progress()
    return ended > reading


def cut_message(step: int, plan: Plan, tables: Sequence[Tables | ReferenceTables]) -> str:
    """Which sweep was cut, what it and those before it had stored, and what to do."""
    parts = [_part(plan, part, each) for part, each in zip(plan.parts, tables, strict=True)]
    return f"{CUT}. It was step {step}: {'; '.join(parts)}"


def _part(plan: Plan, part: Part, tables: Tables | ReferenceTables) -> str:
    names = [plan.members[i].name for i in part.members]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"of {', '.join(names[:_SHOWN])}{more}, {_reached(part.modules[0].manifest, tables)}"


def _reached(manifest: Manifest, tables: Tables | ReferenceTables) -> str:
    ended, _ = tables.progress()
    if isinstance(tables, ReferenceTables):
        return "an unknown part is stored" if ended > 0 else "nothing is stored"
    phases, sweeps = stores(manifest), manifest["sweeps"]
    stored = [name for names in phases[: ended + 1] for name in names]
    done = f"{_listed(stored)} {'are' if len(set(stored)) > 1 else 'is'} stored"
    if ended == sweeps:
        return f"all {sweeps} sweeps are complete"
    if ended < 0:
        return "no sweep was begun"
    return f"sweep {ended + 1} of {sweeps} was cut, {done}, {_listed(phases[ended + 1])} may be in part"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(names)) or "nothing"
