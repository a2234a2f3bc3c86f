"""What cannot be stepped with raises, names the culprit, and leaves everything as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from optgen.errors import BackendError, GradientError, HyperError, OptgenError, StateError, UsageError
from optgen.runtime.torch_optimizer import Optimizer

OptimizerType = type[Optimizer]


def ready(walker: OptimizerType) -> tuple[Optimizer, list[Parameter]]:
    params = [Parameter(torch.ones(2, 3)), Parameter(torch.ones(4))]
    optimizer = walker([("a.weight", params[0]), ("b.bias", params[1])], lr=0.1)
    for p in params:
        p.grad = torch.ones_like(p)
    optimizer.step()
    return optimizer, params


def snapshot(optimizer: Optimizer, params: list[Parameter]) -> list[Tensor]:
    tensors = [*params, *(v for p in params for v in optimizer.state[p].values())]
    return [t.detach().clone() for t in tensors]


def refused(optimizer: Optimizer, params: list[Parameter], error: type[OptgenError], match: str) -> None:
    before, steps = snapshot(optimizer, params), optimizer.global_step
    with pytest.raises(error, match=match):
        optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(before, snapshot(optimizer, params), strict=True))
    assert optimizer.global_step == steps


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"lr": float("nan")}, r"lr of parameter group 0 is NaN"),
        ({"lr": -1.0}, r"lr of parameter group 0 is -1.0; it must be a number, >= 0"),
        ({"betas": (0.9, 1.0)}, r"betas\[1\] of parameter group 0 is 1.0; it must be a number, \[0, 1\)"),
        ({"betas": (0.9,)}, r"betas of parameter group 0 must be a tuple with an entry 1"),
        ({"eps": "small"}, r"eps of parameter group 0 must be a number, got 'small'"),
        ({"lr": torch.tensor(float("nan"))}, r"lr of parameter group 0 is NaN"),
        ({"lr": torch.ones(2)}, r"lr of parameter group 0 is a tensor of 2 elements"),
        ({"weight_decay": None}, r"weight_decay of parameter group 0 must be a number, got None"),
        ({"maximize": 1}, r"maximize of parameter group 0 must be True or False"),
    ],
)
def test_hypers_out_of_their_domain(walker: OptimizerType, change: dict[str, Any], match: str) -> None:
    optimizer, params = ready(walker)
    optimizer.param_groups[0].update(change)
    refused(optimizer, params, HyperError, match)
    with pytest.raises(HyperError, match=match):
        walker(params, **change)


def test_a_condition_between_hypers(roller: OptimizerType) -> None:
    p = Parameter(torch.ones(1))
    with pytest.raises(HyperError, match=r"not heavy or momentum > 0 \(momentum = 0.0, heavy = True\)"):
        roller([p], heavy=True)
    with pytest.raises(HyperError, match=r"every of parameter group 0 is 1\.5; it must be an integer"):
        roller([p], every=1.5)


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (lambda g: g.to_sparse(), "b.bias is sparse"),
        (lambda g: g.to(torch.complex64), "b.bias is torch.complex64"),
        (lambda g: g.int(), "b.bias is torch.int32"),
        (lambda g: g.double(), "b.bias is torch.float64 and the parameter torch.float32"),
        (lambda g: torch.ones(5), r"b.bias has shape \(5,\) and the parameter \(4,\)"),
        (lambda g: g.to("meta"), "b.bias is on meta and the parameter on cpu"),
    ],
)
def test_gradients(walker: OptimizerType, spoil: Callable[[Tensor], Tensor], match: str) -> None:
    optimizer, params = ready(walker)
    bad = spoil(params[1].grad)
    # torch itself refuses most of these at `p.grad = bad`; a swap underneath gets past it
    stand_in = Stand(params[1], bad)
    optimizer.param_groups[0]["params"][1] = stand_in
    optimizer.state[stand_in] = optimizer.state.pop(params[1])
    before = snapshot(optimizer, [params[0], stand_in])
    with pytest.raises(GradientError, match=match):
        optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(before, snapshot(optimizer, [params[0], stand_in]), strict=True))


class Stand(Parameter):
    """A parameter with a gradient that torch would not let it have."""

    def __new__(cls, param: Parameter, bad: Tensor) -> Stand:
        self = super().__new__(cls, param.data)
        self.bad = bad
        return self

    @property
    def grad(self) -> Tensor:  # type: ignore[override]
        return self.bad


def test_swapped_gradients(walker: OptimizerType) -> None:
    optimizer, params = ready(walker)
    params[1].grad.data = torch.ones(5)
    refused(optimizer, params, GradientError, "b.bias has shape")


@pytest.mark.parametrize(
    ("params", "match"),
    [
        (lambda: [torch.ones(1).expand(3).requires_grad_()], "several elements in one place"),
        (lambda: (lambda b: [b[:3].requires_grad_(), b[2:].requires_grad_()])(torch.ones(5)), "share memory"),
        (lambda: (lambda b: [b.requires_grad_(), b.detach().requires_grad_()])(torch.ones(5)), "share memory"),
        (lambda: (lambda b: [b[::2].requires_grad_(), b[3:6].requires_grad_()])(torch.ones(9)), "share memory"),
        (lambda: [torch.ones(2, dtype=torch.complex64).requires_grad_()], "complex"),
        (lambda: [torch.ones(2).to(torch.float8_e5m2).requires_grad_()], "bfloat16, float16, float64 are served"),
        (lambda: [torch.ones(2).to_sparse().requires_grad_()], "only dense parameters"),
        (lambda: (lambda p: [p, p])(Parameter(torch.ones(1))), "same parameter twice"),
    ],
)
@pytest.mark.filterwarnings("ignore:optimizer contains a parameter group with duplicate")
def test_parameters(walker: OptimizerType, params: Callable[[], list[Tensor]], match: str) -> None:
    with pytest.raises(GradientError, match=match):
        walker(params())


def test_interleaved_views_do_not_overlap(walker: OptimizerType) -> None:
    base = torch.ones(4, 6)
    walker([base[:, :3].requires_grad_(), base[:, 3:].requires_grad_()])


def test_a_device_nobody_serves(walker: OptimizerType) -> None:
    with pytest.raises(BackendError, match="no backend here serves"):
        walker([Parameter(torch.ones(1, device="meta"))])


def test_no_parameters(walker: OptimizerType) -> None:
    with pytest.raises(ValueError, match="empty parameter list"):
        walker([])


def test_a_parameter_in_two_groups(walker: OptimizerType) -> None:
    p = Parameter(torch.ones(1))
    with pytest.raises(ValueError, match="more than one parameter group"):
        walker([{"params": [p]}, {"params": [p]}])


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"backend": "xla"}, BackendError, '"xla" is not installed; here "numba" or "reference" would serve'),
        ({"backend": "triton"}, BackendError, 'serves the device "cuda", not "cpu"; "numba" or "reference" would'),
        ({"backend": "numbra"}, BackendError, 'did you mean "numba"'),
        ({"differentiable": True}, UsageError, "differentiable=True"),
        ({"capturable": True}, UsageError, "capturable=True"),
    ],
)
def test_flags_and_backends(
    walker: OptimizerType, arguments: dict[str, Any], error: type[OptgenError], match: str
) -> None:
    with pytest.raises(error, match=match):
        walker([Parameter(torch.ones(1))], **arguments)


@pytest.mark.parametrize("flags", [{"foreach": True}, {"fused": True}, {"foreach": False, "fused": False}])
def test_flags_without_a_meaning_here_are_accepted(walker: OptimizerType, flags: dict[str, bool]) -> None:
    p = Parameter(torch.ones(1))
    optimizer = walker([p], **flags)
    p.grad = torch.ones(1)
    optimizer.step()
    optimizer.zero_grad(set_to_none=False)
    assert p.grad.item() == 0


@pytest.mark.parametrize(
    ("group", "match"),
    [
        ({"beta1": 0.5}, '"beta1" is given as betas\\[0\\]'),
        ({"weight_decy": 0.5}, 'did you mean "weight_decay"'),
        ({"lr": -1.0}, "lr of parameter group 1 is -1.0"),
    ],
)
def test_a_bad_group_is_not_added(walker: OptimizerType, group: dict[str, Any], match: str) -> None:
    optimizer, _ = ready(walker)
    with pytest.raises(HyperError, match=match):
        optimizer.add_param_group({"params": [("c.weight", Parameter(torch.ones(1)))], **group})
    assert len(optimizer.param_groups) == 1
    optimizer.step()


def test_a_group_whose_parameters_cannot_be_served_is_not_added(walker: OptimizerType) -> None:
    optimizer, params = ready(walker)
    with pytest.raises(GradientError, match="share memory"):
        optimizer.add_param_group({"params": [("c", params[0].detach()[0].requires_grad_())]})
    assert len(optimizer.param_groups) == 1
    optimizer.step()


def test_the_callers_own_group_keys_are_kept(walker: OptimizerType) -> None:
    optimizer, _ = ready(walker)
    optimizer.add_param_group({"params": [("c", Parameter(torch.ones(1)))], "lr_scale": 0.5, "initial_lr": 1.0})
    assert optimizer.param_groups[1]["lr_scale"] == 0.5


def test_a_cast_after_the_first_step_is_refused(walker: OptimizerType) -> None:
    optimizer, params = ready(walker)
    for p in params:
        p.data = p.data.double()
        p.grad = None
    with pytest.raises(StateError, match="was changed after its first step"):
        optimizer.step()


def test_inputs_that_no_rule_reads(walker: OptimizerType) -> None:
    optimizer, _ = ready(walker)
    with pytest.raises(UsageError, match="unexpected argument 'loss'"):
        optimizer.step(loss=1.0)
