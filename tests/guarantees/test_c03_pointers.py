"""C3: whatever is moved, replaced, added or loaded, the next step is right, and nothing kept for speed grows."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from typing import Any

import pytest
import torch
from torch.nn import Parameter

from optgen.runtime import modules, tables
from optgen.runtime.torch_optimizer import Optimizer
from tests.guarantees import shelf, spread


class Twins:
    """An optimizer whose memory is moved about, and one that stays as it was made."""

    def __init__(self, cls: type[Optimizer]) -> None:
        self.sides = [shelf.trained(cls, 2) for _ in range(2)]
        self.step = 2

    @property
    def moved(self) -> tuple[shelf.Named, Optimizer]:
        return self.sides[0]

    def check(self, steps: int = 1) -> None:
        """Both make the same steps and are the same."""
        for named, optimizer in self.sides:
            shelf.train(optimizer, named, range(self.step, self.step + steps))
        self.step += steps
        assert shelf.difference(*(shelf.everything(*side) for side in self.sides)) == []

    def add(self) -> None:
        for named, optimizer in self.sides:
            param = Parameter(torch.full((7, 3), 0.5))
            optimizer.add_param_group({"params": [(f"added.{len(named)}", param)]})
            named.append((f"added.{len(named)}", param))


def swap_data(twins: Twins) -> None:
    for _, param in twins.moved[0]:
        old = param.data
        param.data = old.clone()
        old.fill_(torch.nan)


def swap_state(twins: Twins) -> None:
    named, optimizer = twins.moved
    for _, param in named:
        for slot, value in list(optimizer.state[param].items()):
            optimizer.state[param][slot] = value.clone()
            value.fill_(7)


def resize(twins: Twins) -> None:
    """Memory that grows and shrinks below the tensors."""
    for _, param in twins.moved[0]:
        size = param.numel()
        kept = param.detach().clone()
        storage = param.data.untyped_storage()
        storage.resize_(64 * (size + 1000))
        storage.resize_(4 * size)
        param.data.copy_(kept)


def forget_gradients(twins: Twins) -> None:
    twins.moved[1].zero_grad(set_to_none=True)


def other_layout(twins: Twins) -> None:
    """The same values in another order in memory; state stays as it lay. Of both, since sums follow that order."""
    for named, _ in twins.sides:
        for _, param in named:
            if param.dim() > 1:
                param.data = param.data.transpose(0, 1).contiguous().transpose(0, 1)


def to_and_fro(twins: Twins) -> None:
    """As `module.to()` does: other memory, and the same numbers in the end."""
    for _, param in twins.moved[0]:
        param.data = param.data.double()
        param.data = param.data.float()


def load(twins: Twins) -> None:
    twins.moved[1].load_state_dict(twins.sides[1][1].state_dict())


def new_groups(twins: Twins) -> None:
    """As wrappers do: the groups hold other dicts of the same."""
    optimizer = twins.moved[1]
    optimizer.param_groups[:] = [dict(group) for group in optimizer.param_groups]


MOVES = [swap_data, swap_state, resize, forget_gradients, other_layout, to_and_fro, load, new_groups, Twins.add]


@pytest.mark.parametrize("cls", spread.SPREAD, ids=shelf.name_of)
def test_the_next_step_is_right(cls: type[Optimizer]) -> None:
    twins = Twins(cls)
    for move in [*MOVES, *reversed(MOVES)]:
        move(twins)
        twins.check()


@pytest.mark.parametrize("cls", spread.SPREAD, ids=shelf.name_of)
def test_nothing_kept_grows(cls: type[Optimizer]) -> None:
    twins = Twins(cls)
    moves = [move for move in MOVES if move is not Twins.add]

    def go(rounds: int) -> tuple[int, ...]:
        for _ in range(rounds):
            for move in moves:
                move(twins)
                for named, optimizer in twins.sides:
                    shelf.train(optimizer, named, [twins.step])
                twins.step += 1
        gc.collect()
        mine = [thing for thing in gc.get_objects() if type(thing) is tables.Tables]
        sizes = [sum(table.nbytes for table in one._keep.values()) for one in mine]
        layouts = [len(one._layouts) + len(one._strides) for one in mine]
        return len(mine), max(sizes), max(layouts), len(modules._loaded_modules), len(sys.modules)

    before = go(2)
    tracemalloc.start()
    go(1)
    first, _ = tracemalloc.get_traced_memory()
    assert go(6) == before
    grown = tracemalloc.get_traced_memory()[0] - first
    tracemalloc.stop()
    assert grown < 1 << 15, f"{grown} bytes more after {6 * len(moves)} steps"
    twins.check()


def test_many_steps() -> None:
    """Ten thousand, with gradients in new memory each time, present or not."""
    named, optimizer = shelf.trained(spread.SPREAD[0], 2)
    _, param = named[0]
    fresh: list[Any] = [torch.ones_like(param) for _ in range(5)]

    def go(steps: int) -> int:
        for step in range(steps):
            param.grad = fresh[step % 5] if step % 3 else None
            optimizer.step()
        gc.collect()
        return len(gc.get_objects())

    go(300)
    before = go(300)
    assert go(9700) - before < 100
    assert optimizer.global_step == 10302
