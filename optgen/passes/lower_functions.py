"""Element functions of the `rule` dialect as `arith` and `math` operations on one float type."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from xdsl.dialects import arith, math
from xdsl.dialects.builtin import AnyFloat, FloatAttr, LocationAttr, UnknownLoc, i1
from xdsl.ir import Block, Operation, SSAValue

from optgen.ir import kernel_dialect as kernel
from optgen.ir.functions import TABLE, Function

_BINARY: dict[Function, Callable[[SSAValue, SSAValue], Operation]] = {
    Function.ADD: arith.AddfOp,
    Function.SUB: arith.SubfOp,
    Function.MUL: arith.MulfOp,
    Function.DIV: arith.DivfOp,
    Function.POW: math.PowFOp,
    Function.MINIMUM: arith.MinimumfOp,
    Function.MAXIMUM: arith.MaximumfOp,
}
_UNARY: dict[Function, Callable[[SSAValue], Operation]] = {
    Function.NEG: arith.NegfOp,
    Function.ABS: math.AbsFOp,
    Function.SQRT: math.SqrtOp,
    Function.EXP: math.ExpOp,
    Function.LOG: math.LogOp,
    Function.EXPM1: math.ExpM1Op,
    Function.LOG1P: math.Log1pOp,
    Function.FLOOR: math.FloorOp,
    Function.CEIL: math.CeilOp,
    Function.ROUND: math.RoundEvenOp,
    Function.SIN: math.SinOp,
    Function.COS: math.CosOp,
    Function.TANH: math.TanhOp,
}
_COMPARE = {
    Function.EQ: "oeq",
    Function.NE: "une",
    Function.LT: "olt",
    Function.LE: "ole",
    Function.GT: "ogt",
    Function.GE: "oge",
}
#: Functions that IEEE rounds exactly: of numbers of the text they are a number, the same on every machine.
_EXACT = frozenset(
    {Function.ADD, Function.SUB, Function.MUL, Function.DIV, Function.MINIMUM, Function.MAXIMUM}
    | {Function.NEG, Function.ABS, Function.SQRT, Function.FLOOR, Function.CEIL, Function.ROUND}
)


class Lowerer:
    """Appends operations on `float_type` (and i1) to a block. Backends may read a number of the text as a literal of
    its own precision, but none that is worked out of others."""

    def __init__(self, block: Block, float_type: AnyFloat) -> None:
        self.block = block
        self.float_type = float_type
        self.location: LocationAttr = UnknownLoc()
        self._constants: dict[str, SSAValue] = {}

    def add(self, op: Operation) -> Operation:
        """Append an operation."""
        op.location = self.location
        self.block.add_op(op)
        return op

    def value(self, op: Operation) -> SSAValue:
        """Append an operation with one result."""
        return self.add(op).results[0]

    def constant(self, number: float) -> SSAValue:
        """A literal, rounded to the float type."""
        key = repr(float(number))  # which tells -0.0 from 0.0
        if key not in self._constants:
            self._constants[key] = self.value(arith.ConstantOp(FloatAttr(float(number), self.float_type)))
        return self._constants[key]

    def as_bool(self, x: SSAValue) -> SSAValue:
        """A truth value: x itself, or whether it is not 0."""
        return x if x.type == i1 else self.value(arith.CmpfOp(x, self.constant(0.0), "une"))

    def as_float(self, x: SSAValue) -> SSAValue:
        """A number: x itself, or 1 where it holds."""
        return self.value(arith.SelectOp(x, self.constant(1.0), self.constant(0.0))) if x.type == i1 else x

    def convert(self, x: SSAValue, to: AnyFloat) -> SSAValue:
        """A change of float width."""
        if x.type == to:
            return x
        assert isinstance(x.type, AnyFloat)
        wider = to.bitwidth > x.type.bitwidth
        return self.value(arith.ExtFOp(x, to) if wider else arith.TruncFOp(x, to))

    def apply(self, function: Function, args: list[SSAValue]) -> SSAValue:
        """An element function."""
        if function in (Function.AND, Function.OR, Function.NOT, Function.WHERE):
            return self._logic(function, args)
        numbers = [self.as_float(arg) for arg in args]
        if (known := self._known(function, numbers)) is not None:
            return self.constant(known)
        if function in _BINARY:
            return self.value(_BINARY[function](numbers[0], numbers[1]))
        if function in _UNARY:
            return self.value(_UNARY[function](numbers[0]))
        if function in _COMPARE:
            return self.value(arith.CmpfOp(numbers[0], numbers[1], _COMPARE[function]))
        if function is Function.SIGN:
            return self._sign(numbers[0])
        if function is Function.FLOORDIV:
            return self.value(math.FloorOp(self.value(arith.DivfOp(numbers[0], numbers[1]))))
        assert function is Function.MOD, function
        return self.value(kernel.ModOp(operands=numbers, result_types=[self.float_type]))

    def _known(self, function: Function, args: Sequence[SSAValue]) -> float | None:
        """The result where that is a number of the text."""
        ops = [arg.owner for arg in args]
        if function not in _EXACT or not all(isinstance(op, arith.ConstantOp) for op in ops):
            return None
        kind = np.float64 if self.float_type.bitwidth == 64 else np.float32
        with np.errstate(all="ignore"):
            return float(TABLE[function].meaning(*(np.array(_literal(op), dtype=kind) for op in ops)))

    def _logic(self, function: Function, args: list[SSAValue]) -> SSAValue:
        condition = self.as_bool(args[0])
        if function is Function.WHERE:
            if args[1].type == i1 and args[2].type == i1:
                return self.value(arith.SelectOp(condition, args[1], args[2]))
            return self.value(arith.SelectOp(condition, self.as_float(args[1]), self.as_float(args[2])))
        if function is Function.NOT:
            true = self.value(arith.ConstantOp.from_int_and_width(1, i1))
            return self.value(arith.XOrIOp(condition, true))
        build = arith.AndIOp if function is Function.AND else arith.OrIOp
        return self.value(build(condition, self.as_bool(args[1])))

    def _sign(self, x: SSAValue) -> SSAValue:
        """1, -1, or x itself where it is 0 or NaN."""
        zero = self.constant(0.0)
        negative = self.value(arith.CmpfOp(x, zero, "olt"))
        positive = self.value(arith.CmpfOp(x, zero, "ogt"))
        below = self.value(arith.SelectOp(negative, self.constant(-1.0), x))
        return self.value(arith.SelectOp(positive, self.constant(1.0), below))


def _literal(op: Operation | Block) -> float:
    """The number that a constant is."""
    assert isinstance(op, arith.ConstantOp)
    assert isinstance(op.value, FloatAttr)
    return op.value.value.data
