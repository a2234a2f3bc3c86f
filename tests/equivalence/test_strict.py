"""Bits: element code is NumPy's float32, one operation and one rounding at a time, given the same step scalars.

That is what `explain` calls exact. Kernels run on ordinary and tiny numbers, then on numbers of every magnitude; NumPy
does the operations of their sweeps with the scalars that they had.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import Parameter
from xdsl.ir import SSAValue

import optgen.torch
from optgen.api import compile as compile_rule
from optgen.backend.layout import Layout
from optgen.errors import UsageError
from optgen.ir import kernel_dialect as kernel
from optgen.ir.kernel_arith import Array, convert, evaluate
from optgen.ir.view import view
from optgen.passes.facts import inexact
from optgen.passes.pipeline import COUPLING, kernel_of, to_kernels
from optgen.runtime import layout as at
from optgen.runtime.tables import Tables
from optgen.spec.loader import load, loads, shipped
from tests.ir.rules import text_of

EXACT = [name for name in shipped() if load(name).kind == "rule" and not inexact(kernel_of(to_kernels(load(name), {})))]
SHAPES = {"a.w": (7, 9), "b.w": (7, 9), "c.w": (7, 9), "d.w": (33,), "e.w": ()}


def numbers(shape: tuple[int, ...], rng: np.random.Generator, largest: float) -> Array:
    """float32 of all magnitudes up to a power of ten, mostly ordinary ones."""
    ordinary = rng.normal(size=shape).astype(np.float32)
    with np.errstate(over="ignore", under="ignore"):
        wild = (rng.normal(size=shape) * 10.0 ** rng.uniform(-46, largest, shape)).astype(np.float32)
    return np.where(rng.random(shape) < 0.3, wild, ordinary).astype(np.float32)


class Sweeps:
    """The sweeps of one tensor, by NumPy."""

    def __init__(self, module: kernel.ModuleOp, tables: Any, tensor: int, memory: list[dict[str, Array]]) -> None:
        self.columns = Layout(view(module.parent_op()))  # type: ignore[arg-type]
        self.tables = tables
        self.tensor = tensor
        self.memory = memory
        self.shape = tables._views[tensor]

    def run(self, sweep: kernel.SweepOp, new: dict[str, Array]) -> None:
        """Every operation in order; stores go to `new`, where later sweeps find them."""
        env: dict[SSAValue, Array] = {}
        stored: dict[str, Array] = {}
        for op in sweep.body.block.ops:
            args = [env[x] for x in op.operands]
            match op:
                case kernel.LoadOp():
                    name = kernel.symbol(op.slot)
                    env[op.result] = new.get(name, self.memory[self.tensor][name])
                case kernel.StoreOp():
                    stored[kernel.symbol(op.slot)] = np.broadcast_to(args[0], self.shape).astype(np.float32)
                case kernel.ReadOp():
                    env[op.result] = convert(self._read(kernel.symbol(op.value)), op.result.type)
                case kernel.StencilOp():
                    env[op.result] = self._laplacian(kernel.symbol(op.slot))
                case kernel.AccumulateOp():
                    pass
                case _:
                    value = evaluate(op, args)
                    assert value is not None, op.name
                    env[op.results[0]] = value
        new.update(stored)

    def _read(self, name: str) -> Array:
        """A coarse value, as (matrices, rows, columns)."""
        place, t, keep = self.columns.value(name), self.tensor, self.tables._keep
        if place.extent == "tensor":
            return keep["TENSOR_VALUE"][t, place.column].reshape(1, 1, 1)
        matrices, rows, cols = self.shape
        begin = int(keep[f"{place.extent.upper()}_OFFSET"][t])
        shape = {"matrix": (matrices, 1, 1), "row": (matrices, rows, 1), "col": (matrices, 1, cols)}[place.extent]
        return keep[f"{place.extent.upper()}_VALUE"][place.column, begin : begin + int(np.prod(shape))].reshape(shape)

    def _laplacian(self, slot: str) -> Array:
        """a*(own - first) + b*(own - second), as `optgen.runtime.abi` says of near streams."""
        row, own = self.tables._tensor[self.tensor], self.memory[self.tensor][slot]
        begin, count = int(row[at.T_NEIGHBOUR]), int(row[at.T_NEIGHBOURS])
        if count == 0:
            return np.zeros_like(own)
        keep = self.tables._keep
        near = [int(keep[str(at.NEIGHBOUR)][e]) for e in range(begin, begin + count)]
        weights = [np.float32(keep[str(at.NEIGHBOUR_OWN)][e]) for e in range(begin, begin + count)]
        zero = np.zeros_like(own)
        parts = [a * (own - self.memory[u][slot]) for a, u in zip(weights, near, strict=True)]
        return parts[0] + (parts[1] if count > 1 else np.float32(keep[str(at.NEIGHBOUR_OWN)][begin + 1]) * zero)


def by_view(x: torch.Tensor, shape: tuple[int, int, int]) -> Array:
    return x.detach().numpy().copy().reshape(shape)


def test_a_rule_that_backends_round_differently_is_refused() -> None:
    """No shipped rule has to be: one is written for this."""
    spec = loads(text_of("param = param - lr*exp(g)"), "mine.yaml")
    cls = compile_rule(spec)
    cls([Parameter(torch.zeros(3))])
    with pytest.raises(UsageError, match=r"strict=True, but Mine uses exp on elements"):
        cls([Parameter(torch.zeros(3))], strict=True)
    with pytest.raises(UsageError, match="is for compiled kernels"):
        cls([Parameter(torch.zeros(3))], strict=True, backend="reference")


@pytest.mark.parametrize("name", EXACT)
def test_bits_are_numpys(name: str, rng: np.random.Generator) -> None:
    spec = load(name)
    params = {key: Parameter(torch.from_numpy(numbers(shape, rng, 0))) for key, shape in SHAPES.items()}
    optimizer = getattr(optgen.torch, spec.class_name)(list(params.items()), lr=0.01, strict=True)
    for largest in (0, 39):
        before: list[dict[str, Array]] = []
        bound = optimizer._current().bound[0]
        tables: Tables = bound.tables
        module = kernel_of(to_kernels(spec, {COUPLING: "transport"}))
        variants = {v.sym_name.data: v for v in module.variants}
        for i, p in enumerate(params.values()):
            p.grad = torch.from_numpy(numbers(tuple(p.shape), rng, largest))
            shape = tables._views[i]
            state = {k: v for k, v in optimizer.state[p].items() if v.shape == p.shape and k != "step"}
            gradient = "g[0]" if spec.gradients else "g"
            before.append({k: by_view(v, shape) for k, v in {"param": p, gradient: p.grad, **state}.items()})
        inputs = dict.fromkeys(spec.inputs, 0.5)
        optimizer.step(None, **inputs)
        for i, p in enumerate(params.values()):
            new: dict[str, Array] = {}
            with np.errstate(all="ignore"):
                for sweep in variants[tables.variant_names()[i]].sweeps:
                    Sweeps(module, tables, i, before).run(sweep, new)
            for slot, want in new.items():
                held = p if slot == "param" else optimizer.state[p][slot.partition("[")[0]]
                held = held[int(slot.partition("[")[2][:-1])] if "[" in slot else held
                got = by_view(held, tables._views[i])
                assert largest or np.isfinite(want).mean() > 0.9, f"{slot} of tensor {i}"
                assert np.array_equal(got, want, equal_nan=True), f"{slot} of tensor {i}: {got[got != want][:3]}"
