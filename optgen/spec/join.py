"""Joining texts into one rule: `A+B+C` stage by stage, and `when`/`else` as a branch that is settled per tensor.

A transform's names get its own as a prefix (`NAME_decay`); the hypers and state it declares as `base` are the rule's. A
rule under `else` keeps apart in the same way, and what a transform does it does to either rule. The result is a rule
like any other: one program, hence one set of fused kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from optgen.errors import Location, suggest
from optgen.paths import is_shipped
from optgen.spec.bundle import bundled, heading
from optgen.spec.flow import assigned_names, check_direction_read, reads_direction
from optgen.spec.functions import reads_metadata
from optgen.spec.join_checks import check_order, check_rules, joined_inputs, joined_matrix
from optgen.spec.model import STAGES, Caution, Claim, Example, Hyper, Metric, Part, Setting, Spec, State
from optgen.spec.rename import renamed, renamed_body, renamed_text
from optgen.spec.source import Report, digest
from optgen.spec.syntax import NOWHERE, Assign, Compare, Expr, If, Logic, Name, Stmt, Text, Unary, names_in, statements
from optgen.spec.vocabulary import CHOOSER, CHOOSERS, COMMON_ARGUMENTS, GIVENS, PER_PARAMETER

Stages = Mapping[str, tuple[Stmt, ...]]


@dataclass(frozen=True)
class Piece:
    """A text to join, what asked for it, and where. `others` are the rules that take its place, in order (`else`)."""

    spec: Spec
    asked: str
    where: Location = NOWHERE
    others: tuple[Piece, ...] = ()


@dataclass(frozen=True)
class _Arm:
    """A rule under the names that it has in the joined program; `names` maps its own to those."""

    spec: Spec
    names: Mapping[str, str]


def join(pieces: Sequence[Piece], text: Callable[[Location], str]) -> Spec:
    """One rule of all pieces. `text` gives the line at a place where a piece was asked for.

    Raises SpecError with every complaint, each where it was written.
    """
    specs = [each.spec for piece in pieces for each in (piece, *piece.others)]
    report = Report(lambda where: next((line for s in specs if (line := s.line(where))), "") or text(where))
    check_rules(report, [(piece.spec, piece.where) for piece in pieces])
    report.check()
    return _Joiner(report, pieces).joined()


def parts_of(piece: Piece) -> tuple[Part, ...]:
    """The texts a piece is made of, its own where there is but one."""
    spec = piece.spec
    return spec.parts or (replace(spec.own_part, asked=piece.asked),)


class _Joiner:
    def __init__(self, report: Report, pieces: Sequence[Piece]) -> None:
        self.report = report
        self.pieces = pieces
        self.base = next(piece for piece in pieces if piece.spec.kind == "rule")
        self.rule = self.base.spec
        self.arms = [_Arm(self.rule, {}), *(_Arm(o.spec, _prefixed(o.spec, o.spec.name)) for o in self.base.others)]
        self.transforms = [piece for piece in pieces if piece.spec.kind == "transform"]
        self.prefix = _prefixes(self.transforms)
        self.hypers: dict[str, Hyper] = {}
        self.states: dict[str, State] = {}
        self.owner: dict[str, str] = {}

    def joined(self) -> Spec:
        """The rule, checked as a whole."""
        for arm in self.arms:
            self._declare(arm.spec, arm.names, arm.spec.name, "" if arm.spec is self.rule else arm.spec.name)
        if len(self.arms) > 1:
            self._declare_chooser()
        for piece in self.transforms:
            self._declare(piece.spec, self._own(piece), self.prefix[id(piece)], self.prefix[id(piece)])
            for arm in self.arms:
                self._check_base(piece.spec, arm)
        check_order(self.report, [(piece.spec, piece.where) for piece in self.pieces])
        matrix = joined_matrix(self.report, [arm.spec for arm in self.arms], [piece.spec for piece in self.transforms])
        inputs = joined_inputs(self.report, [*(arm.spec for arm in self.arms), *(p.spec for p in self.transforms)])
        self.report.check()
        programs = [self._program(arm) for arm in self.arms]
        metrics = self._metrics()
        wanted = {name for metric in metrics for name in names_in(metric.value)}
        for program in programs:
            body = [statement for stage in STAGES for statement in program[stage]]
            check_direction_read(self.report, body, "d" in wanted)
        evaluate = self._evaluate()
        self.report.check()
        alone = len(self.pieces) == 1
        name = "_".join(piece.spec.name for piece in self.pieces)
        title = self.rule.title if alone else f"{self.rule.title} ({', '.join(self.prefix.values())})"
        class_name = "".join(piece.spec.class_name for piece in self.pieces)
        parts = self._parts()
        first = self.rule.text if alone else heading(name, class_name, title, [piece.asked for piece in self.pieces])
        text = bundled(first, parts[1:] if alone else parts)
        return replace(
            self.rule,
            name=name,
            title=title,
            reference="; ".join(dict.fromkeys(piece.spec.reference for piece in self.pieces if piece.spec.reference)),
            class_name=class_name,
            doc="\n\n".join(piece.spec.doc for piece in self.pieces if piece.spec.doc),
            matrix=matrix,
            hypers=MappingProxyType(self.hypers),
            require=self._require(),
            cautions=self._cautions(),
            presets=self._presets(),
            inputs=inputs,
            states=MappingProxyType(self.states),
            stages=MappingProxyType(programs[0] if len(programs) == 1 else self._branched(programs)),
            evaluate=evaluate,
            claims=self._claims(),
            examples=self._examples(),
            metrics=metrics,
            shows=tuple(replace(s, value=renamed(s.value, self.arms[0].names)) for s in self.rule.shows),
            path=self.rule.path if alone else "+".join(_address(piece) for piece in self.pieces),
            text=text,
            digest=digest(text),
            parts=parts,
            quirks=MappingProxyType({k: renamed(e, self.arms[0].names) for k, e in self.rule.quirks.items()}),
        )

    def _parts(self) -> tuple[Part, ...]:
        """Every text, once; a complaint where two are asked for alike."""
        found: dict[str, Part] = {}
        for piece in self.pieces:
            for part in (part for each in (piece, *piece.others) for part in parts_of(each)):
                if found.setdefault(part.asked, part).digest != part.digest:
                    self.report.error(
                        piece.where, f'two texts are asked for as "{part.asked}"', "rename one of the two"
                    )
        self.report.check()
        return tuple(found.values())

    # Names

    def _own(self, piece: Piece) -> dict[str, str]:
        """New names of what a transform declares itself, without what it takes from the rule."""
        return _prefixed(piece.spec, self.prefix[id(piece)])

    def _names(self, piece: Piece, arm: _Arm) -> dict[str, str]:
        """The same, and the names of what it takes from a rule."""
        return {**self._own(piece), **{name: arm.names.get(name, name) for name in _base_names(piece.spec)}}

    def _declare(self, spec: Spec, names: Mapping[str, str], owner: str, prefix: str) -> None:
        """Hypers and state of one text under their names in the joined rule."""
        for hyper in spec.hypers.values():
            if hyper.kind != "base":
                name = self._claim_name(names.get(hyper.name, hyper.name), hyper.loc, owner)
                self.hypers.setdefault(name, _hyper(hyper, name, prefix))
        for state in spec.states.values():
            if not state.base:
                name = self._claim_name(names.get(state.name, state.name), state.loc, owner)
                self.states.setdefault(name, _state(state, name, names, prefix))

    def _claim_name(self, name: str, where: Location, owner: str) -> str:
        taken = self.owner.setdefault(name, owner)
        if taken != owner:
            message = f'"{name}" would be a name of {taken} and of {owner}'
            self.report.error(where, message, f"rename it in one of the two; names of {owner} get its own as a prefix")
        elif name in COMMON_ARGUMENTS:
            self.report.error(where, f'"{name}" is an argument all optimizers share', f"rename it in {owner}")
        return name

    def _declare_chooser(self) -> None:
        names = tuple(arm.spec.name for arm in self.arms)
        doc = "which rule a group's tensors get; the first leaves it to the condition it is written for"
        where = self.rule.when.loc if self.rule.when is not None else self.base.where
        if len(set(names)) < len(names):
            self.report.error(where, f'"{names[0]}" takes its own place', "name another rule under `else`")
        each = MappingProxyType({PER_PARAMETER: CHOOSERS})
        self.hypers[CHOOSER] = Hyper(CHOOSER, names[0], "choice", choices=names, doc=doc, names=each, loc=where)

    def _check_base(self, transform: Spec, arm: _Arm) -> None:
        for what, wanted, offered in (
            ("hyper", {h.name: h.loc for h in transform.hypers.values() if h.kind == "base"}, arm.spec.hypers),
            ("state", {s.name: s.loc for s in transform.states.values() if s.base}, arm.spec.states),
        ):
            for name, where in wanted.items():
                if name not in offered:
                    message = f'{transform.name} takes the {what} "{name}" of the rule, and {arm.spec.name} has none'
                    hint = suggest(name, offered) or f"its own are: {', '.join(offered) or 'none'}"
                    self.report.error(where, message, hint)

    # Equations

    def _program(self, arm: _Arm) -> dict[str, tuple[Stmt, ...]]:
        """Every stage of one rule with what the transforms add to it, left to right."""
        stages: dict[str, tuple[Stmt, ...]] = dict.fromkeys(STAGES, ())
        for piece in self.pieces:
            if piece is self.base:
                own = {stage: renamed_body(body, arm.names) for stage, body in arm.spec.stages.items()}
                own["direction"] = own["direction"] or self._default_direction(arm)
            else:
                names = self._names(piece, arm)
                own = {stage: renamed_body(body, names) for stage, body in piece.spec.stages.items()}
            stages = {stage: stages[stage] + own[stage] for stage in STAGES}
        return assignable(stages, self.hypers)

    def _default_direction(self, arm: _Arm) -> tuple[Stmt, ...]:
        """`d = g` where a transform reads what the rule leaves out."""
        specs = [arm.spec if piece is self.base else piece.spec for piece in self.pieces]
        body = [statement for stage in STAGES for spec in specs for statement in spec.stages[stage]]
        where = Location(arm.spec.path, 1, 1)
        return (Assign(("d",), Name("g", where), where, "d = g"),) if reads_direction(body, False) else ()

    def _branched(self, programs: Sequence[Stages]) -> dict[str, tuple[Stmt, ...]]:
        """One program that settles which rule a tensor gets."""
        bodies = [tuple(statement for stage in STAGES for statement in program[stage]) for program in programs]
        last = bodies[-1]
        for number in reversed(range(len(self.arms) - 1)):
            condition = self._condition(number)
            text = f"if {self.arms[number].spec.name}:"
            last = (If(condition, bodies[number], last, condition.loc, text),)
        return {**dict.fromkeys(STAGES, ()), "update": last}

    def _condition(self, number: int) -> Expr:
        """When a tensor that got none of the rules before gets this one: its condition, unless a later one is named."""
        arm = self.arms[number]
        assert arm.spec.when is not None
        when = renamed(arm.spec.when, arm.names)
        later = [Compare("!=", Name(CHOOSER, when.loc), Text(a.spec.name), when.loc) for a in self.arms[number + 1 :]]
        return Logic("and", (*later, when), when.loc)

    # What else a text says

    def _evaluate(self) -> Expr | None:
        """The weights to evaluate with; a complaint where two parts say it."""
        own: list[tuple[Expr | None, Mapping[str, str]]] = [(self.rule.evaluate, {})]
        own += [(piece.spec.evaluate, self._names(piece, self.arms[0])) for piece in self.transforms]
        found = [(expr, names) for expr, names in own if expr is not None]
        if len(found) > 1:
            hint = "leave one of the parts out: weights can be evaluated in one way only"
            self.report.error(found[1][0].loc, "two parts say which weights to evaluate with (`eval`)", hint)
        for arm in self.arms:
            if arm.spec.evaluate is not None and len(self.arms) > 1:
                hint = "give such tensors an optimizer of their own"
                self.report.error(arm.spec.evaluate.loc, "`eval` beside `when`/`else` is not built yet", hint)
        return renamed(*found[0]) if found else None

    def _metrics(self) -> tuple[Metric, ...]:
        found = list(self.rule.metrics)
        for piece in self.transforms:
            names = self._names(piece, self.arms[0])
            found += [
                replace(
                    metric,
                    name=f"{self.prefix[id(piece)]}_{metric.name}",
                    value=renamed(metric.value, names),
                    text=renamed_text(metric.text, names),
                )
                for metric in piece.spec.metrics
            ]
        return tuple(found)

    def _require(self) -> tuple[tuple[Expr, str], ...]:
        found = [
            (self._where_taken(number, renamed(e, arm.names)), renamed_text(text, arm.names))
            for number, arm in enumerate(self.arms)
            for e, text in arm.spec.require
        ]
        for piece in self.transforms:
            for number, arm in enumerate(self.arms):
                names = self._names(piece, arm)
                found += [
                    (self._where_taken(number, renamed(expr, names)), renamed_text(text, names))
                    for expr, text in piece.spec.require
                ]
        return tuple(dict.fromkeys(found))

    def _where_taken(self, number: int, required: Expr) -> Expr:
        """A condition on tensors, as far as they get this rule; one on hypers alone as it is."""
        if len(self.arms) == 1 or not reads_metadata(required):
            return required
        where = required.loc
        earlier = [self._condition(i) for i in range(number)]
        others = [Unary("not", self._condition(number), where)] if number + 1 < len(self.arms) else []
        return Logic("or", (*earlier, *others, required), where)

    def _cautions(self) -> tuple[Caution, ...]:
        found = [(caution, arm.names) for arm in self.arms for caution in arm.spec.cautions]
        found += [
            (c, self._names(piece, arm)) for piece in self.transforms for arm in self.arms for c in piece.spec.cautions
        ]
        made = [Caution(renamed(c.when, names), renamed_text(c.text, names), c.say) for c, names in found]
        return tuple(dict.fromkeys(made))

    def _presets(self) -> Mapping[str, Mapping[str, Setting]]:
        found = dict(self.rule.presets)
        for piece in self.transforms:
            prefix = self.prefix[id(piece)]
            for name, settings in piece.spec.presets.items():
                found[f"{prefix}_{name}"] = _settings(settings, self._own(piece))
        return MappingProxyType(found)

    def _claims(self) -> tuple[Claim, ...]:
        """The rule's own if nothing joins it; those of a single transform about this rule, under its new names."""
        if not self.transforms:
            return self.rule.claims
        if len(self.transforms) > 1:
            return ()
        names = self._own(self.transforms[0])
        claims = [claim for claim in self.transforms[0].spec.claims if claim.rule == self.rule.name]
        return tuple(replace(claim, when=_settings(claim.when, names)) for claim in claims)

    def _examples(self) -> tuple[Example, ...]:
        """Likewise; an example of a transform is written with the joined names."""
        if not self.transforms:
            return self.rule.examples
        if len(self.transforms) > 1:
            return ()
        examples = [example for example in self.transforms[0].spec.examples if example.rule == self.rule.name]
        return tuple(replace(example, rule=None) for example in examples)


def assignable(stages: Stages, hypers: Mapping[str, Hyper]) -> dict[str, tuple[Stmt, ...]]:
    """The stages with every hyper that they assign as a local, `lr_now`, from the first such statement on."""
    assigned = [name for name in hypers if name in assigned_names(stages)]
    found = dict(stages)
    for name in assigned:
        local = _unused(f"{name}_now", {*hypers, *assigned_names(found)})
        names: dict[str, str] = {}
        for stage in STAGES:
            body: list[Stmt] = []
            for statement in found[stage]:
                if not names and _assigns(statement, name):
                    body += _first(statement, name, local)
                    names = {name: local}
                else:
                    body.append(renamed_body((statement,), names)[0])
            found[stage] = tuple(body)
    return found


def _first(statement: Stmt, name: str, local: str) -> list[Stmt]:
    """The first assignment of a hyper, to its local; where a branch assigns it, the local starts as the hyper."""
    if isinstance(statement, Assign):
        return [replace(statement, targets=(local,), text=f"{local}{statement.text.removeprefix(name)}")]
    start = Assign((local,), Name(name, statement.loc), statement.loc, f"{local} = {name}")
    return [start, *renamed_body((statement,), {name: local})]


def _assigns(statement: Stmt, name: str) -> bool:
    return any(isinstance(inner, Assign) and name in inner.targets for inner in statements((statement,)))


def _unused(name: str, taken: set[str]) -> str:
    return name if name not in taken else _unused(f"{name}_", taken)


def _address(piece: Piece) -> str:
    """What `load` takes to find a text again: a shipped name, or an absolute path."""
    path = piece.spec.path
    return piece.spec.name if is_shipped(path) else str(Path(path).absolute())


def _base_names(spec: Spec) -> list[str]:
    hypers = [hyper.name for hyper in spec.hypers.values() if hyper.kind == "base"]
    return hypers + [state.name for state in spec.states.values() if state.base]


def _prefixed(spec: Spec, prefix: str) -> dict[str, str]:
    """New names of everything a text names itself."""
    named = {*spec.hypers, *spec.states, *assigned_names(spec.stages)} - {*GIVENS, *_base_names(spec)}
    return {name: f"{prefix}_{name}" for name in sorted(named)}


def _prefixes(transforms: Sequence[Piece]) -> dict[int, str]:
    """The prefix of every transform: its name, and a number from its second occurrence on."""
    seen: dict[str, int] = {}
    found: dict[int, str] = {}
    for piece in transforms:
        name = piece.spec.name
        seen[name] = seen.get(name, 0) + 1
        found[id(piece)] = name if seen[name] == 1 else f"{name}{seen[name]}"
    return found


def _hyper(hyper: Hyper, name: str, prefix: str) -> Hyper:
    if not prefix:
        return hyper
    own = hyper.names.get(PER_PARAMETER)
    names = {PER_PARAMETER: f"{prefix}_{own}"} if own else {}
    return replace(hyper, name=name, symbol=_symbol(hyper.symbol, prefix), names=MappingProxyType(names))


def _state(state: State, name: str, names: Mapping[str, str], prefix: str) -> State:
    if not prefix:
        return state
    start = state.start
    start = tuple(renamed(e, names) for e in start) if isinstance(start, tuple) else renamed(start, names)
    symbol = _symbol(state.symbol, prefix)
    return replace(state, name=name, start=start, symbol=symbol, names=MappingProxyType({}))


def _symbol(symbol: str, prefix: str) -> str:
    r"""A symbol marked as a part's: `{\\beta}^{\\mathrm{name}}`."""
    shown = prefix.replace("_", r"\_")
    return f"{{{symbol}}}^{{\\mathrm{{{shown}}}}}" if symbol else ""


def _settings(settings: Mapping[str, Setting], names: Mapping[str, str]) -> Mapping[str, Setting]:
    return MappingProxyType({names.get(name, name): value for name, value in settings.items()})
