"""The name this runtime runs under: part of optgen, or the copy inside a standalone build folder."""

from __future__ import annotations

import importlib.util
from pathlib import Path

PACKAGE = __name__.rpartition(".")[0]
STANDALONE = PACKAGE != "optgen.runtime"
#: Name of the build folder as a package, which holds the copy at `_optgen.runtime`; empty within optgen.
FOLDER = PACKAGE.rsplit(".", 2)[0] if STANDALONE else ""

#: The package of what was generated from the rules that ship.
GENERATED = "optgen_generated"


def generated() -> Path | None:
    """The folder of that package; None where it is missing, as it may be, and in a build folder, which has its own."""
    found = None if STANDALONE else importlib.util.find_spec(GENERATED)
    return Path(found.origin).parent if found is not None and found.origin is not None else None


def kernel_name(digest: str) -> str:
    """Name that a kernel module is imported under: within the build folder's package, where that has a runtime of its
    own for relative imports to find."""
    return f"{FOLDER}.optgen_kernels_{digest}".lstrip(".")
