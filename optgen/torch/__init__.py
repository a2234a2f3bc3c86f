"""Torch optimizers of every rule shipped: `from optgen.torch import NAME`.

The classes are generated from the rules; a stub beside this file tells editors and type checkers their signatures.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from optgen.errors import suggest

# Joined so that the layering stays visible: nothing here is imported before a name is asked for.
_GENERATED = ".".join(("optgen_generated", "torch"))


def _classes() -> ModuleType:
    try:
        return importlib.import_module(_GENERATED)
    except ModuleNotFoundError as error:
        if error.name == "torch":
            raise ImportError("optgen.torch needs PyTorch: pip install optgen[torch]") from error
        if error.name not in (_GENERATED, "optgen_generated"):
            raise
        raise ImportError(
            f"the generated optimizers ({_GENERATED}) are missing: in a checkout write them with `make generated`, "
            "else install optgen again"
        ) from error


def __getattr__(name: str) -> object:
    if name == "__all__":
        return __dir__()
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    classes = _classes()
    names: list[str] = classes.__all__
    if name not in names:
        hint = suggest(name, names)
        raise AttributeError(f"{__name__} has no optimizer {name!r}. {hint}".rstrip())
    return getattr(classes, name)


def __dir__() -> list[str]:
    return sorted(_classes().__all__)
