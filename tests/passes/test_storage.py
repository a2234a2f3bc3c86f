"""Every rule in narrow dtypes, by the kernel interpreter: one rounding at each store, whatever the rule does."""

from __future__ import annotations

from itertools import cycle
from typing import cast

import numpy as np
import pytest

from optgen.errors import UsageError
from optgen.ir import kernel_dialect as kernel
from optgen.ir import kernel_interpreter
from optgen.ir.kernel_arith import stored
from optgen.ir.view import view
from optgen.ir.world import Array, World
from optgen.passes.pipeline import kernel_of, to_kernels
from optgen.runtime.storage import BYTES, DtypeSet
from optgen.spec.loader import load, loads, shipped
from optgen.variant_choice import Situation, chosen
from tests.ir.rules import text_of
from tests.passes.agreement import Step, expected, next_step, started
from tests.passes.compiled import shipped_case
from tests.passes.rounding import check_close
from tests.passes.worlds import contents, copy_of, kernel_world_of, take_back

RULES = [name for name in shipped() if load(name).kind == "rule"]
#: Between them every dtype in every place, and every option; rules take turns.
SETS = (
    "bfloat16",
    "float16,g=float32,*=bfloat16",
    "bfloat16,g=float16,*=float16,master",
    "float32,g=bfloat16,*=float16",
    "float16,g=bfloat16,master",
    "bfloat16,g=float32,*=bfloat16,stochastic",
    "float32,g=float16,*=bfloat16,stochastic",
    "float16",
)
#: Relative rounding of a store to the nearest, and half of the smallest number.
ROUNDING = {
    "float32": (2.0**-24, 2.0**-150),
    "float64": (2.0**-53, 0.0),
    "int64": (0.0, 0.0),
    "bfloat16": (2.0**-8, 2.0**-134),
    "float16": (2.0**-11, 2.0**-25),
}


def rounded(world: World, module: kernel.ModuleOp) -> World:
    """The world as the kernels' storage holds it."""
    result = copy_of(world)
    take_back(result, kernel_world_of(world, module, [None] * len(world.tensors), {}), module)
    result.steps = world.steps
    return result


@pytest.mark.parametrize(
    ("name", "text"), [(name, next(sets)) for sets in [cycle(SETS)] for name in RULES for _ in range(2)]
)
def test_every_rule(name: str, text: str, rng: np.random.Generator) -> None:
    case = shipped_case(name, "defaults")
    module = kernel_of(to_kernels(case.spec, case.settings, text))
    dtypes = DtypeSet.parse(text)
    slots = {slot.sym_name.data: slot.dtype.data for slot in module.slots}
    world = rounded(started(case, rng), module)
    for _ in range(2):
        plain = next_step(case, world, rng)
        held = [None if g is None else stored(g, dtypes.grad).astype(float) for g in plain.gradients]
        step = Step(plain.world, held, plain.inputs)
        right = expected(case, step, rng, dtypes=(dtypes.compute,))
        mine = kernel_world_of(world, module, step.gradients, step.inputs)
        kernel_interpreter.run(module, mine, seed=0, chunk=5, step=world.steps + 1)
        got = copy_of(world)
        take_back(got, mine, module)
        farther = 2.0 if dtypes.stochastic else 1.0
        place = {**slots, "param": slots.get("master", slots["param"])}
        allowed = [
            {slot: x + farther * ROUNDING[place[slot]][1] if slot in place else x for slot, x in tensor.items()}
            for tensor in right.kernels[dtypes.compute]
        ]
        room = {slot: farther * ROUNDING[dtype][0] for slot, dtype in place.items()}
        kept = {"param", "t", *slots}
        check_close(only(kept, contents(got)), only(kept, right.want), allowed, room)
        if dtypes.master:
            for tensor in mine.tensors:
                master = cast(Array, tensor.buffers["master"])
                assert np.array_equal(stored(master, dtypes.param), cast(Array, tensor.buffers["param"]))
        world = got


def only(kept: set[str], tensors: list[dict[str, Array]]) -> list[dict[str, Array]]:
    return [{name: x for name, x in tensor.items() if name in kept} for tensor in tensors]


@pytest.mark.parametrize(
    ("text", "figure"),
    [("bfloat16", 22), ("bfloat16,*=bfloat16", 14), ("bfloat16,master", 28), ("float32,g=bfloat16", 26)],
)
def test_bytes_per_parameter(text: str, figure: int) -> None:
    module = view(to_kernels(load("adamw"), {}, text))
    dtype = {slot.name: slot.dtype for slot in module.slots}
    variant = chosen(module, Situation(dict.fromkeys(module.hypers, 0.5)))
    ops = [op for sweep in variant.sweeps for op in sweep.ops if op.name in ("kernel.load", "kernel.store")]
    assert sum(BYTES[dtype[op.word("slot")]] for op in ops) == figure


def test_what_was_rounded_is_not_loaded_back() -> None:
    """Two sweeps: in float32 the first one's m is loaded by the second, in bfloat16 it is computed again."""
    body = 'm = beta*m + g\nx = m/(1 + norm(m, over="tensor"))\nparam = param - lr*x'
    spec = loads(text_of(body, state="m: zeros_like(param)"), "mine.yaml")
    new = {}
    for text in ("float32", "float32,*=bfloat16"):
        ops = [op for op in to_kernels(spec, {}, text).walk() if isinstance(op, kernel.LoadOp)]
        loads_of_m = [op for op in ops if kernel.symbol(op.slot) == "m"]
        new[text] = any(str(op.attributes["version"]) == '"new"' for op in loads_of_m)
    assert new == {"float32": True, "float32,*=bfloat16": False}


def test_a_set_is_its_text() -> None:
    for text in (*SETS, "float64,*=float32", "float32"):
        assert str(DtypeSet.parse(text)) == text
    assert str(DtypeSet.parse("bfloat16, g=bfloat16, *=float32")) == "bfloat16"
    assert len({DtypeSet.parse(text).file_stem for text in SETS}) == len(SETS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("float8", "is no dtype that is stored"),
        ("bfloat16,g=half", '"half" in the dtypes'),
        ("bfloat16,mastre", "is none of"),
        ("bfloat16,m=float16,m=float32", "comes twice"),
        ("float32,g=float64", "computed with in float32"),
        ("float64,*=bfloat16", "use float32 or float64"),
        ("float32,master", "master weights are for parameters in bfloat16 or float16"),
        ("float32,stochastic", "nothing of float32,stochastic is stored in it"),
        ("bfloat16,master,stochastic", "leave it out"),
    ],
)
def test_sets_that_make_no_sense(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        DtypeSet.parse(text)


def test_a_state_that_is_not_there() -> None:
    with pytest.raises(UsageError, match='no element-wise state "w"'):
        to_kernels(load("adamw"), {}, "bfloat16,w=float16")
