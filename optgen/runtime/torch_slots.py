"""State of one parameter as a dict that remembers being changed, so that a step does not have to look through it."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

from torch import Tensor


class Flag:
    """Raised when any of the dicts that share it is changed."""

    __slots__ = ("up",)

    def __init__(self) -> None:
        self.up = False


class WatchedSlots(dict[str, Any]):
    """A parameter's state by name. Copies and pickles as a plain dict."""

    __slots__ = ("flag",)

    def __init__(self, entries: Mapping[str, Any], flag: Flag) -> None:
        super().__init__(entries)
        self.flag = flag

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, (dict(self),)

    def __setitem__(self, name: str, value: Any) -> None:
        self.flag.up = True
        super().__setitem__(name, value)

    def __delitem__(self, name: str) -> None:
        self.flag.up = True
        super().__delitem__(name)

    def __ior__(self, other: Any) -> WatchedSlots:  # type: ignore[override, misc]
        self.update(other)
        return self

    def clear(self) -> None:
        self.flag.up = True
        super().clear()

    def pop(self, *arguments: Any) -> Any:
        self.flag.up = True
        return super().pop(*arguments)

    def popitem(self) -> tuple[str, Any]:
        self.flag.up = True
        return super().popitem()

    def setdefault(self, name: str, default: Any = None) -> Any:  # type: ignore[override]
        self.flag.up = True
        return super().setdefault(name, default)

    def update(self, *entries: Any, **named: Any) -> None:
        self.flag.up = True
        super().update(*entries, **named)


def watched(state: MutableMapping[Tensor, dict[str, Any]], param: Tensor, flag: Flag) -> WatchedSlots:
    """The parameter's state, from now on raising this flag."""
    slots = state[param]
    if not isinstance(slots, WatchedSlots):
        slots = WatchedSlots(slots, flag)
        state[param] = slots
    slots.flag = flag
    return slots


class Counters:
    """Counts of updates in tensors, to see whether anyone but a kernel has written there."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._tensors = list(tensors)
        self._versions = [tensor._version for tensor in self._tensors]

    def changed(self) -> bool:
        """Whether any was written since this was asked last."""
        before, self._versions = self._versions, [tensor._version for tensor in self._tensors]
        return before != self._versions


def signature(params: Sequence[Tensor]) -> tuple[list[Any], list[Any], list[Any], list[Any]]:
    """What a binding depends on beyond addresses: shapes, strides, devices, dtypes."""
    return (
        [param.shape for param in params],
        [param.stride() for param in params],
        [param.device for param in params],
        [param.dtype for param in params],
    )
