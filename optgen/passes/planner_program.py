"""A planning problem shrunk to what the search looks at, and the cheapest loads of one sweep.

Slots, reductions and points are numbered in the order of their names and sets of them are bit masks, so that a plan
depends on names only, never on the order of declaration.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from optgen.passes.planner_types import Call, Infeasible, Problem, Slot, Value, check_problem


def bits(mask: int) -> Iterator[int]:
    """The numbers in a set, ascending."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def subsets(mask: int) -> Iterator[int]:
    """Every subset of a set, the empty one first and the set itself last."""
    subset = 0
    while subset != mask:
        yield subset
        subset = (subset - mask) & mask
    yield mask


class Reach(NamedTuple):
    """Points read at the element itself, and at its graph neighbours."""

    own: int
    near: int


class Held(NamedTuple):
    """Where a value can be loaded from: the cheapest buffer that holds it."""

    bytes: int
    buffer: str


class Loads(NamedTuple):
    """What a sweep loads: the points, those of them also read at neighbours, and the bytes."""

    bytes: int
    points: int
    near: int


class Memory(NamedTuple):
    """What memory holds while a sweep runs, by point: readable at the element, and readable at its neighbours."""

    own: dict[int, Held]
    near: dict[int, Held]

    def offer(self, point: int, held: Held, *, being_written: bool = False) -> None:
        """Adds a buffer that holds the point. While it is written, its neighbouring elements are not to be read."""
        for readable in (self.own,) if being_written else (self.own, self.near):
            if point not in readable or held.bytes < readable[point].bytes:
                readable[point] = held


class Program:
    """The live part of a problem.

    Its points are the leaves, the finals, the operands of reductions and, if scratch is allowed, whatever else scratch
    might hold; between points a walk has no choice.
    """

    def __init__(self, problem: Problem, *, scratch: bool) -> None:
        self.problem = problem
        self.by_name = check_problem(problem)
        self.slots: list[Slot] = sorted(problem.slots, key=lambda slot: slot.name)
        live = self._find_live()
        self.values: list[Value] = [value for value in problem.values if value.name in live]
        self.reductions: list[str] = sorted(value.name for value in self.values if value.kind == "reduction")
        self.calls: list[Value] = [value for value in self.values if value.kind == "call"]
        self.first: dict[str, int] = self._find_first_sweeps()
        self._number_points(scratch=scratch)
        self._find_reach()
        self._find_waits()
        self._memories: dict[tuple[int, int, int], Memory] = {}
        self._loads: dict[tuple[int, int, int, int], Loads | None] = {}

    def _find_live(self) -> set[str]:
        live: set[str] = set()
        pending = [*(slot.final for slot in self.slots), *self.problem.keep]
        while pending:
            name = pending.pop()
            if name not in live:
                live.add(name)
                pending += self.by_name[name].elems + self.by_name[name].coarse
        return live

    def _find_first_sweeps(self) -> dict[str, int]:
        """The earliest sweep of every live value; of a coarse value, the sweep after which it is known."""
        first: dict[str, int] = {}
        for value in self.values:
            after_operands = max((first[name] for name in value.elems), default=1)
            after_coarse = max((first[name] for name in value.coarse), default=0)
            if value.kind == "coarse":
                first[value.name] = after_coarse
            elif value.kind == "reduction":
                first[value.name] = self._first_of_reduction(value, after_operands)
            elif value.kind == "call":
                lies_there = self.by_name[value.elems[0]].kind in ("leaf", "call")
                first[value.name] = after_operands + (not lies_there)
            else:
                first[value.name] = max(after_operands, after_coarse + 1)
        return first

    def _first_of_reduction(self, value: Value, earliest: int) -> int:
        imposed = self.problem.fixed.get(value.name, earliest)
        if imposed < earliest:
            raise Infeasible(
                f"the reduction '{value.name}' is fixed to sweep {imposed}, but its operand '{value.elems[0]}' cannot "
                f"be computed before sweep {earliest}; fix it to sweep {earliest} or later"
            )
        return imposed

    def _number_points(self, *, scratch: bool) -> None:
        leaves = {value.name for value in self.values if value.kind == "leaf"}
        operands = {value.elems[0] for value in self.values if value.kind == "reduction"}
        results, called = {call.name for call in self.calls}, {call.elems[0] for call in self.calls}
        candidates = self._worth_saving() - results - called if scratch else set[str]()
        finals = {slot.final for slot in self.slots}
        self.points: list[str] = sorted(leaves | operands | results | called | candidates | finals)
        self.point: dict[str, int] = {name: index for index, name in enumerate(self.points)}
        self.leaves: int = self._mask(leaves)
        self.candidates: int = self._mask(candidates)
        self.results: int = self._mask(results)
        self.called: int = self._mask(called - leaves - results)
        self.solid: int = self.leaves | self.results
        self.finals: list[int] = [self.point[slot.final] for slot in self.slots]
        self.operands: list[int] = [self.point[self.by_name[name].elems[0]] for name in self.reductions]

    def _worth_saving(self) -> set[str]:
        """The values scratch might hold.

        A value that only one op reads, an op of nothing else, is left out: that op's result can be saved in its place,
        in the same sweep from the same loads, and serves every later use.
        """
        readers: dict[str, list[Value]] = {value.name: [] for value in self.values}
        for value in self.values:
            for name in set(value.elems):
                readers[name].append(value)
        computed = {value.name for value in self.values if value.kind in ("op", "stencil")}
        passed_on = {
            name
            for name in computed - {slot.final for slot in self.slots}
            if len(readers[name]) == 1
            and all(it.kind == "op" and set(it.elems) == {name} and not it.coarse for it in readers[name])
        }
        return computed - passed_on

    def _mask(self, names: Iterable[str]) -> int:
        return sum(1 << self.point[name] for name in names)

    def _find_reach(self) -> None:
        """For every point, the points that computing it arrives at first."""
        entered: dict[str, Reach] = {}
        self.reach: list[Reach] = [Reach(0, 0)] * len(self.points)
        for value in self.values:
            if value.kind in ("reduction", "coarse"):
                continue
            if value.kind == "call":  # it lies in memory or cannot be had
                entered[value.name] = Reach(1 << self.point[value.name], 0)
                continue
            own = near = 0
            for name in value.elems:
                own |= entered[name].own
                near |= entered[name].near
            if value.kind == "stencil":
                near |= own
            entered[value.name] = Reach(own, near)
            if value.name in self.point:
                self.reach[self.point[value.name]] = Reach(own, near)
                entered[value.name] = Reach(1 << self.point[value.name], 0)

    def _find_waits(self) -> None:
        """For every point, the reductions that must be over before the sweep that computes it."""
        bit = {name: 1 << index for index, name in enumerate(self.reductions)}
        over: dict[str, int] = {}
        for value in self.values:
            over[value.name] = bit.get(value.name, 0)
            for name in value.elems + value.coarse:
                over[value.name] |= over[name]
        self.waits: list[int] = [over[name] for name in self.points]
        of_calls: dict[str, int] = {}
        for value in self.values:
            of_calls[value.name] = 1 << self.point[value.name] if value.kind == "call" else 0
            for name in value.elems + value.coarse:
                of_calls[value.name] |= of_calls[name]
        self.waits_for_calls: list[int] = [of_calls[name] for name in self.points]

    def fewest_sweeps(self) -> int:
        """How many sweeps the dependences alone ask for; 0 where there is nothing to do."""
        return max((self.first[name] for name in self.wanted()), default=0)

    def wanted(self) -> list[str]:
        """What a plan must compute: the finals and the reductions."""
        return [*(slot.final for slot in self.slots), *self.reductions]

    def waits_of(self, wanted: str) -> list[str]:
        """The reductions that must be over before the sweep of a final or a reduction, in program order."""
        value = self.by_name[wanted]
        mask = self.waits[self.point[value.elems[0] if value.kind == "reduction" else wanted]]
        names = {self.reductions[index] for index in bits(mask)}
        return [it.name for it in self.values if it.name in names]

    def last_sweeps(self, sweeps: int) -> list[int]:
        """For every reduction, the last sweep that may take it if there are that many sweeps."""
        last = {value.name: sweeps for value in self.values}
        for value in reversed(self.values):
            if value.kind == "reduction":
                last[value.name] = min(last[value.name], self.problem.fixed.get(value.name, sweeps))
            for name in value.elems:
                last[name] = min(last[name], last[value.name] - (value.kind == "call"))
            known_by = last[value.name] if value.kind == "coarse" else last[value.name] - 1
            for name in value.coarse:
                last[name] = min(last[name], known_by)
        return [last[name] for name in self.reductions]

    def called_after(self, memory: Memory, done: int) -> tuple[int, tuple[Call, ...]]:
        """The calls whose operand lies in memory, done ones left out: their results, and what they read.

        A call costs nothing here, so that it never pays to wait with one.
        """
        results, found = 0, list[Call]()
        for call in self.calls:
            point, operand = self.point[call.name], self.point[call.elems[0]]
            if not done >> point & 1 and (operand in memory.own or results >> operand & 1):
                results |= 1 << point
                found.append(Call(call.name, memory.own[operand].buffer if operand in memory.own else call.elems[0]))
        return results, tuple(found)

    def operands_of_calls(self, done: int) -> int:
        """The points that the calls still to come need."""
        mask = 0
        for call in self.calls:
            if not done >> self.point[call.name] & 1:
                mask |= 1 << self.point[call.elems[0]]
        return mask

    def finals_of(self, slots: int) -> int:
        """The points that storing these slots needs."""
        mask = 0
        for index in bits(slots):
            mask |= 1 << self.finals[index]
        return mask

    def operands_of(self, reductions: int) -> int:
        """The points that taking these reductions needs."""
        mask = 0
        for index in bits(reductions):
            mask |= 1 << self.operands[index]
        return mask

    def bytes_of(self, slots: int) -> int:
        """What storing these slots costs."""
        return sum(self.slots[index].bytes for index in bits(slots))

    def memory(self, stored: int, storing: int, scratch: int) -> Memory:
        """Memory during a sweep that stores the slots `storing`, after the slots `stored` and the points `scratch`."""
        key = (stored, storing, scratch)
        if key not in self._memories:
            self._memories[key] = self._fill(Memory({}, {}), stored, storing, scratch)
        return self._memories[key]

    def _fill(self, memory: Memory, stored: int, storing: int, scratch: int) -> Memory:
        number = {slot.name: index for index, slot in enumerate(self.slots)}
        for point in bits(self.leaves):
            name = self.points[point]
            slot = 1 << number[name] if name in number else 0
            if not slot & stored:
                memory.offer(point, Held(self.problem.leaf_bytes[name], name), being_written=bool(slot & storing))
        for index in bits(stored):
            slot = self.slots[index]
            if not slot.lossy:
                memory.offer(self.finals[index], Held(slot.bytes, slot.name))
        for point in bits(scratch):
            memory.offer(point, Held(self.problem.scratch_bytes, self.points[point]))
        return memory

    def cheapest_loads(self, needed: int, stored: int, storing: int, scratch: int) -> Loads | None:
        """The cheapest loads from which the needed points can be computed, or None if memory no longer allows it."""
        key = (needed, stored, storing, scratch)
        if key not in self._loads:
            memory = self.memory(stored, storing, scratch)
            priced = (_price(walk, memory) for walk in self.walks(needed, memory))
            legal = [loads for loads in priced if loads is not None]
            self._loads[key] = min(legal, key=lambda it: (it.bytes, it.points.bit_count(), it.points), default=None)
        return self._loads[key]

    def walks(self, needed: int, memory: Memory) -> Iterator[Reach]:
        """Every way back from the needed points to loads: a value stored earlier is either loaded or computed again.

        Once a value is to be computed again it is left in `again`; every other stored value is loaded when reached.
        """
        offered = sum(1 << point for point in memory.own) & ~self.solid
        branches = [(Reach(needed, 0), Reach(0, 0), 0)]
        while branches:
            (own_todo, near_todo), (own, near), again = branches.pop()
            while todo := own_todo or near_todo:
                bit = todo & -todo
                if bit & offered & ~(again | own | near):
                    branches.append((Reach(own_todo, near_todo), Reach(own, near), again | bit))
                direct, nearby = (0, 0) if bit & (self.solid | offered & ~again) else self.reach[bit.bit_length() - 1]
                if own_todo:
                    own |= bit
                    own_todo = (own_todo | direct) & ~own
                    near_todo = (near_todo | nearby) & ~near
                else:
                    near |= bit
                    near_todo = (near_todo | direct | nearby) & ~near
            loaded = self.solid | offered & ~again
            yield Reach(own & loaded, near & loaded)


def _price(walk: Reach, memory: Memory) -> Loads | None:
    """What the loads of a walk cost, one shared with neighbours only once; None if something cannot be read."""
    cost = 0
    for point in bits(walk.own | walk.near):
        held = (memory.near if walk.near >> point & 1 else memory.own).get(point)
        if held is None:
            return None
        cost += held.bytes
    return Loads(cost, walk.own | walk.near, walk.near)
