"""Expressions of a rule text as `rule` values: vectors are unrolled, short forms are spelled out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import NoReturn

from xdsl.ir import SSAValue

from optgen.errors import Diagnostic, Location, SpecError
from optgen.ir.emitter import Emitter
from optgen.ir.extents import SCALAR_EXTENTS, Extent, at_most
from optgen.ir.functions import Function, Kind
from optgen.ir.rule_types import Counter, Metadata, Reduction, Stencil, ValueType, type_of
from optgen.ir.text import location_attr
from optgen.spec.functions import FUNCTIONS
from optgen.spec.model import Hyper, Input
from optgen.spec.names import literal_value
from optgen.spec.syntax import Binary, Boolean, Call, Compare, Expr, Index, Logic, Name, Number, Text, Unary, Vector

#: A scalar value, or the entries of a short vector.
Word = SSAValue | tuple[SSAValue, ...]


@dataclass(frozen=True)
class Variable:
    """Type of what a variable holds at this point; one type per entry for a vector, which `entries` counts.

    A `clash` holds scalars on one path and a vector, or one of another length, on the other: it cannot be read.
    """

    types: tuple[ValueType, ...]
    entries: int | None = None
    clash: bool = False


#: A variable whose value was refused: reading it is refused too, without another word.
LOST = Variable((), entries=0)

_BINARY = {
    "+": Function.ADD,
    "-": Function.SUB,
    "*": Function.MUL,
    "/": Function.DIV,
    "//": Function.FLOORDIV,
    "%": Function.MOD,
    "**": Function.POW,
}
_COMPARE = {
    "==": Function.EQ,
    "!=": Function.NE,
    "<": Function.LT,
    "<=": Function.LE,
    ">": Function.GT,
    ">=": Function.GE,
}
#: Functions of the language that are element functions under the same name.
_ELEMENTWISE = {f.value: f for f in Function if f.value in FUNCTIONS and FUNCTIONS[f.value].family == "elementwise"}
_METADATA = {name: Metadata(name) for name in ("ndim", "numel", "rows", "cols", "depth")}


#: What `newton_schulz` does where its text does not say: five steps of x*(3 - y)/2, norms from 1e-7.
_STEPS, _CUBIC, _LEAST_NORM = 5, (1.5, -0.5, 0.0), 1e-7


def entry_name(variable: str, entry: int) -> str:
    """Name of one entry of a short-vector variable."""
    return f"{variable}[{entry}]"


def with_article(extent: Extent) -> str:
    """An extent with its article."""
    return f"an {extent}" if extent is Extent.ELEM else f"a {extent}"


class Expressions:
    """Lowers expressions with the given names in scope; `counts` are hypers that stand for a literal."""

    def __init__(
        self,
        hypers: Mapping[str, Hyper],
        inputs: Mapping[str, Input],
        line: Callable[[Location], str],
        counts: Mapping[str, int] | None = None,
    ) -> None:
        self.hypers = hypers
        self.counts = counts or {}
        self.inputs = inputs
        self.variables: dict[str, Variable] = {}
        self.statement = ""
        self._line = line
        self.emitter: Emitter | None = None

    @property
    def emit(self) -> Emitter:
        """Where operations go."""
        assert self.emitter is not None
        return self.emitter

    def fail(self, where: Location, message: str, hint: str) -> NoReturn:
        """Refuse the text at a place; the hint says what to do."""
        raise SpecError([Diagnostic(where, message, hint, self._line(where))])

    # Words are scalars or vectors; most forms apply entry by entry.

    def scalar(self, expr: Expr) -> SSAValue:
        """Lower an expression that must not be a vector."""
        word = self.word(expr)
        if isinstance(word, tuple):
            self.fail(expr.loc, "a short vector cannot stand here", "take one entry: v[0]")
        return word

    def word(self, expr: Expr) -> Word:
        """Lower any expression."""
        match expr:
            case Number(value=value) | Boolean(value=value):
                return self._at(expr).number(value)
            case Text():
                self.fail(expr.loc, "a quoted word can only be compared with a choice", 'as in kind == "a"')
            case Name(id=name):
                return self._name(expr, name)
            case Unary(op="not", operand=operand):
                return self._each(expr, lambda xs: self.emit.apply(Function.NOT, *xs), operand)
            case Unary(op="-", operand=operand):
                return self._negative(expr, operand)
            case Unary(operand=operand):
                return self.word(operand)
            case Binary(op="**", left=left, right=Number(value=2)):
                return self._each(expr, lambda xs: self.emit.apply(Function.MUL, xs[0], xs[0]), left)
            case Binary(op=op, left=left, right=right):
                return self._each(expr, lambda xs: self.emit.apply(_BINARY[op], *xs), left, right)
            case Compare():
                return self._compare(expr)
            case Logic(op=op, values=values):
                function = Function.AND if op == "and" else Function.OR
                return self._each(expr, lambda xs: reduce(lambda a, b: self.emit.apply(function, a, b), xs), *values)
            case Vector(items=items):
                return tuple(self.scalar(item) for item in items)
            case Index():
                return self._index(expr)
            case Call():
                return self._call(expr)

    def _at(self, expr: Expr) -> Emitter:
        self.emit.location = location_attr(expr.loc, self.statement)
        return self.emit

    def _each(self, expr: Expr, build: Callable[[Sequence[SSAValue]], SSAValue], *operands: Expr) -> Word:
        words = [self.word(operand) for operand in operands]
        self._at(expr)
        lengths = {len(word) for word in words if isinstance(word, tuple)}
        if not lengths:
            return build([word for word in words if not isinstance(word, tuple)])
        if len(lengths) > 1:
            self.fail(
                expr.loc,
                f"short vectors of {' and '.join(map(str, sorted(lengths)))} entries do not go together",
                "give them as many entries, or one of them as a scalar",
            )
        entries = range(lengths.pop())
        return tuple(build([word[i] if isinstance(word, tuple) else word for word in words]) for i in entries)

    def _negative(self, expr: Expr, operand: Expr) -> Word:
        if isinstance(operand, Number):
            return self._at(expr).number(-operand.value)
        return self._each(expr, lambda xs: self.emit.apply(Function.NEG, *xs), operand)

    def _name(self, expr: Expr, name: str) -> Word:
        emit = self._at(expr)
        if (variable := self.variables.get(name)) is not None:
            if variable == LOST:
                raise SpecError(())
            if variable.clash:
                self.fail(
                    expr.loc,
                    f"{name} has another number of entries on each path to here",
                    "give it as many on every path, or two names",
                )
            if variable.entries is None:
                return emit.get(name, variable.types[0])
            return tuple(emit.get(entry_name(name, i), variable.types[i]) for i in range(variable.entries))
        if (hyper := self.hypers.get(name)) is not None:
            return self._hyper(expr, hyper)
        if name in self.inputs:
            return emit.input(name, Extent(self.inputs[name].extent))
        if name in ("t", "step"):
            return emit.counter(Counter(name))
        if name == "pi":
            return emit.number(math.pi)
        self.fail(expr.loc, f'unknown name "{name}"', "declare it, or assign it before")

    def _hyper(self, expr: Expr, hyper: Hyper) -> Word:
        if hyper.kind == "choice":
            self.fail(expr.loc, f'"{hyper.name}" is a choice', f'compare it: {hyper.name} == "{hyper.choices[0]}"')
        if hyper.name in self.counts:
            return self.emit.number(self.counts[hyper.name])
        if hyper.kind in ("list", "base"):
            self.fail(expr.loc, f'"{hyper.name}" is a {hyper.kind} hyper, which is not built yet', "use numbers")
        return self.emit.hyper(hyper.name, ValueType.of(Extent(hyper.over), Kind(hyper.kind)))

    def _compare(self, expr: Compare) -> Word:
        for name, word in ((expr.left, expr.right), (expr.right, expr.left)):
            if isinstance(word, Text):
                if isinstance(name, Call):
                    self.fail(expr.loc, f"{name.function} is not built yet", "give such tensors a group of their own")
                if not isinstance(name, Name) or name.id not in self.hypers:
                    self.fail(expr.loc, "a quoted word can only be compared with a choice", 'as in kind == "a"')
                hyper = self.hypers[name.id]
                chosen = self._at(expr).choice(hyper.name, word.value, Extent(hyper.over))
                return chosen if expr.op == "==" else self.emit.apply(Function.NOT, chosen)
        return self._each(expr, lambda xs: self.emit.apply(_COMPARE[expr.op], *xs), expr.left, expr.right)

    def _index(self, expr: Index) -> SSAValue:
        vector = self.word(expr.base)
        if not isinstance(vector, tuple):
            self.fail(expr.loc, "only a short vector has entries", "a scalar stands for itself: leave the index out")
        entry = literal_value(expr.index)
        if entry is not None:
            if not -len(vector) <= entry < len(vector) or not isinstance(entry, int):
                hint = "entries count from 0, and from -1 backwards"
                self.fail(expr.index.loc, f"the vector has entries 0 to {len(vector) - 1}", hint)
            return vector[entry]
        index = self.scalar(expr.index)
        emit, result = self._at(expr), vector[-1]
        for i in range(len(vector) - 2, -1, -1):
            here = emit.apply(Function.EQ, index, emit.number(i))
            result = emit.apply(Function.WHERE, here, vector[i], result)
        return result

    # Calls

    def _call(self, expr: Call) -> Word:
        name, emit = expr.function, self._at(expr)
        if name in _ELEMENTWISE:
            return self._each(expr, lambda xs: self.emit.apply(_ELEMENTWISE[name], *xs), *expr.args)
        if name in _METADATA:
            if not (isinstance(expr.args[0], Name) and expr.args[0].id == "param"):
                self.fail(expr.loc, f"{name} is known of param only", f"write {name}(param)")
            return emit.metadata(_METADATA[name])
        match name:
            case "clip":
                return self._each(expr, self._clip, *expr.args)
            case "laplacian" | "neighbors":
                return self._graph(expr)
            case "low_rank" | "newton_schulz":
                return self._library(expr)
            case "softmax":
                return self._softmax(expr)
            case "averages":
                return self._averages(expr)
            case "repeat":
                return self._repeat(expr)
            case "sum" | "mean" | "min" | "max" if expr.keyword("over") is None:
                return self._fold(expr)
            case "sum" | "mean" | "dot" | "norm" | "min" | "max" | "max_abs" | "any" | "all":
                return self._each(expr, lambda xs: self._reduction(expr, *xs), *expr.args)
            case _:
                self.fail(expr.loc, f"{name} is not built yet", "this compiler knows the name but cannot lower it")

    def _clip(self, xs: Sequence[SSAValue]) -> SSAValue:
        return self.emit.apply(Function.MINIMUM, self.emit.apply(Function.MAXIMUM, xs[0], xs[1]), xs[2])

    def _vector(self, expr: Expr) -> tuple[SSAValue, ...]:
        word = self.word(expr)
        if not isinstance(word, tuple):
            self.fail(expr.loc, "this takes a short vector", 'to reduce a tensor, say over which extent: over="tensor"')
        return word

    def _fold(self, expr: Call) -> SSAValue:
        vector = self._vector(expr.args[0])
        function = {"min": Function.MINIMUM, "max": Function.MAXIMUM}.get(expr.function, Function.ADD)
        emit, result = self._at(expr), vector[0]
        for entry in vector[1:]:
            result = emit.apply(function, result, entry)
        return emit.apply(Function.DIV, result, emit.number(len(vector))) if expr.function == "mean" else result

    def _softmax(self, expr: Call) -> Word:
        vector = self._vector(expr.args[0])
        emit, top = self._at(expr), vector[0]
        for entry in vector[1:]:
            top = emit.apply(Function.MAXIMUM, top, entry)
        powers = [emit.apply(Function.EXP, emit.apply(Function.SUB, entry, top)) for entry in vector]
        total = powers[0]
        for power in powers[1:]:
            total = emit.apply(Function.ADD, total, power)
        return tuple(emit.apply(Function.DIV, power, total) for power in powers)

    def _averages(self, expr: Call) -> Word:
        vector, average, decay = self._vector(expr.args[0]), self.scalar(expr.args[1]), self.scalar(expr.args[2])
        emit, found = self._at(expr), list[SSAValue]()
        for entry in vector:
            share = emit.apply(Function.SUB, emit.number(1), decay)
            kept, added = emit.apply(Function.MUL, decay, average), emit.apply(Function.MUL, share, entry)
            average = emit.apply(Function.ADD, kept, added)
            found.append(average)
        return tuple(found)

    def _repeat(self, expr: Call) -> Word:
        value, times = self.scalar(expr.args[0]), expr.args[1]
        if isinstance(times, Name) and times.id in self.counts:
            return (value,) * self.counts[times.id]
        if not isinstance(times, Number) or not isinstance(times.value, int) or not 1 <= times.value <= 64:
            self.fail(times.loc, "the length of a short vector is a literal from 1 to 64", "as in repeat(x, 3)")
        return (value,) * times.value

    def _graph(self, expr: Call) -> SSAValue:
        x = self.scalar(expr.args[0])
        if type_of(x).extent not in (Extent.ELEM, Extent.LAYER):
            self.fail(
                expr.loc,
                f"{expr.function} takes an element or a layer value, this is {with_article(type_of(x).extent)} value",
                'reduce it over="layer" first',
            )
        if type_of(x).kind is not Kind.FLOAT:
            x = self._at(expr).apply(Function.MUL, x, self.emit.number(1.0))
        return self._at(expr).graph(Stencil(expr.function), x)

    def _library(self, expr: Call) -> SSAValue:
        """A library call: the matrix, then its numbers in a fixed order."""
        x = self.scalar(expr.args[0])
        if type_of(x).extent is not Extent.ELEM:
            found = with_article(type_of(x).extent)
            self.fail(expr.loc, f"{expr.function} takes an element value, this is {found} value", "give it a matrix")
        numbers = [self.scalar(arg) for arg in expr.args[1:]]
        if expr.function == "newton_schulz":
            numbers = self._iteration(expr)
        for value in numbers:
            if type_of(value).extent not in SCALAR_EXTENTS:
                message = f"the numbers of {expr.function} are one per tensor, this is {type_of(value).extent}-wise"
                self.fail(expr.loc, message, "give it a number, or a hyper")
        return self._at(expr).call(expr.function, x, *numbers)

    def _iteration(self, expr: Call) -> list[SSAValue]:
        """Steps, three coefficients and the smallest norm of a Newton-Schulz iteration."""
        given = {name: expr.keyword(name) for name in ("steps", "coefficients", "eps")}
        steps, coefficients, eps = given["steps"], given["coefficients"], given["eps"]
        emit = self._at(expr)
        count = emit.number(_STEPS) if steps is None else self.scalar(steps)
        if type_of(count).kind is not Kind.INT:
            self.fail(expr.loc, "the steps of newton_schulz are counted: this is no int", "as in steps=5")
        abc: Word = tuple(emit.number(x) for x in _CUBIC) if coefficients is None else self.word(coefficients)
        if not isinstance(abc, tuple) or len(abc) != len(_CUBIC):
            self.fail(expr.loc, "newton_schulz takes three coefficients", "as in coefficients=[1.5, -0.5, 0.0]")
        least = self._at(expr).number(_LEAST_NORM) if eps is None else self.scalar(eps)
        return [count, *abc, least]

    def _reduction(self, expr: Call, *xs: SSAValue) -> SSAValue:
        over = expr.keyword("over")
        assert isinstance(over, Text)
        extent, emit, x = Extent(over.value), self._at(expr), xs[0]
        match expr.function:
            case "dot":
                x = emit.apply(Function.MUL, *xs)
            case "norm":
                x = emit.apply(Function.MUL, x, x)
            case "max_abs":
                x = emit.apply(Function.ABS, x)
            case _:
                pass
        own = type_of(x).extent
        if own is extent or not at_most(extent, own):
            self.fail(
                expr.loc,
                f"cannot reduce {with_article(own)} value over {extent}: it does not vary within one",
                "reduce over a coarser extent, or leave the reduction out",
            )
        reduction = {
            "min": Reduction.MIN,
            "all": Reduction.MIN,
            "max": Reduction.MAX,
            "any": Reduction.MAX,
            "max_abs": Reduction.MAX,
        }.get(expr.function, Reduction.SUM)
        result = emit.reduce(reduction, extent, x)
        if expr.function == "norm":
            return emit.apply(Function.SQRT, result)
        if expr.function == "mean":
            return emit.apply(Function.DIV, result, emit.count(extent, x))
        return result
