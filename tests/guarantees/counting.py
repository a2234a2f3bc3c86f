"""Counts of what numba compiles."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from numba.core import event


class _Lowered(event.Listener):
    def __init__(self, seen: list[str]) -> None:
        self.seen = seen

    def on_start(self, event: event.Event) -> None:
        step, _, function = str(event.data["name"]).partition(" ")
        if step == "native_lowering":
            self.seen.append(function.strip("[]"))

    def on_end(self, event: event.Event) -> None:
        pass


@contextmanager
def compiles() -> Iterator[list[str]]:
    """The functions that numba compiles meanwhile: C functions too, which its event for compiling leaves out."""
    seen: list[str] = []
    with event.install_listener("numba:run_pass", _Lowered(seen)):
        yield seen
