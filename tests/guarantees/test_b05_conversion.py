"""Between torch's own optimizers and ours, both ways, mid-training: a rule that torch has goes on where torch's is."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import optgen.torch
from optgen.errors import StateError, UsageError
from optgen.runtime.torch_optimizer import Optimizer
from tests.guarantees import shelf

#: float64 on both sides, a few hundred roundings of numbers near 1 or below.
BOUND = 1e-12

#: Not those of several rules: torch has an optimizer for each.
SINGLE = [cls for cls in shelf.CLASSES if not cls.RULE.arms]
TORCHS = [cls for cls in SINGLE if hasattr(torch.optim, cls.RULE.class_name)]

#: Options of torch's classes beyond the numbers that `lively` sets, where the rule has them too.
OPTIONS = ({}, {"amsgrad": True}, {"centered": True}, {"nesterov": True, "dampening": 0.0}, {"maximize": True})


def cases() -> list[Any]:
    found = []
    for cls in TORCHS:
        known = {hyper.key for hyper in cls.RULE.hypers} | {"maximize"}
        for options in OPTIONS:
            if set(options) <= known:
                found.append(pytest.param(cls, options, id="-".join([cls.__name__, *options])))
    return found


def arguments(cls: type[Optimizer], options: dict[str, Any]) -> dict[str, Any]:
    """Arguments that torch's class takes too."""
    theirs = shared(cls)
    return {key: value for key, value in {**shelf.lively(cls.RULE), **options}.items() if key in theirs}


def shared(cls: type[Optimizer]) -> set[str]:
    return set(torch_class(cls)([torch.nn.Parameter(torch.zeros(1))]).defaults)


def torch_class(cls: type[Optimizer]) -> Any:
    return getattr(torch.optim, cls.RULE.class_name)


def apart(a: shelf.Named, b: shelf.Named) -> float:
    return max(float((x - y).detach().abs().max()) for (_, x), (_, y) in zip(a, b, strict=True))


def torch_step(
    optimizer: torch.optim.Optimizer, named: shelf.Named, steps: range, missing: tuple[str, ...] = ()
) -> None:
    for step in steps:
        shelf.gradients(named, step, missing)
        optimizer.step()


@pytest.fixture
def _float64() -> Iterator[None]:
    """Torch keeps numbers per tensor in its default dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.usefixtures("_float64")
@pytest.mark.parametrize(("cls", "options"), cases())
def test_a_running_optimizer_is_continued_and_given_back(cls: type[Optimizer], options: dict[str, Any]) -> None:
    """Torch for 3 steps, ours for 4, torch's again for 3, against torch's alone; some tensors start late."""
    ours, theirs = shelf.parameters(torch.float64), shelf.parameters(torch.float64)
    settings = arguments(cls, options)
    first, alone = (torch_class(cls)(named, **settings) for named in (ours, theirs))
    late = ("h.1.weight", "head.scale")
    torch_step(first, ours, range(3), late)
    torch_step(alone, theirs, range(3), late)

    second = cls.from_torch(first, backend="reference")
    assert second.param_groups[0]["param_names"] == list(shelf.SHAPES)
    for key, value in settings.items():
        assert second.param_groups[0][key] == value
    shelf.train(second, ours, range(3, 7))
    torch_step(alone, theirs, range(3, 7))
    assert apart(ours, theirs) < BOUND

    third = second.to_torch()
    assert type(third) is torch_class(cls)
    torch_step(third, ours, range(7, 10))
    torch_step(alone, theirs, range(7, 10))
    assert apart(ours, theirs) < BOUND
    assert set(third.param_groups[0]) == set(alone.param_groups[0])
    for (_, mine), (_, other) in zip(ours, theirs, strict=True):
        assert {k: v.shape for k, v in third.state[mine].items()} == {k: v.shape for k, v in alone.state[other].items()}


@pytest.mark.parametrize("cls", TORCHS, ids=shelf.name_of)
def test_what_is_taken_over_is_a_copy_bit_for_bit(cls: type[Optimizer]) -> None:
    named = shelf.parameters()
    theirs = torch_class(cls)(named, **arguments(cls, {}))
    torch_step(theirs, named, range(3))
    before = [{k: v.clone() for k, v in theirs.state[p].items()} for _, p in named]
    ours = cls.from_torch(theirs, backend="reference")
    names = {info.name: info.torch_name or info.name for info in cls.RULE.states} | {"step": "step"}
    for (_, param), slots in zip(named, before, strict=True):
        held = {names[name]: value for name, value in ours.state[param].items() if names[name] in slots}
        assert set(held) == set(slots)
        for name, value in slots.items():
            narrowed = held[name].to(value.dtype)  # ours may be wider: then nothing was lost either
            assert shelf.same_bits(narrowed.flatten(), value.flatten().contiguous())
            assert held[name].data_ptr() != theirs.state[param][name].data_ptr()
    back = ours.to_torch()
    for (_, param), slots in zip(named, before, strict=True):
        for name, value in slots.items():
            assert shelf.same_bits(back.state[param][name].contiguous(), value.contiguous())


@pytest.mark.parametrize("cls", TORCHS, ids=shelf.name_of)
def test_torch_s_state_dict_is_loaded_and_ours_goes_to_torch(cls: type[Optimizer]) -> None:
    named = shelf.parameters()
    theirs = torch_class(cls)(named, **arguments(cls, {}))
    torch_step(theirs, named, range(3))
    saved = shelf.through_a_file(theirs.state_dict())
    loaded = cls(shelf.parameters(), backend="reference")
    loaded.load_state_dict(saved)
    own = cls.from_torch(theirs, backend="reference")
    for a, b in zip(loaded.state_dict()["state"].values(), own.state_dict()["state"].values(), strict=True):
        assert set(a) == set(b)
        assert all(shelf.same_bits(a[name], b[name]) for name in a)

    fresh = torch_class(cls)(shelf.parameters())
    fresh.load_state_dict(loaded.to_torch().state_dict())
    for a, b in zip(fresh.state_dict()["state"].values(), theirs.state_dict()["state"].values(), strict=True):
        assert all(torch.equal(a[name], b[name]) for name in b)


@pytest.mark.parametrize("cls", TORCHS, ids=shelf.name_of)
def test_own_keys_and_several_groups_go_along(cls: type[Optimizer]) -> None:
    named = shelf.parameters()
    groups = [{"params": named[:2], "lr": 0.25, "mine": [1, 2]}, {"params": named[2:], "initial_lr": 0.5}]
    theirs = torch_class(cls)(groups, **{**arguments(cls, {}), "lr": torch.tensor(0.125)})
    ours = cls.from_torch(theirs, backend="reference")
    back = ours.to_torch()
    for made in (ours, back):
        assert [float(group["lr"]) for group in made.param_groups] == [0.25, 0.125]
        assert made.param_groups[0]["mine"] == [1, 2]
        assert made.param_groups[1]["initial_lr"] == 0.5
        assert made.param_groups[1]["lr"] is not theirs.param_groups[1]["lr"]


@pytest.mark.parametrize("cls", [c for c in SINGLE if c not in TORCHS], ids=shelf.name_of)
def test_a_rule_that_torch_has_not_says_so(cls: type[Optimizer]) -> None:
    named = shelf.parameters()
    with pytest.raises(StateError, match="there is nothing to convert"):
        cls.from_torch(torch.optim.SGD(named))
    with pytest.raises(StateError, match="there is nothing to convert"):
        cls(named, backend="reference").to_torch()
    with pytest.raises(StateError, match="was not saved by"):
        cls(named, backend="reference").load_state_dict(torch.optim.SGD(named).state_dict())


@pytest.mark.parametrize("cls", TORCHS, ids=shelf.name_of)
def test_other_optimizers_are_refused_whole(cls: type[Optimizer]) -> None:
    """Every other of torch's, with state, through its object and through its state dict."""
    others = [c for c in vars(torch.optim).values() if isinstance(c, type) and issubclass(c, torch.optim.Optimizer)]
    skipped = (torch.optim.Optimizer, torch.optim.LBFGS, torch.optim.SparseAdam, torch.optim.Muon, torch_class(cls))
    for other in [c for c in others if c not in skipped]:
        if issubclass(other, torch_class(cls)):  # the same rule with an option of its own set
            continue
        named = shelf.parameters()
        theirs = other(named)
        torch_step(theirs, named, range(1))
        with pytest.raises(StateError, match=f"continues a torch.optim.{cls.RULE.class_name}, not a"):
            cls.from_torch(theirs)
        ours = cls(named, backend="reference")
        before = shelf.everything(named, ours)
        with pytest.raises(StateError):
            ours.load_state_dict(theirs.state_dict())
        assert not shelf.difference(before, shelf.everything(named, ours))


def adamw(**arguments: Any) -> tuple[shelf.Named, torch.optim.Optimizer]:
    named = shelf.parameters()
    theirs = torch.optim.AdamW(named, **arguments)
    torch_step(theirs, named, range(2))
    return named, theirs


def test_an_option_that_ours_lacks_is_named() -> None:
    _, theirs = adamw(amsgrad=True)
    if any(hyper.key == "amsgrad" for hyper in optgen.torch.AdamW.RULE.hypers):
        pytest.skip("the rule has the option")
    with pytest.raises(StateError, match="amsgrad=True; this AdamW has no such option"):
        optgen.torch.AdamW.from_torch(theirs)


def test_an_option_that_torch_lacks_is_named() -> None:
    ours = optgen.torch.Adafactor(shelf.parameters(), relative_step=False, backend="reference")
    with pytest.raises(StateError, match="relative_step=False; torch's Adafactor has no relative_step"):
        ours.to_torch()


def test_an_entry_left_to_the_dtype_is_the_rule_s_default_in_float32_only() -> None:
    theirs = torch.optim.Adafactor(shelf.parameters())
    assert theirs.param_groups[0]["eps"][0] is None
    ours = optgen.torch.Adafactor.from_torch(theirs, backend="reference")
    assert ours.param_groups[0]["eps"] == (1.1920929e-07, 0.001)
    with pytest.raises(StateError, match="takes from the dtype; set numbers first"):
        optgen.torch.Adafactor.from_torch(torch.optim.Adafactor(shelf.parameters(torch.float64)))


def test_a_subclass_counts_as_what_it_extends() -> None:
    class Mine(torch.optim.AdamW):
        pass

    assert optgen.torch.AdamW.from_torch(Mine(shelf.parameters()), backend="reference").param_groups[0]["lr"] == 1e-3


def test_arguments_that_come_with_the_groups_are_refused() -> None:
    with pytest.raises(UsageError, match="lr comes with the groups"):
        optgen.torch.AdamW.from_torch(adamw()[1], lr=0.1)


def broken(saved: dict[str, Any], how: str) -> dict[str, Any]:
    saved = copy.deepcopy(saved)
    slots: dict[str, Tensor] = saved["state"][0]
    if how == "lacks a slot":
        del slots["exp_avg_sq"]
    elif how == "another shape":
        slots["exp_avg"] = torch.zeros(2)
    elif how == "lacks a setting":
        del saved["param_groups"][0]["betas"]
    elif how == "a negative count":
        slots["step"] = torch.tensor(-1.0)
    else:
        saved["param_groups"].append(copy.deepcopy(saved["param_groups"][0]))
    return saved


@pytest.mark.parametrize(
    ("how", "match"),
    [
        ("lacks a slot", "lacks v of h.0.weight"),
        ("another shape", r"m of h.0.weight is torch.float32 of shape \(2,\)"),
        ("lacks a setting", "has no betas"),
        ("a negative count", "must be a count"),
        ("two groups", "has 2 parameter groups"),
    ],
)
def test_a_damaged_state_dict_of_torch_changes_nothing(how: str, match: str) -> None:
    named, theirs = adamw()
    ours = optgen.torch.AdamW(named, backend="reference")
    before = shelf.everything(named, ours)
    with pytest.raises(StateError, match=match):
        ours.load_state_dict(broken(theirs.state_dict(), how))
    assert not shelf.difference(before, shelf.everything(named, ours))
