"""Rules on arrays that are no framework's: anything with ``__cuda_array_interface__``, such as CuPy's or numba's.

    from optgen.arrays import Stepper
    step = Stepper("my_rule.yaml", {"w": w, "b": b}, lr=1e-3)      # arrays on a GPU, changed in place
    step({"w": dw, "b": db}, stream=stream)

Kernels are numba-cuda's. They work on the arrays' own memory and are queued on the stream that is given, and nobody
waits for them. torch keeps the optimizer's tables and its state, and is needed; it sees the arrays without a copy.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Required, TypedDict, cast

import numpy as np

from optgen.api import compile as compile_rule
from optgen.errors import UsageError

if TYPE_CHECKING:
    from optgen.runtime.torch_optimizer import Optimizer
    from optgen.spec.model import Spec
    from torch import Tensor

#: Words of 16 bits, of which NumPy has no bfloat16: arrays of these are taken for it.
_BFLOAT16 = ("u2", "V2")
_FLOATS = ("f2", "f4", "f8")


class _Interface(TypedDict, total=False):
    """Version 2 or 3 of the CUDA array interface."""

    shape: Required[tuple[int, ...]]
    typestr: Required[str]
    data: Required[tuple[int, bool]]
    strides: tuple[int, ...] | None


class Stepper:
    """An optimizer over arrays by their names, which say how they form layers (`block.0.weight`).

    rule: of the rule shipped, or the path of one; arrays: parameters, of float16, float32, float64, or words of 16 bits
    for bfloat16, of any strides; arguments: those of the rule's torch class. UsageError for what is no array of a GPU,
    BackendError where there is none.
    """

    def __init__(
        self,
        rule: Spec | str | os.PathLike[str],
        arrays: Mapping[str, object],
        *,
        backend: str = "numba-cuda",
        **arguments: object,
    ) -> None:
        from torch.nn import Parameter

        self.params = {name: Parameter(_tensor(array, name, writable=True)) for name, array in arrays.items()}
        made = cast("Callable[..., Optimizer]", compile_rule(rule, backend=backend))
        self.optimizer = made(list(self.params.items()), backend=backend, **arguments)

    def __call__(self, gradients: Mapping[str, object | None], *, stream: object = None, **inputs: object) -> None:
        """One step. gradients: arrays by the names of parameters, of their shapes; missing or None: no gradient.

        stream: its handle, or a CuPy or numba stream; without one torch's current stream. inputs: what the rule asks
        for besides, such as `loss`. UsageError for a name that no parameter has.
        """
        for name in gradients:
            if name not in self.params:
                raise UsageError(f'there is no parameter "{name}"; there are {", ".join(self.params)}')
        for name, param in self.params.items():
            given = gradients.get(name)
            param.grad = None if given is None else _tensor(given, f"the gradient of {name}", writable=False)
        with _on(stream):
            self.optimizer.step(None, **inputs)

    def state(self, name: str) -> Mapping[str, Tensor]:
        """The state of a parameter by the rule's names; tensors on a GPU have the interface, too."""
        return cast("Mapping[str, Tensor]", self.optimizer.state[self.params[name]])


def _tensor(array: object, name: str, *, writable: bool) -> Tensor:
    """A tensor over an array's memory. UsageError for what is no array of floats on a GPU."""
    import torch

    found = cast("_Interface | None", getattr(array, "__cuda_array_interface__", None))
    if found is None:
        raise UsageError(
            f"{name} is a {type(array).__name__} without __cuda_array_interface__: pass an array of a GPU, as CuPy has"
        )
    kind = found["typestr"].lstrip("<|=")
    if kind not in (*_FLOATS, *_BFLOAT16):
        raise UsageError(
            f"{name} has the type {found['typestr']}; there are float16, float32, float64, and uint16 words"
        )
    if writable and found["data"][1]:
        raise UsageError(f"{name} is read-only: a parameter is changed in place")
    words = dict(found) | ({"typestr": "<i2"} if kind in _BFLOAT16 else {})
    if os.environ.get("NUMBA_ENABLE_CUDASIM") == "1":  # the simulator's memory is the host's
        made = torch.from_numpy(_on_host(cast(_Interface, words)))  # pyright: ignore[reportUnknownMemberType]
    else:
        made = torch.as_tensor(_Described(words), device="cuda")
    return made.view(torch.bfloat16) if kind in _BFLOAT16 else made


class _Described:
    """An array that is nothing but its description."""

    def __init__(self, words: Mapping[str, object]) -> None:
        self.__cuda_array_interface__ = dict(words)


def _on_host(found: _Interface) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    shape, kind = found["shape"], np.dtype(found["typestr"])
    strides = found.get("strides") or tuple(
        kind.itemsize * int(np.prod(shape[axis + 1 :])) for axis in range(len(shape))
    )
    if 0 in shape:
        return np.zeros(shape, kind)
    reach = kind.itemsize + sum((size - 1) * step for size, step in zip(shape, strides, strict=True))
    memory = (ctypes.c_char * reach).from_address(found["data"][0])
    return np.ndarray(shape, kind, memoryview(memory), strides=strides)


def _on(stream: object) -> AbstractContextManager[object]:
    """Makes a stream torch's current one."""
    import torch

    if stream is None or not torch.cuda.is_available():
        return nullcontext()
    pointer: Any = getattr(stream, "ptr", getattr(stream, "handle", stream))  # CuPy's, numba's, a number
    handle = int(getattr(pointer, "value", pointer) or 0)
    external: Any = torch.cuda.ExternalStream
    return cast("AbstractContextManager[object]", torch.cuda.stream(external(handle)))
