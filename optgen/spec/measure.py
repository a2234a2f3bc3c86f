"""`metrics:` as part of a rule: every so many updates each metric is added to a sum, which nothing else reads.

`metrics_interval` says how many, and 0, the default, settles all of it away: no state, no work. What is summed stays
where the kernels run until somebody asks for the means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from optgen.runtime.metrics import INTERVAL, SAMPLES, sum_of, sums_of
from optgen.spec.model import Domain, Hyper, Metric, Spec, State
from optgen.spec.source import Report
from optgen.spec.syntax import Assign, Binary, Call, Compare, Expr, If, Logic, Name, Number, Stmt, Text
from optgen.spec.vocabulary import CHOOSER

Body = tuple[Stmt, ...]


def check_names(report: Report, spec: Spec) -> None:
    """Complain about names that a rule with metrics cannot use for itself."""
    made = {INTERVAL, *sums_of([metric.name for metric in spec.metrics])} if spec.metrics else set[str]()
    for declared in (*spec.hypers.values(), *spec.states.values(), *spec.inputs.values()):
        if declared.name in made:
            report.error(declared.loc, f'"{declared.name}" is a name that metrics take', "give it another name")


def measured(spec: Spec) -> Spec:
    """The rule with what its metrics need; itself where it has none, or has it already."""
    if not spec.metrics or INTERVAL in spec.hypers:
        return spec
    names = sums_of([metric.name for metric in spec.metrics])
    zero = Call("full", (Number(0.0),), (("over", Text("tensor")),))
    about = ["how many samples the sums hold", *(f"sum of {metric.name}" for metric in spec.metrics)]
    states = {name: State(name, zero, doc=doc) for name, doc in zip(names, about, strict=True)}
    interval = Hyper(
        INTERVAL, 0, "int", Domain.parse("int >= 0"), doc="updates between samples of the metrics; 0: none"
    )
    return replace(
        spec,
        hypers=MappingProxyType({**spec.hypers, INTERVAL: interval}),
        states=MappingProxyType({**spec.states, **states}),
        stages=_ending(spec, lambda body: (*body, _sampling(spec.metrics))),
    )


def unmeasured(spec: Spec) -> Spec:
    """The rule without them, as a part of another."""
    if not spec.metrics or INTERVAL not in spec.hypers:
        return spec
    made = set(sums_of([metric.name for metric in spec.metrics]))
    return replace(
        spec,
        hypers=MappingProxyType({name: hyper for name, hyper in spec.hypers.items() if name != INTERVAL}),
        states=MappingProxyType({name: state for name, state in spec.states.items() if name not in made}),
        stages=_ending(spec, lambda body: body[:-1]),
    )


def _ending(spec: Spec, change: Callable[[Body], Body]) -> Mapping[str, Body]:
    """The stages with another end; with `else`, the end of what the rule itself does: other tensors have no samples."""
    update = spec.stages["update"]
    if CHOOSER in spec.hypers and len(update) == 1 and isinstance(update[0], If):
        return MappingProxyType({**spec.stages, "update": (replace(update[0], then=change(update[0].then)),)})
    return MappingProxyType({**spec.stages, "update": change(update)})


def _sampling(metrics: Sequence[Metric]) -> Stmt:
    interval, where = Name(INTERVAL), metrics[0].loc
    turn = Binary("%", Binary("-", Name("t"), Number(1)), interval)
    wanted = Logic("and", (Compare(">", interval, Number(0)), Compare("==", turn, Number(0))), where)
    sums = [_added(SAMPLES, Number(1.0), "1"), *(_added(sum_of(m.name), m.value, m.text) for m in metrics)]
    return If(wanted, tuple(sums), loc=where, text=f"if {INTERVAL} > 0 and (t - 1) % {INTERVAL} == 0:")


def _added(name: str, value: Expr, text: str) -> Assign:
    return Assign((name,), Binary("+", Name(name), value, value.loc), value.loc, f"{name} = {name} + ({text})")
