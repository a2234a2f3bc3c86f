"""Whether the stages after the last sweep may run with those before the first: one launch less in every step."""

from __future__ import annotations

from optgen.backend.python_text import PURE
from optgen.ir.view import Module, Stage

_EARLY = PURE | {"kernel.hyper", "kernel.input", "kernel.counter", "kernel.metadata", "kernel.value", "kernel.put"}


def can_begin_with_the_end(module: Module) -> bool:
    """Whether the last stages only store, per tensor, what is known before the first sweep and not read after it.

    A step is queued as a whole, so nobody sees a counter that is ahead of the parameters.
    """
    if not module.sweeps:
        return False
    for variant in module.variants:
        first = [stage for stage in variant.stages if stage.boundary == 0]
        between = [stage for stage in variant.stages if 0 < stage.boundary < module.sweeps]
        last = [stage for stage in variant.stages if stage.boundary == module.sweeps]
        defined = {op.word("sym_name") for stage in first for op in stage.ops if op.name == "kernel.define"}
        if not all(_known(stage, defined) for stage in last) or _read(between) & _stored(last):
            return False
    return True


def _known(stage: Stage, defined: set[str]) -> bool:
    """Whether a stage is of tensors and needs nothing that a sweep brings about."""
    values = {op.word("value") for op in stage.ops if op.name == "kernel.value"}
    return stage.extent == "tensor" and all(op.name in _EARLY for op in stage.ops) and values <= defined


def _stored(stages: list[Stage]) -> set[str]:
    return {op.word("slot") for stage in stages for op in stage.ops if op.name == "kernel.put"}


def _read(stages: list[Stage]) -> set[str]:
    """Slots that stages look at; a counter is the slot `step`."""
    fetched = {op.word("slot") for stage in stages for op in stage.ops if op.name == "kernel.fetch"}
    counted = any(op.name == "kernel.counter" and op.word("counter") == "t" for stage in stages for op in stage.ops)
    return fetched | ({"step"} if counted else set())
