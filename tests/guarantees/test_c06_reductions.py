"""C6: reductions give the same bits on every run, for every number of threads and every order of work."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import Parameter

from optgen.runtime import tables
from optgen.runtime.torch_optimizer import Optimizer
from tests.guarantees import shelf, spread

REDUCING = [c for c in shelf.CLASSES if (m := spread.manifest_of(c)) and (m["totals"] or m["tiled"])]
SHAPES = {"h.0.weight": (130, 70), "h.0.bias": (130,), "h.1.weight": (130, 70), "h.1.bias": (9001,)}


def run(cls: type[Optimizer], threads: int, order_seed: int | None = None) -> dict[str, torch.Tensor]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        generator = torch.Generator().manual_seed(4)
        named = [(name, Parameter(torch.randn(shape, generator=generator))) for name, shape in SHAPES.items()]
        optimizer = shelf.make(cls, named)
        with pytest.MonkeyPatch.context() as patch:
            if order_seed is not None:
                whole = tables.Tables.prepare

                def shuffled(self: Any, step: int, *, threads: int) -> None:
                    whole(self, step, threads=threads, order_seed=order_seed + step)

                patch.setattr(tables.Tables, "prepare", shuffled)
            shelf.train(optimizer, named, range(3))
        return shelf.everything(named, optimizer)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("cls", REDUCING, ids=shelf.name_of)
def test_neither_threads_nor_order_change_a_bit(cls: type[Optimizer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "THREADED_BYTES", 0)
    monkeypatch.setattr(tables, "CACHE_BYTES", 20_000)  # some tensors go through all sweeps at once, some do not
    for size in ("CHUNK_ELEMENTS", "COUPLED_ELEMENTS"):
        monkeypatch.setattr(tables, size, 2048)
    wanted = run(cls, 1)
    for threads in (1, 2, 3, 4):
        assert shelf.difference(run(cls, threads), wanted) == [], f"{threads} threads"
    for seed in (10, 20):
        assert shelf.difference(run(cls, 3, seed), wanted) == [], f"order {seed}"
