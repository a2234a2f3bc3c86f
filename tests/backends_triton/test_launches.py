"""What a step launches and what it compiles: on the path that a GPU would take, with a driver that stands for one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

pytest.importorskip("triton")

from optgen.ir.view import view
from optgen.passes.pipeline import to_kernels
from optgen.runtime.gpu_abi import CHUNK_ELEMENTS
from optgen.runtime.gpu_tables import GpuTables
from optgen.spec.loader import load, shipped
from optgen_triton.emit import emit
from tests.backends_triton.stub import Launched, give_memory, stubbed, use_stub_driver
from tests.programs import calling, calls_a_library

STEPS = 1000
#: Sweeps, and kernels between them.
LAUNCHES = {"adamw": (1, 0), "neat": (2, 1)}


@pytest.fixture(params=LAUNCHES)
def rule(request: pytest.FixtureRequest) -> str:
    """Rules of one and of two sweeps."""
    return request.param


@pytest.fixture
def path(rule: str, tmp_path: Path) -> str:
    """A file of its kernels, for a GPU that is not here."""
    use_stub_driver()
    file = tmp_path / f"triton_{rule}.py"
    file.write_text(emit(view(to_kernels(load(rule), {}, "float32")))[1], encoding="utf-8")
    return str(file)


class Operations(TorchDispatchMode):
    """Counts what torch is asked to do."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen[str(func)] += 1
        return func(*args, **(kwargs or {}))


def change(tables: GpuTables, step: int) -> None:
    """Every hyper and every gradient's address is another."""
    tables.hyper[:] = np.linspace(0.1, 0.9, tables.hyper.size).reshape(tables.hyper.shape) / step
    tables.address[:] = 4096 + 4 * step


def test_nothing_compiles_after_the_second_step(path: str) -> None:
    launched = Launched()
    tables = stubbed(path, [(5, 7), (3,), (CHUNK_ELEMENTS + 1,)], launched)
    for step in range(1, STEPS + 1):
        change(tables, step)
        tables.run(step)
        if step == 2:
            compiled = launched.compiles
    assert launched.compiles == compiled == len(set(dict(launched.launches)))


def test_launches_do_not_depend_on_the_number_of_tensors(rule: str, path: str) -> None:
    for count in (1, 3, 200):
        launched = Launched()
        tables = stubbed(path, [(4, 4)] * count, launched)
        tables.run(1)
        names = Counter(name for name, _ in launched.launches)
        sweeps = sum(times for name, times in names.items() if name.startswith("sweep"))
        assert (sweeps, names.total() - sweeps) == LAUNCHES[rule]
        assert tables.calls() == names.total()


@pytest.mark.parametrize("name", [name for name in shipped() if not calls_a_library(name)])
def test_a_launch_per_sweep_and_one_between_them(name: str, tmp_path: Path) -> None:
    """For any number of tensors. Rows and columns have stages of their own, each a launch at most."""
    use_stub_driver()
    file = tmp_path / "triton.py"
    described, source = emit(view(to_kernels(load(name), {}, "float32")))
    file.write_text(source, encoding="utf-8")
    counts: set[int] = set()
    for count in (1, 2, 50):
        launched = Launched(compiling=False)
        tables = stubbed(str(file), [(4, 4), (3,)] * count, launched)
        tables.hyper[:] = np.linspace(0.1, 0.9, tables.hyper.size).reshape(tables.hyper.shape)  # a group each
        tables.run(1)
        counts.add(len(launched.launches))
    sweeps, stages = cast("int", described["sweeps"]), cast("list[list[list[str]]]", described["stages"])
    (found,) = counts
    if described["tiled"]:
        assert found <= sweeps + sum(map(len, stages)) + 1 + 2  # the choice of a variant; sums of rows and columns
    else:
        assert found == 2 * sweeps - 1


def test_tensors_without_elements_are_counted_too(path: str) -> None:
    """A program that has nothing else to do brings their counters up to date."""
    launched = Launched(compiling=False)
    stubbed(path, [(0, 4), (0,)], launched).run(1)
    assert {programs for name, programs in launched.launches if name.startswith("sweep")} == {1}


def test_tensors_without_elements_cost_no_program(path: str) -> None:
    launched = Launched()
    stubbed(path, [(0, 4), (CHUNK_ELEMENTS + 1,), (0,)], launched).run(1)
    assert {programs for name, programs in launched.launches if name.startswith("sweep")} == {2}


def test_a_step_asks_nothing_back_of_the_device(path: str) -> None:
    """The one thing torch does is a copy to the device, when the host's tables changed."""
    tables = stubbed(path, [(5, 7), (3,)], Launched())
    tables.run(1)
    with Operations() as same:
        tables.run(2)
    change(tables, 3)
    tables.set_active(np.array([True, False]))
    with Operations() as changed:
        tables.run(3)
    assert not same.seen
    assert set(changed.seen) <= {"aten.copy_.default", "aten.lift_fresh.default", "aten.detach.default"}
    assert changed.seen["aten.copy_.default"] == 1


def test_addresses_stay_bounded(path: str) -> None:
    """Tables are written in place, however often gradients move."""
    tables = stubbed(path, [(5, 7), (3,)], Launched())
    before = [block.data_ptr() for block in tables.buffers()]
    for step in range(1, 50):
        change(tables, step)
        tables.run(step)
    assert [block.data_ptr() for block in tables.buffers()] == before


def test_no_gpu_is_said(rule: str) -> None:
    import optgen
    from optgen.errors import BackendError

    made = optgen.compile(rule, backend="triton")
    with pytest.raises(
        BackendError, match='"triton" serves the device "cuda", not "cpu"; "numba" or "reference" would'
    ):
        made([torch.nn.Parameter(torch.zeros(3))], backend="triton")


#: Per rule: kernels launched in a step of small settings, and products that torch is asked for, of matrices of a shape.
CALLED = {"m3": (3, 4), "muon": (3, 6), "nested": (3, 1)}


@pytest.mark.parametrize("name", calling())
def test_library_calls_do_not_depend_on_the_number_of_tensors(name: str, tmp_path: Path) -> None:
    """Matrices of one shape are one call each, of tensors that lie side by side, and nothing is asked back."""
    use_stub_driver()
    file = tmp_path / "triton.py"
    spec, settings = load(name), calling()[name]
    file.write_text(emit(view(to_kernels(spec, settings, "float32")))[1], encoding="utf-8")
    seen: set[tuple[int, int]] = set()
    for count in (2, 3, 50):
        launched = Launched(compiling=False)
        tables = stubbed(str(file), [(4, 6), (3,)] * count, launched)
        hypers = tables.modules[0].manifest["hypers"]
        tables.hyper[:] = [float(settings.get(key, spec.hypers[key].default)) for key in hypers]  # type: ignore[arg-type]
        kept = give_memory(tables)
        with Operations() as asked:
            tables.run(1)
        assert asked.seen.keys().isdisjoint({"aten._local_scalar_dense.default"})
        products = asked.seen["aten.bmm.out"] + asked.seen["aten.baddbmm.out"]
        seen.add((len(launched.launches), products))
        del kept
    assert seen == {CALLED[name]}
