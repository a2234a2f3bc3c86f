"""What a wheel holds: every package with its type marker, the specs, and nothing of the checkout's tooling."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("optgen", "optgen_numba", "optgen_generated")


@pytest.fixture(scope="module", params=["wheel", "sdist-to-wheel"])
def wheel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names in a wheel built from the checkout, and in one built from its source archive, as releases are."""
    folder = tmp_path_factory.mktemp("dist")
    source = ROOT
    if request.param == "sdist-to-wheel":
        build(ROOT, "sdist", folder)
        subprocess.run([sys.executable, "-m", "tarfile", "-e", next(folder.glob("*.tar.gz")), folder], check=True)
        source = next(path for path in folder.iterdir() if path.is_dir())
    build(source, "wheel", folder)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        return set(archive.namelist())


def build(source: Path, target: str, folder: Path) -> None:
    """Runs the build back end in place, without an isolated environment and so without a network."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(folder)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_wheel_holds_the_packages_and_the_specs(wheel: set[str]) -> None:
    for package in PACKAGES:
        assert f"{package}/__init__.py" in wheel
        assert f"{package}/py.typed" in wheel
    assert {"optgen/spec/schema.json", "optgen/authoring/rule.yaml"} <= wheel
    specs = {
        f"optgen/_specs/{path.relative_to(ROOT / 'specs').as_posix()}" for path in (ROOT / "specs").rglob("*.yaml")
    }
    assert specs
    assert specs <= wheel


def test_a_wheel_holds_nothing_else(wheel: set[str]) -> None:
    tops = {name.split("/")[0] for name in wheel}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)
    assert not [name for name in wheel if name.endswith("ruff.toml")]
