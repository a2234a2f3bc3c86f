"""Between state of our transformations in JAX, and state that belongs to no framework."""

# JAX and optax carry partial types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast

import jax
import jax.numpy as jnp
import numpy as np

from optgen.errors import StateError, UsageError
from optgen.runtime import neutral_file
from optgen.runtime.arrangement import layers_of
from optgen.runtime.array_neutral import SettingsWarning, check_choices, check_depth
from optgen.runtime.array_step import slot_dtype, slot_shape
from optgen.runtime.jax_layers import Laid, Param
from optgen.runtime.jax_program import ARRAYS
from optgen.runtime.jax_transform import State, Transformation
from optgen.runtime.leaf_file import apart, joined
from optgen.runtime.neutral_state import (
    Array,
    Axes,
    GraphInfo,
    Group,
    Names,
    NeutralState,
    Parameter,
    SlotInfo,
    Wanted,
    check_layers,
    fitted,
    matched,
)
from optgen.runtime.rule_info import MAXIMIZE, HyperValue, RuleInfo

Tree: TypeAlias = Any
FRAMEWORK = "jax"


def save_state(
    path: neutral_file.PathLike,
    transformation: Transformation,
    state: Tree,
    params: Tree,
    *,
    stacked: Sequence[str] = (),
) -> None:
    """Writes a state to a file that every front end reads; the old file stays until the new one is whole.

    `state` may be that of a chain or another wrapper which holds one of `transformation`'s. Layers along the first axis
    of one array, of the modules that the transformation's `stacked=` names or the one here, are written one by one.
    UsageError inside `jit`, and for stacks that a step depends on and the transformation does not know.
    """
    neutral_file.write(path, state_of(transformation, state, params, stacked=stacked))


def load_state(
    source: neutral_file.PathLike | NeutralState,
    transformation: Transformation,
    params: Tree,
    state: Tree = None,
    *,
    names: Names | None = None,
    transpose: Axes | None = None,
    cast: bool = False,
    stacked: Sequence[str] = (),
) -> Tree:
    """The state in a neutral file, or in memory, as `transformation` goes on with it: sharded like the parameters.

    With `state`, such as that of a chain, that with ours replaced. `names` calls the file's parameters as they are
    called here (paths joined by `/`), `transpose` (by names here) says which lie with their axes in another order,
    `cast` lets state be rounded to a narrower dtype. Layers of stacks (`stacked`, as of `save_state`) are read one by
    one, `blocks/0/...`, `blocks/1/...`. Hypers are the transformation's own: SettingsWarning if numbers were others.
    StateError if the state is of another rule, model or choice, or does not fit.
    """
    saved = source if isinstance(source, NeutralState) else neutral_file.read(source)
    saved = saved if names is None else saved.renamed(names)
    saved = saved if transpose is None else saved.transposed(transpose)
    made = _Side(transformation, params, stacked).taken(saved, cast)
    return made if state is None else _replaced(state, made)


def state_of(transformation: Transformation, state: Tree, params: Tree, *, stacked: Sequence[str] = ()) -> NeutralState:
    """The state of a transformation, in NumPy's memory; `stacked` as of `save_state`. UsageError inside `jit`, and for
    the state of another rule."""
    return _Side(transformation, params, stacked).given(ours(state))


def ours(state: Tree) -> State:
    """The one state of ours within another, such as that of a chain. UsageError unless there is exactly one."""
    found = [x for x in jax.tree.leaves(state, is_leaf=_is_ours) if _is_ours(x)]
    if len(found) != 1:
        raise UsageError(f"of the states given {len(found)} are of one of our transformations; there must be one")
    return found[0]


def _is_ours(x: object) -> bool:
    return isinstance(x, State)


def _replaced(state: Tree, made: State) -> Tree:
    ours(state)

    def chosen(x: object) -> object:
        return made if _is_ours(x) else x

    return jax.tree.map(chosen, state, is_leaf=_is_ours)


class _Side:
    """A transformation laid out for some parameters: as it steps them (`own`), and with the layers of stacks one by one
    (`laid`), which is what files hold. `order` numbers these from input to output."""

    def __init__(self, transformation: Transformation, params: Tree, stacked: Sequence[str]) -> None:
        if not isinstance(transformation, Transformation):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise UsageError(
                "this is not a transformation of ours: give the one that a factory of optgen.jax returned, and as "
                "`state` the state it is part of"
            )
        self.engine: Any = transformation.engine
        self.rule: RuleInfo = self.engine.rule
        self.slots = {info.name: SlotInfo(info.extent, info.vector) for info in self.rule.states}
        self.arrays: list[jax.Array]
        self.own: Laid
        self.laid: Laid
        self.arrays, self.treedef, self.own, self.laid = self.engine.laid_for_files(params, stacked)
        self.plan, self.order = self.laid.plan, self.laid.order
        self.stepped_apart = {param.name for param in self.own.params if param.layers is not None}

    # --- out

    def given(self, state: State) -> NeutralState:
        """A state of this transformation, as it is."""
        count = int(_array(state.count))
        slots = {name: self._one_by_one(name, self._leaves(tree)) for name, tree in state.slots.items()}
        lacking = [slot.name for slot in self.engine.program.slots if slot.name not in slots]
        if lacking:
            raise UsageError(f'the state has no "{lacking[0]}": it was made by another rule or other options')
        updates = None if state.updates is None else self._one_by_one("", self._leaves(state.updates))
        words = self._layer_words()
        made: list[Parameter] = []
        for i in self.order:
            leaf = self.plan.leaves[i]
            kept = {name: x for name, values in slots.items() if (x := values[i]) is not None}
            made.append(
                Parameter(
                    name=leaf.name,
                    shape=tuple(leaf.shape),
                    dtype=str(leaf.dtype),
                    updates=count if updates is None else int(cast(Array, updates[i])),
                    state=joined(self.slots, kept),
                    layer=words[leaf.layer] if self.rule.layers else "",
                    depth=float(leaf.meta.depth) if self.rule.depth else None,
                    hypers=dict(leaf.own),
                )
            )
        hypers = cast(Mapping[str, HyperValue], self._hypers(count))
        return NeutralState(
            rule=self.rule.name,
            digest=self.rule.digest,
            global_step=count,
            groups=(Group(hypers, bool(self.engine.settled.get(MAXIMIZE, False))),),
            parameters=tuple(made),
            slots=self.slots,
            matrix=self.rule.matrix,
            graph=self._graph(words),
            framework=FRAMEWORK,
        )

    def _leaves(self, tree: Tree) -> list[Any]:
        try:
            return self.treedef.flatten_up_to(tree)
        except (ValueError, TypeError) as error:
            raise UsageError(f"state and parameters are different trees: {error}") from None

    def _one_by_one(self, slot: str, values: Sequence[Any]) -> list[Array | None]:
        """What each leaf has of a slot, or of the counts of updates, from what each array has."""
        found: list[Array | None] = []
        for param, value in zip(self.laid.params, values, strict=True):
            whole = None if value is None else _array(value)
            if whole is None or param.layers is None or not self._has_layers(param, slot):
                found += [whole] * len(param.leaves)
            else:
                found += list(whole)
        return found

    def _together(self, slot: str, values: Sequence[Array | None]) -> list[Any]:
        """The inverse, each where its parameter is. StateError where layers differ in what one array has once."""
        found: list[Any] = []
        for param, array in zip(self.laid.params, self.arrays, strict=True):
            own = [x for i in param.leaves if (x := values[i]) is not None]
            if not own:
                found.append(None)
            elif param.layers is None:
                found.append(_placed(own[0], array))
            elif self._has_layers(param, slot):
                found.append(_placed(np.stack(own), array))
            elif any(x.tobytes() != own[0].tobytes() for x in own):
                what = f'state "{slot}"' if slot else "number of updates"
                raise StateError(f'the layers of "{param.name}" have one {what} here, and in the file several')
            else:
                found.append(_placed(own[0], array))
        return found

    def _has_layers(self, param: Param, slot: str) -> bool:
        """Whether a slot, or the counts of updates, of a stack has the stack's first axis."""
        name = slot.partition("[")[0]
        return param.name in self.stepped_apart or (name in self.slots and self.slots[name].extent == "elem")

    def _hypers(self, count: int) -> dict[str, HyperValue]:
        kinds = {hyper.name: hyper.kind for hyper in self.rule.hypers}
        found: dict[str, HyperValue] = {}
        for name, value in self.engine.given.items():
            now: Any = value(jnp.asarray(count)) if callable(value) else value
            if not isinstance(now, bool | int | float | str):
                number = _array(now).item()
                now = int(number) if kinds[name] == "int" else float(number)
            found[name] = now
        return found

    def _layer_words(self) -> dict[int, str]:
        """A name of each layer: the parts that all its parameters' names begin with, else its first parameter's."""
        names: dict[int, list[str]] = {}
        for i in self.order:
            leaf = self.plan.leaves[i]
            names.setdefault(leaf.layer, []).append(leaf.name)
        words: dict[int, str] = {}
        for layer, own in names.items():
            word = _common(own)
            words[layer] = word if word and word not in words.values() else own[0]
        return words

    def _graph(self, words: Mapping[int, str]) -> GraphInfo | None:
        if not self.rule.graph:
            return None
        arranged = self.engine.arrangement
        edges = None if arranged.edges is None else self._edges(words)
        return GraphInfo(edges, arranged.laplacian, arranged.coupling)

    def _edges(self, words: Mapping[int, str]) -> tuple[tuple[str, str, float], ...]:
        names = [self.plan.leaves[i].name for i in self.order]
        joined = layers_of(names, len(names), self.engine.arrangement).edges or []
        return tuple((words[a], words[b], weight) for a, b, weight in joined)

    # --- in

    def taken(self, saved: NeutralState, cast_: bool) -> State:
        """A saved state as this transformation keeps it."""
        saved.check_rule(self.rule)
        treedef, plan = self.treedef, self.plan
        places = self.order if not saved.named else range(len(plan.leaves))
        found: list[Parameter] = [saved.parameters[0]] * len(plan.leaves) if plan.leaves else []
        for i, p in zip(places, matched(saved, [plan.leaves[i].name for i in places]), strict=True):
            found[i] = p
        self._check_settings(saved, found)
        rows: list[dict[str, Array]] = []
        for leaf, p in zip(plan.leaves, found, strict=True):
            fresh = {slot.name: slot for slot in leaf.slots}
            wanted = Wanted(leaf.name, tuple(leaf.shape), self._shapes(leaf, fresh))
            rows.append(apart(self.slots, fitted(p, wanted, cast=cast_)))
        names = [slot.name for slot in self.engine.program.slots]
        slots = {name: treedef.unflatten(self._together(name, [row.get(name) for row in rows])) for name in names}
        updates = None
        if plan.counted or any(p.updates != saved.global_step for p in found):
            counts = [np.asarray(p.updates, np.int32) for p in found]
            updates = treedef.unflatten(self._together("", counts))
        return State(jnp.asarray(saved.global_step, jnp.int32), slots, updates)

    def _shapes(self, leaf: Any, fresh: Mapping[str, Any]) -> dict[str, tuple[tuple[int, ...], str]]:
        found: dict[str, tuple[tuple[int, ...], str]] = {}
        for info in self.rule.states:
            own = [fresh[name] for name in info.slots() if name in fresh]
            if own:
                shape = slot_shape(own[0], leaf)
                found[info.name] = ((len(own), *shape) if info.vector else shape, str(slot_dtype(ARRAYS, own[0], leaf)))
        return found

    def _check_settings(self, saved: NeutralState, found: Sequence[Parameter]) -> None:
        rule, engine = self.rule, self.engine
        coupling = engine.arrangement.coupling if saved.graph is None else saved.graph.coupling
        own = self._hypers(saved.global_step)
        fixed = {name for name, value in engine.given.items() if isinstance(value, bool | int | float | str)}
        other: set[str] = set()
        for leaf, p in zip(self.plan.leaves, found, strict=True):
            group = saved.groups[p.group]
            hypers = {**rule.defaults(), **group.hypers, **p.hypers}
            settled = rule.settled(hypers, group.maximize, coupling)
            check_choices(p.name, settled, engine.settled, "transformation")
            for name in sorted(p.hypers.keys() | leaf.own.keys()):
                value, here = hypers[name], leaf.own.get(name, own.get(name))
                if value != here:
                    given = rule.hyper(name).per_parameter
                    raise StateError(f'"{p.name}" had {name}={value!r}, and here it is {here!r}: give {given}=')
            other |= {name for name in fixed - leaf.own.keys() if name in hypers and hypers[name] != own[name]}
        if self.rule.layers:
            words = self._layer_words()
            layers = [words[leaf.layer] for leaf in self.plan.leaves]
            check_layers(saved, found, layers, list(words.values()), self._graph(words))
        self._check_depths(found)
        if other:
            said = "; ".join(f"{n} was {saved.hypers.get(n)!r} and is {own[n]!r}" for n in sorted(other))
            warnings.warn(f"the state was written with other settings: {said}", SettingsWarning, stacklevel=4)

    def _check_depths(self, found: Sequence[Parameter]) -> None:
        for leaf, p in zip(self.plan.leaves, found, strict=True):
            if self.rule.depth:
                check_depth(leaf.name, p, leaf.meta.depth)


def _array(x: object) -> Array:
    try:
        return np.array(x)
    except jax.errors.TracerArrayConversionError as error:
        raise UsageError("the state is traced: save it outside jit") from error


def _placed(value: Array, param: jax.Array) -> jax.Array:
    """An array where its parameter is: with its sharding where it has its shape."""
    if value.shape == param.shape:
        return jax.device_put(jnp.asarray(value), param.sharding)
    return jnp.asarray(value)


def _common(names: Sequence[str]) -> str:
    parts = [name.split("/") for name in names]
    shared: list[str] = []
    for at in zip(*(p[:-1] or p for p in parts), strict=False):
        if len(set(at)) > 1:
            break
        shared.append(at[0])
    return "/".join(shared)
