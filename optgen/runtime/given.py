"""Values given to hyper-parameters, checked."""

from __future__ import annotations

import math
import numbers

from optgen.errors import HyperError
from optgen.runtime.rule_info import HyperInfo, HyperValue


def plain(hyper: HyperInfo, value: object, also: str = "") -> HyperValue:
    """A plain value as its hyper-parameter takes it. HyperError says what else it could be: a number, `also` more."""
    if hyper.kind == "choice":
        if not isinstance(value, str) or value not in hyper.choices:
            raise HyperError(f"{hyper.name} must be one of {', '.join(hyper.choices)}, got {value!r}")
        return value
    if hyper.kind == "bool":
        if not isinstance(value, bool):
            raise HyperError(f"{hyper.name} must be True or False, got {value!r}")
        return value
    if isinstance(value, bool | str) or not isinstance(value, numbers.Real):
        raise HyperError(f"{hyper.name} must be a number{also}, got {value!r}")
    number: int | float = float(value)
    if hyper.kind == "int" and number.is_integer():
        number = int(number)
    if hyper.kind == "int" and not isinstance(number, int):
        raise HyperError(f"{hyper.name} must be a whole number, got {value!r}")
    if math.isnan(number) or (hyper.domain is not None and not hyper.domain.contains(number)):
        raise HyperError(f"{hyper.name} must be {hyper.domain.text if hyper.domain else 'a number'}, got {value!r}")
    return number
