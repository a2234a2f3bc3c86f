"""Which stages of a step need a launch of their own on a graphics processor.

Stages before the first sweep that look at nothing but their own tensor's hypers, counters and states are `inline`: each
program of that sweep computes what it reads of its tensor for itself. What code after the sweep finds in tables, and
stages of tensors after the last sweep, is left to the last program of a sweep to end. So a rule of one sweep is one
launch, and others have one more for what stands between their sweeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from optgen.backend.coarse_text import StagePlan
from optgen.backend.python_text import PURE
from optgen.ir.view import Module, Op, Stage, Value, Variant

#: Operations on one tensor that see nothing of a sweep.
_OWN = PURE | {
    *("kernel.hyper", "kernel.input", "kernel.counter", "kernel.metadata", "kernel.count", "kernel.fetch"),
    *("kernel.value", "kernel.define"),
}


@dataclass(frozen=True)
class LaunchPlan:
    """Where the stages of a step run.

    inline: programs of the first sweep compute what they read. keeps: the last of them fills the tables of the stages
    before it. ends: the last program of the last sweep runs the stages after it. launched: the stages after so many
    sweeps that are left.
    """

    inline: bool
    keeps: bool
    ends: Sequence[StagePlan]
    launched: Sequence[Sequence[StagePlan]] = field(default_factory=list[Sequence[StagePlan]])


def launch_plan(module: Module, plans: Sequence[Sequence[StagePlan]]) -> LaunchPlan:
    """The plan of a module with these functions of stages."""
    launched = list(plans)
    inline = module.sweeps > 0 and all(_is_own(plan) for plan in plans[0])
    ends: Sequence[StagePlan] = []
    if module.sweeps and _can_end(module, plans[-1]):
        ends, launched[-1] = plans[-1], []
    if inline:
        launched[0] = []
    return LaunchPlan(inline, inline and _is_read_later(module), ends, launched)


def _is_own(plan: StagePlan) -> bool:
    ops = [op for stage in plan.stages if stage is not None for op in stage.ops]
    return plan.extent == "tensor" and all(op.name in _OWN for op in ops)


def _can_end(module: Module, plans: Sequence[StagePlan]) -> bool:
    """Whether the last stages are of tensors and wait for no total of the last sweep."""
    taken = any(
        op.name == "kernel.accumulate"
        for variant in module.variants
        for sweep in variant.sweeps
        for op in sweep.ops
        if sweep.index == module.sweeps
    )
    return not taken and all(plan.extent == "tensor" for plan in plans)


def _is_read_later(module: Module) -> bool:
    """Whether anything after the first sweep reads a value that a stage before it defines."""
    for variant in module.variants:
        early = [stage for stage in variant.stages if stage.boundary == 0]
        late = [op for stage in variant.stages if stage.boundary > 0 for op in stage.ops]
        late += [op for sweep in variant.sweeps if sweep.index > 1 for op in sweep.ops]
        defined = {op.word("sym_name") for stage in early for op in stage.ops if op.name == "kernel.define"}
        if defined & {op.word("value") for op in late if op.name in ("kernel.value", "kernel.read", "kernel.fold")}:
            return True
    return False


def first_stages(variant: Variant, wanted: Sequence[str]) -> list[Op]:
    """What of the stages before the first sweep the values of some names come from, in order."""
    names, kept = set(wanted), list[Op]()
    for stage in reversed([stage for stage in variant.stages if stage.boundary == 0]):
        kept = _behind(stage, names) + kept
    return kept


def _behind(stage: Stage, names: set[str]) -> list[Op]:
    """The operations of a stage that some values come from; the names of those it reads are added."""
    live, kept = set[Value](), list[Op]()
    for op in reversed(stage.ops):
        defines = op.name == "kernel.define" and op.word("sym_name") in names
        if defines or (op.result is not None and op.result in live):
            kept.append(op)
            live.update(op.operands)
            if op.name == "kernel.value":
                names.add(op.word("value"))
    return kept[::-1]
