"""C2: calls into compiled code do not grow with the number of tensors, groups or dtypes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import Parameter

from optgen.runtime import driver
from optgen.runtime.torch_optimizer import Optimizer
from tests.guarantees import shelf, spread
from tests.programs import runs_of


@pytest.mark.parametrize("cls", shelf.CLASSES, ids=shelf.name_of)
def test_one_call_however_many_tensors(cls: type[Optimizer], monkeypatch: pytest.MonkeyPatch) -> None:
    whole, calls = driver.drive, [0]

    def drive(*args: Any) -> int:
        calls[0] += 1
        return whole(*args)

    monkeypatch.setattr(driver, "drive", drive)
    # kernels for a second dtype take seconds to compile: a few rules stand for all
    mixed = [(120, [torch.float32, torch.float64])] if cls in spread.SPREAD else []
    for count, dtypes in ((1, [torch.float32]), (120, [torch.float32]), *mixed):
        params = [(f"h.{i}.weight", Parameter(torch.ones(3, 4, dtype=dtypes[i % len(dtypes)]))) for i in range(count)]
        groups = [{"params": params[:1]}] + ([{"params": params[1:], "lr": 0.01}] if count > 1 else [])
        optimizer = shelf.make(cls, groups)  # type: ignore[arg-type]
        shelf.train(optimizer, params, [0])
        calls[0] = 0
        shelf.train(optimizer, params, [1], missing=["h.2.weight"])
        assert calls[0] == runs_of(cls.RULE.name)
        assert optimizer._binding is not None
        assert optimizer._binding.calls() == runs_of(cls.RULE.name)
