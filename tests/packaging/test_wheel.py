"""What a wheel and a source archive hold: every package, its type marker, the specs, and no leftovers."""

from __future__ import annotations

import email
import re
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.packaging.conftest import ROOT, Built

PACKAGES = ("optgen", "optgen_numba", "optgen_triton", "optgen_xla", "optgen_generated")
SUFFIXES = (".py", ".pyi", ".yaml", ".json", ".typed", "MANIFEST")


def content(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def wheel(built: Built) -> dict[str, bytes]:
    return content(built.wheel)


def test_a_wheel_holds_the_packages_and_the_specs(wheel: dict[str, bytes]) -> None:
    for package in PACKAGES:
        assert f"{package}/__init__.py" in wheel
        assert f"{package}/py.typed" in wheel
    assert {"optgen/spec/schema.json", "optgen/authoring/rule.yaml", "optgen/torch/__init__.pyi"} <= wheel.keys()
    specs = {
        f"optgen/_specs/{path.relative_to(ROOT / 'specs').as_posix()}" for path in (ROOT / "specs").rglob("*.yaml")
    }
    assert specs
    assert specs <= wheel.keys()
    assert {f"optgen_generated/{Path(spec).stem}/torch.py" for spec in specs} & wheel.keys()


def test_a_wheel_holds_every_source_file(wheel: dict[str, bytes]) -> None:
    for place in ("optgen", "backends/optgen_numba", "generated/optgen_generated"):
        files = (path for path in (ROOT / place).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        wanted = {
            f"{place.rpartition('/')[2]}/{path.relative_to(ROOT / place).as_posix()}"
            for path in files
            if path.name.endswith(SUFFIXES)
        }
        assert wanted <= wheel.keys()


def test_a_wheel_holds_nothing_else(wheel: dict[str, bytes]) -> None:
    files = [name for name in wheel if ".dist-info/" not in name]
    assert {name.split("/")[0] for name in files} == set(PACKAGES)
    assert [name for name in files if not name.endswith(SUFFIXES)] == []


def test_what_a_wheel_says_of_itself(wheel: dict[str, bytes]) -> None:
    (about,) = (text for name, text in wheel.items() if name.endswith(".dist-info/METADATA"))
    found = email.message_from_bytes(about)
    assert found["Requires-Python"] == ">=3.11"
    assert found["License-Expression"] == "Apache-2.0"
    assert {"torch", "numba", "jax", "keras", "triton", "dev"} <= set(found.get_all("Provides-Extra", []))
    versions = [text.rpartition(" ")[2] for text in found.get_all("Classifier", []) if " 3." in text]
    assert {"3.11", "3.12", "3.13"} <= set(versions)
    required = [re.split(r"[<>=~ ;]", text)[0] for text in found.get_all("Requires-Dist", []) if "extra ==" not in text]
    assert sorted(required) == ["click", "numpy", "rich", "ruamel-yaml", "sympy", "xdsl"]
    (licence,) = (text for name, text in wheel.items() if name.endswith("/LICENSE"))
    assert licence == (ROOT / "LICENSE").read_bytes()
    (entries,) = (text.decode() for name, text in wheel.items() if name.endswith("entry_points.txt"))
    assert "optgen = optgen.cli:main" in entries
    assert "numba = optgen_numba:backend" in entries


def test_a_source_archive_makes_the_same_wheel(built: Built, wheel: dict[str, bytes]) -> None:
    assert content(built.wheel_of_sdist) == wheel


def test_a_source_archive_holds_the_checkout_and_no_leftovers(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("LICENSE", "README.md", "pyproject.toml", "hatch_build.py", "Makefile", "tools/setup_venv.py"):
        assert name in names
    for folder in ("specs", "tests", "generated", "benchmarks", "examples"):
        assert any(name.startswith(f"{folder}/") for name in names), folder
    left = re.compile(
        r"__pycache__|\.pyc$|\.nb[ic]$|^\.(git|venv|ci|ruff_cache|pytest_cache|hypothesis)/|\.egg-info|\.tmp$"
    )
    assert [name for name in names if left.search(name)] == []
