"""One step of a rule, by everything that can execute it: memory form, value forms, kernels. They must agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from optgen.ir import interpret, kernel_interpreter
from optgen.ir.build import counted
from optgen.ir.kernel_world import Traffic
from optgen.ir.kernel_world import World as KernelWorld
from optgen.ir.world import Array, World
from tests.passes.compiled import DTYPES, Compiled
from tests.passes.rounding import Step, bounds, check_close, results
from tests.passes.worlds import contents, copy_of, kernel_world_of, random_gradients, random_world, take_back

#: Half a unit in the last place of what a slot stores.
_STORED = {"float32": 2.0**-24, "float64": 2.0**-53, "int64": 0.0}


@dataclass(frozen=True)
class Expected:
    """What a step must leave, and by how much each way of executing it may be off."""

    want: Sequence[Mapping[str, Array]]
    form: Sequence[Mapping[str, Array]]
    kernels: Mapping[str, Sequence[Mapping[str, Array]]]


def expected(case: Compiled, step: Step, rng: np.random.Generator, dtypes: Sequence[str] = DTYPES) -> Expected:
    """The memory form's result, with bounds from the operations of the value forms, for kernels of these dtypes.

    The value forms themselves are checked with the bound of float64.
    """
    want = copy_of(step.world)
    interpret.step(case.program, want, step.gradients, step.inputs)
    first = bounds(case.first, step, "float64", rng)
    of = {dtype: _sum(first, bounds(case.last, step, dtype, rng)) for dtype in dict.fromkeys(dtypes)}
    return Expected(contents(want), of.get("float64", []), of)


def check_value_forms(case: Compiled, step: Step, right: Expected) -> None:
    """The value form after every pass does what the memory form does, but for rounding in float64."""
    for form in case.forms.values():
        got, _ = results(form, step)
        check_close(_without_dead(case, got), _without_dead(case, right.want), right.form, {})


def check_kernels(
    case: Compiled, step: Step, right: Expected, dtype: str, chunks: Sequence[int] = (5,)
) -> tuple[World, Traffic]:
    """Kernels do what the memory form does within the rounding of their dtype, for any chunks, in any order of them.

    The world is one that the kernels' storage holds exactly. Gives what the first chunk size left, and its traffic.
    """
    module = case.kernels(dtype)
    storage = {slot.sym_name.data: _STORED[slot.dtype.data] for slot in module.slots}
    kept = {"param", "t", *(slot.sym_name.data for slot in module.slots)}
    want = [_only(kept, tensor) for tensor in right.want]
    found: list[tuple[World, Traffic]] = []
    for chunk in chunks:
        ran: list[KernelWorld] = []
        for seed in (0, 1):
            mine = kernel_world_of(step.world, module, step.gradients, step.inputs)
            traffic = kernel_interpreter.run(module, mine, seed=seed, chunk=chunk, step=step.world.steps + 1)
            ran.append(mine)
        check_same_bits(*ran)
        got = copy_of(step.world)
        take_back(got, ran[0], module)
        check_close([_only(kept, tensor) for tensor in contents(got)], want, right.kernels[dtype], storage)
        found.append((got, traffic))
    return found[0]


def check_same_bits(a: KernelWorld, b: KernelWorld) -> None:
    """Every buffer of two worlds holds the same bits."""
    for i, (one, other) in enumerate(zip(a.tensors, b.tensors, strict=True)):
        for name, buffer in one.buffers.items():
            second = other.buffers[name]
            if buffer is not None and second is not None:
                assert buffer.tobytes() == second.tobytes(), f"tensor {i}, {name}: another order, another result"


def _only(kept: set[str], tensor: Mapping[str, Array]) -> dict[str, Array]:
    return {name: x for name, x in tensor.items() if name in kept}


def _without_dead(case: Compiled, tensors: Sequence[Mapping[str, Array]]) -> list[dict[str, Array]]:
    """Only slots that some variant stores: settling drops state that cannot reach the parameter."""
    stored = {str(op.slot.string_value()) for v in case.last for op in v.body.block.ops if op.name == "rule.final"}
    return [_only({"param", "t", *stored}, tensor) for tensor in tensors]


def _sum(first: Sequence[Mapping[str, Array]], second: Sequence[Mapping[str, Array]]) -> list[dict[str, Array]]:
    return [{name: a[name] + b[name] for name in a} for a, b in zip(first, second, strict=True)]


def started(case: Compiled, rng: np.random.Generator) -> World:
    """A world of mixed shapes before its first step, with values that float32 storage holds."""
    world = random_world(case.spec, case.settings, rng)
    interpret.start(case.program, world)
    _store(case, world)
    return world


def moved_on(case: Compiled, step: Step) -> World:
    """The world after a step of the memory form, with values that float32 storage holds."""
    world = copy_of(step.world)
    interpret.step(case.program, world, step.gradients, step.inputs)
    _store(case, world)
    return world


def _store(case: Compiled, world: World) -> None:
    """Round everything to what kernels for float32 hold."""
    module, steps = case.kernels("float32"), world.steps
    take_back(world, kernel_world_of(world, module, [None] * len(world.tensors), {}), module)
    world.steps = steps


def next_step(case: Compiled, world: World, rng: np.random.Generator, *, missing: float = 0.25) -> Step:
    """Random gradients, some of which are missing, and a number for every input."""
    inputs = {name: float(rng.normal()) for name in case.spec.inputs}
    count = counted(case.spec, case.settings).gradient_count
    return Step(world, random_gradients(world, rng, missing=missing, count=count), inputs)
