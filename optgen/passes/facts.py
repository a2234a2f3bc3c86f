"""What a value of the value form depends on, what conditions imply of each other, which kernels keep their bits."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Flag, auto

import numpy as np
from xdsl.ir import Operation, SSAValue

from optgen.ir import kernel_dialect as kernel
from optgen.ir import rule_dialect as rule
from optgen.ir.exactness import inexact_among
from optgen.ir.functions import TABLE, Function


class Depends(Flag):
    """The kinds of thing a value is computed from; literals are nothing."""

    NOTHING = 0
    HYPER = auto()
    METADATA = auto()
    COUNTER = auto()
    DATA = auto()

    @property
    def known_to_host(self) -> bool:
        """Whether the value is known before any tensor is read."""
        return Depends.DATA not in self

    @property
    def is_static(self) -> bool:
        """Whether the value stays the same from step to step while hypers do."""
        return not self & (Depends.DATA | Depends.COUNTER)


def depends(value: SSAValue, memo: dict[SSAValue, Depends] | None = None) -> Depends:
    """Everything below a value."""
    memo = {} if memo is None else memo
    if value not in memo:
        op = producer(value)
        result = _own(op)
        for operand in op.operands:
            result |= depends(operand, memo)
        memo[value] = result
    return memo[value]


def producer(value: SSAValue) -> Operation:
    """The operation that makes a value; `rule` programs have no block arguments."""
    assert isinstance(value.owner, Operation)
    return value.owner


def _own(op: Operation) -> Depends:
    match op:
        case rule.ConstantOp() | rule.ApplyOp():
            return Depends.NOTHING
        case rule.HyperOp() | rule.ChoiceOp():
            return Depends.HYPER
        case rule.MetadataOp():
            return Depends.METADATA
        case rule.CounterOp():
            return Depends.COUNTER
        case _:
            return Depends.DATA


def evaluate(value: SSAValue, hypers: Mapping[str, float | int | bool | str]) -> float:
    """A value that depends on hypers alone, given them."""
    match op := producer(value):
        case rule.ConstantOp():
            return float(op.number)
        case rule.HyperOp():
            return float(hypers[op.hyper.string_value()])
        case rule.ApplyOp():
            args = [np.float64(evaluate(arg, hypers)) for arg in op.args]
            with np.errstate(all="ignore"):
                return float(TABLE[op.function.data].meaning(*args))
        case _:
            raise AssertionError(f"{op.name} does not depend on hypers alone")


_INVERSE = {Function.GT: Function.LE, Function.GE: Function.LT, Function.NE: Function.EQ}
Atom = tuple[object, ...]


def atom(value: SSAValue) -> tuple[Atom, bool]:
    """A comparison as a key and its sense, so that `k > 1` and `k <= 1` share the key."""
    op = producer(value)
    if isinstance(op, rule.ApplyOp) and op.function.data in _INVERSE:
        return (_INVERSE[op.function.data], *op.args), False
    if isinstance(op, rule.ApplyOp):
        return (op.function.data, *op.args), True
    return (value,), True


class Known:
    """Truths learned on the way to a branch."""

    def __init__(self) -> None:
        self._atoms: dict[Atom, bool] = {}

    def truth(self, value: SSAValue) -> bool | None:
        """What follows for a condition, None if nothing does."""
        op = producer(value)
        if isinstance(op, rule.ConstantOp):
            return bool(op.number)
        if isinstance(op, rule.ApplyOp) and op.function.data in (Function.AND, Function.OR, Function.NOT):
            truths = [self.truth(arg) for arg in op.args]
            if op.function.data is Function.NOT:
                return None if truths[0] is None else not truths[0]
            decisive = op.function.data is Function.OR
            if decisive in truths:
                return decisive
            return None if None in truths else not decisive
        key, sense = atom(value)
        known = self._atoms.get(key)
        return None if known is None else known is sense

    def learn(self, value: SSAValue, truth: bool) -> None:
        """Remember that a condition holds, or that it does not."""
        op = producer(value)
        if isinstance(op, rule.ApplyOp):
            function = op.function.data
            if function is Function.NOT:
                self.learn(op.args[0], not truth)
                return
            if (function is Function.AND and truth) or (function is Function.OR and not truth):
                for arg in op.args:
                    self.learn(arg, truth)
                return
        key, sense = atom(value)
        self._atoms[key] = truth is sense


def inexact(kernels: kernel.ModuleOp) -> list[str]:
    """Names of the operations in element work that backends round differently, sorted (`exp`, `powf`, ...).

    Where there are none the rule is exact: given the same step scalars, `strict` kernels are bit-identical everywhere.
    """
    sweeps = [op for op in kernels.walk() if isinstance(op, kernel.SweepOp)]
    called = [f"library.{op.function.data}" for op in kernels.walk() if isinstance(op, kernel.CallOp)]
    return inexact_among([*(op.name for sweep in sweeps for op in sweep.body.block.ops), *called])
