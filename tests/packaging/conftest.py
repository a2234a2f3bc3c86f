"""The wheel and the source archive, built once for this folder, in place and without a network."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Built:
    """A wheel built from the checkout, a source archive, and the wheel built from that, as releases are."""

    wheel: Path
    sdist: Path
    wheel_of_sdist: Path


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("dist")
    sdist = build(ROOT, "sdist", folder)
    subprocess.run([sys.executable, "-m", "tarfile", "-e", sdist, folder], check=True)
    source = next(path for path in folder.iterdir() if path.is_dir())
    return Built(build(ROOT, "wheel", folder / "a"), sdist, build(source, "wheel", folder / "b"))


def build(source: Path, target: str, folder: Path) -> Path:
    """The file that the build back end makes."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(folder)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return next(path for path in folder.iterdir() if path.suffix in (".whl", ".gz"))
