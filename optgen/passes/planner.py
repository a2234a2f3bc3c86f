"""The sweep planner: which sweep over memory takes each reduction and stores each slot, and what every sweep loads.

A slot is stored in place, so from the sweep after its store on its old value is gone and its new one is there instead.
Computing is free and bytes are not: a sweep may load a value that an earlier sweep stored, or compute it again from
whatever memory then holds. Once it is settled which stored values are loaded, the remaining loads follow by a walk from
what the sweep must compute back to the leaves. The search covers every placement and is exact.

A library call runs between sweeps, as soon as its operand lies in memory: in a slot that was stored unrounded, or in a
scratch array saved for it. Its result is loaded from another scratch array by whoever needs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple, TypeAlias

from optgen.passes.planner_program import Loads, Program, bits, subsets
from optgen.passes.planner_types import Call, Infeasible, Kind, Plan, Problem, Slot, Sweep, Value

__all__ = ["Call", "Infeasible", "Kind", "Plan", "Problem", "Slot", "Sweep", "Value", "plan"]


def plan(problem: Problem, *, scratch: int = 0, sweeps: int | None = None) -> Plan:
    """The cheapest legal plan: by bytes, then scratch arrays, then bytes stored before the last sweep, then names.

    `scratch` is how many values may be stored to scratch. `sweeps` asks for exactly that many sweeps; otherwise the
    fewest are taken that the dependences allow, or one or two more where those few have no legal plan.
    Raises Infeasible, or OptgenError where the problem contradicts itself.
    """
    program = Program(problem, scratch=scratch > 0)
    fewest = program.fewest_sweeps()
    if sweeps is not None and sweeps < fewest:
        raise Infeasible(_explain_too_few(program, sweeps))
    tried = range(fewest, fewest + 3) if sweeps is None else range(sweeps, sweeps + 1)
    for count in tried:
        search = _Search(program, count, scratch)
        steps = search.run()
        if steps is not None:
            return _describe(program, steps, search.first_calls)
    raise Infeasible(_explain_hazard(program, tried[-1], scratch))


class _State(NamedTuple):
    """What the sweeps before `sweep` have done: slots stored, reductions taken, points in scratch (also by calls)."""

    sweep: int
    stored: int
    taken: int
    scratch: int


class _Step(NamedTuple):
    """What one sweep does: the state it starts from, the slots, scratch points and reductions it adds, its loads."""

    before: _State
    storing: int
    saving: int
    taking: int
    loads: Loads
    called: int = 0
    calls: tuple[Call, ...] = ()

    def after(self) -> _State:
        sweep, stored, taken, scratch = self.before
        return _State(sweep + 1, stored | self.storing, taken | self.taking, scratch | self.saving | self.called)


_Key: TypeAlias = tuple[int, int, int]
"""What a plan is judged by: bytes, scratch arrays, bytes stored before the last sweep."""


class _Search:
    """Branch and bound over the sweeps, first to last. Between equals the first found stands."""

    def __init__(self, program: Program, sweeps: int, scratch: int) -> None:
        self.program = program
        self.sweeps = sweeps
        self.scratch = scratch
        self.first = [program.first[name] for name in program.reductions]
        self.last = program.last_sweeps(sweeps)
        self.all_slots = (1 << len(program.slots)) - 1
        self.all_reductions = (1 << len(program.reductions)) - 1
        self.best: tuple[_Key, tuple[_Step, ...]] | None = None
        self.seen: dict[_State, _Key] = {}
        self.first_calls: tuple[Call, ...] = ()

    def run(self) -> tuple[_Step, ...] | None:
        """The steps of the best plan, or None if there is none in that many sweeps."""
        results, self.first_calls = self.program.called_after(self.program.memory(0, 0, 0), 0)
        self._extend(_State(1, 0, 0, results), (0, 0, 0), ())
        return None if self.best is None else self.best[1]

    def _extend(self, state: _State, key: _Key, steps: tuple[_Step, ...]) -> None:
        """Tries every way to go on from a state that was reached at the cost `key`."""
        ahead = self._least_ahead(state)
        if ahead is None or self._beaten(key, ahead) or (state in self.seen and key >= self.seen[state]):
            return
        if state.sweep > self.sweeps:
            self.best = (key, steps)
            return
        self.seen[state] = key
        for saving in self._savings(state):
            for storing in self._storings(state):
                stores = self.program.bytes_of(storing)
                if self._beaten(self._spend(key, state, stores, saving), ahead - stores):
                    continue
                memory = self.program.memory(state.stored | storing, 0, state.scratch | saving)
                called, calls = self.program.called_after(memory, state.scratch & self.program.results)
                for taking, loads in self._takings(state, storing, saving):
                    step = _Step(state, storing, saving, taking, loads, called, calls)
                    self._extend(step.after(), self._spend(key, state, stores, saving, loads.bytes), (*steps, step))

    def _beaten(self, key: _Key, ahead: int) -> bool:
        """Whether no plan that has spent `key` and must spend `ahead` more bytes is better than the best one."""
        return self.best is not None and (key[0] + ahead, key[1], key[2]) >= self.best[0]

    def _least_ahead(self, state: _State) -> int | None:
        """A lower bound on the bytes still to come, or None if something needed is lost.

        What the sweeps from here on load of memory as it is now suffices to compute all that is left in one sweep, were
        it not for neighbours that must wait for one another, and for calls, whose results some later sweep loads. So
        that one sweep bounds them from below, where it has these results.
        """
        left = self.all_slots & ~state.stored
        needed = self.program.finals_of(left) | self.program.operands_of(self.all_reductions & ~state.taken)
        needed |= self.program.operands_of_calls(state.scratch)
        loads = self.program.cheapest_loads(needed, state.stored, 0, state.scratch | self.program.results)
        return None if loads is None else loads.bytes + self.program.bytes_of(left)

    def _spend(self, key: _Key, state: _State, stores: int, saving: int, loaded: int = 0) -> _Key:
        arrays = saving.bit_count()
        stores += arrays * self.program.problem.scratch_bytes
        early = stores if state.sweep < self.sweeps else 0
        return key[0] + loaded + stores, key[1] + arrays, key[2] + early

    def _savings(self, state: _State) -> Iterator[int]:
        """The sets of points this sweep may save to scratch, the smaller ones first."""
        yield 0
        if state.sweep == self.sweeps:
            return
        called = self.program.called & self.program.operands_of_calls(state.scratch)
        called = sum(1 << point for point in bits(called & ~state.scratch) if self._computable(point, state))
        unsaved = self.program.candidates & ~state.scratch
        ready = [1 << point for point in bits(unsaved) if self._computable(point, state)]
        free = self.scratch - (state.scratch & self.program.candidates).bit_count()
        for operands in subsets(called):
            for size in range(0 if operands else 1, free + 1):
                for chosen in combinations(ready, size):
                    yield operands | sum(chosen)

    def _storings(self, state: _State) -> Iterator[int]:
        """The sets of slots this sweep may store, the smaller ones first; the last sweep stores all that is left."""
        left = self.all_slots & ~state.stored
        ready = sum(1 << slot for slot in bits(left) if self._computable(self.program.finals[slot], state))
        if state.sweep < self.sweeps:
            yield from subsets(ready)
        elif ready == left:
            yield left

    def _takings(self, state: _State, storing: int, saving: int) -> Iterator[tuple[int, Loads]]:
        """The sets of reductions this sweep may take, with its loads.

        Needing more never costs less. So a set is passed over if another reduction could join it free of charge: a plan
        that takes that one now, and not later, costs no more.
        """
        due = optional = 0
        for index in bits(self.all_reductions & ~state.taken):
            ready = self.first[index] <= state.sweep and self._computable(self.program.operands[index], state)
            if self.last[index] <= state.sweep:
                due |= 1 << index
                if not ready:
                    return
            elif ready:
                optional |= 1 << index

        needed = self.program.finals_of(storing) | saving

        def loads_for(taking: int) -> Loads | None:
            points = needed | self.program.operands_of(taking)
            return self.program.cheapest_loads(points, state.stored, storing, state.scratch)

        branches = [(due, optional)]
        while branches:
            taking, undecided = branches.pop()
            least, loads = loads_for(taking), loads_for(taking | undecided)
            if least is None:
                continue
            if loads is None or loads.bytes > least.bytes:
                bit = undecided & -undecided
                branches += [(taking, undecided ^ bit), (taking | bit, undecided ^ bit)]
                continue
            taking |= undecided
            joined = (loads_for(taking | 1 << index) for index in bits((due | optional) & ~taking))
            if not any(more is not None and more.bytes == loads.bytes for more in joined):
                yield taking, loads

    def _computable(self, point: int, state: _State) -> bool:
        called = not self.program.waits_for_calls[point] & ~state.scratch
        return called and not self.program.waits[point] & ~state.taken


def _describe(program: Program, steps: tuple[_Step, ...], calls: tuple[Call, ...]) -> Plan:
    sweeps = tuple(_describe_sweep(program, step) for step in steps)
    arrays = sum(len(sweep.scratch) for sweep in sweeps) + len(program.calls)
    return Plan(sweeps, sum(sweep.bytes for sweep in sweeps), arrays * program.problem.scratch_bytes, calls)


def _describe_sweep(program: Program, step: _Step) -> Sweep:
    memory = program.memory(step.before.stored, step.storing, step.before.scratch)
    loads = list(bits(step.loads.points))
    near = list(bits(step.loads.near))
    saved = tuple(program.points[point] for point in bits(step.saving))
    needed = program.finals_of(step.storing) | program.operands_of(step.taking) | step.saving
    return Sweep(
        loads=tuple(program.points[point] for point in loads),
        sources=tuple((memory.near if point in near else memory.own)[point].buffer for point in loads),
        neighbours=tuple(program.points[point] for point in near),
        computed=_computed(program, needed, step.loads.points),
        reductions=tuple(program.reductions[index] for index in bits(step.taking)),
        stores=tuple(program.slots[index].name for index in bits(step.storing)),
        scratch=saved,
        calls=step.calls,
        bytes=step.loads.bytes + program.bytes_of(step.storing) + len(saved) * program.problem.scratch_bytes,
    )


def _computed(program: Program, needed: int, loaded: int) -> tuple[str, ...]:
    """The ops and stencils between the needed points and the loaded ones, in program order."""
    found: set[str] = set()
    pending = [program.points[point] for point in bits(needed)]
    stops = {program.points[point] for point in bits(loaded)}
    while pending:
        name = pending.pop()
        if name not in stops and name not in found:
            found.add(name)
            pending += program.by_name[name].elems
    return tuple(value.name for value in program.values if value.name in found)


def _explain_too_few(program: Program, sweeps: int) -> str:
    fewest = program.fewest_sweeps()
    blocked = min(name for name in program.wanted() if program.first[name] == fewest)
    waits = [f"'{name}' (sweep {program.first[name]})" for name in program.waits_of(blocked)]
    reason = f"waits for {', '.join(waits)}" if waits else "is fixed there"
    return (
        f"the program needs {fewest} sweeps, {sweeps} allowed: '{blocked}' belongs to sweep {fewest}, as it {reason}; "
        f"allow {fewest} sweeps"
    )


def _explain_hazard(program: Program, sweeps: int, scratch: int) -> str:
    """Without neighbours every slot can be stored in the last sweep, so the slots read at neighbours are to blame."""
    needed = program.finals_of((1 << len(program.slots)) - 1)
    needed |= program.operands_of((1 << len(program.reductions)) - 1)
    near = 0
    for walk in program.walks(needed, program.memory(0, 0, 0)):
        near |= walk.near
    read = {program.points[point] for point in bits(near)}
    names = ", ".join(f"'{slot.name}'" for slot in program.slots if slot.name in read)
    return (
        f"no order of stores works in {sweeps} sweeps with {scratch} scratch values: a sweep must not store a slot "
        f"that it reads at graph neighbours, and the old values of {names} are read there; allow more scratch values "
        f"(scratch={scratch + 1}) or sweeps (sweeps={sweeps + 1}), or keep the stencil off these slots"
    )
