"""State dicts: complete before the first step, exact on resuming, refused whole when they do not fit."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict
from torch.nn import Parameter

from optgen.errors import StateError
from optgen.runtime.torch_optimizer import Optimizer

OptimizerType = type[Optimizer]


def model(seed: int = 0) -> torch.nn.Sequential:
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 2).double())


def step(net: torch.nn.Module, optimizer: Optimizer, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for p in net.parameters():
        p.grad = torch.randn(p.shape, dtype=p.dtype, generator=generator)
    optimizer.step()


def trained(walker: OptimizerType, steps: int = 3) -> tuple[torch.nn.Module, Optimizer]:
    net = model()
    optimizer = walker(net.named_parameters(), lr=0.1)
    for seed in range(steps):
        step(net, optimizer, seed)
    return net, optimizer


def tensors(net: torch.nn.Module, optimizer: Optimizer) -> list[Tensor]:
    return [*net.parameters(), *(v for p in net.parameters() for v in optimizer.state[p].values())]


def same(a: tuple[torch.nn.Module, Optimizer], b: tuple[torch.nn.Module, Optimizer]) -> bool:
    pairs = list(zip(tensors(*a), tensors(*b), strict=True))
    return all(x.dtype == y.dtype and torch.equal(x, y) for x, y in pairs) and a[1].global_step == b[1].global_step


def through_a_file(saved: dict[str, Any]) -> dict[str, Any]:
    buffer = io.BytesIO()
    torch.save(saved, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def test_resuming_is_exact(walker: OptimizerType) -> None:
    first = trained(walker)
    saved = through_a_file(first[1].state_dict())
    net = model(seed=9)
    net.load_state_dict(first[0].state_dict())
    second = net, walker(net.named_parameters(), lr=5.0)
    second[1].load_state_dict(saved)
    assert second[1].param_groups[0]["lr"] == 0.1
    assert same(first, second)
    for seed in (10, 11):
        step(*first, seed)
        step(*second, seed)
    assert same(first, second)
    again = through_a_file(second[1].state_dict())
    assert again["param_groups"] == first[1].state_dict()["param_groups"]


def test_a_loaded_state_shares_no_memory(walker: OptimizerType) -> None:
    net, optimizer = trained(walker)
    other = model()
    twin = walker(other.named_parameters())
    twin.load_state_dict(optimizer.state_dict())
    before = [t.clone() for t in tensors(net, optimizer)]
    step(other, twin, 5)
    assert all(torch.equal(a, b) for a, b in zip(before, tensors(net, optimizer), strict=True))


def test_a_state_dict_is_whole_before_the_first_step(walker: OptimizerType) -> None:
    _, optimizer = trained(walker, steps=0)
    saved = optimizer.state_dict()
    assert [set(slots) for slots in saved["state"].values()] == [{"step", "m", "v"}] * 4
    assert saved["param_groups"][0]["optgen"]["global_step"] == 0
    walker(model().named_parameters()).load_state_dict(saved)


def test_state_dicts_are_plain_data(walker: OptimizerType) -> None:
    saved = trained(walker)[1].state_dict()
    assert type(saved["state"][0]) is dict
    saved["state"][0]["m"] = None
    saved["param_groups"][0]["lr"] = None


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_go_on_alone(walker: OptimizerType, duplicate: Callable[[Any], Any], request: Any) -> None:
    net, optimizer = trained(walker)
    twin_net, twin = duplicate((net, optimizer))
    step(net, optimizer, 7)
    assert not same((net, optimizer), (twin_net, twin))
    step(twin_net, twin, 7)
    assert same((net, optimizer), (twin_net, twin))
    assert "Parameter Group 0" in repr(twin)


def test_distributed_checkpoint_functions(walker: OptimizerType) -> None:
    first = trained(walker)
    saved = get_optimizer_state_dict(*first)
    net = model()
    net.load_state_dict(first[0].state_dict())
    second = net, walker(net.named_parameters())
    set_optimizer_state_dict(*second, optim_state_dict=saved)
    assert same(first, second)
    step(*first, 5)
    step(*second, 5)
    assert same(first, second)


def test_an_argument_added_since_keeps_its_value(walker: OptimizerType) -> None:
    _, optimizer = trained(walker)
    saved = optimizer.state_dict()
    del saved["param_groups"][0]["eps"]
    other = walker(model().named_parameters(), eps=0.5)
    other.load_state_dict(saved)
    assert other.param_groups[0]["eps"] == 0.5


def test_load_hooks_fire(walker: OptimizerType) -> None:
    _, optimizer = trained(walker)
    heard: list[str] = []
    optimizer.register_load_state_dict_pre_hook(lambda *_: heard.append("before"))
    optimizer.register_load_state_dict_post_hook(lambda *_: heard.append("after"))
    optimizer.load_state_dict(optimizer.state_dict())
    assert heard == ["before", "after"]


def edit(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """A change of a state dict at `state/0/m` or the like; `Ellipsis` removes."""

    def change(saved: dict[str, Any]) -> None:
        *above, last = [int(part) if part.isdigit() else part for part in path.split("/")]
        for part in above:
            saved = saved[part]
        if value is ...:
            del saved[last]
        else:
            saved[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (edit("state", ...), 'no "state"'),
        (edit("param_groups", ...), 'no "param_groups"'),
        (edit("state/1", ...), "no state for 0.bias"),
        (edit("state/1/m", ...), "lacks m of 0.bias"),
        (edit("state/1/m", torch.ones(7)), r"m of 0.bias is torch.float32 of shape \(7,\)"),
        (edit("state/1/m", torch.ones(3).double()), r"m of 0.bias is torch.float64 of shape"),
        (edit("state/1/m", 3.0), "m of 0.bias is a float"),
        (edit("state/1/exp_avg", torch.ones(3)), 'holds "exp_avg" for 0.bias'),
        (edit("state/1/step", torch.tensor(-1.0)), "must be a count"),
        (edit("state/1/step", torch.ones(2)), "must be one number"),
        (edit("state/1/step", ...), "step of 0.bias"),
        (edit("param_groups/0/params", [0, 1]), "has 2 parameters, this optimizer's has 4"),
        (edit("param_groups/0/params", 3), "is no group"),
        (edit("param_groups/0/optgen", ...), "was not saved by Walker"),
        (edit("param_groups/0/optgen/rule", "other"), "of the rule 'other'"),
        (edit("param_groups/0/optgen/schema", 99), "has form 99"),
        (edit("param_groups/0/optgen/global_step", "x"), "must be a count"),
        (edit("param_groups/0/lr", float("nan")), "lr of parameter group 0 is NaN"),
        (edit("param_groups/0/betas", (0.5, 2.0)), r"betas\[1\] of parameter group 0 is 2.0"),
        (lambda saved: saved["param_groups"].append(saved["param_groups"][0]), "has 2 parameter groups"),
    ],
)
def test_a_state_dict_that_does_not_fit_changes_nothing(
    walker: OptimizerType, change: Callable[[dict[str, Any]], None], match: str
) -> None:
    _, optimizer = trained(walker)
    saved = through_a_file(optimizer.state_dict())
    change(saved)
    other = model(seed=4)
    target = other, walker(other.named_parameters(), lr=0.3)
    step(*target, 1)
    before = [t.clone() for t in tensors(*target)]
    groups = copy.deepcopy([{k: v for k, v in g.items() if k != "params"} for g in target[1].param_groups])
    with pytest.raises(ValueError, match=match):
        target[1].load_state_dict(saved)
    assert all(torch.equal(a, b) for a, b in zip(before, tensors(*target), strict=True))
    assert groups == [{k: v for k, v in g.items() if k != "params"} for g in target[1].param_groups]
    assert target[1].global_step == 1
    step(*target, 2)


def test_another_library_s_state_dict_is_refused(walker: OptimizerType) -> None:
    net = model()
    theirs = torch.optim.AdamW(net.parameters())
    for p in net.parameters():
        p.grad = torch.ones_like(p)
    theirs.step()
    with pytest.raises(StateError, match="was not saved by Walker"):
        walker(model().parameters()).load_state_dict(theirs.state_dict())
    with pytest.raises(StateError, match="a state dict is a dict"):
        walker(model().parameters()).load_state_dict([])  # type: ignore[arg-type]


def test_settled_choices_come_with_the_state(roller: OptimizerType) -> None:
    p = Parameter(torch.ones(2))
    optimizer = roller([p], lr=0.1, momentum=0.5)
    p.grad = torch.ones(2)
    optimizer.step()
    q = Parameter(p.detach().clone())
    plain = roller([q], lr=0.1)
    plain.load_state_dict(optimizer.state_dict())
    q.grad = torch.ones(2)
    optimizer.step()
    plain.step()
    assert torch.equal(p, q)
    assert torch.equal(plain.state[q]["m"], optimizer.state[p]["m"])
