"""After an exception in `step`, parameters and state are all old or all new, or nothing goes on silently."""

from __future__ import annotations

import contextlib
import copy
import os
import pickle
import signal
import threading
import time
from typing import Any

import pytest
import torch

from optgen.errors import BackendError, PartialStepError
from optgen.runtime import modules, programs, progress, tables
from optgen.runtime.torch_optimizer import Optimizer
from tests.faults import injection
from tests.guarantees import shelf, spread

INTERRUPT, MEMORY = KeyboardInterrupt("from the test"), MemoryError("from the test")


class Pair:
    """An optimizer that meets faults, and one like it that never does."""

    def __init__(self, cls: type[Optimizer], **arguments: Any) -> None:
        self.named, self.optimizer = shelf.trained(cls, 2, **arguments)
        self.fine, self.twin = shelf.trained(cls, 2, **arguments)
        self.number = 2
        self.settled = ""  # a hyper that two groups settle differently

    def sides(self) -> list[tuple[shelf.Named, Optimizer]]:
        """Both, each with its model."""
        return [(self.named, self.optimizer), (self.fine, self.twin)]

    def step(self, missing: tuple[str, ...] = ()) -> None:
        """The step under test."""
        shelf.train(self.optimizer, self.named, [self.number], missing)

    def outcome(self, missing: tuple[str, ...] = ()) -> str:
        """`old` or `new`; then both have made the step, and are the same. Anything else fails."""
        found, old = (shelf.everything(*each) for each in self.sides())
        shelf.train(self.twin, self.fine, [self.number], missing)
        new = shelf.everything(self.fine, self.twin)
        if shelf.difference(found, new):
            assert shelf.difference(found, old) == []
            self.step(missing)
            assert shelf.difference(shelf.everything(self.named, self.optimizer), new) == []
            self.number += 1
            return "old"
        self.number += 1
        return "new"


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many threads a step of small tensors has."""
    if request.param == 2:
        sizes = {"THREADED_BYTES": 0, "CACHE_BYTES": 0, "CHUNK_ELEMENTS": 8, "COUPLED_ELEMENTS": 8}
        for name, size in sizes.items():  # sweep by sweep, chunks of a few elements
            monkeypatch.setattr(tables, name, size)
    return request.param


@pytest.mark.parametrize("cls", spread.SPREAD, ids=shelf.name_of)
def test_an_exception_anywhere(cls: type[Optimizer], threads: int) -> None:
    pair = Pair(cls)
    with injection.after(0, None) as count:
        pair.step()
    pair.outcome()
    found: list[str] = []
    for point in range(1, count[0], 1 + count[0] // 250):
        error = INTERRUPT if point % 2 else MEMORY
        shelf.train(pair.optimizer, pair.named, [pair.number])
        shelf.train(pair.twin, pair.fine, [pair.number])
        pair.number += 1
        shelf.gradients(pair.named, pair.number)
        with injection.after(point, error), contextlib.suppress(type(error)):
            pair.optimizer.step(**shelf.inputs(cls.RULE, pair.number))
            assert pair.outcome() == "new"  # past the last bytecode, or no memory for a thread: there are fewer then
            continue
        found.append(pair.outcome())
    assert found[0] == "old"
    assert found[-1] == "new"
    assert found == sorted(found, reverse=True), "from some point on it is new"


def test_an_exception_while_binding() -> None:
    for cls in spread.SPREAD[-1:]:
        pair = Pair(cls)
        pair.optimizer._binding = None
        with injection.after(0, None) as count:
            pair.step()
        pair.outcome()
        for point in range(1, count[0], 1 + count[0] // 60):
            pair.optimizer._binding = None
            shelf.gradients(pair.named, pair.number)
            with injection.after(point, INTERRUPT), pytest.raises(KeyboardInterrupt):
                pair.optimizer.step(**shelf.inputs(cls.RULE, pair.number))
            pair.outcome()


@pytest.mark.parametrize("cls", spread.SPREAD, ids=shelf.name_of)
@pytest.mark.parametrize("forever", [False, True], ids=["once", "forever"])
def test_a_kernel_that_raises(
    cls: type[Optimizer], forever: bool, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = spread.manifest_of(cls)
    assert manifest is not None
    reading = 0 if programs.chainable(manifest) and threads == 1 else progress.reading_sweeps([manifest])
    for sweep in range(1, manifest["sweeps"] + 1):
        pair = Pair(cls)
        with monkeypatch.context() as patch:
            injection.failing_kernel(patch, sweep, times=-1 if forever else 1)
            with pytest.raises((OSError, PartialStepError)) as caught:
                pair.step()
        # one thread's call runs what comes before the sweep that fails; several have opened that sweep
        stored = sweep - (threads == 1) > reading
        if stored and forever:
            assert isinstance(caught.value, PartialStepError)
            assert isinstance(caught.value.__cause__, OSError)
            assert f"sweep {sweep} of {manifest['sweeps']} was cut" in str(caught.value)
            refuses_until_loaded(pair)
        else:
            assert caught.type is OSError
            assert pair.outcome() == ("new" if stored else "old")


def refuses_until_loaded(pair: Pair) -> None:
    """The cut optimizer of a pair neither steps nor is saved, nor does a copy of it, until a state is loaded."""
    for optimizer in (pair.optimizer, pickle.loads(pickle.dumps(pair.optimizer)), copy.deepcopy(pair.optimizer)):
        for act in (optimizer.step, optimizer.state_dict):
            with pytest.raises(PartialStepError, match="load_state_dict"):
                act()
    with torch.no_grad():
        for (_, ours), (_, theirs) in zip(pair.named, pair.fine, strict=True):
            ours.copy_(theirs)
    pair.optimizer.load_state_dict(pair.twin.state_dict())
    pair.step()
    assert pair.outcome() == "new"


def parts(rate: float = 0.05) -> Pair:
    """A pair with several sets of kernels in one step: two settled choices, and two dtypes in one of them."""
    cls = next(c for c in shelf.CLASSES if any(" != 0" in key for key in c.RULE.settled(c.RULE.defaults())))
    pair = Pair.__new__(Pair)
    numbers = [h for h in cls.RULE.hypers if h.kind == "float"]
    hyper = next(h for h in numbers if settled(cls, **{h.name: 0.0}) != settled(cls))
    sides = []
    for _ in range(2):
        named, more = shelf.parameters(), shelf.parameters(torch.float64)
        groups = [{"params": named[:2], hyper.key: 0.0}, {"params": named[2:] + [(f"x.{n}", p) for n, p in more]}]
        named = named + [(f"x.{n}", p) for n, p in more]
        sides.append((named, shelf.make(cls, groups, lr=rate)))
        shelf.train(sides[-1][1], named, range(2))
    (pair.named, pair.optimizer), (pair.fine, pair.twin) = sides
    pair.number, pair.settled = 2, hyper.key
    return pair


def settled(cls: type[Optimizer], **values: float) -> dict[str, bool | str]:
    """What the lively values settle, but for these."""
    return cls.RULE.settled({**cls.RULE.defaults(), **shelf.lively(cls.RULE), **values})


@pytest.mark.parametrize("call", [0, 1])
@pytest.mark.parametrize("forever", [False, True], ids=["once", "forever"])
def test_a_kernel_of_one_of_several_parts_raises(call: int, forever: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = parts()
    with monkeypatch.context() as patch:
        injection.failing_kernel(patch, 1, times=-1 if forever else 1, calls_before=call)
        with pytest.raises((OSError, PartialStepError)) as caught:
            pair.step()
    if call == 1 and forever:
        message = str(caught.value)
        assert caught.type is PartialStepError
        assert "of h.0.weight, h.0.bias, everything is stored" in message
        assert "nothing is stored" in message
        refuses_until_loaded(pair)
    else:
        assert pair.outcome() == ("new" if call == 1 else "old")


def test_parts_that_read_come_before_parts_that_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two sets of kernels whose first sweep reads: where the second set fails in it, the first has not stored."""
    cls = next(cls for cls in spread.having("reads before it stores") if cls.RULE.reach == "tensor")
    for name, size in (("THREADED_BYTES", 0), ("CACHE_BYTES", 0), ("CHUNK_ELEMENTS", 8)):  # sweep by sweep
        monkeypatch.setattr(tables, name, size)
    pair, sides = Pair.__new__(Pair), []
    for _ in range(2):
        named = shelf.parameters()
        sides.append((named, shelf.make(cls, [{"params": named[:2]}, {"params": named[2:], "maximize": True}])))
        shelf.train(sides[-1][1], named, range(2))
    (pair.named, pair.optimizer), (pair.fine, pair.twin) = sides
    pair.number = 2
    with monkeypatch.context() as patch:
        injection.failing_kernel(patch, 1, times=-1, calls_before=1)
        with pytest.raises(OSError, match="gave up"):
            pair.step()
    assert pair.outcome() == "old"


def test_no_memory_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a step that has to bind anew, grow its tables and make state: nothing of it is kept, and the next is right."""
    pair = parts()
    key = pair.settled
    for call in range(1, 400):
        for named, optimizer in pair.sides():
            optimizer.param_groups[0][key] = 0.5
            for _, param in named[::2]:
                param.data = param.data.clone()
        shelf.gradients(pair.named, pair.number)
        old = {param: dict(pair.optimizer.state[param]) for _, param in pair.named}
        with monkeypatch.context() as patch:
            asked = injection.no_memory(patch, call)
            with contextlib.suppress(MemoryError):
                pair.optimizer.step()
                break
        now = {param: dict(pair.optimizer.state[param]) for _, param in pair.named}
        assert all(now[param][name] is value for param in old for name, value in old[param].items())
        gained = [len(now[param]) - len(old[param]) for _, param in pair.named[:2]]
        assert gained[0] == gained[1], "state is made for all or for none"
        found, twin = (shelf.everything(*each) for each in pair.sides())
        assert shelf.difference({name: found[name] for name in twin}, twin) == []
    assert 20 < asked[0] < call <= asked[0] + 1
    assert pair.outcome() == "new"


@pytest.mark.parametrize("act", ["load", "add"])
def test_no_memory_beside_a_step(act: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading a state or adding a group happens whole or not at all."""
    pair = Pair(spread.SPREAD[0])
    saved = pair.twin.state_dict()
    shelf.train(pair.optimizer, pair.named, [7])
    before = shelf.everything(pair.named, pair.optimizer)
    extra = torch.nn.Parameter(torch.ones(3, 2))
    for call in range(1, 400):
        with monkeypatch.context() as patch:
            asked = injection.no_memory(patch, call)
            with contextlib.suppress(MemoryError):
                if act == "load":
                    pair.optimizer.load_state_dict(saved)
                else:
                    pair.optimizer.add_param_group({"params": [("extra", extra)]})
                break
        assert shelf.difference(shelf.everything(pair.named, pair.optimizer), before) == []
        assert len(pair.optimizer.param_groups) == 1
        assert extra not in pair.optimizer.state
        pair.optimizer.state_dict()
    assert 10 < asked[0] < call <= asked[0] + 1


def test_a_closure_that_raises() -> None:
    pair = Pair(spread.SPREAD[0])

    def closure() -> float:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        pair.optimizer.step(closure)
    shelf.gradients(pair.named, 2)
    assert pair.outcome() == "old"


def test_a_compile_that_fails_while_binding(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hyper crosses its condition, and the kernels for the other side cannot be had."""
    pair = parts()
    key = pair.settled
    kept = pair.optimizer.param_groups[1][key]
    pair.optimizer.param_groups[1][key] = 0.0
    shelf.gradients(pair.named, 2)

    def find(*_: object) -> None:
        raise BackendError("no compiler today")

    with monkeypatch.context() as patch:
        patch.setattr(modules, "find", find)
        for _ in range(2):
            with pytest.raises(BackendError, match="today"):
                pair.optimizer.step()
    pair.optimizer.param_groups[1][key] = kept
    assert pair.outcome() == "old"


def test_interrupts_while_the_first_is_dealt_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has cut is finished all the same, and the first one raised."""
    pair, store, pressed = Pair(spread.SPREAD[0]), tables.Tables.store, [0]

    def interrupted(self: tables.Tables, threads: int | None = None) -> None:
        store(self, threads)
        pressed[0] += 1
        if pressed[0] <= 3:
            raise KeyboardInterrupt(pressed[0])

    with monkeypatch.context() as patch:
        patch.setattr(tables.Tables, "store", interrupted)
        with pytest.raises(KeyboardInterrupt, match="1"):
            pair.step()
    assert pressed == [4]
    assert pair.outcome() == "new"


@pytest.mark.parametrize("threads", [1, 2])
def test_interrupts_from_outside(threads: int) -> None:
    """Ctrl-C at any moment, many times, in steps long enough to be hit: every step counted is a whole one."""
    cls = next(spread.having("totals over more than a tensor"))
    sizes = {"h.0.weight": (700, 1000), "h.1.weight": (700, 1000)}
    ours, theirs = (
        [(name, torch.nn.Parameter(torch.full(shape, 0.5))) for name, shape in sizes.items()] for _ in range(2)
    )
    optimizer, twin = shelf.make(cls, ours), shelf.make(cls, theirs)
    for named in (ours, theirs):
        shelf.gradients(named, 0)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    stop, caught = threading.Event(), 0

    def press() -> None:
        while not stop.wait(0.003):
            os.kill(os.getpid(), signal.SIGINT)

    presser = threading.Thread(target=press)
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        presser.start()
        ended = time.monotonic() + 2
        while time.monotonic() < ended or caught == 0:
            try:
                optimizer.step()
            except KeyboardInterrupt:
                caught += 1
    except KeyboardInterrupt:
        caught += 1
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        stop.set()
        presser.join()
        signal.signal(signal.SIGINT, handler)
        torch.set_num_threads(before)
    assert caught > 0  # how many depends on the machine
    for _ in range(optimizer.global_step):
        twin.step()
    assert shelf.difference(shelf.everything(ours, optimizer), shelf.everything(theirs, twin)) == []
