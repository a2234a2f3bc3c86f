"""Torch optimizers of every rule shipped: `from optgen.torch import NAME`.

The classes are generated from the rules; a stub beside this file tells editors and type checkers their signatures.
`from_torch` goes on where a running optimizer of torch's is. `save_checkpoint` and `load_checkpoint` write and read
files that are never half written. `trace_layers` says which layers of a model feed which. `player_gradients` gives
every example a gradient of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optgen.errors import StateError
from optgen.lazy import Namespace, attributes

if TYPE_CHECKING:
    from torch.optim import Optimizer as TorchOptimizer

    from optgen.runtime.torch_optimizer import Optimizer


def from_torch(optimizer: TorchOptimizer, **arguments: object) -> Optimizer:
    """The optimizer here that goes on where one of torch's own is: its parameters and groups, and copies of its state.

    `arguments` are those that torch's has not, such as `backend`. StateError if no rule here continues it exactly.
    """
    classes = _NAMESPACE.generated()
    for cls in type(optimizer).__mro__:
        if cls.__module__.partition(".")[0] == "torch" and cls.__name__ in classes.__all__:
            continued: type[Optimizer] = getattr(classes, cls.__name__)
            return continued.from_torch(optimizer, **arguments)
    raise StateError(f"no rule here continues a {type(optimizer).__name__}; there are {', '.join(classes.__all__)}")


_NAMESPACE = Namespace(
    __name__,
    "optimizer",
    "PyTorch",
    ("torch",),
    {
        "from_torch": lambda: from_torch,
        **attributes("optgen.runtime.torch_checkpoint", "load_checkpoint", "save_checkpoint"),
        **attributes("optgen.runtime.torch_gradients", "player_gradients"),
        **attributes("optgen.runtime.torch_neutral", "load_state", "save_state", "state_of"),
        **attributes("optgen.runtime.torch_trace", "trace_layers"),
    },
)


def __getattr__(name: str) -> object:
    return _NAMESPACE.get(name)


def __dir__() -> list[str]:
    return _NAMESPACE.names()
