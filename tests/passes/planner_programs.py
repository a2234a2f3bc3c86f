"""Small programs for the planner: a builder, and the element-wise skeletons of known update rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from optgen.passes.planner import Kind, Problem, Slot, Value


@dataclass
class Build:
    """Collects values in order; every leaf and slot takes `width` bytes unless told otherwise."""

    width: int = 4
    values: list[Value] = field(default_factory=list[Value])
    leaf_bytes: dict[str, int] = field(default_factory=dict[str, int])
    slots: list[Slot] = field(default_factory=list[Slot])

    def leaves(self, names: str, width: int | None = None) -> None:
        for name in names.split():
            self._add(name, "leaf", "", "")
            self.leaf_bytes[name] = self.width if width is None else width

    def op(self, name: str, elems: str = "", coarse: str = "") -> str:
        return self._add(name, "op", elems, coarse)

    def stencil(self, name: str, elems: str) -> str:
        return self._add(name, "stencil", elems, "")

    def reduce(self, name: str, elem: str) -> str:
        return self._add(name, "reduction", elem, "")

    def reduce_of(self, name: str, elems: str) -> str:
        """A reduction of an op of its own, such as a square or a product."""
        return self.reduce(name, self.op(name + "_terms", elems))

    def coarse(self, name: str, coarse: str) -> str:
        return self._add(name, "coarse", "", coarse)

    def _add(self, name: str, kind: Kind, elems: str, coarse: str) -> str:
        self.values.append(Value(name, kind, tuple(elems.split()), tuple(coarse.split())))
        return name

    def store(self, slot: str, final: str, *, lossy: bool = False) -> None:
        self.slots.append(Slot(slot, final, self.leaf_bytes[slot], lossy))

    def done(self, fixed: Mapping[str, int] | None = None, keep: frozenset[str] = frozenset()) -> Problem:
        return Problem(tuple(self.values), self.leaf_bytes, tuple(self.slots), fixed or {}, keep)


def moments(b: Build, gradient: str = "g", names: str = "m v", *, lossy: bool = False) -> None:
    """Every named moment m becomes m1, from itself and the gradient."""
    for name in names.split():
        b.store(name, b.op(name + "1", f"{name} {gradient}"), lossy=lossy)


def sgd() -> Problem:
    b = Build()
    b.leaves("g p")
    b.store("p", b.op("p1", "p g"))
    return b.done()


def lion() -> Problem:
    b = Build()
    b.leaves("g p m")
    b.op("u", "m g")
    b.store("p", b.op("p1", "p u"))
    moments(b, names="m")
    return b.done()


def adamw() -> Problem:
    b = Build()
    b.leaves("g p m v")
    moments(b)
    b.store("p", b.op("p1", "p m1 v1"))
    return b.done()


def clip_adamw() -> Problem:
    b = Build()
    b.leaves("g p m v")
    b.reduce_of("N", "g")
    b.op("gc", "g", b.coarse("k", "N"))
    moments(b, "gc")
    b.store("p", b.op("p1", "p m1 v1"))
    return b.done()


def lamb(
    *, names: str = "m v", lossy: bool = False, clip: bool = False, fixed: Mapping[str, int] | None = None
) -> Problem:
    b = Build()
    b.leaves(f"g p {names}")
    gradient = "g"
    if clip:
        b.reduce_of("N", "g")
        gradient = b.op("gc", "g", b.coarse("k", "N"))
    moments(b, gradient, names, lossy=lossy)
    b.op("u", " ".join(name + "1" for name in names.split()) + " p")
    b.reduce("nu", "u")
    b.reduce("np", "p")
    b.store("p", b.op("p1", "p u", b.coarse("r", "nu np")))
    return b.done(fixed)


def neat(*, algebra: bool = True, clip: bool = False) -> Problem:
    """`algebra` says whether the norms of the corrected gradient were expanded into products of what sweep 1 reads."""
    b = Build()
    b.leaves("g p m v")
    gradient = "g"
    if clip:
        b.reduce_of("K", "g")
        gradient = b.op("gc", "g", "K")
    b.stencil("x", gradient)
    b.reduce_of("N", gradient)
    if algebra:
        b.reduce_of("X", "x")
        b.reduce_of("C", f"x {gradient}")
        b.coarse("b", "N")
        b.op("LG", f"x {gradient}", "b")
        b.coarse("c", "X C N b")
    else:
        b.op("LG", f"x {gradient}", b.coarse("b", "N"))
        b.reduce_of("Q", "LG")
        b.coarse("c", "Q")
    moments(b, b.op("ge", f"{gradient} LG"))
    b.store("p", b.op("p1", "p m1 v1", "c"))
    return b.done()


def clip_neat_pulled_out() -> Problem:
    """The model-wide factor drawn out of the stencil and the reductions: they read the raw gradient."""
    b = Build()
    b.leaves("g p m v")
    b.stencil("x", "g")
    for name, elems in (("K", "g"), ("N", "g"), ("X", "x"), ("C", "x g")):
        b.reduce_of(name, elems)
    b.coarse("b", "N K")
    b.op("ge", "g x", "b K")
    moments(b, "ge")
    b.store("p", b.op("p1", "p m1 v1", b.coarse("c", "X C N b K")))
    return b.done()


def neat_matched() -> Problem:
    b = Build()
    b.leaves("g p m v")
    b.stencil("x", "g")
    moments(b, b.op("ge", "g x"))
    b.store("p", b.op("p1", "p m1 v1"))
    return b.done()


def nested(*, due: bool = True, accumulator: bool = False, attention: bool = True, clip: str = "") -> Problem:
    """`clip` is empty, "plain" (a clipped gradient everywhere) or "algebra" (its factor drawn out of the products)."""
    b = Build()
    b.leaves("g s m l" + (" a" if accumulator else "") + (" p v" if due else ""))
    gradient = "g"
    if clip:
        b.reduce_of("K", "g")
    if clip == "plain":
        gradient = b.op("gc", "g", "K")
    if not due:
        moments(b, names="s m l a" if accumulator else "s m l")
        return b.done()
    if clip == "algebra":
        _due_with_factor(b)
        return b.done()
    moments(b, gradient, "s m l")
    b.op("q", f"a {gradient}" if accumulator else gradient)
    if accumulator:
        b.store("a", b.op("zero"))
    if attention:
        for name in "sml":
            b.reduce_of("D" + name, f"q {name}1")
    b.op("c", "q s1 m1 l1", b.coarse("w", "Ds Dm Dl") if attention else "")
    b.store("v", b.op("v1", "v c"))
    b.store("p", b.op("p1", "p c v1"))
    return b.done()


def _due_with_factor(b: Build) -> None:
    """<g, k g + s> = k <g, g> + <g, s>: the products need no clipped gradient."""
    for name in "sml":
        b.reduce_of("D" + name, f"g {name}")
        b.store(name, b.op(name + "1", f"{name} g", "K"))
    b.op("c", "g s1 m1 l1", b.coarse("w", "K Ds Dm Dl"))
    b.store("v", b.op("v1", "v c"))
    b.store("p", b.op("p1", "p c v1"))


def adafactor(*, momentum: bool = False) -> Problem:
    b = Build()
    b.leaves("g p" + (" m" if momentum else ""))
    b.op("g2", "g")
    b.reduce("R", "g2")
    b.reduce("Cc", "g2")
    b.op("u", "g", b.coarse("V", "R Cc"))
    b.reduce_of("U", "u")
    b.reduce_of("P", "p")
    b.coarse("a", "U P")
    if momentum:
        b.store("m", b.op("m1", "m u", "a"))
        b.store("p", b.op("p1", "p m1"))
    else:
        b.store("p", b.op("p1", "p u", "a"))
    return b.done()


def came() -> Problem:
    b = Build()
    b.leaves("g p m")
    b.reduce_of("R", "g")
    b.op("u", "g", b.coarse("V", "R"))
    b.reduce_of("U", "u")
    b.coarse("a", "U")
    b.store("m", b.op("m1", "m u", "a"))
    b.reduce("RI", b.op("i", "u m1", "a"))
    b.store("p", b.op("p1", "p m1", b.coarse("VI", "RI")))
    return b.done()


def nce(*, preconditioned: bool = False) -> Problem:
    b = Build()
    b.leaves("g p m" + (" v" if preconditioned else ""))
    second = ""
    if preconditioned:
        moments(b, names="v")
        second = " v1"
    for name in ("GG", "OO", "GO"):
        b.reduce_of(name, "g m" + second)
    b.op("u", "g m", b.coarse("k", "GG OO GO"))
    b.store("m", b.op("m1", "m u"))
    b.store("p", b.op("p1", "p m1" + second))
    return b.done()


def stencil_of_decayed_gradient() -> Problem:
    """laplacian(g + wd*param): the neighbours' params are read in the sweep that would write them."""
    b = Build()
    b.leaves("g p m v")
    b.stencil("x", b.op("gw", "g p"))
    moments(b, "x")
    b.store("p", b.op("p1", "p m1 v1"))
    return b.done()


def stencil_of_param() -> Problem:
    """param -= laplacian(param)"""
    b = Build()
    b.leaves("p g")
    b.stencil("x", "p")
    b.store("p", b.op("p1", "p x g"))
    return b.done()


def previous_gradient() -> Problem:
    """`previous = g`: a final that is another leaf, and a norm of the difference to the old one."""
    b = Build()
    b.leaves("g p h")
    b.reduce_of("D", b.op("d", "g h"))
    b.store("h", "g")
    b.store("p", b.op("p1", "p d", b.coarse("k", "D")))
    return b.done()


def large(*, levels: int = 2) -> Problem:
    """Six slots, six reductions, three sweeps (two levels of reductions)."""
    b = Build()
    b.leaves("g a b c d e p")
    moments(b, names="a b c d e")
    for name in "abc":
        b.reduce_of("L" + name, f"g {name}1" if levels == 2 else f"{name} g")
    b.op("y", "a1 b1 c1 g", b.coarse("w", "La Lb Lc"))
    for name in "cde":
        b.reduce_of("H" + name, f"y {name}1")
    b.store("p", b.op("p1", "p y d1 e1", b.coarse("z", "Hc Hd He")))
    return b.done()
