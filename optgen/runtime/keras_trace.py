"""What the graph of a Keras model says of its layers: which feeds which, skips included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from optgen.errors import UsageError
from optgen.runtime.graph import Edge, spanning
from optgen.runtime.keras_layers import layer_names, path_of, shortened

_Layers = frozenset[str]
_NONE: Final = frozenset[str]()


@dataclass(frozen=True)
class LayerTrace:
    """Layers of a model, as an optimizer names them, in the order in which data reaches them.

    `edges` join each to those whose results it reads, with whatever has no weights between them left out; `edges=` of
    an optimizer takes them as they are. A layer that no other feeds or is fed by has an edge of weight 0.
    """

    players: tuple[str, ...]
    edges: tuple[Edge, ...]


def trace_layers(model: Any) -> LayerTrace:
    """Says which layers of a functional or sequential model feed which; inner models of these kinds are looked into.

    UsageError for a model without weights, and for one that has no graph: a subclassed one, or one not built yet.
    """
    variables = model.trainable_variables
    graph = _graph_of(model)
    if graph is None:
        raise UsageError(
            f'the model "{model.name}" has no graph of its layers: it is neither functional nor a Sequential that '
            "knows the shape of its input. Give edges= by the names of its layers"
        )
    if not variables:
        raise UsageError(f'the model "{model.name}" has no trainable variables to trace')
    names = layer_names(shortened([path_of(variable) for variable in variables]))
    walk = _Walk({id(variable): name for variable, name in zip(variables, names, strict=True)})
    walk.through(graph, [_NONE] * len(graph.inputs))
    players = tuple(dict.fromkeys((*walk.order, *names)))
    return LayerTrace(players, spanning(tuple(walk.edges), players))


class _Walk:
    """Follows through a graph of operations which layers a tensor comes from."""

    def __init__(self, players: Mapping[int, str]) -> None:
        self.players = players
        self.order: dict[str, None] = {}
        self.edges: dict[tuple[str, str], None] = {}

    def through(self, graph: Any, sources: Sequence[_Layers]) -> list[_Layers]:
        """Layers that each output comes from, given those of the inputs."""
        comes_from: dict[int, _Layers] = dict(zip(map(id, graph.inputs), sources, strict=True))
        for depth in sorted(graph._nodes_by_depth, reverse=True):
            for node in graph._nodes_by_depth[depth]:
                if not node.is_input:
                    given = [comes_from[id(x)] for x in node.input_tensors]
                    after = self._after(node.operation, given, len(node.output_tensors))
                    comes_from.update(zip(map(id, node.output_tensors), after, strict=True))
        return [comes_from[id(x)] for x in graph.outputs]

    def _after(self, operation: Any, given: Sequence[_Layers], count: int) -> list[_Layers]:
        """The same for an operation: one with weights reads what it is given, and its results come from it alone."""
        inner = _graph_of(operation)
        if inner is not None and len(inner.inputs) == len(given):
            return self.through(inner, given)
        sources = _NONE.union(*given)
        variables = getattr(operation, "trainable_variables", ())
        for player in dict.fromkeys(self.players[id(v)] for v in variables if id(v) in self.players):
            self.order.setdefault(player)
            for source in sorted(sources - {player}):
                if (player, source) not in self.edges:
                    self.edges.setdefault((source, player))
            sources = frozenset({player})
        return [sources] * count


def _graph_of(layer: Any) -> Any:
    """The graph of a functional model, or of the one that a sequential model holds; None for anything else."""
    graph = getattr(layer, "_functional", layer)
    return graph if hasattr(graph, "_nodes_by_depth") else None
