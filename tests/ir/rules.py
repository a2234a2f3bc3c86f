"""Small rule texts for the tests of building and interpreting."""

from __future__ import annotations

from optgen.ir import rule_dialect as rule
from optgen.ir.build import build
from optgen.passes.pipeline import program_of
from optgen.spec.loader import loads

HYPERS = """hyper:
  lr: {default: 0.1}
  beta: {default: 0.5, domain: "[0, 1)", over: model}
  on: {default: true}
  n: {default: 2, domain: "int >= 0"}
  kind: {default: soft, choices: [soft, hard]}
"""


def text_of(body: str, *, state: str = "", inputs: str = "", matrix: str = "trailing", update: bool = False) -> str:
    """A rule whose update is `body`; `update` appends a plain one."""
    head = f"optgen: 1\nname: mine\ntitle: A rule of my own\nmatrix: {matrix}\n{HYPERS}"
    head += f"state: {{{state}}}\n" if state else ""
    head += f"inputs: {{{inputs}}}\n" if inputs else ""
    lines = body.strip("\n").split("\n") + (["param = param - lr*g"] if update else [])
    return head + "update: |\n" + "".join(f"  {line}\n" for line in lines)


def program(body: str, **declared: str) -> rule.ProgramOp:
    """The memory form of a rule whose update is `body`."""
    return program_of(build(loads(text_of(body, **declared), "mine.yaml")))  # type: ignore[arg-type]
