"""How far rounding may move a result: the value form is run with every operation off by a random rounding error.

This is Monte Carlo arithmetic: each result, and each coarse value where it meets an element, is moved by up to two
units in the last place of the dtype that computes it, sums by as much of the sum of their magnitudes. What the runs
differ by follows from the dtype and the operations alone, cancellation included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from xdsl.ir import Operation

from optgen.ir import rule_dialect as rule
from optgen.ir.extents import Extent
from optgen.ir.functions import Kind
from optgen.ir.interpret import Execution, Value
from optgen.ir.rule_types import Reduction, type_of
from optgen.ir.world import Array, World
from tests.passes.worlds import contents, copy_of

EPS = {"float32": 2.0**-23, "float64": 2.0**-52}
#: A bound is this many times the largest difference among this many runs.
SPREADS = 16
RUNS = 4


class NoisyExecution(Execution):
    """A run whose element operations round to `dtype` and whose coarse ones to float64, at random."""

    def __init__(self, world: World, step: Step, dtype: str, rng: np.random.Generator) -> None:
        super().__init__(world, step.gradients, step.inputs)
        self.eps = EPS[dtype]
        self.rng = rng

    def _moved(self, x: Value, eps: float, scale: Value | None = None) -> Value:
        scale = x if scale is None else scale
        flat = np.concatenate([a.ravel() for a in x])
        pairs = zip(x, scale, strict=True)
        size = flat if scale is x else np.concatenate([np.broadcast_to(s, a.shape).ravel() for a, s in pairs])
        with np.errstate(invalid="ignore"):
            moved = flat + 2 * eps * self.rng.uniform(-1, 1, flat.size) * size
        moved = np.where(np.isfinite(flat), moved, flat)
        found: Value = []
        end = 0
        for a in x:
            end += a.size
            found.append(moved[end - a.size : end].reshape(a.shape))
        return found

    def _value(self, op: Operation, mask: Sequence[bool]) -> Value:
        operands = {x: self.values[x] for x in op.operands}
        element = any(type_of(x).extent is Extent.ELEM for x in op.operands)
        for x, value in operands.items():
            meets = element and type_of(x).extent is not Extent.ELEM
            within = isinstance(op, rule.StencilOp | rule.EdgesOp | rule.CallOp)
            if type_of(x).kind is Kind.FLOAT and (meets or within):
                self.values[x] = self._moved(value, self.eps if element else EPS["float64"])
        result = super()._value(op, mask)
        scale: Value | None = None
        if isinstance(op, rule.ReduceOp) and op.reduction.data is Reduction.SUM:
            magnitudes = [np.abs(a) for a in self.values[op.operand]]
            scale = self._reduce(Reduction.SUM, op.over.data, type_of(op.operand).extent, magnitudes, mask)
        if isinstance(op, rule.CallOp):
            scale = [np.sqrt(np.sum(a * a, axis=(1, 2), keepdims=True)) for a in result]
        self.values.update(operands)
        rounds = isinstance(op, rule.ApplyOp | rule.ReduceOp | rule.StencilOp | rule.EdgesOp | rule.CallOp)
        if not rounds or type_of(op.results[0]).kind is not Kind.FLOAT:
            return result
        return self._moved(result, self.eps if element else EPS["float64"], scale)


@dataclass(frozen=True)
class Step:
    """A world that is about to make a step."""

    world: World
    gradients: Sequence[Array | None]
    inputs: Mapping[str, float]


def results(variants: Sequence[rule.VariantOp], step: Step) -> tuple[list[dict[str, Array]], list[int]]:
    """What a step in value form leaves in a copy of the world, and which variant every tensor takes."""
    here = copy_of(step.world)
    runs = [Execution(here, step.gradients, step.inputs) for _ in variants]
    _run(variants, runs)
    taken = [_only_choice([run.chosen[i] for run in runs]) for i in range(len(here.tensors))]
    return _commit(here, runs, taken), taken


def _run(variants: Sequence[rule.VariantOp], runs: Sequence[Execution]) -> None:
    for variant, run in zip(variants, runs, strict=True):
        run.block(variant.body.block, [True] * len(run.world.tensors))


def _commit(here: World, runs: Sequence[Execution], taken: Sequence[int]) -> list[dict[str, Array]]:
    for k, run in enumerate(runs):
        run.commit(only=[k == one for one in taken])
    return contents(here)


def _only_choice(chosen: Sequence[bool]) -> int:
    assert sum(chosen) == 1, "the conditions of exactly one variant must hold"
    return list(chosen).index(True)


def bounds(
    variants: Sequence[rule.VariantOp], step: Step, dtype: str, rng: np.random.Generator
) -> list[dict[str, Array]]:
    """Per tensor and slot, how far rounding of every operation may move the result of a step; storage comes on top."""
    exact, taken = results(variants, step)
    noisy: list[list[dict[str, Array]]] = []
    for _ in range(RUNS):
        here = copy_of(step.world)
        runs = [NoisyExecution(here, step, dtype, rng) for _ in variants]
        _run(variants, runs)
        noisy.append(_commit(here, runs, taken))
    return [
        {name: SPREADS * _spread(x, [run[i][name] for run in noisy]) for name, x in tensor.items()}
        for i, tensor in enumerate(exact)
    ]


def _spread(x: Array, others: Sequence[Array]) -> Array:
    with np.errstate(invalid="ignore"):
        return np.max([np.nan_to_num(np.abs(other - x)) for other in others], axis=0)


def check_close(
    got: Sequence[Mapping[str, Array]],
    want: Sequence[Mapping[str, Array]],
    allowed: Sequence[Mapping[str, Array]],
    storage: Mapping[str, float],
) -> None:
    """Every slot of every tensor agrees; `storage` gives the relative rounding of what is kept, by slot."""
    for i, tensor in enumerate(want):
        for name, x in tensor.items():
            y = got[i][name]
            assert y.shape == x.shape, f"tensor {i}, {name}: shape {y.shape} instead of {x.shape}"
            finite = np.isfinite(x)
            with np.errstate(invalid="ignore"):
                room = allowed[i][name] + storage.get(name, 0.0) * np.abs(x)
                bad = np.where(finite, ~(np.abs(y - x) <= room), ~((y == x) | (np.isnan(x) & np.isnan(y))))
            assert not bad.any(), f"tensor {i}, {name}: {y[bad][:3]} instead of {x[bad][:3]}, allowed {room[bad][:3]}"
