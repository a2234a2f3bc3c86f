"""A Python function that says which state a tensor can ever need, for rules whose state depends on metadata.

It is the rule's host-known part run before any step: what only a step knows (counters, gradients) is UNKNOWN, and a
branch on it is followed on both sides. Rules whose tensors all have the same state need no such function.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from optgen.frontends.declared import ties_tensors
from optgen.frontends.python_text import SCALAR_FUNCTIONS, Expressions
from optgen.frontends.settling import hyper_only, inlined, read_names, substitute
from optgen.spec.functions import CONSTANTS, METADATA, reads_metadata
from optgen.spec.model import Spec
from optgen.spec.syntax import Assign, Call, Expr, If, Skip, Stmt, Unary, statements, walk

COUNTERS = ("t", "step")

#: Names that the function uses itself; a rule's name never starts with an underscore.
_TAKEN = ("need", "hyper", "meta", "scalars", "possible", "negation", "both", "either", "UNKNOWN", "frozenset", "math")


@dataclass(frozen=True)
class Needs:
    """Lines of the function's body (not indented), and the hyper-parameters it reads."""

    lines: tuple[str, ...]
    reads: tuple[str, ...]


def needs(spec: Spec) -> Needs | None:
    """The function, or None where every tensor has every state that the kernels have."""
    writer = _Writer(spec)
    body = [statement for stage in spec.stages.values() for statement in stage]
    if ties_tensors(spec) or not any(writer.decides(guards) for guards in _guards(body, spec)):
        return None
    writer.want(body)
    writer.block(body, 0)
    return Needs(tuple(writer.lines), tuple(name for name in spec.hypers if name in writer.reads))


def _guards(body: Sequence[Stmt], spec: Spec, above: tuple[Expr, ...] = ()) -> Iterator[tuple[Expr, ...]]:
    """The conditions above each statement that touches state."""
    for statement in body:
        if isinstance(statement, If):
            yield from _guards(statement.then, spec, (*above, statement.condition))
            yield from _guards(statement.orelse, spec, (*above, statement.condition))
        elif _touched(statement, spec):
            yield above


def _touched(statement: Stmt, spec: Spec) -> list[str]:
    if not isinstance(statement, Assign):
        return []
    names = read_names(statement.value) | set(statement.targets)
    return [state for state in spec.states if state in names]


class _Writer:
    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.known: Mapping[str, Expr] = inlined(spec)
        self.lines: list[str] = []
        self.sure: set[str] = set()
        self.reads: set[str] = set()
        self.uncertain: set[str] = set(COUNTERS)
        self.wanted: set[str] = set()
        self.host = self._host_locals()

    def _host_locals(self) -> set[str]:
        """Locals that hypers, metadata and counters decide."""
        body = [s for stage in self.spec.stages.values() for s in statements(stage) if isinstance(s, Assign)]
        assigned = {target for s in body for target in s.targets} - set(self.spec.states) - {"param", "g", "d"}
        host = set(assigned)
        while True:
            bad = {target for s in body for target in s.targets if target in host and not self._host(s.value, host)}
            if not bad:
                return host
            host -= bad

    def _host(self, expr: Expr, host: set[str]) -> bool:
        allowed = (*SCALAR_FUNCTIONS, *METADATA)
        for node in walk(expr):
            if isinstance(node, Call) and node.function not in allowed:
                return False
        readable = {*host, *self.spec.hypers, *CONSTANTS, *COUNTERS}
        return all(name in readable for name in read_names(expr))

    def decides(self, guards: tuple[Expr, ...]) -> bool:
        """Whether any guard may hold for one tensor and never for another of the same hyper-parameters."""
        return any(
            not hyper_only(substitute(guard, self.known), self.spec)
            and self._host(guard, self.host)
            and (reads_metadata(guard) or bool(read_names(guard) & self.host))
            for guard in guards
        )

    def want(self, body: Sequence[Stmt]) -> None:
        """Collects the locals that conditions need, and theirs."""
        inner = list(statements(body))
        for statement in inner:
            if isinstance(statement, If):
                self.wanted |= read_names(statement.condition)
        size = -1
        while size != len(self.wanted):
            size = len(self.wanted)
            for statement in inner:
                if isinstance(statement, Assign) and self.wanted & set(statement.targets):
                    self.wanted |= read_names(statement.value)
        self.wanted &= self.host

    def block(self, body: Sequence[Stmt], depth: int) -> None:
        """Writes the statements that matter; True for nothing written is left to the caller."""
        for statement in body:
            match statement:
                case Assign(targets=(target,), value=value) if target in self.wanted:
                    self._line(depth, f"{self._name(target)} = {self._text(value)}")
                    if self._uncertain(value):
                        self.uncertain.add(target)
                    else:
                        self.uncertain.discard(target)
                case If():
                    self._branch(statement, depth)
                case Skip():
                    self._line(depth, "return frozenset(need)")
                case _:
                    pass
            touched = _touched(statement, self.spec)
            if touched:
                self._need(depth, touched)

    def _need(self, depth: int, touched: Sequence[str]) -> None:
        names = [name for name in touched if name not in self.sure]
        if not names:
            return
        self.sure |= set(names)
        start = "    " * depth + "need |= {"
        listed = ", ".join(f'"{name}"' for name in names)
        if self.lines and self.lines[-1].startswith(start):
            self.lines[-1] = self.lines[-1].removesuffix("}") + f", {listed}}}"
        else:
            self.lines.append(f"{start}{listed}}}")

    def _branch(self, statement: If, depth: int) -> None:
        if not self._matters(statement):
            return
        condition = statement.condition
        if self._transparent(statement):
            for body in (statement.then, statement.orelse):
                self.block(body, depth)
        elif not self._host(condition, self.host):
            self._either_way(statement, depth)
        elif not self._uncertain(condition):
            self._sides(statement, depth, self._text(condition), None)
        else:
            text = self._text(condition)
            negated = self._text(Unary("not", condition))
            self._sides(statement, depth, f"possible({text})", f"possible({negated})")
            self._forget(statement, depth)

    def _transparent(self, statement: If) -> bool:
        """Whether a branch decides about state only, and on hyper-parameters alone: the kernels then know already."""
        inner = list(statements((*statement.then, *statement.orelse)))
        return hyper_only(substitute(statement.condition, self.known), self.spec) and not any(
            isinstance(s, Skip) or (isinstance(s, Assign) and self.wanted & set(s.targets)) for s in inner
        )

    def _sides(self, statement: If, depth: int, condition: str, negated: str | None) -> None:
        """Both sides; with `negated` they do not exclude each other, and a `skip` in them does not return."""
        before, sure = set(self.uncertain), set(self.sure)
        marked = len(self.lines)
        self._line(depth, f"if {condition}:")
        self._side(statement.then, depth + 1, negated is None)
        after = set(self.uncertain)
        self.uncertain, self.sure = set(before), set(sure)
        if statement.orelse:
            opened = len(self.lines)
            self._line(depth, "else:" if negated is None else f"if {negated}:")
            self._side(statement.orelse, depth + 1, negated is None)
            self._join_elif(opened, depth)
            if [line.strip() for line in self.lines[opened + 1 :]] == ["pass"]:
                del self.lines[opened:]
        if self.lines[marked + 1 :] == [f"{'    ' * (depth + 1)}pass"]:
            del self.lines[marked:]
        self.uncertain |= after
        self.sure = sure

    def _join_elif(self, opened: int, depth: int) -> None:
        """Turns an `else:` that holds one `if` and nothing else into `elif`."""
        inner = "    " * (depth + 1)
        body = self.lines[opened + 1 :]
        own = [line for line in body if line.startswith(inner) and not line.startswith(inner + " ")]
        chained = (
            own
            and own[0].startswith(f"{inner}if ")
            and all(line.startswith((f"{inner}elif ", f"{inner}else:")) for line in own[1:])
        )
        if self.lines[opened].strip() == "else:" and chained:
            self.lines[opened:] = [line[4:] for line in body]
            self.lines[opened] = self.lines[opened].replace("if ", "elif ", 1)

    def _side(self, body: Sequence[Stmt], depth: int, certain: bool) -> None:
        count = len(self.lines)
        self.block(body if certain else [s for s in body if not isinstance(s, Skip)], depth)
        if len(self.lines) == count:
            self._line(depth, "pass")

    def _either_way(self, statement: If, depth: int) -> None:
        """A branch on values: both sides may happen."""
        for body in (statement.then, statement.orelse):
            self.block([s for s in body if not isinstance(s, Skip)], depth)
        self._forget(statement, depth)

    def _forget(self, statement: If, depth: int) -> None:
        for inner in statements((*statement.then, *statement.orelse)):
            if isinstance(inner, Assign):
                for target in inner.targets:
                    if target in self.wanted:
                        self._line(depth, f"{self._name(target)} = UNKNOWN")
                        self.uncertain.add(target)

    def _matters(self, statement: If) -> bool:
        inner = list(statements((*statement.then, *statement.orelse)))
        return any(
            isinstance(s, Skip) or _touched(s, self.spec) or (isinstance(s, Assign) and self.wanted & set(s.targets))
            for s in inner
        )

    def _uncertain(self, expr: Expr) -> bool:
        return bool(read_names(expr) & self.uncertain)

    def _text(self, expr: Expr) -> str:
        return Expressions(self._name, uncertain=self._uncertain).text(expr)

    def _name(self, name: str) -> str:
        if name in COUNTERS:
            return "UNKNOWN"
        if name in self.spec.hypers:
            self.reads.add(name)
            return f'hyper["{name}"]'
        return f"_{name}" if name in _TAKEN else name

    def _line(self, depth: int, text: str) -> None:
        self.lines.append("    " * depth + text)
