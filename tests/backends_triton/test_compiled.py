"""Triton kernels compiled for GPUs that are not here: vector loads, bytes, spills, no float64 in sweeps, fusion."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import pytest

from optgen.ir.view import Module, view
from optgen.passes.pipeline import to_kernels
from optgen.spec.loader import load, shipped

pytest.importorskip("triton")

import triton

from optgen_triton.assembly import Facts, facts, faults, fingerprint, issued, per_thread, sees_vectors, sweeps_of
from optgen_triton.emit import emit
from optgen_triton.offline import TARGETS, Compiled, Kernel, compile_kernel, load_kernels

RECORDED = Path(__file__).parents[2] / "benchmarks" / "results" / "offline.json"
#: A rule whose every kernel is compiled for every target; of others the sweeps, for NVIDIA's 9.0.
EVERYWHERE = "adamw"


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


def kind(rule: str) -> tuple[object, ...]:
    """What sweeps of a rule differ in."""
    described, _ = emit(module(rule))
    return (*tuple(described[name] for name in ("sweeps", "tiled", "stencil")), len(module(rule).variants) > 1)


def _length(rule: str) -> int:
    return len(load(rule).text)


def spread() -> list[tuple[str, str]]:
    """A rule of several sweeps for each of the other targets, no two of one kind: the shortest."""
    ordered = sorted(shipped(), key=_length, reverse=True)
    rules = sorted({kind(rule): rule for rule in ordered if module(rule).sweeps > 1}.values(), key=_length)
    return list(zip(rules, (target for target in TARGETS if target != "sm_90"), strict=False))


def not_as_planned(rule: str, target: str) -> list[str]:
    """What sweeps of a rule do that they should not."""
    said: list[str] = []
    for index, variants in sweeps_of(module(rule)).items():
        near = sees_vectors(module(rule)) or any(op.name == "kernel.stencil" for each in variants for op in each.ops)
        elements = per_thread(kernels(rule)[f"sweep_{index}"])
        found = facts(sweep(rule, index, target))
        said += faults(module(rule), variants, elements, found, exact=not near or target.startswith("sm_"))
    return said


def as_planned_before(rule: str, text: str) -> bool:
    """Whether benchmarks/offline.py found this Triton to make what was planned of this text and what it calls."""
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    rows = [row for row in recorded["rows"] if (row["rule"], row["target"]) == (rule, "sm_90")]
    same = bool(rows) and recorded["versions"]["triton"] == triton.__version__
    return same and all(row["fingerprint"] == fingerprint(text) and not row["faults"] for row in rows)


@pytest.mark.parametrize("rule", shipped())
def test_sweeps(rule: str) -> None:
    """Whole blocks move as many bytes as the plan says, 16 at a time, with float32 arithmetic and nothing spilled.

    What was compiled before is not again, but for one rule.
    """
    if rule == EVERYWHERE or not as_planned_before(rule, emit(module(rule))[1]):
        assert not not_as_planned(rule, "sm_90")


def test_what_was_compiled_is_known_to_the_byte() -> None:
    text = emit(module(EVERYWHERE))[1]
    start = text.index("@triton.jit")
    assert fingerprint(f"# {text}") == fingerprint(text)
    assert fingerprint(text[:start] + text[start:].replace(" * ", " + ", 1)) != fingerprint(text)
    assert not as_planned_before("no such rule", text)


@pytest.mark.parametrize(("rule", "target"), spread())
def test_other_processors(rule: str, target: str) -> None:
    """All rules for all of them take minutes: benchmarks/offline.py, whose results are committed."""
    assert not not_as_planned(rule, target)


@pytest.mark.parametrize("target", TARGETS)
def test_every_kernel_for_every_target(target: str) -> None:
    assert not not_as_planned(EVERYWHERE, target)
    for name, kernel in kernels(EVERYWHERE).items():
        made = compile_kernel(kernel, target)
        assert made.binary, name
        assert re.search(rf"\.target {target}" if target.startswith("sm_") else target, "".join(made.texts.values()))


def test_half_as_many_bytes_in_bfloat16() -> None:
    """Parameters and gradients of 2 bytes, state of 4, and conversions by the processor."""
    rule = "adamw"
    (parts,) = sweeps_of(module(rule, "bfloat16")).values()
    made = sweep(rule, 1, dtype="bfloat16")
    found, elements = facts(made), per_thread(kernels(rule, "bfloat16")["sweep_1"])
    assert issued(module(rule, "bfloat16"), parts[0]) == found.moved(elements) == (12, 10)
    assert set(found.loads) == set(found.stores) == {8, 16}
    assert not faults(module(rule, "bfloat16"), parts, elements, found)
    assert "cvt.rn.bf16" in made.texts["ptx"]


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


def broken(ptx: str) -> Facts:
    """Facts of a text, with the binary of a sweep."""
    return facts(Compiled({"ptx": ptx}, sweep(EVERYWHERE, 1).binary))


def test_faults_are_found() -> None:
    """Of a sweep that is as planned until its text is changed."""
    ptx = sweep(EVERYWHERE, 1).texts["ptx"]
    (sweeps,) = sweeps_of(module(EVERYWHERE)).values()
    elements = per_thread(kernels(EVERYWHERE)["sweep_1"])
    load = next(line for line in ptx.splitlines() if "ld.global.v4" in line)
    changes = {
        "bytes per element are loaded": (load, load.replace(".v4", "")),
        "accesses of": (load, f"{load}\n{load.replace('.v4.b32', '.v2.b16')}"),
        "float64 instructions": (load, f"{load}\n add.f64 %d1, %d2, %d3;"),
        "approximate": ("sqrt.rn.f32", "sqrt.approx.f32"),
    }
    assert not faults(module(EVERYWHERE), sweeps, elements, broken(ptx))
    for said, (old, new) in changes.items():
        assert old in ptx
        found = faults(module(EVERYWHERE), sweeps, elements, broken(ptx.replace(old, new)))
        assert any(said in each for each in found), (said, found)


def test_triton_has_a_cache_of_its_own() -> None:
    """What is compiled here is compiled now: a warm cache would hide what no longer compiles."""
    assert Path(triton.knobs.cache.dir).name.startswith("optgen-triton-")
