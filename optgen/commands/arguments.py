"""Arguments that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import click
from click.shell_completion import CompletionItem

from optgen.commands import completing
from optgen.errors import UsageError, suggest
from optgen.runtime.storage import FLOATS, DtypeSet

if TYPE_CHECKING:
    from optgen.spec.model import Spec, Value

#: Backends of the design; those of other packages are found where they are installed.
KNOWN_BACKENDS = ("numba", "numba-cuda", "triton", "xla", "reference")
#: Dtypes where none is named.
DTYPES = ("float32", "float64")

#: A longer number stays a word; Python itself refuses to read numbers of a few thousand digits.
LONGEST = 1000

_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")


class _DtypeSet(click.ParamType):  # pyright: ignore[reportMissingTypeArgument] (not generic in all versions)
    """A storage dtype, or the text of a dtype set: bfloat16,g=float32,*=bfloat16,master."""

    name = "DTYPE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The set's text as file names and kernels have it."""
        try:
            return str(DtypeSet.parse(str(value)))
        except UsageError as error:
            self.fail(str(error), param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The dtypes that one word names."""
        del ctx, param
        return [CompletionItem(dtype) for dtype in FLOATS if dtype.startswith(incomplete)]


def dtype_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--dtype DTYPE`, any number of times, as the argument `dtypes`."""
    about = (
        "Of the parameters and gradients: float32 and float64 by default, or bfloat16, float16. Spelled out: "
        "bfloat16,g=float32 (gradients), *=bfloat16 (state), m=float16 (one state), master, stochastic."
    )
    return click.option("--dtype", "dtypes", type=_DtypeSet(), multiple=True, help=about)(function)


def backend_names(*more: str) -> str:
    """The names of backends, for help; `more` are words that mean several."""
    return "{" + ",".join([*KNOWN_BACKENDS, *more]) + "}"


def check_backend(name: str, *more: str) -> str:
    """A backend's name, of the design's or of an installed package; whether it is installed is asked later.

    A usage error with the nearest name for any other.
    """
    from optgen.backend.registry import installed

    names = list(dict.fromkeys([*KNOWN_BACKENDS, *more, *installed()]))
    if name not in names:
        hint = suggest(name, names) or f"there are: {', '.join(names)}"
        raise click.BadParameter(f'there is no backend "{name}". {hint}', param_hint="--backend")
    return name


def _assignments(_ctx: click.Context, _param: click.Parameter, given: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Name and text of every value."""
    found: list[tuple[str, str]] = []
    for text in given:
        name, _, value = (part.strip() for part in text.partition("="))
        if not name or not value:
            raise click.BadParameter(f'"{text}" gives no value; write NAME=VALUE, as in --set eps=1e-6')
        found.append((name, value))
    return tuple(found)


def set_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--set NAME=VALUE`, any number of times, as the argument `assignments`."""
    about = "Value of a hyper-parameter or choice, for the kernels that it settles."
    option = click.option(
        "assignments",
        "--set",
        metavar="NAME=VALUE",
        callback=_assignments,
        multiple=True,
        help=about,
        shell_complete=completing.assignments,
    )
    return option(function)


def preset_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--preset NAME`, as the argument `preset`, which is None if none is named."""
    about = "Values that the rule's text names as a preset; --set goes before them."
    option = click.option("--preset", metavar="NAME", help=about, shell_complete=completing.presets)
    return option(function)


def given_values(spec: Spec, preset: str | None, assignments: Sequence[tuple[str, str]]) -> dict[str, Value]:
    """Values that kernels are settled for, checked: those of a preset, and those assigned one by one.

    Of a preset only hyper-parameters and the coupling are; who the players are is no affair of kernels. UsageError for
    a name that is no preset of the rule.
    """
    from optgen.generate import accept
    from optgen.passes.pipeline import COUPLING

    choices = {hyper.name: hyper for hyper in spec.hypers.values() if hyper.kind == "choice"}
    assigned = read_assignments(assignments, choices)
    if preset is None:
        return accept(spec, assigned)
    if preset not in spec.presets:
        hint = suggest(preset, spec.presets) or f"there are: {', '.join(spec.presets) or 'none'}"
        raise UsageError(f'{spec.name} has no preset "{preset}"; {hint}')
    settings = spec.presets[preset].items()
    named = {n: cast("Value", value) for n, value in settings if n in spec.hypers or n == COUPLING}
    return accept(spec, {**named, **assigned})


def read_assignments(
    assignments: Sequence[tuple[str, str]], choices: Mapping[str, object]
) -> dict[str, bool | int | float | str]:
    """Values by name; under a name in `choices` a value stays a word. A usage error for two values of one name."""
    found: dict[str, bool | int | float | str] = {}
    for name, text in assignments:
        value = text if name in choices else read_value(text)
        if name in found and found[name] != value:
            raise click.UsageError(f"--set gives {name} twice, as {found[name]} and as {value}")
        found[name] = value
    return found


def read_value(text: str) -> bool | int | float | str:
    """A value as YAML 1.2 reads it."""
    if text in ("true", "True", "false", "False"):
        return text in ("true", "True")
    if _NUMBER.fullmatch(text) and len(text) <= LONGEST:
        return int(text) if text.lstrip("+-").isdigit() else float(text)
    if text.lower() in (".inf", "+.inf", "-.inf", "inf", "-inf", "nan", ".nan"):
        return float(text.replace(".", ""))
    return text
