"""Optimizer steps counted on graphics processors, for steps that the host does not see run or be skipped."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from optgen.runtime import gpu_device


class StepCount:
    """Steps completed, a copy per device: 1 + that number in float64, where kernels read it.

    A CUDA graph repeats steps without the host, and a gradient scaler has them skipped on the device. `completed` is
    the count when this began.
    """

    def __init__(self, completed: int) -> None:
        self._began = completed
        self._next: dict[torch.device, torch.Tensor] = {}

    def on(self, device: torch.device) -> torch.Tensor:
        """The copy of a device: float64[1]."""
        if device not in self._next:
            made = torch.full((1,), self._began + 1.0, dtype=torch.float64, device=device)
            for known in list(self._next.values())[:1]:
                gpu_device.copy(made, known)
            self._next[device] = made
        return self._next[device]

    def advance(self, finite: Mapping[torch.device, torch.Tensor] | None) -> None:
        """Queues the counting of a step: where `finite`, one number per device, is not 0, or at all events."""
        for device, count in self._next.items():
            count.add_(1.0 if finite is None else finite[device])

    def completed(self) -> int:
        """Steps completed; waits for a device."""
        for count in self._next.values():
            return int(count.item()) - 1
        return self._began
