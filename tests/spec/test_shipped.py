"""The rule texts that are shipped: complete, documented, quick to load, and described by the schema."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import optgen.spec
from optgen.paths import cache_dir, specs_dir
from optgen.spec import vocabulary
from optgen.spec.loader import load, shipped
from optgen.spec.model import EXTENTS

SCHEMA = json.loads((Path(optgen.spec.__file__).parent / "schema.json").read_text(encoding="utf-8"))


def test_names_are_those_of_the_files() -> None:
    assert shipped() == sorted(file.stem for file in specs_dir().glob("*.yaml"))
    assert [load(name).name for name in shipped()] == shipped()


@pytest.mark.parametrize("name", shipped())
def test_complete(name: str) -> None:
    spec = load(name)
    assert spec.title
    assert spec.reference
    for hyper in spec.hypers.values():
        assert hyper.doc, hyper.name
        assert hyper.symbol or hyper.kind in ("bool", "choice", "int") or hyper.name.startswith("lr_"), hyper.name
    assert any(any(value != spec.hypers[key].default for key, value in e.settings.items()) for e in spec.examples)
    assert spec.kind == "rule"


@pytest.mark.parametrize("name", shipped())
def test_examples_reach_every_numeric_hyper_or_a_second_step(name: str) -> None:
    spec = load(name)
    assert max(example.steps for example in spec.examples) >= 2
    assert all(abs(t) < 1e-3 for e in spec.examples for t in _numbers(e.tolerance["param"].values()))


def _numbers(values: object) -> list[float]:
    if isinstance(values, float):
        return [values]
    return [number for value in values for number in _numbers(value)]  # type: ignore[attr-defined]


def test_the_schema_knows_the_keys_of_the_loader() -> None:
    assert set(SCHEMA["properties"]) == set(vocabulary.TOP_KEYS)
    assert set(SCHEMA["required"]) == set(vocabulary.REQUIRED_KEYS)
    definitions = SCHEMA["$defs"]
    assert set(definitions["hyper"]["properties"]) == set(vocabulary.HYPER_KEYS)
    assert set(definitions["state"]["properties"]) == set(vocabulary.STATE_KEYS)
    assert set(definitions["state"]["properties"]["dtype"]["enum"]) == set(vocabulary.DTYPES)
    assert tuple(definitions["extent"]["enum"]) == EXTENTS
    assert all("description" in each for each in SCHEMA["properties"].values())


@pytest.mark.parametrize("name", shipped())
def test_the_schema_allows_what_is_shipped(name: str) -> None:
    spec = load(name)
    assert re.fullmatch(SCHEMA["properties"]["name"]["pattern"], spec.name)
    assert re.fullmatch(SCHEMA["properties"]["class"]["pattern"], spec.class_name)
    pattern = SCHEMA["$defs"]["hyper"]["properties"]["torch"]["pattern"]
    assert all(re.fullmatch(pattern, hyper.names.get("torch", "a")) for hyper in spec.hypers.values())


def test_the_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OPTGEN_CACHE_DIR", str(tmp_path / "mine"))
    assert cache_dir() == tmp_path / "mine"
    monkeypatch.delenv("OPTGEN_CACHE_DIR")
    assert cache_dir().name == "optgen"
    assert cache_dir().is_absolute()
