"""From planned variants to a `kernel.module`: sweeps with their loads and stores, stages, and the choice of variant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from json import dumps

from xdsl.dialects import arith
from xdsl.dialects.builtin import (
    AnyFloat,
    ArrayAttr,
    IntegerAttr,
    ModuleOp,
    StringAttr,
    SymbolRefAttr,
    bf16,
    f16,
    f32,
    f64,
    i64,
)
from xdsl.ir import Block, Region, SSAValue

from optgen.errors import BackendError
from optgen.ir import kernel_dialect as kernel
from optgen.ir import rule_dialect as rule
from optgen.ir.extents import Extent
from optgen.ir.kernel_dialect import Role, RoleAttr
from optgen.ir.rule_types import ExtentAttr, Reduction, ReductionAttr, StencilAttr
from optgen.ir.text import place_of
from optgen.passes.align_stages import align_stages
from optgen.passes.describe import describe
from optgen.passes.facts import producer
from optgen.passes.lower_coarse import Stages, is_leaf
from optgen.passes.lower_functions import Lowerer
from optgen.passes.lower_select import lower_reach, lower_select
from optgen.passes.names import Names, suggest_operand
from optgen.passes.planner import Call, Plan, Sweep
from optgen.passes.problem import Planned, Storage, is_element
from optgen.passes.specialise import Setting, cone
from optgen.runtime.gradients import gradient_slots
from optgen.runtime.storage import MASTER

FLOATS: Mapping[str, AnyFloat] = {"float32": f32, "float64": f64, "bfloat16": bf16, "float16": f16}
#: Name of the update counter's slot, as torch has it.
STEP = "step"


@dataclass(frozen=True)
class Header:
    """What a kernel module says of the rule it was made from."""

    name: str
    class_name: str
    matrix: str
    digest: str
    settled: Mapping[str, Setting]
    hypers: Sequence[str]
    inputs: Sequence[str]
    made_of: str = ""
    gradients: int = 0


def lower(
    header: Header, states: Sequence[rule.DeclareStateOp], planned: Sequence[Planned], storage: Storage
) -> ModuleOp:
    """The kernel module of a rule's variants."""
    body = Block()
    extents: dict[str, Extent] = {}
    totals: dict[str, tuple[Reduction, Extent]] = {}
    declared = {op.sym_name.data: op for op in states}
    lowered = [_Variant(p, storage, declared, Names(extents), totals) for p in planned]
    stages = align_stages([one.lower_stages() for one in lowered])
    variants = [one.lower(its) for one, its in zip(lowered, stages, strict=True)]
    used = {name for variant in variants for name in (a.data for a in variant.slots if isinstance(a, StringAttr))}
    scratch = max((one.scratch for one in lowered), key=len) if lowered else {}
    gradients = gradient_slots(header.gradients)
    for slot in _slots(states, storage, used, list(scratch.values()), gradients):
        body.add_op(slot)
    for name, extent in extents.items():
        if name not in totals:
            properties = {"sym_name": StringAttr(name), "extent": ExtentAttr(extent)}
            body.add_op(kernel.DeclareValueOp(properties=properties))
    for name, (reduction, extent) in totals.items():
        properties = {"sym_name": StringAttr(name), "reduction": ReductionAttr(reduction), "extent": ExtentAttr(extent)}
        body.add_op(kernel.DeclareTotalOp(properties=properties))
    if len(planned) > 1:
        body.add_op(lower_select([p.variant for p in planned]))
        body.add_op(lower_reach([p.variant for p in planned]))
    for variant in variants:
        body.add_op(variant)
    module = ModuleOp([_module(header, storage, body)])
    for op in list(module.walk()):
        if isinstance(op, arith.ConstantOp) and not op.result.uses:  # other numbers were made of it
            op.detach()
            op.erase()
    module.verify()
    return module


def _module(header: Header, storage: Storage, body: Block) -> kernel.ModuleOp:
    return kernel.ModuleOp(
        properties={
            "sym_name": StringAttr(header.name),
            "compute": StringAttr(storage.compute),
            "matrix": StringAttr(header.matrix),
            "digest": StringAttr(header.digest),
            "settled": StringAttr(dumps(dict(header.settled), sort_keys=True)),
            "class_name": StringAttr(header.class_name),
            "hypers": ArrayAttr([StringAttr(name) for name in header.hypers]),
            "inputs": ArrayAttr([StringAttr(name) for name in header.inputs]),
            **({"spec": StringAttr(header.made_of)} if header.made_of else {}),
        },
        regions=[Region(body)],
    )


def _slots(
    states: Sequence[rule.DeclareStateOp],
    storage: Storage,
    used: set[str],
    scratch: Sequence[str],
    gradients: Sequence[str],
) -> list[kernel.SlotOp]:
    def slot(name: str, extent: Extent, dtype: str, role: Role) -> kernel.SlotOp:
        return kernel.SlotOp(
            properties={
                "sym_name": StringAttr(name),
                "extent": ExtentAttr(extent),
                "dtype": StringAttr(dtype),
                "role": RoleAttr(role),
            }
        )

    result = [
        slot("param", Extent.ELEM, storage.param, Role.PARAM),
        *(slot(name, Extent.ELEM, storage.gradient, Role.GRADIENT) for name in gradients),
    ]
    counter = slot(STEP, Extent.TENSOR, "float32", Role.COUNTER)
    arrays = [slot(name, Extent.ELEM, storage.compute, Role.SCRATCH) for name in scratch]
    for op in states:
        if op.sym_name.data == MASTER:  # last: modules with it and without agree on the columns they share
            result.append(counter)
        if op.sym_name.data in used:
            result.append(slot(op.sym_name.data, op.extent.data, coarse_dtype(op, storage), Role.STATE))
    return [*(result if counter in result else [*result, counter]), *arrays]


def coarse_dtype(op: rule.DeclareStateOp, storage: Storage) -> str:
    """Storage dtype of a state: the dtype set's per element; above declared, else wide enough, int64 for ints."""
    if op.extent.data is Extent.ELEM:
        return storage.of(op.sym_name.data)
    if op.dtype is not None:
        return op.dtype.data
    if op.type.kind.value == "int":
        return "int64"
    vector = op.extent.data in (Extent.MATRIX, Extent.ROW, Extent.COL)
    return storage.compute if vector else "float64"


def _scratch(plan: Plan, taken: set[str]) -> dict[str, str]:
    """Scratch slots by the planner's names, numbered alike in every variant: a tensor takes one of them per step."""
    values = [*(call.result for call in plan.calls)]
    for sweep in plan.sweeps:
        values += [*sweep.scratch, *(call.result for call in sweep.calls)]
    free = (name for number in count() if (name := f"scratch{number}") not in taken)
    return dict(zip(values, free, strict=False))


class _Variant:
    """Lowers one variant."""

    def __init__(
        self,
        planned: Planned,
        storage: Storage,
        declared: Mapping[str, rule.DeclareStateOp],
        names: Names,
        totals: dict[str, tuple[Reduction, Extent]],
    ) -> None:
        self.planned = planned
        self.storage = storage
        self.declared = declared
        self.type = FLOATS[storage.compute]
        self.finals = {op.slot.string_value(): op for op in self.ops if isinstance(op, rule.FinalOp)}
        self.by_value = {value: name for name, value in planned.names.items()}
        self.scratch = _scratch(planned.plan, set(declared))
        self.sweeps: list[kernel.SweepOp] = []
        self.calls: list[list[kernel.CallOp]] = []
        self.stages = Stages(len(planned.plan.sweeps), names, self._totals(names, totals))

    @property
    def ops(self) -> list[rule.FinalOp | object]:
        return list(self.planned.variant.body.block.ops)

    def _totals(self, names: Names, totals: dict[str, tuple[Reduction, Extent]]) -> dict[SSAValue, tuple[str, int]]:
        result: dict[SSAValue, tuple[str, int]] = {}
        written = {name: place for place, name in enumerate(self.planned.names)}  # alike in every dtype set
        for number, sweep in enumerate(self.planned.plan.sweeps, 1):
            for name in sorted(sweep.reductions, key=written.__getitem__):
                value = self.planned.names[name]
                op = producer(value)
                assert isinstance(op, rule.ReduceOp)
                total = names.new(f"{op.reduction.data}_{suggest_operand(op.operand)}", op.over.data)
                totals[total] = (op.reduction.data, op.over.data)
                result[value] = (total, number)
        return result

    def lower_stages(self) -> list[list[kernel.StageOp]]:
        """The stages of every boundary; the sweeps are written on the way, as they say what they read."""
        plan = self.planned.plan
        self.stages.add_values(self._needed())
        self.sweeps = [self._sweep(number, sweep) for number, sweep in enumerate(plan.sweeps, 1)]
        self.calls = [
            [self._call(boundary, call) for call in calls]
            for boundary, calls in enumerate((plan.calls, *(sweep.calls for sweep in plan.sweeps)))
        ]
        for name, op in self.finals.items():
            state = self.declared.get(name)
            if state is not None and state.extent.data is not Extent.ELEM:
                self.stages.put(name, state.extent.data, op.value)
        advance = next(op for op in self.ops if isinstance(op, rule.AdvanceOp))
        self.stages.count_update(STEP, advance.value)
        self.stages.name_all()
        return [self.stages.stages(boundary) for boundary in range(len(plan.sweeps) + 1)]

    def lower(self, stages: Sequence[Sequence[kernel.StageOp]]) -> kernel.VariantOp:
        """The variant, from its stages."""
        body = Block()
        for boundary, here in enumerate(stages):
            if 0 < boundary <= len(self.sweeps) and self.sweeps[boundary - 1].body.block.first_op is not None:
                body.add_op(self.sweeps[boundary - 1])
            body.add_ops(here)
            body.add_ops(self.calls[boundary])
        whens = [op for op in self.ops if isinstance(op, rule.WhenOp)]
        text = " and ".join(
            describe(op.value, names=True) if op.holds.value.data else f"not ({describe(op.value, names=True)})"
            for op in whens
        )
        return kernel.VariantOp(
            properties={
                "sym_name": self.planned.variant.sym_name,
                "when": StringAttr(text),
                "slots": ArrayAttr([StringAttr(name) for name in self._states()]),
            },
            regions=[Region(body)],
        )

    def _states(self) -> list[str]:
        """States that the variant reads or stores, in declared order."""
        olds = {op.slot.string_value() for op in self.ops if isinstance(op, rule.OldOp)}
        return [name for name in self.declared if name in olds or name in self.finals]

    def _needed(self) -> list[SSAValue]:
        """Coarse values below what is stored, in program order."""
        wanted: set[SSAValue] = set()
        for op in self.ops:
            if isinstance(op, rule.FinalOp | rule.AdvanceOp):
                wanted |= cone(op.value)
        return [
            op.results[0]
            for op in self.planned.variant.body.block.ops
            if op.results and op.results[0] in wanted and not is_element(op.results[0])
        ]

    # Calls and sweeps

    def _call(self, boundary: int, call: Call) -> kernel.CallOp:
        op = producer(self.planned.names[call.result])
        assert isinstance(op, rule.CallOp)
        numbers = [StringAttr(self.stages.read_name(value)) for value in op.args[1:]]
        made = kernel.CallOp(
            properties={
                "boundary": IntegerAttr(boundary, i64),
                "function": op.function,
                "operand": SymbolRefAttr(self.scratch.get(call.operand, call.operand)),
                "target": SymbolRefAttr(self.scratch[call.result]),
                "numbers": ArrayAttr(numbers),
            }
        )
        made.location = op.location
        return made

    def _sweep(self, number: int, sweep: Sweep) -> kernel.SweepOp:
        block = Block()
        writer = _SweepWriter(self, sweep, Lowerer(block, self.type))
        writer.write()
        return kernel.SweepOp(properties={"index": IntegerAttr(number, i64)}, regions=[Region(block)])

    def final_value(self, slot: str) -> SSAValue:
        """The new value of an element slot."""
        return self.finals[slot].value

    def final_of(self, name: str) -> str:
        """Slot whose planner final has this name."""
        return next(slot.name for slot in self.planned.problem.slots if slot.final == name)


class _SweepWriter:
    """Writes the body of one sweep, in program order, loading what the plan loads where it is first read."""

    def __init__(self, variant: _Variant, sweep: Sweep, to: Lowerer) -> None:
        self.variant = variant
        self.sweep = sweep
        self.to = to
        self.here: dict[SSAValue, SSAValue] = {}
        names = variant.planned.names
        self.sources = {names[n]: s for n, s in zip(sweep.loads, sweep.sources, strict=True) if n in names}

    def write(self) -> None:
        """Loads, computation, totals and stores of the sweep."""
        names = self.variant.planned.names
        for name in self.sweep.computed:
            if name in names:
                self._compute(names[name])
        for name in self.sweep.reductions:
            self._accumulate(names[name])
        for slot in self.sweep.stores:
            self._store(slot)
        for name in self.sweep.scratch:
            self._save(names[name], self.variant.scratch[name])

    def get(self, value: SSAValue) -> SSAValue:
        """An element value, loaded if need be, or a coarse value where it meets the element."""
        if value not in self.here:
            if value in self.sources:
                self.here[value] = self._load(value, self.sources[value])
            else:
                assert not is_element(value), "the plan computes a value after its use"
                self.here[value] = self._read(value)
        return self.here[value]

    def _load(self, value: SSAValue, source: str) -> SSAValue:
        slot = self.variant.scratch.get(source, source)
        storage = self.to.float_type if source in self.variant.scratch else FLOATS[self.variant.storage.of(slot)]
        op = kernel.LoadOp(properties={"slot": SymbolRefAttr(slot)}, result_types=[storage])
        op.attributes["version"] = StringAttr("old" if isinstance(producer(value), rule.OldOp) else "new")
        loaded = self.to.convert(self.to.value(op), self.to.float_type)
        hint = slot if source not in self.variant.scratch else value.name_hint
        loaded.name_hint = hint if hint is not None and hint.isidentifier() else None
        return loaded

    def _read(self, value: SSAValue) -> SSAValue:
        op = producer(value)
        if is_leaf(value) and isinstance(op, rule.ConstantOp):
            return self.to.constant(float(op.number))
        name = self.variant.stages.read_name(value)
        reading = kernel.ReadOp(properties={"value": SymbolRefAttr(name)}, result_types=[self.to.float_type])
        result = self.to.value(reading)
        result.name_hint = name
        return result

    def _compute(self, value: SSAValue) -> None:
        op = producer(value)
        if value in self.here or value in self.sources:
            return
        operands = [] if isinstance(op, rule.StencilOp) else [self.get(operand) for operand in op.operands]
        self.to.location = op.location
        match op:
            case rule.ApplyOp():
                result = self.to.apply(op.function.data, operands)
            case rule.StencilOp():
                result = self._stencil(op)
            case _:
                raise BackendError(f"{place_of(op)}: {op.name} of an element value is not built yet")
        if result.name_hint is None:
            result.name_hint = value.name_hint
        self.here[value] = result

    def _stencil(self, op: rule.StencilOp) -> SSAValue:
        operand = producer(op.operand)
        if not isinstance(operand, rule.OldOp):
            raise BackendError(
                f"{place_of(op)}: a graph operator of a computed element value ({describe(op.operand, names=True)}) is "
                "not built yet; apply it to g, param or a state, before they are assigned"
            )
        properties = {"kind": StencilAttr(op.kind.data), "slot": operand.slot}
        return self.to.value(kernel.StencilOp(properties=properties, result_types=[self.to.float_type]))

    def _accumulate(self, value: SSAValue) -> None:
        op = producer(value)
        assert isinstance(op, rule.ReduceOp)
        self.to.location = op.location
        x = self.to.as_float(self.get(op.operand))
        name, _ = self.variant.stages.totals[value]
        properties = {"reduction": ReductionAttr(op.reduction.data), "total": SymbolRefAttr(name)}
        self.to.add(kernel.AccumulateOp(operands=[x], properties=properties))

    def _save(self, value: SSAValue, slot: str) -> None:
        op = producer(value)
        self.to.location = op.location
        x = self.to.as_float(self.get(value))
        self.to.add(kernel.StoreOp(operands=[x], properties={"slot": SymbolRefAttr(slot)}))

    def _store(self, slot: str) -> None:
        value = self.variant.final_value(slot)
        self.to.location = self.variant.finals[slot].location
        x = self.to.as_float(self.get(value))
        x = self.to.convert(x, FLOATS[self.variant.storage.of(slot)])
        self.to.add(kernel.StoreOp(operands=[x], properties={"slot": SymbolRefAttr(slot)}))
