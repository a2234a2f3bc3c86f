"""Checkpoints that are whole: a file is replaced by a finished one or stays as it was, whatever happens meanwhile."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeAlias, cast, runtime_checkable

import torch
from torch import Tensor
from torch.nn import Parameter

from optgen.errors import StateError, UsageError
from optgen.runtime.atomic_file import replacing
from optgen.runtime.torch_optimizer import Optimizer
from optgen.runtime.torch_slots import WatchedSlots

PathLike: TypeAlias = str | os.PathLike[str]

#: What a file may hold so that it is read without running code from it.
_PLAIN = {Tensor, Parameter, bool, int, float, complex, str, bytes, type(None), torch.Size, torch.dtype, torch.device}
_LISTS = {list, tuple, set}
_TABLES = {dict, OrderedDict, WatchedSlots}


@runtime_checkable
class Stateful(Protocol):
    """A module, an optimizer, a scheduler, a scaler."""

    def state_dict(self) -> Mapping[str, Any]:
        """Everything it needs to go on."""
        ...

    def load_state_dict(self, state_dict: Any, /) -> object:
        """Goes on from there."""
        ...


def save_checkpoint(path: PathLike, /, *, keep: int = 0, **objects: object) -> None:
    """Writes named objects to a file, `save_checkpoint("run.pt", model=model, optimizer=optimizer, epoch=3)`.

    What has a `state_dict` is saved by it, anything else as it is; `torch.load(path, weights_only=True)` reads the
    file. Until the new file is complete and on the disk the old one stays, and then it is replaced in one go; with
    `keep`, so many old ones stay as `run.pt.1` (the latest), `run.pt.2`, ... A process killed while it writes leaves a
    file `.run.pt.*.tmp` beside, which nothing reads.

    UsageError for a value that such a file cannot hold, PartialStepError for an optimizer that is of two steps, OSError
    if the file cannot be written: always with the old file as it was.
    """
    if isinstance(keep, bool) or not isinstance(keep, int) or keep < 0:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UsageError(f"keep= is how many older checkpoints stay beside the new one, 0 or more, not {keep!r}")
    content = {name: dict(x.state_dict()) if isinstance(x, Stateful) else x for name, x in objects.items()}
    for name, value in content.items():
        _check_plain(value, name)
    target = Path(os.path.realpath(path))
    with replacing(target, keep) as file:
        _write(content, file)


def load_checkpoint(path: PathLike, /, **objects: Stateful) -> dict[str, Any]:
    """Reads what `save_checkpoint` wrote into the objects of the same names, and returns everything else in the file.

    Nothing in the file is run. StateError, before any object is changed, if the file is no checkpoint or lacks an
    object, or if what it holds does not fit a module or an optimizer of ours.
    """
    content = _read(path)
    missing = [name for name in objects if name not in content]
    if missing:
        raise StateError(f"{path} holds {', '.join(content) or 'nothing'}, and not {', '.join(missing)}")
    for name, target in objects.items():
        if isinstance(target, torch.nn.Module):
            _check_module(target, content[name], f"{name} in {path}")
    # optimizers of ours take a state whole or not at all, and modules were checked
    for name, target in sorted(objects.items(), key=lambda item: not isinstance(item[1], Optimizer)):
        target.load_state_dict(content[name])
    return {name: value for name, value in content.items() if name not in objects}


def _check_plain(value: object, where: str) -> None:
    """UsageError for the first value that is not data."""
    if type(value) in _TABLES:
        for key, entry in cast(Mapping[object, object], value).items():
            _check_plain(key, f"a key of {where}")
            _check_plain(entry, f"{where}[{key!r}]")
    elif type(value) in _LISTS:
        for index, entry in enumerate(cast(Iterable[object], value)):
            _check_plain(entry, f"{where}[{index}]")
    elif type(value) not in _PLAIN:
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        raise UsageError(
            f"{where} is a {kind}, which a file that is read without running code cannot hold: save numbers, words, "
            "tensors, and lists and dicts of them"
        )


def _check_module(module: torch.nn.Module, saved: object, where: str) -> None:
    if not isinstance(saved, Mapping):
        raise StateError(f"{where} is a {type(saved).__name__}, not a state dict")
    given = cast(Mapping[str, object], saved)
    own: Mapping[str, object] = module.state_dict()
    for name in own.keys() ^ given.keys():
        holder = "the module lacks" if name in given else "the checkpoint lacks"
        raise StateError(f"{where} does not fit: {holder} {name}")
    for name, value in own.items():
        other = given[name]
        if isinstance(value, Tensor) and (not isinstance(other, Tensor) or other.shape != value.shape):
            shown = f"of shape {tuple(other.shape)}" if isinstance(other, Tensor) else f"a {type(other).__name__}"
            raise StateError(f"{where} does not fit: {name} is {shown} there, of shape {tuple(value.shape)} here")


def _read(path: PathLike) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            content = _loaded(file, path)
    except FileNotFoundError as error:
        raise StateError(f"there is no checkpoint {path}") from error
    if not isinstance(content, dict):
        raise StateError(f"{path} holds a {type(content).__name__}, not what save_checkpoint writes")
    return cast(dict[str, Any], content)


def _loaded(file: BinaryIO, path: PathLike) -> object:
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever its readers do
        raise StateError(f"{path} is not a checkpoint, or not a whole one ({error})") from error


def _write(content: Mapping[str, object], file: BinaryIO) -> None:
    try:
        torch.save(content, file)
    except RuntimeError as error:
        if error.__context__ is None:
            raise
        raise error.__context__ from None  # torch's archive hides what the disk said, or Ctrl-C


__all__ = ["Stateful", "load_checkpoint", "save_checkpoint"]
