"""What a transformation says about itself: how each parameter is served, and what a step in place runs."""

# JAX and optax carry partial types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import jax
from jax.core import Tracer

from optgen.errors import BackendError
from optgen.runtime.jax_inplace import KERNELS, PLAIN, Site
from optgen.runtime.rule_info import Hypers, RuleInfo


@dataclass(frozen=True)
class ParameterReport:
    """How one parameter, or one layer of a stack, is served. `reach` says what the step of one of its elements depends
    on: itself (elem), or its tensor, layer or the model; `rule` is its own where `else` joins several."""

    parameter: str
    shape: tuple[int, ...]
    dtype: str
    rule: str
    reach: str
    layer: str
    depth: float
    neighbours: tuple[str, ...]


class Description(tuple[ParameterReport, ...]):
    """A report per parameter, in order; as text a table. `apply` says what a step in place would run here, and why."""

    apply: str

    def __str__(self) -> str:
        titles = [f.name for f in fields(ParameterReport)]
        rows = [titles, *([_cell(getattr(report, title)) for title in titles] for report in self)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(titles))]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([*lines, f"apply: {self.apply}"])

    __repr__ = __str__


def _cell(value: object) -> str:
    if isinstance(value, tuple):
        entries: tuple[object, ...] = value
        return ("x" if all(isinstance(entry, int) for entry in entries) else ", ").join(map(str, entries))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def describe(site: Site, rule: RuleInfo, static: Hypers, arrays: Sequence[jax.Array]) -> Description:
    """A report for every leaf of the plan."""
    plan = site.laid.plan
    names: dict[int, str] = {}
    for leaf in plan.leaves:
        end = len(leaf.name) - len(leaf.role)
        names.setdefault(leaf.layer, leaf.name[:end].rstrip("/") if leaf.name.endswith(leaf.role) else leaf.name)
    near: dict[int, list[str]] = {}
    if plan.graph is not None:
        for i, j in zip(plan.graph.source, plan.graph.target, strict=True):
            near.setdefault(int(i), []).append(names[int(j)])
    found = Description(
        ParameterReport(
            parameter=leaf.name,
            shape=leaf.shape,
            dtype=leaf.dtype,
            rule=rule.name if rule.arm is None else rule.arm({**static, **leaf.own}, leaf.meta),
            reach=rule.reach,
            layer=names[leaf.layer] if rule.layers or rule.graph else "",
            depth=leaf.meta.depth,
            neighbours=tuple(dict.fromkeys(near.get(leaf.layer, ()))),
        )
        for leaf in plan.leaves
    )
    found.apply = _path(site, arrays)
    return found


def _path(site: Site, arrays: Sequence[jax.Array]) -> str:
    """What a step in place runs for these arrays."""
    devices = {device for x in arrays if not isinstance(x, Tracer) for device in x.sharding.device_set}
    platforms = {device.platform for device in devices} or {jax.default_backend()}
    if platforms != {"cpu"}:
        return f"{PLAIN}: the kernels are for the CPU, and the parameters lie on {', '.join(sorted(platforms))}"
    if len(devices) > 1:
        return f"{PLAIN}: the parameters lie on {len(devices)} devices, and the kernels serve one"
    try:
        site.kernels_for([param.dtype for param in site.laid.params])
    except BackendError as error:
        return f"{PLAIN}: {error}"
    return f"{KERNELS}; {PLAIN} where it is batched, differentiated, sharded or exported"
