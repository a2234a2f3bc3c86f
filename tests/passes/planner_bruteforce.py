"""Independent judges of the planner: random programs, a search over memory contents, and a replay of finished plans.

Neither judge knows of walks, levels or placements. The search is Dijkstra over what the buffers hold: in every sweep it
tries every set of buffers to load, every set of slots to store and every set of values to save to scratch, and computes
forward whatever that allows.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from optgen.passes.planner import Kind, Plan, Problem, Slot, Sweep, Value
from optgen.passes.planner_types import Call

Key = tuple[int, int, int]


class State(NamedTuple):
    """Sweeps run, slots overwritten, values in scratch, reductions taken."""

    sweep: int
    new: frozenset[str]
    scratch: frozenset[str]
    taken: frozenset[str]


def powerset(items: Iterable[str], most: int | None = None) -> Iterator[tuple[str, ...]]:
    pool = sorted(items)
    sizes = range((len(pool) if most is None else min(most, len(pool))) + 1)
    return itertools.chain.from_iterable(itertools.combinations(pool, size) for size in sizes)


def buffers(problem: Problem, new: Iterable[str], scratch: Iterable[str]) -> dict[str, tuple[str, int]]:
    """What can be read before a sweep: buffer -> (the value it holds, bytes). Rounded values do not count."""
    held = {name: (name, width) for name, width in problem.leaf_bytes.items()}
    for slot in problem.slots:
        if slot.name in new:
            del held[slot.name]
            if not slot.lossy:
                held[slot.name] = (slot.final, slot.bytes)
    return held | {"scratch " + name: (name, problem.scratch_bytes) for name in scratch}


def known(problem: Problem, taken: Iterable[str]) -> set[str]:
    """The coarse values that follow from these reductions."""
    found = set(taken)
    for value in problem.values:
        if value.kind == "coarse" and found.issuperset(value.coarse):
            found.add(value.name)
    return found


def forward(problem: Problem, known_: set[str], own: Iterable[str], near: Iterable[str]) -> tuple[set[str], set[str]]:
    """What can be computed at the element, and at its neighbours, from values held there."""
    own, near = set(own), set(near)
    for value in problem.values:
        if value.kind in ("op", "stencil") and known_.issuperset(value.coarse):
            here, there = own.issuperset(value.elems), near.issuperset(value.elems)
            if here and (value.kind == "op" or there):
                own.add(value.name)
            if there:
                near.add(value.name)
    return own, near


def cheapest(problem: Problem, sweeps: int, scratch: int) -> Key | None:
    """The least (bytes, scratch arrays, bytes stored before the last sweep) of exactly that many sweeps, if any."""
    goal = frozenset(wanted_reductions(problem))
    start = State(0, frozenset(), called(problem, frozenset(), frozenset()), frozenset())
    best: dict[State, Key] = {start: (0, 0, 0)}
    queue: list[tuple[Key, int, State]] = [((0, 0, 0), 0, start)]
    ticks = itertools.count(1)
    while queue:
        key, _, state = heapq.heappop(queue)
        if best[state] < key:
            continue
        if state.sweep == sweeps:
            if len(state.new) == len(problem.slots) and goal <= state.taken:
                return key
            continue
        for after, cost in moves(problem, state, sweeps, scratch):
            spent = (key[0] + cost[0], key[1] + cost[1], key[2] + cost[2])
            if after not in best or spent < best[after]:
                best[after] = spent
                heapq.heappush(queue, (spent, next(ticks), after))
    return None


def live_calls(problem: Problem) -> list[Value]:
    live = live_names(problem)
    return [value for value in problem.values if value.kind == "call" and value.name in live]


def called(problem: Problem, new: Iterable[str], scratch: frozenset[str]) -> frozenset[str]:
    """Scratch once every call whose operand lies in memory has run."""
    found = set(scratch)
    for call in live_calls(problem):
        if call.elems[0] in {value for value, _ in buffers(problem, new, found).values()}:
            found.add(call.name)
    return frozenset(found)


def moves(problem: Problem, state: State, sweeps: int, scratch: int) -> Iterator[tuple[State, Key]]:
    """Every sweep that can follow, with its cost."""
    held = buffers(problem, state.new, state.scratch)
    coarse = known(problem, state.taken)
    old = {slot.name: slot for slot in problem.slots if slot.name not in state.new}
    sweep = state.sweep + 1
    for loaded in powerset(held):
        loads = sum(held[name][1] for name in loaded)
        everything, _ = forward(problem, coarse, *[[held[name][0] for name in loaded]] * 2)
        for stored in powerset(name for name in old if old[name].final in everything):
            here = [held[name][0] for name in loaded]
            there = [held[name][0] for name in loaded if name not in stored]
            own, _ = forward(problem, coarse, here, there)
            if not all(old[name].final in own for name in stored):
                continue
            taken = frozenset(
                value.name
                for value in problem.values
                if value.kind == "reduction"
                and value.elems[0] in own
                and value.name not in state.taken
                and problem.fixed.get(value.name, sweep) == sweep
            )
            writes = sum(old[name].bytes for name in stored)
            fresh = [
                it.name for it in problem.values if it.kind in ("op", "stencil") and it.name in own - state.scratch
            ]
            calls = live_calls(problem)
            free = {name for call in calls for name in (call.name, call.elems[0])}
            room = scratch - len(state.scratch - free)
            operands = sorted({call.elems[0] for call in calls if call.name not in state.scratch} & {*fresh})
            for chosen in powerset([name for name in fresh if name not in free], room):
                for wanted in powerset(operands):
                    saved = (*chosen, *wanted)
                    spent = writes + len(saved) * problem.scratch_bytes
                    new = state.new.union(stored)
                    after = State(sweep, new, called(problem, new, state.scratch.union(saved)), state.taken | taken)
                    yield after, (loads + spent, len(saved), spent if sweep < sweeps else 0)


def wanted_reductions(problem: Problem) -> set[str]:
    """The reductions that a final or a kept value depends on."""
    live = live_names(problem)
    return {value.name for value in problem.values if value.name in live and value.kind == "reduction"}


def live_names(problem: Problem) -> set[str]:
    """Every value that a final or a kept value depends on."""
    live = {slot.final for slot in problem.slots} | problem.keep
    for value in reversed(problem.values):
        if value.name in live:
            live.update(value.elems, value.coarse)
    return live


def replay(problem: Problem, plan: Plan) -> None:
    """Runs a plan on symbolic memory; an assertion fails where it reads what is gone or claims what is not so."""
    new: list[str] = []
    scratch: list[str] = []
    taken: list[str] = []
    replay_calls(problem, plan.calls, new, scratch)
    for sweep in plan.sweeps:
        replay_sweep(problem, sweep, buffers(problem, new, scratch), known(problem, taken))
        new += sweep.stores
        scratch += sweep.scratch
        taken += sweep.reductions
        replay_calls(problem, sweep.calls, new, scratch)
    assert sorted(new) == sorted(slot.name for slot in problem.slots), "every slot is stored once"
    assert len(set(scratch)) == len(scratch)
    assert sorted(taken) == sorted(wanted_reductions(problem)), "every wanted reduction is taken once"
    for index, sweep in enumerate(plan.sweeps, 1):
        assert all(problem.fixed.get(name, index) == index for name in sweep.reductions)
    assert plan.bytes == sum(sweep.bytes for sweep in plan.sweeps)
    assert plan.scratch_bytes == len(scratch) * problem.scratch_bytes


def replay_calls(problem: Problem, calls: Iterable[Call], new: list[str], scratch: list[str]) -> None:
    by_name = {value.name: value for value in problem.values}
    for call in calls:
        held = buffers(problem, new, scratch)
        buffer = call.operand if call.operand in problem.leaf_bytes else "scratch " + call.operand
        assert held[buffer][0] == by_name[call.result].elems[0], f"{buffer} does not hold the operand of {call.result}"
        scratch.append(call.result)


def replay_sweep(problem: Problem, sweep: Sweep, held: dict[str, tuple[str, int]], coarse: set[str]) -> None:
    assert len(sweep.loads) == len(sweep.sources) == len(set(sweep.loads))
    assert set(sweep.neighbours) <= set(sweep.loads)
    cost, near = 0, set[str]()
    for value, source in zip(sweep.loads, sweep.sources, strict=True):
        buffer = source if source in problem.leaf_bytes else "scratch " + source
        assert held[buffer][0] == value, f"{buffer} does not hold {value}"
        cost += held[buffer][1]
        if value in sweep.neighbours:
            assert source not in sweep.stores, f"{source} is written while neighbours read it"
            near.add(value)
    own, near = forward(problem, coarse, sweep.loads, near)
    by_name = {value.name: value for value in problem.values}
    slots = {slot.name: slot for slot in problem.slots}
    needed = {by_name[name].elems[0] for name in sweep.reductions} | set(sweep.scratch)
    needed |= {slots[name].final for name in sweep.stores}
    assert needed <= own, f"cannot compute {needed - own}"
    assert set(sweep.computed) <= own | near
    assert needed <= set(sweep.computed) | set(sweep.loads)
    cost += sum(slots[name].bytes for name in sweep.stores) + len(sweep.scratch) * problem.scratch_bytes
    assert sweep.bytes == cost


def random_problem(r: random.Random, calls: int = 0) -> Problem:
    """Two to four leaves, two to five ops, stencils, constants, short coarse chains, slots of every odd kind, calls."""
    widths = r.choice([[4], [4], [2, 4, 8]])
    leaves = {f"L{index}": r.choice(widths) for index in range(r.randint(2, 4))}
    values = [Value(name, "leaf") for name in leaves]
    elems, coarse, reductions = list(leaves), list[str](), list[str]()
    ops = [f"o{index}" for index in range(r.randint(2, 5))]
    for name in ops:
        kind: Kind = "stencil" if r.random() < 0.25 else "op"
        operands = r.sample(elems, min(1 if kind == "stencil" else r.choice([0, 1, 1, 2, 2, 2, 3]), len(elems)))
        waits = [r.choice(coarse)] if coarse and kind == "op" and r.random() < 0.5 else []
        values.append(Value(name, kind, tuple(operands), tuple(waits)))
        elems.append(name)
        if r.random() < 0.5 and len(reductions) < 3:
            reduction = name.replace("o", "r")
            values.append(Value(reduction, "reduction", (name if r.random() < 0.8 else r.choice(elems),)))
            reductions.append(reduction)
            coarse.append(reduction)
            if r.random() < 0.3:
                inputs = tuple(r.sample(coarse, min(2, len(coarse))))
                values.append(Value(name.replace("o", "c"), "coarse", (), inputs))
                coarse.append(name.replace("o", "c"))
        if calls and r.random() < 0.5:
            calls -= 1
            values.append(Value(name.replace("o", "k"), "call", (r.choice(elems),)))
            elems.append(values[-1].name)
    slots = list[Slot]()
    for name in r.sample(list(leaves), r.randint(1, min(3, len(leaves)))):
        final = r.choice(ops) if r.random() < 0.8 else r.choice(elems)
        slots.append(Slot(name, final, leaves[name], lossy=r.random() < 0.25))
    if all(slot.final != ops[-1] for slot in slots):
        slots[-1] = Slot(slots[-1].name, ops[-1], slots[-1].bytes, slots[-1].lossy)
    keep = frozenset(name for name in coarse if r.random() < 0.1)
    fixed = {name: r.randint(1, 2) for name in reductions if r.random() < 0.1}
    return Problem(tuple(values), leaves, tuple(slots), fixed, keep)
