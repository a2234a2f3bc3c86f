"""`optgen new`: the template does what its comments say, and a name that cannot be taken is refused with the reason."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from optgen.authoring.template import SCHEMA, template
from optgen.errors import HyperError
from optgen.explain import explain
from optgen.generate import accept
from optgen.spec.loader import load, loads, shipped
from optgen.spec.syntax import Assign
from optgen.verify.reference import Reference
from tests.cli.support import optgen

NAME = "my_rule"
TEXT = template(NAME)


def without(key: str, text: str = TEXT) -> str:
    """The text with a line taken out."""
    lines = [line for line in text.splitlines() if not line.startswith(f"{key}:")]
    assert len(lines) == len(text.splitlines()) - 1
    return "\n".join(lines) + "\n"


def uncommented(key: str, text: str = TEXT) -> str:
    """The text with a line that is commented out put in."""
    assert len(re.findall(f"^# {key}:", text, re.MULTILINE)) == 1
    return re.sub(f"^# {key}:", f"{key}:", text, flags=re.MULTILINE)


def test_it_is_written_and_checks(tmp_path: Path) -> None:
    made = optgen("new", NAME, "--out", tmp_path / "deep" / "folder")
    assert made.exit_code == 0, made.output
    path = tmp_path / "deep" / "folder" / f"{NAME}.yaml"
    assert path.read_text(encoding="utf-8") == TEXT
    assert str(path) in made.stdout
    checked = optgen("check", path)
    assert checked.exit_code == 0, checked.stderr


@pytest.mark.slow
def test_it_builds_and_verifies(tmp_path: Path) -> None:
    optgen("new", NAME, "--out", tmp_path)
    path = tmp_path / f"{NAME}.yaml"
    built = optgen("build", path, "--out", tmp_path / "made")
    assert built.exit_code == 0, built.output
    verified = optgen("verify", path, "--dtype", "float32")
    assert verified.exit_code == 0, verified.output


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.yaml").write_text("mine", encoding="utf-8")
    refused = optgen("new", NAME, "--out", tmp_path)
    assert refused.exit_code == 1
    assert "is there already" in refused.stderr
    assert (tmp_path / f"{NAME}.yaml").read_text(encoding="utf-8") == "mine"


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    refused = optgen("new", NAME, "--out", tmp_path / "file" / "below")
    assert refused.exit_code == 1
    assert "--out DIR" in refused.stderr


@pytest.mark.parametrize(
    ("name", "why", "instead"),
    [
        ("my-rule", "'-' is no lower-case", "my_rule"),
        ("MyRule", "starts with 'M'", "my_rule"),
        ("2fast", "starts with '2'", "fast"),
        ("", "empty", "my_rule"),
        ("été", "starts with 'é'", "t"),
        ("x" * 65, "65 characters", "x" * 64),
        ("lambda", "word of Python", "lambda_rule"),
        ("my_rule.yaml", "is a file", '"my_rule"'),
        ("../up", "starts with '.'", "up"),
        *((name, "ships with optgen", f"my_{name}") for name in shipped()),
    ],
)
def test_names_that_cannot_be_taken(tmp_path: Path, name: str, why: str, instead: str) -> None:
    refused = optgen("new", "--out", tmp_path, "--", name)
    assert refused.exit_code == 1
    assert why in refused.stderr
    assert instead in refused.stderr
    assert not list(tmp_path.iterdir())


def test_no_name_whose_class_is_one_that_ships() -> None:
    for name in shipped():
        apart = f"{name[0]}_{name[1:]}"
        assert f'"{name}" ships with optgen' in optgen("new", apart).stderr


# What the comments say


def test_the_class_without_its_line_and_with_it() -> None:
    assert loads(TEXT).class_name == loads(uncommented("class")).class_name == "MyRule"


def test_the_lines_that_are_commented_out_are_right(tmp_path: Path) -> None:
    spec = loads(uncommented("require", uncommented("reference")))
    assert spec.reference
    assert accept(spec, {"style": "plain", "weight_decay": 2.0})
    with pytest.raises(HyperError, match="weight_decay < 1"):
        accept(spec, {"style": "signed", "weight_decay": 2.0})
    other = tmp_path / "other.yaml"
    other.write_text(TEXT.replace("(d + weight_decay*param)", "d"), encoding="utf-8")
    claiming = tmp_path / "claiming.yaml"
    claiming.write_text(uncommented("claims").replace("rule: NAME", f"rule: {other}"), encoding="utf-8")
    checked = optgen("check", claiming)
    assert checked.exit_code == 0, checked.stderr


def test_the_update_that_is_there_without_its_line() -> None:
    (statement,) = loads(without("update").split("# A worked example")[0]).stages["update"]
    assert isinstance(statement, Assign)
    assert statement.text == "param = param - lr*d"
    assert f"`{statement.text}`" in TEXT


def test_bytes_of_the_states() -> None:
    found = explain(loads(TEXT))["state"]
    assert {name: (each["extent"], each["bytes_per_param"]) for name, each in found.items()} == {
        "m": ("elem", 4),
        "s": ("tensor", 0),
    }


def test_the_style_is_settled_when_kernels_are_built() -> None:
    plain, signed = (explain(loads(TEXT), {"style": style}) for style in ("plain", "signed"))
    assert plain["settled"]["style"] == "plain"
    assert len(plain["variants"]) == len(signed["variants"]) == 1


def test_the_first_step_is_one_and_has_about_the_same_length_for_every_tensor() -> None:
    start = {"a": np.ones(50), "b": np.ones((7, 9))}
    reference = Reference(loads(TEXT), start, {"lr": 1.0})
    reference.step([np.full(50, 1e-3), np.full((7, 9), 1e3)], {})
    for name, before in start.items():
        assert np.allclose(np.abs(before - reference.params[name]), 1.0, rtol=1e-4)


def test_the_example_is_that_of_the_comment() -> None:
    direction = np.array([3.0, 4.0]) / np.sqrt(12.5)
    (expected, _) = (example.expect["param"]["w"] for example in loads(TEXT).examples)
    assert np.allclose(np.array([1.0, -2.0]) - 0.1 * direction, expected, atol=1e-6)


def test_the_commands_and_files_it_names_exist() -> None:
    first = TEXT.splitlines()[0]
    assert first == f"# yaml-language-server: $schema={SCHEMA.as_uri()}"
    assert SCHEMA.is_file()
    for command in re.findall(r"`?optgen (\w+)", TEXT):
        if command not in ("rule",):
            assert optgen(command, "--help").exit_code == 0, command
    assert load(shipped()[0])
