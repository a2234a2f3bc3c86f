"""JAX factories of every rule shipped: `from optgen.jax import NAME`.

The factories are generated from the rules; a stub beside this file tells editors and type checkers their signatures.
"""

from __future__ import annotations

from optgen.lazy import Namespace, attributes

_NAMESPACE = Namespace(
    __name__,
    "factory",
    "JAX and optax",
    ("jax", "optax"),
    {
        **attributes("optgen.runtime.jax_gradients", "player_gradients"),
        **attributes("optgen.runtime.jax_metrics", "metrics", "reset_metrics"),
        **attributes("optgen.runtime.jax_neutral", "load_state", "save_state", "state_of"),
        **attributes("optgen.runtime.jax_conversion", "from_optax", "to_optax"),
        **attributes("optgen.runtime.jax_order", "forward_order"),
        **attributes("optgen.runtime.jax_presets", "preset"),
    },
)


def __getattr__(name: str) -> object:
    return _NAMESPACE.get(name)


def __dir__() -> list[str]:
    return _NAMESPACE.names()
