"""Equations as text to nodes of `optgen.spec.syntax`: Python's parser, then a whitelist. Nothing is ever evaluated."""

from __future__ import annotations

import ast
import math
import re
import warnings
from collections.abc import Sequence
from typing import Literal

from optgen.errors import Location
from optgen.spec import refusals
from optgen.spec.source import Report
from optgen.spec.syntax import (
    Assign,
    Binary,
    BinaryOp,
    Boolean,
    Call,
    Compare,
    CompareOp,
    Expr,
    If,
    Index,
    Logic,
    Name,
    Number,
    Skip,
    Stmt,
    Text,
    Unary,
    UnaryOp,
    Vector,
)
from optgen.spec.tokens import Passage, check_bounds

MAX_TREE = 120

_BINARY: dict[type[ast.operator], BinaryOp] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
}
_COMPARE: dict[type[ast.cmpop], CompareOp] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
_UNARY: dict[type[ast.unaryop], UnaryOp] = {ast.USub: "-", ast.UAdd: "+", ast.Not: "not"}
_WORDS = {"true": True, "false": False}


def parse_body(passage: Passage, report: Report) -> tuple[Stmt, ...] | None:
    """The statements of a stage; None where something in it was refused."""
    tree = _parse(passage, report, "exec")
    return _Converter(passage, report).body(tree.body) if isinstance(tree, ast.Module) else None


def parse_expression(passage: Passage, report: Report) -> Expr | None:
    """One expression; None where something in it was refused."""
    tree = _parse(passage, report, "eval")
    if not isinstance(tree, ast.Expression):
        return None
    try:
        return _Converter(passage, report).expression(tree.body)
    except _RefusedError as refused:
        report.error(refused.where, refused.message, refused.hint)
        return None


def _parse(passage: Passage, report: Report, mode: Literal["exec", "eval"]) -> ast.Module | ast.Expression | None:
    if not check_bounds(passage, report):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tree = ast.parse(passage.text) if mode == "exec" else ast.parse(passage.text, mode="eval")
    except SyntaxError as error:
        where = passage.at(error.lineno or 1, max(0, (error.offset or 1) - 1))
        report.error(where, *_syntax_message(error, mode))
        return None
    except (MemoryError, RecursionError):
        report.error(passage.at(1, 0), "these equations are too deep", "name parts of them on lines before")
        return None
    return tree if _bounded(tree, passage, report) else None


def _syntax_message(error: SyntaxError, mode: str) -> tuple[str, str]:
    problem = re.sub(r" on line \d+", "", error.msg)
    hint = "equations are assignments, `if`/`elif`/`else` and `skip`"
    if "was never closed" in problem:
        hint = "close the bracket; quote an expression that holds a comma when it stands inside braces"
    elif mode == "eval":
        hint = "this takes one expression, without an assignment"
    elif isinstance(error, IndentationError):
        hint = "indent the body of an `if` by the same number of spaces on every line"
    return f"this cannot be read: {problem}", hint


def _bounded(tree: ast.AST, passage: Passage, report: Report) -> bool:
    """Whether the tree is shallow enough for recursive walks, found without recursion."""
    level: Sequence[ast.AST] = [tree]
    for _ in range(MAX_TREE):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if not level:
            return True
    deepest = next((node for node in level if isinstance(node, ast.expr | ast.stmt)), None)
    where = passage.at(1, 0) if deepest is None else passage.at(deepest.lineno, deepest.col_offset)
    report.error(where, f"these equations are more than {MAX_TREE} levels deep", "name parts of them on lines before")
    return False


class _RefusedError(Exception):
    def __init__(self, where: Location, message: str, hint: str) -> None:
        super().__init__(message)
        self.where, self.message, self.hint = where, message, hint


class _Converter:
    def __init__(self, passage: Passage, report: Report) -> None:
        self.passage = passage
        self.report = report

    def at(self, node: ast.expr | ast.stmt | ast.keyword) -> Location:
        return self.passage.at(node.lineno, node.col_offset)

    def body(self, nodes: Sequence[ast.stmt]) -> tuple[Stmt, ...] | None:
        """All statements; every refused one is reported before None is returned."""
        read: list[Stmt] = []
        for node in nodes:
            try:
                statement = self.statement(node)
            except _RefusedError as refused:
                self.report.error(refused.where, refused.message, refused.hint)
            else:
                if statement is not None:
                    read.append(statement)
        return tuple(read) if len(read) == len(nodes) else None

    def statement(self, node: ast.stmt) -> Stmt | None:
        match node:
            case ast.Assign(targets=targets, value=value):
                if len(targets) != 1:
                    raise self.refuse(node, "a chain of assignments", "assign on one line each")
                return Assign(self.targets(targets[0], value), self.expression(value), self.at(node), self.text(node))
            case ast.If(test=test, body=then, orelse=orelse):
                condition = self.expression(test)
                taken, other = self.body(then), self.body(orelse)
                if taken is None or other is None:
                    return None
                return If(condition, taken, other, self.at(node), self.header(node))
            case ast.Expr(value=ast.Name(id="skip")):
                return Skip(self.at(node))
            case ast.Expr(value=value):
                expression = self.expression(value)
                hint = "assign it: `name = ...`"
                if isinstance(expression, Call) and expression.function == "skip":
                    hint = "write `skip` without brackets"
                raise self.refuse(node, "this value goes nowhere", hint)
            case ast.AugAssign(target=target):
                name = target.id if isinstance(target, ast.Name) else "x"
                raise self.refuse(node, "updates in place are not part of the language", f"write `{name} = {name} ...`")
            case _:
                message, hint = refusals.STATEMENTS.get(type(node), refusals.OTHER)
                raise self.refuse(node, message, hint)

    def targets(self, target: ast.expr, value: ast.expr) -> tuple[str, ...]:
        match target:
            case ast.Name(id=name):
                self.refuse_dunder(target, name)
                return (name,)
            case ast.Tuple(elts=items) if items and all(isinstance(item, ast.Name) for item in items):
                names = tuple(item.id for item in items if isinstance(item, ast.Name))
                if not isinstance(value, ast.Call):
                    raise self.refuse(target, "several names take the results of one call only", "assign one per line")
                if len(set(names)) < len(names):
                    raise self.refuse(target, "the same name twice", "give each result its own name")
                return names
            case ast.Subscript():
                raise self.refuse(
                    target, "assigning one entry of a vector is not built yet", "assign all: `v = [a, b]`"
                )
            case ast.Attribute():
                raise self.refuse(target, *refusals.EXPRESSIONS[ast.Attribute])
            case _:
                raise self.refuse(target, "only names can be assigned", "write `name = value`")

    def expression(self, node: ast.expr) -> Expr:
        loc = self.at(node)
        match node:
            case ast.Constant():
                return self.constant(node)
            case ast.Name(id=name):
                self.refuse_dunder(node, name)
                return Boolean(_WORDS[name], loc) if name in _WORDS else Name(name, loc)
            case ast.UnaryOp(op=op, operand=operand):
                if type(op) not in _UNARY:
                    raise self.refuse(node, *refusals.OPERATORS[type(op)])
                return Unary(_UNARY[type(op)], self.expression(operand), loc)
            case ast.BinOp(op=op, left=left, right=right):
                if type(op) not in _BINARY:
                    raise self.refuse(node, *refusals.OPERATORS[type(op)])
                return Binary(_BINARY[type(op)], self.expression(left), self.expression(right), loc)
            case ast.BoolOp(op=op, values=values):
                word = "and" if isinstance(op, ast.And) else "or"
                return Logic(word, tuple(self.expression(value) for value in values), loc)
            case ast.Compare():
                return self.comparison(node)
            case ast.Call():
                return self.call(node)
            case ast.List(elts=items) | ast.Tuple(elts=items):
                if not items:
                    raise self.refuse(node, "an empty vector", "give it entries: `[a, b]`")
                return Vector(tuple(self.expression(item) for item in items), loc)
            case ast.Subscript(value=value, slice=index):
                if isinstance(index, ast.Tuple):
                    raise self.refuse(node, "a short vector has one axis", "take one entry: `v[0]`")
                return Index(self.expression(value), self.expression(index), loc)
            case _:
                message, hint = refusals.EXPRESSIONS.get(type(node), refusals.OTHER)
                raise self.refuse(node, message, hint)

    def constant(self, node: ast.Constant) -> Expr:
        loc, value = self.at(node), node.value
        if isinstance(value, bool):
            return Boolean(value, loc)
        if isinstance(value, int | float):
            if isinstance(value, float) and not math.isfinite(value):
                raise self.refuse(node, "this number is too large for float64", "write a number below 1.7e308")
            return Number(value, loc)
        if isinstance(value, str):
            return Text(value, loc)
        raise self.refuse(node, "this value is not part of the language", "values are numbers, True, False and words")

    def comparison(self, node: ast.Compare) -> Expr:
        loc = self.at(node)
        operands = [self.expression(part) for part in (node.left, *node.comparators)]
        links: list[Expr] = []
        for op, left, right in zip(node.ops, operands, operands[1:], strict=False):
            if type(op) not in _COMPARE:
                raise self.refuse(node, *refusals.OPERATORS[type(op)])
            links.append(Compare(_COMPARE[type(op)], left, right, loc if not links else left.loc))
        return links[0] if len(links) == 1 else Logic("and", tuple(links), loc)

    def call(self, node: ast.Call) -> Expr:
        if isinstance(node.func, ast.Attribute | ast.Lambda):
            raise self.refuse(node.func, *refusals.EXPRESSIONS[type(node.func)])
        if not isinstance(node.func, ast.Name):
            raise self.refuse(node, *refusals.CALLS)
        self.refuse_dunder(node, node.func.id)
        keywords: list[tuple[str, Expr]] = []
        for keyword in node.keywords:
            if keyword.arg is None:
                raise self.refuse(keyword, "`**` unpacking is not part of the language", "write the arguments out")
            keywords.append((keyword.arg, self.expression(keyword.value)))
        return Call(node.func.id, tuple(self.expression(arg) for arg in node.args), tuple(keywords), self.at(node))

    def text(self, node: ast.stmt) -> str:
        start = self.passage.offset(node.lineno, node.col_offset)
        end = self.passage.offset(node.end_lineno or node.lineno, node.end_col_offset or node.col_offset)
        return self.passage.flat(start, end)

    def header(self, node: ast.If) -> str:
        """The line of an `if` up to its colon, as written."""
        start = self.passage.offset(node.lineno, node.col_offset)
        test = node.test
        end = self.passage.offset(test.end_lineno or test.lineno, test.end_col_offset or test.col_offset)
        return self.passage.flat(start, end) + ":"

    def refuse_dunder(self, node: ast.expr, name: str) -> None:
        if name.startswith("__"):
            raise self.refuse(node, f'"{name}" would reach into Python', "equations know only the names of the rule")

    def refuse(self, node: ast.expr | ast.stmt | ast.keyword, message: str, hint: str) -> _RefusedError:
        return _RefusedError(self.at(node), message, hint)
