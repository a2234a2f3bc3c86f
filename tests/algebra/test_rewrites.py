"""The compiler's rewrites change no formula: over the reals, what passes make of a rule equals what they were given.

The oracle is `optgen.algebra.terms`, which knows nothing of the passes: both sides become rational functions of atoms
and their difference is multiplied out. What rounding does is the business of other tests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
import sympy

from optgen.algebra.terms import BeyondReach, Terms
from optgen.ir.build import build, counted
from optgen.ir.functions import Function
from optgen.ir.rule_view import Node, Step, steps_of
from optgen.passes.pipeline import COUPLING, default_settings, program_of, storage_of, to_variants
from optgen.passes.specialise import Setting
from optgen.spec.loader import cases, load, loads
from tests.cli.support import RULE

REWRITES = [("expand-graph", "stable-scalars"), ("stable-scalars", "reduction-algebra")]


class WithoutGuards(Terms):
    """Where a sum of squares was spelled out, `maximum(0, ...)` keeps floats from going below zero: over the reals it
    does nothing."""

    def _opaque(self, function: Function, args: Sequence[sympy.Expr]) -> sympy.Expr:
        return args[1] if function is Function.MAXIMUM and args[0] == 0 else super()._opaque(function, args)


def stages(rule: str, settings: Mapping[str, Setting]) -> dict[str, list[Step]]:
    """The steps of a rule after every pass."""
    spec = counted(load(rule), settings)
    program = program_of(build(spec))
    found: dict[str, list[Step]] = {}

    def watch(name: str, module: object) -> None:
        found[name] = steps_of(module)  # type: ignore[arg-type]

    given = {**default_settings(spec), **{k: v for k, v in settings.items() if not isinstance(v, tuple)}}
    to_variants(program, given, storage_of(program, "float32"), watch)
    return found


def differences(before: Step, after: Step) -> list[str]:
    """Names of what is not shown to be the same."""
    terms = WithoutGuards()
    memos: tuple[dict[Node, sympy.Expr], dict[Node, sympy.Expr]] = ({}, {})

    def same(a: Node, b: Node) -> bool:
        return terms.equal(terms.of(a, {}, {}, memos[0]), terms.of(b, {}, {}, memos[1]))

    wrong = [name for name in before.finals if not same(before.finals[name], after.finals[name])]
    wrong += [
        f"condition {i}" for i, (a, b) in enumerate(zip(before.when, after.when, strict=True)) if not same(a[0], b[0])
    ]
    return wrong + ([] if same(before.advance, after.advance) else ["advance"])


def settings_of(rule: str) -> list[dict[str, Setting]]:
    """Defaults, and what the worked examples and claims of a rule set, each once."""
    spec = load(rule)
    given = [example.settings for example in spec.examples] + [claim.when for claim in spec.claims]
    known = [{k: v for k, v in each.items() if k in spec.hypers or k == COUPLING} for each in given]
    settled = [{k: v for k, v in each.items() if isinstance(v, bool | str)} for each in known]
    return [dict(items) for items in dict.fromkeys(tuple(sorted(each.items())) for each in [{}, *settled])]  # type: ignore[misc]


@pytest.mark.parametrize("rule", cases())
def test_rewrites_of_every_rule_change_no_formula(rule: str) -> None:
    for settings in settings_of(rule):
        passes = stages(rule, settings)
        for first, second in REWRITES:
            before, after = passes[first], passes[second]
            assert [step.name for step in before] == [step.name for step in after]
            for one, other in zip(before, after, strict=True):
                assert set(one.finals) == set(other.finals)
                assert differences(one, other) == [], f"{second} of {one.name} under {settings}"


def test_they_are_rewrites() -> None:
    rules = [stages(rule, {}) for rule in ("adamw", "neat")]
    assert any(len(_values(passes["expand-graph"])) != len(_values(passes["stable-scalars"])) for passes in rules)
    assert any(len(_values(passes["stable-scalars"])) != len(_values(passes["reduction-algebra"])) for passes in rules)


def _values(steps: Sequence[Step]) -> set[int]:
    """Every value below the new values of the slots."""
    seen: dict[int, Node] = {}
    pending = [node for step in steps for node in step.finals.values()]
    while pending:
        node = pending.pop()
        if id(node) not in seen:
            seen[id(node)] = node
            pending += node.args
    return set(seen)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("1 - drift**t", "-expm1(t*log(drift))", True),
        ("1 - drift**t", "-expm1(t*log(drift + 1))", False),
        ("g/(1 - drift)", "g*(1/(1 - drift))", True),
        ("g/(1 - drift)", "g*(1/(1 + drift))", False),
        ('norm(g + drift*m, over="tensor")', 'sqrt(maximum(0, sum(g*g, over="tensor") + 2*drift*sum(g*m, over="tensor")'
         ' + drift*drift*sum(m*m, over="tensor")))', True),
        ('norm(g + drift*m, over="tensor")', 'sqrt(maximum(0, sum(g*g, over="tensor") + drift*sum(g*m, over="tensor")'
         ' + drift*drift*sum(m*m, over="tensor")))', False),
        ('sum(drift*g - m, over="tensor")', 'drift*sum(g, over="tensor") - sum(m, over="tensor")', True),
        # tensors of one layer may have hypers of their own
        ('sum(drift*g - m, over="layer")', 'drift*sum(g, over="layer") - sum(m, over="layer")', False),
        ('sum(g*norm(g, over="tensor"), over="tensor")', 'norm(g, over="tensor")*sum(g, over="tensor")', True),
        ('sum(g*norm(g, over="tensor"), over="layer")', 'norm(g, over="tensor")*sum(g, over="layer")', False),
        ('sum(g*norm(g, over="row"), over="tensor")', 'norm(g, over="row")*sum(g, over="tensor")', False),
        ('sum(g + drift, over="row")', 'sum(g, over="row") + cols(param)*drift', False),  # true, but not known here
        ("log1p(g)", "log(1 + g)", True),
        ("sqrt(g)*sqrt(g)*m", "g*m", True),
        ("abs(g)", "g", False),
        ("maximum(g, m)", "minimum(g, m)", False),
    ],
)  # fmt: skip
def test_what_the_oracle_tells_apart(one: str, other: str, same: bool) -> None:
    steps = [
        settled(loads_text)
        for loads_text in (
            RULE.replace("d = m\n", f"d = m + {each}\n").replace("if drift > 0", "if drift >= 0")
            for each in (one, other)
        )
    ]
    try:
        found = differences(*steps) == []
    except BeyondReach:
        found = False
    assert found is same


def settled(text: str) -> Step:
    """The one step of a text."""
    spec = loads(text)
    program = program_of(build(spec))
    found: list[Step] = []

    def watch(name: str, module: object) -> None:
        if name == "settle":
            found.extend(steps_of(module))  # type: ignore[arg-type]

    to_variants(program, default_settings(spec), storage_of(program, "float32"), watch)
    (step,) = found
    return step
