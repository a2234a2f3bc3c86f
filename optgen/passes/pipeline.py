"""The pass pipeline: which passes run, in which order, and what each leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from xdsl.dialects.builtin import ModuleOp

from optgen.errors import UsageError, suggest
from optgen.ir import kernel_dialect as kernel
from optgen.ir import rule_dialect as rule
from optgen.ir.array_view import Program, view_start, view_variant
from optgen.ir.build import MAXIMIZE, build, counted
from optgen.ir.extents import Extent
from optgen.memo import RecentBySettings
from optgen.passes.expand_graph import expand_graph
from optgen.passes.lower import Header, lower
from optgen.passes.master_weights import master_state, master_weights
from optgen.passes.problem import Storage, barriers_of, plan_all
from optgen.passes.reduction_algebra import reduction_algebra
from optgen.passes.scaled_gradient import scaled_gradient
from optgen.passes.specialise import Setting, Specialised, specialise
from optgen.passes.split_reductions import split_reductions
from optgen.passes.stable_scalars import stable_scalars
from optgen.passes.stochastic_rounding import stochastic_rounding
from optgen.runtime.storage import GRAD_SCALE, MASTER, DtypeSet
from optgen.spec.model import Spec

#: The passes between a program and its kernels, in order.
PASSES = ("build", "settle", "expand-graph", "stable-scalars", "reduction-algebra", "split-reductions", "lower")
#: Those that dtype sets ask for: after `settle`, before `lower`, and after it.
STORAGE_PASSES = ("scaled-gradient", "master-weights", "stochastic-rounding")
#: How mixed edges of a graph are treated, and the default.
COUPLING = "coupling"
DEFAULT_COUPLING = "transport"

#: Called with the name of a pass and the module it left.
Watch = Callable[[str, ModuleOp], None]
_MADE: RecentBySettings[Spec, Setting, ModuleOp] = RecentBySettings(64)


def program_of(module: ModuleOp) -> rule.ProgramOp:
    """The program of a module that `build` made."""
    return next(op for op in module.body.block.ops if isinstance(op, rule.ProgramOp))


def kernel_of(module: ModuleOp) -> kernel.ModuleOp:
    """The kernels of a module that `lower` made."""
    return next(op for op in module.body.block.ops if isinstance(op, kernel.ModuleOp))


def default_settings(spec: Spec) -> dict[str, Setting]:
    """Every hyper's default."""
    return {name: h.default for name, h in spec.hypers.items() if not isinstance(h.default, tuple)}


def over_defaults(spec: Spec, settings: Mapping[str, Setting]) -> dict[str, Setting]:
    """Settings over the defaults of hypers, and of the choices that every rule has."""
    return {MAXIMIZE: False, COUPLING: DEFAULT_COUPLING, **default_settings(spec), **settings}


def storage_of(program: rule.ProgramOp, dtypes: DtypeSet | str) -> Storage:
    """Storage of a dtype set, or of the text of one: states have what they declare, unless they are named in it."""
    found = DtypeSet.parse(dtypes) if isinstance(dtypes, str) else dtypes
    known = {name.partition("[")[0] for name in element_states(program)}
    for name, _ in found.states:
        if name not in known:
            raise UsageError(
                f'there is no element-wise state "{name}" to give a dtype. {suggest(name, known)}'.rstrip()
            )
    declared = {op.sym_name.data: op.dtype.data for op in states_of(program) if op.dtype is not None}
    return Storage.of_set(found, declared, element_states(program))


def states_of(program: rule.ProgramOp) -> list[rule.DeclareStateOp]:
    """The states a program declares."""
    return [op for op in program.body.block.ops if isinstance(op, rule.DeclareStateOp)]


def to_variants(
    program: rule.ProgramOp,
    settings: Mapping[str, Setting],
    storage: Storage,
    watch: Watch | None = None,
    *,
    scaled: bool = False,
) -> Specialised:
    """The value form of every variant, ready to be planned.

    scaled: gradients come with the scale of a gradient scaler, which is an input.
    """
    tell = _seen(watch)
    module, facts = _to_scalars(program, settings, tell, scaled=scaled)
    module = reduction_algebra(module, storage, element_states(program))
    tell("reduction-algebra", module)
    module = split_reductions(module)
    tell("split-reductions", module)
    return Specialised(module, facts)


def _to_scalars(
    program: rule.ProgramOp, settings: Mapping[str, Setting], tell: Watch, *, scaled: bool = False
) -> tuple[ModuleOp, dict[str, Setting]]:
    """The passes that backends of both levels share: every variant in value form, and the facts that were settled."""
    settled = specialise(program, settings)
    tell("settle", settled.module)
    if scaled:
        settled = Specialised(scaled_gradient(settled.module), settled.settled)
        tell("scaled-gradient", settled.module)
    coupling = str(settings.get(COUPLING, DEFAULT_COUPLING))
    facts = dict(settled.settled)
    if _has_graph(settled.module):
        facts[COUPLING] = "transport" if coupling == "transport" else "match"
    module = expand_graph(settled.module, coupling)
    tell("expand-graph", module)
    module = stable_scalars(module)
    tell("stable-scalars", module)
    return module, dict(sorted(facts.items()))


def to_arrays(spec: Spec, settings: Mapping[str, Setting], watch: Watch | None = None) -> Program:
    """The value form of every variant, for backends that take whole arrays.

    Such a backend sums in the dtype of the arrays. Reductions are therefore left as written: their algebra expands
    squares, and is only right where sums are carried in float64.
    """
    tell, spec = _seen(watch), counted(spec, settings)
    module = build(spec)
    tell("build", module)
    program = program_of(module)
    settings = over_defaults(spec, settings)
    arrays, facts = _to_scalars(program, settings, tell)
    variants = [view_variant(op) for op in arrays.body.block.ops if isinstance(op, rule.VariantOp)]
    live = {slot for variant in variants for slot in variant.finals}
    return Program(
        name=spec.name,
        class_name=spec.class_name,
        title=spec.title,
        matrix=str(spec.matrix),
        digest=spec.digest,
        settled={**facts, **count_of(spec)},
        gradients=spec.gradient_count,
        hypers=list(spec.hypers),
        inputs=list(spec.inputs),
        starts=[view_start(s, settings) for s in states_of(program) if s.sym_name.data in live],
        variants=variants,
    )


def element_states(program: rule.ProgramOp) -> list[str]:
    """Names of the states with an entry per element."""
    return [op.sym_name.data for op in states_of(program) if op.extent.data is Extent.ELEM]


def to_kernels(
    spec: Spec, settings: Mapping[str, Setting], dtype: str = "float32", watch: Watch | None = None
) -> ModuleOp:
    """The kernel module of a rule for a dtype set (`optgen.runtime.storage`), under settings over the defaults.

    It is not to be changed: the latest are kept, for those who explain, emit and bound the same kernels, and by what
    settings settle, as most hypers settle nothing. A `watch` sees every pass run, and every module is verified for it.
    """
    given = over_defaults(spec, settings)
    if watch is None:
        return _MADE.get(spec, dtype, given, lambda read: _to_kernels(spec, read, dtype))
    return _to_kernels(spec, given, dtype, watch)


def count_of(spec: Spec) -> dict[str, Setting]:
    """What is settled of a rule whose tensors have several gradients: how many."""
    return {spec.gradients: spec.gradient_count} if spec.gradients else {}


def _to_kernels(spec: Spec, settings: Mapping[str, Setting], dtype: str, watch: Watch | None = None) -> ModuleOp:
    tell = _seen(watch)
    spec = counted(spec, settings)
    module = build(spec)
    tell("build", module)
    program = program_of(module)
    dtypes = DtypeSet.parse(dtype)
    storage, plain = storage_of(program, dtypes), storage_of(program, dtypes.compute)
    specialised = to_variants(program, settings, plain, watch, scaled=dtypes.scaled)
    planned = plan_all(specialised.variants, plain, element_states(program))
    states = states_of(program)
    if storage != plain:
        variants, elements = specialised, element_states(program)
        if dtypes.master:
            variants = Specialised(master_weights(specialised.module), specialised.settled)
            tell("master-weights", variants.module)
            states, elements = [*states, master_state()], [*elements, MASTER]
        planned = plan_all(variants.variants, storage, elements, [barriers_of(each) for each in planned])
    header = Header(
        name=spec.name,
        class_name=spec.class_name,
        matrix=str(spec.matrix),
        digest=spec.digest,
        settled={**specialised.settled, **count_of(spec)},
        gradients=spec.gradient_count,
        hypers=[name for name, hyper in spec.hypers.items() if hyper.kind != "choice"],
        inputs=[*spec.inputs, *([GRAD_SCALE] if dtypes.scaled else [])],
        made_of=spec.made_of,
    )
    kernels = lower(header, states, planned, storage)
    tell("lower", kernels)
    if dtypes.stochastic:
        kernels = stochastic_rounding(kernels, spared=("param",) if dtypes.master else ())
        tell("stochastic-rounding", kernels)
    return kernels


def _seen(watch: Watch | None) -> Watch:
    """Modules are verified after every pass where somebody watches; otherwise kernels are, when they are lowered."""
    if watch is None:
        return _ignore

    def tell(name: str, module: ModuleOp) -> None:
        module.verify()
        watch(name, module)

    return tell


def _ignore(_name: str, _module: ModuleOp) -> None:
    """Watch nothing."""


def _has_graph(module: ModuleOp) -> bool:
    return any(isinstance(op, rule.GraphOp) for op in module.walk())
