"""A rule laid out for the variables of a Keras model: programs, state variables, and a step from these."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from optgen.errors import GradientError, UsageError
from optgen.runtime import array_modules, array_step
from optgen.runtime.arrangement import Arrangement
from optgen.runtime.array_program import Each, Program, Slot, Value
from optgen.runtime.array_step import Leaf, Plan, Row
from optgen.runtime.gradients import fits
from optgen.runtime.graph import Graph
from optgen.runtime.keras_arrays import ARRAYS
from optgen.runtime.keras_layers import arranged, path_of
from optgen.runtime.keras_untyped import backend, keras, ops
from optgen.runtime.rule_info import MATCH, TRANSPORT, HyperValue, RuleInfo, Settled, meta_of

#: A variable of Keras, or TensorFlow's own.
Variable: TypeAlias = Any
#: Makes a variable of a shape and dtype, from an initializer, for a variable of the model, under a name.
Maker: TypeAlias = Callable[[tuple[int, ...], str, Any, Variable, str], Variable]
Values: TypeAlias = Mapping[str, HyperValue]


@dataclass(frozen=True)
class Options:
    """What an optimizer was made with, besides its hyper-parameters: `each` gives some of them per variable.

    `exempt` has what some variables are exempt from, as values that select no code.
    """

    maximize: bool
    arrangement: Arrangement
    each: Mapping[str, Sequence[HyperValue | None]]
    exempt: Sequence[Values]


@dataclass(frozen=True)
class Part:
    """A variable, with values of hyper-parameters that are its own, under the program that steps it."""

    leaf: Leaf
    program: Program


class Layout:
    """State of an optimizer's variables, and what steps them. Variables without a part have no step of the rule's."""

    def __init__(self, rule: RuleInfo, values: Values, options: Options, variables: Sequence[Variable]) -> None:
        self.rule, self.options = rule, options
        self.paths = [path_of(variable) for variable in variables]
        for path, variable in zip(self.paths, variables, strict=True):
            _check_dtype(path, variable)
        apart = rule.has_quirk("tensor_depth", values)
        self.layers = arranged(self.paths, options.arrangement, tensor_depth=apart)
        self._programs: dict[str, Program] = {}
        self.parts = self._parts(values, variables)
        self._settled = self._choices(values)
        self.graph = self._graph(variables)
        self.slots: list[dict[str, Variable]] = [{} for _ in variables]
        self.updates: Variable | None = None

    def follow(self, values: Values, variables: Sequence[Variable]) -> None:
        """Takes up choices that have changed. UsageError where they need state that there is not."""
        if self._choices(values) == self._settled:
            return
        parts = self._parts(values, variables)
        for old, new in zip(self.parts, parts, strict=True):
            if old is not None and new is not None and old.leaf.slots != new.leaf.slots:
                kept, wanted = ({slot.name for slot in part.leaf.slots} for part in (old, new))
                raise UsageError(
                    f'"{old.leaf.name}" has the state {", ".join(sorted(kept)) or "of no kind"}; what was changed '
                    f"needs {', '.join(sorted(wanted)) or 'none'}: make a new optimizer with it"
                )
        self.parts, self._settled = parts, self._choices(values)

    def _choices(self, values: Values) -> str:
        read = [hyper.name for fit in self.rule.fits for hyper in self.rule.read_by(fit.text)]
        structural = [(name, values[name]) for name in dict.fromkeys([*self.rule.structural, *read])]
        return repr((sorted(self.settled(values).items()), structural))

    def settled(self, values: Values) -> Settled:
        """The choices that values of hyper-parameters settle."""
        return self.rule.settled(values, self.options.maximize, self.coupling)

    def own(self, index: int) -> Values:
        """Hyper-parameters that a variable has for itself, words among them."""
        given = {name: values[index] for name, values in self.options.each.items()}
        return {name: value for name, value in given.items() if value is not None}

    @property
    def coupling(self) -> str:
        """Which of two kinds of programs the coupling of layers takes."""
        return TRANSPORT if self.options.arrangement.coupling == TRANSPORT else MATCH

    def _parts(self, values: Values, variables: Sequence[Variable]) -> list[Part | None]:
        parts = [self._part(i, v, values) for i, v in enumerate(variables)]
        programs = {id(part.program): part.program for part in parts if part is not None}
        if len(programs) > 1 and any(_tied(program) for program in programs.values()):
            given = ", ".join(self.options.each)
            raise UsageError(f"{self.rule.name} steps all variables together: {given} cannot differ between them")
        return parts

    def _part(self, index: int, variable: Variable, values: Values) -> Part | None:
        if getattr(variable, "overwrite_with_gradient", False):
            return None
        own = self.own(index)
        known, shape = {**values, **own}, tuple(variable.shape)
        depth, role = self.layers.depth[index], self.layers.role[index]
        meta = meta_of(shape, self.rule.matrix, depth, role, units_last=True)
        self.rule.check_fit(self.paths[index], known, meta)
        program = self.program(known)
        need = None if self.rule.needs is None else self.rule.needs(known, meta)
        slots = tuple(s for s in program.slots if need is None or s.name.partition("[")[0] in need)
        dtype = backend.standardize_dtype(variable.dtype)
        layer, role = self.layers.player[index], self.layers.role[index]
        numbers: Values = {name: value for name, value in own.items() if not isinstance(value, str)}
        leaf = Leaf(
            self.paths[index], shape, dtype, layer, role, meta, slots, {**numbers, **self.options.exempt[index]}
        )
        return Part(leaf, program)

    def program(self, values: Values) -> Program:
        """The program for the choices that values of hyper-parameters settle."""
        settled = self.settled(values)
        key = repr(sorted(settled.items()))
        if key not in self._programs:
            self._programs[key] = array_modules.find(self.rule, settled, values, "keras")
        return self._programs[key]

    def _graph(self, variables: Sequence[Variable]) -> Graph | None:
        leaves = [
            Leaf(path, tuple(v.shape), backend.standardize_dtype(v.dtype), layer, role, meta_of((), "", 0, ""), ())
            for path, v, layer, role in zip(self.paths, variables, self.layers.player, self.layers.role, strict=True)
        ]
        given = self.options.arrangement
        return array_step.graph_of(self.rule, self.layers, leaves, given.laplacian, given.coupling)

    def make_state(self, values: Values, variables: Sequence[Variable], make: Maker) -> None:
        """Makes the state variables, in the order of the model's."""
        if any(part is not None and counts(part.program) for part in self.parts):
            self.updates = make((len(self.parts),), ARRAYS.integer, "zeros", None, "updates")
        for variable, part, slots in zip(variables, self.parts, self.slots, strict=True):
            for slot in part.leaf.slots if part is not None else ():
                assert part is not None
                start = _start(slot, part, values, variable)
                dtype = array_step.slot_dtype(ARRAYS, slot, part.leaf)
                shape = array_step.slot_shape(slot, part.leaf)
                slots[slot.name] = make(shape, dtype, start, variable, slot.name)

    def check(self, values: Mapping[str, Value], gradients: Mapping[int, Value], variables: Sequence[Variable]) -> None:
        """GradientError for a gradient that has not its variable's shape."""
        count = self.rule.gradient_count(values)
        for index, gradient in gradients.items():
            found, wanted = tuple(gradient.shape), tuple(variables[index].shape)
            if count and not fits(found, wanted, count):
                words = f"{found}; with {self.rule.gradients}={count} they must be {(count, *wanted)}"
                raise GradientError(f'the gradients of "{self.paths[index]}" are {words}')
            if not count and found != wanted:
                raise GradientError(f'the gradient of "{self.paths[index]}" is {found}, the variable {wanted}')

    def step(
        self, values: Mapping[str, Value], step: Value, gradients: Mapping[int, Value], variables: Sequence[Variable]
    ) -> list[tuple[Variable, Value]]:
        """New values of variables and state, from the gradients of some variables by their numbers."""
        updates = self._updates()
        new: list[tuple[Variable, Value]] = []
        done: dict[int, Value] = {}
        for indices in self._together(gradients):
            rows = [self._row(i, values, updates, gradients, variables) for i in indices]
            first = self.parts[indices[0]]
            assert first is not None
            leaves = [part.leaf for i in indices if (part := self.parts[i]) is not None]
            plan = Plan(ARRAYS, self.rule, first.program, leaves, self.graph)
            shared = {**values, "step": step}
            for i, row in zip(indices, array_step.step(plan, rows, shared), strict=True):
                if i in gradients:
                    new += [(variables[i], row["param"]), *((v, row[name]) for name, v in self.slots[i].items())]
                    done[i] = row.get("updates")
        if self.updates is not None:
            new.append((self.updates, self._counted(updates, done)))
        return new

    def _together(self, gradients: Mapping[int, Value]) -> list[list[int]]:
        """Variables that step as one program: with a gradient, or of a layer that has one elsewhere."""
        groups: dict[int, list[int]] = {}
        for i in gradients:
            part = self.parts[i]
            assert part is not None, self.paths[i]
            groups.setdefault(id(part.program), []).append(i)
        found: list[list[int]] = []
        for indices in groups.values():
            present = {self.layers.player[i] for i in indices}
            program = self.parts[indices[0]]
            whole = program is not None and _tied(program.program)
            others = [
                i
                for i, part in enumerate(self.parts)
                if whole and part is not None and i not in gradients and self.layers.player[i] in present
            ]
            found.append(sorted([*indices, *others]))
        return found

    def _row(
        self,
        index: int,
        values: Mapping[str, Value],
        updates: Sequence[Value] | None,
        gradients: Mapping[int, Value],
        variables: Sequence[Variable],
    ) -> Row:
        part, param = self.parts[index], ops.convert_to_tensor(variables[index])
        assert part is not None
        own = {name: ARRAYS.counter(x, part.leaf.compute) for name, x in values.items() if not isinstance(x, str)}
        row: Row = {**own, **part.leaf.own, "param": param, "g": gradients.get(index)}
        if row["g"] is None:
            count = self.rule.gradient_count(values)
            row["g"] = ops.zeros((count, *part.leaf.shape), param.dtype) if count else ops.zeros_like(param)
        row |= {name: ops.convert_to_tensor(variable) for name, variable in self.slots[index].items()}
        if updates is not None:
            row["updates"] = updates[index]
        return row

    def _updates(self) -> Sequence[Value] | None:
        """How many updates each variable has had: numbers where they can be had at once."""
        if self.updates is None:
            return None
        array = ops.convert_to_tensor(self.updates)
        return array.tolist() if backend.backend() == "torch" else [array[i] for i in range(len(self.parts))]

    def _counted(self, updates: Sequence[Value] | None, done: Mapping[int, Value]) -> Value:
        assert updates is not None
        programs = {id(part.program): part.program for part in self.parts if part is not None}
        if all(variant.advance is True for program in programs.values() for variant in program.variants):
            more = np.array([int(i in done) for i in range(len(self.parts))], dtype=np.int32)
            return ops.convert_to_tensor(self.updates) + ops.convert_to_tensor(more)
        counts = [done.get(i, count) for i, count in enumerate(updates)]
        return ops.stack([ops.cast(count, ARRAYS.integer) for count in counts])


def counts(program: Program) -> bool:
    """Whether a program reads how many updates a variable has had."""
    takes = (name for v in program.variants for s in v.steps if isinstance(s, Each) for name in s.takes)
    return "t" in (*takes, *(name for v in program.variants for name in v.takes))


def _tied(program: Program) -> bool:
    return any(not isinstance(step, Each) for variant in program.variants for step in variant.steps)


def _start(slot: Slot, part: Part, values: Values, variable: Variable) -> Any:
    """An initializer of a slot: of a number, or of what the variable holds when the slot is made."""

    def value() -> Value:
        given = {
            **values,
            **part.leaf.own,
            **array_step.metadata(part.leaf.meta),
            "param": ops.convert_to_tensor(variable),
        }
        return slot.start(*(given[name] for name in slot.takes))[0]

    def initial(shape: Sequence[int], dtype: Any = None) -> Value:
        array = ops.cast(value(), dtype)
        return ops.copy(array) if tuple(array.shape) == tuple(shape) else ops.broadcast_to(array, shape)

    return keras.initializers.Constant(float(number)) if ARRAYS.known(number := value()) else initial


def _check_dtype(path: str, variable: Variable) -> None:
    dtype = backend.standardize_dtype(variable.dtype)
    if not backend.is_float_dtype(dtype):
        raise UsageError(
            f'the variable "{path}" is {dtype}; optimizers step floating-point variables: make it untrainable'
        )
