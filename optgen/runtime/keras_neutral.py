"""Between state of our Keras optimizers, and state that belongs to no framework."""

# Keras carries no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np

from optgen.errors import StateError, UsageError
from optgen.runtime import neutral_file
from optgen.runtime.array_neutral import SettingsWarning, check_choices, check_depth
from optgen.runtime.keras_layers import shortened
from optgen.runtime.keras_layout import Layout, Part, Variable
from optgen.runtime.keras_optimizer import LR, Optimizer
from optgen.runtime.keras_untyped import backend, keras, ops
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
    numpy_dtype,
)
from optgen.runtime.rule_info import HyperValue, RuleInfo

FRAMEWORK = "keras"


def save_state(path: neutral_file.PathLike, optimizer: Optimizer) -> None:
    """Writes an optimizer's state to a file that every front end reads; the old file stays until the new one is whole.

    UsageError for an optimizer that is not built, or that has gradients accumulated for a step to come.
    """
    neutral_file.write(path, state_of(optimizer))


def load_state(
    source: neutral_file.PathLike | NeutralState,
    optimizer: Optimizer,
    *,
    names: Names | None = None,
    transpose: Axes | None = None,
    cast: bool = False,
) -> None:
    """Has a built optimizer go on from the state in a neutral file, or in memory.

    Variables are found by their paths, with or without the leading parts that all share. `names` calls the file's
    parameters as they are called here, `transpose` (by names here) says which lie with their axes in another order,
    `cast` lets state be rounded to a narrower dtype. Hypers are the optimizer's own: SettingsWarning if numbers were
    others. StateError, with nothing changed, if the state is of another rule, model or choice, or does not fit;
    UsageError for an optimizer that is not built.
    """
    saved = source if isinstance(source, NeutralState) else neutral_file.read(source)
    saved = saved if names is None else saved.renamed(names)
    saved = saved if transpose is None else saved.transposed(transpose)
    _Side(optimizer).take(saved, cast)


def state_of(optimizer: Optimizer) -> NeutralState:
    """The state of an optimizer, in NumPy's memory. UsageError for one that is not built or is between two steps."""
    return _Side(optimizer).given()


class _Side:
    """A built optimizer. `places` numbers the variables that the rule steps, `parts` says what steps each of them."""

    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise UsageError(
                f"a {type(optimizer).__name__} is no optimizer of optgen.keras: give the one of ours, as "
                "`inner_optimizer` of what wraps it"
            )
        self.optimizer = optimizer
        self.rule: RuleInfo = optimizer.RULE
        self.layout: Layout = optimizer.layout()
        self.slots = {info.name: SlotInfo(info.extent, info.vector) for info in self.rule.states}
        self.parts: dict[int, Part] = {i: part for i, part in enumerate(self.layout.parts) if part is not None}
        self.places = list(self.parts)
        self.paths = [self.layout.paths[i] for i in self.places]
        self.every = optimizer.gradient_accumulation_steps or 1

    # --- out

    def given(self) -> NeutralState:
        calls, layout, rule = int(_array(self.optimizer._iterations)), self.layout, self.rule
        if calls % self.every:
            raise UsageError(
                f"{calls % self.every} of {self.every} gradients of the next step are accumulated, which belong to no "
                "state: save after the step"
            )
        count, values = calls // self.every, self._hypers()
        counts = [count] * len(layout.parts) if layout.updates is None else _array(layout.updates).tolist()
        named = len(set(self.paths)) == len(self.paths)
        groups: list[Mapping[str, HyperValue]] = [values]
        made: list[Parameter] = []
        for place, i in enumerate(self.places):
            leaf, each, exempt = self.parts[i].leaf, self._each(i), layout.options.exempt[i]
            settings = {**values, **exempt}
            if settings not in groups:
                groups.append(settings)
            made.append(
                Parameter(
                    name=leaf.name if named else str(place),
                    shape=leaf.shape,
                    dtype=leaf.dtype,
                    updates=int(counts[i]),
                    state=joined(self.slots, {name: _array(v) for name, v in layout.slots[i].items()}),
                    group=groups.index(settings),
                    layer=layout.layers.names[leaf.layer] if rule.layers else "",
                    depth=float(leaf.meta.depth) if rule.depth else None,
                    hypers=each,
                )
            )
        return NeutralState(
            rule=rule.name,
            digest=rule.digest,
            global_step=count,
            groups=tuple(Group(hypers, layout.options.maximize) for hypers in groups),
            parameters=tuple(made),
            slots=self.slots,
            matrix=rule.matrix,
            graph=self._graph(),
            named=named,
            framework=FRAMEWORK,
        )

    def _hypers(self) -> dict[str, HyperValue]:
        """Values of the rule's hypers now; a learning rate is the shortest number that is this one in its dtype."""
        found = cast("dict[str, HyperValue]", self.optimizer.hypers())
        if LR in self.optimizer.ARGUMENTS:
            found[LR] = float(str(_array(self.optimizer.learning_rate)[()]))
        return {hyper.name: found[hyper.name] for hyper in self.rule.hypers}

    def _each(self, index: int) -> dict[str, HyperValue]:
        """Hypers that a variable has for itself."""
        given = {name: values[index] for name, values in self.layout.options.each.items()}
        return {name: value for name, value in given.items() if value is not None}

    def _graph(self) -> GraphInfo | None:
        if not self.rule.graph:
            return None
        words, edges, given = self.layout.layers.names, self.layout.layers.edges, self.layout.options.arrangement
        joint = None if edges is None else tuple((words[a], words[b], float(weight)) for a, b, weight in edges)
        return GraphInfo(joint, given.laplacian, given.coupling)

    # --- in

    def take(self, saved: NeutralState, cast_: bool) -> None:
        """Takes a saved state over, once all of it is found to fit."""
        saved.check_rule(self.rule)
        found = self._matched(saved)
        self._check_layers(saved, found)
        other = self._other_settings(saved, found)
        new: list[tuple[Variable, Array]] = []
        for i, p in zip(self.places, found, strict=True):
            leaf, own = self.parts[i].leaf, self.layout.slots[i]
            kept = apart(self.slots, fitted(p, Wanted(leaf.name, leaf.shape, self._shapes(own)), cast=cast_))
            new += [(variable, kept[name]) for name, variable in own.items()]
        if self.layout.updates is not None:
            counts = np.zeros(len(self.layout.parts), dtype=np.int32)
            counts[self.places] = [p.updates for p in found]
            new.append((self.layout.updates, counts))
        if other:
            said = "; ".join(f"{name} was {was!r} and is {now!r}" for name, (was, now) in sorted(other.items()))
            warnings.warn(f"the state was written with other settings: {said}", SettingsWarning, stacklevel=3)
        for variable, value in new:
            variable.assign(ops.convert_to_tensor(value, dtype=variable.dtype))
        self.optimizer._iterations.assign(saved.global_step * self.every)
        for accumulator in self.optimizer._accumulated_gradients if self.every > 1 else ():
            accumulator.assign(ops.zeros(tuple(accumulator.shape), dtype=accumulator.dtype))

    def _matched(self, saved: NeutralState) -> list[Parameter]:
        """The saved parameters in the order of the variables."""
        if not saved.named:
            return matched(saved, self.paths)
        twice = next((path for path in self.paths if self.paths.count(path) > 1), None)
        if twice is not None:
            raise StateError(f'two variables here have the path "{twice}", so that no name in the state finds them')
        theirs = [p.name for p in saved.parameters]
        for own, names in (
            (self.paths, theirs),
            (shortened(self.paths), theirs),
            (shortened(self.paths), shortened(theirs)),
        ):
            if {_loose(name) for name in own} == {_loose(name) for name in names}:
                return matched(saved.renamed(dict(zip(theirs, names, strict=True)).__getitem__), own)
        return matched(saved, self.paths)

    def _shapes(self, own: Mapping[str, Variable]) -> dict[str, tuple[tuple[int, ...], str]]:
        """Shape and dtype of each state of a variable, entries of a short vector together."""
        found: dict[str, tuple[tuple[int, ...], str]] = {}
        for info in self.rule.states:
            kept = [own[name] for name in info.slots() if name in own]
            if kept:
                shape = tuple(kept[0].shape)
                dtype = backend.standardize_dtype(kept[0].dtype)
                found[info.name] = ((len(kept), *shape) if info.vector else shape, dtype)
        return found

    def _check_layers(self, saved: NeutralState, found: Sequence[Parameter]) -> None:
        layers = self.layout.layers
        if self.rule.layers:
            here = [layers.names[self.parts[i].leaf.layer] for i in self.places]
            check_layers(saved, found, here, list(dict.fromkeys(here)), self._graph())
        for i, p in zip(self.places, found, strict=True):
            if self.rule.depth:
                check_depth(self.layout.paths[i], p, self.parts[i].leaf.meta.depth)

    def _other_settings(
        self, saved: NeutralState, found: Sequence[Parameter]
    ) -> dict[str, tuple[HyperValue, HyperValue]]:
        """Numbers that were others when the state was written. StateError for another choice."""
        rule, options, values = self.rule, self.layout.options, self._hypers()
        coupling = options.arrangement.coupling
        rate = self.optimizer._learning_rate
        scheduled = callable(rate) and not isinstance(rate, keras.Variable)
        other: dict[str, tuple[HyperValue, HyperValue]] = {}
        for i, p in zip(self.places, found, strict=True):
            group = saved.groups[p.group]
            was = {**rule.defaults(), **group.hypers, **p.hypers}
            now = {**values, **options.exempt[i], **self._each(i)}
            theirs = rule.settled(was, group.maximize, coupling if saved.graph is None else saved.graph.coupling)
            check_choices(p.name, theirs, rule.settled(now, options.maximize, coupling), "optimizer")
            for name in sorted(p.hypers.keys() | self._each(i).keys()):
                if was[name] != now[name]:
                    given = rule.hyper(name).per_parameter
                    raise StateError(
                        f'"{p.name}" had {name}={was[name]!r}, and here it is {now[name]!r}: give {given}='
                    )
            for name, value in now.items():
                if not (name == LR and (scheduled or self._is_rate(was[name]))) and was[name] != value:
                    other[name] = (was[name], value)
        return other

    def _is_rate(self, value: HyperValue) -> bool:
        """Whether a number is the learning rate now, in the dtype in which that is kept."""
        rate = _array(self.optimizer.learning_rate)
        return bool(rate == np.asarray(value, dtype=rate.dtype))


def _loose(name: str) -> str:
    return name.replace("/", ".")


def _array(x: Variable) -> Array:
    """A copy in NumPy's memory, in the variable's own dtype."""
    dtype = backend.standardize_dtype(getattr(x, "dtype", "float32"))
    return np.array(ops.convert_to_numpy(x)).astype(numpy_dtype(dtype))
