"""The command line. Commands are imported when they run, so that `--help` is quick."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from typing import Any

import click

from optgen import __version__
from optgen.errors import OptgenError, suggest
from optgen.extras import missing

#: Module of `optgen.commands` and the line that `--help` shows, by command.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "list": ("list_rules", "The rules that ship."),
    "new": ("new", "A commented rule that already checks and builds, to start from."),
    "check": ("check", "Types and lints of rules; every problem with its line, a caret and a hint."),
    "explain": ("explain", "Equations, sweeps, bytes moved per parameter, and facts proven."),
    "build": ("build", "Write kernels and optimizers to a folder, or print a stage of the compiler."),
    "verify": ("verify", "Compare generated kernels with the float64 meaning of the rule."),
    "bench": ("bench", "Time a step of rules, beside other libraries' optimizers."),
    "state": ("state", "Show a saved state of an optimizer, and convert it for another framework."),
    "schema": ("schema", "The JSON schema of rule files, for editors."),
    "doctor": ("doctor", "What is installed, what is missing, how to get it."),
    "cache": ("cache", "Where built kernels are kept; --clear removes them."),
    "completion": ("completion", "The script that has bash, zsh or fish complete words."),
}


class Failure(click.ClickException):
    """The input or the result is at fault: the text goes to stderr as it is, and the exit code is 1."""

    def show(self, file: Any = None) -> None:
        """Print the message."""
        click.echo(self.message, file=file, err=file is None)


class Commands(click.Group):
    """The commands, each imported when it is asked for. What optgen refuses becomes a message and exit code 1."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Every command, in the order a user meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"optgen.commands.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the arguments name; a misspelt one gets a suggestion."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise click.UsageError(f"{error.message} {suggest(args[0], COMMANDS)}".rstrip(), ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The help lines, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run; an OptgenError is what a user may have caused, and so it is shown without a traceback."""
        try:
            return super().invoke(ctx)
        except OptgenError as error:
            raise Failure(message_of(error)) from error
        except ModuleNotFoundError as error:
            if not (message := missing(error)):
                raise
            raise Failure(f"error: {message}") from error


def message_of(error: OptgenError) -> str:
    """An error as a terminal shows it; positioned diagnostics speak for themselves."""
    text = str(error)
    return text if "error: " in text.partition("\n")[0] else f"error: {text}"


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="optgen")
def cli() -> None:
    """Optimizer update rules, written once as equations, compiled to fused kernels.

    A RULE is a shipped name (`optgen list`) or the path of a YAML file.
    """


def main() -> None:
    """Entry point of the `optgen` script."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    if "_OPTGEN_COMPLETE" in os.environ:
        from optgen.commands.completing import register

        register()
    cli(prog_name="optgen")
