"""A checkpoint file is the old one or the new one, whole, whatever happens while it is written."""

from __future__ import annotations

import builtins
import contextlib
import os
import resource
import signal
from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from optgen.errors import PartialStepError, StateError, UsageError
from optgen.runtime import atomic_file, torch_checkpoint
from optgen.torch import load_checkpoint, save_checkpoint
from tests.faults import injection
from tests.guarantees import shelf, spread

CLS = spread.SPREAD[0]


def make(seed: int) -> tuple[torch.nn.Module, Any]:
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(30, 40), torch.nn.BatchNorm1d(40), torch.nn.Linear(40, 3))
    optimizer = shelf.make(CLS, list(model.named_parameters()))
    model(torch.randn(5, 30)).square().sum().backward()
    optimizer.step(**shelf.inputs(CLS.RULE))
    return model, optimizer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that holds epoch 1."""
    model, optimizer = make(1)
    save_checkpoint(tmp_path / "run.pt", model=model, optimizer=optimizer, epoch=1)
    return tmp_path / "run.pt"


@cache
def wanted(number: int) -> dict[str, torch.Tensor]:
    return dict(make(number)[0].state_dict())


def epoch(path: Path) -> int:
    """Which epoch a file holds, having looked at all of it."""
    content = torch.load(path, weights_only=True)
    for name, value in wanted(content["epoch"]).items():
        assert torch.equal(content["model"][name], value), name
    assert len(content["optimizer"]["state"]) == 6
    return content["epoch"]


def save(path: Path, number: int = 2, **options: Any) -> None:
    model, optimizer = make(number)
    save_checkpoint(path, model=model, optimizer=optimizer, epoch=number, **options)


def alone(path: Path) -> bool:
    """Whether nothing lies beside a file."""
    return [file.name for file in path.parent.iterdir()] == [path.name]


def test_training_goes_on_where_it_was(path: Path) -> None:
    (model, optimizer), (other, second) = make(1), make(5)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 9)
    optimizer.step(**shelf.inputs(CLS.RULE))
    scheduler.step()
    kept = {"rates": [0.1, None], "rng": torch.get_rng_state(), "names": ("a", b"b")}
    save_checkpoint(path, model=model, optimizer=optimizer, scheduler=scheduler, kept=kept)
    resumed = torch.optim.lr_scheduler.CosineAnnealingLR(second, 9)
    rest = load_checkpoint(path, model=other, optimizer=second, scheduler=resumed)
    assert list(rest) == ["kept"]
    assert rest["kept"]["names"] == ("a", b"b")
    assert torch.load(path, weights_only=True)["scheduler"] == scheduler.state_dict() == resumed.state_dict()
    for _ in range(2):
        for net, opt in ((model, optimizer), (other, second)):
            opt.zero_grad()
            net(torch.ones(5, 30)).square().sum().backward()
            opt.step(**shelf.inputs(CLS.RULE))
    sides = [(list(net.named_parameters()), opt) for net, opt in ((model, optimizer), (other, second))]
    assert shelf.difference(*(shelf.everything(*side) for side in sides)) == []


def test_an_exception_anywhere(path: Path) -> None:
    (model, optimizer), (old, first) = make(2), make(1)
    files = (torch_checkpoint.__file__, atomic_file.__file__)
    with injection.after(0, None, files) as count:
        save_checkpoint(path, model=model, optimizer=optimizer, epoch=2)
    found: list[int] = []
    for point in range(1, count[0], 1 + count[0] // 150):
        save_checkpoint(path, model=old, optimizer=first, epoch=1)
        with injection.after(point, KeyboardInterrupt(), files), pytest.raises(KeyboardInterrupt):
            save_checkpoint(path, model=model, optimizer=optimizer, epoch=2)
        found.append(epoch(path))
        assert alone(path)
    assert found == sorted(found)
    assert {*found} == {1, 2}


@pytest.mark.parametrize("room", [0, 500, 5000])
def test_a_full_disk(path: Path, room: int) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert epoch(path) == 1
    assert alone(path)


@pytest.mark.parametrize("name", ["fsync", "replace", "link"])
def test_a_disk_that_fails(path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, name, failing)
        with contextlib.nullcontext() if name == "link" else pytest.raises(OSError, match="Input/output"):
            save(path, keep=1)
    assert epoch(path) == (2 if name == "link" else 1)
    assert not list(path.parent.glob(".*"))
    if name == "link":  # a file system without links: the older one is a copy
        assert epoch(path.with_name("run.pt.1")) == 1


def killed(act: Callable[[], None]) -> None:
    """Runs something in a child that is killed while it runs."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            act()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)


@pytest.mark.parametrize("keep", [0, 2])
@pytest.mark.parametrize(("name", "call"), [("write", 3), ("fsync", 1), ("replace", 1), ("fsync", 2)])
def test_a_process_that_is_killed(path: Path, name: str, call: int, keep: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it writes, before the disk has it all, before the name moves, and after: with older ones and without."""
    left = [call]
    model, optimizer = make(2)

    def kill(whole: Callable[..., Any]) -> Callable[..., Any]:
        def act(*args: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return whole(*args)

        return act

    class File:
        def __init__(self, whole: Any) -> None:
            self.whole, self.flush, self.fileno = whole, whole.flush, whole.fileno
            self.write = kill(whole.write)

        def __enter__(self) -> File:
            return self

        def __exit__(self, *_: object) -> None:
            self.whole.close()

    if name == "write":
        opened = builtins.open
        monkeypatch.setattr(atomic_file, "open", lambda *args: File(opened(*args)), raising=False)
    else:
        monkeypatch.setattr(os, name, kill(getattr(os, name)))
    killed(lambda: save_checkpoint(path, model=model, optimizer=optimizer, epoch=2, keep=keep))
    monkeypatch.undo()
    assert epoch(path) == (2 if call == 2 else 1)
    save(path, 3)
    assert epoch(path) == 3


def test_older_ones_stay_as_asked(tmp_path: Path) -> None:
    for number in range(1, 6):
        save(tmp_path / "run.pt", number, keep=2)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["run.pt", "run.pt.1", "run.pt.2"]
    assert [epoch(tmp_path / name) for name in ("run.pt", "run.pt.1", "run.pt.2")] == [5, 4, 3]


def test_a_link_stays_one(path: Path) -> None:
    link = path.with_name("latest.pt")
    link.symlink_to(path)
    save(link)
    assert link.is_symlink()
    assert epoch(path) == 2


class Odd:
    """Nothing that a file of data can hold."""


@pytest.mark.parametrize(
    ("value", "where"),
    [
        (Odd(), "odd is a "),
        ([1, {"a": (Odd(),)}], r"odd\[1\]\['a'\]\[0\] is a "),
        ({Odd(): 1}, "a key of odd is a "),
        (len, "builtins.builtin_function_or_method"),
        (OrderedDict(a=torch.zeros(2).numpy()), "numpy.ndarray"),
    ],
)
def test_what_cannot_be_saved_is_refused_before_anything_is_touched(path: Path, value: object, where: str) -> None:
    with pytest.raises(UsageError, match=where):
        save_checkpoint(path, odd=value)
    assert epoch(path) == 1
    assert alone(path)


def test_an_optimizer_of_two_steps_is_not_saved(path: Path) -> None:
    model, optimizer = make(2)
    optimizer._cut = "cut"
    with pytest.raises(PartialStepError):
        save_checkpoint(path, model=model, optimizer=optimizer)
    assert epoch(path) == 1


@pytest.mark.parametrize("keep", [-1, True, 1.5])
def test_keep_is_a_count(path: Path, keep: Any) -> None:
    with pytest.raises(UsageError, match="keep="):
        save_checkpoint(path, keep=keep)


def test_what_does_not_fit_changes_nothing(path: Path) -> None:
    model, optimizer = make(3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    other = torch.nn.Sequential(torch.nn.Linear(30, 41), torch.nn.BatchNorm1d(41), torch.nn.Linear(41, 3))
    content = path.read_bytes()
    (half := path.with_name("half.pt")).write_bytes(content[: len(content) // 2])
    (text := path.with_name("text.pt")).write_text("no checkpoint")
    torch.save([1], strange := path.with_name("strange.pt"))
    cases: list[tuple[Path, dict[str, Any], str]] = [
        (path, {"optimizer": optimizer, "scaler": optimizer}, "and not scaler"),
        (path, {"optimizer": optimizer, "model": other}, "does not fit: 0.weight is of shape"),
        (path, {"optimizer": optimizer, "model": torch.nn.Linear(2, 2)}, "lacks"),
        (path, {"epoch": model}, "epoch in .* is a int"),
        (half, {"model": model}, "not a whole one"),
        (text, {"model": model}, "is not a checkpoint"),
        (strange, {"model": model}, "holds a list"),
        (path.with_name("none.pt"), {"model": model}, "there is no checkpoint"),
    ]
    steps = optimizer.global_step
    for file, objects, message in cases:
        with pytest.raises(StateError, match=message):
            load_checkpoint(file, **objects)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert optimizer.global_step == steps
