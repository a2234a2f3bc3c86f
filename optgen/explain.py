"""What a rule costs and what is known of it, as plain data: the plan, the traffic per parameter, the facts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from optgen import compiler
from optgen.frontends.declared import reach_of
from optgen.ir import rule_dialect as rule
from optgen.ir.build import build, counted
from optgen.ir.extents import join
from optgen.ir.rule_types import ValueType, type_of
from optgen.ir.view import Module, Op, Sweep, Variant, view
from optgen.passes.facts import inexact
from optgen.passes.pipeline import kernel_of, program_of, to_kernels
from optgen.passes.problem import WIDTH
from optgen.spec.model import Claim, Setting, Spec, Value
from optgen.variant_choice import Situation, chosen, reached

#: Neighbours whose values a stencil reads: two, as on a path.
NEIGHBOURS = 2
#: Dtype sets whose figures are told beside those of float32.
STORED = ("bfloat16", "bfloat16,*=bfloat16", "bfloat16,master")

#: Floating point operations of library calls per parameter; n and m are the shorter and the longer side of a matrix.
_COSTS: Mapping[str, str] = {
    "newton_schulz": "4*n + 2*n*n/m flops per parameter and step of the iteration (4*n without its square)",
    "low_rank": "6*n + 20*n*n/m + 2*rank flops per parameter, most of them a singular value decomposition",
}
_NOT_NOT = re.compile(r"not \(not (\w+)\)")


class SweepData(TypedDict):
    """One sweep: element slots read and written, those read at graph neighbours too, and the reductions taken in it."""

    reads: list[str]
    neighbours: list[str]
    writes: list[str]
    reductions: list[str]


class CallData(TypedDict):
    """A library call after so many sweeps; `cost` says its arithmetic per parameter, in words."""

    function: str
    after_sweep: int
    operand: str
    result: str
    cost: str


class VariantData(TypedDict):
    """One variant. `when` is its condition in words, `always` where there is no other.

    `bytes_per_param` counts every location once per sweep, as memory sees it; `issued_bytes_per_param` what the text
    loads and stores, so that a stencil counts once per neighbour (two, as on a path). Both are of the sweeps: library
    calls read and write what they please, and need `scratch_bytes_per_param` for operands and results.
    """

    name: str
    when: str
    settled: dict[str, Value]
    sweeps: list[SweepData]
    bytes_per_param: int
    issued_bytes_per_param: int
    scratch_bytes_per_param: int
    collectives: int
    calls: list[CallData]


class HyperData(TypedDict):
    """A hyper-parameter."""

    default: Value
    kind: str
    over: str
    domain: str
    choices: list[str]
    doc: str


class StateData(TypedDict):
    """A state of some tensor; coarser than an element it counts no bytes per parameter."""

    extent: str
    dtype: str
    bytes_per_param: int
    doc: str


class ClaimData(TypedDict):
    """A claim. `shown` is how `optgen check` shows it: `proven` from the equations over the reals, for all values of
    the hypers that both rules have; or `numeric`, by running both."""

    text: str
    rule: str
    when: dict[str, Setting]
    shown: str


class StorageData(TypedDict):
    """Figures of the primary variant in one dtype set, beside those in float32."""

    bytes_per_param: int
    state_bytes_per_param: int


class Explanation(TypedDict):
    """A rule with float32 parameters. Figures at this level are those of the primary variant: the one that a 2-d tensor
    at relative depth 0 takes in most steps of a long run with the given values."""

    rule: str
    title: str
    class_name: str
    reference: str
    reach: str
    digest: str
    settled: dict[str, Value]
    hyper: dict[str, HyperData]
    state: dict[str, StateData]
    values: dict[str, str]
    variants: list[VariantData]
    primary: str
    when: str
    sweeps: list[SweepData]
    bytes_per_param: int
    issued_bytes_per_param: int
    scratch_bytes_per_param: int
    collectives: int
    state_bytes_per_param: int
    exact: bool
    inexact: list[str]
    claims: list[ClaimData]


@dataclass(frozen=True)
class _Traffic:
    bytes: int
    issued: int


def explain(spec: Spec, given: Mapping[str, Value] | None = None) -> Explanation:
    """What is known of a rule under given values of its hypers, and defaults for the others."""
    checked = compiler.settings(spec, given or {})
    types = _types(program_of(build(counted(spec, checked))))
    kernels = to_kernels(spec, checked, "float32")
    module = view(kernels)
    situation = _situation(spec, checked)
    primary = chosen(module, situation)
    variants = [_variant(module, variant) for variant in module.variants]
    first = variants[list(module.variants).index(primary)]
    rounded = inexact(kernel_of(kernels))
    states = _states(spec, module)
    needed = {slot for variant in reached(module, situation) for slot in variant.slots}
    return Explanation(
        rule=spec.name,
        title=spec.title,
        class_name=spec.class_name,
        reference=spec.reference,
        reach=reach_of(spec),
        digest=spec.digest,
        settled=dict(module.settled),
        hyper={name: _hyper(spec, name) for name in spec.hypers},
        state=states,
        values={name: f"{found.kind} per {found.extent}" for name, found in types.items()},
        variants=variants,
        primary=first["name"],
        when=first["when"],
        sweeps=first["sweeps"],
        bytes_per_param=first["bytes_per_param"],
        issued_bytes_per_param=first["issued_bytes_per_param"],
        scratch_bytes_per_param=first["scratch_bytes_per_param"],
        collectives=first["collectives"],
        state_bytes_per_param=sum(data["bytes_per_param"] for name, data in states.items() if name in needed),
        exact=not rounded,
        inexact=rounded,
        claims=[_claim(spec, claim) for claim in spec.claims],
    )


def storage(spec: Spec, given: Mapping[str, Value] | None = None) -> dict[str, StorageData]:
    """What a rule costs in narrow storage, by the text of the dtype set."""
    checked = compiler.settings(spec, given or {})
    situation = _situation(spec, checked)
    found: dict[str, StorageData] = {}
    for text in STORED:
        module = view(to_kernels(spec, checked, text))
        needed = {slot for variant in reached(module, situation) for slot in variant.slots}
        found[text] = StorageData(
            bytes_per_param=_variant(module, chosen(module, situation))["bytes_per_param"],
            state_bytes_per_param=sum(
                WIDTH[slot.dtype] for slot in module.slots if slot.extent == "elem" and slot.name in needed
            ),
        )
    return found


def _situation(spec: Spec, given: Mapping[str, Value]) -> Situation:
    defaults: dict[str, Value] = {name: hyper.default for name, hyper in spec.hypers.items()}
    values = {**defaults, **given}
    return Situation({name: float(v) for name, v in values.items() if isinstance(v, bool | int | float)})


def _types(program: rule.ProgramOp) -> dict[str, ValueType]:
    """What each assigned name holds at its finest."""
    types: dict[str, ValueType] = {}
    for op in program.walk():
        if isinstance(op, rule.SetOp):
            assigned, variable = type_of(op.value), op.variable.string_value()
            before = types.get(variable, assigned)
            types[variable] = ValueType.of(join(before.extent, assigned.extent), assigned.kind)
    return types


def _hyper(spec: Spec, name: str) -> HyperData:
    hyper = spec.hypers[name]
    return HyperData(
        default=hyper.default,
        kind=hyper.kind,
        over=hyper.over,
        domain=hyper.domain.text if hyper.domain is not None else "",
        choices=list(hyper.choices),
        doc=" ".join(hyper.doc.split()),
    )


def _states(spec: Spec, module: Module) -> dict[str, StateData]:
    """The states that some variant keeps."""
    docs = {name: " ".join(state.doc.split()) for name, state in spec.states.items()}
    return {
        slot.name: StateData(
            extent=slot.extent,
            dtype=slot.dtype,
            bytes_per_param=WIDTH[slot.dtype] if slot.extent == "elem" else 0,
            doc=docs.get(slot.name.partition("[")[0], ""),
        )
        for slot in module.slots
        if slot.role == "state"
    }


def _variant(module: Module, variant: Variant) -> VariantData:
    sweeps = [_sweep(module, sweep) for sweep in variant.sweeps]
    traffic = [_traffic(module, sweep) for sweep in variant.sweeps]
    return VariantData(
        name=variant.name,
        when=_NOT_NOT.sub(r"\1", variant.when) or "always",
        settled=dict(module.settled),
        sweeps=sweeps,
        bytes_per_param=sum(each.bytes for each in traffic),
        issued_bytes_per_param=sum(each.issued for each in traffic),
        scratch_bytes_per_param=_scratch(module, variant),
        collectives=sum(bool(sweep["reductions"]) for sweep in sweeps),
        calls=[
            CallData(
                function=call.function,
                after_sweep=call.boundary,
                operand=call.operand,
                result=call.target,
                cost=_COSTS[call.function],
            )
            for call in variant.calls
        ],
    )


def _scratch(module: Module, variant: Variant) -> int:
    """Bytes of the scratch slots that a variant's calls and sweeps share."""
    used = {slot for call in variant.calls for slot in (call.operand, call.target)}
    return sum(WIDTH[slot.dtype] for slot in module.slots if slot.role == "scratch" and slot.name in used)


def _of(ops: Sequence[Op], name: str) -> Iterator[Op]:
    return (op for op in ops if op.name == name)


def _sweep(module: Module, sweep: Sweep) -> SweepData:
    """Slots in the order of the module's table."""
    loads = {op.word("slot") for op in _of(sweep.ops, "kernel.load")}
    stencils = {op.word("slot") for op in _of(sweep.ops, "kernel.stencil")}
    stores = {op.word("slot") for op in _of(sweep.ops, "kernel.store")}
    totals = [module.totals[op.word("total")] for op in _of(sweep.ops, "kernel.accumulate")]
    names = [slot.name for slot in module.slots]
    return SweepData(
        reads=[name for name in names if name in loads | stencils],
        neighbours=[name for name in names if name in stencils],
        writes=[name for name in names if name in stores],
        reductions=[f"{total.reduction} over {total.extent}: {total.name}" for total in totals],
    )


def _traffic(module: Module, sweep: Sweep) -> _Traffic:
    width = {slot.name: WIDTH[slot.dtype] for slot in module.slots if slot.extent == "elem"}
    loads = [op.word("slot") for op in _of(sweep.ops, "kernel.load")]
    stencils = [op.word("slot") for op in _of(sweep.ops, "kernel.stencil")]
    stores = [op.word("slot") for op in _of(sweep.ops, "kernel.store")]
    stored = sum(width[name] for name in stores)
    return _Traffic(
        bytes=stored + sum(width[name] for name in {*loads, *stencils}),
        issued=stored + sum(width[name] for name in loads) + NEIGHBOURS * sum(width[name] for name in stencils),
    )


def _claim(spec: Spec, claim: Claim) -> ClaimData:
    from optgen.verify.claims import shown_by

    settings = ", ".join(f"{name} = {value}" for name, value in claim.when.items())
    text = f"reduces to {claim.rule}" + (f" where {settings}" if settings else "")
    return ClaimData(text=text, rule=claim.rule, when=dict(claim.when), shown=shown_by(claim, spec))
