"""Keras optimizers of every rule shipped: `from optgen.keras import NAME`.

The classes are generated from the rules; a stub beside this file tells editors and type checkers their signatures.
Importing them registers them with Keras, so that it can load models that were saved with them. `from_keras` goes on
where a running optimizer of Keras's is. `trace_layers` says which layers of a functional model feed which.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from optgen.errors import StateError
from optgen.lazy import Namespace, attributes

if TYPE_CHECKING:
    from optgen.runtime.keras_optimizer import Optimizer


def from_keras(optimizer: object, **arguments: object) -> Optimizer:
    """The optimizer here that goes on where one of Keras's own is: its variables, settings, and a copy of its state.

    `arguments` are those that Keras's has not, such as `maximize`. StateError if no rule here continues it.
    """
    classes = _NAMESPACE.generated()
    for cls in type(optimizer).__mro__:
        if cls.__module__.partition(".")[0] == "keras" and cls.__name__ in classes.__all__:
            continued = cast("type[Optimizer]", getattr(classes, cls.__name__))
            return continued.from_keras(optimizer, **arguments)
    raise StateError(f"no rule here continues a {type(optimizer).__name__}; there are {', '.join(classes.__all__)}")


_NAMESPACE = Namespace(
    __name__,
    "optimizer",
    "Keras",
    ("keras",),
    {
        "from_keras": lambda: from_keras,
        **attributes("optgen.runtime.keras_evaluation", "EvaluationWeightsCallback"),
        **attributes("optgen.runtime.keras_metrics", "MetricsCallback"),
        **attributes("optgen.runtime.keras_neutral", "load_state", "save_state", "state_of"),
        **attributes("optgen.runtime.keras_trace", "trace_layers"),
    },
)


def __getattr__(name: str) -> object:
    return _NAMESPACE.get(name)


def __dir__() -> list[str]:
    return _NAMESPACE.names()
