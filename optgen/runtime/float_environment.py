"""The floating-point environment of a thread: XLA has its own take subnormal numbers for zeros."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cache
from typing import TypeAlias

#: More than any system's `fenv_t` takes.
_ENVIRONMENT = ctypes.c_uint64 * 16
_Set: TypeAlias = Callable[[object], int]


@contextmanager
def ieee() -> Generator[None]:
    """Within it, this thread rounds to nearest and keeps subnormal numbers; threads started within inherit that.

    Where the C library has no `fesetenv`, nothing is changed.
    """
    library = _library()
    if library is None:
        yield
        return
    get, put, default = library
    held = _ENVIRONMENT()
    get(ctypes.byref(held))
    put(default)
    try:
        yield
    finally:
        put(ctypes.byref(held))


@cache
def _library() -> tuple[_Set, _Set, object] | None:
    """`fegetenv`, `fesetenv` and `FE_DFL_ENV` of <fenv.h>."""
    try:
        library = ctypes.CDLL(None)
        get, put = library.fegetenv, library.fesetenv
        if sys.platform == "darwin":
            return get, put, ctypes.byref(_ENVIRONMENT.in_dll(library, "_FE_DFL_ENV"))
    except (AttributeError, OSError, TypeError, ValueError):
        return None
    return get, put, ctypes.c_void_p(-1)
