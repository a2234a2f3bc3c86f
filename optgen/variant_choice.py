"""Which variant of a kernel module a tensor takes, worked out on the host: `select` and `reach` as plain numbers."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from optgen.errors import OptgenError
from optgen.ir.view import Module, Op, Value, Variant
from optgen.runtime import scalars
from optgen.runtime.scalars import Scalar

#: The 2-d tensor that figures are given for.
ROWS, COLS = 64, 128
METADATA: Mapping[str, float] = {
    "numel": ROWS * COLS,
    "ndim": 2.0,
    "rows": ROWS,
    "cols": COLS,
    "matrices": 1.0,
    "depth": 0.0,
}

#: A step of a long run: first steps are over, and, as it is prime, it ends no period.
LATE = 1_000_003

Known = float | int | bool
_BINARY: Mapping[str, Callable[[float, float], Known]] = {
    "arith.addf": operator.add,
    "arith.subf": operator.sub,
    "arith.mulf": operator.mul,
    "arith.andi": lambda a, b: bool(a) and bool(b),
    "arith.ori": lambda a, b: bool(a) or bool(b),
    "arith.xori": lambda a, b: bool(a) != bool(b),
}
_FUNCTIONS: Mapping[str, Callable[..., Scalar]] = {
    "arith.divf": scalars.divide,
    "arith.minimumf": scalars.minimum,
    "arith.maximumf": scalars.maximum,
    "arith.select": scalars.where,
    "kernel.mod": scalars.remainder,
    "math.powf": scalars.power,
    "math.absf": scalars.absolute,
    "math.roundeven": scalars.nearest,
    **{f"math.{name}": getattr(scalars, name) for name in ("sqrt", "exp", "expm1", "log", "log1p", "floor", "ceil")},
    **{f"math.{name}": getattr(scalars, name) for name in ("sin", "cos", "tanh")},
}
_PREDICATES: Mapping[str, Callable[[float, float], bool]] = {
    "oeq": operator.eq,
    "une": operator.ne,
    "olt": operator.lt,
    "ole": operator.le,
    "ogt": operator.gt,
    "oge": operator.ge,
}


@dataclass(frozen=True)
class Situation:
    """A tensor at a step: values of hypers and inputs by name, metadata, and both counters."""

    hypers: Mapping[str, float]
    inputs: Mapping[str, float] = field(default_factory=dict[str, float])
    metadata: Mapping[str, float] = field(default_factory=lambda: METADATA)
    t: int = LATE
    step: int = LATE


def chosen(module: Module, situation: Situation) -> Variant:
    """The variant that the tensor takes at this step."""
    number = 0 if module.select is None else _run(module.select, situation)
    return module.variants[int(number)]


def reached(module: Module, situation: Situation) -> list[Variant]:
    """The variants that the tensor may take at some step."""
    mask = 1 if module.reach is None else int(_run(module.reach, situation))
    return [variant for number, variant in enumerate(module.variants) if mask >> number & 1]


def _run(ops: Sequence[Op], situation: Situation) -> float:
    values: dict[Value, Known] = {}
    for op in ops:
        operands = [values[operand] for operand in op.operands]
        if op.name == "kernel.chosen":
            return float(operands[0])
        assert op.result is not None, op.name
        values[op.result] = _value(op, operands, situation)
    raise OptgenError("the choice of variants does not end in kernel.chosen")


def _value(op: Op, operands: Sequence[Known], situation: Situation) -> Known:
    match op.name:
        case "arith.constant":
            return float(op.attributes["value"])
        case "kernel.hyper":
            return situation.hypers[op.word("hyper")]
        case "kernel.input":
            return situation.inputs.get(op.word("input"), 0.0)
        case "kernel.metadata":
            return situation.metadata[op.word("metadata")]
        case "kernel.counter":
            return situation.step if op.word("counter") == "step" else situation.t
        case "arith.cmpf":
            return _PREDICATES[op.word("predicate")](operands[0], operands[1])
        case "arith.negf":
            return -operands[0]
        case name if name in _BINARY:
            return _BINARY[name](operands[0], operands[1])
        case name if name in _FUNCTIONS:
            found = _FUNCTIONS[name](*operands)
            assert not isinstance(found, scalars.Unknown), "every operand is known"
            return found
        case name:
            raise OptgenError(f"{name} has no value before a step, so it chooses no variant")
