"""C4: a step needs memory by the number of tensors, not of elements."""

from __future__ import annotations

import tracemalloc

import pytest
import torch
from torch.nn import Parameter
from torch.profiler import ProfilerActivity, profile

from optgen.runtime.tables import Tables
from optgen.runtime.torch_optimizer import Optimizer
from tests.guarantees import shelf, spread

SIDE = 1024


@pytest.mark.parametrize("cls", spread.SPREAD, ids=shelf.name_of)
def test_no_buffer_the_size_of_a_parameter(cls: type[Optimizer]) -> None:
    named = [(f"h.{i}.weight", Parameter(torch.randn(SIDE, SIDE))) for i in range(2)]
    optimizer = shelf.make(cls, named)
    shelf.train(optimizer, named, range(2))
    shelf.gradients(named, 2)  # in other memory than those before
    optimizer.param_groups[0]["lr"] = 1e-3
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True):
        pass  # what the profiler itself makes on first use
    tracemalloc.start()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        optimizer.step(**shelf.inputs(cls.RULE, 2))
        _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak - before < SIDE * SIDE * 4 // 32, "Python and NumPy"
    assert sum(abs(each.self_cpu_memory_usage) for each in profiled.key_averages()) == 0, "torch"
    assert optimizer._binding is not None
    for bound in optimizer._binding.bound:
        assert isinstance(bound.tables, Tables)
        held = sum(table.nbytes for table in bound.tables._keep.values()) + bound.tables._scratch.words.nbytes
        assert held < SIDE * SIDE * 4 // 4, f"{held} bytes of tables for {2 * SIDE * SIDE * 4} of parameters"
