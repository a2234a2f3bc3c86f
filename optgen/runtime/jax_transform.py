"""A rule as an optax transformation: what every generated factory of `optgen.jax` returns."""

# JAX and optax carry partial types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import math
import numbers
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax

from optgen.errors import HyperError, UsageError, suggest
from optgen.runtime import array_modules, array_step, jax_step
from optgen.runtime.arrangement import Arrangement, layers_of
from optgen.runtime.array_program import Program
from optgen.runtime.array_step import Leaf, Plan
from optgen.runtime.graph import unconnected
from optgen.runtime.jax_program import ARRAYS
from optgen.runtime.rule_info import MATCH, TRANSPORT, HyperInfo, RuleInfo, meta_of

Schedule: TypeAlias = Callable[[Any], Any]
#: A number, an array that may be traced, or a schedule of the number of steps completed.
Scalar: TypeAlias = "float | jax.Array | Schedule"
Given: TypeAlias = "bool | int | float | str | jax.Array | Schedule"
Tree: TypeAlias = Any


class State(NamedTuple):
    """State of an optimizer. `slots` has a tree like the parameters' for each of the rule's states, None where a
    parameter has none; `updates` counts each parameter's updates, where they can differ from `count`."""

    count: jax.Array  # pyright: ignore[reportIncompatibleMethodOverride]  # as optax calls it
    slots: dict[str, Tree]
    updates: Tree


class Transformation(optax.GradientTransformationExtraArgs):
    """An optax transformation with a second way to step: `apply(grads, state, params)` gives new parameters and state
    in one pass, for use under `jax.jit` with both donated."""

    apply: Callable[..., tuple[Tree, State]]
    #: What `optgen.runtime.jax_neutral` asks about rule, settings and layers.
    engine: Any


class LayerOrderWarning(UserWarning):
    """The order of layers was guessed from names."""


def transformation(
    rule: RuleInfo,
    given: Mapping[str, Given],
    *,
    maximize: bool = False,
    order: Sequence[str] | None = None,
    arrangement: Arrangement | None = None,
) -> Transformation:
    """The transformation of a rule.

    `given` maps the rule's hyper-parameters to numbers, traced arrays or schedules; those that select code must be
    known. `order` names the layers from input to output, for rules that look at them. Raises HyperError for values that
    cannot be, UsageError for arguments that make no sense.
    """
    engine = _Engine(rule, given, maximize, order, arrangement or Arrangement())
    made = Transformation(engine.init, cast(Any, engine.update))
    made.apply = engine.apply
    made.engine = engine
    return made


class _Engine:
    def __init__(
        self,
        rule: RuleInfo,
        given: Mapping[str, Given],
        maximize: bool,
        order: Sequence[str] | None,
        arrangement: Arrangement,
    ) -> None:
        self.rule, self.order, self.arrangement = rule, order, arrangement
        self.given = {hyper.name: _accepted(hyper, given[hyper.name]) for hyper in rule.hypers}
        known = {name: value for name, value in self.given.items() if isinstance(value, bool | int | float | str)}
        static = {**rule.defaults(), **known}
        for requirement in rule.require:
            words = set(re.findall(r"[A-Za-z_]\w*", requirement.text)) & {hyper.name for hyper in rule.hypers}
            if words <= known.keys() and not requirement.holds(static):
                raise HyperError(f"{rule.name} needs {requirement.text}")
        coupling = TRANSPORT if arrangement.coupling == TRANSPORT else MATCH
        self.settled = rule.settled(static, maximize, coupling)
        self._refuse_traced(known)
        self.static = static
        self.program: Program = array_modules.find(rule, self.settled, static, "jax")

    def _refuse_traced(self, known: Mapping[str, object]) -> None:
        traced = [hyper.name for hyper in self.rule.hypers if hyper.name not in known]
        for name in traced:
            for key in self.settled:
                if name in re.findall(r"[A-Za-z_]\w*", key) or name in self.rule.structural:
                    raise HyperError(f"{name} selects code of {self.rule.name} ({key}): give it as a plain number")

    def init(self, params: Tree) -> State:
        """State before the first step, sharded and typed like the parameters."""
        leaves, treedef, plan = self._plan(params)
        self._warn(plan)
        count = jnp.zeros([], jnp.int32)
        hypers = self._hypers(count)
        rows = [jax_step.start(leaf, x, hypers) for leaf, x in zip(plan.leaves, leaves, strict=True)]
        updates = treedef.unflatten([jnp.zeros([], jnp.int32)] * len(leaves)) if plan.counted else None
        slots = {s.name: treedef.unflatten([row.get(s.name) for row in rows]) for s in self.program.slots}
        return State(count, slots, updates)

    def _warn(self, plan: Plan) -> None:
        """What the rule's text warns of, as far as values are known, and layers that edges leave out."""
        degree = 0.0 if plan.graph is None else plan.graph.degree
        for text in self.rule.warnings(self.static, degree):
            warnings.warn(text, stacklevel=4)
        if plan.unconnected:
            warnings.warn(
                f"{self.rule.name}: edges leave out {', '.join(plan.unconnected)}, which therefore step alone; an edge "
                "of weight 0 says that this is meant",
                stacklevel=4,
            )

    def update(self, updates: Tree, state: State, params: Tree = None, **extra: Any) -> tuple[Tree, State]:
        """What to add to the parameters, in their dtypes, and the new state."""
        new, after = self.apply(updates, state, params, **extra)
        return jax.tree.map(_difference, new, params), after

    def apply(self, grads: Tree, state: State, params: Tree = None, **extra: Any) -> tuple[Tree, State]:
        """New parameters and state."""
        if params is None:
            raise UsageError(f"{self.rule.name} needs the parameters: call update(grads, state, params)")
        leaves, treedef, plan = self._plan(params)
        gradients = self._gradients(grads, treedef, plan)
        count = state.count + 1
        shared = {**self._hypers(state.count), **self._inputs(extra), "step": count}
        rows = self._rows(treedef, leaves, gradients, state)
        new = array_step.step(plan, rows, shared)
        slots = {s.name: treedef.unflatten([row.get(s.name) for row in new]) for s in self.program.slots}
        counted = state.updates is not None
        updates = treedef.unflatten([row["updates"] for row in new]) if counted else None
        return treedef.unflatten([row["param"] for row in new]), State(count, slots, updates)

    def _rows(self, treedef: Any, leaves: list[jax.Array], grads: list[Any], state: State) -> list[Any]:
        rows: list[dict[str, Any]] = [{"param": p, "g": g} for p, g in zip(leaves, grads, strict=True)]
        for slot in self.program.slots:
            if slot.name not in state.slots:
                raise UsageError(f'the state has no "{slot.name}": it was made by another rule or other options')
            for row, value in zip(rows, treedef.flatten_up_to(state.slots[slot.name]), strict=True):
                if value is not None:
                    row[slot.name] = value
        if state.updates is not None:  # a state from elsewhere may count what nothing here has to
            for row, value in zip(rows, treedef.flatten_up_to(state.updates), strict=True):
                row["updates"] = value
        return rows

    def _gradients(self, grads: Tree, treedef: Any, plan: Plan) -> list[Any]:
        try:
            found = treedef.flatten_up_to(grads)
        except (ValueError, TypeError) as error:
            raise UsageError(f"gradients and parameters are different trees: {error}") from None
        for leaf, gradient in zip(plan.leaves, found, strict=True):
            if gradient is None:
                raise UsageError(f'"{leaf.name}" has no gradient; mask such parameters out (optax.masked)')
            if jnp.shape(gradient) != leaf.shape:
                raise UsageError(f'the gradient of "{leaf.name}" is {jnp.shape(gradient)}, the parameter {leaf.shape}')
        return [jnp.asarray(gradient) for gradient in found]

    def _hypers(self, count: jax.Array) -> dict[str, Any]:
        return {name: value(count) if callable(value) else value for name, value in self.given.items()}

    def _inputs(self, extra: Mapping[str, Any]) -> dict[str, Any]:
        wanted = [given.name for given in self.rule.inputs]
        missing = [name for name in wanted if extra.get(name) is None]
        if missing:
            raise UsageError(
                f"{self.rule.name} reads {missing[0]}: call update(grads, state, params, {missing[0]}=...)"
            )
        return {name: extra[name] for name in wanted}

    def _plan(self, params: Tree) -> tuple[list[jax.Array], Any, Plan]:
        """The parameters in the tree's order, and the program laid out for them."""
        paths, treedef = jax.tree_util.tree_flatten_with_path(params)
        names = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in paths]
        leaves = [jax_step.checked_leaf(name, leaf) for name, (_, leaf) in zip(names, paths, strict=True)]
        ordered = self._order(names)
        layers = layers_of([names[i] for i in ordered], len(names), self.arrangement)
        place = {i: at for at, i in enumerate(ordered)}
        found: list[Leaf] = []
        for i, (name, x) in enumerate(zip(names, leaves, strict=True)):
            at = place[i]
            meta = meta_of(tuple(x.shape), self.rule.matrix, layers.depth[at], layers.role[at])
            need = None if self.rule.needs is None else self.rule.needs(self.static, meta)
            slots = tuple(s for s in self.program.slots if need is None or s.name.partition("[")[0] in need)
            dtype = str(x.dtype)
            found.append(Leaf(name, tuple(x.shape), dtype, layers.player[at], layers.role[at], meta, slots))
        in_order = [found[i] for i in ordered]
        graph = array_step.graph_of(self.rule, layers, in_order, self.arrangement.laplacian, self.arrangement.coupling)
        alone = tuple(unconnected(layers.edges, layers.names))
        return leaves, treedef, Plan(ARRAYS, self.rule, self.program, found, graph, alone)

    def _order(self, names: Sequence[str]) -> list[int]:
        """Positions of the parameters from input to output."""
        if not (self.rule.layers or self.rule.graph or self.rule.depth):
            return list(range(len(names)))
        if self.order is None:
            if len(names) > 1 and self.arrangement.edges is None and not isinstance(self.arrangement.players, list):
                warnings.warn(
                    f"{self.rule.name} looks at the order of layers, and trees have none: names were sorted, numbers "
                    "by value. Say which comes first: order=[...] names the layers from input to output",
                    LayerOrderWarning,
                    stacklevel=5,
                )
            return sorted(range(len(names)), key=lambda i: _natural(names[i]))
        ranks = [_rank(name, self.order) for name in names]
        return sorted(range(len(names)), key=lambda i: (ranks[i], i))


def _rank(name: str, order: Sequence[str]) -> int:
    for rank, layer in enumerate(order):
        if name == layer or name.startswith(f"{layer}/"):
            return rank
    raise UsageError(f'order= does not name the layer of "{name}". {suggest(name, order)}'.rstrip())


def _natural(name: str) -> list[tuple[int, int, str]]:
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in re.split(r"(\d+)", name)]


def _accepted(hyper: HyperInfo, value: Given) -> Given:
    """A value of a hyper-parameter; numbers that are known are checked."""
    if callable(value) or isinstance(value, jax.Array | np.ndarray):
        if hyper.kind == "choice":
            raise HyperError(f"{hyper.name} must be one of {', '.join(hyper.choices)}")
        return value
    if hyper.kind == "choice":
        if value not in hyper.choices:
            raise HyperError(f"{hyper.name} must be one of {', '.join(hyper.choices)}, got {value!r}")
        return value
    if hyper.kind == "bool":
        if not isinstance(value, bool):
            raise HyperError(f"{hyper.name} must be True or False, got {value!r}")
        return value
    if isinstance(value, bool | str) or not isinstance(value, numbers.Real):
        raise HyperError(f"{hyper.name} must be a number, an array or a schedule, got {value!r}")
    number = int(value) if hyper.kind == "int" and float(value).is_integer() else float(value)
    if math.isnan(number) or (hyper.domain is not None and not hyper.domain.contains(number)):
        raise HyperError(f"{hyper.name} must be {hyper.domain.text if hyper.domain else 'a number'}, got {value!r}")
    return number


def _difference(new: jax.Array, old: jax.Array) -> jax.Array:
    """What takes the old value to the new one, in the parameter's dtype."""
    wide = jnp.promote_types(old.dtype, jnp.float32)
    return (new.astype(wide) - old.astype(wide)).astype(old.dtype)
