"""Settling: from the memory form of a program to the value form of each variant.

A condition on choices and other hypers is settled by the values given. A condition on what the host knows (metadata,
counters) makes two variants. A condition on data becomes `where`, as does one that only chooses among scalars, and one
taken per tensor in a program whose tensors are tied together by layers, the model or a graph: their variants would have
to take part in each other's reductions. A reduction under such a `where` is of the tensors that reach it.

Before:

    rule.if %due { rule.set @m, %m } else { }        // %due depends on step

After: a `rule.variant` with `rule.when 1, %due` and `rule.final @m, %m`, and one with `rule.when 0, %due` and neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from xdsl.dialects.builtin import IntegerAttr, ModuleOp, StringAttr, i1
from xdsl.ir import Block, Operation, Region, SSAValue

from optgen.errors import BackendError
from optgen.ir import rule_dialect as rule
from optgen.ir.emitter import Emitter
from optgen.ir.extents import SCALAR_EXTENTS, Extent, at_most
from optgen.ir.functions import Function, Kind
from optgen.ir.rule_types import Reduction, ValueType, type_of
from optgen.ir.text import place_of
from optgen.memo import RecentBySettings
from optgen.passes.describe import describe
from optgen.passes.facts import Depends, Known, depends, evaluate, producer
from optgen.runtime.gradients import GRADIENT, is_gradient

Setting = float | int | bool | str
MAX_VARIANTS = 64


@dataclass(frozen=True)
class Specialised:
    """The variants of a program under given hypers, and what those hypers settled: choices and conditions by text."""

    module: ModuleOp
    settled: Mapping[str, Setting]

    @property
    def variants(self) -> list[rule.VariantOp]:
        """The variants, in a fixed order."""
        return [op for op in self.module.body.block.ops if isinstance(op, rule.VariantOp)]


_MADE: RecentBySettings[rule.ProgramOp, Setting, Specialised] = RecentBySettings(32)


def specialise(program: rule.ProgramOp, hypers: Mapping[str, Setting]) -> Specialised:
    """Every variant of a program; `hypers` gives at least the choices and what the settled conditions read.

    It is not to be changed: the latest are kept, for every dtype set, backend and bound of the same program.
    """
    return _MADE.get(program, None, hypers, lambda read: _specialise(program, read))


def _specialise(program: rule.ProgramOp, hypers: Mapping[str, Setting]) -> Specialised:
    tied = any(is_shared(op) for op in program.walk())
    settled: dict[str, Setting] = {}
    pending: list[tuple[bool, ...]] = [()]
    variants: list[rule.VariantOp] = []
    while pending:
        decisions = pending.pop()
        run = _Run(hypers, settled, decisions, tied)
        variants.append(run.variant(program, len(variants)))
        pending += [(*run.decisions[:i], False) for i in range(len(run.decisions) - 1, len(decisions) - 1, -1)]
        if len(variants) > MAX_VARIANTS:
            raise BackendError(f"the conditions of @{program.sym_name.data} make more than {MAX_VARIANTS} variants")
    _drop_dead_states(variants, [*program.kept, *_changing(variants, program.summed)])
    module = ModuleOp(list(variants))
    return Specialised(module, dict(sorted(settled.items())))


@dataclass
class _Run:
    """One walk through the program; `decisions` answers the conditions that fork, further ones are answered True."""

    hypers: Mapping[str, Setting]
    settled: dict[str, Setting]
    given: tuple[bool, ...]
    tied: bool
    decisions: tuple[bool, ...] = ()
    whens: list[tuple[SSAValue, bool]] = field(default_factory=list[tuple[SSAValue, bool]])

    def __post_init__(self) -> None:
        self.block = Block()
        self.emit = Emitter(self.block, reuse=True)
        self.env: dict[str, SSAValue] = {}
        self.values: dict[SSAValue, SSAValue] = {}
        self.known = Known()
        self.path: SSAValue | None = None  # conjunction of the data conditions around this statement
        self.dead: SSAValue | None = None  # where a skip was reached
        self.frozen: dict[str, SSAValue] = {}
        self.slots: dict[str, ValueType] = {}

    def variant(self, program: rule.ProgramOp, number: int) -> rule.VariantOp:
        """Walk the program and give the variant that this walk found."""
        body = program.body.block
        states = {op.sym_name.data: op.type for op in body.ops if isinstance(op, rule.DeclareStateOp)}
        param = ValueType.of(Extent.ELEM)
        self.slots = {"param": param, **states}
        self.env = {name: self.emit.old(name, kind) for name, kind in self.slots.items()}
        self.env |= {name: self.emit.old(name, param) for name in _gradients(program)}
        initial = dict(self.env)
        self._walk(body)
        for value, truth in self.whens:
            self.emit.add(rule.WhenOp(operands=[value], properties={"holds": IntegerAttr(int(truth), i1)}))
        for name in self.slots:
            final = self._final(name)
            if final is not initial[name]:
                self.emit.final(name, final)
        self.emit.add(rule.AdvanceOp(operands=[self._advance()]))
        erase_dead(self.block)
        name = "_".join(_word(value, truth) for value, truth in self.whens)
        return rule.VariantOp(
            properties={"sym_name": StringAttr(name or f"always{number or ''}")}, regions=[Region(self.block)]
        )

    def _final(self, name: str) -> SSAValue:
        if self.dead is None:
            return self.env[name]
        frozen = self.frozen[name]
        if frozen is self.env[name]:
            return frozen
        return self._where(self.dead, frozen, self.env[name])

    def _advance(self) -> SSAValue:
        if self.dead is None:
            return self.emit.number(True)
        return self._apply(Function.NOT, self.dead)

    # Statements

    def _walk(self, block: Block) -> None:
        for op in block.ops:
            self.emit.location = op.location
            match op:
                case rule.DeclareHyperOp() | rule.DeclareInputOp() | rule.DeclareStateOp():
                    pass
                case rule.SetOp():
                    self._set(op)
                case rule.IfOp():
                    self._branch(op)
                case rule.SkipOp():
                    self._skip()
                case _:
                    value = self._value(op)
                    if value.name_hint is None and not isinstance(producer(value), rule.ConstantOp):
                        value.name_hint = op.results[0].name_hint
                    self.values[op.results[0]] = value

    def _set(self, op: rule.SetOp) -> None:
        self.env[op.variable.string_value()] = self.values[op.value]

    def _skip(self) -> None:
        here = self.path if self.path is not None else self.emit.number(True)
        for name in self.slots:
            kept = self.frozen.get(name)
            self.frozen[name] = self.env[name] if kept is None else self._where(here, self.env[name], kept)
        self.dead = here if self.dead is None else self._apply(Function.OR, self.dead, here)
        zero = self.emit.number(0.0)
        for name in filter(is_gradient, self.env):
            self.env[name] = self._where(here, zero, self.env[name])

    def _branch(self, op: rule.IfOp) -> None:
        scalars = chooses_scalars_only(op)
        condition = self._settle(self.values[op.condition], record=not scalars)
        truth = self.known.truth(condition)
        if truth is None and depends(condition).known_to_host and not scalars and self._may_fork(condition):
            truth = self._decide(condition)
        if truth is not None:
            self._walk(op.then.block if truth else op.orelse.block)
            return
        self._convert(op, condition)

    def _settle(self, condition: SSAValue, *, record: bool) -> SSAValue:
        """Replace the parts of a condition that hypers alone decide by their truth."""
        if not record or isinstance(producer(condition), rule.ConstantOp):
            return condition
        if depends(condition) == Depends.HYPER:
            truth = bool(evaluate(condition, self.hypers))
            self.settled[describe(condition)] = truth
            return self.emit.number(truth)
        op = producer(condition)
        if isinstance(op, rule.ApplyOp) and op.function.data in (Function.AND, Function.OR, Function.NOT):
            return self._apply(op.function.data, *(self._settle(arg, record=record) for arg in op.args))
        return condition

    def _may_fork(self, condition: SSAValue) -> bool:
        """Whether tensors of one step may take different variants here."""
        return not self.tied or type_of(condition).extent is Extent.MODEL

    def _decide(self, condition: SSAValue) -> bool:
        turn = len(self.decisions)
        truth = self.given[turn] if turn < len(self.given) else True
        self.decisions = (*self.decisions, truth)
        self.whens.append((condition, truth))
        self.known.learn(condition, truth)
        return truth

    def _convert(self, op: rule.IfOp, condition: SSAValue) -> None:
        """Run both arms and choose between their values."""
        before, outer = dict(self.env), self.path
        location = self.emit.location
        after: list[dict[str, SSAValue]] = []
        for block, holds in ((op.then.block, True), (op.orelse.block, False)):
            here = condition if holds else self._apply(Function.NOT, condition)
            self.path = here if outer is None else self._apply(Function.AND, outer, here)
            self.env = dict(before)
            self._walk(block)
            after.append(self.env)
        self.path, self.emit.location = outer, location
        self.env = {}
        for name in after[0]:
            if name in after[1]:
                merged = self._where(condition, after[0][name], after[1][name])
                if merged.name_hint is None and name.isidentifier():
                    merged.name_hint = name
                self.env[name] = merged

    # Values

    def _where(self, condition: SSAValue, a: SSAValue, b: SSAValue) -> SSAValue:
        return a if a is b else self._apply(Function.WHERE, condition, a, b)

    def _apply(self, function: Function, *args: SSAValue) -> SSAValue:
        """Build a function, folding logic on literals."""
        truth = [bool(op.number) if isinstance(op := producer(a), rule.ConstantOp) else None for a in args]
        match function:
            case Function.NOT if truth[0] is not None:
                return self.emit.number(not truth[0])
            case Function.AND | Function.OR:
                decisive = function is Function.OR
                if decisive in truth:
                    return self.emit.number(decisive)
                open_ = [arg for arg, known in zip(args, truth, strict=True) if known is None]
                if len(open_) < 2:
                    return open_[0] if open_ else self.emit.number(not decisive)
            case Function.WHERE if truth[0] is not None:
                return args[1] if truth[0] else args[2]
            case _:
                pass
        return self.emit.apply(function, *args)

    def _value(self, op: Operation) -> SSAValue:
        emit = self.emit
        match op:
            case rule.GetOp():
                return self.env[op.variable.string_value()]
            case rule.ChoiceOp():
                return emit.number(self._choice(op.hyper.string_value()) == op.value.data)
            case rule.ApplyOp():
                return self._apply(op.function.data, *(self.values[arg] for arg in op.args))
            case rule.ReduceOp():
                return self._reduce(op.reduction.data, op.over.data, self.values[op.operand], op)
            case rule.CountOp():
                return self._count(op.over.data, self.values[op.operand], op)
            case rule.GraphOp():
                if self.path is not None and type_of(self.path).extent is not Extent.MODEL:
                    raise BackendError(
                        f"{place_of(op)}: a graph operator in a branch taken per {type_of(self.path).extent} is not "
                        "built yet; take it before the branch"
                    )
                return emit.graph(op.kind.data, self.values[op.operand])
            case rule.CallOp():
                return self._call(op)
            case _:
                return emit.value(op.clone())

    def _call(self, op: rule.CallOp) -> SSAValue:
        """A library call. It runs between sweeps, where nothing but the host can say whether and with which numbers."""
        name, (x, *numbers) = op.function.data, [self.values[arg] for arg in op.args]
        if self.path is not None and not depends(self.path).known_to_host:
            raise BackendError(
                f"{place_of(op)}: {name} in a branch on {describe(self.path, names=True)}, which is known only when "
                "kernels have run; take it before the branch"
            )
        for number in numbers:
            if not depends(number).known_to_host:
                raise BackendError(
                    f"{place_of(op)}: {name} with {describe(number, names=True)}, which is known only when kernels "
                    "have run; use hypers, counters and metadata"
                )
        return self.emit.call(name, x, *numbers)

    def _reduce(self, reduction: Reduction, over: Extent, x: SSAValue, op: Operation) -> SSAValue:
        """A reduction of the tensors that reach it."""
        if over in (Extent.LAYER, Extent.MODEL) and any(isinstance(producer(v), rule.CallOp) for v in cone(x)):
            raise BackendError(
                f"{place_of(op)}: a reduction over {over} of what a library call gave is not built yet; reduce it over "
                "the tensor"
            )
        path = self._choosing_path(over, x, op)
        if path is not None:
            x = self._where(path, x, self.emit.number(_identity(reduction, type_of(x).kind)))
        return self.emit.reduce(reduction, over, x)

    def _count(self, over: Extent, x: SSAValue, op: Operation) -> SSAValue:
        path = self._choosing_path(over, x, op)
        if path is None:
            return self.emit.count(over, x)
        own = self._where(path, self.emit.count(Extent.TENSOR, x), self.emit.number(0))
        return self.emit.reduce(Reduction.SUM, over, own)

    def _choosing_path(self, over: Extent, x: SSAValue, op: Operation) -> SSAValue | None:
        """The condition of this statement, if it differs among the tensors that are reduced."""
        if self.path is None or at_most(type_of(self.path).extent, over):
            return None
        if at_most(type_of(x).extent, over):
            return None
        if type_of(x).extent is Extent.LAYER:
            raise BackendError(
                f"{place_of(op)}: a reduction of layer values in a branch taken per {type_of(self.path).extent} is not "
                "built yet; take it before the branch"
            )
        return self.path

    def _choice(self, name: str) -> str:
        value = self.hypers.get(name, False) if name == "maximize" else self.hypers[name]
        self.settled[name] = value
        return str(value).lower() if isinstance(value, bool) else str(value)


def _gradients(program: rule.ProgramOp) -> list[str]:
    """Names of the gradients that a program reads, and of a variable that stands for them."""
    read = (op.variable.string_value() for op in program.walk() if isinstance(op, rule.GetOp))
    return list(dict.fromkeys((GRADIENT, *filter(is_gradient, read))))


def is_shared(op: Operation) -> bool:
    """Whether an operation ties a tensor's step to other tensors: through a graph, layers or the model."""
    match op:
        case rule.GraphOp() | rule.EdgesOp() | rule.StencilOp():
            return True
        case rule.ReduceOp() | rule.CountOp():
            return op.over.data in (Extent.LAYER, Extent.MODEL)
        case rule.DeclareStateOp():
            return op.extent.data in (Extent.LAYER, Extent.MODEL)
        case _:
            return False


def _identity(reduction: Reduction, kind: Kind) -> float | int | bool:
    """What leaves a reduction of this kind as it is."""
    if reduction is Reduction.SUM:
        return 0
    largest = reduction is Reduction.MIN
    match kind:
        case Kind.BOOL:
            return largest
        case Kind.INT:
            return 2**53 if largest else -(2**53)
        case Kind.FLOAT:
            return float("inf") if largest else float("-inf")


def chooses_scalars_only(op: rule.IfOp) -> bool:
    """Whether both arms compute and assign nothing finer than a tensor, take no reduction and skip nothing."""
    for inner in (*op.then.block.ops, *op.orelse.block.ops):
        match inner:
            case rule.IfOp():
                if not chooses_scalars_only(inner):
                    return False
            case rule.SkipOp() | rule.ReduceOp() | rule.GraphOp() | rule.CallOp() | rule.StencilOp():
                return False
            case rule.SetOp():
                if type_of(inner.value).extent not in SCALAR_EXTENTS or _is_element(inner):
                    return False
            case _:
                if any(type_of(result).extent not in SCALAR_EXTENTS for result in inner.results):
                    return False
    return True


def _is_element(op: rule.SetOp) -> bool:
    """Whether the variable assigned is an element slot, the parameter, the gradient or the direction."""
    name, block = op.variable.string_value(), op.parent_block()
    while block is not None and not isinstance(block.parent_op(), rule.ProgramOp):
        parent = block.parent_op()
        block = None if parent is None else parent.parent_block()
    if name in ("param", "d") or is_gradient(name) or block is None:
        return True
    declared = next((s for s in block.ops if isinstance(s, rule.DeclareStateOp) and s.sym_name.data == name), None)
    return declared is not None and declared.extent.data not in SCALAR_EXTENTS


def _word(value: SSAValue, truth: bool) -> str:
    """An identifier for a condition that holds or does not."""
    op = producer(value)
    if isinstance(op, rule.ApplyOp) and op.function.data is Function.NOT:
        return _word(op.args[0], not truth)
    text = describe(value, names=True)
    for sign, word in _SPELLED:
        text = text.replace(sign, word)
    words = "".join(c if c.isalnum() else "_" for c in text)
    return ("" if truth else "not_") + "_".join(filter(None, words.split("_")))[:40]


_SPELLED = ((">=", " ge "), ("<=", " le "), ("==", " is "), ("!=", " isnt "), (">", " gt "), ("<", " lt "))


def erase_dead(block: Block) -> None:
    """Erase pure operations without a use."""
    for op in reversed(list(block.ops)):
        if op.results and not any(result.uses for result in op.results):
            op.detach()
            op.erase()


def cone(value: SSAValue) -> set[SSAValue]:
    """Every value below a value, itself included."""
    seen: set[SSAValue] = set()
    stack = [value]
    while stack:
        here = stack.pop()
        if here not in seen:
            seen.add(here)
            stack += producer(here).operands
    return seen


def _changing(variants: Sequence[rule.VariantOp], slots: Sequence[str]) -> list[str]:
    """Those of the slots that some variant gives a value other than the old one."""
    changing = {
        op.slot.string_value()
        for variant in variants
        for op in variant.body.block.ops
        if isinstance(op, rule.FinalOp) and not isinstance(producer(op.value), rule.OldOp)
    }
    return [slot for slot in slots if slot in changing]


def _drop_dead_states(variants: list[rule.VariantOp], kept: Sequence[str]) -> None:
    """Erase finals of slots that never reach `param` or one that is kept, in any variant, at any step."""
    reads: dict[str, set[str]] = {}
    for variant in variants:
        for op in variant.body.block.ops:
            if isinstance(op, rule.FinalOp):
                olds = {p.slot.string_value() for v in cone(op.value) if isinstance(p := producer(v), rule.OldOp)}
                reads.setdefault(op.slot.string_value(), set()).update(olds)
    live, stack = {"param", *kept}, ["param", *kept]
    while stack:
        for name in reads.get(stack.pop(), ()):
            if name not in live:
                live.add(name)
                stack.append(name)
    for variant in variants:
        for op in list(variant.body.block.ops):
            if isinstance(op, rule.FinalOp) and op.slot.string_value() not in live:
                op.detach()
                op.erase()
        erase_dead(variant.body.block)
