"""Steps on a GPU, with tensors that have no memory: nothing is read back, what the host need not know stays there."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import cache

import pytest
import torch

pytest.importorskip("triton")

import optgen
from optgen.errors import HyperError, UsageError
from optgen.runtime.torch_optimizer import Optimizer
from optgen.runtime.torch_resident import deciding
from optgen.spec.loader import shipped
from tests.programs import calls_a_library
from tests.torch_frontend.fake_cuda import Launches, Refusing, fake_cuda, looked_at

RULES = [name for name in shipped() if not calls_a_library(name)]
CALLING = [name for name in shipped() if calls_a_library(name)]

SHAPES = {"h.0.w": (6, 5), "h.0.b": (6,), "h.1.w": (6, 5), "h.1.b": (6,), "head": (3, 2, 4), "scale": ()}
#: What torch is asked for by a step: copies to the device and on it, and the count of steps there.
ASKED = {"aten.copy_.default", "aten.add_.Tensor"}
#: What changes no memory.
VIEWS = ("prim.device", "profiler.", "aten.detach", "aten.view", "aten.slice", "aten.select", "aten.lift_fresh")


@cache
def made(rule: str) -> type[Optimizer]:
    return optgen.compile(rule, backend="triton")


@pytest.fixture(autouse=True)
def launches(monkeypatch: pytest.MonkeyPatch) -> Iterator[Launches]:
    with warnings.catch_warnings(), fake_cuda(monkeypatch) as found:
        warnings.filterwarnings("ignore", message=".*data pointer of FakeTensor")
        warnings.filterwarnings("ignore", message=".*works on layers")
        yield found


def parameters(device: str = "cuda") -> list[tuple[str, torch.nn.Parameter]]:
    named = [(name, torch.nn.Parameter(torch.empty(shape, device=device))) for name, shape in SHAPES.items()]
    for _, param in named:
        param.grad = torch.empty_like(param)
    return named


def number() -> torch.Tensor:
    return torch.empty((), device="cuda")


def inputs(optimizer: Optimizer) -> dict[str, torch.Tensor]:
    return {given.name: number() for given in optimizer.RULE.inputs}


def asked(optimizer: Optimizer, **given: torch.Tensor) -> set[str]:
    """What torch is asked for by a step that is not the first."""
    optimizer.step(**(given or inputs(optimizer)))
    with Refusing() as refusing:
        optimizer.step(**(given or inputs(optimizer)))
    return {name for name in refusing.seen if not name.startswith(VIEWS)}


def held(optimizer: Optimizer, named: list[tuple[str, torch.nn.Parameter]]) -> set[str]:
    """Where state is."""
    return {value.device.type for _, param in named for value in optimizer.state[param].values()}


@pytest.mark.parametrize("rule", RULES)
def test_a_step_waits_for_nothing(rule: str, launches: Launches) -> None:
    """The rates are on the device, and all state with its counters; gradients come, go and move."""
    named = parameters()
    with looked_at(0.5):
        optimizer = made(rule)(named, lr=number(), capturable=True)  # type: ignore[call-arg]
    assert asked(optimizer) <= ASKED
    assert held(optimizer, named) == {"cuda"}
    count = len(launches.kernels)
    named[2][1].grad = None
    named[0][1].grad = torch.empty_like(named[0][1])
    with Refusing():
        optimizer.step(**inputs(optimizer))
    assert len(launches.kernels) - count == count // 2


@pytest.mark.parametrize("rule", CALLING)
def test_products_between_sweeps_wait_for_nothing(rule: str, launches: Launches) -> None:
    """The host knows by itself which tensors they are for, be the rates on the device, or a gradient gone."""
    named = parameters()
    with looked_at(0.5):
        optimizer = made(rule)(named, lr=number())  # type: ignore[call-arg]
    assert "aten.baddbmm.out" in asked(optimizer)
    assert held(optimizer, named) == {"cuda"}
    count = len(launches.kernels)
    named[2][1].grad = None
    named[0][1].grad = torch.empty_like(named[0][1])
    with Refusing():
        optimizer.step(**inputs(optimizer))
    assert len(launches.kernels) - count == count // 2


def test_products_that_depend_on_counts_are_not_captured() -> None:
    """A CUDA graph would repeat the choice of one step; nor one that a library decides on."""
    for rule in CALLING:
        counted = made(rule)(parameters())._binding.plan.counts_here  # type: ignore[union-attr]
        if counted:
            with pytest.raises(
                UsageError, match=r"capturable=True cannot be served: \w+ decides by its counts of steps"
            ):
                made(rule)(parameters(), capturable=True)  # type: ignore[call-arg]
        else:
            assert made(rule)(parameters(), capturable=True)  # type: ignore[call-arg]
    with pytest.raises(HyperError, match="decides by it which kernels or calls run"), looked_at(2.0):
        made("muon")(parameters(), ns_steps=number(), capturable=True)  # type: ignore[call-arg]


@pytest.mark.parametrize("rule", ["adamw", "neat", "adafactor"])
def test_a_scaled_step_waits_for_nothing(rule: str) -> None:
    """Neither for the scale nor for whether it is skipped."""
    optimizer = made(rule)(parameters(), lr=0.1)  # type: ignore[call-arg]
    optimizer.grad_scale, optimizer.found_inf = number(), number()  # type: ignore[attr-defined]
    assert asked(optimizer) <= ASKED | {"aten.eq.Scalar", "aten.mul.out"}
    assert optimizer._options.storage.scaled


def test_a_rate_on_the_device_is_copied_there_capturable_or_not() -> None:
    for capturable in (False, True):
        optimizer = made("adamw")(parameters(), lr=0.1, capturable=capturable)  # type: ignore[call-arg]
        assert "aten.copy_.default" not in asked(optimizer)
        with looked_at(0.25):
            optimizer.param_groups[0]["lr"] = number()
            optimizer.step()
        with Refusing() as refusing:
            optimizer.param_groups[0]["weight_decay"] = 0.3  # another hyper of the group, which the host knows
            optimizer.step()
        assert refusing.seen["aten.copy_.default"] >= 2
        tables = optimizer._binding.gpus[0]  # type: ignore[union-attr]
        column = optimizer._binding.bound[0].hypers.index("lr")  # type: ignore[union-attr]
        optimizer.param_groups[0]["lr"] = 0.25  # the number that the tensor held
        optimizer.step()
        assert (tables.hyper[:, column] == 0.25).all()


def test_what_decides_on_kernels_has_to_be_known_under_capture() -> None:
    """Without it such a tensor is looked at by every step."""
    for rule in RULES:
        cls = made(rule)
        rules = cls.RULE
        names = [rules.hyper(name) for name in deciding(rules, rules.settled(rules.defaults()))]
        numbers = [hyper for hyper in names if hyper.kind in ("float", "int") and hyper.index is None]
        if not numbers:
            continue
        given = {numbers[0].key: number()}
        with looked_at(float(numbers[0].default)):  # type: ignore[arg-type]
            with pytest.raises(HyperError, match=rf"{numbers[0].argument} of parameter group 0 is a tensor on cuda"):
                cls(parameters(), **given, capturable=True)  # type: ignore[call-arg]
            optimizer = cls(parameters(), **given)  # type: ignore[call-arg]
            assert optimizer._binding.values[0].mutable  # type: ignore[union-attr]
        return
    raise AssertionError("no rule has a number that decides on its kernels")


def test_devices_have_tables_of_their_own(launches: Launches) -> None:
    """Rules whose tensors do not affect one another run on each device of a model."""
    named = [
        (name, p if i % 2 else torch.nn.Parameter(p.detach().to("cuda:1"))) for i, (name, p) in enumerate(parameters())
    ]
    for _, param in named:
        param.grad = torch.empty_like(param)
    optimizer = made("adamw")(named, lr=0.1, capturable=True)  # type: ignore[call-arg]
    assert asked(optimizer) <= ASKED
    tables = optimizer._binding.gpus  # type: ignore[union-attr]
    assert [each.device for each in tables] == [torch.device("cuda:1"), torch.device("cuda:0")]
    for each in tables:
        assert {buffer.device for buffer in each.buffers()} == {each.device}
