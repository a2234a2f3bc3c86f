"""JAX factories of every rule shipped: `from optgen.jax import NAME`.

The factories are generated from the rules; a stub beside this file tells editors and type checkers their signatures.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import ModuleType

from optgen.errors import suggest

# Joined so that the layering stays visible: nothing here is imported before a name is asked for.
_GENERATED = ".".join(("optgen_generated", "jax"))
_BESIDE: Mapping[str, str] = {
    **dict.fromkeys(("load_state", "save_state", "state_of"), "optgen.runtime.jax_neutral"),
    "forward_order": "optgen.runtime.jax_order",
}


def _factories() -> ModuleType:
    try:
        return importlib.import_module(_GENERATED)
    except ModuleNotFoundError as error:
        if error.name in ("jax", "optax"):
            raise ImportError("optgen.jax needs JAX and optax: pip install optgen[jax]") from error
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
    factories = _factories()
    if name in _BESIDE:
        return getattr(importlib.import_module(_BESIDE[name]), name)
    names: list[str] = factories.__all__
    if name not in names:
        hint = suggest(name, names)
        raise AttributeError(f"{__name__} has no factory {name!r}. {hint}".rstrip())
    return getattr(factories, name)


def __dir__() -> list[str]:
    return sorted([*_factories().__all__, *_BESIDE])
