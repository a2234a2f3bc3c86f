"""Runs the command line inside this process."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result

from optgen.cli import cli

RULE = """\
optgen: 1
name: drifter
title: Gradient descent that may drift
hyper:
  lr: {default: 1.0e-2, domain: ">= 0"}
  drift: {default: 0.0, domain: ">= 0"}
  style: {default: plain, choices: [plain, signed]}
state: {m: zeros_like(param)}
direction: |
  d = g
  if drift > 0:
      m = m + drift*g
      d = m
  if style == "signed":
      d = sign(d)
example: {lr: 0.5, param: [1.0], g: [1.0], expect: {param: [0.5]}}
"""


def optgen(*arguments: str | Path) -> Result:
    """The result of a command; anything but an exit is a failure of the test."""
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def write_rule(folder: Path, text: str = RULE, name: str = "drifter.yaml") -> Path:
    """A rule from outside the repository."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path
