"""Keras optimizers of rules that ask how deep a variable lies: the model tells, or the caller does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from optgen.errors import UsageError
from optgen.runtime.keras_layers import depths_of, exactly, path_of
from optgen.runtime.keras_optimizer import Optimizer
from optgen.runtime.keras_untyped import backend


class DepthOptimizer(Optimizer):
    """An optimizer whose rule reads the depth of each variable: the place of its layer from input to output.

    Without more it is the order of the variables' layers. Whoever knows better says so before the optimizer is built.
    """

    def compute_depths_from_model(self, model: Any) -> dict[str, int]:
        """Takes the depth of every variable from a built model; returns them by path.

        Layers that own weights are numbered in the order of `model.layers`, those of inner models in their place. With
        the quirk of the rule that the root owns them all, their depth is 0.
        """
        found = depths_of(model)
        if self.RULE.has_quirk("root_depth", self.hypers()):
            self._register({exactly(path): 0.0 for path in found})  # relative: as if layers without weights came after
            return dict.fromkeys(found, 0)
        self._register({exactly(path): depth for path, depth in found.items()})
        return found

    def register_layer_depth(self, layer: Any, depth: float) -> None:
        """Gives all weights of a layer a depth: a number of layers, or one in [0, 1] from input to output."""
        paths = [path_of(variable) for variable in layer.trainable_variables]
        if not paths:
            raise UsageError(f'the layer "{layer.name}" has no trainable variables: build it first')
        self._register(dict.fromkeys(map(exactly, paths), depth))

    def register_variable_depth(self, variable: Any, depth: float) -> None:
        """Gives a variable a depth, as above."""
        self._register({exactly(path_of(variable)): depth})

    def memory_stats(self) -> dict[str, int]:
        """Bytes of the variables (`param`) and of each state of the rule."""
        layout = self.layout()
        found = {"param": sum(map(_bytes, self._trainable_variables))}
        for slots in layout.slots:
            for name, variable in slots.items():
                found[name] = found.get(name, 0) + _bytes(variable)
        return found

    def print_memory_stats(self) -> None:
        """Prints `memory_stats` as a table."""
        stats = self.memory_stats()
        width = max(map(len, (*stats, "state in all")))
        stats["state in all"] = sum(size for name, size in stats.items() if name != "param")
        print("\n".join(f"{name:<{width}}  {size / 2**20:12.3f} MiB" for name, size in stats.items()))

    def _register(self, depths: Mapping[str, float]) -> None:
        own = self._own
        if self.built:
            raise UsageError("depths decide which state a variable has: give them before the optimizer is built")
        for path, depth in depths.items():
            if isinstance(depth, bool) or not (depth >= 0 and math.isfinite(depth)):
                raise UsageError(f'the depth of "{path}" must be a number of at least 0, got {depth!r}')
        given = own.arrangement.depths
        if given is not None and not isinstance(given, Mapping):
            raise UsageError("depths were given as a list; give them as a map from patterns of paths, or register them")
        older = {path: depth for path, depth in (given or {}).items() if path not in depths}
        own.arrangement = replace(own.arrangement, depths={**depths, **older})


def _bytes(variable: Any) -> int:
    bits = {"float64": 8, "int64": 8, "float32": 4, "int32": 4}.get(backend.standardize_dtype(variable.dtype), 2)
    return bits * math.prod(variable.shape)
