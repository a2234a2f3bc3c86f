"""Gradient scaling as torch's scaler asks it of an optimizer: it sets `grad_scale` and `found_inf` before a step.

The kernels divide by the scale as they read the gradient, so that gradients are read once and stay as they are; where
`found_inf` is not 0 nothing changes, counters included. On a GPU neither number is looked at by the host; only rules
that decide by counts of updates which library calls the host makes wait for `found_inf`, as torch's scaler would.
Kernels that divide are built when a scale is first met; where they cannot be had (a build folder without them, the
float64 interpreter) gradients are divided in place before the step, as torch's scaler does it by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from optgen.errors import UsageError
from optgen.runtime import torch_checks
from optgen.runtime.torch_resident import on_device


@dataclass(frozen=True)
class Scaling:
    """What a scaler has set on an optimizer; None is 1 for the scale, and nothing found."""

    grad_scale: Tensor | float | None
    found_inf: Tensor | float | None

    @property
    def skipped_here(self) -> bool:
        """Whether the host knows, without a wait, that the step is to be skipped."""
        return not on_device(self.found_inf) and bool(_number(self.found_inf, "found_inf", 0.0))

    @property
    def decided_on_device(self) -> bool:
        """Whether only a device knows whether the step is to be skipped."""
        return on_device(self.found_inf)

    def read(self) -> Scaling:
        """The same with a verdict that the host knows; waits for the device."""
        return Scaling(self.grad_scale, _number(self.found_inf, "found_inf", 0.0))

    def finite(self, devices: Iterable[torch.device]) -> dict[torch.device, Tensor] | None:
        """Per device one number, 0 where the step is to be skipped; None: it is not."""
        if not self.decided_on_device:
            return None
        found = cast(Tensor, self.found_inf).detach().view(())
        return {device: _brought(found, device) == 0 for device in devices}

    def unscale(self, grads: Iterable[Tensor | None]) -> None:
        """Divides gradients in place."""
        if self.grad_scale is None:
            return
        scale = self.grad_scale
        with torch.no_grad():
            for grad in grads:
                if grad is not None:
                    grad.div_(_brought(scale, grad.device) if isinstance(scale, Tensor) else scale)


def scaling_of(optimizer: object) -> Scaling | None:
    """What a scaler has set; None where there is none. UsageError for what is no number."""
    scale, found = getattr(optimizer, "grad_scale", None), getattr(optimizer, "found_inf", None)
    if scale is None and found is None:
        return None
    for name, value in (("grad_scale", scale), ("found_inf", found)):
        if value is not None and not (isinstance(value, int | float) or _one(value)):
            raise UsageError(f"{name} must be a number or a tensor of one element, as torch.amp.GradScaler sets it")
    return Scaling(scale, found)


def _brought(number: Tensor, device: torch.device) -> Tensor:
    """A number on a device, without a wait."""
    return number if number.device == device else number.to(device, non_blocking=True)


def _one(value: object) -> bool:
    return isinstance(value, Tensor) and value.numel() == 1 and value.is_floating_point()


def _number(value: object, name: str, default: float) -> float:
    return default if value is None else float(cast(float, torch_checks.scalar(value, name)))
