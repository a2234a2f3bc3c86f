"""Values as text in the rule language, for messages, headers and keys."""

from __future__ import annotations

from xdsl.ir import Operation, SSAValue

from optgen.ir import rule_dialect as rule
from optgen.ir.functions import Function

_INFIX = {
    Function.OR: ("or", 1),
    Function.AND: ("and", 2),
    Function.EQ: ("==", 4),
    Function.NE: ("!=", 4),
    Function.LT: ("<", 4),
    Function.LE: ("<=", 4),
    Function.GT: (">", 4),
    Function.GE: (">=", 4),
    Function.ADD: ("+", 5),
    Function.SUB: ("-", 5),
    Function.MUL: ("*", 6),
    Function.DIV: ("/", 6),
    Function.FLOORDIV: ("//", 6),
    Function.MOD: ("%", 6),
    Function.POW: ("**", 8),
}


def describe(value: SSAValue, *, names: bool = False) -> str:
    """The expression that makes a value; with `names`, values that the rule names stand for themselves."""
    return _text(value, names)[0]


def _text(value: SSAValue, names: bool) -> tuple[str, int]:
    """Text and binding strength."""
    if names and value.name_hint is not None:
        return value.name_hint, 9
    op = value.owner
    assert isinstance(op, Operation)
    match op:
        case rule.ConstantOp():
            return f"{op.number!r}", 9
        case rule.HyperOp():
            return op.hyper.string_value(), 9
        case rule.CounterOp():
            return str(op.counter.data), 9
        case rule.MetadataOp():
            name = str(op.metadata.data)
            return f"{name}(param)", 9
        case rule.InputOp():
            return op.input.string_value(), 9
        case rule.OldOp():
            return op.slot.string_value(), 9
        case rule.ApplyOp():
            return _apply(op, names)
        case rule.ReduceOp():
            return f'{op.reduction.data}({_text(op.operand, names)[0]}, over="{op.over.data}")', 9
        case _:
            return f"{op.name.split('.')[1]}({', '.join(_text(x, names)[0] for x in op.operands)})", 9


def _apply(op: rule.ApplyOp, names: bool) -> tuple[str, int]:
    function = op.function.data
    if function in _INFIX:
        sign, strength = _INFIX[function]
        left, right = _text(op.args[0], names), _text(op.args[1], names)
        a = left[0] if left[1] >= strength + (function is Function.POW) else f"({left[0]})"
        b = right[0] if right[1] > strength or (function is Function.POW and right[1] >= strength) else f"({right[0]})"
        glued = function in (Function.MUL, Function.DIV, Function.POW)
        return (f"{a}{sign}{b}" if glued else f"{a} {sign} {b}"), strength
    if function in (Function.NOT, Function.NEG):
        strength = 3 if function is Function.NOT else 7
        inner = _text(op.args[0], names)
        body = inner[0] if inner[1] >= strength else f"({inner[0]})"
        return (f"not {body}" if function is Function.NOT else f"-{body}"), strength
    return f"{function}({', '.join(_text(arg, names)[0] for arg in op.args)})", 9
