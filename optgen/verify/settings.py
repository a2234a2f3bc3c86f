"""Values of hypers that show what a rule does: away from those at which terms vanish."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

from optgen.errors import HyperError
from optgen.frontends.declared import calls_in
from optgen.frontends.evaluate import check_requirements
from optgen.spec.model import Hyper, Setting, Spec, Value
from optgen.spec.syntax import names_in

#: What a number is multiplied by; the first that stays in its domain.
_FACTORS = (1.25, 0.9)
#: What stands in for a default of 0.
_SMALL = 0.1


def off_neutral(spec: Spec) -> dict[str, Value]:
    """Values in their domains with no term switched off by a 0; others stay at their defaults."""
    kept = tuned_together(spec)
    moved = {n: _moved(hyper) for n, hyper in spec.hypers.items() if hyper.kind == "float" and n not in kept}
    values = {name: value for name, value in moved.items() if value != spec.hypers[name].default}
    return values if _together(spec, values) else {}


def tuned_together(spec: Spec) -> frozenset[str]:
    """Hypers that only serve with one another's values: coefficients of an iteration, which else runs away."""
    given = [call.keyword("coefficients") for call in calls_in(spec)]
    return frozenset(name for vector in given if vector is not None for name in names_in(vector)) & spec.hypers.keys()


def _moved(hyper: Hyper) -> Value:
    if not isinstance(hyper.default, int | float):
        return hyper.default
    tried = [_SMALL] if hyper.default == 0 else [hyper.default * factor for factor in _FACTORS]
    for value in tried:
        if hyper.domain is None or hyper.domain.contains(value):
            return value
    return hyper.default


def with_off_neutral(spec: Spec, given: Mapping[str, Setting]) -> dict[str, Setting]:
    """The given values over such values; as many of those return to their defaults as the rule's conditions require."""
    moved = {name: value for name, value in off_neutral(spec).items() if name not in given}
    for count in range(len(moved) + 1):
        for kept in combinations(moved, len(moved) - count):
            values: dict[str, Setting] = {**{name: moved[name] for name in kept}, **given}
            if _together(spec, values):
                return values
    return dict(given)


def _together(spec: Spec, values: Mapping[str, Setting]) -> bool:
    """Whether values, the others at their defaults, meet the rule's conditions between hypers."""
    accepted = {name: spec.hypers[name].accept(value) for name, value in values.items() if name in spec.hypers}
    try:
        check_requirements(spec, {**{name: hyper.default for name, hyper in spec.hypers.items()}, **accepted})
    except HyperError:
        return False
    return True
