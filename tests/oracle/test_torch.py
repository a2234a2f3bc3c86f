"""The reference against torch's own optimizers in float64: 100 steps, gradients missing now and then.

A rule whose `reference` names torch.optim.X is compared with that class in every combination of its options.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from optgen.errors import HyperError
from optgen.frontends.evaluate import check_requirements
from optgen.frontends.torch_arguments import argument_of, arguments
from optgen.passes.pipeline import default_settings
from optgen.spec.loader import load, shipped
from optgen.spec.model import Setting, Spec
from optgen.verify import Reference
from optgen.verify.settings import with_off_neutral
from tests.oracle.streams import gradients, start, worst

TOLERANCE = 1e-12
STEPS = 100
#: Arguments that choose how torch computes, not what.
ENGINE = {"self", "params", "foreach", "fused", "capturable", "differentiable"}
Settings = Mapping[str, Setting]


@cache
def theirs(name: str) -> type[torch.optim.Optimizer] | None:
    """torch's class of a rule, if its reference names one."""
    spec = load(name)
    named = re.search(r"\btorch\.optim\.([A-Z]\w+)", spec.reference)
    return getattr(torch.optim, named[1]) if named and spec.kind == "rule" else None


@pytest.fixture(autouse=True)
def _scalars_in_float64() -> Iterator[None]:
    """torch keeps scalars of its own (a product of coefficients) in the default dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


RULES = [name for name in shipped() if theirs(name) is not None]


def in_torch(spec: Spec, values: Settings) -> dict[str, Any]:
    """Values by the names of torch's arguments, those that torch does not have left out; all entries of each tuple."""
    given: dict[str, Any] = {**default_settings(spec), **values}
    accepted = inspect.signature(theirs(spec.name).__init__).parameters
    found: dict[str, Any] = {"maximize": values.get("maximize", False)}
    for argument in arguments(spec):
        if argument.name in accepted:
            own = tuple(given[hyper.name] for hyper in argument.hypers)
            found[argument.name] = own if argument.tuple else own[0]
    return found


def options(name: str) -> Iterator[dict[str, Setting]]:
    """Every combination of switches and of terms that a 0 removes, the rest off neutral; directions take turns."""
    spec = load(name)
    known = inspect.signature(theirs(name).__init__).parameters
    axes: dict[str, tuple[Setting, ...]] = {}
    for hyper in spec.hypers.values():
        if argument_of(spec, hyper).partition("[")[0] not in known:
            continue
        if hyper.kind == "bool":
            axes[hyper.name] = (False, True)
        elif hyper.default == 0.0 and hyper.kind == "float":
            axes[hyper.name] = (0.0, 0.1)
    for chosen in product(*axes.values()):
        uphill = sum(map(bool, chosen)) % 2 == 1
        values = with_off_neutral(spec, {"maximize": uphill, **dict(zip(axes, chosen, strict=True))})
        try:
            check_requirements(spec, {**default_settings(spec), **values})
        except HyperError:
            continue
        yield values


def apart(spec: Spec, values: Settings, rng: np.random.Generator) -> float:
    """The largest difference from torch in parameters and states over all steps."""
    params = start(rng)
    reference = Reference(spec, params, values)
    tensors = [torch.nn.Parameter(torch.tensor(x, dtype=torch.float64)) for x in params.values()]
    optimizer = theirs(spec.name)(tensors, **in_torch(spec, values))
    states = {name: state.names["torch"] for name, state in spec.states.items() if "torch" in state.names}
    largest, seen = 0.0, set[str]()
    for grads in gradients(rng, [x.shape for x in params.values()], STEPS):
        reference.step(grads)
        for tensor, g in zip(tensors, grads, strict=True):
            tensor.grad = None if g is None else torch.tensor(g, dtype=torch.float64)
        optimizer.step()
        for tensor, ours in zip(tensors, reference.params.values(), strict=True):
            largest = max(largest, worst(ours, tensor.detach().numpy()))
        for ours, name in states.items():
            for tensor, held in zip(tensors, reference.state(ours).values(), strict=True):
                kept = optimizer.state[tensor].get(name)
                if isinstance(kept, torch.Tensor) and bool(kept.any()):
                    seen.add(name)
                    largest = max(largest, worst(held, kept.numpy().reshape(held.shape)))
    kept = {name for entries in optimizer.state.values() for name, x in entries.items() if isinstance(x, torch.Tensor)}
    assert seen >= kept - {"step"}, "every state of torch's has a name in the spec and was compared"
    return largest


CASES = [(name, values) for name in RULES for values in options(name)]


def _id(value: object) -> str:
    switched = value.items() if isinstance(value, dict) else ()
    return "-".join(f"{key}={x}" for key, x in switched if isinstance(x, bool) or x in (0.0, 0.1)) or str(value)


@pytest.mark.parametrize(("name", "values"), CASES, ids=_id)
def test_every_option(rng: np.random.Generator, name: str, values: Settings) -> None:
    assert apart(load(name), values, rng) < TOLERANCE


@pytest.mark.parametrize("name", RULES)
def test_arguments_and_defaults_are_those_of_torch(name: str) -> None:
    spec = load(name)
    own = in_torch(spec, {})
    for key, argument in inspect.signature(theirs(name).__init__).parameters.items():
        if key in ENGINE or key == "maximize":
            continue
        mine, default = own[key], argument.default
        if isinstance(default, tuple):  # None: torch takes the machine epsilon of the dtype
            assert all(b is None or a == b for a, b in zip(mine, default, strict=True)), key
        else:
            assert mine == default, key


@pytest.mark.parametrize("values", [{"lr": 0.9}, {"lr": 0.01, "clip_threshold": 1.3}, {"lr": 0.9, "weight_decay": 0.1}])
def test_adafactor_on_both_sides_of_its_bounds(rng: np.random.Generator, values: Settings) -> None:
    """The step is set by lr or by 1/sqrt(t), clipped or not."""
    assert apart(load("adafactor"), {**values, "beta2_decay": -0.7, "eps1": 1e-7, "eps2": 2e-3}, rng) < TOLERANCE


def test_rectification_sets_in(rng: np.random.Generator) -> None:
    """With torch's default beta2, at the sixth update."""
    assert apart(load("radam"), {"lr": 0.03, "eps": 1e-4}, rng) < TOLERANCE


@pytest.mark.parametrize("name", RULES)
def test_a_schedule_reaches_the_reference(rng: np.random.Generator, name: str) -> None:
    spec, params = load(name), start(rng)
    reference = Reference(spec, params)
    tensors = [torch.nn.Parameter(torch.tensor(x, dtype=torch.float64)) for x in params.values()]
    optimizer = theirs(name)(tensors, **in_torch(spec, {}))
    for step, grads in enumerate(gradients(rng, [x.shape for x in params.values()], 10), 1):
        reference.change(lr=0.1 / step)
        optimizer.param_groups[0]["lr"] = 0.1 / step
        for tensor, g in zip(tensors, grads, strict=True):
            tensor.grad = None if g is None else torch.tensor(g, dtype=torch.float64)
        reference.step(grads)
        optimizer.step()
    for tensor, ours in zip(tensors, reference.params.values(), strict=True):
        assert worst(ours, tensor.detach().numpy()) < TOLERANCE
