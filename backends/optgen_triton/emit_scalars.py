"""What a program of the first sweep computes of its own tensor, in float64: its variant, and the values it reads."""

from __future__ import annotations

from collections.abc import Sequence

from optgen.backend.layout import Layout
from optgen.backend.python_text import ATOM
from optgen.ir.view import Op, Value
from optgen_triton.emit_stage import StageCode, Tables
from optgen_triton.spelling import KINDS, STAGE_RESERVED, Names, several


class _OwnCode(StageCode):
    """Coarse code of the tensor `t`, one number at a time; what it defines stays in variables."""

    def __init__(self, tables: Tables) -> None:
        super().__init__("tensor", tables, 1)
        self.defined: dict[str, Value] = {}
        self.chosen = ""

    def _op(self, op: Op) -> None:
        if op.name == "kernel.define":
            name, value = op.word("sym_name"), op.operands[0]
            self.body.say(op.statement)
            if not _is_one_word(self.body.text(value)):
                self.body.assign(value, self.body.text(value), name)
            self.defined[name] = value
        elif op.name == "kernel.value" and op.result is not None:
            self.body.bind(op.result, self.body.text(self.defined[op.word("value")], ATOM))
        else:
            super()._op(op)

    def get(self, place: str, here: str = "") -> str:  # noqa: ARG002 (it is there)
        """A load."""
        return f"tl.load({place})"

    def fetch(self, slot: str, address: str) -> str:
        """A load through an address."""
        return f"fetch({address}, {KINDS[self.layout.dtype(slot)]}, True)"

    def choose(self, x: str) -> None:
        """The result."""
        self.chosen = f"({x}).to(tl.int64)"

    def rounded(self, name: str) -> str:
        """A value as sweeps read it."""
        text = self.body.text(self.defined[name])
        kind = "f64" if self.layout.module.compute == "float64" else "f32"
        return self.body.spelling.convert((text, ATOM if _is_one_word(text) else 0), kind)[0]


def _is_one_word(text: str) -> bool:
    """Whether a text is a name or a number."""
    return text.isidentifier() or text.strip("-").replace(".", "").isalnum()


def scalars_function(name: str, ops: Sequence[Op], values: Sequence[str], layout: Layout) -> list[str]:
    """A function whose results are values of the tensor `t`, rounded once."""
    tables = Tables(layout, Names(STAGE_RESERVED), frozenset())
    code = _OwnCode(tables)
    lines = code.write(ops)
    lines += several("    return ", [code.rounded(value) for value in values])
    return ["@triton.jit", f"def {name}(ctx, t):", *tables.lines, *lines]


def variant_function(name: str, ops: Sequence[Op], layout: Layout) -> list[str]:
    """A function whose result is the variant of the tensor `t`."""
    tables = Tables(layout, Names(STAGE_RESERVED), frozenset())
    code = _OwnCode(tables)
    lines = code.write(ops)
    return ["@triton.jit", f"def {name}(ctx, t):", *tables.lines, *lines, f"    return {code.chosen}"]
