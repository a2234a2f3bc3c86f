"""Optimizer update rules written once, compiled to fused kernels.

``load`` a rule, ``compile`` it for a framework, ``verify`` it against its float64 meaning. Importing this package
imports neither the compiler nor a framework.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from optgen import sym as sym
    from optgen import verify as verify
    from optgen.api import compile as compile  # noqa: A004
    from optgen.api import compose as compose
    from optgen.api import load as load
    from optgen.api import loads as loads
    from optgen.authoring.declarations import hyper as hyper
    from optgen.authoring.declarations import input as input  # noqa: A004
    from optgen.authoring.declarations import state as state
    from optgen.rule import Rule as Rule
    from optgen.rule import rule as rule

__all__ = [
    "Rule",
    "__version__",
    "compile",
    "compose",
    "hyper",
    "input",
    "load",
    "loads",
    "rule",
    "state",
    "sym",
    "verify",
]

_WHERE = {
    **dict.fromkeys(("compile", "compose", "load", "loads"), "optgen.api"),
    **dict.fromkeys(("hyper", "input", "state"), "optgen.authoring.declarations"),
    "Rule": "optgen.rule",
    "rule": "optgen.rule",
}


def __getattr__(name: str) -> object:
    if name in ("sym", "verify"):
        return importlib.import_module(f"optgen.{name}")
    if name in _WHERE:
        value: object = getattr(importlib.import_module(_WHERE[name]), name)
        globals()[name] = value  # the function `rule`, where importing its module has left the module
        return value
    raise AttributeError(f"module 'optgen' has no attribute {name!r}")
