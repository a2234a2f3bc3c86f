"""Triton kernels compiled for GPUs that are not here: vector loads, bytes, spills, no float64 in sweeps, fusion."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from optgen.ir.view import Module, Sweep, view
from optgen.passes.pipeline import to_kernels
from optgen.runtime.storage import BYTES
from optgen.spec.loader import load, shipped

pytest.importorskip("triton")

import triton
from triton.backends import nvidia

from optgen.runtime.gpu_abi import BLOCK
from optgen_triton.emit import emit
from optgen_triton.offline import TARGETS, Compiled, Kernel, compile_kernel, load_kernels

#: Rules whose every kernel is compiled for every target: one sweep; reductions, a graph and stages between.
EVERYWHERE = ("adamw", "neat")
_ACCESS = re.compile(r"\b(ld|st)\.global((?:\.[a-z0-9:_]+)*)")


@cache
def module(rule: str, dtype: str = "float32") -> Module:
    """The kernels of a rule's defaults."""
    return view(to_kernels(load(rule), {}, dtype))


@cache
def kernels(rule: str, dtype: str = "float32") -> dict[str, Kernel]:
    """What triton compiles."""
    return load_kernels(emit(module(rule, dtype))[1])


@cache
def sweep(rule: str, index: int, target: str = "sm_90", dtype: str = "float32", fusion: bool = True) -> Compiled:
    """A sweep for a target."""
    return compile_kernel(kernels(rule, dtype)[f"sweep_{index}"], target, fusion=fusion)


def per_thread(rule: str) -> int:
    """Elements that a thread handles in a whole step."""
    return BLOCK // (32 * kernels(rule)["sweep_1"].warps)


def vectors(ptx: str, kind: str) -> Counter[int]:
    """Loads (ld) or stores (st) of several numbers at once, by bytes."""
    found: Counter[int] = Counter()
    for match in _ACCESS.finditer(ptx):
        lanes, bits = re.search(r"\.v(\d)", match[2]), re.search(r"\.[bsuf](\d+)$", match[2])
        if match[1] == kind and lanes is not None and bits is not None:
            found[int(lanes[1]) * int(bits[1]) // 8] += 1
    return found


def float64_of_elements(ptx: str) -> list[str]:
    """Float64 instructions in loops over elements: those that come before the last program has something left to do.

    What a program computes of its own tensor before its first element is in no loop.
    """
    lines = ptx.partition("atom.")[0].splitlines()
    labels = {match[1]: at for at, line in enumerate(lines) if (match := re.match(r"(\$\w+):", line))}
    loops = [
        (labels[match[1]], at)
        for at, line in enumerate(lines)
        if (match := re.search(r"\bbra(?:\.uni)?\s+(\$\w+);", line)) and labels.get(match[1], at) < at
    ]
    assert any(".v4" in line or ".v2" in line for first, last in loops for line in lines[first:last])
    return [line for first, last in loops for line in lines[first:last] if ".f64" in line]


def issued(rule: str, sweep_: Sweep, dtype: str = "float32") -> tuple[int, int]:
    """Bytes per element that a sweep's text loads and stores: neighbours are read in a loop, each in turn."""
    width = {slot.name: BYTES[slot.dtype] for slot in module(rule, dtype).slots}
    of = {name: [op.word("slot") for op in sweep_.ops if op.name == f"kernel.{name}"] for name in ("load", "store")}
    near = [op.word("slot") for op in sweep_.ops if op.name == "kernel.stencil"]
    loaded = sum(width[slot] for slot in {*of["load"], *near}) + sum(width[slot] for slot in near)
    return loaded, sum(width[slot] for slot in of["store"])


def sweeps_of(rule: str) -> dict[int, list[Sweep]]:
    """The sweeps of all variants by their number; equal ones once."""
    found: dict[int, dict[str, Sweep]] = {}
    for variant in module(rule).variants:
        for each in variant.sweeps:
            text = repr([(op.name, dict(op.attributes)) for op in each.ops])
            found.setdefault(each.index, {}).setdefault(text, each)
    return {index: list(sweeps.values()) for index, sweeps in found.items()}


@pytest.mark.parametrize("rule", shipped())
def test_sweeps(rule: str, tmp_path: Path) -> None:
    """Whole blocks move as many bytes as the plan says, 16 at a time, with float32 arithmetic and nothing spilled."""
    for index, variants in sweeps_of(rule).items():
        made = sweep(rule, index)
        ptx = made.texts["ptx"]
        assert not float64_of_elements(ptx)
        assert not spilled(made.binary, tmp_path)
        loads, stores = vectors(ptx, "ld"), vectors(ptx, "st")
        assert set(loads) | set(stores) == {16}
        expected = [issued(rule, each) for each in variants]
        assert 16 * loads[16] == per_thread(rule) * sum(loaded for loaded, _ in expected)
        assert 16 * stores[16] == per_thread(rule) * sum(stored for _, stored in expected)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("rule", EVERYWHERE)
def test_every_kernel_for_every_target(rule: str, target: str) -> None:
    for name, kernel in kernels(rule).items():
        made = compile_kernel(kernel, target)
        assert made.binary
        if target.startswith("sm_"):
            ptx = made.texts["ptx"]
            assert re.search(rf"\.target {target}", ptx)
            if name.startswith("sweep"):
                assert set(vectors(ptx, "ld")) == {16}
                assert not float64_of_elements(ptx)
        elif name.startswith("sweep"):
            assert "global_load_dwordx4" in made.texts["amdgcn"]
            assert re.search(r"\.vgpr_spill_count:\s+0\b", made.texts["amdgcn"])


def test_half_as_many_bytes_in_bfloat16() -> None:
    """Parameters and gradients of 2 bytes, state of 4, and conversions by the processor."""
    rule = "adamw"
    (parts,) = sweeps_of(rule).values()
    ptx = sweep(rule, 1, dtype="bfloat16").texts["ptx"]
    loads, stores = vectors(ptx, "ld"), vectors(ptx, "st")
    loaded, stored = issued(rule, parts[0], "bfloat16")
    assert (loaded, stored) == (12, 10)
    assert set(loads) == set(stores) == {8, 16}
    assert 8 * loads[8] + 16 * loads[16] == per_thread(rule) * loaded
    assert 8 * stores[8] + 16 * stores[16] == per_thread(rule) * stored
    assert "cvt.rn.bf16" in ptx


def test_contraction_is_a_choice() -> None:
    """Products are fused into sums by default, and not where every operation is to round; divisions are IEEE's."""
    fused = sweep("adamw", 1).texts["ptx"]
    strict = sweep("adamw", 1, fusion=False).texts["ptx"]
    assert "fma.rn.f32" in fused
    assert "fma.rn.f32" not in strict
    for ptx in (fused, strict):
        assert "div.rn.f32" in ptx
        assert "sqrt.rn.f32" in ptx
        assert not re.search(r"(div\.full|sqrt\.approx|rcp\.approx)[a-z.]*\.f32", ptx)


def spilled(binary: bytes, folder: Path) -> bool:
    """Whether the assembler keeps registers in memory."""
    file = folder / "kernel.cubin"
    file.write_bytes(binary)
    command = [str(Path(nvidia.__file__).parent / "bin" / "cuobjdump"), "-res-usage", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    stacks = re.findall(r"STACK:(\d+)", done.stdout)
    assert stacks, done.stdout
    return any(int(stack) for stack in stacks)


def test_triton_has_a_cache_of_its_own() -> None:
    """What is compiled here is compiled now: a warm cache would hide what no longer compiles."""
    assert Path(triton.knobs.cache.dir).name.startswith("optgen-triton-")
