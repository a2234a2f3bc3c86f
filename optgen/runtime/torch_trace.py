"""What a run of a model says of its layers: the order in which they run, and which feeds which."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from optgen.errors import UsageError
from optgen.runtime.graph import Edge, players_from_names, spanning


@dataclass(frozen=True)
class LayerTrace:
    """Layers (players, as names of parameters give them) of a model in the order in which they first ran.

    `edges` join each to those whose results it read, with whatever has no parameters between them left out, so that
    skip connections are edges too: `edges=` of an optimizer takes them as they are. A layer that no other feeds or is
    fed by has an edge of weight 0. `depths` gives, by name, the place
    of the module that owns a parameter among all that do, in the same order: `depths=` takes these. `parameters` are
    the model's, named, in that order: optimizers that work along a path of layers take its order from them. What did
    not run comes last, in the model's own order.
    """

    players: tuple[str, ...]
    edges: tuple[Edge, ...]
    depths: Mapping[str, int]
    parameters: tuple[tuple[str, nn.Parameter], ...]


def trace_layers(model: nn.Module, *inputs: object) -> LayerTrace:
    """Runs a model once, without gradients and in evaluation mode, and says which of its layers feeds which.

    UsageError if it has no parameters. Exceptions of the model pass through.
    """
    named = dict(model.named_parameters())
    if not named:
        raise UsageError("the model has no parameters to trace")
    players = dict(zip(named, (player for player, _ in players_from_names(list(named))), strict=True))
    watch = _Watch({id(param): name for name, param in named.items()}, players)
    training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad(), watch:
            model(*inputs)
    finally:
        for module, was in training.items():
            module.training = was
    order = [*watch.order, *(name for name in named if name not in watch.order)]
    owners = dict.fromkeys(name.rpartition(".")[0] for name in order)
    place = {owner: depth for depth, owner in enumerate(owners)}
    found = tuple(dict.fromkeys(players[name] for name in order))
    return LayerTrace(
        found,
        spanning(tuple(watch.edges), found),
        {name: place[name.rpartition(".")[0]] for name in named},
        tuple((name, named[name]) for name in order),
    )


class _Watch(TorchFunctionMode):
    """Follows through every function of torch which layers a tensor comes from.

    A function that takes parameters, or tensors made of nothing but parameters, is of their layer: the layers that its
    other arguments come from feed it, and its result comes from it alone.
    """

    def __init__(self, names: Mapping[int, str], players: Mapping[str, str]) -> None:
        super().__init__()
        self.names, self.players = names, players
        self.order: dict[str, None] = {}
        self.edges: dict[tuple[str, str], None] = {}
        self._from: dict[int, frozenset[str]] = {}  # layers that a tensor comes from
        self._made: dict[int, tuple[str, ...]] = {}  # parameters that a tensor is made of, and nothing else
        self._held: list[Tensor] = []  # so that no id is used again

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        given = [*_tensors(args), *_tensors(kwargs or {})]
        weights = [name for x in given for name in self._weights(x)]
        sources = frozenset[str]().union(*(self._from.get(id(x), frozenset()) for x in given))
        others = [x for x in given if not self._weights(x)]
        for out in _tensors(result):
            if any(out is x for x in given) and not others:
                continue
            self._held.append(out)
            if weights and not others:
                self._made[id(out)] = tuple(dict.fromkeys(weights))
            elif weights:
                self._from[id(out)] = self._fed(sources, weights)
            else:
                self._from[id(out)] = sources
        return result

    def _weights(self, x: Tensor) -> tuple[str, ...]:
        name = self.names.get(id(x))
        return (name,) if name is not None else self._made.get(id(x), ())

    def _fed(self, sources: frozenset[str], weights: list[str]) -> frozenset[str]:
        """Notes that these layers feed those that the weights are of, one after the other; the last of them."""
        for name in weights:
            self.order.setdefault(name)
            player = self.players[name]
            for source in sorted(sources - {player}):
                if (player, source) not in self.edges:
                    self.edges.setdefault((source, player))
            sources = frozenset({player})
        return sources


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for entry in cast("Mapping[object, object]", value).values():
            yield from _tensors(entry)
    elif isinstance(value, list | tuple):
        for entry in cast("Iterable[object]", value):
            yield from _tensors(entry)
