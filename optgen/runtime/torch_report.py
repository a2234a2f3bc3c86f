"""What an optimizer says about itself: which kernels serve which parameter."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import cast

from optgen.runtime.rule_info import RuleInfo
from optgen.runtime.torch_binding import Binding
from optgen.runtime.torch_plan import Plan


@dataclass(frozen=True)
class ParameterReport:
    """How one parameter is served. `variant` is that of the last step, empty before the first; `reach` says what the
    step of one of its elements depends on: itself (elem), or its tensor, layer or the model."""

    parameter: str
    shape: tuple[int, ...]
    dtype: str
    group: int
    rule: str
    reach: str
    layer: str
    neighbours: tuple[str, ...]
    variant: str
    backend: str
    module: str


class Description(tuple[ParameterReport, ...]):
    """A report per parameter, in order; as text a table."""

    __slots__ = ()

    def __str__(self) -> str:
        titles = [f.name for f in fields(ParameterReport)]
        rows = [titles, *([_cell(getattr(report, title)) for title in titles] for report in self)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(titles))]
        return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)

    __repr__ = __str__


def _cell(value: object) -> str:
    if not isinstance(value, tuple):
        return str(value)
    entries = cast(tuple[object, ...], value)
    return ("x" if all(isinstance(entry, int) for entry in entries) else ", ").join(map(str, entries))


def describe(rule: RuleInfo, binding: Binding) -> Description:
    """A report for every parameter of an optimizer."""
    plan = binding.plan
    adjacent = _neighbours(plan)
    found: dict[int, ParameterReport] = {}
    for bound in binding.bound:
        variants = bound.tables.variant_names()
        for row, index in enumerate(bound.part.members):
            member = plan.members[index]
            module = bound.part.modules[bound.part.module_of[row]]
            found[index] = ParameterReport(
                parameter=member.name,
                shape=tuple(member.param.shape),
                dtype=str(member.param.dtype).removeprefix("torch."),
                group=member.group,
                rule=rule.name if rule.arm is None else rule.arm(member.hypers, member.meta),
                reach=rule.reach,
                layer=member.player if rule.layers or rule.depth else "",
                neighbours=adjacent.get(member.player, ()),
                variant=variants[row] if row < len(variants) else "",
                backend=plan.backend,
                module=module.path,
            )
    return Description(found[i] for i in sorted(found))


def _neighbours(plan: Plan) -> dict[str, tuple[str, ...]]:
    if not plan.rule.graph:
        return {}
    players = plan.players
    edges = plan.edges if plan.edges is not None else [(i, i + 1, 1.0) for i in range(len(players) - 1)]
    result: dict[str, tuple[str, ...]] = {}
    for a, b, _ in (edge for edge in edges if edge[2] > 0):
        result[players[a]] = (*result.get(players[a], ()), players[b])
        result[players[b]] = (*result.get(players[b], ()), players[a])
    return result


def source(binding: Binding) -> str:
    """Text of every kernel module in use, each headed by where it lies."""
    modules = {module.path: module.source for part in binding.plan.parts for module in part.modules}
    return "\n\n".join(f"# {path}\n{text}" for path, text in modules.items())
