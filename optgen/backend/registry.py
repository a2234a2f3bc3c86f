"""Which backends there are. A backend that was asked for by name and is missing is an error, never a fallback."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, cast

from optgen.errors import BackendError, suggest

if TYPE_CHECKING:  # the kernel IR is imported by those who emit, not by those who ask for names
    from optgen.backend.protocol import Backend

GROUP = "optgen.backends"
#: The float64 interpreter, which is part of the compiler and emits nothing.
REFERENCE = "reference"


@cache
def _entries() -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        if entry.name in found and found[entry.name].value != entry.value:
            raise BackendError(
                f'two packages offer a backend "{entry.name}": {found[entry.name].value} and {entry.value}; remove one'
            )
        found[entry.name] = entry
    return found


def installed() -> list[str]:
    """Names of the backends that packages here offer, sorted."""
    return sorted(_entries())


@cache
def backend(name: str) -> Backend:
    """The backend of a name; a BackendError says what is installed and how others are had."""
    entry = _entries().get(name)
    if entry is None:
        others = ", ".join([*installed(), REFERENCE])
        near = suggest(name, [*installed(), REFERENCE])
        hint = near or "Install the package that provides it, or choose one of these"
        raise BackendError(f'the backend "{name}" is not installed; installed: {others}. {hint}')
    try:
        return cast("Backend", entry.load())
    except ImportError as error:
        raise BackendError(f'the backend "{name}" ({entry.value}) cannot be imported: {error}') from error
