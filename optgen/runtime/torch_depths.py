"""The base of torch optimizers whose rule reads how deep a parameter lies: depths from a model, or one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from torch import Tensor, nn

from optgen.errors import UsageError, suggest
from optgen.runtime.torch_groups import DEPTHS, NAMES, derive_depths, flat, relative_depths
from optgen.runtime.torch_optimizer import Optimizer
from optgen.runtime.torch_trace import trace_layers


class DepthOptimizer(Optimizer):
    """An optimizer whose steps depend on depth: 0 at the input, 1 at the output.

    Depths come from the order of the parameters' owners, from `depths=`, or from the methods here; they are kept in the
    groups and saved with the state.
    """

    def compute_depths_from_model(self, model: nn.Module, *inputs: object) -> None:
        """Takes depths from a model: the place of the module that owns a parameter among all that own some.

        Modules count in the order in which they were made part of the model, or with `inputs` in the order in which
        they run on these. A parameter that several own counts with the first. With the quirk of the rule that the root
        owns all, depths are 0. UsageError if the model has none of the optimizer's parameters.
        """
        if inputs:
            traced = trace_layers(model, *inputs)
            place = {id(param): traced.depths[name] for name, param in model.named_parameters()}
        else:
            owners = [m for m in model.modules() if any(True for _ in m.parameters(recurse=False))]
            place: dict[int, int] = {}
            for depth, module in enumerate(owners):
                for param in module.parameters(recurse=False):
                    place.setdefault(id(param), depth)
        found = {param: place[id(param)] for param in flat(self.param_groups) if id(param) in place}
        if not found:
            raise UsageError("the model has none of this optimizer's parameters; pass the model that they are of")
        if self._odd("root_depth"):
            self._set_relative(dict.fromkeys(found, 0.0), 1)
        else:
            self._set_relative(found, max(place.values()))

    def register_layer_depth(self, layer: str, depth: float) -> None:
        """Sets the depth of a layer's parameters, found by name: a whole number counts layers, others are relative.

        Whole numbers are divided by the last layer's. UsageError for a layer that no parameter is of.
        """
        names = self._names()
        found = [param for name, param in names.items() if name == layer or name.startswith((f"{layer}.", f"{layer}/"))]
        if not found:
            layers = dict.fromkeys(name.rpartition(".")[0] for name in names)
            raise UsageError(f'no parameter is of the layer "{layer}". {suggest(layer, layers)}'.rstrip())
        self._register(found, depth)

    def register_variable_depth(self, parameter: str | Tensor, depth: float) -> None:
        """Sets the depth of one parameter, given itself or by name, as `register_layer_depth` does of a layer's."""
        if isinstance(parameter, Tensor):
            found = next((param for param in flat(self.param_groups) if param is parameter), None)
        else:
            found = self._names().get(parameter)
        if found is None:
            hint = suggest(parameter, self._names()) if isinstance(parameter, str) else ""
            shown = f'"{parameter}"' if isinstance(parameter, str) else "the tensor"
            raise UsageError(f"{shown} is no parameter of this optimizer. {hint}".rstrip())
        self._register([found], depth)

    @property
    def iterations(self) -> int:
        """Steps completed by this optimizer, 0 before the first."""
        return self.global_step

    def print_memory_stats(self) -> None:
        """Prints how many bytes parameters and each kind of state take."""
        params = flat(self.param_groups)
        sizes: dict[str, int] = {}
        for param in params:
            for name, value in cast("dict[str, Any]", self.state[param]).items():
                if isinstance(value, Tensor):
                    sizes[name] = sizes.get(name, 0) + value.numel() * value.element_size()
        elements = sum(param.numel() for param in params)
        taken = sum(param.numel() * param.element_size() for param in params)
        print(f"{len(params)} parameters, {elements} elements, {taken} bytes")
        for name, size in sizes.items():
            print(f"  {name:<12}{size:>14} bytes{size / max(elements, 1):>8.2f} per element")
        print(f"  {'all state':<12}{sum(sizes.values()):>14} bytes")

    def _names(self) -> dict[str, Tensor]:
        found = {
            str(name): param
            for group in self.param_groups
            for name, param in zip(group.get(NAMES, ()), group["params"], strict=False)
        }
        if not found:
            raise UsageError("the parameters have no names: pass model.named_parameters()")
        return found

    def _register(self, params: Sequence[Tensor], depth: float) -> None:
        relative_depths([depth])
        derived = derive_depths(self.param_groups, apart=self._odd("tensor_depth"))
        last = len(dict.fromkeys(d for group in derived for d in group)) - 1
        if isinstance(depth, int) and depth > last:
            raise UsageError(f"depth {depth} is beyond the last of {last + 1} layers, whose depth is {last}")
        self._set_relative(dict.fromkeys(params, depth), last)

    def _set_relative(self, depths: dict[Tensor, int] | dict[Tensor, float], last: int) -> None:
        for group in self.param_groups:
            kept: list[float] = group[DEPTHS]
            group[DEPTHS] = [
                _relative(depths[param], last) if param in depths else old
                for param, old in zip(group["params"], kept, strict=True)
            ]
        self._bind()


def _relative(depth: float, last: int) -> float:
    if not isinstance(depth, int):
        return depth
    return depth / last if last > 0 else 0.5
