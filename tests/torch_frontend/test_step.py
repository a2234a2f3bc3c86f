"""What a step does, and that it is torch's own contract."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter
from torch.utils._python_dispatch import TorchDispatchMode

from optgen.runtime.torch_optimizer import Optimizer

OptimizerType = type[Optimizer]


def net(dtype: torch.dtype = torch.float64) -> torch.nn.Sequential:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.Tanh(), torch.nn.Linear(4, 3)).to(dtype)


def pair(walker: OptimizerType, dtype: torch.dtype = torch.float64, **arguments: Any):
    ours, theirs = net(dtype), net(dtype)
    return (
        (ours, walker(ours.named_parameters(), **arguments)),
        (theirs, torch.optim.AdamW(theirs.parameters(), **arguments)),
    )


def train(
    both: Any,
    steps: int,
    between: Callable[[int, torch.nn.Module, Any], None] | None = None,
    after: Callable[[Any], None] | None = None,
) -> float:
    """Trains both networks on the same data; the largest difference between their parameters."""
    generator = torch.Generator().manual_seed(1)
    (ours, _), (theirs, _) = both
    for step in range(steps):
        x = torch.randn(7, 5, dtype=ours[0].weight.dtype, generator=generator)
        for model, optimizer in both:
            optimizer.zero_grad()
            model(x).square().sum().backward()
            if between is not None:
                between(step, model, optimizer)
            optimizer.step()
            if after is not None:
                after(optimizer)
    differences = [(p - q).abs().max() for p, q in zip(ours.parameters(), theirs.parameters(), strict=True)]
    return torch.stack(differences).max().item()


ODD = {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 2e-6), (torch.float64, 1e-14)])
def test_steps_equal_torch(walker: OptimizerType, dtype: torch.dtype, bound: float) -> None:
    assert train(pair(walker, dtype, **ODD), 20) < bound


def test_climbing_equals_torch(walker: OptimizerType) -> None:
    assert train(pair(walker, lr=0.01, maximize=True), 5) < 1e-14


def test_parameters_count_their_own_steps(walker: OptimizerType) -> None:
    def drop(step: int, model: Any, _: Any) -> None:
        if step % 3 == 0:
            model[2].bias.grad = None

    both = pair(walker, **ODD)
    assert train(both, 10, drop) < 1e-14
    model, optimizer = both[0]
    steps = [optimizer.state[p]["step"] for p in model.parameters()]
    assert [s.item() for s in steps] == [10, 10, 10, 6]
    assert all(s.dtype == torch.float32 and s.shape == () for s in steps)
    assert optimizer.global_step == 10


@pytest.mark.parametrize(
    "make",
    [
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 10),
        lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, total_steps=12),
        lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda k: 1 / (1 + k)),
    ],
)
def test_schedulers_are_followed(walker: OptimizerType, make: Callable[[Any], Any]) -> None:
    both = pair(walker, **ODD)
    schedulers = {id(optimizer): make(optimizer) for _, optimizer in both}
    assert train(both, 10, after=lambda optimizer: schedulers[id(optimizer)].step()) < 1e-14


def test_rates_in_tensors_are_read_at_every_step(walker: OptimizerType) -> None:
    both = pair(walker)
    for _, optimizer in both:
        optimizer.param_groups[0].update(lr=torch.tensor(0.1, dtype=torch.float64), foreach=False)

    assert train(both, 6, after=lambda optimizer: optimizer.param_groups[0]["lr"].mul_(0.5)) < 1e-12


def test_groups_never_share_a_rate_tensor(walker: OptimizerType) -> None:
    rate = torch.tensor(0.1)
    optimizer = walker([{"params": [Parameter(torch.ones(1))]}, {"params": [Parameter(torch.ones(1))]}], lr=rate)
    first, second = optimizer.param_groups
    first["lr"].fill_(7.0)
    assert second["lr"].item() == pytest.approx(0.1)


def test_betas_changed_in_place_are_seen(roller: OptimizerType, walker: OptimizerType) -> None:
    p = Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = walker([p], lr=0.1)
    optimizer.param_groups[0]["betas"] = [0.5, 0.9]
    p.grad = torch.ones_like(p)
    optimizer.step()
    optimizer.param_groups[0]["betas"][0] = 0.0
    p.grad = torch.full_like(p, 3.0)
    optimizer.step()
    assert optimizer.state[p]["m"].item() == 3.0


def layouts(t: Tensor) -> dict[str, Tensor]:
    """A tensor of shape (2, 3, 4, 5) in memory in several ways; equal values."""
    wide = torch.zeros(2, 3, 4, 10, dtype=t.dtype)
    shifted = torch.zeros(t.numel() + 1, dtype=t.dtype)[1:].view(2, 3, 4, 5)
    views = {
        "contiguous": torch.empty_like(t),
        "transposed": torch.empty(5, 4, 3, 2, dtype=t.dtype).permute(3, 2, 1, 0),
        "channels last": torch.empty_like(t, memory_format=torch.channels_last),
        "sliced": wide[..., ::2],
        "shifted": shifted,
    }
    for view in views.values():
        view.copy_(t)
    return views


@pytest.mark.parametrize("of_grad", ["contiguous", "transposed", "channels last", "sliced", "shifted", "expanded"])
@pytest.mark.parametrize("of_param", ["contiguous", "transposed", "channels last", "sliced", "shifted"])
def test_memory_layout_does_not_matter(walker: OptimizerType, of_param: str, of_grad: str) -> None:
    torch.manual_seed(3)
    start, slope = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5)
    results: list[Tensor] = []
    for param_layout, grad_layout in ((of_param, of_grad), ("contiguous", "contiguous")):
        p = layouts(start)[param_layout].requires_grad_()
        optimizer = walker([p], lr=0.1)
        for _ in range(2):
            plain = torch.full_like(slope, 0.5) if of_grad == "expanded" else slope
            p.grad = torch.tensor(0.5).expand(2, 3, 4, 5) if grad_layout == "expanded" else layouts(plain)[grad_layout]
            optimizer.step()
        results += [p.detach().clone(), optimizer.state[p]["m"].clone(), optimizer.state[p]["v"].clone()]
    for ours, plain in zip(results[:3], results[3:], strict=True):
        assert torch.equal(ours, plain)


def test_memory_outside_a_view_stays(walker: OptimizerType) -> None:
    base = torch.ones(4, 6)
    p = base[:, ::2].requires_grad_()
    p.grad = torch.ones(4, 3)
    walker([p], lr=0.1).step()
    assert torch.equal(base[:, 1::2], torch.ones(4, 3))
    assert not torch.equal(base[:, ::2], torch.ones(4, 3))


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("shape", [(0,), (3, 0), ()])
def test_small_tensors_anywhere(walker: OptimizerType, place: int, shape: tuple[int, ...]) -> None:
    full = [Parameter(torch.ones(3)), Parameter(torch.ones(2, 2))]
    params = [*full[:place], Parameter(torch.ones(shape)), *full[place:]]
    optimizer = walker(params, lr=0.1)
    for p in params:
        p.grad = torch.ones_like(p)
    optimizer.step()
    alone = Parameter(torch.ones(3))
    alone.grad = torch.ones(3)
    walker([alone], lr=0.1).step()
    assert all(torch.equal(p, torch.full_like(p, alone[0].item())) for p in params)
    assert len(optimizer.state_dict()["state"]) == 3


def test_only_empty_parameters(walker: OptimizerType) -> None:
    p = Parameter(torch.ones(0))
    p.grad = torch.ones(0)
    walker([p]).step()


def test_no_gradient_at_all(walker: OptimizerType) -> None:
    p = Parameter(torch.ones(2))
    optimizer = walker([p])
    optimizer.step()
    assert torch.equal(p, torch.ones(2))
    assert optimizer.state[p]["step"].item() == 0
    assert optimizer.global_step == 1


def test_two_dtypes_in_one_optimizer(walker: OptimizerType) -> None:
    params = [Parameter(torch.ones(3, dtype=d)) for d in (torch.float32, torch.float64, torch.float32)]
    optimizer = walker(params, lr=0.1)
    for p in params:
        p.grad = torch.full_like(p, 2.0)
    optimizer.step()
    assert [optimizer.state[p]["m"].dtype for p in params] == [p.dtype for p in params]
    assert all(torch.allclose(p.double(), params[1], rtol=1e-6) for p in params)
    assert all(optimizer.state[p]["step"].dtype == torch.float32 for p in params)


def test_closure_runs_with_gradients_and_its_loss_comes_back(walker: OptimizerType) -> None:
    p = Parameter(torch.ones(2))
    optimizer = walker([p])

    def closure() -> Tensor:
        assert torch.is_grad_enabled()
        optimizer.zero_grad()
        loss = p.square().sum()
        loss.backward()
        return loss

    with torch.no_grad():
        assert optimizer.step(closure) == 2.0
    assert not torch.equal(p, torch.ones(2))


def test_autograd_sees_the_write_and_gradients_stay(walker: OptimizerType) -> None:
    p, idle = Parameter(torch.ones(2)), Parameter(torch.ones(2))
    optimizer = walker([p, idle], maximize=True)
    p.grad = torch.tensor([1.0, 2.0])
    before, untouched = p._version, idle._version
    y = p.square().sum()
    optimizer.step()
    assert p._version > before
    assert idle._version == untouched
    assert torch.equal(p.grad, torch.tensor([1.0, 2.0]))
    with pytest.raises(RuntimeError, match="inplace"):
        y.backward()


class Seen(TorchDispatchMode):
    """Collects the tensor operations issued."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace != "profiler":  # torch marks every optimizer's step for its profiler
            self.names.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("missing", [False, True])
def test_a_step_issues_no_tensor_operation(walker: OptimizerType, missing: bool) -> None:
    params = [Parameter(torch.ones(4, 4)) for _ in range(5)]
    groups = [{"params": params[:3]}, {"params": params[3:], "lr": torch.tensor(0.5)}]
    optimizer = walker(groups, lr=0.1)
    for p in params:
        p.grad = torch.ones_like(p)
    optimizer.step()
    if missing:
        params[2].grad = None
    optimizer.param_groups[0]["lr"] = 0.05
    with Seen() as seen:
        optimizer.step()
    assert seen.names == []


def test_hooks_fire(walker: OptimizerType) -> None:
    p = Parameter(torch.ones(1))
    optimizer = walker([p])
    heard: list[str] = []
    optimizer.register_step_pre_hook(lambda *_: heard.append("before"))
    optimizer.register_step_post_hook(lambda *_: heard.append("after"))
    optimizer.step()
    assert heard == ["before", "after"]


def test_moved_and_replaced_memory_is_followed(walker: OptimizerType) -> None:
    p = Parameter(torch.ones(3))
    optimizer = walker([p], lr=0.1)
    p.grad = torch.ones(3)
    optimizer.step()
    old = p.data
    kept = old.clone()
    p.data = torch.full((3,), 5.0)
    optimizer.state[p]["m"] = optimizer.state[p]["m"].clone()
    optimizer.state[p]["v"].data = optimizer.state[p]["v"].data.clone()
    optimizer.step()
    assert torch.equal(old, kept)
    assert (p < 5).all()
    q = Parameter(torch.ones(3))
    q.grad = torch.ones(3)
    r = Parameter(torch.ones(3))
    r.grad = torch.ones(3)
    reference = walker([q, r], lr=0.1)
    reference.step()
    q.data = torch.full((3,), 5.0)
    reference.step()
    assert torch.equal(p, q)


def test_parameters_replaced_in_the_groups(walker: OptimizerType) -> None:
    model = net()
    optimizer = walker(model.parameters(), lr=0.1)
    fresh = Parameter(torch.ones(2, dtype=torch.float64))
    optimizer.param_groups[0]["params"] = [fresh]
    fresh.grad = torch.ones_like(fresh)
    optimizer.step()
    assert (fresh < 1).all()
    assert optimizer.state[fresh]["step"].item() == 1


def test_state_follows_a_model_cast_before_the_first_step(walker: OptimizerType) -> None:
    model = net(torch.float32)
    optimizer = walker(model.parameters(), lr=0.1)
    model.double()
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    assert all(optimizer.state[p]["m"].dtype == torch.float64 for p in model.parameters())


def test_state_exists_before_the_first_step(walker: OptimizerType) -> None:
    p = Parameter(torch.ones(2, 3))
    state = walker([p]).state[p]
    assert {name: tuple(value.shape) for name, value in state.items()} == {"step": (), "m": (2, 3), "v": (2, 3)}


def test_a_settled_hyper_may_cross_its_condition(roller: OptimizerType) -> None:
    p = Parameter(torch.ones(2, dtype=torch.float64))
    optimizer = roller([p], lr=0.1)
    assert "m" not in optimizer.state[p]
    p.grad = torch.ones_like(p)
    optimizer.step()
    optimizer.param_groups[0]["momentum"] = 0.5
    optimizer.step()
    optimizer.step()
    assert torch.allclose(p, torch.full_like(p, 1 - 0.1 * (1 + 1 + 1.5)))
    assert optimizer.describe()[0].variant == "rolling"


def test_groups_with_different_kernels(roller: OptimizerType) -> None:
    p, q, r = (Parameter(torch.ones(2, dtype=torch.float64)) for _ in range(3))
    optimizer = roller([{"params": [p]}, {"params": [q, r], "momentum": 0.5}], lr=0.1)
    for step in range(3):
        for x in (p, q, r):
            x.grad = torch.ones_like(x) if x is not r or step else None
        optimizer.step()
    assert torch.allclose(p, torch.full_like(p, 0.7))
    assert torch.allclose(q, torch.full_like(q, 1 - 0.1 * (1 + 1.5 + 1.75)))
    assert torch.allclose(r, torch.full_like(r, 1 - 0.1 * (1 + 1.5)))
    assert [set(optimizer.state[x]) for x in (p, q)] == [{"step"}, {"step", "m"}]


def test_making_one_and_stepping_leaves_torch_s_compiler_alone() -> None:
    """Importing it takes most of a second, which would be most of the time to the first step."""
    code = (
        "import sys, torch, optgen.torch as o;"
        "p = torch.nn.Parameter(torch.ones(1)); p.grad = torch.ones(1);"
        "getattr(o, dir(o)[0])([p]).step();"
        "print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
