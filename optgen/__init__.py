"""Optimizer update rules written once, compiled to fused kernels.

``load`` a rule, ``compile`` it for a framework, ``verify`` it against its float64 meaning. Importing this package
imports neither the compiler nor a framework.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from optgen import verify as verify
    from optgen.api import compile as compile  # noqa: A004
    from optgen.api import compose as compose
    from optgen.api import load as load
    from optgen.spec.model import Spec as Rule

__all__ = ["Rule", "__version__", "compile", "compose", "load", "verify"]

_WHERE = {
    "Rule": ("optgen.spec.model", "Spec"),
    "compile": ("optgen.api", "compile"),
    "compose": ("optgen.api", "compose"),
    "load": ("optgen.api", "load"),
}


def __getattr__(name: str) -> object:
    if name == "verify":
        return importlib.import_module("optgen.verify")
    if name in _WHERE:
        module, attribute = _WHERE[name]
        return getattr(importlib.import_module(module), attribute)
    raise AttributeError(f"module 'optgen' has no attribute {name!r}")
