"""Checking optimizers against the float64 meaning of their rule.

`compare` runs a rule's generated optimizer and the reference side by side and says how far apart they are, in units of
what rounding alone may do. `Reference` is the float64 optimizer itself. Nothing is imported before it is asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optgen.verify.compare import compare as compare
    from optgen.verify.reference import Reference as Reference
    from optgen.verify.report import Report as Report

__all__ = ["Reference", "Report", "compare"]

_WHERE = {"Reference": "reference", "Report": "report", "compare": "compare"}


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module 'optgen.verify' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"optgen.verify.{_WHERE[name]}"), name)
    globals()[name] = value  # the function, where importing its module has left the module
    return value


def __dir__() -> list[str]:
    return __all__
