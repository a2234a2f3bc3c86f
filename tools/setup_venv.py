"""Creates ``.venv`` with everything the demo, the tests and the checks need; does nothing when it is up to date.

Run by ``make venv`` with whichever interpreter ``PYTHON`` names. Only the standard library is used, and the text
also parses on interpreters that are too old, so that they get a sentence and not a syntax error.
"""

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "optgen-stamp"

# Installed first and at a fixed version: a build of this version that the machine offers (CPU only, say) satisfies
# it, whereas the resolver left alone would look for the newest.
TORCH = "torch==2.13.0"
PROJECT = ".[dev]"


def main() -> None:
    """Brings ``.venv`` up to date, or exits with one sentence about the problem and one about the remedy."""
    if sys.version_info[:2] < (3, 11):
        found = ".".join(str(part) for part in sys.version_info[:3])
        stop(
            f"optgen needs Python 3.11 or newer, and {sys.executable} is {found}.",
            "Name another interpreter: PYTHON=python3.12 make ...",
        )
    maker = f"python {sys.version_info[0]}.{sys.version_info[1]} at {ROOT}\n"
    wanted = maker + contents_hash()
    stamp = read_stamp()
    if stamp == wanted:
        return
    if stamp is None or not stamp.startswith(maker):
        create()
    STAMP.write_text(maker + "unfinished", encoding="utf-8")
    install("torch", TORCH)
    install("optgen and its development tools", "-e", PROJECT)
    STAMP.write_text(wanted, encoding="utf-8")
    print(f"ready: {VENV}", flush=True)


def contents_hash() -> str:
    """A hash of the files that decide what is installed."""
    text = hashlib.sha256()
    for name in ("pyproject.toml", "hatch_build.py", "tools/setup_venv.py"):
        text.update((ROOT / name).read_bytes())
    return text.hexdigest()


def interpreter() -> Path:
    """The environment's own Python."""
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def read_stamp() -> "str | None":
    """What an earlier run left behind, None without an environment; stops at one that somebody else made."""
    if not VENV.exists():
        return None
    if not STAMP.is_file():
        stop(f"{VENV} exists and was not made by `make venv`.", "Move or remove it, then run the same command again.")
    return STAMP.read_text(encoding="utf-8") if interpreter().is_file() else ""


def create() -> None:
    """Makes the environment, in place of an older one of ours."""
    print(f"creating {VENV} with {sys.executable}", flush=True)
    try:
        venv.create(VENV, clear=True)
        STAMP.write_text("unfinished", encoding="utf-8")
        subprocess.run([interpreter(), "-m", "ensurepip", "--upgrade"], check=True, stdout=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError) as error:
        stop(
            f"Python could not create the virtual environment {VENV}: {error}",
            "On Debian and Ubuntu install the package python3-venv, or name another interpreter: PYTHON=... make ...",
        )


def install(what: str, *arguments: str) -> None:
    """Installs with the environment's pip, whose own progress bars show on a terminal."""
    print(f"installing {what} (the first time this takes minutes)", flush=True)
    quiet = [] if sys.stdout.isatty() else ["--quiet"]
    command = [interpreter(), "-m", "pip", "install", "--disable-pip-version-check", *quiet, *arguments]
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        stop(
            f"pip could not install {what}; its own message is above.",
            "Check the network and the free disk space, then run the same command again.",
        )


def stop(problem: str, remedy: str) -> NoReturn:
    """Ends the run with what is wrong and what to do."""
    sys.exit(f"{problem}\n{remedy}")


if __name__ == "__main__":
    main()
