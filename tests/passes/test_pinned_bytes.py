"""Bytes per parameter, counted from the loads and stores of the kernel IR: the figures that the project promises."""

from __future__ import annotations

import math

import numpy as np
import pytest

from optgen.ir import kernel_dialect as kernel
from optgen.ir import kernel_interpreter
from optgen.ir.kernel_arith import STORAGE
from optgen.ir.text import from_text, to_text
from optgen.passes.pipeline import kernel_of, to_kernels
from optgen.spec.loader import load
from tests.passes.agreement import next_step, started
from tests.passes.compiled import compiled
from tests.passes.worlds import Setting, kernel_world_of

#: Rule, settings and, per variant, bytes per parameter and sweeps. Other dtypes than float32 scale with their width.
FIGURES: dict[str, tuple[str, dict[str, Setting], dict[str, tuple[int, int]]]] = {
    "sgd": ("sgd", {}, {"always": (12, 1)}),
    "sgd, momentum": ("sgd", {"momentum": 0.9}, {"always": (20, 1)}),
    "lion": ("lion", {}, {"always": (20, 1)}),
    "adamw": ("adamw", {}, {"always": (28, 1)}),
    "adamw, amsgrad": ("adamw", {"amsgrad": True}, {"always": (36, 1)}),
    "adam": ("adam", {}, {"always": (28, 1)}),
    "adam, amsgrad": ("adam", {"amsgrad": True}, {"always": (36, 1)}),
    "nadam": ("nadam", {}, {"always": (28, 1)}),
    "radam": ("radam", {}, {"rho_gt_5": (28, 1), "not_rho_gt_5": (28, 1)}),
    "rmsprop": ("rmsprop", {}, {"always": (20, 1)}),
    "rmsprop, momentum": ("rmsprop", {"momentum": 0.9}, {"always": (28, 1)}),
    "rmsprop, centered": ("rmsprop", {"centered": True}, {"always": (28, 1)}),
    "rmsprop, both": ("rmsprop", {"momentum": 0.9, "centered": True}, {"always": (36, 1)}),
    "adagrad": ("adagrad", {}, {"always": (20, 1)}),
    "adadelta": ("adadelta", {}, {"always": (28, 1)}),
    "adamax": ("adamax", {}, {"always": (28, 1)}),
    "signum": ("signum", {}, {"always": (20, 1)}),
    "signum, no momentum": ("signum", {"momentum": 0.0}, {"always": (12, 1)}),
    "adabelief": ("adabelief", {}, {"always": (28, 1)}),
    "novograd": ("novograd", {}, {"always": (24, 2)}),
    "adan": ("adan", {}, {"always": (44, 1)}),
    "ademamix": ("ademamix", {}, {"always": (36, 1)}),
    "laprop": ("laprop", {}, {"always": (28, 1)}),
    "adopt": ("adopt", {}, {"t_is_1": (8, 1), "not_t_is_1": (28, 1)}),
    "ng_adam": ("ng_adam", {}, {"always": (32, 2)}),
    "ng_adam, match": ("ng_adam", {"coupling": "match"}, {"always": (28, 1)}),
    "nsa": ("nsa", {}, {"always": (32, 2)}),
    "nsa, relative": ("nsa", {"nsa": "relative"}, {"always": (32, 2)}),
    "nsa, match": ("nsa", {"coupling": "match"}, {"always": (32, 2)}),
    "neat": ("neat", {}, {"always": (32, 2)}),
    "neat, maximize": ("neat", {"maximize": True}, {"always": (32, 2)}),
    "neat, relative": ("neat", {"nsa": "relative"}, {"always": (32, 2)}),
    "neat, off": ("neat", {"nsa": "off"}, {"always": (32, 2)}),
    "neat, off, match": ("neat", {"nsa": "off", "coupling": "match"}, {"always": (28, 1)}),
    # g and m to find the conflict (8), then g, m and the weights, of which two are written (20)
    "nce": ("nce", {}, {"always": (28, 2)}),
    "nce, preconditioned": ("nce", {"adaptive_preconditioning": True}, {"always": (40, 2)}),
    "nce, off": ("nce", {"nce_mode": "off"}, {"always": (20, 1)}),
    "nce, previous gradient": ("nce", {"opponent_source": "previous_gradient"}, {"always": (36, 2)}),
    # every gradient in both sweeps (8 each), momentum and weights in the second
    "nce_players": ("nce_players", {}, {"always": (24, 2)}),
    "nce_players, three": ("nce_players", {"player_count": 3}, {"always": (40, 2)}),
    "lamb": ("lamb", {}, {"always": (40, 2)}),
    "adafactor": ("adafactor", {}, {"ndim_param_ge_2": (24, 3), "not_ndim_param_ge_2": (32, 2)}),
    "nested": ("nested", {}, {"due_k_gt_1": (68, 2), "due_not_k_gt_1": (60, 2), "not_due": (36, 1)}),
    "nested, compressed": (
        "nested",
        {"use_gradient_compression": True, "compression_rank": 4},
        {
            "ndim_param_ge_2_due_k_gt_1": (72, 2),
            "ndim_param_ge_2_due_not_k_gt_1": (64, 2),
            "ndim_param_ge_2_not_due": (40, 1),
            "not_ndim_param_ge_2_due_k_gt_1": (68, 2),
            "not_ndim_param_ge_2_due_not_k_gt_1": (60, 2),
            "not_ndim_param_ge_2_not_due": (36, 1),
        },
    ),
    # g, m and m, u; o, param and param. Without looking ahead u is m, which lies in memory
    "muon": ("muon", {}, {"ndim_param_ge_2": (28, 2), "not_ndim_param_ge_2": (28, 1)}),
    "muon, heavy ball": ("muon", {"nesterov": False}, {"ndim_param_ge_2": (24, 2), "not_ndim_param_ge_2": (28, 1)}),
    # g, m1 and m1; g, v, chunk, o1, o2, param and v, chunk, param
    # where a chunk ends: g, m1, m2, chunk and m1, m2; g, v, o1, o2, param and v, chunk, o2, param
    "m3": (
        "m3",
        {},
        {
            "ends_ndim_param_ge_2": (60, 2),
            "not_ends_ndim_param_ge_2": (48, 2),
            "ends_not_ndim_param_ge_2": (48, 1),
            "not_ends_not_ndim_param_ge_2": (40, 1),
        },
    ),
    "nested, latest": ("nested", {"accumulate_gradients": False}, {"due": (60, 2), "not_due": (28, 1)}),
}


def counted(variant: kernel.VariantOp, slots: dict[str, int]) -> tuple[int, int]:
    """Bytes per element that a variant moves, each slot once per sweep and direction, and its sweeps."""
    total = sweeps = 0
    for sweep in variant.body.block.ops:
        if isinstance(sweep, kernel.SweepOp):
            sweeps += 1
            ops = list(sweep.body.block.ops)
            read = {kernel.symbol(op.slot) for op in ops if isinstance(op, kernel.LoadOp | kernel.StencilOp)}
            written = {kernel.symbol(op.slot) for op in ops if isinstance(op, kernel.StoreOp)}
            total += sum(slots[name] for name in read) + sum(slots[name] for name in written)
    return total, sweeps


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("label", FIGURES)
def test_bytes_per_parameter(label: str, dtype: str) -> None:
    name, settings, expected = FIGURES[label]
    text = to_text(to_kernels(load(name), settings, dtype))
    module = kernel_of(from_text(text))
    slots = {slot.sym_name.data: STORAGE[slot.dtype.data][1] for slot in module.slots}
    found = {variant.sym_name.data: counted(variant, slots) for variant in module.variants}
    if dtype == "float32":
        assert found == expected
    else:
        declared = any(slot.dtype.data == "float32" and slot.extent.data == "elem" for slot in module.slots)
        scaled = {variant: (2 * size, sweeps) for variant, (size, sweeps) in expected.items()}
        assert declared or found == scaled


@pytest.mark.parametrize("label", FIGURES)
def test_the_interpreter_moves_as_much(label: str, rng: np.random.Generator) -> None:
    name, settings, expected = FIGURES[label]
    case = compiled(load(name), settings)
    world = started(case, rng)
    step = next_step(case, world, rng, missing=0.0)
    mine = kernel_world_of(world, case.kernels("float32"), step.gradients, step.inputs)
    traffic = kernel_interpreter.run(case.kernels("float32"), mine, chunk=8, step=1)
    sizes = [math.prod(tensor.shape) for tensor in mine.tensors]
    assert traffic.bytes == sum(expected[v][0] * size for v, size in zip(traffic.chosen, sizes, strict=True))
