"""Checks along the program: names assigned on every path, `d` read, state that matters, code that is reached."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from optgen.spec.model import STAGES, State
from optgen.spec.source import Report
from optgen.spec.syntax import Assign, Expr, If, Skip, Stmt, names_in, statements, walk
from optgen.spec.syntax import Name as NameNode


@dataclass
class AssignmentFlow:
    """Which names are assigned on every path so far (`sure`) and on some path (`maybe`)."""

    report: Report
    sure: set[str]
    locals: frozenset[str]
    maybe: set[str] = field(default_factory=set[str])

    def read(self, expr: Expr) -> None:
        """Complain about locals that an expression reads and a path has not assigned."""
        for node in walk(expr):
            if not isinstance(node, NameNode) or node.id in self.sure or node.id not in self.locals:
                continue
            if node.id in self.maybe:
                hint = "assign it before the `if`, or in every branch (is there an `else:`?)"
                self.report.error(node.loc, f'"{node.id}" is not assigned on every path that leads here', hint)
            else:
                hint = "statements run in the order of the stages: probe, gradient, direction, update"
                self.report.error(node.loc, f'"{node.id}" is read before it is assigned', hint)
            self.sure.add(node.id)

    def run(self, body: Sequence[Stmt], top: bool = True) -> bool:
        """Follow a body; returns whether its end is reached."""
        reached = True
        for statement in body:
            if not reached:
                hint = "remove it, or move it before the `skip`"
                self.report.error(statement.loc, "this is never reached: every path before it skips", hint)
                return False
            match statement:
                case Assign(targets=targets, value=value):
                    self.read(value)
                    self.sure.update(targets)
                    self.maybe.update(targets)
                case Skip():
                    reached = False
                    if top:
                        hint = "put it under an `if`, or the rule never steps"
                        self.report.error(statement.loc, "this `skip` skips every step", hint)
                case If():
                    reached = self._branch(statement)
        return reached

    def _branch(self, branch: If) -> bool:
        self.read(branch.condition)
        before = set(self.sure)
        taken = self.run(branch.then, top=False)
        after_then, self.sure = self.sure, set(before)
        other = self.run(branch.orelse, top=False)
        self.sure &= after_then
        return taken or other


def check_direction_read(report: Report, body: Sequence[Stmt], read_later: bool) -> None:
    """Complain about every assignment of `d` that no later statement reads."""
    unread: list[Assign] = []
    _read_before(body, read_later, unread)
    for statement in unread:
        hint = "read it in `update`: `param = param - lr*d`, or use another name"
        report.error(statement.loc, "`d` is assigned here and nobody reads it", hint)


def reads_direction(body: Sequence[Stmt], read_later: bool) -> bool:
    """Whether statements read a `d` that was made before them."""
    return _read_before(body, read_later, [])


def _read_before(body: Sequence[Stmt], live: bool, unread: list[Assign]) -> bool:
    for statement in reversed(body):
        match statement:
            case Assign(targets=targets, value=value):
                if "d" in targets:
                    if not live:
                        unread.append(statement)
                    live = False
                live = live or "d" in names_in(value)
            case If(condition=condition, then=then, orelse=orelse):
                taken = _read_before(then, live, unread)
                other = _read_before(orelse, live, unread)
                live = taken or other or "d" in names_in(condition)
            case Skip():
                continue
    return live


def check_states(
    report: Report, states: Mapping[str, State], stages: Mapping[str, tuple[Stmt, ...]], wanted: Iterable[str]
) -> None:
    """Complain about state that is never read, or read only to keep itself going. `wanted`: names that matter."""
    sources: dict[str, set[str]] = {}
    needed = set(wanted)
    for stage in STAGES:
        _collect(stages.get(stage, ()), frozenset(), sources, needed)
    read = {name for names in sources.values() for name in names} | needed
    queue = list(needed)
    while queue:
        for name in sources.get(queue.pop(), set()) - needed:
            needed.add(name)
            queue.append(name)
    for name, state in states.items():
        if name not in read:
            message = f'the state "{name}" is never read'
        elif name not in needed:
            message = f'the state "{name}" never reaches param'
        else:
            continue
        report.error(state.loc, message, "remove it, or use it in the update or a metric")


def _collect(body: Sequence[Stmt], conditions: frozenset[str], sources: dict[str, set[str]], needed: set[str]) -> None:
    for statement in body:
        match statement:
            case Assign(targets=targets, value=value):
                for target in targets:
                    sources.setdefault(target, set()).update(names_in(value) | conditions)
            case If(condition=condition, then=then, orelse=orelse):
                inner = conditions | names_in(condition)
                _collect(then, inner, sources, needed)
                _collect(orelse, inner, sources, needed)
            case Skip():
                needed |= conditions


def assigned_names(stages: Mapping[str, tuple[Stmt, ...]]) -> frozenset[str]:
    """Every name that some statement assigns."""
    found = (s.targets for body in stages.values() for s in statements(body) if isinstance(s, Assign))
    return frozenset(name for targets in found for name in targets)
