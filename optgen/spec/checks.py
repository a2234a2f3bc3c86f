"""Checks of a whole rule by itself: declarations against each other, then names and paths of its program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from optgen.spec.fields import Fields
from optgen.spec.flow import AssignmentFlow, assigned_names, check_direction_read, check_states
from optgen.spec.functions import CONSTANTS
from optgen.spec.model import STAGES, Spec
from optgen.spec.names import ExpressionChecker, Place, check_target
from optgen.spec.syntax import Assign, Call, Expr, If, Stmt, Text, names_in, statements, walk
from optgen.spec.vocabulary import DEPTH_ARGUMENTS, GIVENS, GRAPH_ARGUMENTS, MAX_DEGREE


def stage_expressions(stages: Mapping[str, tuple[Stmt, ...]]) -> Iterator[Expr]:
    """Every value and condition of the stages, in written order."""
    for body in stages.values():
        for statement in statements(body):
            if isinstance(statement, Assign):
                yield statement.value
            elif isinstance(statement, If):
                yield statement.condition


def optional_arguments(stages: Mapping[str, tuple[Stmt, ...]]) -> tuple[str, ...]:
    """Arguments an optimizer of this program has beyond its hypers: of the graph, of the depth."""
    calls = [node for expr in stage_expressions(stages) for node in walk(expr) if isinstance(node, Call)]
    arguments: tuple[str, ...] = ()
    if any(call.function in ("laplacian", "neighbors") for call in calls):
        arguments += GRAPH_ARGUMENTS
    elif any(call.keyword("over") == Text("layer") for call in calls):
        arguments += ("players",)
    if any(call.function == "depth" for call in calls):
        arguments += DEPTH_ARGUMENTS
    return arguments


def check_declarations(top: Fields, spec: Spec) -> None:
    """Names declared twice, and expressions outside the stages."""
    report = top.report
    seen: dict[str, str] = {}
    for what, names in (("hyper", spec.hypers), ("state", spec.states), ("input", spec.inputs)):
        for name, declared in names.items():
            if name in seen:
                message = f'"{name}" is already a {seen[name]}'
                report.error(declared.loc, message, f"choose another name for this {what}")
            seen.setdefault(name, what)
    if spec.kind == "rule":
        borrowed = [(hyper.name, hyper.loc) for hyper in spec.hypers.values() if hyper.kind == "base"]
        borrowed += [(state.name, state.loc) for state in spec.states.values() if state.base]
        for name, where in borrowed:
            hint = "give it a value, or make this a `kind: transform`"
            report.error(where, f'only a transform can take "{name}" from another rule', hint)
    if spec.otherwise and spec.when is None:
        report.error(top.at("else"), "`else` without `when`", "add `when:`, the condition for this rule")
    if spec.when is not None and not spec.otherwise:
        report.error(top.at("when"), "`when` without `else`", "add `else: NAME`, the rule for other tensors")
    hypers, known = frozenset(spec.hypers), _known(spec)
    settled = Place("`when`", hypers | CONSTANTS.keys(), "hypers and metadata such as ndim(param)", known)
    required = Place("`require`", hypers | CONSTANTS.keys(), "hypers and metadata such as ndim(param)", known)
    matrix = Place("`matrix`", hypers | CONSTANTS.keys(), "hypers and numbers", known)
    start_names = hypers | CONSTANTS.keys() | {"param"}
    start = Place("the start of a state", start_names, "param, hypers and metadata", known, starts=True)
    if spec.when is not None:
        ExpressionChecker(report, spec.hypers, settled).check(spec.when)
    for condition, _ in spec.require:
        ExpressionChecker(report, spec.hypers, required).check(condition)
    warned = Place("`warn`", hypers | CONSTANTS.keys() | {MAX_DEGREE}, f"hypers and {MAX_DEGREE}", known)
    for caution in spec.cautions:
        ExpressionChecker(report, spec.hypers, warned).check(caution.when)
    odd = Place("`quirks`", hypers | CONSTANTS.keys(), "hypers", known)
    for condition in spec.quirks.values():
        ExpressionChecker(report, spec.hypers, odd).check(condition)
    if isinstance(spec.matrix, tuple):
        ExpressionChecker(report, spec.hypers, matrix).check(spec.matrix[1])
    for state in spec.states.values():
        if not state.base:
            for expr in state.start if isinstance(state.start, tuple) else (state.start,):
                ExpressionChecker(report, spec.hypers, start).check(expr)


def check_program(top: Fields, spec: Spec, complete: bool) -> None:
    """Names and paths of the stages; `complete` is False where one could not be read, so that paths are unknown."""
    report = top.report
    program = Place("a stage", _known(spec), "hypers, inputs, state, givens and locals", frozenset())
    checker = ExpressionChecker(report, spec.hypers, program)
    inputs = frozenset(spec.inputs)
    for body in spec.stages.values():
        for statement in statements(body):
            if isinstance(statement, Assign):
                check_target(report, statement, spec.hypers, inputs)
    if not complete:
        return
    if _check_default_update(top, spec):
        for expr in stage_expressions(spec.stages):
            checker.check(expr)
    for metric in (*spec.metrics, *spec.shows):
        checker.check(metric.value)
    if spec.evaluate is not None:
        names = frozenset(spec.hypers) | spec.states.keys() | CONSTANTS.keys() | {"param", "t", "step"}
        place = Place("`eval`", names, "param, state, hypers and metadata", _known(spec))
        ExpressionChecker(report, spec.hypers, place).check(spec.evaluate)
    _check_paths(top, spec)


def _check_default_update(top: Fields, spec: Spec) -> bool:
    """Whether the update can be read; the default one needs a hyper lr."""
    if spec.kind == "transform" or top.get("update") is not None or "lr" in spec.hypers:
        return True
    hint = "declare `lr` under `hyper`, or write an `update` that assigns param"
    message = 'without an "update" the step is `param = param - lr*d`, and there is no hyper "lr"'
    top.report.error(top.at("name"), message, hint)
    return False


def _check_paths(top: Fields, spec: Spec) -> None:
    report = top.report
    locals_ = assigned_names(spec.stages) - spec.hypers.keys() - spec.states.keys() - spec.inputs.keys()
    locals_ -= {"param", "g", "t", "step"}
    flow = AssignmentFlow(report, set(), locals_ | {"d"})
    for stage in STAGES:
        if spec.kind == "transform" and stage == "direction":
            flow.sure.add("d")
        flow.run(spec.stages[stage])
    for metric in (*spec.metrics, *spec.shows):
        flow.read(metric.value)
    wanted = {name for metric in spec.metrics for name in names_in(metric.value)} | {"param"}
    if spec.evaluate is not None:
        wanted |= names_in(spec.evaluate)
    body = [statement for stage in STAGES for statement in spec.stages[stage]]
    if spec.kind == "rule":
        check_direction_read(report, body, "d" in wanted)
        after = {name: stage for name, stage in spec.stages.items() if name != "probe"}
        if "param" not in assigned_names(after):
            hint = "end with `param = param - lr*d`"
            report.error(top.at("update"), "`param` is never assigned", hint)
    else:
        wanted |= {"g", "d"} | {name for name, hyper in spec.hypers.items() if hyper.kind == "base"}
        wanted |= {name for name, state in spec.states.items() if state.base}
    check_states(report, spec.states, spec.stages, wanted)


def _known(spec: Spec) -> frozenset[str]:
    declared = {*spec.hypers, *spec.states, *spec.inputs}
    return frozenset(declared | {*GIVENS, *CONSTANTS} | assigned_names(spec.stages))
