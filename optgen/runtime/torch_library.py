"""Library calls by torch, batched products and decompositions: on its tensors, or on memory that NumPy describes."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from optgen.runtime.library_calls import FUNCTIONS as IN_NUMPY
from optgen.runtime.library_calls import Matrices

#: Torch has no types for it.
_LINALG = importlib.import_module("torch.linalg")


class TorchLibrary:
    """What kernels of the CPU call. Products are of the operands' own dtype, whatever autocast says."""

    def call(self, function: str, x: Matrices, numbers: Sequence[float], out: Matrices) -> None:
        """A library function of matrices (n, rows, cols)."""
        with torch.no_grad():
            FUNCTIONS[function](_tensor(x), numbers, _tensor(out))

    def copy(self, x: NDArray[np.generic], out: Matrices) -> None:
        """x to where the result lies."""
        with torch.no_grad():
            _tensor(out).copy_(_tensor(x))


def newton_schulz(x: Tensor, numbers: Sequence[float], out: Tensor) -> None:
    """As `optgen.runtime.library_calls.newton_schulz`."""
    steps, a, b, c, eps = numbers
    if x.shape[1] > x.shape[2]:
        x, out = x.mT, out.mT
    norm: Tensor = _LINALG.vector_norm(x, dim=(1, 2), keepdim=True, dtype=torch.float64)
    first, count = torch.empty_like(x), int(steps)
    x = torch.div(x, norm.clamp_min(eps).to(x.dtype), out=first if count else out)
    spare = torch.empty_like(x)
    y, z = (x.new_empty(x.shape[0], x.shape[1], x.shape[1]) for _ in range(2))
    for step in range(count):
        torch.bmm(x, x.mT, out=y)
        if c:
            torch.baddbmm(y, y, y, beta=b, alpha=c, out=z)
        else:
            torch.mul(y, b, out=z)
        into = spare if step + 1 < count else out
        torch.baddbmm(x, z, x, beta=a, out=into)
        x, spare = into, x


def low_rank(x: Tensor, numbers: Sequence[float], out: Tensor) -> None:
    """As `optgen.runtime.library_calls.low_rank`."""
    rank = int(numbers[0])
    if rank >= min(x.shape[1:]):
        out.copy_(x)
        return
    finite = torch.isfinite(x).all(dim=2, keepdim=True).all(dim=1, keepdim=True)
    try:
        u, s, vh = _svd(torch.where(finite, x, 0.0))
    except _LINALG.LinAlgError:  # it did not converge for one: the others are to have theirs
        out.copy_(_tensor(IN_NUMPY["low_rank"](x.cpu().numpy(), numbers)))
        return
    torch.bmm(u.narrow(2, 0, rank) * s.narrow(1, 0, rank).unsqueeze(1), vh.narrow(1, 0, rank), out=out)
    out.masked_fill_(~finite, torch.nan)


def _svd(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return _LINALG.svd(x, full_matrices=False)


#: What torch calls, by names in the rule language; on a device they are queued on its current stream.
FUNCTIONS: Mapping[str, Callable[[Tensor, Sequence[float], Tensor], None]] = {
    "newton_schulz": newton_schulz,
    "low_rank": low_rank,
}
#: Those that wait for a device: torch looks at whether a decomposition has converged.
WAITING = frozenset({"low_rank"})


def _tensor(x: NDArray[np.generic]) -> Tensor:
    return torch.as_tensor(x)
