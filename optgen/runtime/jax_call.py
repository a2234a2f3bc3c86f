"""The one call that XLA makes for all tensors of a step: XLA's foreign function interface, on the CPU.

XLA hands over a frame (`xla/ffi/api/c_api.h`, interface version 0) with the addresses of buffers, on a thread of its
own choosing; a callable that was registered under the number in the frame does the work. What it raises becomes an
error of XLA's: no exception crosses C++.
"""

from __future__ import annotations

import ctypes
import threading
import weakref
from collections.abc import Callable
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from optgen.errors import BackendError
from optgen.runtime.float_environment import ieee

Words = NDArray[np.int64]

#: Name under which XLA knows the function.
TARGET = "optgen_step"
#: Name of the attribute with the number of a callable.
NUMBER = "number"
#: Version of the interface that the offsets below are those of; another minor version only adds at the end.
MAJOR = 0

# words of XLA_FFI_CallFrame
_EXTENSION, _API, _ARG_COUNT, _ARGS, _RET_COUNT, _RETS, _ATTRS, _FRAME_WORDS = 1, 2, 7, 9, 12, 14, 20, 21
# words of XLA_FFI_Metadata_Extension, XLA_FFI_Metadata, XLA_FFI_Api and XLA_FFI_Buffer
_EXTENSION_TYPE, _METADATA, _METADATA_VERSION, _API_VERSION, _ERROR_CREATE, _DATA = 1, 3, 3, 4, 6, 3
_METADATA_EXTENSION = 1
_INTERNAL = 13  # XLA_FFI_Error_Code_INTERNAL
_WORD = 8


class Work(Protocol):
    """What a call does."""

    def run(self, arguments: Words, results: Words) -> None:
        """Works on buffers at these addresses; results that share memory with arguments have equal ones."""
        ...


class _ErrorArgs(ctypes.Structure):
    _fields_ = (
        ("struct_size", ctypes.c_size_t),
        ("extension", ctypes.c_void_p),
        ("message", ctypes.c_char_p),
        ("code", ctypes.c_int),
    )


_Handler = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
_ErrorCreate = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.POINTER(_ErrorArgs))
_works: weakref.WeakValueDictionary[int, Work] = weakref.WeakValueDictionary()
_lock = threading.Lock()
_registered: list[object] = []


def register(number: int, work: Work) -> None:
    """Has calls with this number do this work, for as long as the work lives. The target is made known to XLA once."""
    with _lock:
        if not _registered:
            _registered.append(_make_known())
        _works[number] = work


def _make_known() -> object:
    import jax

    if ctypes.sizeof(ctypes.c_void_p) != _WORD:
        raise BackendError("XLA's frames are read on 64-bit machines only")
    handler = _Handler(_handle)
    address = ctypes.cast(handler, ctypes.c_void_p)
    capsule = ctypes.pythonapi.PyCapsule_New
    capsule.restype, capsule.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
    jax.ffi.register_ffi_target(TARGET, capsule(address, None, None), platform="cpu", api_version=1)
    return handler


def _handle(frame: int) -> int | None:
    words = _at(frame, _FRAME_WORDS)
    try:
        if words[_EXTENSION] and _is_question(int(words[_EXTENSION])):
            return _answer(words)
        attribute = int(_at(int(words[_ATTRS]), 1)[0])  # the only one: XLA_FFI_Scalar, its type and its address
        number = int(_at(int(_at(attribute, 2)[1]), 1)[0])
        work = _works.get(number)
        if work is None:
            raise RuntimeError("the kernels of this compiled step are gone: compile it anew in this process")
        with ieee():  # as kernels compute elsewhere
            work.run(_addresses(words, _ARG_COUNT, _ARGS), _addresses(words, _RET_COUNT, _RETS))
    except BaseException as error:  # noqa: BLE001  # C++ is above
        return _error(words, error)
    return None


def _at(address: int, count: int) -> Words:
    """Words of memory."""
    memory = (ctypes.c_int64 * count).from_address(address)
    return cast(Words, np.ctypeslib.as_array(memory))


def _is_question(extension: int) -> bool:
    return int(_at(extension, 2)[_EXTENSION_TYPE]) & 0xFFFFFFFF == _METADATA_EXTENSION


def _answer(words: Words) -> None:
    """Says that this handler speaks the interface that asks, if its frames are those read here."""
    asks = int(_at(int(words[_API]), _API_VERSION + 1)[_API_VERSION])
    if asks & 0xFFFFFFFF != MAJOR:
        raise RuntimeError(f"XLA's interface is version {asks & 0xFFFFFFFF}, and {MAJOR} is spoken here")
    metadata = int(_at(int(words[_EXTENSION]), _METADATA + 1)[_METADATA])
    _at(metadata, _METADATA_VERSION + 1)[_METADATA_VERSION] = asks


def _addresses(words: Words, count: int, where: int) -> Words:
    """Addresses of the data of a frame's buffers."""
    length = int(words[count])
    if length == 0:
        return np.zeros(0, dtype=np.int64)
    buffers = _at(int(words[where]), length)
    steps = np.diff(buffers)
    first = int(buffers[0])
    if length > 1 and (steps == steps[0]).all() and steps[0] > 0:  # they lie in one array: read it at once
        width = int(steps[0]) // _WORD
        return _at(first, width * (length - 1) + _DATA + 1)[_DATA::width].copy()
    return np.array([_at(int(buffer), _DATA + 1)[_DATA] for buffer in buffers], dtype=np.int64)


def _error(words: Words, error: BaseException) -> int:
    """An error of XLA's, which it frees."""
    text = f"{type(error).__name__}: {error}".encode(errors="replace")
    create: Callable[[object], int] = _ErrorCreate(int(_at(int(words[_API]), _ERROR_CREATE + 1)[_ERROR_CREATE]))
    return create(ctypes.byref(_ErrorArgs(ctypes.sizeof(_ErrorArgs), None, text, _INTERNAL)))
