"""Hyper-parameters that stay on a graphics processor: numbers in tensors there, which no step reads.

A step copies them into the kernels' tables on the device. What a CUDA graph recorded therefore follows a tensor that is
changed in place between replays, and a step never waits. A value is looked at once, when an optimizer first sees the
tensor, to be checked; a value on the device may leave its domain later, as in torch. Whatever decides which kernels are
built, or which state there is, has to be known to the host: with `capturable=True` a tensor is refused there, without
it such a tensor is read at every step.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from torch import Tensor

from optgen.errors import HyperError
from optgen.runtime.rule_info import HyperValue, RuleInfo, Settled

#: By the rule's own names: the tensor, and the number that it held when it was first seen.
Residents: TypeAlias = Mapping[str, tuple[Tensor, HyperValue]]


def on_device(value: object) -> bool:
    """Whether a value is in memory that only a graphics processor reads without a wait."""
    return isinstance(value, Tensor) and value.device.type != "cpu"


def deciding(rule: RuleInfo, settled: Settled) -> frozenset[str]:
    """Hypers that decide which kernels are built, or which state there is."""
    words = {word for condition in settled for word in re.findall(r"[A-Za-z_]\w*", condition)}
    named = {hyper.name for hyper in rule.hypers if hyper.name in words or hyper.kind in ("bool", "choice", "list")}
    return frozenset(named | set(rule.structural))


def residents(
    rule: RuleInfo,
    entries: Mapping[str, object],
    values: Mapping[str, HyperValue],
    settled: Settled,
    where: str,
    capturable: bool,
    known: frozenset[str] = frozenset(),
) -> Residents:
    """What of a group's entries stays on its device. HyperError, under `capturable`, for one that cannot.

    entries: what the group holds, by the rule's own names; values: the numbers in them; known: names that the host has
    to know besides those that decide on kernels.
    """
    here = {name: value for name, value in entries.items() if isinstance(value, Tensor) and on_device(value)}
    decide = deciding(rule, settled) | known if here else frozenset[str]()
    for name in here:
        if name in decide and capturable:
            raise HyperError(
                f"{rule.hyper(name).argument} of {where} is a tensor on {here[name].device}, and {rule.class_name} "
                "decides by it which kernels or calls run: with capturable=True that must be known, so give a number"
            )
    return {name: (value, values[name]) for name, value in here.items() if name not in decide}


def rows_but(rows: Sequence[int], spared: Sequence[int]) -> list[tuple[int, int]]:
    """The rows, ascending, in runs of neighbours (first, end), without those spared."""
    found: list[tuple[int, int]] = []
    left_out = set(spared)
    for row in rows:
        if row in left_out:
            continue
        if found and found[-1][1] == row:
            found[-1] = (found[-1][0], row + 1)
        else:
            found.append((row, row + 1))
    return found
