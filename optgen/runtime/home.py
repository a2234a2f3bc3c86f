"""The name this runtime runs under: part of optgen, or the copy inside a standalone build folder."""

from __future__ import annotations

PACKAGE = __name__.rpartition(".")[0]
STANDALONE = PACKAGE != "optgen.runtime"
#: Name of the build folder as a package, which holds the copy at `_optgen.runtime`; empty within optgen.
FOLDER = PACKAGE.rsplit(".", 2)[0] if STANDALONE else ""

#: The package of what was generated from the rules that ship.
GENERATED = "optgen_generated"


def kernel_name(digest: str) -> str:
    """Name that a kernel module is imported under: within the build folder's package, where that has a runtime of its
    own for relative imports to find."""
    return f"{FOLDER}.optgen_kernels_{digest}".lstrip(".")
