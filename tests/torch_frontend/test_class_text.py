"""The text of generated classes: what it says, that nothing escapes from it, and what it decides before a step."""

from __future__ import annotations

import ast
import inspect
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from optgen.errors import UsageError
from optgen.frontends.layout import fit
from optgen.frontends.python_text import docstring_text, literal
from optgen.frontends.torch_class import torch_class, torch_index
from optgen.frontends.torch_signature import torch_stub
from optgen.runtime.rule_info import Meta, meta_of
from optgen.spec.loader import load as load_spec
from optgen.spec.loader import loads, shipped
from optgen.spec.model import Spec
from tests.torch_frontend.support import WALKER, load

NASTY = (
    '"""',
    '""""',
    'ends with a quote"',
    "'''",
    "\\",
    '\\"',
    'a\\""" + print(1) + """',
    "new\nline",
    "carriage\rreturn",
    "nul\0",
    "line\u2028separator\u2029",
    "bidi\u202e\u2066",
    "{braces} %s \\N{DASH}",
    "# comment\n    import os",
    "\ud800",
    "\U000e0001",
)


@pytest.mark.parametrize("text", NASTY)
def test_text_stays_in_its_string(text: str) -> None:
    written = literal(text)
    assert ast.literal_eval(written) == text
    assert written.isprintable()
    doc = f'"""{docstring_text(text)}"""'
    tree = ast.parse(doc)
    assert len(tree.body) == 1
    assert ast.literal_eval(doc) == text


@pytest.mark.parametrize("text", NASTY)
def test_a_rule_cannot_leave_its_words(text: str) -> None:
    spec = loads(WALKER)
    lr = replace(spec.hypers["lr"], doc=text)
    spec = replace(spec, title=text, doc=text, reference=text, path=text, hypers={**spec.hypers, "lr": lr})
    tree = ast.parse(torch_class(spec, text))
    kinds = [type(node).__name__ for node in tree.body]
    plain = [type(node).__name__ for node in ast.parse(torch_class(loads(WALKER))).body]
    assert kinds == plain


def generated() -> Sequence[Spec]:
    return [load_spec(name) for name in shipped()]


@pytest.mark.skipif(shutil.which("ruff") is None, reason="ruff is not installed")
def test_the_text_is_formatted(tmp_path: Path) -> None:
    for spec in (spec for spec in generated() if not spec.shows):  # whose expressions stay on their line
        (tmp_path / f"{spec.name}.py").write_text(torch_class(spec, "shipped"), encoding="utf-8")
    done = subprocess.run(
        ["ruff", "format", "--diff", "--line-length", "120", "--isolated", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", shipped())
def test_shipped_rules_make_classes(name: str, tmp_path: Path) -> None:
    spec = load_spec(name)
    text = torch_class(spec, "shipped")
    assert text == torch_class(spec, "shipped")
    cls = getattr(load(tmp_path, text), spec.class_name)
    assert issubclass(cls, torch.optim.Optimizer)
    rule = cls.RULE
    assert rule.digest == spec.digest
    assert {hyper.name: hyper.default for hyper in rule.hypers} == {h.name: h.default for h in spec.hypers.values()}
    assert [state.name for state in rule.states] == list(spec.states)
    parameters = inspect.signature(cls.__init__).parameters
    assert all(hyper.key in parameters for hyper in rule.hypers)
    assert all(f"{argument}" in str(cls.__doc__) for argument in parameters if argument != "self")


def rule_of(name: str, folder: Path):
    spec = load_spec(name)
    return getattr(load(folder, torch_class(spec)), spec.class_name).RULE


def test_state_by_metadata(tmp_path: Path) -> None:
    rules = {spec.name: spec for spec in generated()}
    factored = next(name for name, spec in rules.items() if {"r", "c", "v"} <= set(spec.states))
    rule = rule_of(factored, tmp_path)
    assert rule.needs(rule.defaults(), meta_of((3, 4), "trailing", 0.5, "")) == {"r", "c"}
    assert rule.needs(rule.defaults(), meta_of((3,), "trailing", 0.5, "")) == {"v"}
    assert rule.structural == ()


def test_state_by_depth(tmp_path: Path) -> None:
    name = next(spec.name for spec in generated() if {"acc", "count"} <= set(spec.states))
    rule = rule_of(name, tmp_path)
    assert rule.depth

    def needs(depth: float, **changes: object) -> frozenset[str]:
        return rule.needs({**rule.defaults(), **changes}, Meta(6, 2, 2, 3, 1, depth, ""))

    assert not {"acc", "count"} & needs(0.0)
    assert {"acc", "count"} <= needs(1.0)
    assert {"acc", "count"} <= needs(0.0, interval=3)
    assert not {"acc", "count"} & needs(1.0, interval=1)
    assert "max_interval" in rule.structural
    assert "lr" not in rule.structural


def test_betas_and_spelled_arguments(tmp_path: Path) -> None:
    text = WALKER.replace("eps: {default: 1.0e-8", "eps: {torch: epsilon, default: 1.0e-8")
    rule = load(tmp_path, torch_class(loads(text))).RULE
    assert [hyper.argument for hyper in rule.hypers] == ["lr", "betas[0]", "betas[1]", "epsilon", "weight_decay"]


@pytest.mark.parametrize("name", ["Optimizer", "class", "RuleInfo", "a-b", "Spëc", "x(object): pass\nclass Y"])
def test_a_class_name_that_would_break_the_text(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be called"):
        torch_class(replace(loads(WALKER), class_name=name))


def test_a_hyper_name_that_would_break_the_text() -> None:
    with pytest.raises(UsageError, match=r"cannot be called|is no argument"):
        torch_class(loads(WALKER.replace("eps", "self")))


def test_the_index_names_every_class() -> None:
    text = torch_index(generated())
    names = [spec.class_name for spec in generated()]
    assert all(f"import {name} as {name}\n" in text for name in names)
    found = next(n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Assign))
    assert ast.literal_eval(found.value) == sorted(names)


def test_the_stub_gives_the_same_signatures() -> None:
    tree = ast.parse(torch_stub(generated()))
    stubs = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    for spec in generated():
        text = ast.parse(torch_class(spec))
        real = next(node for node in text.body if isinstance(node, ast.ClassDef))
        init = next(node for node in real.body if isinstance(node, ast.FunctionDef))
        stub = next(node for node in stubs[spec.class_name].body if isinstance(node, ast.FunctionDef))
        assert ast.dump(stub.args) == ast.dump(init.args)


def test_the_checked_in_stub_is_up_to_date() -> None:
    path = Path(__file__).parents[2] / "optgen" / "torch" / "__init__.pyi"
    assert path.read_text(encoding="utf-8") == torch_stub(generated())


def test_long_lines_break_at_brackets() -> None:
    line = "x = call(" + ", ".join(f'"{"argument " * 3},("' for _ in range(6)) + ")"
    broken = fit(line)
    assert len(broken) > 1
    assert all(len(part) <= 120 for part in broken)
    assert ast.dump(ast.parse(line)) == ast.dump(ast.parse("\n".join(broken)))
