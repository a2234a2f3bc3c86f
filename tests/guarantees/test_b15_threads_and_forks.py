"""B15: optimizers in several threads, in backward and in children of a process; nothing stays behind."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from optgen.runtime import pool, tables
from optgen.runtime.torch_optimizer import Optimizer
from tests.guarantees import shelf, spread


@pytest.fixture
def threaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of small tensors use several threads."""
    monkeypatch.setattr(tables, "THREADED_BYTES", 0)
    for size in ("CHUNK_ELEMENTS", "COUPLED_ELEMENTS"):
        monkeypatch.setattr(tables, size, 8)


def result(cls: type[Optimizer], steps: int = 20) -> dict[str, torch.Tensor]:
    return shelf.everything(*shelf.trained(cls, steps))


@pytest.mark.usefixtures("threaded")
def test_optimizers_in_threads() -> None:
    jobs = [*spread.SPREAD, *spread.SPREAD]
    alone = [result(cls) for cls in jobs]
    found: list[Any] = [None] * len(jobs)

    def work(place: int) -> None:
        found[place] = result(jobs[place])

    threads = [threading.Thread(target=work, args=(place,)) for place in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert [shelf.difference(a, b) for a, b in zip(alone, found, strict=True)] == [[]] * len(jobs)


#: Where a tensor's step depends on no other tensor, nor on where it stands among them.
ALONE = [cls for cls in shelf.CLASSES if cls.RULE.reach in ("elem", "tensor") and not cls.RULE.depth]


@pytest.mark.parametrize("cls", ALONE, ids=shelf.name_of)
def test_an_optimizer_in_backward(cls: type[Optimizer]) -> None:
    """One optimizer per parameter, stepped by a hook as soon as its gradient is complete, is the plain loop."""

    def model() -> torch.nn.Module:
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2))

    hooked, plain = model(), model()
    own = {param: shelf.make(cls, [(name, param)]) for name, param in hooked.named_parameters()}
    whole = shelf.make(cls, list(plain.named_parameters()))

    def step(param: torch.Tensor) -> None:
        own[param].step(**shelf.inputs(cls.RULE))
        own[param].zero_grad()

    for param in own:
        param.register_post_accumulate_grad_hook(step)
    for number in range(3):
        x = torch.randn(6, 4, generator=torch.Generator().manual_seed(number))
        hooked(x).square().sum().backward()
        plain(x).square().sum().backward()
        whole.step(**shelf.inputs(cls.RULE))
        whole.zero_grad()
    assert all(torch.equal(a, b) for a, b in zip(hooked.parameters(), plain.parameters(), strict=True))


def in_child(work: Any) -> Any:
    """What a forked child makes of it."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with os.fdopen(writer, "wb") as file:
                pickle.dump(work(), file)
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        content = file.read()
    assert os.waitpid(child, 0)[1] == 0
    return pickle.loads(content)


@pytest.mark.usefixtures("threaded")
@pytest.mark.parametrize("cls", spread.SPREAD, ids=shelf.name_of)
def test_a_forked_child_steps_its_own_copy(cls: type[Optimizer]) -> None:
    named, optimizer = shelf.trained(cls, 3)

    def work() -> dict[str, Any]:
        assert not pool._idle, "the threads of the parent are not there"
        shelf.train(optimizer, named, range(3, 6))
        return {name: value.numpy() for name, value in shelf.everything(named, optimizer).items()}

    before = shelf.everything(named, optimizer)
    children = [in_child(work) for _ in range(2)]
    assert shelf.difference(before, shelf.everything(named, optimizer)) == []
    shelf.train(optimizer, named, range(3, 6))
    own = shelf.everything(named, optimizer)
    for child in children:
        assert shelf.difference(own, {name: torch.from_numpy(value) for name, value in child.items()}) == []


@pytest.mark.usefixtures("threaded")
def test_a_child_forked_in_the_middle_of_a_step() -> None:
    """Its copy is of two steps, but stepping it does not wait for threads that are not there."""
    _, optimizer = shelf.trained(spread.SPREAD[0], 1)
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            optimizer.step()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(20):
            assert in_child(lambda: optimizer.step() is None)
    finally:
        stop.set()
        thread.join()


@pytest.mark.usefixtures("threaded")
def test_loaders_that_fork_beside_training() -> None:
    cls = spread.SPREAD[0]
    model = torch.nn.Linear(3, 4)
    optimizer = shelf.make(cls, list(model.named_parameters()))
    data = TensorDataset(torch.randn(24, 3))
    for _ in range(2):
        for (x,) in DataLoader(data, batch_size=4, num_workers=2, multiprocessing_context="fork"):
            optimizer.zero_grad()
            model(x).square().sum().backward()
            optimizer.step()
    assert optimizer.global_step == 12


def step_in_child(payload: bytes, queue: Any) -> None:
    """Run by a spawned process."""
    named, optimizer = pickle.loads(payload)
    shelf.train(optimizer, named, [3])
    queue.put({name: value.numpy() for name, value in shelf.everything(named, optimizer).items()})


def test_a_spawned_child_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    named, optimizer = shelf.trained(spread.SPREAD[0], 3)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=step_in_child, args=(pickle.dumps((named, optimizer)), queue))
    process.start()
    found = {name: torch.from_numpy(value) for name, value in queue.get(timeout=120).items()}
    process.join(60)
    assert process.exitcode == 0
    shelf.train(optimizer, named, [3])
    assert shelf.difference(shelf.everything(named, optimizer), found) == []


@pytest.mark.usefixtures("threaded")
def test_nothing_stays_of_optimizers_that_are_gone() -> None:
    gc.collect()
    held = sum(type(thing) is tables.Tables for thing in gc.get_objects())
    result(spread.SPREAD[0], 2)
    count = threading.active_count()
    for _ in range(5):
        for cls in spread.SPREAD:
            result(cls, 2)
    assert threading.active_count() == count
    gc.collect()
    assert sum(type(thing) is tables.Tables for thing in gc.get_objects()) <= held


#: Ends while its threads sleep, and while another thread runs kernels. That one calls no torch: Python before 3.14
#: unwinds threads at its end, and one inside torch's C++ then may abort the process.
ENDING = """
import sys, threading, time
from optgen.runtime import tables
tables.THREADED_BYTES, tables.CHUNK_ELEMENTS, tables.COUPLED_ELEMENTS = 0, 8, 8
from tests.guarantees import shelf, spread
named, optimizer = shelf.trained(spread.SPREAD[0], 3)
assert threading.active_count() > 1
kernels = optimizer._current().bound[0].tables
def work():
    while True:
        kernels.run(4, threads=2)
if "stepping" in sys.argv:
    threading.Thread(target=work, daemon=True).start()
    time.sleep(0.2)
"""


@pytest.mark.parametrize("how", ["sleeping", "stepping"])
def test_the_interpreter_ends_beside_its_threads(how: str) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", ENDING, how]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
