"""Kernel IR and buffers that the kernel interpreter refuses, and poison where nothing was given."""

import numpy as np
import pytest
from numpy.typing import NDArray

from optgen.errors import UsageError
from optgen.ir.kernel_interpreter import run
from optgen.ir.kernel_world import Tensor, Traffic, World
from optgen.ir.text import IRError
from tests.ir import kernel_texts as texts


def variant(*lines: str, before: str = "", after: str = "") -> str:
    """A module with one variant: a sweep of these lines, if any, then other text."""
    body = "kernel.sweep 1 {" + "\n".join(lines) + "}\n" if lines else ""
    return texts.SLOTS + before + f'kernel.variant @main "" slots [] {{ {body} {after} }}'


def attempt(text: str, **buffers: NDArray[np.generic]) -> Traffic:
    given = {"param": np.ones(4, np.float32), "g": np.ones(4, np.float32), **buffers}
    return run(texts.module(text), World([Tensor((4,), 0, given, {})]), step=1)


LOAD = "%x = kernel.load @param : f32"
STORE = "kernel.store @param, %x : f32"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (variant("%x = kernel.load @m : f32"), "no slot @m"),
        (variant("%x = kernel.load @m : f32", before='kernel.slot @m elem "float32" state\n'), "no memory for slot @m"),
        (variant("%x = kernel.load @param : f64"), "the slot is float32"),
        (variant(LOAD, "kernel.store @g, %x : f32"), "it is not stored"),
        (variant("%x = kernel.load @s : f32", before='kernel.slot @s tensor "float32" state\n'), "elem slots only"),
        (variant("%x = kernel.hyper @lr"), "belongs in a stage"),
        (variant("%x = kernel.read @c : f32"), "@c is not declared"),
        (variant('%x = kernel.load @param {version = "new"} : f32'), "memory holds the old value"),
        (
            variant(
                LOAD,
                STORE,
                after='kernel.sweep 2 { %x = kernel.load @param {version = "old"} : f32 }',
            ),
            "holds what sweep 1 stored",
        ),
        (variant(after="kernel.stage tensor { %x = kernel.hyper @lr }"), "gives no hyper-parameter @lr"),
        (variant(after="kernel.stage tensor { %x = kernel.total sum @s }"), "there is no sum @s"),
        (
            variant(before="kernel.declare @c row\n", after="kernel.stage tensor { %x = kernel.value @c }"),
            "combine it by kernel.fold",
        ),
        (
            variant(
                before="kernel.declare @c layer\n",
                after="kernel.stage tensor { %x = arith.constant 1.0 : f64\nkernel.define @c, %x }",
            ),
            "define it in a stage of that extent",
        ),
        (variant(after="kernel.stage tensor { %x = kernel.load @param : f32 }"), "belongs in a sweep"),
        (variant(LOAD, after="kernel.sweep 1 { %x = kernel.load @g : f32 }"), "the next sweep is expected"),
        (
            variant(LOAD, before=f'kernel.variant @other "" slots [] {{ kernel.sweep 1 {{ {LOAD} }} }}'),
            "2 variants and no kernel.select",
        ),
        (variant(LOAD, after="kernel.stage row { %x = kernel.count elem\nkernel.put @g, %x }"), "of that extent"),
        (variant(LOAD, "%y = arith.constant 1 : i32"), "floats and truth values only"),
        (variant(LOAD, "%y = math.erf %x : f32"), "math.erf has no meaning"),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(IRError, match=message):
        attempt(text)


def test_wrong_buffers_are_refused() -> None:
    with pytest.raises(UsageError, match=r"slot @param is float64 of shape \(4,\)"):
        attempt(variant(LOAD), param=np.ones(4))
    with pytest.raises(UsageError, match="shape"):
        attempt(variant(LOAD), param=np.ones(5, np.float32))
    with pytest.raises(UsageError, match="C-contiguous"):
        attempt(variant(LOAD), param=np.ones(8, np.float32)[::2])


def test_coarse_values_are_nan_until_defined() -> None:
    param = np.ones(4, np.float32)
    text = variant("%x = kernel.read @c : f32", STORE, before="kernel.declare @c tensor\n")
    attempt(text, param=param)
    assert np.isnan(param).all()
