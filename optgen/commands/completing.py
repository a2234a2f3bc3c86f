"""What a shell may complete a word to: rules, backends, passes, and NAME=VALUE of the rules already on the line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class

if TYPE_CHECKING:
    from optgen.spec.model import Hyper, Spec

#: Variable by which a shell's script asks for completions.
VARIABLE = "_OPTGEN_COMPLETE"
#: Settings that every rule has besides its hypers.
_COMMON = ("maximize=",)


class Bash(BashComplete):
    """Bash breaks words at `=`, so that NAME=VALUE comes as three words and only the last is replaced."""

    source_template = BashComplete.source_template.replace(
        "COMPREPLY+=($value)", "COMPREPLY+=($value)\n            [[ $value == *= ]] && compopt -o nospace"
    )
    _replaced = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one at the cursor, and that one; `=` and its sides are one word again."""
        given = os.environ["COMP_WORDS"].split("\n")[1 : int(os.environ["COMP_CWORD"]) + 1]
        words: list[str] = []
        for word in given:
            if words and (word == "=" or words[-1].endswith("=")):
                words[-1] += word
            else:
                words.append(word)
        incomplete = words.pop() if len(given) == int(os.environ["COMP_CWORD"]) and words else ""
        value = incomplete.partition("=")[2] if incomplete.startswith("-") else incomplete
        self._replaced = value[: value.rfind("=") + 1]
        return words, incomplete

    def format_completion(self, item: CompletionItem) -> str:
        """`type,value`, where the value is what follows the last `=` typed."""
        return f"{item.type},{item.value.removeprefix(self._replaced)}"


def register() -> None:
    """Has click use what is written here."""
    add_completion_class(Bash)


def rules(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Shipped rules; after a `+` the transforms, and rules where there is none before. Files where none begins so."""
    from optgen.spec.loader import shipped, transforms

    before, plus, last = incomplete.rpartition("+")
    chosen = any(part in shipped() for part in before.split("+"))
    names = [*([] if chosen else shipped()), *(transforms() if plus else [])]
    found = [CompletionItem(f"{before}{plus}{name}") for name in names if name.startswith(last)]
    return found or [CompletionItem(incomplete, type="file")]


def backends(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Backends of the design and of installed packages, and `all` where a command takes it."""
    from optgen.backend.registry import installed
    from optgen.commands.arguments import KNOWN_BACKENDS

    more = ("all",) if ctx.command.name == "build" else ()
    return _starting(list(dict.fromkeys([*KNOWN_BACKENDS, *installed(), *more])), incomplete)


def passes(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Passes of the compiler."""
    from optgen.passes.pipeline import PASSES

    return _starting(PASSES, incomplete)


def assignments(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """NAME= of the rules on the line; after it the choices, or the default of a number."""
    hypers = {hyper.name: hyper for spec in _specs(ctx) for hyper in spec.hypers.values()}
    name, given, _ = incomplete.partition("=")
    if not given:
        return _starting([*(f"{name}=" for name in hypers), *_COMMON], incomplete)
    values = _values(hypers[name]) if name in hypers else ("true", "false") if f"{name}=" in _COMMON else ()
    return _starting([f"{name}={value}" for value in values], incomplete)


def presets(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Presets of the rules on the line."""
    return _starting([name for spec in _specs(ctx) for name in spec.presets], incomplete)


def _values(hyper: Hyper) -> Sequence[str]:
    if hyper.kind == "bool":
        return ("true", "false")
    return hyper.choices if hyper.kind == "choice" else (str(hyper.default),)


def _specs(ctx: click.Context) -> list[Spec]:
    """The rules on the line so far; those that cannot be read are left to the command to complain about."""
    from optgen.errors import OptgenError
    from optgen.spec.loader import load

    given = ctx.params.get("rules") or ctx.params.get("rule") or ()
    found: list[Spec] = []
    # an option that still lacks its value ends click's reading: words before it are left in `args`
    for name in [*([given] if isinstance(given, str) else given), *ctx.args]:
        try:
            found.append(load(name))
        except OptgenError:
            continue
    return found


def _starting(values: Sequence[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(value) for value in values if value.startswith(incomplete)]
