"""Arithmetic of kernel bodies against NumPy, special values included."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from xdsl.dialects.builtin import BFloat16Type

from optgen.ir.kernel_arith import convert
from optgen.ir.kernel_interpreter import run
from optgen.ir.kernel_world import Tensor, World
from tests.ir import kernel_texts as texts

Array = NDArray[np.float64]
DTYPES = ("float32", "float64")
UNARY: dict[str, Callable[[Array], Array]] = {
    "arith.negf": np.negative,
    "math.sqrt": np.sqrt,
    "math.absf": np.abs,
    "math.exp": np.exp,
    "math.expm1": np.expm1,
    "math.log": np.log,
    "math.log1p": np.log1p,
    "math.floor": np.floor,
    "math.ceil": np.ceil,
    "math.roundeven": np.round,
    "math.round": lambda x: np.copysign(np.floor(np.abs(x) + 0.5), x),
    "math.sin": np.sin,
    "math.cos": np.cos,
    "math.tanh": np.tanh,
}
POINTS = np.array([-2.5, -1.5, -0.5, -0.0, 0.0, 0.25, 0.5, 1.5, 2.5, 7.75, np.inf, -np.inf, np.nan])


def element_wise(body: str, x: Array, y: Array, dtype: str) -> Array:
    text = texts.SLOTS + (
        'kernel.variant @main "" slots [] { kernel.sweep 1 {\n'
        f"%x = kernel.load @param : F\n%y = kernel.load @g : F\n{body}\nkernel.store @param, %z : F }} }}"
    )
    buffers = {"param": x.astype(dtype), "g": y.astype(dtype)}
    run(texts.module(text, dtype=dtype), World([Tensor(x.shape, 0, buffers, {})]), step=1, chunk=4)
    return buffers["param"].astype(np.float64)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", UNARY)
def test_unary(name: str, dtype: str) -> None:
    with np.errstate(all="ignore"):
        found = element_wise(f"%z = {name} %x : F", POINTS, POINTS, dtype)
        np.testing.assert_allclose(found, UNARY[name](POINTS), rtol={"float32": 1e-6, "float64": 1e-15}[dtype])


@pytest.mark.parametrize(
    ("body", "meaning"),
    [
        ("%z = arith.minimumf %x, %y : F", np.minimum),
        ("%z = arith.maximumf %x, %y : F", np.maximum),
        ("%z = kernel.mod %x, %y : F, F -> F", lambda x, y: np.where(y == 0, 0.0, np.mod(x, np.where(y == 0, 1.0, y)))),
        ("%z = math.powf %x, %y : F", np.power),
        ("%c = arith.cmpf ole, %x, %y : F\n%z = arith.select %c, %x, %y : F", lambda x, y: np.where(x <= y, x, y)),
        ("%c = arith.cmpf une, %x, %y : F\n%z = arith.uitofp %c : i1 to F", lambda x, y: (x != y) * 1.0),
        ("%c = arith.cmpf uge, %x, %y : F\n%z = arith.uitofp %c : i1 to F", lambda x, y: ~(x < y) * 1.0),
        ("%c = arith.cmpf one, %x, %y : F\n%z = arith.uitofp %c : i1 to F", lambda x, y: ((x < y) | (x > y)) * 1.0),
        ("%c = arith.cmpf uno, %x, %y : F\n%z = arith.uitofp %c : i1 to F", lambda x, y: np.isnan(x + 0 * y) * 1.0),
        (
            "%a = arith.cmpf olt, %x, %y : F\n%t = arith.constant true\n%b = arith.xori %a, %t : i1\n"
            "%zero = arith.constant 0.0 : F\n%p = arith.cmpf ogt, %x, %zero : F\n%c = arith.andi %b, %p : i1\n"
            "%d = arith.ori %c, %a : i1\n%z = arith.uitofp %d : i1 to F",
            lambda x, y: ((~(x < y) & (x > 0)) | (x < y)) * 1.0,
        ),
    ],
)
def test_binary(body: str, meaning: Callable[[Array, Array], Array]) -> None:
    x, y = (a.ravel() for a in np.meshgrid(POINTS, POINTS[np.isfinite(POINTS)]))
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(element_wise(body, x, y, "float64"), meaning(x, y), rtol=1e-15)


def test_bfloat16_rounds_once_from_float64() -> None:
    """A value just above a tie goes up; by way of float32 it would first fall onto the tie."""
    above = np.array([1 + 2**-8 + 2**-40, 1 + 2**-8 - 2**-40, -(1 + 2**-8 + 2**-40)])
    np.testing.assert_array_equal(convert(above, BFloat16Type()), [1 + 2**-7, 1.0, -(1 + 2**-7)])
