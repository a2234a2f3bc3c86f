"""What a rule's texts say about it as a whole: what it works on, and how fine its state is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from optgen.frontends.python_text import literal
from optgen.runtime.graph import COUPLINGS, LAPLACIANS
from optgen.runtime.rule_info import REACHES, Reach
from optgen.spec.functions import FUNCTIONS
from optgen.spec.model import Spec, State
from optgen.spec.syntax import Assign, Call, Compare, Expr, If, Name, Number, Text, names_in, statements, walk

#: The arguments of rules that read the graph between layers, as every front end spells them.
EDGES_ABOUT: Final = '"path" (the default), "complete", or pairs of layers, and triples with a weight'
LAPLACIAN_TYPE: Final = f"Literal[{', '.join(map(literal, LAPLACIANS))}]"
COUPLING_TYPE: Final = f"Literal[{', '.join(map(literal, COUPLINGS))}]"
COUPLING_ABOUT: Final = (
    "layers of other shapes: meet in their norms, are not joined (match), refused (equal; flat: unless of equal size), "
    "or meet by flat index (overlap, pad)"
)
_FIRST: Final = (Name("t"), Number(1))
_SIZES: Final = frozenset({"numel", "rows", "cols"})


def _expressions(spec: Spec) -> Iterable[Expr]:
    """The right sides and conditions of all stages."""
    for stage in spec.stages.values():
        for statement in statements(stage):
            if isinstance(statement, Assign):
                yield statement.value
            elif isinstance(statement, If):
                yield statement.condition


def calls_in(spec: Spec) -> Iterable[Call]:
    """Every call in the stages."""
    for root in _expressions(spec):
        yield from (node for node in walk(root) if isinstance(node, Call))


def works_on(spec: Spec, what: str) -> bool:
    """Whether a rule works on `layers`, on the `graph` between them, or reads a tensor's `depth`."""
    calls = list(calls_in(spec))
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
    over = any(call.keyword("over") in [Text(extent) for extent in wide] for call in calls_in(spec))
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


def counts_updates(spec: Spec) -> bool:
    """Whether a rule reads how many updates a parameter had, beyond telling the first from all others."""
    nodes = [node for root in _expressions(spec) for node in walk(root)]
    first = [n for n in nodes if isinstance(n, Compare) and n.op in ("==", "!=") and _tells_first(n)]
    return sum(isinstance(node, Name) and node.id == "t" for node in nodes) > len(first)


def _tells_first(node: Compare) -> bool:
    return (node.left, node.right) in (_FIRST, _FIRST[::-1])


def reach_of(spec: Spec) -> Reach:
    """What the step of one element depends on: with reach `elem`, parts of a tensor may be stepped apart."""
    found: set[Reach] = {"elem"}
    for call in calls_in(spec):
        family, over = FUNCTIONS[call.function].family, call.keyword("over")
        if family == "graph":
            found.add("model")
        elif family == "reduction" and isinstance(over, Text):
            found.add(over.value if over.value in REACHES else "tensor")
        elif family in ("library", "random") or call.function in _SIZES:
            found.add("tensor")
    if any(extent_of(spec, state) in ("row", "col", "matrix") for state in spec.states.values()):
        found.add("tensor")
    return max(found, key=REACHES.index)
