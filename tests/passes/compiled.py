"""Rules compiled for the tests of passes: every intermediate form, and settings that flip each switch once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache

from xdsl.dialects.builtin import ModuleOp

from optgen.errors import HyperError
from optgen.frontends.evaluate import check_requirements, has_graph
from optgen.ir import kernel_dialect as kernel
from optgen.ir import rule_dialect as rule
from optgen.ir.build import build, counted
from optgen.passes.pipeline import (
    default_settings,
    element_states,
    kernel_of,
    program_of,
    storage_of,
    to_kernels,
    to_variants,
)
from optgen.passes.problem import plan_all
from optgen.spec.loader import cases, load
from optgen.spec.model import Spec
from tests.passes.worlds import Setting

DTYPES = ("float32", "float64")


@dataclass(frozen=True)
class Compiled:
    """A rule under settings: its memory form, the value form that every pass left, planned bytes, and kernels."""

    spec: Spec
    settings: Mapping[str, Setting]
    program: rule.ProgramOp
    forms: Mapping[str, list[rule.VariantOp]]
    planned: Mapping[str, int]
    modules: dict[str, ModuleOp] = field(default_factory=dict[str, ModuleOp])

    @property
    def first(self) -> list[rule.VariantOp]:
        """The value form as settling left it."""
        return next(iter(self.forms.values()))

    @property
    def last(self) -> list[rule.VariantOp]:
        """The value form that is lowered."""
        return list(self.forms.values())[-1]

    def kernels(self, dtype: str) -> kernel.ModuleOp:
        """The kernels for parameters and gradients of a dtype."""
        if dtype not in self.modules:
            self.modules[dtype] = to_kernels(self.spec, self.settings, dtype)
        return kernel_of(self.modules[dtype])


def compiled(spec: Spec, given: Mapping[str, Setting]) -> Compiled:
    """Run every pass on the value form."""
    settings: dict[str, Setting] = {**default_settings(spec), **given}
    program = program_of(build(counted(spec, settings)))
    forms: dict[str, list[rule.VariantOp]] = {}

    def watch(name: str, module: ModuleOp) -> None:
        found = [op for op in module.body.block.ops if isinstance(op, rule.VariantOp)]
        if found:
            forms[name] = found

    storage = storage_of(program, "float32")
    variants = to_variants(program, settings, storage, watch).variants
    plans = plan_all(variants, storage, element_states(program))
    planned = {p.variant.sym_name.data: p.plan.bytes for p in plans}
    return Compiled(spec, settings, program, forms, planned)


def settings_of(spec: Spec) -> Iterator[tuple[str, dict[str, Setting]]]:
    """Defaults, the settings of each worked example, and the first of those with each switch and choice flipped."""
    yield "defaults", {}
    bases: list[dict[str, Setting]] = [dict(example.settings) for example in spec.examples]  # type: ignore[arg-type]
    for i, base in enumerate(bases):
        yield f"example{i}", base
    base = bases[0] if bases else {}
    flips: list[tuple[str, Setting]] = [("maximize", True)]
    if has_graph(spec):
        flips.append(("coupling", "match"))
    for name, hyper in spec.hypers.items():
        now = base.get(name, hyper.default)
        if hyper.kind == "bool":
            flips.append((name, not now))
        elif hyper.kind == "choice":
            flips += [(name, choice) for choice in hyper.choices if choice != now]
    for name, value in flips:
        settings = {**base, name: value}
        if _allowed(spec, settings):
            yield f"{name}={value}", settings


def _allowed(spec: Spec, settings: Mapping[str, Setting]) -> bool:
    try:
        check_requirements(spec, {**default_settings(spec), **settings})
    except HyperError:
        return False
    return True


@cache
def shipped_case(name: str, label: str) -> Compiled:
    """A shipped rule under one of `settings_of`; compiled once per run."""
    spec = load(name)
    return compiled(spec, dict(settings_of(spec))[label])


def shipped_cases() -> list[tuple[str, str]]:
    """Everything that ships with every label of its settings; the switches of a transform's partner stay."""
    own = {name: ("defaults", "example", f"{name.partition('+')[2]}_" if "+" in name else "") for name in cases()}
    return [(name, label) for name in cases() for label, _ in settings_of(load(name)) if label.startswith(own[name])]
