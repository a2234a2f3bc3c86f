"""What a program computes of its own tensor, in float64: its variant, and the values that its sweep reads."""

from __future__ import annotations

from optgen.backend.coarse_text import CoarseText
from optgen.backend.python_text import ATOM
from optgen.ir.view import Op, Value


class OwnText(CoarseText):
    """Coarse code of the tensor `t`, one number at a time; what it defines stays in variables.

    chosen: the text of its variant.
    """

    def __init__(self) -> None:
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

    def rounded(self, name: str) -> str:
        """A value as sweeps read it."""
        text = self.body.text(self.defined[name])
        kind = "f64" if self.layout.module.compute == "float64" else "f32"
        return self.body.spelling.convert((text, ATOM if _is_one_word(text) else 0), kind)[0]


def _is_one_word(text: str) -> bool:
    """Whether a text is a name or a number."""
    return text.isidentifier() or text.strip("-").replace(".", "").isalnum()
