"""What a rule's texts say about it as a whole: what it works on, and how fine its state is."""

from __future__ import annotations

from collections.abc import Iterable

from optgen.spec.model import Spec, State
from optgen.spec.syntax import Assign, Call, If, Name, Text, names_in, statements, walk


def _calls(spec: Spec) -> Iterable[Call]:
    for stage in spec.stages.values():
        for statement in statements(stage):
            root = statement.value if isinstance(statement, Assign) else None
            root = statement.condition if isinstance(statement, If) else root
            if root is not None:
                yield from (node for node in walk(root) if isinstance(node, Call))


def works_on(spec: Spec, what: str) -> bool:
    """Whether a rule works on `layers`, on the `graph` between them, or reads a tensor's `depth`."""
    calls = list(_calls(spec))
    graph = any(call.function in ("laplacian", "neighbors") for call in calls)
    if what == "graph":
        return graph
    if what == "depth":
        return any(call.function == "depth" for call in calls)
    over_layers = any(call.keyword("over") == Text("layer") for call in calls)
    return graph or over_layers or any(extent_of(spec, state) == "layer" for state in spec.states.values())


def ties_tensors(spec: Spec) -> bool:
    """Whether a tensor's step depends on others: the compiler then gives all tensors of a step one variant."""
    wide = ("layer", "model")
    over = any(call.keyword("over") in [Text(extent) for extent in wide] for call in _calls(spec))
    return over or works_on(spec, "graph") or any(extent_of(spec, state) in wide for state in spec.states.values())


def extent_of(spec: Spec, state: State) -> str:
    """Extent of a state, from how it starts."""
    start = state.start[0] if isinstance(state.start, tuple) else state.start
    if isinstance(start, Call) and start.function == "repeat":
        start = start.args[0]
    over = start.keyword("over") if isinstance(start, Call) else None
    if isinstance(over, Text):
        return over.value
    names = names_in(start)
    if isinstance(start, Call) and start.function in ("zeros_like", "full") and "param" in names:
        return "elem"
    if isinstance(start, Name) and start.id == "param":
        return "elem"
    starts = state.start if isinstance(state.start, tuple) else (state.start,)
    read = {name for entry in starts for name in names_in(entry)}
    fine = any(name == "param" or (name in spec.hypers and spec.hypers[name].over == "tensor") for name in read)
    return "tensor" if fine else "model"
