"""Texts that are refused as documents or declarations: where, why and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from optgen.errors import SpecError, UsageError
from optgen.spec.loader import load, loads
from tests.bad_input.marked import HEAD, check, complaints

STEP = "update: param = param - lr*g\n"

DOCUMENTS = {
    "not yaml": ("optgen: 1\nname: a§: b\n", "this is not YAML", "quote"),
    "unclosed quote": ('optgen: 1\ntitle: §"open\n', "this is not YAML", "check the indentation"),
    "tab": (HEAD + "state:\n§\tm: 0.0\n", "a tab character", "spaces"),
    "not a mapping": ("§- a\n- b\n", "a rule is a mapping", "optgen: 1"),
    "empty": ("§", "a rule is a mapping", "optgen: 1"),
    "anchor": (HEAD + "doc: §&a text\n" + STEP, "anchors are not allowed", "write the value out"),
    "alias": (HEAD + "doc: §*a\n" + STEP, "aliases are not allowed", "write the value out"),
    "tag": (HEAD + "doc: §!!python/object:os.system x\n" + STEP, "tags are not allowed", "remove"),
    "mapping with a tag": (HEAD + "presets: §!x {a: {lr: 1}}\n" + STEP, "tags are not allowed", "remove"),
    "duplicate key": ("optgen: 1\nname: a\ntitle: b\n§name: c\n", '"name" occurs twice', "line 2"),
    "duplicate hyper": (HEAD + "  §lr: {default: 1.0}\n" + STEP, '"lr" occurs twice', "keep one"),
    "key that is a list": (HEAD + "? §[a, b]\n: c\n", "a key must be a word", "quote it"),
    "second document": (HEAD + STEP + "§---\na: b\n", "a second document", "one rule per file"),
    "directive": ("§%YAML 1.1\n---\nname: a\n", "directives are not allowed", "remove"),
    "deep nesting": (HEAD + "presets: " + "[" * 19 + "§" + "[" * 5000, "more than 20 levels", "flatter"),
    "nul": ("optgen: 1\nname: a§\0b\n", "U+0000", "remove it"),
    "escape": ("optgen: 1\nname: a§\x1b[31m\n", "U+001B", "remove it"),
    "line separator": (HEAD + "doc: a§\u2028import os\n", "U+2028 (line separator)", "remove it"),
    "bidi override": (HEAD + "doc: a§\u202eb\n", "U+202E (right-to-left override)", "remove it"),
    "escaped nul": (HEAD + 'doc: §"a\\0b"\n' + STEP, "U+0000", "remove it"),
    "escaped line separator": (HEAD + 'doc: §"a\\u2028b"\n' + STEP, "U+2028", "remove it"),
    "escaped surrogate": (HEAD + 'doc: §"\\ud800"\n' + STEP, "U+D800", "remove it"),
    "title of two lines": ('optgen: 1\nname: a\ntitle: §"x\\nimport os"\n' + STEP, "one line of text", '"doc"'),
}

DECLARATIONS = {
    "gradients of nothing": (HEAD + "§gradients: cuont\n" + STEP, '"cuont" is no hyper', "declare it"),
    "gradients without end": (
        HEAD + '  count: {default: 1, domain: "int >= 1", over: model}\n§gradients: count\n' + STEP,
        '"count" must count, from 1 to at most 64, over the model',
        'domain: "int [1, 64]"',
    ),
    "gradients per tensor": (
        HEAD + '  count: {default: 1, domain: "int [1, 8]"}\n§gradients: count\n' + STEP,
        "over the model",
        "over: model",
    ),
    "gradients of a transform": (
        HEAD + "kind: transform\n§gradients: lr\ngradient: g = 2*g\n",
        "only a rule says how many gradients",
        "remove",
    ),
    "unknown version": ("optgen: §2\nname: a\ntitle: b\n", 'unknown language version "2"', "optgen: 1"),
    "no version": ("§name: a\ntitle: b\n", 'no "optgen"', "add `optgen"),
    "no title": ("§optgen: 1\nname: a\n", 'no "title"', "add `title"),
    "unknown key": (HEAD + "§upate: param = g\n", 'unknown key "upate"', 'did you mean "update"?'),
    "rule name": ("optgen: 1\n§name: My-Rule\ntitle: b\n", "cannot name a rule", "lower-case"),
    "class name": (HEAD + "§class: my.Rule\n" + STEP, "cannot name a class", "capital"),
    "kind": (HEAD + "§kind: filter\n" + STEP, 'unknown kind "filter"', "rule or transform"),
    "unknown hyper key": (HEAD + "  a: {default: 1, §domian: '> 0'}\n", 'unknown key "domian"', '"domain"?'),
    "hyper without default": (HEAD + "  §a: {domain: '> 0'}\n" + STEP, "no default", "default:"),
    "bare hyper": (HEAD + "  §a: 0.5\n" + STEP, "must be a mapping", "{default: 0.5}"),
    "default outside": (HEAD + "  a: {default: §-1, domain: '>= 0'}\n", "a must be >= 0, got -1", "its own domain"),
    "default NaN": (HEAD + "  a: {default: §.nan}\n" + STEP, "got NaN", "domain"),
    "default at open end": (HEAD + "  a: {default: §1, domain: '[0, 1)'}\n", "must be in [0, 1)", "domain"),
    "default infinite": (HEAD + "  a: {default: §.inf, domain: '[0, 1]'}\n", "must be in [0, 1]", "domain"),
    "default not whole": (HEAD + "  a: {default: §1.5, domain: 'int >= 1'}\n", "an int >= 1, got 1.5", "domain"),
    "default of digits": (HEAD + "  a: {default: §1e5x}\n" + STEP, "is no number", "choices"),
    "default not a choice": (HEAD + "  a: {default: §l3, choices: [l1, l2]}\n", '"l1", "l2"', "domain"),
    "domain of a flag": (HEAD + "  a: {default: true, §domain: '> 0'}\n", "no domain", "remove"),
    "domain": (HEAD + "  a: {default: 1, domain: §positive}\n" + STEP, "is not a domain", '">= 0"'),
    "empty domain": (HEAD + "  a: {default: 1, domain: §'(1, 1)'}\n" + STEP, "is empty", '">= 0"'),
    "choice twice": (HEAD + "  a: {default: x, choices: [x, y, §x]}\n", "occurs twice", "remove"),
    "choice with a quote": (HEAD + "  a: {default: x, choices: [x, §'y\"z']}\n", "cannot be a choice", "ASCII"),
    "over": (HEAD + "  a: {default: 1, §over: layer}\n" + STEP, '"tensor" or "model"', "over: model"),
    "keyword": (HEAD + "  §lambda: {default: 1}\n" + STEP, "a word of the language", "another name"),
    "function name": (HEAD + "  §norm: {default: 1}\n" + STEP, "a function of the language", "another name"),
    "given name": ("optgen: 1\nname: a\ntitle: b\nstate: {§g: 0.0}\n", "given to every rule", "another name"),
    "shared argument": (HEAD + "  §params: {default: 1}\n" + STEP, "all optimizers share", "another name"),
    "respelled": (HEAD + "  §learning_rate: {default: 1}\n" + STEP, "one framework", '"lr"'),
    "not ascii": (HEAD + "  §μ: {default: 1}\n" + STEP, "cannot be a name", "ASCII"),
    "dunder": (HEAD + "  §__class__: {default: 1}\n" + STEP, "cannot be a name", "start with a letter"),
    "declared twice": (HEAD + "state: {§lr: 0.0}\n" + STEP, '"lr" is already a hyper', "another name"),
    "saved name": (HEAD + "state: {§global_step: 0}\n" + STEP, "saved for every rule", "another name"),
    "comma in braces": (
        HEAD + 'state: {v: {start: full(0.0, §over="row")}}\n' + STEP,
        'unknown key "over="row")"',
        "quote an expression",
    ),
    "state dtype": (HEAD + "state: {v: {start: param, §dtype: flaot32}}\n", 'unknown dtype "flaot32"', '"float32"?'),
    "start reads g": (HEAD + "state: {v: §g}\n" + STEP, '"g" cannot be read', "param, hypers and metadata"),
    "extent of an input": (HEAD + "inputs: {loss: §modle}\n" + STEP, 'unknown extent "modle"', '"model"?'),
    "matrix": (HEAD + "matrix: §unit\n" + STEP, 'unknown matrix view "unit"', '"units"?'),
    "else without when": (HEAD + "§else: adamw\n" + STEP, "without `when`", "add `when:`"),
    "else unknown": (HEAD + "when: ndim(param) == 2\n§else: adamww\n" + STEP, 'no rule "adamww"', '"adamw"?'),
    "require reads state": (HEAD + "require: [§param > 0]\n" + STEP, '"param" cannot be read', "reads hypers"),
    "preset": (HEAD + "presets: {a: {§lrr: 1}}\n" + STEP, 'sets "lrr"', 'did you mean "lr"?'),
    "preset value": (HEAD + "presets: {a: {§lr: fast}}\n" + STEP, "must be a number, got 'fast'", "takes"),
    "quirk": (HEAD + "quirks: {§lr_as_maed: true}\n" + STEP, 'unknown quirk "lr_as_maed"', '"lr_as_made"?'),
    "quirk reads step": (HEAD + "quirks: {late_count: §step > 1}\n" + STEP, '"step" cannot be read', "reads hypers"),
    "claim kind": (HEAD + "claims: [{§reduces: {rule: sgd}}]\n" + STEP, "unknown claim", '"reduces_to"?'),
    "claim rule": (HEAD + "claims: [{reduces_to: {§rule: sdg}}]\n" + STEP, 'no rule "sdg"', '"sgd"?'),
    "base in a rule": (HEAD + "  §a: base\n" + STEP, "only a transform", "kind: transform"),
    "several probes": (HEAD + "probe: §[g0 = g]\n" + STEP, "not built yet", "one text"),
    "folded stage": (HEAD + "update: §>\n  param = g\n", "folds lines", "`|`"),
    "stage over lines": (HEAD + "update: §param =\n  param - lr*g\n", "several lines", "`|`"),
    "empty stage": (HEAD + "update§:\n", "nothing here", "remove the key"),
    "no lr": ("optgen: 1\n§name: a\ntitle: b\n", 'there is no hyper "lr"', "declare `lr`"),
}

EXAMPLES = {
    "unknown hyper": (HEAD + STEP + "example: {§lrr: 1, param: [1.0], g: [1.0], expect: {param: [1.0]}}", "lrr", "lr"),
    "no expectation": (HEAD + STEP + "example: §{param: [1.0], g: [1.0]}", 'no "expect"', "give param"),
    "unknown state": (
        HEAD + STEP + "example: {param: [1.0], g: [1.0], expect: {§v: [1.0]}}",
        "neither param nor a state",
        "expects param",
    ),
    "missing tensor": (
        HEAD + STEP + "example: {param: {a: [1.0], b: [1.0]}, g: §{a: [1.0]}, expect: {param: {a: [1.0]}}}",
        'no tensor "b"',
        "null",
    ),
    "shape": (
        HEAD + STEP + "example: {param: [1.0, 2.0], g: [§[1.0]], expect: {param: [1.0, 2.0]}}",
        "shape [1], where param has [2]",
        "param's shape",
    ),
    "steps": (
        HEAD
        + STEP
        + "example: {param: {a: [1.0], b: [1.0]}, §g: {a: [[1.0], [1.0]], b: [1.0]}, expect: {param: {a: [1.0]}}}",
        "different numbers of steps",
        "one entry per step",
    ),
    "not a number": (
        HEAD + STEP + "example: {param: [§.nan], g: [1.0], expect: {param: [1.0]}}",
        "not a finite number",
        "numbers",
    ),
    "formula": (
        HEAD + STEP + 'example: {param: [1.0], g: "2*§lr", expect: {param: [1.0]}}',
        'cannot read "lr"',
        '"param" only',
    ),
    "rule": (
        HEAD + STEP + "example: {§rule: sgd, param: [1.0], g: [1.0], expect: {param: [1.0]}}",
        "only a transform",
        "remove",
    ),
}

CASES = {**DOCUMENTS, **DECLARATIONS, **{f"example: {name}": case for name, case in EXAMPLES.items()}}


@pytest.mark.parametrize(("text", "message", "hint"), CASES.values(), ids=CASES.keys())
def test_refused_at_the_mark(text: str, message: str, hint: str) -> None:
    check(text, message, hint)


def test_all_complaints_at_once() -> None:
    text = HEAD + "  a: {defualt: 1}\n  norm: {default: 2}\nupdate: |\n  param = x.y\n  param = [i for i in g]\n"
    assert [(each.location.line, each.location.col) for each in complaints(text)] == [
        (6, 3),
        (6, 7),
        (7, 3),
        (9, 11),
        (10, 11),
    ]


def test_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"optgen: 1\nname: caf\xe9\n")
    with pytest.raises(SpecError, match=r"mine\.yaml:2:10: error: the file is not UTF-8") as caught:
        load(path)
    assert "save it as UTF-8" in str(caught.value)


def test_a_file_of_ten_megabytes(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"# filler\n" * 1_200_000)
    with pytest.raises(SpecError, match="larger than 256 KiB"):
        load(path)
    with pytest.raises(SpecError, match="larger than 256 KiB"):
        loads("#" * 10_000_000)


@pytest.mark.parametrize("text", ["a,", "[1],", "{a: 1},"])
def test_a_text_of_too_many_values(text: str) -> None:
    hostile = "optgen: 1\nhyper: [" + text * (200_000 // len(text)) + "]\n"
    with pytest.raises(SpecError, match=r"<text>:2:\d+: error: more than 10000 words, lists and mappings") as caught:
        loads(hostile)
    assert len(str(caught.value)) < 20_000


def test_files_and_names_that_do_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read the rule file .*nothing\.yaml: No such file"):
        load(tmp_path / "nothing.yaml")
    with pytest.raises(UsageError, match="cannot read the rule file"):
        load(str(tmp_path) + "/")
    with pytest.raises(UsageError, match='did you mean "adamw"'):
        load("adamww")
    with pytest.raises(SpecError, match='did you mean "lookahead"'):
        load("adamw+lookahaed")
