"""From a `Spec` to a `rule.program`: names resolved, vectors unrolled, extents and kinds inferred and checked."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from types import MappingProxyType

from xdsl.dialects.builtin import ArrayAttr, ModuleOp, StringAttr, UnknownLoc
from xdsl.ir import Block, Region, SSAValue

from optgen.errors import Diagnostic, Location, SpecError
from optgen.ir import rule_dialect as rule
from optgen.ir.emitter import Emitter
from optgen.ir.expressions import LOST, Expressions, Variable, Word, entry_name, with_article
from optgen.ir.extents import SCALAR_EXTENTS, Extent, at_most, join
from optgen.ir.functions import Function, Kind
from optgen.ir.rule_types import ExtentAttr, KindAttr, ValueType, type_of
from optgen.ir.text import location_attr
from optgen.memo import Recent
from optgen.runtime.gradients import gradient_slots
from optgen.runtime.metrics import INTERVAL, sums_of
from optgen.spec.model import Setting, Spec, State
from optgen.spec.source import in_order
from optgen.spec.syntax import Assign, Call, Expr, If, Name, Stmt, Text, names_in

ELEMENT = ValueType.of(Extent.ELEM)
#: Storage dtypes that a state may declare, by the kind of its start.
_DTYPES = {Kind.FLOAT: ("float64", "float32"), Kind.INT: ("int64",)}
#: Name of the choice every rule has: whether the gradient's sign is flipped before anything reads it.
MAXIMIZE = "maximize"


_BUILT: Recent[Spec, ModuleOp] = Recent(64)
_COUNTED: Recent[Spec, Spec] = Recent(64)


def build(spec: Spec) -> ModuleOp:
    """The memory form of a rule, in a module of its own that is not to be changed; built once per `Spec`.

    A SpecError holds everything that does not type.
    """
    return _BUILT.get(spec, None, lambda: _build(spec))


def _build(spec: Spec) -> ModuleOp:
    module = ModuleOp([_Builder(spec).program()])
    module.verify()
    return module


def counted(spec: Spec, settings: Mapping[str, Setting]) -> Spec:
    """The rule with as many gradients per tensor as settings say. HyperError for a count that its hyper cannot be."""
    if spec.gradients not in settings:
        return spec
    hyper = spec.hypers[spec.gradients]
    count = hyper.accept(settings[spec.gradients])
    if count == hyper.default:
        return spec
    changed = MappingProxyType({**spec.hypers, hyper.name: replace(hyper, default=count)})

    def made() -> Spec:
        plain = Spec(**{part.name: getattr(spec, part.name) for part in fields(Spec)})  # of a rule in Python too
        return replace(plain, hypers=changed)

    return _COUNTED.get(spec, count, made)


def state_slots(state: State) -> tuple[str, ...]:
    """Names of a state's slots: the state's own, or one per entry of a short vector."""
    if isinstance(state.start, tuple):
        return tuple(entry_name(state.name, i) for i in range(len(state.start)))
    return (state.name,)


class _Builder:
    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        counts = {spec.gradients: spec.gradient_count} if spec.gradients else {}
        self.text = Expressions(spec.hypers, spec.inputs, spec.line, counts)
        self.gradients = gradient_slots(spec.gradient_count)
        self.slots: dict[str, ValueType] = {"param": ELEMENT, "g": ELEMENT}
        self.within = Extent.MODEL  # the extent of the conditions around a statement, taken together
        self.skipped = Extent.MODEL  # and of those under which a `skip` was written before it
        self.found: list[Diagnostic] = []

    @property
    def emit(self) -> Emitter:
        return self.text.emit

    @contextmanager
    def _block(self) -> Generator[Block]:
        """A new block, which operations go to until the end of the `with`."""
        outer, block = self.text.emitter, Block()
        self.text.emitter = Emitter(block)
        try:
            yield block
        finally:
            self.text.emitter = outer

    def _types(self, work: Callable[[], None], *targets: str) -> None:
        """Do a part of the work. What is wrong there is noted, and its targets are lost, but the rest is still read."""
        try:
            work()
        except SpecError as error:
            self.found += error.diagnostics
            self.text.variables.update(dict.fromkeys(targets, LOST))

    def program(self) -> rule.ProgramOp:
        """Declarations, then every stage. A SpecError of everything that is wrong, in the order of the text."""
        spec = self.spec
        self._refuse_unbuilt()
        with self._block() as body:
            self._declare_names()
            for state in spec.states.values():
                self._types(lambda state=state: self._declare(state), state.name)
            self.text.variables["param"] = Variable((ELEMENT,))
            types, entries = (ELEMENT,) * len(self.gradients), spec.gradient_count or None
            self.text.variables["g"] = Variable(types, entries)
            self._maximize()
            for name, statements in spec.stages.items():
                if name == "direction":
                    self._types(lambda: self._assign("d", self.text.word(Name("g"))), "d")
                self._body(statements)
        if self.found:
            raise SpecError(in_order(self.found))
        wanted = names_in(spec.evaluate) if spec.evaluate is not None else ()
        keep = [slot for state in spec.states.values() if state.name in wanted for slot in state_slots(state)]
        sums = sums_of([metric.name for metric in spec.metrics]) if INTERVAL in spec.hypers else ()
        return rule.ProgramOp(
            properties={
                "sym_name": StringAttr(spec.name),
                "matrix": StringAttr(str(spec.matrix)),
                **({"keep": ArrayAttr([StringAttr(slot) for slot in keep])} if keep else {}),
                **({"sums": ArrayAttr([StringAttr(slot) for slot in sums])} if sums else {}),
            },
            regions=[Region(body)],
        )

    def _refuse_unbuilt(self) -> None:
        spec = self.spec
        if spec.kind == "transform":
            first = next(body[0].loc for body in spec.stages.values() if body)
            partner = next((example.rule for example in spec.examples if example.rule), "RULE")
            hint = f"join it to a rule: {partner}+{spec.name}"
            self._refuse(first, "a transform has no kernels of its own", hint)
        if spec.stages.get("probe"):
            where = spec.stages["probe"][0].loc
            self._refuse(where, "the probe stage is not built yet", "take the gradient where the weights are")
        if not isinstance(spec.matrix, str):
            hint = "say trailing, units, wide or square"
            self._refuse(spec.matrix[1].loc, "matrix: blocks(n) is not built yet", hint)
        for given in spec.inputs.values():
            if given.extent != "model":
                hint = "declare it over the model"
                self._refuse(given.loc, f'an input over "{given.extent}" is not built yet', hint)

    def _refuse(self, where: Location, message: str, hint: str) -> None:
        self._types(lambda: self.text.fail(where, message, hint))

    def _declare_names(self) -> None:
        for name, hyper in self.spec.hypers.items():
            if hyper.kind in ("list", "base"):
                self._refuse(hyper.loc, f"a {hyper.kind} hyper is not built yet", "declare numbers one by one")
                continue
            kind = Kind.BOOL if hyper.kind == "choice" else Kind(hyper.kind)
            self.emit.location = location_attr(hyper.loc)
            extent = ExtentAttr(Extent(hyper.over))
            self.emit.add(
                rule.DeclareHyperOp(properties={"sym_name": StringAttr(name), "extent": extent, "kind": KindAttr(kind)})
            )
        for name, given in self.spec.inputs.items():
            self.emit.location = location_attr(given.loc)
            properties = {"sym_name": StringAttr(name), "extent": ExtentAttr(Extent(given.extent))}
            self.emit.add(rule.DeclareInputOp(properties=properties))

    # State

    def _declare(self, state: State) -> None:
        starts = state.start if isinstance(state.start, tuple) else (state.start,)
        types = [self._declare_slot(state, name, start) for name, start in zip(state_slots(state), starts, strict=True)]
        entries = len(types) if isinstance(state.start, tuple) else None
        self.text.variables[state.name] = Variable(tuple(types), entries)

    def _declare_slot(self, state: State, name: str, start: Expr) -> ValueType:
        """Declare one slot; its start is in the memory form, with `param` in scope."""
        scope, self.text.variables = self.text.variables, {"param": Variable((ELEMENT,))}
        try:
            with self._block() as block:
                value, extent = self._start(start)
                self.emit.add(rule.YieldOp(operands=[[value]]))
        finally:
            self.text.variables = scope
        kind = type_of(value).kind
        if not at_most(type_of(value).extent, extent):
            self.text.fail(
                start.loc,
                f"{with_article(type_of(value).extent)} value cannot start {with_article(extent)} state",
                "start it from a coarser value",
            )
        if (kind is Kind.INT and extent not in SCALAR_EXTENTS) or kind is Kind.BOOL:
            self.text.fail(start.loc, f"a state of {kind}s over {extent} is not built yet", "start it from a float")
        self.emit.location = location_attr(state.loc)
        properties = {"sym_name": StringAttr(name), "extent": ExtentAttr(extent), "kind": KindAttr(kind)}
        if state.dtype is not None:
            built = _DTYPES[kind] if extent is not Extent.ELEM else _DTYPES[Kind.FLOAT]
            if state.dtype not in built:
                self.text.fail(
                    state.loc, f"{with_article(extent)} state of {state.dtype} is not built yet", f"use {built[-1]}"
                )
            properties["dtype"] = StringAttr(state.dtype)
        self.emit.add(rule.DeclareStateOp(properties=properties, regions=[Region(block)]))
        self.slots[name] = ValueType.of(extent, kind)
        return self.slots[name]

    def _start(self, start: Expr) -> tuple[SSAValue, Extent]:
        if isinstance(start, Call) and start.function == "zeros_like":
            self.text.scalar(start.args[0])
            return self.emit.number(0.0), Extent.ELEM
        if isinstance(start, Call) and start.function == "full":
            over = start.keyword("over")
            if not isinstance(over, Text):
                self.text.fail(start.loc, "a state of a given shape is not built yet", 'say over="row", "col", ...')
            return self.text.scalar(start.args[0]), Extent(over.value)
        value = self.text.scalar(start)
        return value, type_of(value).extent

    # Statements

    def _maximize(self) -> None:
        self.emit.location = UnknownLoc()
        with self._block() as then:
            for name in self.gradients:
                self.emit.set(name, self.emit.apply(Function.NEG, self.emit.get(name, ELEMENT)))
        flag = self.emit.choice(MAXIMIZE, "true", Extent.TENSOR)
        self.emit.add(rule.IfOp(operands=[flag], regions=[Region(then), Region(Block())]))

    def _body(self, statements: Sequence[Stmt]) -> None:
        for statement in statements:
            self.text.statement = " ".join(statement.text.split())
            match statement:
                case Assign(targets=targets):
                    self._types(lambda statement=statement: self._statement(statement), *targets)
                case If():
                    self._branch(statement)
                case _:
                    self.emit.location = location_attr(statement.loc, "skip")
                    self.emit.add(rule.SkipOp())
                    self.skipped = join(self.skipped, self.within)

    def _statement(self, statement: Assign) -> None:
        if len(statement.targets) != 1:
            self.text.fail(statement.loc, "several targets are not built yet", "assign one at a time")
        self._assign(statement.targets[0], self.text.word(statement.value), statement)

    def _assign(self, target: str, word: Word, statement: Assign | None = None) -> None:
        if isinstance(word, tuple):
            names, values, entries = [entry_name(target, i) for i in range(len(word))], word, len(word)
        else:
            names, values, entries = [target], (word,), None
        declared = self.spec.states.get(target)
        if statement is not None and (declared is not None or target in ("param", "g", "d")):
            self._check_slot(target, names, values, statement)
        for name, value in zip(names, values, strict=True):
            if value.name_hint is None and "[" not in name:
                value.name_hint = name
            self.emit.set(name, value)
        self.text.variables[target] = Variable(tuple(type_of(v) for v in values), entries)

    def _check_slot(self, target: str, names: list[str], values: Sequence[SSAValue], statement: Assign) -> None:
        declared = self.spec.states.get(target)
        slots = (target,) if declared is None else state_slots(declared)
        if tuple(names) != slots:
            self.text.fail(
                statement.loc,
                f"{target} has {len(slots)} {'entry' if len(slots) == 1 else 'entries'}, this value has {len(names)}",
                "give it as many, or take one: v[0]",
            )
        for name, value in zip(names, values, strict=True):
            slot, new = self.slots.get(name, ELEMENT), type_of(value)
            if not at_most(new.extent, slot.extent):
                self.text.fail(
                    statement.loc,
                    f"{target} holds one number per {slot.extent}, but this is {with_article(new.extent)} value",
                    f'reduce it over="{slot.extent}", or start {target} from a finer value',
                )
            if slot.kind is Kind.INT and new.kind is Kind.FLOAT:
                self.text.fail(statement.loc, f"{target} holds ints, but this is a float", "start it from a float: 0.0")
            for taken, what in ((self.within, "this branch is"), (self.skipped, "a `skip` before it is")):
                if not at_most(taken, slot.extent):
                    self.text.fail(
                        statement.loc,
                        f"{target} is one number per {slot.extent}, {what} taken per {taken}",
                        f"start {target} from {with_article(taken)} value, or assign it where nothing is per {taken}",
                    )

    def _branch(self, statement: If) -> None:
        conditions: list[SSAValue] = []  # none where the condition itself is wrong; its arms are read all the same
        self._types(lambda: conditions.append(self._condition(statement.condition)))
        extent = Extent.MODEL
        for condition in conditions:
            # one on choices alone is settled before anything has an extent: the arms' values keep theirs
            extent = Extent.MODEL if _on_choices_alone(condition) else type_of(condition).extent
        before = dict(self.text.variables)
        location = location_attr(statement.loc, " ".join(statement.text.split()))
        then, after_then = self._arm(statement.then, extent)
        self.text.variables = dict(before)
        orelse, after_else = self._arm(statement.orelse, extent)
        self.text.variables = {
            name: _merge(after_then[name], after_else[name], extent) for name in after_then if name in after_else
        }
        self.emit.location = location
        if conditions:
            self.emit.add(rule.IfOp(operands=conditions, regions=[Region(then), Region(orelse)]))

    def _condition(self, expr: Expr) -> SSAValue:
        condition = self.text.scalar(expr)
        extent = type_of(condition).extent
        if extent not in SCALAR_EXTENTS:
            self.text.fail(
                expr.loc,
                f"this condition differs within a tensor (it is {with_article(extent)} value)",
                "choose element by element: where(condition, a, b)",
            )
        return condition

    def _arm(self, statements: Sequence[Stmt], condition: Extent) -> tuple[Block, dict[str, Variable]]:
        outer, self.within = self.within, join(self.within, condition)
        with self._block() as block:
            self._body(statements)
        self.within = outer
        return block, self.text.variables


def _on_choices_alone(condition: SSAValue) -> bool:
    """Whether a condition asks for nothing but choices."""
    op = condition.owner
    if isinstance(op, rule.ApplyOp):
        return all(_on_choices_alone(arg) for arg in op.args)
    return isinstance(op, rule.ChoiceOp)


def _merge(a: Variable, b: Variable, condition: Extent) -> Variable:
    """Type of a variable after a branch: as fine as either arm and, unless neither assigned it, as the condition."""
    if a is b:
        return a
    if LOST in (a, b):
        return LOST
    if a.entries != b.entries:
        return Variable((), clash=True)
    types = tuple(
        ValueType.of(join(condition, join(x.extent, y.extent)), _wider(x.kind, y.kind))
        for x, y in zip(a.types, b.types, strict=True)
    )
    return Variable(types, a.entries)


def _wider(a: Kind, b: Kind) -> Kind:
    return a if a is b else (Kind.FLOAT if Kind.FLOAT in (a, b) else Kind.INT)
