"""Random worlds for the interpreters: the same tensors, layers and graph in float64 and as a kernel's buffers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from optgen.ir import kernel_dialect as kernel
from optgen.ir import kernel_world, world
from optgen.ir.kernel_arith import stored
from optgen.ir.world import Array, Counterpart, Edge, Graph
from optgen.runtime.gradients import entry_of, stacked
from optgen.runtime.storage import MASTER
from optgen.spec.model import Spec
from optgen.verify.settings import tuned_together

Setting = float | int | bool | str

#: Layers as shapes: 0, 1 and 3 are matched, 2 has leading axes, 4 a scalar and a row longer than a chunk.
LAYERS: tuple[tuple[tuple[int, ...], ...], ...] = (
    ((4, 3), (3,)),
    ((4, 3), (3,)),
    ((2, 3, 5),),
    ((4, 3), (3,)),
    ((), (21,)),
)
_EDGES = ((0, 1), (1, 2), (2, 3), (3, 4), (0, 3))


def graph_of(layers: Sequence[Sequence[tuple[int, ...]]], present: Sequence[bool], *, mixed: bool = True) -> Graph:
    """A path with a chord, every direction of an edge with coefficients of its own; `mixed` keeps unmatched edges."""
    first = [sum(len(layer) for layer in layers[:k]) for k in range(len(layers))]
    edges: list[list[Edge]] = [[] for _ in layers]
    counterparts: list[list[Counterpart]] = [[] for _ in range(sum(map(len, layers)))]
    for a, b in _EDGES:
        if max(a, b) >= len(layers) or not (present[a] and present[b]):
            continue
        matched = layers[a] == layers[b]
        if not matched and not mixed:
            continue
        for i, j in ((a, b), (b, a)):
            own, other = 0.5 + 0.25 * i, 0.75 + 0.125 * j
            edges[i].append(Edge(j, own, other, matched))
            for role in range(len(layers[i]) if matched else 0):
                counterparts[first[i] + role].append(Counterpart(first[j] + role, own, other))
    return Graph(edges, counterparts)


def random_world(
    spec: Spec,
    settings: Mapping[str, Setting],
    rng: np.random.Generator,
    layers: Sequence[Sequence[tuple[int, ...]]] = LAYERS,
) -> world.World:
    """Float64 tensors with hypers that differ a little from tensor to tensor, as in parameter groups."""
    tensors: list[world.Tensor] = []
    kept = tuned_together(spec)
    for layer, shapes in enumerate(layers):
        for shape in shapes:
            hypers = {
                name: value if name in kept else _varied(spec, name, value, rng) for name, value in settings.items()
            }
            param = rng.normal(size=shape).astype(np.float32).astype(np.float64)
            depth = layer / max(len(layers) - 1, 1)
            tensors.append(world.Tensor(np.asarray(param), layer, depth, hypers))
    mixed = settings.get("coupling", "transport") == "transport"
    return world.World(tensors, str(spec.matrix), graph=lambda present: graph_of(layers, present, mixed=mixed))


def _varied(spec: Spec, name: str, value: Setting, rng: np.random.Generator) -> Setting:
    """A float somewhat nearer to 0, so that it stays in its domain and settles the same conditions."""
    hyper = spec.hypers.get(name)
    if hyper is None or hyper.kind != "float" or hyper.over == "model" or not np.isfinite(float(value)):
        return value
    return float(value) * (1 - 0.1 * float(rng.random()))


def random_gradients(
    of: world.World, rng: np.random.Generator, *, missing: float, count: int = 0
) -> list[Array | None]:
    """Gradients that float32 holds; each is missing with some chance, and now and then a whole layer's. Rules that take
    several have so many along a first axis."""
    axis = (count,) if count else ()
    gone = int(rng.integers(of.layers)) if rng.random() < missing else -1
    found: list[Array | None] = []
    for tensor in of.tensors:
        g = rng.normal(size=(*axis, *tensor.param.shape)).astype(np.float32).astype(np.float64)
        found.append(None if tensor.layer == gone or rng.random() < missing else np.asarray(g))
    return found


def kernel_world_of(
    of: world.World, module: kernel.ModuleOp, gradients: Sequence[Array | None], inputs: Mapping[str, float]
) -> kernel_world.World:
    """The world as buffers of a kernel module, before a step with these gradients; values are rounded to storage."""
    made: list[kernel_world.Tensor] = []
    for tensor, g in zip(of.tensors, gradients, strict=True):
        content: dict[str, Array | None] = {**tensor.state, "param": tensor.param, MASTER: tensor.param}
        buffers: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]] | None] = {}
        for slot in module.slots:
            if slot.role.data is kernel.Role.SCRATCH:
                continue
            if slot.role.data is kernel.Role.GRADIENT:
                at = entry_of(slot.sym_name.data)
                content[slot.sym_name.data] = None if g is None else stacked(g, tensor.param.shape)[at]
            name, dtype = slot.sym_name.data, slot.dtype.data
            held = np.float64(tensor.t) if slot.role.data is kernel.Role.COUNTER else content[name]
            buffers[name] = None if held is None else np.array(stored(np.asarray(held), dtype), order="C")
        hypers = {name: float(value) for name, value in tensor.hypers.items() if not isinstance(value, str)}
        made.append(kernel_world.Tensor(tensor.param.shape, tensor.layer, buffers, hypers, tensor.depth))
    return kernel_world.World(made, of.graph, inputs)


def take_back(of: world.World, ran: kernel_world.World, module: kernel.ModuleOp) -> None:
    """Copy what kernels left in their buffers into the float64 world."""
    for tensor, mine in zip(of.tensors, ran.tensors, strict=True):
        for slot in module.slots:
            buffer, name = mine.buffers.get(slot.sym_name.data), slot.sym_name.data
            if buffer is None or slot.role.data is kernel.Role.GRADIENT:
                continue
            value = np.array(buffer, dtype=np.float64)
            if slot.role.data is kernel.Role.COUNTER:
                tensor.t = int(value)
            elif name in ("param", MASTER):
                tensor.param = value
            else:
                tensor.state[name] = value
    of.steps += 1


def copy_of(of: world.World) -> world.World:
    """A world that can be stepped without touching the original; arrays are never changed in place."""
    tensors = [world.Tensor(t.param, t.layer, t.depth, t.hypers, dict(t.state), t.t) for t in of.tensors]
    return world.World(tensors, of.matrix, dict(of.extents), of.graph, of.steps)


def contents(of: world.World) -> list[dict[str, Array]]:
    """Everything a world holds, per tensor."""
    return [{"param": t.param, "t": np.float64(t.t), **t.state} for t in of.tensors]  # type: ignore[dict-item]
