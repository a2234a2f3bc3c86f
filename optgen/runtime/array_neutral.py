"""What the front ends that step arrays ask of a saved state alike: what must be as it was."""

from __future__ import annotations

from collections.abc import Mapping

from optgen.errors import StateError
from optgen.runtime.neutral_state import Parameter


class SettingsWarning(UserWarning):
    """A state was written with other hyper-parameters than those of the optimizer that goes on with it."""


def check_choices(name: str, saved: Mapping[str, object], here: Mapping[str, object], what: str) -> None:
    """StateError where a choice that settles a parameter's arithmetic was another; `what` has it here."""
    for key, value in saved.items():
        if here.get(key) != value:
            raise StateError(
                f'the state of "{name}" was written with {key}={value!r}, and this {what} has {here.get(key)!r}'
            )


def check_depth(name: str, saved: Parameter, depth: float) -> None:
    """StateError where a parameter lay at another depth."""
    if saved.depth is not None and abs(saved.depth - depth) > 1e-9:
        raise StateError(f'the depth of "{name}" was {saved.depth:g}, and here it is {depth:g}: give depths=')
