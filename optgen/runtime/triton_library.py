"""Functions of generated Triton kernels that come from the device's mathematics library.

Triton's interpreter has no such library: where it runs kernels (``TRITON_INTERPRET=1``), these are NumPy's, which both
have at most a few units in the last place of error.
"""

# pyright: basic

from __future__ import annotations

import os

import numpy as np
import triton
import triton.language as tl
from triton.language.extra import libdevice

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"

if INTERPRETED:
    from triton.runtime.interpreter import TensorHandle

    def _lifted(function):
        """A NumPy function on values of the interpreter."""

        def call(*args, _semantic=None):
            arrays = [np.asarray(x.handle.data) for x in args]
            with np.errstate(all="ignore"):
                result = function(*arrays).astype(arrays[0].dtype)
            first = max(args, key=lambda x: x.handle.data.size)
            return tl.tensor(TensorHandle(np.atleast_1d(result), first.handle.dtype), first.type)

        return call

    exp, log, expm1, log1p = map(_lifted, (np.exp, np.log, np.expm1, np.log1p))
    sin, cos, tanh, rint, power, fmod = map(_lifted, (np.sin, np.cos, np.tanh, np.rint, np.power, np.fmod))
else:

    @triton.jit
    def exp(x):
        """e to the x."""
        return libdevice.exp(x)

    @triton.jit
    def log(x):
        """Natural logarithm."""
        return libdevice.log(x)

    @triton.jit
    def expm1(x):
        """exp(x) - 1, exact near 0."""
        return libdevice.expm1(x)

    @triton.jit
    def log1p(x):
        """log(1 + x), exact near 0."""
        return libdevice.log1p(x)

    @triton.jit
    def sin(x):
        """Sine."""
        return libdevice.sin(x)

    @triton.jit
    def cos(x):
        """Cosine."""
        return libdevice.cos(x)

    @triton.jit
    def tanh(x):
        """Hyperbolic tangent."""
        return libdevice.tanh(x)

    @triton.jit
    def rint(x):
        """The nearest integer, halves to even."""
        return libdevice.rint(x)

    @triton.jit
    def power(x, y):
        """x to the y."""
        return libdevice.pow(x, y)

    @triton.jit
    def fmod(x, y):
        """What is left of x after whole multiples of y, with the sign of x."""
        return libdevice.fmod(x, y)


@triton.jit
def remainder(x, y):
    """x % y with the sign of y; 0 where y is 0."""
    rest = fmod(x, tl.where(y == 0, 1.0, y))
    rest = tl.where((rest != 0) & ((rest < 0) != (y < 0)), rest + y, rest)
    return tl.where(y == 0, 0.0, rest)
