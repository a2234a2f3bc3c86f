"""What kernels of numba-cuda stand on, in plain Python: for the simulator (``NUMBA_ENABLE_CUDASIM=1``).

The names are those of :mod:`optgen.runtime.numba_cuda_native`; the memory is the process's own. The simulator has
neither intrinsics nor warps: a warp is one thread here. Numbers are NumPy's, so that each operation rounds.
"""

# Values have the types that NumPy gives them, which depend on the operands.
# pyright: basic

from __future__ import annotations

import ctypes
import threading

import numpy as np
from numba import cuda

kernel = cuda.jit
LANES = 1


def device(function):
    """A function of kernels: to the simulator any function is."""
    return function


# -- memory --------------------------------------------------------------------------------------------------------


def touch(at, size):  # noqa: ARG001 (of tests)
    """Every access comes by here, so that tests can see which memory kernels touch."""
    return at


_F4, _F8, _I8, _U2 = ctypes.c_float, ctypes.c_double, ctypes.c_int64, ctypes.c_uint16


def _load(kind, number):
    item = ctypes.sizeof(kind)

    def load(at):
        return number(kind.from_address(touch(int(at), item)).value)

    return load


def _load4(kind, number):
    item = ctypes.sizeof(kind)
    four = kind * 4

    def load(at):
        return tuple(map(number, four.from_address(aligned(touch(int(at), 4 * item), 4 * item))))

    return load


def _store(kind):
    item = ctypes.sizeof(kind)

    def store(at, x):
        kind.from_address(touch(int(at), item)).value = x

    return store


def _store4(kind):
    item = ctypes.sizeof(kind)
    four = kind * 4

    def store(at, x):
        four.from_address(aligned(touch(int(at), 4 * item), 4 * item))[:] = list(map(kind, x.tolist()))

    return store


def aligned(at, size):
    """An address that four elements of this size together may be loaded from, as on a GPU."""
    if at % min(size, 16):
        raise ValueError(f"four elements at the address {at}, which is no multiple of {min(size, 16)}")
    return at


load_f4, load_f8, load_i8 = _load(_F4, np.float32), _load(_F8, np.float64), _load(_I8, int)
load_b2 = load_f2 = _load(_U2, np.uint16)
load4_f4, load4_f8 = _load4(_F4, np.float32), _load4(_F8, np.float64)
load4_b2 = load4_f2 = _load4(_U2, np.uint16)
store_f4, store_f8, store_i8 = _store(_F4), _store(_F8), _store(_I8)
store_b2 = store_f2 = _store(_U2)
store4_f4, store4_f8 = _store4(_F4), _store4(_F8)
store4_b2 = store4_f2 = _store4(_U2)


def _view(kind, dtype):
    item = ctypes.sizeof(kind)

    def view(at, *lengths):
        count = int(np.prod(lengths))
        if not count:
            return np.zeros(lengths, dtype)
        memory = (ctypes.c_char * (item * count)).from_address(touch(int(at), item * count))
        return np.frombuffer(memory, dtype).reshape(lengths)

    return view


f4_stream = _view(_F4, np.float32)
f8_stream = f8_table = _view(_F8, np.float64)
i8_stream = i8_table = _view(_I8, np.int64)

# -- words ---------------------------------------------------------------------------------------------------------


def f4_of_b2(word):
    """The number of a bfloat16 word."""
    return (np.uint32(word) << np.uint32(16)).view(np.float32)


def bits_of_f4(x):
    """The 32 bits of a float32, as an integer."""
    return int(np.float32(x).view(np.uint32))


def b2_of_f4(x):
    """A float32 as a bfloat16 word, rounded to the nearest, halves to even; NaN as processors have it."""
    bits = bits_of_f4(x)
    return np.uint16(0x7FFF if x != x else (bits + 0x7FFF + (bits >> 16 & 1)) >> 16)


def f4_of_f2(word):
    """The number of a float16 word."""
    return np.float32(np.uint16(word).view(np.float16))


def f2_of_f4(x):
    """A float32 as a float16 word, rounded to the nearest, halves to even."""
    return np.float16(x).view(np.uint16)


# -- threads -------------------------------------------------------------------------------------------------------


def thread():
    """Number of this thread in its program."""
    return threading.current_thread().threadIdx.x


def threads():
    """Threads of a program."""
    return threading.current_thread()._manager._block_dim[0]


def program():
    """Number of this program."""
    return threading.current_thread().blockIdx.x


def programs():
    """Programs of this launch."""
    return threading.current_thread()._manager._grid_dim[0]


def arrive(at):
    """The number at an address, which is one more after this; programs run one after the other."""
    before = load_i8(at)
    store_i8(at, before + 1)
    return before


def any_thread(x):
    """Whether a condition holds for any thread of the program; all of them must come by."""
    return threading.current_thread().syncthreads_or(x) != 0


def barrier():
    """Waits for all threads of the program."""
    threading.current_thread().syncthreads()


def other_lane(x, distance):  # noqa: ARG001 (never called)
    """The value of the lane whose number differs in a bit: there is one lane."""
    raise AssertionError(f"a warp has one thread here, none at a distance of {distance}")


# -- functions -----------------------------------------------------------------------------------------------------

sqrt, exp, log, expm1, log1p = np.sqrt, np.exp, np.log, np.expm1, np.log1p
sin, cos, tanh, floor, ceil, rint, power = np.sin, np.cos, np.tanh, np.floor, np.ceil, np.rint, np.power
