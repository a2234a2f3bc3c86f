"""A rule against its own text: worked examples come out, and claims about other rules hold."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from optgen.errors import Diagnostic, Location, OptgenError, UsageError, suggest
from optgen.ir.functions import TABLE, Function
from optgen.runtime.arrangement import ARRANGEMENT, Arrangement
from optgen.spec.functions import CONSTANTS
from optgen.spec.model import Array as Written
from optgen.spec.model import Claim, Example, Spec
from optgen.spec.syntax import Binary, Call, Expr, Name, Number, Unary
from optgen.verify.claims import broken, shown_by
from optgen.verify.reference import Reference

Array = NDArray[np.float64]

_BINARY: Mapping[str, Function] = {
    "+": Function.ADD,
    "-": Function.SUB,
    "*": Function.MUL,
    "/": Function.DIV,
    "//": Function.FLOORDIV,
    "%": Function.MOD,
    "**": Function.POW,
}


def check(spec: Spec) -> list[Diagnostic]:
    """Every worked example and claim that does not come out, where it is written. The same result every time."""
    found: list[Diagnostic] = []
    for example in spec.examples:
        found += _checked(spec, example.loc, "the example", lambda one=example: _example(spec, one))
    for claim in spec.claims:
        found += _checked(spec, claim.loc, "the claim", lambda one=claim: _claim(spec, one))
    return found


def _checked(spec: Spec, where: Location, what: str, run: Callable[[], list[Diagnostic]]) -> list[Diagnostic]:
    try:
        return run()
    except OptgenError as error:
        return [_diagnostic(spec, where, f"{what} cannot be run: {error}", "its settings must fit the rule")]


def _claim(spec: Spec, claim: Claim) -> list[Diagnostic]:
    if shown_by(claim, spec) == "proven":
        return []
    difference = broken(spec, claim)
    hint = "add what the claim needs to `when`, or correct the equations"
    return [] if difference is None else [_diagnostic(spec, claim.loc, difference, hint)]


def _diagnostic(spec: Spec, where: Location, message: str, hint: str) -> Diagnostic:
    return Diagnostic(where, message, hint, spec.line(where))


# Worked examples


def _example(spec: Spec, example: Example) -> list[Diagnostic]:
    hypers = {name: value for name, value in example.settings.items() if name not in ARRANGEMENT}
    reference = Reference.arranged(spec, _arrays(example.param), hypers, Arrangement.of(example.settings))
    axis = (reference.gradients,) if spec.gradients else ()
    for step in range(example.steps):
        grads = {
            name: _fed(feed[step], reference.params[name], axis)
            for name, feed in example.feeds.get("g", {}).items()
            if feed
        }
        inputs = {
            name: float(np.asarray(_fed(feed[""][step], np.zeros(()))))
            for name, feed in example.feeds.items()
            if name != "g"
        }
        reference.step(grads, inputs)
    found: list[Diagnostic] = []
    for slot, tensors in example.expect.items():
        got = reference.params if slot == "param" else reference.state(slot)
        for tensor, expected in tensors.items():
            key = tensor or next(iter(got))  # a value that belongs to no tensor is the same with all of them
            found += _missed(spec, example, slot, tensor, got[key], expected)
    return found


def _arrays(written: Mapping[str, Written]) -> dict[str, Array]:
    return {name: np.array(x, dtype=np.float64) for name, x in written.items()}


def _missed(spec: Spec, example: Example, slot: str, tensor: str, got: Array, expected: Written) -> list[Diagnostic]:
    """A complaint where a value is further from what is written than half of its last digit."""
    wanted = np.array(expected, dtype=np.float64)
    room = np.array(example.tolerance[slot][tensor], dtype=np.float64)
    try:
        wanted, room = (np.broadcast_to(_shaped(x, got.shape), got.shape) for x in (wanted, room))
    except ValueError:
        message = f"the example expects {slot} of shape {list(wanted.shape)}, but it has {list(got.shape)}"
        return [_diagnostic(spec, example.loc, message, "write one number per entry")]
    # a decimal and half a unit of its last digit have rounding errors of their own
    slack = 4 * np.finfo(np.float64).eps * np.abs(wanted)
    if bool(np.all(np.abs(got - wanted) <= room + slack)):
        return []
    name = slot if len(example.param) == 1 else f"{slot} of {tensor}"
    message = f"the example expects {name} = {_shown(wanted, room)}, but the rule gives {_shown(got, room)}"
    hint = f"after {example.steps} step{'s' if example.steps > 1 else ''}; correct the equations or the numbers"
    return [_diagnostic(spec, example.loc, message, hint)]


def _shaped(x: Array, shape: tuple[int, ...]) -> Array:
    """Row and column state may be written without the axis of the matrices."""
    return x.reshape(shape) if x.size == math.prod(shape) else x


def _shown(x: Array, room: Array) -> str:
    """Numbers with one digit more than the example writes."""
    places = [max(0, 1 - round(np.log10(2 * float(r)))) if r > 0 else 6 for r in room.ravel()]
    entries = [f"{value:.{count}f}" for value, count in zip(x.ravel(), places, strict=True)]
    return entries[0] if x.ndim == 0 else "[" + ", ".join(entries) + "]"


def _fed(given: Written | Expr | None, param: Array, axis: tuple[int, ...] = ()) -> Array | None:
    """What an example feeds at one step; an expression is evaluated at the present parameter."""
    if given is None:
        return None
    if isinstance(given, float | int | tuple):
        return np.array(given, dtype=np.float64)
    with np.errstate(all="ignore"):
        return np.broadcast_to(_evaluate(given, param), (*axis, *param.shape)).copy()


def _evaluate(expr: Expr, param: Array) -> Array:
    """An element-wise expression in `param`."""
    match expr:
        case Number(value=value):
            return np.asarray(float(value))
        case Name(id="param"):
            return param
        case Name(id=name) if name in CONSTANTS:
            return np.asarray(CONSTANTS[name])
        case Unary(op="-" | "+" as sign, operand=operand):
            return _evaluate(operand, param) * (-1.0 if sign == "-" else 1.0)
        case Binary(op=op, left=left, right=right):
            return TABLE[_BINARY[op]].meaning(_evaluate(left, param), _evaluate(right, param))
        case Call(function=name, args=args, keywords=()) if _element_function(name, len(args)):
            return TABLE[Function(name)].meaning(*(_evaluate(argument, param) for argument in args))
        case _:
            names = sorted(function.value for function in Function if function.value.isalpha())
            near = suggest(expr.function, names) if isinstance(expr, Call) else ""
            known = "numbers, param, + - * / ** and functions of elements"
            raise UsageError(f"an input of an example is made of {known}. {near}".rstrip())


def _element_function(name: str, arguments: int) -> bool:
    known = {function.value for function in Function if not function.value.endswith("_")}
    return name in known and TABLE[Function(name)].arity == arguments
