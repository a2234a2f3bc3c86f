"""Values of hypers that show what a rule does: away from those at which terms vanish."""

from __future__ import annotations

from collections.abc import Mapping

from optgen.errors import HyperError
from optgen.frontends.evaluate import check_requirements
from optgen.spec.model import Hyper, Setting, Spec, Value

#: What a number is multiplied by; the first that stays in its domain.
_FACTORS = (1.25, 0.9)
#: What stands in for a default of 0.
_SMALL = 0.1


def off_neutral(spec: Spec) -> dict[str, Value]:
    """Values in their domains with no term switched off by a 0; words, switches and ints stay at their defaults."""
    values = {name: _moved(hyper) for name, hyper in spec.hypers.items() if hyper.kind in ("float", "int")}
    kept = {name: hyper.default for name, hyper in spec.hypers.items()}
    try:
        check_requirements(spec, {**kept, **values})
    except HyperError:
        return {}
    return values


def _moved(hyper: Hyper) -> Value:
    if hyper.kind == "int" or not isinstance(hyper.default, int | float):
        return hyper.default
    tried = [_SMALL] if hyper.default == 0 else [hyper.default * factor for factor in _FACTORS]
    for value in tried:
        if hyper.domain is None or hyper.domain.contains(value):
            return value
    return hyper.default


def with_off_neutral(spec: Spec, given: Mapping[str, Setting]) -> dict[str, Setting]:
    """The given values over such values, or over the defaults where the two do not go together."""
    moved: dict[str, Setting] = {**off_neutral(spec), **given}
    kept = {name: hyper.default for name, hyper in spec.hypers.items()}
    accepted = {name: spec.hypers[name].accept(value) for name, value in moved.items() if name in spec.hypers}
    try:
        check_requirements(spec, {**kept, **accepted})
    except HyperError:
        return dict(given)
    return moved
