"""Memory that kernels on a graphics processor share with the host: tables that go over in one copy, and scratch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray

from optgen.runtime import gpu_device

_ALIGNED = 16  # words

T = TypeVar("T", bound=np.generic)


class Mirror:
    """Named tables in one block of host memory, and a copy of it on the device.

    Tables are added first; `place` then makes both blocks. The host writes its views in place, `upload` takes over what
    changed: one copy, queued on the current stream, that nobody waits for. A CUDA graph repeats the copies that it
    recorded, so their sources are kept.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._offsets: dict[str, int] = {}
        self._shapes: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {}
        self._words = 0
        self._host = np.zeros(0, dtype=np.int64)
        self._sent: NDArray[np.int64] | None = None
        self._spare: torch.Tensor | None = None
        self._captured: list[torch.Tensor] = []

    def add(self, name: str, shape: tuple[int, ...], dtype: type[np.generic]) -> None:
        """Room for a table."""
        self._offsets[name] = self._words
        self._shapes[name] = shape, dtype
        bytes_ = int(np.prod(shape)) * np.dtype(dtype).itemsize
        self._words += -(-bytes_ // (8 * _ALIGNED)) * _ALIGNED + _ALIGNED

    def place(self) -> None:
        """Makes the blocks, all zeros."""
        self._host = np.zeros(self._words, dtype=np.int64)
        self.block = torch.zeros(self._words, dtype=torch.int64, device=self.device)

    def view(self, name: str, dtype: type[T]) -> NDArray[T]:
        """The host's side of a table."""
        shape, _ = self._shapes[name]
        size = int(np.prod(shape))
        begin = self._offsets[name]
        return self._host[begin:].view(dtype)[:size].reshape(shape)

    def has(self, name: str) -> bool:
        """Whether there is a table of this name."""
        return name in self._offsets

    def address(self, name: str) -> int:
        """The device's side."""
        return self.block.data_ptr() + 8 * self._offsets[name]

    def on_device(self, name: str, dtype: torch.dtype) -> torch.Tensor:
        """The device's side as a tensor; float64 and int64 tables have one."""
        shape, _ = self._shapes[name]
        return self.block.narrow(0, self._offsets[name], int(np.prod(shape))).view(dtype).view(shape)

    def span(self, first: str, last: str) -> torch.Tensor:
        """The device's side of one table up to the end of another, as words."""
        begin = self._offsets[first]
        return self.block.narrow(0, begin, self._offsets[last] + int(np.prod(self._shapes[last][0])) - begin)

    def upload(self) -> bool:
        """Brings the device up to date; whether anything had changed."""
        if self._sent is not None and np.array_equal(self._sent, self._host):
            return False
        self._sent = self._host.copy()
        self._send(self._sent)
        return True

    def _send(self, words: NDArray[np.int64]) -> None:
        make = cast("Callable[[NDArray[np.int64]], torch.Tensor]", torch.from_numpy)  # pyright: ignore[reportUnknownMemberType]
        source = make(words)
        if self.device.type == "cuda":
            # torch keeps pinned memory until the copy is done. None can be had while a graph is recorded: one is spare
            capturing = gpu_device.capturing(self.device)
            spare = self._spare if self._spare is not None else gpu_device.pinned(self._words)
            pinned = spare if capturing else gpu_device.pinned(self._words)
            source = pinned.copy_(source)
            self._spare = None if capturing else spare
            if capturing:
                self._captured.append(source)
        gpu_device.copy(self.block, source)


def scratch(words: int, device: torch.device) -> torch.Tensor:
    """Memory of the device alone, all zeros."""
    return torch.zeros(max(words, 1), dtype=torch.int64, device=device)
