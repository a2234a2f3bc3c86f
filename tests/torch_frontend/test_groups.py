"""Players, edges, depths and values per parameter: given, derived from names, saved, and refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch.nn import Parameter

import optgen.torch
from optgen.errors import HyperError, UsageError
from optgen.runtime import graph as graphs
from optgen.runtime import torch_groups
from optgen.runtime.torch_optimizer import Optimizer

OptimizerType = type[Optimizer]

NAMES = ("embed.weight", "h.0.attn.weight", "h.0.attn.bias", "h.1.attn.weight", "h.1.attn.bias", "head.weight")


def group(names: Sequence[str] = NAMES) -> dict[str, Any]:
    return {"params": [Parameter(torch.ones(1)) for _ in names], "param_names": list(names)}


def unnamed(count: int) -> dict[str, Any]:
    return {"params": [Parameter(torch.ones(1)) for _ in range(count)]}


def test_players_from_names() -> None:
    players, roles = torch_groups.name_players(None, group(), 0)
    assert players == ["embed", "h.0", "h.0", "h.1", "h.1", "head"]
    assert roles == ["weight", "attn.weight", "attn.bias", "attn.weight", "attn.bias", "weight"]


def test_players_as_given() -> None:
    assert torch_groups.name_players("tensor", group(), 0) == (list(NAMES), [""] * 6)
    players, roles = torch_groups.name_players({"h.*": "trunk"}, group(), 0)
    assert players == ["embed", "trunk", "trunk", "trunk", "trunk", "head"]
    assert torch_groups.unique_roles(players, roles) == ["weight", "weight", "bias", "weight#1", "bias#1", "weight"]
    assert torch_groups.name_players(["a", "b"], unnamed(2), 0) == (["a", "b"], ["", ""])


def test_tensors_without_names_are_their_own_players() -> None:
    assert torch_groups.name_players(None, unnamed(2), 1)[0] == ["parameter 0 of group 1", "parameter 1 of group 1"]


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ("tensors", 'players must be "tensor"'),
        (["a"], "1 entries for 2"),
        ({"x": "a"}, "given by name, but"),
        (3, "list"),
    ],
)
def test_players_that_do_not_fit(given: Any, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        torch_groups.name_players(given, unnamed(2), 0)


def test_edges_by_name() -> None:
    players = ["embed", "h.0", "h.1"]
    assert graphs.numbered((("embed", "h.0"), ("h.0", "h.1", 0.5)), players) == [(0, 1, 1.0), (1, 2, 0.5)]


@pytest.mark.parametrize(
    ("edge", "match"),
    [
        (("embed", "h.2"), "player 'h.2', which there is not. did you mean \"h"),
        (("h.0", "h.0"), "must join two players"),
        (("h.0", "h.1", -1.0), "weight of at least 0"),
        (("h.0", "h.1", float("nan")), "weight of at least 0"),
        (("h.0",), "a pair of players"),
    ],
)
def test_edges_that_do_not_fit(edge: Any, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        graphs.numbered((edge,), ["embed", "h.0", "h.1"])


def test_depths_from_names() -> None:
    assert torch_groups.derive_depths([group()]) == [[0, 1 / 3, 1 / 3, 2 / 3, 2 / 3, 1]]
    assert torch_groups.derive_depths([group(NAMES[3:]), group(NAMES[:3])]) == [[0, 0, 1 / 3], [2 / 3, 1, 1]]
    assert torch_groups.derive_depths([unnamed(1)]) == [[0.5]]


def test_depths_as_given() -> None:
    assert torch_groups.relative_depths([0, 2, None, 4]) == [0, 0.5, None, 1]
    assert torch_groups.relative_depths([0.0, 0.25, None]) == [0.0, 0.25, None]
    assert torch_groups.relative_depths([0, 0]) == [0.5, 0.5]
    for bad in ([-1], [float("nan")], ["deep"], [0.5, 2]):
        with pytest.raises(UsageError, match="depths"):
            torch_groups.relative_depths(bad)


def paces(optimizer: Optimizer) -> list[float]:
    """Distance that each parameter went in one step of slope 1: lr divided by its own pace."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    before = [p.item() for p in params]
    for p in params:
        p.grad = torch.ones_like(p)
    optimizer.step()
    return [pytest.approx(b - p.item(), abs=1e-6) for b, p in zip(before, params, strict=True)]


def test_a_value_per_parameter(paced: OptimizerType) -> None:
    assert paces(paced(unnamed(3)["params"], lr=0.8, paces=[1, 2, 4])) == [0.8, 0.4, 0.2]
    named = [group(NAMES[:3])]
    optimizer = paced(named, lr=0.8, every=2, paces={"embed.*": 1, "*.bias": 4})
    assert paces(optimizer) == [0.8, 0.4, 0.2]
    optimizer.param_groups[0]["lr"] = 0.4
    optimizer.param_groups[0]["every"] = 1
    assert paces(optimizer) == [0.4, 0.4, 0.1]


def test_values_per_parameter_reach_later_groups_and_copies(paced: OptimizerType) -> None:
    optimizer = paced([group(NAMES[:2])], lr=0.8, paces={"h.0.attn.*": 4})
    optimizer.add_param_group(group(NAMES[2:3]))
    optimizer.add_param_group({**group(NAMES[3:4]), "paces": [2]})
    assert paces(optimizer) == [0.8, 0.2, 0.2, 0.4]
    other = paced([group(NAMES[:2]), group(NAMES[2:3]), group(NAMES[3:4])], lr=0.1)
    other.load_state_dict(optimizer.state_dict())
    assert paces(other) == [0.8, 0.2, 0.2, 0.4]


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ([1, 2], UsageError, "2 entries for 6 parameters"),
        ({"g.*": 2}, UsageError, 'paces names "g.*", which no parameter matches'),
        ([1, 1, 1, 1, 1, 0], HyperError, r"every of parameter head.weight \(paces\) is 0; it must be an integer"),
        ("fast", UsageError, "paces must be a list"),
    ],
)
def test_values_per_parameter_that_do_not_fit(
    paced: OptimizerType, given: Any, error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        paced([group()], paces=given)


def test_presets(roller: OptimizerType) -> None:
    p = Parameter(torch.ones(1))
    optimizer = roller.preset("fast", [p], lr=0.25)
    assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]) == (0.25, 0.5)
    with pytest.raises(UsageError, match='no preset "slow"; there are: fast'):
        roller.preset("slow", [p])


def test_groups_added_later_take_part(walker: OptimizerType) -> None:
    first, second = group(NAMES[:1]), group(NAMES[1:3])
    optimizer = walker([first], lr=0.1)
    assert paces(optimizer)[0] == pytest.approx(0.101)
    optimizer.add_param_group({**second, "lr": 0.2})
    assert len(optimizer.describe()) == 3
    assert paces(optimizer)[1:] == [pytest.approx(0.202), pytest.approx(0.202)]
    assert [optimizer.state[p]["step"].item() for p in (*first["params"], *second["params"])] == [2, 1, 1]


def test_describe_and_source(walker: OptimizerType) -> None:
    optimizer = walker([group()])
    report = optimizer.describe()
    assert [row.parameter for row in report] == list(NAMES)
    assert {row.backend for row in report} == {"numba"}
    assert report[0].module.endswith("numba_float32.py")
    assert str(report).count("\n") == 6
    assert "def sweep(" in optimizer.source()


def test_shipped_intervals_decide_which_state_there_is() -> None:
    """An interval of 1 needs no accumulator; a changed number that decides about state brings the state along."""
    classes = [getattr(optgen.torch, name) for name in dir(optgen.torch)]
    scheduled = next(cls for cls in classes if any(h.per_parameter == "intervals" for h in cls.RULE.hypers))
    pairs = [(name, Parameter(torch.ones(2, 2))) for name in ("a.weight", "b.weight")]
    optimizer = scheduled(pairs, lr=0.1, intervals={"a.*": 1, "b.*": 3})
    first, second = (optimizer.state[p] for _, p in pairs)
    assert "acc" not in first
    assert "acc" in second
    for _ in range(3):
        for _, p in pairs:
            p.grad = torch.ones_like(p)
        optimizer.step()
    assert [optimizer.state[p]["step"].item() for _, p in pairs] == [3, 1]
    other = scheduled([("a.weight", Parameter(torch.ones(2)))], interval=1)
    other.param_groups[0]["interval"] = 4
    other.step()
    assert "acc" in next(iter(other.state.values()))
