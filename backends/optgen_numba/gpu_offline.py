"""Compiling generated kernels for a GPU that need not be here, to PTX."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

from optgen.backend.source_text import imported
from optgen.errors import BackendError, suggest

#: Compute capabilities by the names of targets.
TARGETS: Mapping[str, tuple[int, int]] = {"sm_80": (8, 0), "sm_90": (9, 0), "sm_100": (10, 0)}
_EXTRA = 'pip install "optgen[numba-cuda]"'


def compile_kernels(source: str, target: str, *, only: str = "") -> dict[str, str]:
    """The PTX of the kernels of a generated module whose names begin with `only`, for a target of `TARGETS`.

    BackendError where numba-cuda or NVIDIA's compiler libraries are missing, where numba simulates a GPU in this
    process, or for an unknown target.
    """
    if target not in TARGETS:
        raise BackendError(f'there is no target "{target}"; there are {", ".join(TARGETS)}. {suggest(target, TARGETS)}')
    if os.environ.get("NUMBA_ENABLE_CUDASIM", "0") != "0":
        raise BackendError("NUMBA_ENABLE_CUDASIM is set, under which numba compiles nothing: unset it")
    if importlib.util.find_spec("numba_cuda") is None:
        raise BackendError(f"compiling for a GPU needs the package numba-cuda: {_EXTRA}")
    with _processor(TARGETS[target]):
        kernels = cast("Mapping[str, Any]", imported(source).FUNCTIONS)
        chosen = {name: kernel for name, kernel in kernels.items() if name.startswith(only)}
        return {name: _ptx(kernel, TARGETS[target]) for name, kernel in chosen.items()}


def _ptx(kernel: Any, capability: tuple[int, int]) -> str:
    """One kernel."""
    from numba.core import types
    from numba.cuda import compiler as numba_compiler

    words = kernel.py_func.__code__.co_argcount
    made: Any = numba_compiler
    compiler = cast("Callable[..., tuple[str, object]]", made.compile_ptx)
    signature = types.void(*[types.int64] * words)  # pyright: ignore[reportUnknownMemberType]
    try:
        return compiler(kernel.py_func, signature, cc=capability)[0]
    except Exception as error:
        if "lib" in str(error) and type(error).__name__ in ("DynamicLibNotFoundError", "NvvmSupportError", "OSError"):
            missing = str(error).strip().splitlines()[0]
            raise BackendError(
                f"NVIDIA's compiler libraries nvvm and nvrtc are missing ({missing}): "
                'pip install "numba-cuda[cu13]", or nvidia-nvvm and nvidia-cuda-nvrtc alone'
            ) from error
        raise


@contextmanager
def _processor(capability: tuple[int, int]) -> Generator[None]:
    """Numba asks the GPU at hand what device functions are compiled for, and may have none."""
    from numba.cuda import dispatcher

    asked: Any = dispatcher
    before = asked.get_current_device
    asked.get_current_device = lambda: SimpleNamespace(compute_capability=capability)
    try:
        yield
    finally:
        asked.get_current_device = before
