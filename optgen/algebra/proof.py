"""Proofs of claims: with some settings, one rule's step is another's, as formulas over the reals.

Both rules are settled, their steps are written as expressions, and the expressions are compared. States start equal
and a step takes equal states to equal states, so by induction all steps are equal. What is proven is equality of real
numbers wherever both rules are defined; rounding is the business of the numeric check.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, pairwise, permutations, product

import sympy

from optgen.algebra.terms import BeyondReach, Terms
from optgen.errors import OptgenError
from optgen.ir.build import build, counted, state_slots
from optgen.ir.rule_view import Node, Step, steps_of
from optgen.passes.pipeline import default_settings, program_of
from optgen.passes.specialise import Setting, specialise
from optgen.spec.loader import load
from optgen.spec.model import Claim, Hyper, Spec
from optgen.spec.syntax import Expr

#: Cells of hypers that settle conditions, and ways to match states, that are looked at.
MAX_CELLS = 8
MAX_MATCHES = 6

_CONDITION = re.compile(r"(\w+) (?:==|!=|<|<=|>|>=) (-?[\d.]+(?:e[-+]?\d+)?)|(\w+)")


def proven(spec: Spec, claim: Claim) -> bool:
    """Whether a claim follows from the equations; False says that it was not shown, not that it is wrong.

    A rule that cannot be loaded raises what `load` raises.
    """
    other = load(claim.rule)
    key = (spec.digest, other.digest, repr(sorted(claim.when.items())))
    if key not in _KNOWN:
        _KNOWN[key] = _follows(spec, other, claim)
    return _KNOWN[key]


#: Claims that were looked at in this process.
_KNOWN: dict[tuple[str, str, str], bool] = {}


def _follows(spec: Spec, other: Spec, claim: Claim) -> bool:
    try:
        if spec.matrix != other.matrix or not set(claim.when) <= spec.hypers.keys():
            return False
        return all(_same(*cell) for cell in _cells(spec, other, claim))
    except (BeyondReach, OptgenError):
        return False


@dataclass(frozen=True)
class _Side:
    """One rule, settled: its steps, and the hypers whose value is known."""

    spec: Spec
    steps: list[Step]
    numbers: Mapping[str, float]


def _cells(spec: Spec, other: Spec, claim: Claim) -> Iterator[tuple[_Side, _Side]]:
    """Both rules settled in every way that hypers they share can settle them. BeyondReach where that is not clear."""
    shared = {name: hyper for name, hyper in other.hypers.items() if name in spec.hypers and name not in claim.when}
    values: dict[str, list[Setting]] = {name: _words(hyper) for name, hyper in shared.items()}
    free = {name for name, found in values.items() if found == []}
    fixed = {name: spec.hypers[name].accept(value) for name, value in claim.when.items()}
    ours = {name: value for name, value in fixed.items() if not isinstance(value, tuple)}
    programs = [program_of(build(each)) for each in (counted(spec, claim.when), other)]
    while True:
        tried = {name: found or [_somewhere(shared[name])] for name, found in values.items()}
        combinations = [
            dict(zip(tried, chosen, strict=True)) for chosen in islice(product(*tried.values()), MAX_CELLS + 1)
        ]
        if len(combinations) > MAX_CELLS:
            raise BeyondReach("hypers that settle too many conditions")
        cells: list[tuple[_Side, _Side]] = []
        conditions: set[str] = set()
        for chosen in combinations:
            sides: list[_Side] = []
            for each, program in ((spec, programs[0]), (other, programs[1])):
                own = {name: value for name, value in ours.items() if name in each.hypers}
                picked = {name: value for name, value in chosen.items() if name in each.hypers}
                settings: dict[str, Setting] = {**default_settings(each), **picked, **own}
                settled = specialise(program, settings)
                conditions |= settled.settled.keys() - each.hypers.keys()
                numbers = {
                    name: float(value)
                    for name, value in settings.items()
                    if name not in free and not isinstance(value, str)
                }
                sides.append(_Side(each, steps_of(settled.module), numbers))
            cells.append((sides[0], sides[1]))
        if not _refine(values, shared, free, conditions):
            yield from cells
            return


def _words(hyper: Hyper) -> list[Setting]:
    """All values of a hyper that has few; none stands for a number that is left open."""
    if hyper.kind == "bool":
        return [False, True]
    return list(hyper.choices)


def _somewhere(hyper: Hyper) -> Setting:
    return hyper.default if not isinstance(hyper.default, tuple) else 0.0


def _refine(
    values: dict[str, list[Setting]], shared: Mapping[str, Hyper], free: set[str], conditions: set[str]
) -> bool:
    """Split open hypers where conditions compare them; whether any was split. BeyondReach for other conditions."""
    thresholds: dict[str, set[float]] = {}
    for condition in conditions:
        for name, threshold, word in _CONDITION.findall(condition):
            if word in free:
                raise BeyondReach(f"the condition {condition}")
            if name in free:
                thresholds.setdefault(name, set()).add(float(threshold))
    changed = False
    for name, found in thresholds.items():
        places = sorted(found)
        between = [(a + b) / 2 for a, b in pairwise(places)]
        candidates = [places[0] - 1, *places, *between, places[-1] + 1]
        domain = shared[name].domain
        split: list[Setting] = [x for x in candidates if domain is None or domain.contains(x)]
        split += _inside(shared[name], places)
        if len(split) > len(values[name]):
            values[name], changed = split, True
    return changed


def _inside(hyper: Hyper, places: list[float]) -> list[float]:
    """A value between the last threshold and the end of a domain that ends within 1 of it, and likewise below."""
    if hyper.domain is None:
        return []
    near = [(places[-1], hyper.domain.high), (hyper.domain.low, places[0])]
    return [(a + b) / 2 for a, b in near if 0 < b - a <= 1 and hyper.domain.contains((a + b) / 2)]


# One cell


def _same(ours: _Side, theirs: _Side) -> bool:
    """Whether the steps are equal under some matching of states."""
    return any(_matched(ours, theirs, names) for names in islice(_matches(ours, theirs), MAX_MATCHES))


def _matches(ours: _Side, theirs: _Side) -> Iterator[dict[str, str]]:
    """Ways to find the other rule's states among ours: those of the same start; the same names come first."""
    wanted = _kept(theirs)
    starts = {name: _start(ours.spec, name) for name in _kept(ours)}
    named = {name: name for name in wanted if starts.get(name) == _start(theirs.spec, name)}
    if len(named) == len(wanted):
        yield named
    for chosen in permutations(starts, len(wanted)):
        found = dict(zip(wanted, chosen, strict=True))
        if found != named and all(starts[mine] == _start(theirs.spec, name) for name, mine in found.items()):
            yield found


def _kept(side: _Side) -> list[str]:
    """States that reach the parameter under these settings, in some number of steps."""
    terms = Terms()
    reads: dict[str, set[str]] = {}
    for step in (_Written(terms, side, step, {}) for step in side.steps):
        for name, value in step.finals.items():
            reads.setdefault(name, set()).update(terms.reads(value), *(terms.reads(when) for when, _ in step.when))
    live, pending = {"param"}, ["param"]
    while pending:
        new = reads.get(pending.pop(), set()) - live
        live |= new
        pending += new
    return [name for name in reads if name in live - {"param"}]


def _start(spec: Spec, slot: str) -> Expr:
    for state in spec.states.values():
        if slot in state_slots(state):
            return state.start[state_slots(state).index(slot)] if isinstance(state.start, tuple) else state.start
    raise AssertionError(f"{slot} is no state of {spec.name}")


def _matched(ours: _Side, theirs: _Side, names: Mapping[str, str]) -> bool:
    terms = Terms()
    mine = [_Written(terms, ours, step, {}) for step in ours.steps]
    other = [_Written(terms, theirs, step, names) for step in theirs.steps]
    return all(a.excludes(b) or a.equals(b, names) for a in mine for b in other)


class _Written:
    """A step of one rule as expressions."""

    def __init__(self, terms: Terms, side: _Side, step: Step, names: Mapping[str, str]) -> None:
        memo: dict[Node, sympy.Expr] = {}

        def write(node: Node) -> sympy.Expr:
            return terms.of(node, side.numbers, names, memo)

        self.terms = terms
        self.when = [(write(node), holds) for node, holds in step.when]
        self.finals = {name: write(node) for name, node in step.finals.items()}
        self.advance = write(step.advance)

    def excludes(self, other: _Written) -> bool:
        """Whether no tensor takes both steps: a condition of one is the opposite of one of the other."""
        return any(holds is not held and self.terms.equal(a, b) for a, holds in self.when for b, held in other.when)

    def equals(self, other: _Written, names: Mapping[str, str]) -> bool:
        """Whether both store the same in matching slots, and advance alike. A slot that is not stored is kept."""
        pairs = {"param": "param", **names}
        for theirs, mine in pairs.items():
            kept = self.terms.slot(mine)
            if not self.terms.equal(self.finals.get(mine, kept), other.finals.get(theirs, kept)):
                return False
        return self.terms.equal(self.advance, other.advance)
