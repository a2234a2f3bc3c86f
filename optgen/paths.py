"""Where files lie: the shipped rule texts and the user's cache of built kernels."""

from __future__ import annotations

import os
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

from optgen.errors import UsageError

CACHE_VARIABLE = "OPTGEN_CACHE_DIR"


@cache
def specs_dir() -> Path:
    """The folder of shipped rules: packaged data, else the checkout's `specs/`. UsageError where there is neither."""
    package = Path(__file__).resolve().parent
    candidates = (package / "_specs", package.parent / "specs")
    for folder in candidates:
        if folder.is_dir():
            return folder
    looked = " and ".join(str(folder) for folder in candidates)
    remedy = "Install optgen again: pip install --force-reinstall optgen"
    raise UsageError(f"the shipped rules are missing (looked in {looked}). {remedy}")


def license_text() -> str:
    """The licence that optgen is under: from the installed package, else from the checkout. UsageError without it."""
    try:
        text = metadata.distribution("optgen").read_text("licenses/LICENSE")
    except metadata.PackageNotFoundError:
        text = None
    file = Path(__file__).resolve().parent.parent / "LICENSE"
    if text is None and file.is_file():
        text = file.read_text(encoding="utf-8")
    if text is None:
        raise UsageError("the text of optgen's licence is missing. Install optgen again")
    return text


def transforms_dir() -> Path:
    """The folder of shipped transforms."""
    return specs_dir() / "transforms"


def is_shipped(path: str) -> bool:
    """Whether a text is one that ships."""
    return Path(path).parent in (specs_dir(), transforms_dir())


def cache_dir() -> Path:
    """The folder for built kernels: OPTGEN_CACHE_DIR, else the platform's cache folder. It may not exist yet."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    return _platform_cache() / "optgen"


def _platform_cache() -> Path:
    home = Path(os.path.expanduser("~"))
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    if sys.platform == "darwin":
        return home / "Library" / "Caches"
    configured = os.environ.get("XDG_CACHE_HOME", "")
    return Path(configured) if os.path.isabs(configured) else home / ".cache"
