"""LaTeX and Markdown of rules: valid, complete, and what a notebook asks for."""

from __future__ import annotations

import re

import pytest
from matplotlib.mathtext import MathTextParser

import optgen
from optgen.algebra.latex import to_latex
from optgen.errors import SpecError
from optgen.spec.functions import FUNCTIONS
from optgen.spec.loader import cases, loads, shipped
from tests.cli.support import RULE

#: Every command that the writer uses; amsmath has them all.
COMMANDS = frozenset(
    {"begin", "end", "left", "right", "frac", "sqrt", "sum", "leftarrow", "quad", "colon", "text", "textbf", "cdot"}
    | {"mathrm", "mathcal", "operatorname", "lnot", "land", "lor", "neq", "leq", "geq", "bmod", "infty", "pi", "theta"}
    | {"lVert", "rVert", "lfloor", "rfloor", "lceil", "rceil", "langle", "rangle"}
    | {"exp", "log", "sin", "cos", "tanh", "min", "max", "textbackslash"}
)
_TOKEN = re.compile(r"\\([A-Za-z]+)|(\\.)|([{}_^&])|([^\\{}_^&]+)", re.DOTALL)


def problems(latex: str, symbols: frozenset[str]) -> list[str]:
    """What a TeX engine would stop at: braces, environments, fences, unknown commands, two indices on one base."""
    found: list[str] = []
    opened: list[str] = []
    fences = 0
    index = ""  # the kind of index that was just closed
    pending: list[str] = []
    for command, _, mark, text in _TOKEN.findall(latex):
        if command in ("left", "right"):
            fences += 1 if command == "left" else -1
        if command and command not in COMMANDS | symbols:
            found.append(f"unknown command {command}")
        if mark in ("_", "^"):
            if index == mark:
                found.append(f"two {mark} on one base")
            pending.append(mark)
        elif mark == "{":
            opened.append(pending.pop() if pending else "")
        elif mark == "}":
            if not opened:
                found.append("a brace too many")
                continue
            index = opened.pop()
            continue
        elif pending:  # an index of one letter or command
            kind = pending.pop()
            index = kind if command or len(text) == 1 else ""
            continue
        if mark not in ("_", "^"):
            index = ""
    for name in re.findall(r"\\begin\{(.*?)\}", latex):
        if latex.count(f"\\begin{{{name}}}") != latex.count(f"\\end{{{name}}}"):
            found.append(f"{name} is not closed")
    if opened or fences:
        found.append("a brace or fence is left open")
    return found


def test_the_checker_sees_what_is_wrong() -> None:
    for bad in ("{x", "x}", r"\left(x", r"\unknown", "x_{a}_{b}", "x^{a}^{b}", r"\begin{cases} x", "x_a_b"):
        assert problems(bad, frozenset()), bad
    assert problems(r"{x}_{a}^{b} \left(\frac{1}{2}\right)", frozenset()) == []


def symbols_of(spec: optgen.Rule) -> frozenset[str]:
    """Commands of the symbols that a rule declares, and of Greek names."""
    given = " ".join([*(h.symbol for h in spec.hypers.values()), *(s.symbol for s in spec.states.values())])
    latex = to_latex(spec)
    greek = re.findall(r"\\(alpha|beta|gamma|delta|epsilon|eta|kappa|lambda|mu|nu|rho|sigma|tau|phi|xi|zeta)\b", latex)
    return frozenset([*re.findall(r"\\([A-Za-z]+)", given), *greek])


@pytest.mark.parametrize("name", cases())
def test_latex_of_every_rule_is_valid(name: str) -> None:
    rule = optgen.load(name)
    for environment in ("align*", "aligned"):
        latex = to_latex(rule, environment)
        assert problems(latex, symbols_of(rule)) == []
        assert latex.startswith(f"\\begin{{{environment}}}")
        assert latex.endswith(f"\\end{{{environment}}}")


@pytest.mark.parametrize("name", cases())
def test_another_reader_takes_every_line(name: str) -> None:
    parser = MathTextParser("path")
    for line in to_latex(optgen.load(name)).split("\n")[1:-1]:
        plain = line.strip().removesuffix("\\\\").replace("&", "").replace(r"\colon", ":").replace(r"\bmod", r"\,")
        plain = re.sub(r"\\text(?:bf)?\{(.*?)\}", lambda m: rf"\mathrm{{{m[1].replace(' ', '')}}}", plain)
        plain = plain.replace(r"\land", r"\wedge").replace(r"\lor", r"\vee").replace(r"\lnot", r"\neg")
        plain = plain.replace(r"\lVert", "|").replace(r"\rVert", "|")
        if r"\begin" not in plain:
            parser.parse(f"${plain}$")


#: One use of every function that stages may call.
CALLS = {
    "where": "where(g > 0, g, 1)",
    "clip": "clip(g, -1, 1)",
    "minimum": "minimum(g, 1)",
    "maximum": "maximum(g, 1)",
    "dot": 'dot(g, g, over="row")',
    "repeat": "repeat(g, 2)[1]",
    "averages": "averages([g, g], 0.5, 0.9)[-1]",
    "softmax": "softmax([g, g])[0]",
    "role": 'where(role(param) == "head", g, 1)',
}
KEYWORDS = {"reduction": ', over="layer"', "elementwise": "", "graph": "", "meta": ""}


@pytest.mark.parametrize("name", [n for n, f in FUNCTIONS.items() if f.family in (*KEYWORDS, "vector")])
def test_latex_of_every_function_is_valid(name: str) -> None:
    function = FUNCTIONS[name]
    argument = "param" if function.family == "meta" else "g"
    call = CALLS.get(name) or f"{name}({argument}{KEYWORDS[function.family]})"
    for written in (call, f"({call})**2", f"-{call}*(g - {call})", f"g/{call}"):
        latex = to_latex(loads(RULE.replace("d = g\n", f"d = {written}\n")))
        assert problems(latex, frozenset()) == [], latex


@pytest.mark.parametrize(
    "symbol", [r"\eta}", "{x", r"\input{file}", "x_a_b", "$x$", "x & y", r"\\", "x_", r"\mathrm", "#1", "%"]
)
def test_a_symbol_that_would_break_the_page_is_refused(symbol: str) -> None:
    with pytest.raises(SpecError, match="symbol") as caught:
        loads(RULE.replace('domain: ">= 0"}', f"symbol: '{symbol}'}}", 1))
    assert caught.value.diagnostics[0].location.line == 5


@pytest.mark.parametrize(
    "symbol", [r"\eta", r"\beta_1", r"\hat{m}", r"\varepsilon_{\mathrm{a\_b}}", "m", r"\bar{\lambda}^2"]
)
def test_symbols_that_stay(symbol: str) -> None:
    spec = loads(RULE.replace('domain: ">= 0"}', f"symbol: '{symbol}'}}", 1).replace("drift*g", "lr**2*drift*g"))
    commands = frozenset(re.findall(r"\\([A-Za-z]+)", symbol))
    assert problems(to_latex(spec), commands) == []


def test_what_a_notebook_shows() -> None:
    rule = optgen.loads(RULE.replace("default: 0.0,", "default: 0.0, doc: 'a | bar, $5 and *stars*',"))
    assert rule._repr_latex_() == to_latex(rule)
    shown = rule._repr_markdown_()
    assert "**drifter**" in shown
    assert "$$\n\\begin{aligned}" in shown
    assert r"a \| bar, \$5 and \*stars\*" in shown
    for name in (*rule.hypers, *rule.states):
        assert f"| `{name}` |" in shown
    rows = [line for line in shown.split("\n") if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows[: len(rule.hypers) + 2]} == {6}


def test_a_rule_is_a_spec_and_says_what_it_is() -> None:
    rule = optgen.load(shipped()[0])
    assert isinstance(rule, optgen.Rule)
    assert repr(rule) == f"<optgen rule {rule.name}: {rule.title}>"
    assert optgen.loads(rule.to_yaml()) == rule
    assert rule.explain()["rule"] == rule.name
