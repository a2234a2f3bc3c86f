"""A rule as an optimizer in float64: the interpreter of the rule dialect, with layers and depths from names.

`Reference` is what every other implementation is compared with. It is slow and says what a rule means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from optgen.errors import UsageError, suggest
from optgen.frontends.evaluate import has_quirk
from optgen.ir import interpret, world
from optgen.ir.build import MAXIMIZE, build, counted, state_slots
from optgen.ir.kernel_arith import stored
from optgen.ir.view import view
from optgen.passes.pipeline import default_settings, program_of, to_kernels
from optgen.runtime import graph as runtime_graph
from optgen.runtime.arrangement import Arrangement, Depths, Layers, Players, layers_of
from optgen.runtime.gradients import fits
from optgen.runtime.graph import NamedEdges
from optgen.runtime.kernel_module import Slot
from optgen.runtime.storage import MASTER
from optgen.runtime.torch_reference import ReferenceTensor
from optgen.spec.loader import load
from optgen.spec.model import Setting, Spec

Array = NDArray[np.float64]
HyperValue = float | int | bool | str
Arrays = Mapping[str, Array] | Sequence[Array]
Gradients = Mapping[str, Array | None] | Sequence[Array | None]


class Reference:
    """A float64 optimizer that runs a rule's own text.

    `params` are arrays by name, or a list without names. `hypers` override defaults (`maximize` is one of them),
    `overrides` do so for single tensors, by name or position. `players`, `edges`, `laplacian`, `coupling` and `depths`
    mean what they mean to an optimizer class. `dtypes` (one word per tensor) only tell which tensors can match.
    Raises HyperError for values outside their domain and UsageError for players, edges or depths that make no sense.
    """

    def __init__(
        self,
        spec: Spec,
        params: Arrays,
        hypers: Mapping[str, Setting] | None = None,
        *,
        overrides: Mapping[str | int, Mapping[str, Setting]] | None = None,
        players: Players = None,
        edges: NamedEdges | None = None,
        laplacian: str = "combinatorial",
        coupling: str = "transport",
        depths: Depths = None,
        dtypes: Sequence[str] | None = None,
    ) -> None:
        made = counted(spec, {name: value for name, value in (hypers or {}).items() if name == spec.gradients})
        self.spec, self.gradients = spec, made.gradient_count
        self.names = list(params) if isinstance(params, Mapping) else [str(i) for i in range(len(params))]
        arrays = [np.array(x, dtype=np.float64) for x in (params.values() if isinstance(params, Mapping) else params)]
        arranged = Arrangement(players, edges, laplacian, coupling, depths)
        apart = has_quirk(spec, "tensor_depth", hypers_of(spec, hypers or {}))
        names = self.names if isinstance(params, Mapping) else None
        self.layers = layers_of(names, len(arrays), arranged, tensor_depth=apart)
        self.program = program_of(build(made))
        tensors = [
            world.Tensor(x, self.layers.player[i], self.layers.depth[i], self._hypers(i, hypers or {}, overrides or {}))
            for i, x in enumerate(arrays)
        ]
        self.world = world.World(tensors, str(spec.matrix))
        shapes = [x.shape for x in arrays]
        self.world.graph = graph_of(self.layers, shapes, dtypes or [""] * len(arrays), laplacian, coupling)
        interpret.start(self.program, self.world)

    @classmethod
    def arranged(
        cls,
        spec: Spec,
        params: Arrays,
        hypers: Mapping[str, Setting],
        arranged: Arrangement,
        *,
        overrides: Mapping[str | int, Mapping[str, Setting]] | None = None,
        dtypes: Sequence[str] | None = None,
    ) -> Reference:
        """The same, with what concerns layers in one piece."""
        return cls(
            spec,
            params,
            hypers,
            overrides=overrides,
            players=arranged.players,
            edges=arranged.edges,
            laplacian=arranged.laplacian,
            coupling=arranged.coupling,
            depths=arranged.depths,
            dtypes=dtypes,
        )

    def _hypers(
        self, i: int, given: Mapping[str, Setting], overrides: Mapping[str | int, Mapping[str, Setting]]
    ) -> dict[str, HyperValue]:
        own = {**given, **overrides.get(i, {}), **overrides.get(self.names[i], {})}
        return hypers_of(self.spec, own)

    def step(self, grads: Gradients, inputs: Mapping[str, float] | None = None) -> None:
        """One optimizer step. A gradient is None, or left out of a mapping, where a tensor has none."""
        if isinstance(grads, Mapping):
            for name in grads:
                if name not in self.names:
                    raise UsageError(f'there is no parameter "{name}". {suggest(name, self.names)}'.rstrip())
            grads = [grads.get(name) for name in self.names]
        given = [None if g is None else np.asarray(g, float) for g in grads]
        for name, tensor, g in zip(self.names, self.world.tensors, given, strict=True):
            if g is not None and self.gradients and not fits(g.shape, tensor.param.shape, self.gradients):
                wanted = (self.gradients, *tensor.param.shape)
                raise UsageError(f'the gradients of "{name}" are of shape {g.shape}; they must be {wanted}')
        interpret.step(self.program, self.world, given, inputs)

    def change(self, **hypers: Setting) -> None:
        """Give every tensor other values of some hypers, as a schedule does."""
        for tensor in self.world.tensors:
            tensor.hypers = {**tensor.hypers, **checked(self.spec, hypers)}

    @property
    def params(self) -> dict[str, Array]:
        """The parameters, by name."""
        return {name: tensor.param for name, tensor in zip(self.names, self.world.tensors, strict=True)}

    def state(self, name: str) -> dict[str, Array]:
        """A state of every tensor; a short vector has its entries along a first axis."""
        if name not in self.spec.states:
            raise UsageError(f'there is no state "{name}". {suggest(name, self.spec.states)}'.rstrip())
        declared = self.spec.states[name]
        if not isinstance(declared.start, tuple):
            return {key: tensor.state[name] for key, tensor in zip(self.names, self.world.tensors, strict=True)}
        slots = state_slots(declared)
        return {
            key: np.stack([tensor.state[slot] for slot in slots])
            for key, tensor in zip(self.names, self.world.tensors, strict=True)
        }


def hypers_of(spec: Spec, given: Mapping[str, Setting]) -> dict[str, HyperValue]:
    """Every hyper's value: the given ones, checked, over the defaults."""
    defaults: dict[str, HyperValue] = {**default_settings(spec)}
    return {**defaults, **checked(spec, given)}


def checked(spec: Spec, given: Mapping[str, Setting]) -> dict[str, HyperValue]:
    """Given values as their hypers store them. UsageError for unknown names, HyperError for unfit values."""
    values: dict[str, HyperValue] = {}
    for name, value in given.items():
        if name in spec.hypers:
            accepted = spec.hypers[name].accept(value)
            if not isinstance(accepted, tuple):
                values[name] = accepted
        elif name == MAXIMIZE and isinstance(value, bool):
            values[name] = value
        else:
            raise UsageError(f'{spec.name} has no hyper-parameter "{name}". {suggest(name, spec.hypers)}'.rstrip())
    return values


class _Graphs:
    """The edges among present layers, as the interpreter wants them."""

    def __init__(self, graph: runtime_graph.Graph, players: Sequence[int], roles: Sequence[str]) -> None:
        self.graph = graph
        self.players = players
        self.roles = roles

    def __call__(self, present: Sequence[bool]) -> world.Graph:
        found = self.graph.edges(np.array(present, dtype=np.bool_))
        near = runtime_graph.neighbours(self.graph, found, self.players, self.roles)
        edges = [
            [
                world.Edge(int(found.to[e]), float(found.own[e]), float(found.other[e]), bool(found.matched[e]))
                for e in range(int(found.start[layer]), int(found.start[layer + 1]))
            ]
            for layer in range(self.graph.players)
        ]
        counterparts = [
            [
                world.Counterpart(int(near.tensor[k]), float(near.own[k]), float(near.other[k]), _window(near, k))
                for k in range(int(near.start[t]), int(near.start[t + 1]))
            ]
            for t in range(len(self.players))
        ]
        return world.Graph(edges, counterparts)


def _window(near: runtime_graph.Neighbours, entry: int) -> tuple[int, int, int] | None:
    first, end, shift = (int(x) for x in near.window[entry])
    return None if end == runtime_graph.WHOLE else (first, end, shift)


def graph_of(
    layers: Layers, shapes: Sequence[tuple[int, ...]], dtypes: Sequence[str], laplacian: str, coupling: str
) -> _Graphs:
    """The graph of the layers: a path unless edges are given."""
    kinds = runtime_graph.roles_of(layers.player, layers.role, shapes, dtypes)
    graph = runtime_graph.Graph(kinds, layers.edges, laplacian, coupling)
    return _Graphs(graph, layers.player, layers.role)


@cache
def _rule(origin: str) -> Spec:
    return load(origin)


def torch_slots(origin: str, hypers: Mapping[str, HyperValue], dtype: str) -> list[Slot]:
    """The memory that kernels of the rule found at `origin` would have for what these values settle."""
    spec = load(origin)
    given = {name: value for name, value in hypers.items() if not isinstance(value, tuple)}
    slots = [slot for slot in view(to_kernels(spec, given, dtype)).slots if slot.role != "scratch"]
    return [{"name": s.name, "extent": s.extent, "dtype": s.dtype, "role": s.role} for s in slots]


def torch_step(
    origin: str,
    tensors: Sequence[ReferenceTensor],
    *,
    step: int,
    inputs: Mapping[str, float],
    maximize: bool,
    edges: Sequence[tuple[int, int, float]] | None,
    laplacian: str,
    coupling: str,
) -> None:
    """One step of the rule found at `origin` on tensors that an optimizer class holds, in place."""
    spec = _rule(origin)
    count = [(spec.gradients, value) for t in tensors[:1] for name, value in t.hypers.items() if name == spec.gradients]
    program = program_of(build(counted(spec, dict(count))))
    layers = Layers(
        [t.info.player for t in tensors],
        [t.info.role for t in tensors],
        [t.info.depth for t in tensors],
        None if edges is None else list(edges),
    )
    held = [
        world.Tensor(
            t.values.get(MASTER, t.values["param"]),
            t.info.player,
            t.info.depth,
            {**{k: v for k, v in t.hypers.items() if not isinstance(v, tuple)}, MAXIMIZE: maximize},
        )
        for t in tensors
    ]
    made = world.World(held, str(spec.matrix), steps=step - 1)
    made.graph = graph_of(layers, [t.info.shape for t in tensors], [t.info.dtype for t in tensors], laplacian, coupling)
    interpret.start(program, made)
    for tensor, given in zip(held, tensors, strict=True):
        tensor.t = given.t
        for name in tensor.state.keys() & given.values.keys():
            tensor.state[name] = given.values[name]
    interpret.step(program, made, [t.gradient for t in tensors], inputs)
    for tensor, given in zip(held, tensors, strict=True):
        given.t = tensor.t
        whole = {**tensor.state, "param": tensor.param, MASTER: tensor.param}
        given.values = {name: whole[name] for name in given.values}


def torch_words(x: Array, dtype: str) -> NDArray[np.uint16]:
    """Numbers rounded once to bfloat16 or float16, as words of memory."""
    held = np.asarray(stored(x, dtype))
    if dtype == "float16":
        return held.view(np.uint16)
    return (held.view(np.uint32) >> np.uint32(16)).astype(np.uint16)
