"""Equations under other names: what joining rules does to the names that a text gives."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from optgen.spec.syntax import (
    Assign,
    Binary,
    Call,
    Compare,
    Expr,
    If,
    Index,
    Logic,
    Name,
    Skip,
    Stmt,
    Unary,
    Vector,
)

#: A quoted word, a comment, or a name that is not part of a longer one.
_TOKEN = re.compile(r"""(?P<kept>"[^"]*"|'[^']*'|\#[^\n]*)|(?P<name>(?<![\w.])[A-Za-z_]\w*)""")


def renamed(expr: Expr, names: Mapping[str, str]) -> Expr:
    """The expression with every name that is a key of `names` read under its new name; functions keep theirs."""
    match expr:
        case Name(id=name):
            return replace(expr, id=names.get(name, name))
        case Unary(operand=operand):
            return replace(expr, operand=renamed(operand, names))
        case Binary(left=left, right=right) | Compare(left=left, right=right):
            return replace(expr, left=renamed(left, names), right=renamed(right, names))
        case Logic(values=values):
            return replace(expr, values=_all(values, names))
        case Call(args=args, keywords=keywords):
            again = tuple((key, renamed(value, names)) for key, value in keywords)
            return replace(expr, args=_all(args, names), keywords=again)
        case Vector(items=items):
            return replace(expr, items=_all(items, names))
        case Index(base=base, index=index):
            return replace(expr, base=renamed(base, names), index=renamed(index, names))
        case _:
            return expr


def _all(exprs: Sequence[Expr], names: Mapping[str, str]) -> tuple[Expr, ...]:
    return tuple(renamed(expr, names) for expr in exprs)


def renamed_body(body: Sequence[Stmt], names: Mapping[str, str]) -> tuple[Stmt, ...]:
    """The statements under new names, and their texts with them."""
    return tuple(renamed_statement(statement, names) for statement in body)


def renamed_statement(statement: Stmt, names: Mapping[str, str]) -> Stmt:
    """One statement under new names."""
    match statement:
        case Assign(targets=targets, value=value, loc=loc, text=text):
            again = tuple(names.get(target, target) for target in targets)
            return Assign(again, renamed(value, names), loc, renamed_text(text, names))
        case If(condition=condition, then=then, orelse=orelse, loc=loc, text=text):
            arms = renamed_body(then, names), renamed_body(orelse, names)
            return If(renamed(condition, names), *arms, loc, renamed_text(text, names))
        case Skip():
            return statement


def renamed_text(text: str, names: Mapping[str, str]) -> str:
    """Text of an equation under new names; quoted words, comments and spacing stay."""
    return _TOKEN.sub(lambda found: found["kept"] or names.get(found["name"], found["name"]), text)
