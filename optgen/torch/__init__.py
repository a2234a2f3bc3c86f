"""Torch optimizers of every rule shipped: `from optgen.torch import NAME`.

The classes are generated from the rules; a stub beside this file tells editors and type checkers their signatures.
`from_torch` goes on where a running optimizer of torch's is. `save_checkpoint` and `load_checkpoint` write and read
files that are never half written. `trace_layers` says which layers of a model feed which.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

from optgen.errors import StateError, suggest

if TYPE_CHECKING:
    from torch.optim import Optimizer as TorchOptimizer

    from optgen.runtime.torch_optimizer import Optimizer

#: What is found elsewhere, by the module it is in.
_FOUND = {
    "load_checkpoint": "optgen.runtime.torch_checkpoint",
    "save_checkpoint": "optgen.runtime.torch_checkpoint",
    **dict.fromkeys(("load_state", "save_state", "state_of"), "optgen.runtime.torch_neutral"),
    "trace_layers": "optgen.runtime.torch_trace",
}
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


def from_torch(optimizer: TorchOptimizer, **arguments: object) -> Optimizer:
    """The optimizer here that goes on where one of torch's own is: its parameters and groups, and copies of its state.

    `arguments` are those that torch's has not, such as `backend`. StateError if no rule here continues it exactly.
    """
    classes = _classes()
    for cls in type(optimizer).__mro__:
        if cls.__module__.partition(".")[0] == "torch" and cls.__name__ in classes.__all__:
            continued: type[Optimizer] = getattr(classes, cls.__name__)
            return continued.from_torch(optimizer, **arguments)
    raise StateError(f"no rule here continues a {type(optimizer).__name__}; there are {', '.join(classes.__all__)}")


def __getattr__(name: str) -> object:
    if name == "__all__":
        return __dir__()
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _FOUND:
        return getattr(importlib.import_module(_FOUND[name]), name)
    classes = _classes()
    names: list[str] = classes.__all__
    if name not in names:
        hint = suggest(name, names)
        raise AttributeError(f"{__name__} has no optimizer {name!r}. {hint}".rstrip())
    return getattr(classes, name)


def __dir__() -> list[str]:
    return sorted([*_classes().__all__, from_torch.__name__, *_FOUND])
