"""B4: what trainers, schedulers and launchers expect of a torch optimizer, asked of every one that ships."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from optgen.errors import OptgenError
from optgen.runtime.torch_optimizer import Optimizer
from tests.guarantees import shelf

every = pytest.mark.parametrize("cls", shelf.CLASSES, ids=shelf.name_of)


@every
def test_it_is_an_optimizer_with_complete_defaults(cls: type[Optimizer]) -> None:
    optimizer = shelf.make(cls, shelf.parameters())
    assert isinstance(optimizer, torch.optim.Optimizer)
    signature = inspect.signature(cls)
    first, *others = signature.parameters.values()
    assert first.name == "params"
    assert all(other.default is not inspect.Parameter.empty for other in others)
    assert {hyper.key for hyper in cls.RULE.hypers} <= set(optimizer.defaults)
    assert set(optimizer.defaults) <= set(optimizer.param_groups[0])
    assert cls.__name__ in repr(optimizer)
    assert "lr" in repr(optimizer)
    step = list(inspect.signature(cls.step).parameters.values())
    assert [p.name for p in step[:2]] == ["self", "closure"]
    assert all(p.kind is inspect.Parameter.VAR_KEYWORD for p in step[2:])


@every
def test_parameters_come_bare_named_or_in_groups(cls: type[Optimizer]) -> None:
    ways: list[Callable[[shelf.Named], Any]] = [
        lambda named: named,
        lambda named: iter(named),
        lambda named: [{"params": named[:2]}, {"params": iter(named[2:]), "lr": 0.05}],
    ]
    results = []
    for way in ways:
        named = shelf.parameters()
        optimizer = shelf.make(cls, way(named))
        assert [n for group in optimizer.param_groups for n in group["param_names"]] == list(shelf.SHAPES)
        shelf.train(optimizer, named, range(2))
        results.append(shelf.everything(named, optimizer))
    assert all(shelf.difference(results[0], result) == [] for result in results[1:])
    if not cls.RULE.layers and not cls.RULE.depth:
        named = shelf.parameters()
        optimizer = shelf.make(cls, [p for _, p in named])  # type: ignore[misc]
        shelf.train(optimizer, named, range(2))
        assert shelf.difference(results[0], shelf.everything(named, optimizer)) == []


@every
def test_a_closure_runs_with_gradients_and_its_loss_comes_back(cls: type[Optimizer]) -> None:
    named = shelf.parameters()
    optimizer = shelf.make(cls, named)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = torch.stack([param.square().sum() for _, param in named]).sum()
        loss.backward()
        return loss

    given = {name: value for name, value in shelf.inputs(cls.RULE).items() if name != "loss"}
    with torch.no_grad():
        first = optimizer.step(closure, **given)  # type: ignore[arg-type]
    assert isinstance(first, Tensor)
    for _ in range(20):
        last = optimizer.step(closure, **given)  # type: ignore[arg-type]
    assert isinstance(last, Tensor)
    assert last.item() < first.item()


@every
def test_state_is_keyed_by_parameters_and_holds_tensors(cls: type[Optimizer]) -> None:
    named, optimizer = shelf.trained(cls, 1)
    assert set(optimizer.state) == {param for _, param in named}
    for slots in optimizer.state.values():
        assert isinstance(slots, dict)
        assert all(isinstance(name, str) and isinstance(value, Tensor) for name, value in slots.items())


@every
def test_all_hooks_fire(cls: type[Optimizer]) -> None:
    named = shelf.parameters()
    optimizer = shelf.make(cls, named)
    seen: list[str] = []

    def note(text: str) -> Callable[..., None]:
        return lambda *_: seen.append(text)

    handles = [
        register_optimizer_step_pre_hook(note("global before")),
        register_optimizer_step_post_hook(note("global after")),
        optimizer.register_step_pre_hook(note("before")),
        optimizer.register_step_post_hook(note("after")),
        optimizer.register_state_dict_pre_hook(note("saving")),
        optimizer.register_state_dict_post_hook(note("saved")),
        optimizer.register_load_state_dict_pre_hook(note("loading")),
        optimizer.register_load_state_dict_post_hook(note("loaded")),
    ]
    try:
        shelf.train(optimizer, named, [0])
        optimizer.load_state_dict(optimizer.state_dict())
    finally:
        for handle in handles:
            handle.remove()
    assert sorted(seen[:2]) == ["before", "global before"]
    assert sorted(seen[2:4]) == ["after", "global after"]
    assert seen[4:] == ["saving", "saved", "loading", "loaded"]
    shelf.train(optimizer, named, [1])
    assert len(seen) == 8


@pytest.mark.parametrize("way", ["deepcopy", "pickle"])
@every
def test_copies_go_on_alone_and_alike(cls: type[Optimizer], way: str) -> None:
    named, optimizer = shelf.trained(cls, 2)
    both = (dict(named), optimizer)
    model, other = copy.deepcopy(both) if way == "deepcopy" else pickle.loads(pickle.dumps(both))
    twin = list(model.items())
    before = shelf.everything(named, optimizer)
    shelf.train(other, twin, [2])
    assert shelf.difference(before, shelf.everything(named, optimizer)) == []
    shelf.train(optimizer, named, [2])
    assert shelf.difference(shelf.everything(twin, other), shelf.everything(named, optimizer)) == []


@every
def test_an_old_pickle_gets_the_options_added_since(cls: type[Optimizer]) -> None:
    _, optimizer = shelf.trained(cls, 1)
    state = copy.deepcopy(optimizer).__getstate__()
    for flag in ("fused", "maximize"):
        del state["param_groups"][0][flag]
    restored = cls.__new__(cls)
    restored.__setstate__(state)
    assert restored.param_groups[0]["maximize"] is False
    named = list(zip(shelf.SHAPES, restored.param_groups[0]["params"], strict=True))
    shelf.train(restored, named, [1])


@every
def test_groups_are_added_at_any_time(cls: type[Optimizer]) -> None:
    named, optimizer = shelf.trained(cls, 2)
    late = [("late.0.weight", Parameter(torch.randn(4, 5))), ("late.0.bias", Parameter(torch.randn(4)))]
    optimizer.add_param_group({"params": late, "lr": 0.01})
    shelf.train(optimizer, [*named, *late], range(2, 5))
    assert optimizer.global_step == 5
    assert all(torch.isfinite(param).all() for _, param in late)
    assert len(optimizer.describe()) == len(named) + 2


@every
def test_parameters_replaced_before_the_first_step_are_the_ones_that_move(cls: type[Optimizer]) -> None:
    """As launchers that flatten, shard or cast do it: into the groups, or through .data."""
    plain, named = shelf.parameters(), shelf.parameters(seed=1)
    reference = shelf.make(cls, plain)
    optimizer = shelf.make(cls, named)
    fresh = shelf.parameters()
    optimizer.param_groups[0]["params"][:] = [param for _, param in fresh]
    swapped = shelf.parameters(seed=2)
    other = shelf.make(cls, swapped)
    for (_, param), (_, source) in zip(swapped, shelf.parameters(), strict=True):
        param.data = source.detach().clone()
    for each, model in ((reference, plain), (optimizer, fresh), (other, swapped)):
        shelf.train(each, model, range(2))
        if model is not plain:
            same = shelf.difference(shelf.everything(plain, reference), shelf.everything(model, each))
            assert [n for n in same if n in shelf.SHAPES] == []


@every
def test_data_swapped_while_training_is_followed(cls: type[Optimizer]) -> None:
    (plain, reference), (named, optimizer) = shelf.trained(cls, 1), shelf.trained(cls, 1)
    for set_to_none in (True, False):
        for _, param in named:
            param.data = param.detach().clone()
        optimizer.zero_grad(set_to_none=set_to_none)
        for each, model in ((reference, plain), (optimizer, named)):
            shelf.train(each, model, [1])
    assert shelf.difference(shelf.everything(plain, reference), shelf.everything(named, optimizer)) == []


@every
def test_a_step_that_was_wrapped_still_steps(cls: type[Optimizer]) -> None:
    """Trainers replace `step` on the object to find out whether it was skipped."""
    (plain, reference), (named, optimizer) = shelf.trained(cls, 1), shelf.trained(cls, 1)
    inner, calls = optimizer.step, []

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return inner(*args, **kwargs)

    optimizer.step = counted  # type: ignore[method-assign]
    for each, model in ((reference, plain), (optimizer, named)):
        shelf.train(each, model, [1])
    assert calls == [1]
    assert shelf.difference(shelf.everything(plain, reference), shelf.everything(named, optimizer)) == []


#: (flag, value, whether it is taken). One policy: optgen/runtime/torch_flags.py.
FLAGS = [
    *[("foreach", value, True) for value in (None, True, False)],
    *[("fused", value, True) for value in (None, True, False)],
    *[("capturable", value, not value) for value in (True, False)],
    *[("differentiable", value, not value) for value in (True, False)],
    *[(flag, "yes", False) for flag in ("foreach", "fused", "capturable", "differentiable", "maximize")],
    ("maximize", None, False),
    ("capturable", None, False),
]


@pytest.mark.parametrize(("flag", "value", "taken"), FLAGS)
@every
def test_flags_are_taken_or_refused(cls: type[Optimizer], flag: str, value: Any, taken: bool) -> None:
    param = [("h.0.weight", Parameter(torch.randn(3, 2)))]
    groups = [{"params": param, flag: value}]
    for make in (lambda: cls(param, **{flag: value}), lambda: cls(groups)):
        if taken:
            assert make().param_groups[0][flag] is value
        else:
            with pytest.raises(OptgenError, match=flag):
                make()
