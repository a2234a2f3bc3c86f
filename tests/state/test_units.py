"""State by output units and by all else follows a weight whose axes torch and JAX have in another order."""

from __future__ import annotations

import numpy as np
import pytest

from optgen.errors import UsageError
from optgen.runtime.neutral_state import Group, NeutralState, Parameter, SlotInfo
from optgen.runtime.rule_info import view


def matrix(x: np.ndarray, how: str, *, units_last: bool) -> np.ndarray:
    """A weight as a rule sees it: rows are output units, or all else where that is less and the rule wants it wide."""
    first = np.moveaxis(x, -1, 0) if units_last else x
    flat = first.reshape(len(first), -1)
    _, rows, _ = view(first.shape, how)
    return flat if rows == len(first) else flat.T


def saved(x: np.ndarray, how: str, framework: str) -> NeutralState:
    """State that tells its rows and columns apart."""
    seen = matrix(x, how, units_last=framework != "torch")
    state = {"e": x, "r": seen.max(1)[None], "c": seen.max(0)[None], "v": np.stack([seen.min(1)[None]] * 2)}
    slots = {"e": SlotInfo("elem"), "r": SlotInfo("row"), "c": SlotInfo("col"), "v": SlotInfo("row", vector=True)}
    p = Parameter("w", x.shape, "float32", 1, state)
    return NeutralState("rule", "", 1, (Group({}),), (p,), slots, matrix=how, framework=framework)


@pytest.mark.parametrize("how", ["units", "wide"])
@pytest.mark.parametrize(
    ("shape", "order"),
    [((3, 5), (1, 0)), ((7, 2), (1, 0)), ((3, 4, 2, 2), (2, 3, 1, 0)), ((40, 4, 3, 3), (3, 2, 1, 0))],
)
def test_there_and_back(shape: tuple[int, ...], order: tuple[int, ...], how: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=shape)
    here = saved(x, how, "torch")
    there = here.transposed({"w": order})
    wanted = saved(x.transpose(order), how, "jax")
    for name, kept in wanted.parameter("w").state.items():
        np.testing.assert_array_equal(there.parameter("w").state[name], kept, err_msg=name)
    back = wanted.transposed({"w": [int(i) for i in np.argsort(order)]})
    for name, kept in here.parameter("w").state.items():
        np.testing.assert_array_equal(back.parameter("w").state[name], kept, err_msg=name)


def test_units_in_the_middle_are_refused(rng: np.random.Generator) -> None:
    with pytest.raises(UsageError, match="by output units"):
        saved(rng.normal(size=(3, 4, 2)), "units", "torch").transposed({"w": (1, 0, 2)})
