"""`eval:` as a rule of its own: one whose step sets the weights to those a model is evaluated with.

It reads the state of the rule it comes from and stores nothing but the weights. `t` and `step` are what they were in
the last step, and 0 before the first.
"""

from __future__ import annotations

from dataclasses import fields, replace
from types import MappingProxyType

from optgen.spec.model import STAGES, Spec
from optgen.spec.source import digest
from optgen.spec.syntax import Assign, Name, names_in

MARK = "#eval"
"""What follows a rule's name or path where its evaluation weights are meant."""


def evaluation(spec: Spec) -> Spec | None:
    """The rule of a rule's `eval:`; None where it has none."""
    if spec.evaluate is None:
        return None
    value = spec.evaluate
    states = {name: state for name, state in spec.states.items() if name in names_in(value)}
    starts = [e for s in states.values() for e in (s.start if isinstance(s.start, tuple) else (s.start,))]
    read = {name for expr in (value, *starts) for name in names_in(expr)}
    update = Assign(("param",), value, value.loc, f"param = {value.id if isinstance(value, Name) else '(eval)'}")
    plain = Spec(**{field.name: getattr(spec, field.name) for field in fields(Spec)})  # of a rule written in Python too
    return replace(
        plain,
        name=f"{spec.name}_eval",
        title=f"Weights to evaluate with: {spec.title}",
        hypers=MappingProxyType({name: hyper for name, hyper in spec.hypers.items() if name in read}),
        states=MappingProxyType(states),
        inputs=MappingProxyType({}),
        require=(),
        cautions=(),
        presets=MappingProxyType({}),
        stages=MappingProxyType({**dict.fromkeys(STAGES, ()), "update": (update,)}),
        evaluate=None,
        claims=(),
        examples=(),
        metrics=(),
        shows=(),
        path=f"{spec.path}{MARK}",
        digest=digest(f"{spec.digest}{MARK}"),
        evaluates=True,
        quirks=MappingProxyType({}),
    )
