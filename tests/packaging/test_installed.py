"""The unpacked wheel, without the packages of its extras: what works, and how what does not names the extra."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.packaging.conftest import Built

_PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
for name in ("torch", "numba", "llvmlite", "jax", "optax", "keras", "matplotlib"):
    sys.modules[name] = None
import optgen
assert optgen.__file__.startswith(sys.argv[1]), optgen.__file__
from click.testing import CliRunner
from optgen.cli import cli

def run(code, *arguments):
    result = CliRunner().invoke(cli, list(arguments))
    if result.exit_code != code or not isinstance(result.exception, SystemExit | None):
        print(arguments, result.exit_code, result.output, repr(result.exception))
    return result.output

def refused(text, call):
    try:
        call()
    except Exception as error:
        if text not in str(error):
            print(repr(error))
    else:
        print("not refused:", text)

for command in (["list"], ["check", "lion"], ["explain", "neat"], ["build", "lion", "--out", "made"],
                ["build", "lion", "--standalone", "--out", "alone"], ["schema"], ["cache"], ["completion", "bash"]):
    run(0, *command)
for command in (["verify", "lion"], ["bench", "lion"]):
    if 'pip install "optgen[torch]"' not in (said := run(1, *command)):
        print(command, said)
run(0, "doctor")

def torch_class():
    import optgen.torch
    optgen.torch.Lion

refused("optgen[torch]", torch_class)
refused("optgen[torch]", lambda: optgen.compile("lion"))
refused("optgen[jax]", lambda: optgen.compile("lion", framework="jax"))
refused("optgen[keras]", lambda: optgen.compile("lion", framework="keras"))
print("done")
"""


def unpack(wheel: Path, folder: Path) -> Path:
    """What installing a wheel without its dependencies comes to."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_the_core_works_alone_and_names_the_extras(built: Built, tmp_path: Path) -> None:
    command = [sys.executable, "-I", "-c", _PROGRAM, str(unpack(built.wheel, tmp_path / "site"))]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stdout + done.stderr
    assert (tmp_path / "alone" / "lion" / "_optgen" / "LICENSE").is_file()


_TRAIN = """
import sys, optgen, torch
assert optgen.__file__.startswith(sys.prefix), optgen.__file__
from optgen.torch import Lion
p = torch.nn.Parameter(torch.ones(4))
p.grad = torch.ones(4)
optimizer = Lion([p], lr=0.5)
optimizer.step()
assert p.tolist() == [0.5] * 4
assert optimizer.describe()[0].module.startswith(sys.prefix)
"""


@pytest.mark.slow
def test_an_environment_of_its_own(built: Built, tmp_path: Path) -> None:
    """A real environment that borrows this one's packages: pip installs the wheel, and the script and classes work."""
    folder = tmp_path / "venv"
    venv.create(folder, symlinks=True)
    (site,) = (folder / "lib").glob("python*/site-packages")
    paths = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    install = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--no-index"]
    flags = ["--no-deps", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*install, *flags, str(built.wheel)], check=True, capture_output=True)
    (site / "borrowed.pth").write_text("\n".join(paths), encoding="utf-8")  # after the environment's own packages
    for command in (
        ["bin/optgen", "build", "lion", "--standalone", "--out", "made"],
        ["bin/python", "-I", "-c", _TRAIN],
    ):
        done = subprocess.run(
            [folder / command[0], *command[1:]], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "made" / "lion" / "torch.py").is_file()
