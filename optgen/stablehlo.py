"""A rule's in-place step as StableHLO: what `jax.export` makes of the generated functions for every platform."""

# JAX carries partial types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from optgen.errors import BackendError

if TYPE_CHECKING:
    from optgen.spec.model import Spec, Value

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
#: Two layers of one shape and a vector, so that rules of layers, rows and columns show what they do.
SHAPES: Mapping[str, Mapping[str, tuple[int, ...]]] = {"0": {"w": (16, 32), "b": (16,)}, "1": {"w": (16, 32)}}


def stablehlo(spec: Spec, given: Mapping[str, Value], dtype: str) -> str:
    """MLIR text of one step on parameters of `SHAPES`, state and parameters donated. BackendError without JAX."""
    try:
        import jax.export
        import jax.numpy as jnp

        import jax
    except ImportError as error:
        raise BackendError(f"StableHLO is made by JAX, which is missing ({error}): pip install optgen[jax]") from error
    from optgen.api import compile as compile_rule
    from optgen.frontends.jax_factory import argument_of

    factory = compile_rule(spec, framework="jax")
    named = {argument_of(spec.hypers[n]) if n in spec.hypers else n: value for n, value in given.items()}
    order = {"order": list(SHAPES)} if "order" in factory.__code__.co_varnames else {}
    with jax.enable_x64(dtype == "float64"):
        made = factory(**named, **order)
        params = {
            layer: {name: jax.ShapeDtypeStruct(shape, jnp.dtype(dtype)) for name, shape in own.items()}
            for layer, own in SHAPES.items()
        }
        state = jax.eval_shape(made.init, params)
        step = jax.jit(made.apply, donate_argnums=(1, 2))
        inputs = {name: jax.ShapeDtypeStruct((), jnp.dtype(dtype)) for name in spec.inputs}
        return jax.export.export(step, platforms=PLATFORMS)(params, state, params, **inputs).mlir_module()
