"""From texts to programs: extents and kinds as inferred, and every text that does not type refused at its place."""

from __future__ import annotations

import pytest

from optgen.errors import Diagnostic, SpecError
from optgen.ir import rule_dialect as rule
from optgen.ir.build import build
from optgen.ir.extents import Extent, at_most, join
from optgen.ir.text import from_text, to_text
from optgen.passes.pipeline import PASSES, to_kernels
from optgen.spec.loader import load, loads, shipped
from tests.ir.rules import program, text_of

MARK = "§"

#: An expression over param, g, hypers and metadata, and the extent and kind it has.
TYPES = {
    "1": "model, int",
    "1.0": "model, float",
    "true": "model, bool",
    "pi": "model, float",
    "beta": "model, float",
    "lr": "tensor, float",
    "n": "tensor, int",
    "on": "tensor, bool",
    "t": "tensor, int",
    "step": "model, int",
    "loss": "model, float",
    "g": "elem, float",
    "param": "elem, float",
    "n + 1": "tensor, int",
    "n*2 - step": "tensor, int",
    "n // 2": "tensor, int",
    "step % n": "tensor, int",
    "n / 2": "tensor, float",
    "n ** 3": "tensor, float",
    "n + 0.5": "tensor, float",
    "-n": "tensor, int",
    "on + 1": "tensor, int",
    "on*on": "tensor, int",
    "n > 1": "tensor, bool",
    "beta == 0 and not on": "tensor, bool",
    'kind == "soft"': "tensor, bool",
    'kind != "soft"': "tensor, bool",
    "where(on, 1, 2)": "tensor, int",
    "where(g > 0, 1, 0.5)": "elem, float",
    "where(on, step > 1, on)": "tensor, bool",
    "maximum(n, 2)": "tensor, int",
    "clip(beta, 0, 1)": "model, float",
    "abs(n)": "tensor, int",
    "floor(n)": "tensor, float",
    "sqrt(4)": "model, float",
    "ndim(param)": "tensor, int",
    "depth(param)": "tensor, float",
    'sum(g, over="row")': "row, float",
    'sum(g, over="col")': "col, float",
    'sum(g, over="matrix")': "matrix, float",
    'norm(g, over="tensor")': "tensor, float",
    'mean(g, over="layer")': "layer, float",
    'dot(g, param, over="model")': "model, float",
    'any(g > 0, over="tensor")': "tensor, bool",
    'all(g > 0, over="layer")': "layer, bool",
    'sum(g > 0, over="tensor")': "tensor, int",
    'mean(n, over="model")': "model, float",
    'max_abs(g, over="row")': "row, float",
    'sum(g, over="row")*sum(g, over="col")': "elem, float",
    'sum(g, over="row") + sum(g, over="matrix")': "row, float",
    'sum(sum(g, over="row"), over="matrix")': "matrix, float",
    'norm(g, over="layer")*lr': "tensor, float",
    'norm(g, over="layer")*beta': "layer, float",
    "laplacian(g)": "elem, float",
    'neighbors(norm(g, over="layer"))': "layer, float",
    "softmax([lr, 2*lr])[0]": "tensor, float",
    "[g, lr][1]": "tensor, float",
    "[g, lr][step % 2]": "elem, float",
    "sum([1, n])": "tensor, int",
    "mean([1, 2])": "model, float",
    "max(repeat(lr, 3))": "tensor, float",
}


def type_of_local(expression: str) -> str:
    """Extent and kind of a local that is assigned the expression."""
    op = program(f"x = {expression}\nparam = param - lr*g*x", inputs="loss: model")
    found = [s for s in op.walk() if isinstance(s, rule.SetOp) and s.variable.string_value() == "x"]
    return str(found[0].value.type).removeprefix("!rule.value<").removesuffix(">")


@pytest.mark.parametrize("expression", TYPES)
def test_extents_and_kinds(expression: str) -> None:
    assert type_of_local(expression) == TYPES[expression]


@pytest.mark.parametrize(
    ("declaration", "type_"),
    [
        ("m: zeros_like(param)", "elem float"),
        ("m: param", "elem float"),
        ("m: 2*param + lr", "elem float"),
        ("m: 0.0", "model float"),
        ("m: 0", "model int"),
        ("m: lr", "tensor float"),
        ("m: n + 1", "tensor int"),
        ("m: depth(param)", "tensor float"),
        ("m: 'full(1.0, over=\"layer\")'", "layer float"),
        ("m: 'full(0, over=\"tensor\")'", "tensor int"),
        ("m: 'full(lr, over=\"row\")'", "row float"),
        ("m: 'full(0.0, over=\"col\")'", "col float"),
        ("m: 'full(0.0, over=\"matrix\")'", "matrix float"),
        ("m: {start: 0.0, dtype: float32}", "model float dtype"),
    ],
)
def test_state_takes_its_starts_extent(declaration: str, type_: str) -> None:
    op = program("param = param - m*g", state=declaration)
    declared = next(s for s in op.body.block.ops if isinstance(s, rule.DeclareStateOp))
    dtype = "" if declared.dtype is None else " dtype"
    assert f"{declared.extent.data} {declared.kind.data}{dtype}" == type_


def test_branches_make_values_as_fine_as_the_condition() -> None:
    op = program("x = 1.0\nif t > 2:\n    x = beta\ny = x*1\nif on:\n    y = 2\nparam = param - g*x*y")
    sets = {s.variable.string_value(): str(s.value.type) for s in op.walk() if isinstance(s, rule.SetOp)}
    assert sets["x"] == "!rule.value<model, float>"  # before they meet
    gets = [str(s.result.type) for s in op.walk() if isinstance(s, rule.GetOp) and s.variable.string_value() == "x"]
    assert gets[-1] == "!rule.value<tensor, float>"


def test_a_branch_on_choices_makes_nothing_finer() -> None:
    op = program('x = 1.0\nif kind == "soft":\n    x = beta\nparam = param - g*x')
    gets = [str(s.result.type) for s in op.walk() if isinstance(s, rule.GetOp) and s.variable.string_value() == "x"]
    assert gets == ["!rule.value<model, float>"]


def test_the_lattice() -> None:
    order = [Extent.MODEL, Extent.LAYER, Extent.TENSOR, Extent.MATRIX]
    for i, a in enumerate(order):
        for b in order[i:]:
            assert at_most(a, b)
            assert join(a, b) is join(b, a) is b
        for b in (Extent.ROW, Extent.COL, Extent.ELEM):
            assert at_most(a, b)
            assert not at_most(b, a)
    assert join(Extent.ROW, Extent.COL) is join(Extent.COL, Extent.ROW) is Extent.ELEM
    assert not at_most(Extent.ROW, Extent.COL)
    assert not at_most(Extent.COL, Extent.ROW)


# Refusals: `§` marks where the complaint points

PER = "this condition differs within a tensor"
REFUSED: dict[str, tuple[dict[str, str], str, str, str]] = {
    "element condition": ({}, "if §g > 0:\n    param = 0", PER, "where(condition, a, b)"),
    "row condition": ({}, 'if §sum(g, over="row") > 0:\n    param = 0', PER, "where(condition, a, b)"),
    "vector condition": ({}, "if §[g, g]:\n    param = 0", "a short vector cannot stand here", "v[0]"),
    "reduction to a finer extent": (
        {},
        'param = g*§sum(norm(g, over="tensor"), over="row")',
        "cannot reduce a tensor value over row",
        "coarser extent",
    ),
    "reduction over its own extent": (
        {},
        'param = g*§norm(sum(g, over="row"), over="row")',
        "cannot reduce a row value over row",
        "coarser extent",
    ),
    "rows over columns": (
        {},
        'param = g*§max(sum(g, over="row"), over="col")',
        "cannot reduce a row value over col",
        "coarser extent",
    ),
    "reduction of a scalar": ({}, 'param = g*§sum(beta, over="tensor")', "cannot reduce a model value", "coarser"),
    "coarse state from elements": (
        {"state": "m: 0.0"},
        "§m = g\nparam = m*g",
        "m holds one number per model, but this is an elem value",
        'over="model"',
    ),
    "row state from elements": (
        {"state": "r: 'full(0.0, over=\"row\")'"},
        "§r = 0.5*r + g\nparam = r*g",
        "one number per row",
        'over="row"',
    ),
    "row state from columns": (
        {"state": "r: 'full(0.0, over=\"row\")'"},
        '§r = sum(g, over="col")\nparam = r*g',
        "one number per row, but this is a col value",
        'over="row"',
    ),
    "int state from a float": ({"state": "k: 0"}, "§k = k + 0.5\nparam = k*g", "k holds ints", "0.0"),
    "int state from a division": ({"state": "k: 4"}, "§k = k/2\nparam = k*g", "k holds ints", "0.0"),
    "state coarser than its branch": (
        {"state": "m: 0.0"},
        "if t > 2:\n    §m = 1.0\nparam = m*g",
        "m is one number per model, this branch is taken per tensor",
        "start m from a tensor value",
    ),
    "state coarser than an outer branch": (
        {"state": "m: 0.0"},
        "if t > 2:\n    if step > 2:\n        §m = 1.0\nparam = m*g",
        "m is one number per model, this branch is taken per tensor",
        "start m from a tensor value",
    ),
    "second entry coarser than its branch": (
        {"state": "v: [lr, 0.0]"},
        "if t > 2:\n    §v = [lr, 1.0]\nparam = v[0]*v[1]*g",
        "one number per model",
        "from a tensor value",
    ),
    "layer state after a skip per tensor": (
        {"state": "m: 'full(0.0, over=\"layer\")'"},
        'if t > 2:\n    skip\n§m = norm(g, over="layer")\nparam = m*g',
        "m is one number per layer, a `skip` before it is taken per tensor",
        "nothing is per tensor",
    ),
    "vector into a scalar state": (
        {"state": "m: zeros_like(param)"},
        "§m = [g, g]\nparam = m",
        "m has 1 entry, this value has 2",
        "",
    ),
    "vector of another length": (
        {"state": "v: [lr, lr]"},
        "§v = [lr, lr, lr]\nparam = v[0]*g",
        "v has 2 entries, this value has 3",
        "",
    ),
    "vectors of two lengths": ({}, "param = (§[g, g] + [g, g, g])[0]", "short vectors of 2 and 3 entries", ""),
    "vector as parameter": ({}, "§param = [g, g]", "param has 1 entry, this value has 2", ""),
    "vector in a graph": ({}, "param = laplacian(§[g, g])", "a short vector cannot stand here", "v[0]"),
    "vector as a condition": ({}, "if §[on, on]:\n    param = g", "a short vector cannot stand here", "v[0]"),
    "entry too far back": ({}, "v = [g, g]\nparam = v[§-3]", "entries 0 to 1", "from -1 backwards"),
    "vector in a vector": ({}, "v = [§[g, g], g]\nparam = v[1]", "a short vector cannot stand here", "v[0]"),
    "entry of a scalar": ({}, "param = §g[0]", "only a short vector has entries", ""),
    "entry too far": ({}, "v = [g, g]\nparam = v[§2]", "entries 0 to 1", ""),
    "fractional entry": ({}, "v = [g, g]\nparam = v[§0.5]", "entries 0 to 1", ""),
    "scalar where a vector is needed": ({}, "param = softmax(§g)[0]", "this takes a short vector", "over="),
    "sum without extent": ({}, "param = g*sum(§g)", "this takes a short vector", 'over="tensor"'),
    "length of a vector": ({}, "param = repeat(g, §n)[0]", "a literal from 1 to 64", ""),
    "length of zero": ({}, "param = repeat(g, §0)[0]", "a literal from 1 to 64", ""),
    "two lengths on two paths": (
        {},
        "if t > 1:\n    v = [g, g]\nelse:\n    v = [g, g, g]\nparam = §v[0]",
        "another number of entries on each path",
        "as many on every path",
    ),
    "scalar on one path": (
        {},
        "v = g\nif t > 1:\n    v = [g, g]\nparam = §v",
        "another number of entries on each path",
        "as many on every path",
    ),
    "graph of a row value": (
        {},
        'param = g*§laplacian(sum(g, over="row"))',
        "takes an element or a layer value, this is a row value",
        'over="layer"',
    ),
    "graph of a scalar": ({}, "param = g*§neighbors(lr)", "this is a tensor value", 'over="layer"'),
    "random numbers": ({}, 'param = §normal(over="elem")', "normal is not built yet", ""),
    "library": ({}, "param = §matmul(g, g)", "matmul is not built yet", ""),
    "largest entries": ({}, 'param = where(§top(g, 3, over="tensor"), g, 0)', "top is not built yet", ""),
    "sorting": ({}, "param = §sort(g)", "sort is not built yet", ""),
    "role": ({}, 'param = where(§role(param) == "head", g, 0)', "role is not built yet", "group"),
    "several targets": ({}, "§u, v = svd(g)\nparam = u", "not built yet", ""),
}

DECLARED: dict[str, tuple[str, str, str]] = {
    "state of a shape": (
        "state: {m: '§full(0.0, shape=(2, 3))'}",
        "a state of a given shape is not built yet",
        "over=",
    ),
    "int state per row": ("state: {m: '§full(0, over=\"row\")'}", "a state of ints over row", "float"),
    "bool state": ("state: {m: §on}", "a state of bools", "float"),
    "coarse state from elements": ("state: {m: '§full(param, over=\"tensor\")'}", "cannot start a tensor state", ""),
    "half precision state": ("state: {§m: {start: zeros_like(param), dtype: float16}}", "is not built yet", "float32"),
    "input per element": ("inputs: {§hz: elem}", "an input over", "declare it over the model"),
    "blocks": ("matrix: blocks(§4)", "blocks(n) is not built yet", ""),
    "probe": ("probe: §param = param + g", "the probe stage is not built yet", ""),
}


def complaint(text: str) -> Diagnostic:
    """What is found wrong with a text, in loading or building."""
    with pytest.raises(SpecError) as caught:
        build(loads(text.replace(MARK, ""), "mine.yaml"))
    return caught.value.diagnostics[0]


def check_refused(text: str, message: str, hint: str) -> None:
    """The text is refused at its mark, with this message and hint, the line itself and a caret below it."""
    before = text[: text.index(MARK)]
    line, col = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
    found = complaint(text)
    shown = found.format()
    assert (found.location.line, found.location.col) == (line, col), shown
    assert message in found.message, shown
    assert found.hint, shown
    assert hint in found.hint, shown
    head, source, caret = shown.split("\n")[:3]
    assert head.startswith(f"mine.yaml:{line}:{col}: error: ")
    assert source.lstrip().startswith(text.replace(MARK, "").split("\n")[line - 1].strip()[:20])
    assert caret.strip() == "^"


@pytest.mark.parametrize("case", REFUSED)
def test_texts_that_do_not_type(case: str) -> None:
    declared, body, message, hint = REFUSED[case]
    check_refused(text_of(body, **declared), message, hint)  # type: ignore[arg-type]


@pytest.mark.parametrize("case", DECLARED)
def test_declarations_that_are_not_built(case: str) -> None:
    declaration, message, hint = DECLARED[case]
    text = text_of(
        "param = param - lr*g" + ("*m" if "m:" in declaration.split("\n")[0] and "state" in declaration else "")
    )
    if declaration.startswith("matrix"):
        text = text.replace("matrix: trailing\n", "")
    check_refused(text.replace("update: |", declaration + "\nupdate: |"), message, hint)


def test_a_transform_alone_has_no_kernels() -> None:
    text = "optgen: 1\nname: mine\ntitle: mine\nkind: transform\nhyper:\n  k: {default: 1.0}\ngradient: §g = k*g\n"
    check_refused(text, "a transform has no kernels of its own", "join it to a rule: RULE+mine")


# Text form


@pytest.mark.parametrize("name", shipped())
def test_every_module_parses_back(name: str) -> None:
    """After every pass that changed it, and the last without locations too; printing again gives the same text."""
    seen: dict[str, object] = {}

    def watch(stage: str, module: object) -> None:
        known = any(module is other for other in seen.values())
        seen[stage] = module
        if known:
            return
        for locations in (True, False) if stage == PASSES[-1] else (True,):
            text = to_text(module, locations=locations)  # type: ignore[arg-type]
            assert to_text(from_text(text), locations=locations) == text, stage

    to_kernels(load(name), {}, watch=watch)
    assert tuple(seen) == PASSES


def test_operations_say_where_they_come_from() -> None:
    text = to_text(program("m = 0.5*m + g\nparam = param - lr*m", state="m: zeros_like(param)"))
    assert 'loc("m = 0.5*m + g"("mine.yaml":13:7))' in text
    assert 'loc("param = param - lr*m"("mine.yaml":14:11))' in text
