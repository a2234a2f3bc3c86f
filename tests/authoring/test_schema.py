"""The JSON schema and the loader agree: on what ships, on what is wrong, and on every key."""

from __future__ import annotations

import json

import pytest
from jsonschema import Draft7Validator
from ruamel.yaml import YAML

from optgen.authoring.template import SCHEMA, template
from optgen.errors import SpecError
from optgen.paths import specs_dir
from optgen.spec import vocabulary
from optgen.spec.loader import loads, shipped
from tests.cli.support import RULE, optgen

VALIDATOR = Draft7Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))


def complaints(text: str) -> list[str]:
    """What the schema says against a text."""
    return [error.message for error in VALIDATOR.iter_errors(YAML(typ="safe", pure=True).load(text))]


def test_it_is_a_schema() -> None:
    Draft7Validator.check_schema(VALIDATOR.schema)


@pytest.mark.parametrize("name", shipped())
def test_what_ships_is_valid(name: str) -> None:
    assert complaints((specs_dir() / f"{name}.yaml").read_text(encoding="utf-8")) == []


def test_the_template_is_valid() -> None:
    assert complaints(template("my_rule")) == []


#: A part of `RULE`, and what it is replaced by.
WRONG = {
    "version": ("optgen: 1", "optgen: 2"),
    "no title": ("title: Gradient descent that may drift\n", ""),
    "no name": ("name: drifter\n", ""),
    "name": ("name: drifter", "name: Drifter"),
    "key": ("title: Gradient", "titel: x\ntitle: Gradient"),
    "kind": ("title: Gradient", "kind: rules\ntitle: Gradient"),
    "class": ("title: Gradient", "class: drifter\ntitle: Gradient"),
    "matrix": ("title: Gradient", "matrix: rows\ntitle: Gradient"),
    "long title": ("may drift", "may drift " + "and drift " * 20),
    "hyper as a number": ('{default: 1.0e-2, domain: ">= 0"}', "1.0e-2"),
    "hyper without default": ('{default: 1.0e-2, domain: ">= 0"}', '{domain: ">= 0"}'),
    "hyper key": ("{default: 1.0e-2, domain", "{default: 1.0e-2, dom: x, domain"),
    "hyper over": ("{default: 1.0e-2, domain", "{default: 1.0e-2, over: layer, domain"),
    "hyper name": ("  drift:", "  drift-rate:"),
    "one choice": ("choices: [plain, signed]", "choices: [plain]"),
    "choices twice": ("choices: [plain, signed]", "choices: [plain, signed, plain]"),
    "choices in words": ("choices: [plain, signed]", "choices: plain"),
    "domain": ('{default: 1.0e-2, domain: ">= 0"}', '{default: 1.0e-2, domain: "positive"}'),
    "state dtype": ("{m: zeros_like(param)}", "{m: {start: zeros_like(param), dtype: float8}}"),
    "state without start": ("{m: zeros_like(param)}", "{m: {dtype: float32}}"),
    "state key": ("{m: zeros_like(param)}", "{m: {start: zeros_like(param), over: row}}"),
    "start of nothing": ("{m: zeros_like(param)}", "{m: {start: []}}"),
    "state of nothing": ("{m: zeros_like(param)}", "{m: []}"),
    "input extent": ("direction: |", "inputs: {loss: global}\ndirection: |"),
    "input key": ("direction: |", "inputs: {loss: {extent: model, dtype: float32}}\ndirection: |"),
    "stage as a list": ("direction: |\n  d = g\n", "direction: [d = g]\ngradient: |\n  g = g\n"),
    "claims as a mapping": ("example:", "claims: {reduces_to: {rule: drifter}}\nexample:"),
    "claim of another kind": ("example:", "claims: [{equals: {rule: drifter}}]\nexample:"),
    "claim without rule": ("example:", "claims: [{reduces_to: {when: {drift: 0}}}]\nexample:"),
    "claim key": ("example:", "claims: [{reduces_to: {rule: ./x.yaml, where: {drift: 0}}}]\nexample:"),
    "example without param": ("param: [1.0], g", "g"),
    "example that expects nothing": (", expect: {param: [0.5]}", ""),
    "preset as a number": ("example:", "presets: {fast: 1.0}\nexample:"),
}


@pytest.mark.parametrize(("old", "new"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_refused_by_the_schema_and_by_the_loader(old: str, new: str) -> None:
    assert old in RULE
    text = RULE.replace(old, new, 1)
    with pytest.raises(SpecError):
        loads(text)
    assert complaints(text)


def test_the_text_they_vary_is_right() -> None:
    assert complaints(RULE) == []
    loads(RULE)


def test_its_keys_are_those_of_the_loader() -> None:
    schema = VALIDATOR.schema
    definitions = schema["$defs"]
    (_, described) = schema["properties"]["inputs"]["additionalProperties"]["anyOf"]
    assert set(schema["properties"]) == set(vocabulary.TOP_KEYS)
    assert set(described["properties"]) == set(vocabulary.INPUT_KEYS)
    assert set(definitions["hyper"]["properties"]) == set(vocabulary.HYPER_KEYS)
    assert set(definitions["state"]["properties"]) == set(vocabulary.STATE_KEYS)
    assert set(schema["required"]) == set(vocabulary.REQUIRED_KEYS)


def test_the_command_prints_it_and_says_where_it_is() -> None:
    assert json.loads(optgen("schema").stdout) == VALIDATOR.schema
    assert optgen("schema", "--path").stdout.strip() == str(SCHEMA)
