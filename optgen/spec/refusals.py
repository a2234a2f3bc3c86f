"""What the language answers to Python that is not part of it: one message and hint per construct."""

from __future__ import annotations

import ast

OTHER = "this is not part of the language", "equations are assignments, `if`/`elif`/`else` and `skip`"
LOOPS = "there are no loops", "reductions, short vectors and layers cover what loops would do"
DEFINITIONS = "functions and classes cannot be defined", "write the equations out; stages share their names"
EXCEPTIONS = "there are no exceptions or contexts", "use `if`, `where` or `require`"
CALLS = "only the functions of the language can be called, by their name", "the functions are listed in the guide"
COMPREHENSION = "comprehensions are not part of the language", "write the entries out: `[a, b]`, or `repeat(x, n)`"
AWAIT = "`yield` and `await` are not part of the language", "write assignments, one per line"
GLOBAL = "there are no scopes to declare", "all stages share one set of names"
BITS = "bit operators are not part of the language", "use `and`, `or`, `not`; a power is written `**`"
IDENTITY = "`is` and `in` are not part of the language", "compare with `==` and `!=`"

STATEMENTS: dict[type[ast.stmt], tuple[str, str]] = {
    ast.For: LOOPS,
    ast.While: LOOPS,
    ast.AsyncFor: LOOPS,
    ast.FunctionDef: DEFINITIONS,
    ast.AsyncFunctionDef: DEFINITIONS,
    ast.ClassDef: DEFINITIONS,
    ast.Return: ("there is nothing to return from", "assign `d` or `param`"),
    ast.Import: ("nothing can be imported", "a rule uses only the functions of the language"),
    ast.ImportFrom: ("nothing can be imported", "a rule uses only the functions of the language"),
    ast.Try: EXCEPTIONS,
    ast.Raise: EXCEPTIONS,
    ast.Assert: ("`assert` is not part of the language", "conditions on hypers go under `require`"),
    ast.With: EXCEPTIONS,
    ast.AsyncWith: EXCEPTIONS,
    ast.Global: GLOBAL,
    ast.Nonlocal: GLOBAL,
    ast.Delete: ("`del` is not part of the language", "names need no clearing"),
    ast.Pass: ("`pass` is not part of the language", "leave the branch out, or turn the condition round"),
    ast.Break: LOOPS,
    ast.Continue: LOOPS,
    ast.Match: ("`match` is not part of the language", "use `if`, `elif` and `else`"),
    ast.AnnAssign: ("annotations are not part of the language", "write `name = value`; types are inferred"),
}

EXPRESSIONS: dict[type[ast.expr], tuple[str, str]] = {
    ast.Attribute: ("attributes are not part of the language", "values are numbers; nothing is reached with a dot"),
    ast.Lambda: ("lambdas are not part of the language", "write the expression where it is used"),
    ast.ListComp: COMPREHENSION,
    ast.SetComp: COMPREHENSION,
    ast.DictComp: COMPREHENSION,
    ast.GeneratorExp: COMPREHENSION,
    ast.JoinedStr: ("format strings are not part of the language", 'write words as "word"'),
    ast.NamedExpr: ("`:=` is not part of the language", "assign on a line of its own"),
    ast.Starred: ("`*` unpacking is not part of the language", "write the arguments out"),
    ast.IfExp: ("`a if c else b` is not part of the language", "write `where(c, a, b)`"),
    ast.Dict: ("braces are not part of equations", "a short vector is written `[a, b]`"),
    ast.Set: ("braces are not part of equations", "a short vector is written `[a, b]`"),
    ast.Slice: ("slices are not part of the language", "take one entry: `v[0]`"),
    ast.Await: AWAIT,
    ast.Yield: AWAIT,
    ast.YieldFrom: AWAIT,
}

OPERATORS: dict[type[ast.operator | ast.unaryop | ast.cmpop], tuple[str, str]] = {
    ast.MatMult: ("`@` is not part of the language", "write `matmul(a, b)`"),
    ast.BitAnd: BITS,
    ast.BitOr: BITS,
    ast.BitXor: BITS,
    ast.LShift: BITS,
    ast.RShift: BITS,
    ast.Invert: BITS,
    ast.Is: IDENTITY,
    ast.IsNot: IDENTITY,
    ast.In: IDENTITY,
    ast.NotIn: IDENTITY,
}
