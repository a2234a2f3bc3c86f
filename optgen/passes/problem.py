"""A variant as the sweep planner sees it, and the plans of all variants of a rule with their shared barriers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from xdsl.ir import Operation, SSAValue

from optgen.ir import rule_dialect as rule
from optgen.ir.extents import Extent
from optgen.ir.rule_types import type_of
from optgen.passes.facts import producer
from optgen.passes.planner import Kind, Plan, Problem, Slot, Value, plan
from optgen.runtime.gradients import is_gradient
from optgen.runtime.storage import BYTES as WIDTH
from optgen.runtime.storage import MASTER, DtypeSet


@dataclass(frozen=True)
class Storage:
    """Storage dtypes of one dtype set: of the parameter, the gradient, and state where it is not what computes."""

    compute: str
    param: str
    gradient: str
    states: Mapping[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def plain(cls, dtype: str, states: Mapping[str, str] | None = None) -> Storage:
        """Everything in one dtype, but for states that declare another."""
        return cls(dtype, dtype, dtype, states or {})

    @classmethod
    def of_set(cls, dtypes: DtypeSet, declared: Mapping[str, str], elements: Sequence[str]) -> Storage:
        """The storage of a dtype set, for a rule whose element states are `elements`, some with a dtype declared."""
        named = {slot: dtype for name, dtype in dtypes.states for slot in elements if slot.partition("[")[0] == name}
        general = dict.fromkeys(elements, dtypes.state) if dtypes.state else {}
        return cls(dtypes.compute, dtypes.param, dtypes.grad, {**general, **declared, **named})

    def of(self, slot: str) -> str:
        """Storage dtype of an element slot."""
        if slot == "param":
            return self.param
        if is_gradient(slot):
            return self.gradient
        return self.compute if slot == MASTER else self.states.get(slot, self.compute)

    def lossy(self, slot: str) -> bool:
        """Whether storing a computed value rounds it."""
        return WIDTH[self.of(slot)] < WIDTH[self.compute]


@dataclass(frozen=True)
class Planned:
    """A variant, the names the planner knows its values by, and its plan."""

    variant: rule.VariantOp
    names: Mapping[str, SSAValue]
    problem: Problem
    plan: Plan


def is_element(value: SSAValue) -> bool:
    """Whether a value has an entry per element."""
    return type_of(value).extent is Extent.ELEM


def finals(variant: rule.VariantOp) -> list[rule.FinalOp]:
    """What the variant stores."""
    return [op for op in variant.body.block.ops if isinstance(op, rule.FinalOp)]


def element_slots(variant: rule.VariantOp) -> dict[str, SSAValue]:
    """The element slots that the variant reads, with their old values."""
    olds = (op for op in variant.body.block.ops if isinstance(op, rule.OldOp) and is_element(op.result))
    return {op.slot.string_value(): op.result for op in olds}


def spread_name(slot: str) -> str:
    """Planner name of a final that has no element value of its own, such as `acc = 0`."""
    return f"{slot}:spread"


class _Reader:
    """Reads a variant into planner values."""

    def __init__(self, variant: rule.VariantOp, storage: Storage, element_states: Sequence[str]) -> None:
        self.variant = variant
        self.storage = storage
        self.names: dict[SSAValue, str] = {}
        self.values: list[Value] = []
        self.element_states = set(element_states) | {"param"}
        self.in_turn = _wide_in_turn(variant)

    def problem(self) -> Problem:
        slots = element_slots(self.variant)
        stored = [op for op in finals(self.variant) if op.slot.string_value() in self.element_states]
        for name in [*slots, *(op.slot.string_value() for op in stored if op.slot.string_value() not in slots)]:
            if name in slots:
                self.names[slots[name]] = name
            self.values.append(Value(name, "leaf"))
        for op in self.variant.body.block.ops:
            if op.results and op.results[0] not in self.names:
                self._add(op.results[0])
        slots_stored = tuple(self._slot(op) for op in stored)
        leaves = {value.name: WIDTH[self.storage.of(value.name)] for value in self.values if value.kind == "leaf"}
        return Problem(
            values=tuple(self.values),
            leaf_bytes=leaves,
            slots=slots_stored,
            keep=frozenset(self._kept()),
            scratch_bytes=WIDTH[self.storage.compute],
        )

    def _slot(self, op: rule.FinalOp) -> Slot:
        name = op.slot.string_value()
        final = self.names[op.value] if is_element(op.value) else spread_name(name)
        if not is_element(op.value):
            coarse = (self.names[op.value],) if op.value in self.names else ()
            self.values.append(Value(final, "op", (), coarse))
        return Slot(name, final, WIDTH[self.storage.of(name)], self.storage.lossy(name) or self.in_turn)

    def _kept(self) -> list[str]:
        """Reductions and coarse values that coarse state or the update counter needs."""
        wanted = [op.value for op in finals(self.variant) if op.slot.string_value() not in self.element_states]
        wanted += [op.value for op in self.variant.body.block.ops if isinstance(op, rule.AdvanceOp)]
        return [self.names[value] for value in wanted if value in self.names]

    def _add(self, value: SSAValue) -> None:
        """Coarse values that wait for no reduction get no name: they are there before the first sweep."""
        op = producer(value)
        if isinstance(op, rule.CountOp):
            return
        elems = tuple(dict.fromkeys(self.names[x] for x in op.operands if is_element(x)))
        coarse = tuple(dict.fromkeys(self.names[x] for x in op.operands if not is_element(x) and x in self.names))
        name = f"v{len(self.values)}"
        if is_element(value):
            self.values.append(Value(name, _kind(op), elems, coarse))
        elif elems:
            self.values.append(Value(name, "reduction", elems))
        elif coarse:
            self.values.append(Value(name, "coarse", (), coarse))
        else:
            return
        self.names[value] = name


def _kind(op: Operation) -> Kind:
    if isinstance(op, rule.CallOp):
        return "call"
    return "stencil" if isinstance(op, rule.StencilOp) else "op"


def _wide_in_turn(variant: rule.VariantOp) -> bool:
    """Whether a reduction that waits for another one enters one over a layer or the model, or is one.

    A tensor without gradient takes part in these as if its gradient were 0, and nothing of it is stored: what an
    earlier sweep computed for it cannot be loaded by a later one.
    """
    first: set[SSAValue] = set()
    second: set[SSAValue] = set()
    for op in variant.body.block.ops:
        reduces = isinstance(op, rule.ReduceOp) and is_element(op.operand)
        waits = any(operand in first for operand in op.operands)
        if (reduces and waits) or any(operand in second for operand in op.operands):
            second |= set(op.results)
            if isinstance(op, rule.ReduceOp) and op.over.data in (Extent.LAYER, Extent.MODEL):
                return True
        if reduces or waits:
            first |= set(op.results)
    return False


#: Sweep of each reduction of element values, by its place among the reductions of its variant.
Barriers = Mapping[int, int]


def plan_variant(
    variant: rule.VariantOp,
    storage: Storage,
    element_states: Sequence[str],
    *,
    fixed: Mapping[str, int] | None = None,
    barriers: Barriers | None = None,
) -> Planned:
    """The best plan of one variant; the sweeps of reductions may be imposed, by planner name or by place."""
    reader = _Reader(variant, storage, element_states)
    problem = reader.problem()
    if barriers is not None:
        places = {place: reader.names.get(op.result) for place, op in enumerate(_reductions(variant))}
        fixed = {name: barriers[place] for place, name in places.items() if name is not None and place in barriers}
    if fixed:
        problem = replace(problem, fixed=fixed)
    return Planned(variant, {name: value for value, name in reader.names.items()}, problem, plan(problem))


def _reductions(variant: rule.VariantOp) -> list[rule.ReduceOp]:
    return [op for op in variant.body.block.ops if isinstance(op, rule.ReduceOp)]


def barriers_of(planned: Planned) -> Barriers:
    """Where a plan takes the reductions of element values."""
    taken = {planned.names[n]: s for s, sweep in enumerate(planned.plan.sweeps, 1) for n in sweep.reductions}
    return {place: taken[op.result] for place, op in enumerate(_reductions(planned.variant)) if op.result in taken}


def _wide(planned: Planned) -> dict[str, str]:
    """Reductions over a layer or the model, by planner name, with a key that is common to the variants."""
    keys: dict[str, str] = {}
    for name, value in planned.names.items():
        op = producer(value)
        if isinstance(op, rule.ReduceOp) and is_element(op.operand) and op.over.data in (Extent.LAYER, Extent.MODEL):
            base = f"{op.over.data}:{op.reduction.data}:{op.location}"
            keys[name] = f"{base}#{sum(key.startswith(base) for key in keys.values())}"
    return keys


def plan_all(
    variants: Sequence[rule.VariantOp],
    storage: Storage,
    element_states: Sequence[str],
    barriers: Sequence[Barriers] | None = None,
) -> tuple[Planned, ...]:
    """Plans of every variant in which a reduction over a layer or the model lies in the same sweep everywhere.

    `barriers`, one per variant, imposes where reductions are taken: those of another dtype set, so that tensors of both
    can share them.
    """
    if barriers is not None:
        return tuple(
            plan_variant(variant, storage, element_states, barriers=own)
            for variant, own in zip(variants, barriers, strict=True)
        )
    plans = [plan_variant(variant, storage, element_states) for variant in variants]
    if len(plans) == 1:
        return tuple(plans)
    shared: dict[str, int] = {}
    for _ in range(len(plans) + 1):
        before = dict(shared)
        for index, planned in enumerate(plans):
            keys = _wide(planned)
            for number, sweep in enumerate(planned.plan.sweeps, 1):
                for name in sweep.reductions:
                    if name in keys:
                        shared[keys[name]] = max(number, shared.get(keys[name], 0))
            taken = {name for sweep in planned.plan.sweeps for name in sweep.reductions}
            fixed = {name: shared[key] for name, key in keys.items() if name in taken}
            plans[index] = plan_variant(planned.variant, storage, element_states, fixed=fixed)
        if shared == before:
            break
    return tuple(plans)
