"""Equations that are refused: where, why and what to do. Nothing in them is ever run."""

from __future__ import annotations

import pytest

from tests.bad_input.marked import HEAD, check, complaints, stage

STEP = "\nparam = param - lr*g"

NAMES = {
    "unknown name": (stage("param = param - §rate*g"), 'unknown name "rate"', "declare it"),
    "near name": (HEAD + "  beta1: {default: 0.9}\nupdate: param = param - §bta1*g\n", '"bta1"', '"beta1"?'),
    "unknown function": (stage("param = param - lr*§nrom(g)"), 'unknown function "nrom"', '"norm"?'),
    "foreign function": (stage("param = param - lr*§rsqrt(g)"), 'unknown function "rsqrt"', "1/sqrt(x)"),
    "function as value": (stage("param = param - lr*§norm"), '"norm" is a function', "call it"),
    "value as function": (stage("param = param - §lr(g)"), '"lr" is a value', "product"),
    "too few arguments": (stage("param = param - lr*§where(g > 0, g)"), "takes 3 arguments, not 2", "where"),
    "too many arguments": (stage("param = param - lr*§sqrt(g, 2)"), "takes 1 argument, not 2", "square root"),
    "max of two": (stage("param = param - lr*§max(g, 0)"), "takes 1 argument", "maximum(a, b)"),
    "unknown keyword": (stage('param = param - lr*norm(g, ovre=§"tensor")'), 'no keyword "ovre"', '"over"?'),
    "no extent": (stage("param = param - lr*g/§norm(g)"), "needs `over=`", 'norm(x, over="tensor")'),
    "unknown extent": (stage('param = param - lr*norm(g, over=§"tenzor")'), 'extent "tenzor"', '"tensor"?'),
    "bare extent": (stage("param = param - lr*norm(g, over=§layer)"), "a quoted word", 'over="layer"'),
    "workers": (stage('param = param - lr*sum(g, across=§"workers")'), "not built yet", "over="),
    "metadata": (stage("param = param - lr*ndim(§g)"), "the parameter only", "ndim(param)"),
    "start in a stage": (stage("param = §zeros_like(param)"), "the start of a state", "the number"),
    "hyper assigned": (stage("§lr = 2*lr" + STEP), '"lr" is a hyper, which is read-only', "lr_now"),
    "counter assigned": (stage("§t = 2" + STEP), "counts steps", "a state"),
    "input assigned": (HEAD + "inputs: {loss: model}\nupdate: |\n  §loss = 0\n  param = g*loss\n", "an input", "now"),
    "shadowed function": (stage("§norm = 2" + STEP), "a function of the language", "another name"),
    "shadowed constant": (stage("§pi = 3" + STEP), "a constant of the language", "another name"),
    "shadowed argument": (stage("§param_groups = 2" + STEP), "all optimizers share", "another name"),
    "underscore": (stage("§_x = 2" + STEP), "cannot be a name", "start with a letter"),
    "lr as a local": (
        "optgen: 1\nname: a\ntitle: b\nupdate: |\n  §lr = 0.1\n  param = param - lr*g\n",
        "all optimizers share",
        "declare it",
    ),
    "choice as number": (
        HEAD + "  a: {default: x, choices: [x, y]}\nupdate: param = g*§a\n",
        '"a" is a choice',
        'a == "x"',
    ),
    "unknown choice": (
        HEAD + '  a: {default: l2, choices: [l2, "off"]}\nupdate: param = where(a == §"of", g, lr)\n',
        'no choice of "a"',
        'did you mean "off"?',
    ),
    "order of choices": (
        HEAD + '  a: {default: x, choices: [x, y]}\nupdate: param = where(§a < "y", g, lr)\n',
        "words have no order",
        "==",
    ),
    "word against number": (stage('param = where(§lr == "x", g, 0)'), "only a choice", "choices"),
    "word as value": (stage('param = §"x"'), "is no value", "compare it"),
    "division by zero": (stage("param = param - g/§0"), "division by a literal zero", "infinite"),
    "division by folded zero": (stage("param = param - g/(§1 - 1.0)"), "literal zero", "infinite"),
    "modulo zero": (stage("param = param - g % §0"), "literal zero", "infinite"),
    "eval reads g": (HEAD + "update: param = g\neval: param - §g\n", '"g" cannot be read in `eval`', "state"),
}

PATHS = {
    "param never assigned": (HEAD + "§update: d = 2*g\n", "`param` is never assigned", "param = param - lr*d"),
    "read before": (stage("x = §y\ny = 2" + STEP + "*x"), "read before it is assigned", "order of the stages"),
    "one path": (stage("if t > 1:\n    x = 2\nparam = param - §x*g"), "not assigned on every path", "else"),
    "elif without else": (
        stage("if t > 1:\n    x = 2\nelif t > 2:\n    x = 3\nparam = param - §x*g"),
        "not assigned on every path",
        "else",
    ),
    "d before it is made": (HEAD + "gradient: g = g + §d\n", "read before it is assigned", "order of the stages"),
    "d for nobody": (HEAD + "direction: §d = 2*g\nupdate: param = param - lr*g\n", "nobody reads it", "lr*d"),
    "after skip": (stage("if t > 1:\n    skip\n    §x = 2" + STEP), "never reached", "before the `skip`"),
    "always skips": (stage("§skip" + STEP), "skips every step", "under an `if`"),
    "state never read": (HEAD + "state: {§m: 0.0}\nupdate: |\n  m = g\n  param = g\n", "never read", "remove it"),
    "state for itself": (
        HEAD + "state: {§m: zeros_like(param)}\nupdate: |\n  m = 0.9*m + g\n  param = param - lr*g\n",
        "never reaches param",
        "metric",
    ),
}

PYTHON = {
    "attribute": (stage("param = §param.data"), "attributes", "dot"),
    "method": (stage("param = §g.__class__.__bases__"), "attributes", "dot"),
    "import function": (stage("param = §__import__"), "reach into Python", "names of the rule"),
    "import call": (stage('param = §__import__("os").system("true")'), "attributes", "dot"),
    "import": (stage("§import os" + STEP), "nothing can be imported", "functions of the language"),
    "lambda": (stage("param = (§lambda: g)()"), "lambdas", "where it is used"),
    "comprehension": (stage("param = §[x for x in g]"), "comprehensions", "repeat"),
    "generator": (stage("param = sum§(x for x in g)"), "comprehensions", "repeat"),
    "format string": (stage('param = f§"{g}"'), "format strings", '"word"'),
    "walrus": (stage("param = (§x := g)"), "`:=`", "line of its own"),
    "star": (stage("param = where(§*g)"), "unpacking", "write the arguments out"),
    "double star": (stage("param = where(g, g, §**g)"), "unpacking", "write the arguments out"),
    "conditional": (stage("param = §g if t > 1 else lr"), "is not part", "where(c, a, b)"),
    "slice": (stage("v = [g, g]\nparam = v[§0:1]"), "slices", "v[0]"),
    "dict": (stage("param = §{1: g}"), "braces", "[a, b]"),
    "power as xor": (stage("param = §g ^ 2"), "bit operators", "`**`"),
    "matmul": (stage("param = §g @ g"), "`@`", "matmul(a, b)"),
    "is": (stage("param = where(§g is g, g, g)"), "`is`", "=="),
    "in place": (stage("§param -= lr*g"), "in place", "param = param"),
    "chain": (stage("§param = x = g"), "chain", "one line each"),
    "loop": (stage("§for i in g:\n    param = g"), "no loops", "reductions"),
    "function": (stage("§def f(x):\n    return x"), "cannot be defined", "stages"),
    "exec": (stage('§exec("x = 1")' + STEP), "goes nowhere", "assign it"),
    "eval": (stage('param = §eval("1")'), 'unknown function "eval"', "functions of the language"),
    "global": (stage("§global x" + STEP), "no scopes", "share"),
    "skip with brackets": (stage("if t > 1:\n    §skip()" + STEP), "goes nowhere", "without brackets"),
    "entry of a vector": (stage("v = [g, g]\n§v[0] = g\nparam = v[0]"), "not built yet", "assign all"),
    "imaginary": (stage("param = 1§j*g"), '"1j" is not a number', "decimal"),
    "hexadecimal": (stage("param = 0§x10*g"), '"0x10" is not a number', "decimal"),
    "underscore in number": (stage("param = 1§_000*g"), '"1_000" is not a number', "decimal"),
    "too large": (stage("param = §1e999*g"), "too large for float64", "1.7e308"),
    "ellipsis": (stage("param = §..."), "not part of the language", "numbers"),
    "bytes": (stage('param = b§"x"'), "prefixed strings", '"word"'),
    "backslash": (stage("param = g + §\\\n    g"), "backslash", "inside brackets"),
    "triple quotes": (stage('param = §"""x"""'), "triple quotes", '"word"'),
    "open quote": (stage("param = §'x"), "quoted word without its end", '"word"'),
    "not ascii": (stage("param = g*§β"), "not part of the language", "ASCII"),
    "look-alike": (stage("param = p§аram"), "not part of the language", "ASCII"),
    "dollar": (stage("param = §$g"), "not part of the language", "remove it"),
    "syntax": (stage("param = (g +§)"), "cannot be read", "assignments"),
    "unclosed": (stage("param = §(g + 1"), "was never closed", "close the bracket"),
    "no body": (stage("if t > 1:\n§x = 2" + STEP), "expected an indented block", "same number of spaces"),
    "expression expected": (HEAD + "require: [lr §= 1]\nupdate: param = g\n", "cannot be read", "one expression"),
}

BOUNDS = {
    "brackets": (stage("param = " + "(" * 40 + "§(" + "(" * 3000), "more than 40 deep", "lines before"),
    "signs": (stage("param = " + "-" * 1000 + "g"), "more than 1000 parts", "lines before"),
    "sum": (stage("param = g" + " + g" * 400), "more than 120 levels", "lines before"),
    "not": (stage("param = where(" + "not " * 400 + "g, g, g)"), "more than 120 levels", "lines before"),
    "powers": (stage("param = g" + "**g" * 400), "more than 120 levels", "lines before"),
    "elif": (stage("if t > 1:\n  x = g\n" + "elif t > 2:\n  x = g\n" * 300 + STEP), "more than 100 `elif`", "page"),
    "blocks": (
        stage("\n".join(" " * i + "if t > 1:" for i in range(130)) + "\n" + " " * 130 + "x = g" + STEP),
        "too many levels",
        "",
    ),
    "size": (stage("param = g  # " + "x" * 70_000), "longer than 64 KiB", "page"),
    "digits": (stage("param = g*" + "1" * 5000), "more than 40 digits", "17"),
}

CASES = {**NAMES, **PATHS, **PYTHON}


@pytest.mark.parametrize(("text", "message", "hint"), CASES.values(), ids=CASES.keys())
def test_refused_at_the_mark(text: str, message: str, hint: str) -> None:
    check(text, message, hint)


@pytest.mark.parametrize(("text", "message", "hint"), BOUNDS.values(), ids=BOUNDS.keys())
def test_bounded(text: str, message: str, hint: str) -> None:
    assert any(message in each.message and hint in each.hint for each in complaints(text))


def test_a_long_line_is_shown_around_its_column() -> None:
    (found,) = complaints(stage("param = g + " + "1*g + " * 50 + "nothing_known*g"))
    _, shown, caret, _ = found.format().split("\n")
    assert len(shown) < 170
    assert shown[caret.index("^") :].startswith("nothing_known")


def test_a_hundred_mistakes_are_cut_off() -> None:
    assert len(complaints(stage("\n".join(f"x{i} = y{i}" for i in range(100)) + STEP))) == 50
