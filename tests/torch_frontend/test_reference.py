"""The reference backend works on the same state as kernels, through an interpreter; here one written for the test."""

from __future__ import annotations

import sys
import types
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch.nn import Parameter

from optgen.errors import BackendError
from optgen.runtime.kernel_module import Slot
from optgen.runtime.rule_info import HyperValue
from optgen.runtime.torch_optimizer import Optimizer
from optgen.runtime.torch_reference import ReferenceTensor

OptimizerType = type[Optimizer]


class Interpreter(types.ModuleType):
    """Knows one rule: the first of the hand-written two."""

    def torch_slots(self, origin: str, hypers: Mapping[str, HyperValue], dtype: str) -> list[Slot]:
        states = [{"name": name, "extent": "elem", "dtype": dtype, "role": "state"} for name in ("m", "v")]
        ends = [{"name": "param", "role": "param"}, {"name": "g", "role": "gradient"}]
        step = {"name": "step", "extent": "tensor", "dtype": "float32", "role": "counter"}
        return cast(list[Slot], [*({**end, "extent": "elem", "dtype": dtype} for end in ends), *states, step])

    def torch_step(self, origin: str, tensors: Sequence[ReferenceTensor], *, step: int, **_: Any) -> None:
        assert origin == "walker.yaml"
        for tensor in tensors:
            if tensor.gradient is None:
                continue
            g, h, old = tensor.gradient, tensor.hypers, tensor.values
            tensor.t += 1
            m = h["beta1"] * old["m"] + (1 - h["beta1"]) * g
            v = h["beta2"] * old["v"] + (1 - h["beta2"]) * g**2
            d = m / (1 - h["beta1"] ** tensor.t) / (np.sqrt(v / (1 - h["beta2"] ** tensor.t)) + h["eps"])
            param = old["param"] - h["lr"] * (d + h["weight_decay"] * old["param"])
            tensor.values = {"param": param, "m": m, "v": v}


@pytest.fixture
def interpreted(walker: OptimizerType, monkeypatch: pytest.MonkeyPatch) -> OptimizerType:
    monkeypatch.setitem(sys.modules, "optgen.verify.reference", Interpreter("optgen.verify.reference"))
    return type("Interpreted", (walker,), {"RULE": replace(walker.RULE, origin="walker.yaml")})


def test_a_step_equals_the_kernels(interpreted: OptimizerType) -> None:
    torch.manual_seed(0)
    start = [torch.randn(3, 4, dtype=torch.float64), torch.randn(5), torch.randn(0), torch.randn(2, 2)]
    results: list[list[torch.Tensor]] = []
    for backend in ("numba", "reference"):
        params = [Parameter(x.clone()) for x in start[:-1]] + [Parameter(start[-1].clone().t())]
        optimizer = interpreted(params, lr=0.1, backend=backend)
        for step in range(3):
            optimizer.param_groups[0]["lr"] = 0.1 / (step + 1)
            for p in params:
                p.grad = p.detach().cos()
            params[1].grad = None if step == 1 else params[1].grad
            optimizer.step()
        results.append([*params, *(value for p in params for value in optimizer.state[p].values())])
    for kernel, reference in zip(*results, strict=True):
        assert kernel.dtype == reference.dtype
        assert torch.allclose(kernel, reference, rtol=1e-6, atol=1e-7)


def test_a_class_without_its_text_cannot_be_interpreted(walker: OptimizerType) -> None:
    with pytest.raises(BackendError, match="was built without"):
        walker([Parameter(torch.ones(1))], backend="reference")


def test_a_missing_interpreter_is_said_to_be_missing(walker: OptimizerType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optgen.verify.reference", None)
    cls = type("Interpreted", (walker,), {"RULE": replace(walker.RULE, origin="walker.yaml")})
    with pytest.raises(BackendError, match=r'needs the compiler.*"numba" would serve'):
        cls([Parameter(torch.ones(1))], backend="reference")
