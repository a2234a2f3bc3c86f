"""Sweeps as Python text: what each operation of element code asks of a backend whose kernels are Python."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from optgen.backend.layout import VECTORS, Layout
from optgen.backend.python_text import PURE, Body
from optgen.errors import BackendError
from optgen.ir.view import Op, Sweep, Total, Value


class ElementText(ABC):
    """The operations of one sweep of one variant, written into the body of the code for an element, or several."""

    #: What errors call the backend.
    backend: ClassVar[str]

    def __init__(self, sweep: Sweep, layout: Layout, body: Body) -> None:
        self.sweep = sweep
        self.layout = layout
        self.body = body

    def touched(self, *names: str) -> list[str]:
        """The slots of the operations of some names, each once, in the order of the text."""
        return list(dict.fromkeys(op.word("slot") for op in self.sweep.ops if op.name in names))

    def write_ops(self) -> None:
        """Every operation in turn."""
        for op in self.sweep.ops:
            if op.name in PURE:
                self.body.pure(op, self._wish(op))
            else:
                self._op(op)

    # -- what a backend says ----------------------------------------------------------------------------------------

    @abstractmethod
    def is_slot(self, name: str) -> bool:
        """Whether the sweep touches a slot of this name, so that its new value is to be called otherwise."""

    @abstractmethod
    def widened(self, slot: str) -> str:
        """What a slot's element is called once it has the type of arithmetic; "": nothing of its own."""

    @abstractmethod
    def load(self, result: Value, slot: str) -> None:
        """An element of a slot."""

    @abstractmethod
    def store(self, slot: str, x: str) -> None:
        """Replaces an element of a slot."""

    @abstractmethod
    def at_random(self, result: Value, x: str, stream: int) -> None:
        """A float32 rounded to bfloat16 by random bits."""

    @abstractmethod
    def read(self, result: Value, name: str) -> None:
        """A coarse value."""

    @abstractmethod
    def stencil(self, result: Value, slot: str, kind: str) -> None:
        """A sum over the neighbours of a slot."""

    @abstractmethod
    def accumulate(self, total: Total, x: str) -> None:
        """Adds an element to a total, or combines it."""

    # -- operations -------------------------------------------------------------------------------------------------

    def _wish(self, op: Op) -> str:
        """New values of a slot are called after it."""
        assert op.result is not None
        hint = op.result.hint
        if op.name == "arith.extf" and op.operands[0].op.name == "kernel.load":
            return self.widened(op.operands[0].op.word("slot"))
        return f"{hint}_new" if self.is_slot(hint) else hint

    def _op(self, op: Op) -> None:
        result = op.result
        match op.name:
            case "kernel.load" if result is not None:
                self.load(result, op.word("slot"))
            case "kernel.store":
                self.store(op.word("slot"), self.body.text(op.operands[0]))
            case "kernel.round_at_random" if result is not None:
                self.at_random(result, self.body.text(op.operands[0]), int(op.attributes["stream"]))
            case "kernel.read" if result is not None:
                self.read(result, op.word("value"))
            case "kernel.stencil" if result is not None:
                self.stencil(result, op.word("slot"), op.word("kind"))
            case "kernel.accumulate":
                self.body.say(op.statement)
                self.accumulate(self.layout.module.totals[op.word("total")], self.body.text(op.operands[0]))
            case _:
                raise BackendError(f"{self.backend}: {op.name} is not an operation of element code")


def sees_vectors(sweep: Sweep, layout: Layout) -> bool:
    """Whether a sweep reads or reduces over rows, columns or matrices: its tensors are cut into tiles."""
    for op in sweep.ops:
        if op.name == "kernel.read" and layout.value(op.word("value")).extent in VECTORS:
            return True
        if op.name == "kernel.accumulate" and layout.module.totals[op.word("total")].extent in VECTORS:
            return True
    return False
