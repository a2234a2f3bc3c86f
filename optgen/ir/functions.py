"""The element functions of the `rule` dialect: arity, result kind and exact meaning, one row each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from xdsl.utils.str_enum import StrEnum

Array = NDArray[np.float64]


class Kind(StrEnum):
    """What a value counts as; a bool counts as 0 or 1 in arithmetic."""

    FLOAT = "float"
    INT = "int"
    BOOL = "bool"


class Function(StrEnum):
    """Names of element functions, as printed in IR."""

    ADD = "add"
    SUB = "sub"
    MUL = "mul"
    DIV = "div"
    FLOORDIV = "floordiv"
    MOD = "mod"
    POW = "pow"
    NEG = "neg"
    EQ = "eq"
    NE = "ne"
    LT = "lt"
    LE = "le"
    GT = "gt"
    GE = "ge"
    AND = "and_"
    OR = "or_"
    NOT = "not_"
    WHERE = "where"
    MINIMUM = "minimum"
    MAXIMUM = "maximum"
    ABS = "abs"
    SIGN = "sign"
    SQRT = "sqrt"
    EXP = "exp"
    LOG = "log"
    EXPM1 = "expm1"
    LOG1P = "log1p"
    FLOOR = "floor"
    CEIL = "ceil"
    ROUND = "round"
    SIN = "sin"
    COS = "cos"
    TANH = "tanh"


def _where(c: Array, a: Array, b: Array) -> Array:
    return np.where(c != 0, a, b)


def _floordiv(a: Array, b: Array) -> Array:
    return np.floor(a / b)


def _mod(a: Array, b: Array) -> Array:
    return np.where(b == 0, 0.0, np.mod(a, np.where(b == 0, 1.0, b)))


def _as_float(predicate: Callable[..., NDArray[np.bool_]]) -> Callable[..., Array]:
    return lambda *args: predicate(*args).astype(np.float64)


@dataclass(frozen=True)
class Info:
    """One row of the table. `kind` is `same` (join of the operands'), `float` or `bool`."""

    arity: int
    kind: str
    meaning: Callable[..., Array]


TABLE: dict[Function, Info] = {
    Function.ADD: Info(2, "same", np.add),
    Function.SUB: Info(2, "same", np.subtract),
    Function.MUL: Info(2, "same", np.multiply),
    Function.DIV: Info(2, "float", np.divide),
    Function.FLOORDIV: Info(2, "same", _floordiv),
    Function.MOD: Info(2, "same", _mod),
    Function.POW: Info(2, "float", np.power),
    Function.NEG: Info(1, "same", np.negative),
    Function.EQ: Info(2, "bool", _as_float(np.equal)),
    Function.NE: Info(2, "bool", _as_float(np.not_equal)),
    Function.LT: Info(2, "bool", _as_float(np.less)),
    Function.LE: Info(2, "bool", _as_float(np.less_equal)),
    Function.GT: Info(2, "bool", _as_float(np.greater)),
    Function.GE: Info(2, "bool", _as_float(np.greater_equal)),
    Function.AND: Info(2, "bool", _as_float(np.logical_and)),
    Function.OR: Info(2, "bool", _as_float(np.logical_or)),
    Function.NOT: Info(1, "bool", _as_float(np.logical_not)),
    Function.WHERE: Info(3, "same", _where),
    Function.MINIMUM: Info(2, "same", np.minimum),
    Function.MAXIMUM: Info(2, "same", np.maximum),
    Function.ABS: Info(1, "same", np.abs),
    Function.SIGN: Info(1, "same", np.sign),
    Function.SQRT: Info(1, "float", np.sqrt),
    Function.EXP: Info(1, "float", np.exp),
    Function.LOG: Info(1, "float", np.log),
    Function.EXPM1: Info(1, "float", np.expm1),
    Function.LOG1P: Info(1, "float", np.log1p),
    Function.FLOOR: Info(1, "float", np.floor),
    Function.CEIL: Info(1, "float", np.ceil),
    Function.ROUND: Info(1, "float", np.round),
    Function.SIN: Info(1, "float", np.sin),
    Function.COS: Info(1, "float", np.cos),
    Function.TANH: Info(1, "float", np.tanh),
}

COMPARISONS = frozenset({Function.EQ, Function.NE, Function.LT, Function.LE, Function.GT, Function.GE})


def result_kind(function: Function, kinds: Sequence[Kind]) -> Kind:
    """Kind of a function's result from its operands' (the condition of `where` does not count)."""
    match TABLE[function].kind:
        case "float":
            return Kind.FLOAT
        case "bool":
            return Kind.BOOL
        case _:
            counted = kinds[1:] if function is Function.WHERE else kinds
            if Kind.FLOAT in counted:
                return Kind.FLOAT
            if function is Function.WHERE and all(kind is Kind.BOOL for kind in counted):
                return Kind.BOOL
            return Kind.INT
