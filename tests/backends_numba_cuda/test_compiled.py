"""numba-cuda kernels compiled for GPUs that are not here: vector loads, bytes, spills, no float64 in sweeps.

NVIDIA's compiler libraries are 150 MB and not part of what tests install: where they are missing nothing is compiled.
"""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from optgen.errors import BackendError
from optgen.ir.view import Module, view
from optgen.passes.pipeline import to_kernels
from optgen.spec.loader import load

pytest.importorskip("numba_cuda")
pytest.importorskip("triton")

from triton.backends import nvidia

from optgen_numba.gpu_emit import emit
from optgen_numba.gpu_offline import TARGETS, compile_kernels
from optgen_triton.assembly import Facts, facts, faults, sweeps_of
from optgen_triton.offline import Compiled

#: One sweep of elements; one of tiles, with reductions of rows, columns and tensors, and two variants. And the elements
#: that a thread has in one step: four at a time, and of a tile's columns twice as many.
PER_THREAD = {"adamw": 4, "adafactor": 8}


@cache
def module(rule: str, dtype: str = "float32") -> Module:
    """The kernels of a rule's defaults."""
    return view(to_kernels(load(rule), {}, dtype))


@cache
def compiled(rule: str, target: str = "sm_90", dtype: str = "float32") -> str:
    """The PTX of a rule's first sweep: compiling takes a second, or several."""
    try:
        return compile_kernels(emit(module(rule, dtype))[1], target, only="sweep_1")["sweep_1"]
    except BackendError as error:
        if "missing" in str(error):
            pytest.skip(str(error))
        raise


def assembled(ptx: str, folder: Path) -> Facts:
    """What a sweep does for compute capability 9.0; triton brings an assembler that is new enough."""
    file, binary = folder / "kernel.ptx", folder / "kernel.cubin"
    file.write_text(ptx, encoding="utf-8")
    assembler = Path(nvidia.__file__).parent / "bin" / "ptxas-blackwell"
    subprocess.run([str(assembler), "--gpu-name=sm_90", str(file), "-o", str(binary)], check=True)
    return facts(Compiled({"ptx": ptx}, binary.read_bytes()))


@pytest.mark.parametrize("rule", PER_THREAD)
def test_sweeps(rule: str, tmp_path: Path) -> None:
    """Fours of elements move as many bytes as the plan says, 16 at a time, in float32 and with nothing spilled."""
    ptx = compiled(rule)
    found = assembled(ptx, tmp_path)
    assert not faults(module(rule), sweeps_of(module(rule))[1], PER_THREAD[rule], found)
    assert set(found.loads) | set(found.stores) == {16}
    assert ".local" not in ptx
    assert not re.search(r"^\s*call", ptx, re.MULTILINE)


def test_half_as_many_bytes_in_bfloat16(tmp_path: Path) -> None:
    """Parameters and gradients of 2 bytes, four at a time, and conversions by the processor."""
    ptx = compiled("adamw", dtype="bfloat16")
    found = assembled(ptx, tmp_path)
    assert found.moved(PER_THREAD["adamw"]) == (12, 10)
    assert set(found.loads) == set(found.stores) == {8, 16}
    assert "cvt.rn.bf16.f32" in ptx


@pytest.mark.parametrize("target", [target for target in TARGETS if target != "sm_90"])
def test_every_target(target: str) -> None:
    ptx = compiled("adamw", target)
    assert re.search(rf"\.target {target}\b", ptx)
    assert ptx.count("ld.global.v4.f32") == 4


def test_neighbours_are_read_in_the_sweep(tmp_path: Path) -> None:
    """The gradients of neighbours, four at a time as the tensor's own."""
    found = assembled(compiled("neat"), tmp_path)
    assert not faults(module("neat"), sweeps_of(module("neat"))[1], 4, found, exact=False)
    assert not found.stores
